package main

import (
	"encoding/binary"
	"errors"
	"math"
)

// The part of MessagePack that the game's messages use: integers, arrays, nil and bin.

var (
	errTruncated = errors.New("truncated")
	errType      = errors.New("a value of the wrong type or range")
	errLength    = errors.New("an array of the wrong size")
	errTrailing  = errors.New("trailing bytes")
)

// reader takes values off the front of a message. After the first error it gives zeroes and keeps the error.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) take(count int) []byte {
	if r.err != nil || len(r.rest) < count {
		r.fail(errTruncated)
		return make([]byte, count)
	}
	taken := r.rest[:count]
	r.rest = r.rest[count:]
	return taken
}

// number reads an integer of any width: its sign, and its bits in two's complement.
func (r *reader) number() (negative bool, bits uint64) {
	marker := r.take(1)[0]
	signed := func(value int64) (bool, uint64) { return value < 0, uint64(value) }
	switch {
	case marker <= 0x7f:
		return false, uint64(marker)
	case marker >= 0xe0:
		return true, uint64(int64(int8(marker)))
	}
	switch marker {
	case 0xcc:
		return false, uint64(r.take(1)[0])
	case 0xcd:
		return false, uint64(binary.BigEndian.Uint16(r.take(2)))
	case 0xce:
		return false, uint64(binary.BigEndian.Uint32(r.take(4)))
	case 0xcf:
		return false, binary.BigEndian.Uint64(r.take(8))
	case 0xd0:
		return signed(int64(int8(r.take(1)[0])))
	case 0xd1:
		return signed(int64(int16(binary.BigEndian.Uint16(r.take(2)))))
	case 0xd2:
		return signed(int64(int32(binary.BigEndian.Uint32(r.take(4)))))
	case 0xd3:
		return signed(int64(binary.BigEndian.Uint64(r.take(8))))
	}
	r.fail(errType)
	return false, 0
}

func (r *reader) unsigned(most uint64) uint64 {
	negative, bits := r.number()
	if negative || bits > most {
		r.fail(errType)
		return 0
	}
	return bits
}

func (r *reader) signed(least, most int64) int64 {
	negative, bits := r.number()
	if !negative && bits > math.MaxInt64 {
		r.fail(errType)
		return 0
	}
	value := int64(bits)
	if value < least || value > most {
		r.fail(errType)
		return 0
	}
	return value
}

func (r *reader) u8() uint8   { return uint8(r.unsigned(math.MaxUint8)) }
func (r *reader) u16() uint16 { return uint16(r.unsigned(math.MaxUint16)) }
func (r *reader) u32() uint32 { return uint32(r.unsigned(math.MaxUint32)) }
func (r *reader) u64() uint64 { return r.unsigned(math.MaxUint64) }
func (r *reader) i8() int8    { return int8(r.signed(math.MinInt8, math.MaxInt8)) }
func (r *reader) i32() int32  { return int32(r.signed(math.MinInt32, math.MaxInt32)) }
func (r *reader) i64() int64  { return r.signed(math.MinInt64, math.MaxInt64) }

// array reads the head of an array of at most so many elements.
func (r *reader) array(most int) int {
	marker, size := r.take(1)[0], 0
	switch {
	case marker&0xf0 == 0x90:
		size = int(marker & 0x0f)
	case marker == 0xdc:
		size = int(binary.BigEndian.Uint16(r.take(2)))
	case marker == 0xdd:
		size = int(binary.BigEndian.Uint32(r.take(4)))
	default:
		r.fail(errType)
	}
	if size > most {
		r.fail(errLength)
	}
	if r.err != nil {
		return 0
	}
	return size
}

func (r *reader) arrayOf(size int) {
	if r.array(size) != size {
		r.fail(errLength)
	}
}

// nothing says whether the next value is nil, and takes it if so.
func (r *reader) nothing() bool {
	if r.err == nil && len(r.rest) > 0 && r.rest[0] == 0xc0 {
		r.rest = r.rest[1:]
		return true
	}
	return false
}

// binary reads the head of a byte string.
func (r *reader) binary() int {
	switch r.take(1)[0] {
	case 0xc4:
		return int(r.take(1)[0])
	case 0xc5:
		return int(binary.BigEndian.Uint16(r.take(2)))
	case 0xc6:
		return int(binary.BigEndian.Uint32(r.take(4)))
	}
	r.fail(errType)
	return 0
}

func (r *reader) end() error {
	if len(r.rest) > 0 {
		r.fail(errTrailing)
	}
	return r.err
}

// Writing: each number in the smallest form that holds it.

func putUnsigned(to []byte, value uint64) []byte {
	switch {
	case value <= 0x7f:
		return append(to, byte(value))
	case value <= math.MaxUint8:
		return append(to, 0xcc, byte(value))
	case value <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(to, 0xcd), uint16(value))
	case value <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(to, 0xce), uint32(value))
	}
	return binary.BigEndian.AppendUint64(append(to, 0xcf), value)
}

func putSigned(to []byte, value int64) []byte {
	switch {
	case value >= 0:
		return putUnsigned(to, uint64(value))
	case value >= -32:
		return append(to, byte(value))
	case value >= math.MinInt8:
		return append(to, 0xd0, byte(value))
	case value >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(to, 0xd1), uint16(value))
	case value >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(to, 0xd2), uint32(value))
	}
	return binary.BigEndian.AppendUint64(append(to, 0xd3), uint64(value))
}

func putArray(to []byte, size int) []byte {
	if size < 16 {
		return append(to, 0x90|byte(size))
	}
	return putArray16(to, size)
}

func putArray16(to []byte, size int) []byte {
	return binary.BigEndian.AppendUint16(append(to, 0xdc), uint16(size))
}
