package main

import (
	"encoding/binary"
	"errors"
)

// The game's messages, written from their description in gameserver/protocol/src/message/mod.rs and from nothing else.
// Names in JSON are those of the golden vectors.

const (
	mostMessageBytes = 1200 - 25
	mostInputs       = 32
	mostArguments    = 8
	mostOwn          = 16
	mostNews         = 32 + 16
	mostElements     = 1200
	mostBack         = 63
	history          = 64
	reasons          = 15
	resumeBytes      = 8 + 8 + 24 + 1024 + 4 + 32 + 32
)

var errOrder = errors.New("sequences that do not grow")

type input struct {
	Sequence uint32  `json:"sequence"`
	Tick     uint64  `json:"tick"`
	Intent   []int64 `json:"intent,omitempty"`
}

type inputs struct {
	Stamp        uint16  `json:"stamp"`
	AckTick      uint64  `json:"ack_tick"`
	AckBits      uint64  `json:"ack_bits"`
	AckHoldUs    uint32  `json:"ack_hold_us"`
	ViewLagTicks uint8   `json:"view_lag_ticks"`
	Inputs       []input `json:"inputs,omitempty"`
}

type rejected struct {
	Sequence uint32 `json:"sequence"`
	Reason   uint8  `json:"reason"`
}

type notice struct {
	Number  uint32   `json:"number"`
	Code    uint8    `json:"code"`
	Figures [3]int64 `json:"figures"`
}

type entity struct {
	ID      uint32   `json:"id"`
	Kind    uint8    `json:"kind"`
	X       int32    `json:"x"`
	Y       int32    `json:"y"`
	Figures [4]int32 `json:"figures"`
}

type since struct {
	Back    uint8     `json:"back"`
	East    int32     `json:"east"`
	North   int32     `json:"north"`
	Figures [4]*int32 `json:"figures"`
}

// cell is of an entity in full, or of what has changed, or (if both are missing) says that it is gone.
type cell struct {
	Index uint32  `json:"index"`
	Full  *entity `json:"full,omitempty"`
	Since *since  `json:"since,omitempty"`
}

type snapshot struct {
	Tick              uint64     `json:"tick"`
	AgeUs             uint32     `json:"age_us"`
	EchoStamp         uint16     `json:"echo_stamp"`
	EchoHoldUs        uint32     `json:"echo_hold_us"`
	LastInputSequence uint32     `json:"last_input_sequence"`
	Hurry             int8       `json:"hurry"`
	Own               []int64    `json:"own,omitempty"`
	Rejected          []rejected `json:"rejected,omitempty"`
	Notices           []notice   `json:"notices,omitempty"`
	// Cells is nil when the snapshot tells nothing of others.
	Cells []cell `json:"cells"`
}

type resume struct {
	CreateUnix     uint64
	ExpireUnix     uint64
	Nonce          [24]byte
	Private        [1024]byte
	TimeoutSeconds int32
	ClientToServer [32]byte
	ServerToClient [32]byte
}

func open(message []byte, kind uint8, fields int) *reader {
	r := &reader{rest: message}
	if len(message) > mostMessageBytes {
		r.fail(errLength)
	}
	r.arrayOf(fields)
	if r.u8() != kind {
		r.fail(errType)
	}
	return r
}

func (r *reader) integers(most int) []int64 {
	list := make([]int64, r.array(most))
	for at := range list {
		list[at] = r.i64()
	}
	return list
}

func decodeInputs(message []byte) (inputs, error) {
	r := open(message, 0, 7)
	m := inputs{Stamp: r.u16(), AckTick: r.u64(), AckBits: r.u64(), AckHoldUs: r.u32(), ViewLagTicks: r.u8()}
	newest := uint32(0)
	for range r.array(mostInputs) {
		r.arrayOf(3)
		one := input{Sequence: r.u32(), Tick: r.u64(), Intent: r.integers(mostArguments)}
		if one.Sequence <= newest {
			r.fail(errOrder)
		}
		newest = one.Sequence
		m.Inputs = append(m.Inputs, one)
	}
	return m, r.end()
}

func encodeIntegers(to []byte, list []int64) []byte {
	to = putArray(to, len(list))
	for _, value := range list {
		to = putSigned(to, value)
	}
	return to
}

func encodeInputs(m inputs) []byte {
	to := putArray(nil, 7)
	for _, field := range []uint64{
		0, uint64(m.Stamp), m.AckTick, m.AckBits, uint64(m.AckHoldUs), uint64(m.ViewLagTicks),
	} {
		to = putUnsigned(to, field)
	}
	to = putArray(to, len(m.Inputs))
	for _, one := range m.Inputs {
		to = putUnsigned(putUnsigned(putArray(to, 3), uint64(one.Sequence)), one.Tick)
		to = encodeIntegers(to, one.Intent)
	}
	return to
}

func decodeSnapshot(message []byte) (snapshot, error) {
	r := open(message, 1, 10)
	m := snapshot{
		Tick: r.u64(), AgeUs: r.u32(), EchoStamp: r.u16(), EchoHoldUs: r.u32(), LastInputSequence: r.u32(),
		Hurry: r.i8(), Own: r.integers(mostOwn),
	}
	for range r.array(mostNews) {
		switch r.array(5) {
		case 2:
			one := rejected{Sequence: r.u32(), Reason: r.u8()}
			if one.Reason < 1 || one.Reason > reasons {
				r.fail(errType)
			}
			m.Rejected = append(m.Rejected, one)
		case 5:
			one := notice{Number: r.u32(), Code: r.u8()}
			for at := range one.Figures {
				one.Figures[at] = r.i64()
			}
			m.Notices = append(m.Notices, one)
		default:
			r.fail(errLength)
		}
	}
	if r.nothing() {
		return m, r.end()
	}
	m.Cells = []cell{}
	for left := r.array(mostElements); left > 0 && r.err == nil; {
		one, elements := decodeCell(r)
		if left -= elements; left < 0 {
			r.fail(errLength)
		}
		m.Cells = append(m.Cells, one)
	}
	return m, r.end()
}

// decodeCell gives a cell and the number of elements that it took.
func decodeCell(r *reader) (cell, int) {
	index := r.u32()
	if r.nothing() {
		return cell{Index: index}, 2
	}
	back := r.u8()
	if back == 0 {
		full := &entity{ID: r.u32(), Kind: r.u8(), X: r.i32(), Y: r.i32()}
		for at := range full.Figures {
			full.Figures[at] = r.i32()
		}
		return cell{Index: index, Full: full}, 10
	}
	mask, elements := r.u8(), 3
	if back > mostBack || mask >= 1<<6 {
		r.fail(errType)
	}
	change := &since{Back: back}
	for at, way := range []*int32{&change.East, &change.North} {
		if mask&(1<<at) != 0 {
			*way = way32(r.u32())
			elements++
		}
	}
	for at := range change.Figures {
		if mask&(4<<at) != 0 {
			figure := r.i32()
			change.Figures[at] = &figure
			elements++
		}
	}
	return cell{Index: index, Since: change}, elements
}

// way32 gives 0, -1, 1, -2, 2 … for 0, 1, 2, 3, 4 …
func way32(told uint32) int32 {
	if told%2 == 1 {
		return -int32(told/2) - 1
	}
	return int32(told / 2)
}

func told32(way int32) uint32 {
	if way < 0 {
		return uint32(-(int64(way)+1))*2 + 1
	}
	return uint32(way) * 2
}

func encodeSnapshot(m snapshot) []byte {
	to := putArray(nil, 10)
	for _, field := range []uint64{
		1, m.Tick, uint64(m.AgeUs), uint64(m.EchoStamp), uint64(m.EchoHoldUs), uint64(m.LastInputSequence),
	} {
		to = putUnsigned(to, field)
	}
	to = encodeIntegers(putSigned(to, int64(m.Hurry)), m.Own)
	to = putArray(to, len(m.Rejected)+len(m.Notices))
	for _, one := range m.Rejected {
		to = putUnsigned(putUnsigned(putArray(to, 2), uint64(one.Sequence)), uint64(one.Reason))
	}
	for _, one := range m.Notices {
		to = putUnsigned(putUnsigned(putArray(to, 5), uint64(one.Number)), uint64(one.Code))
		for _, figure := range one.Figures {
			to = putSigned(to, figure)
		}
	}
	if m.Cells == nil {
		return append(to, 0xc0)
	}
	cells, elements := []byte(nil), 0
	for _, one := range m.Cells {
		var more int
		cells, more = encodeCell(cells, one)
		elements += more
	}
	return append(putArray16(to, elements), cells...)
}

func encodeCell(to []byte, one cell) ([]byte, int) {
	to = putUnsigned(to, uint64(one.Index))
	switch {
	case one.Full != nil:
		to = putUnsigned(putUnsigned(putUnsigned(to, 0), uint64(one.Full.ID)), uint64(one.Full.Kind))
		to = putSigned(putSigned(to, int64(one.Full.X)), int64(one.Full.Y))
		for _, figure := range one.Full.Figures {
			to = putSigned(to, int64(figure))
		}
		return to, 10
	case one.Since != nil:
		mask, values := uint64(0), []byte(nil)
		elements := 3
		for at, way := range []int32{one.Since.East, one.Since.North} {
			if way != 0 {
				mask |= 1 << at
				values = putUnsigned(values, uint64(told32(way)))
				elements++
			}
		}
		for at, figure := range one.Since.Figures {
			if figure != nil {
				mask |= 4 << at
				values = putSigned(values, int64(*figure))
				elements++
			}
		}
		return append(putUnsigned(putUnsigned(to, uint64(one.Since.Back)), mask), values...), elements
	}
	return append(to, 0xc0), 2
}

func decodeResume(message []byte) (resume, error) {
	r := open(message, 2, 2)
	if r.binary() != resumeBytes {
		r.fail(errLength)
	}
	var m resume
	body := r.take(resumeBytes)
	m.CreateUnix = binary.LittleEndian.Uint64(body)
	m.ExpireUnix = binary.LittleEndian.Uint64(body[8:])
	copy(m.Nonce[:], body[16:])
	copy(m.Private[:], body[40:])
	m.TimeoutSeconds = int32(binary.LittleEndian.Uint32(body[1064:]))
	copy(m.ClientToServer[:], body[1068:])
	copy(m.ServerToClient[:], body[1100:])
	if m.CreateUnix > m.ExpireUnix {
		r.fail(errType)
	}
	return m, r.end()
}

func encodeResume(m resume) []byte {
	to := binary.BigEndian.AppendUint16(append(putUnsigned(putArray(nil, 2), 2), 0xc5), resumeBytes)
	to = binary.LittleEndian.AppendUint64(to, m.CreateUnix)
	to = binary.LittleEndian.AppendUint64(to, m.ExpireUnix)
	to = append(append(to, m.Nonce[:]...), m.Private[:]...)
	to = binary.LittleEndian.AppendUint32(to, uint32(m.TimeoutSeconds))
	return append(append(to, m.ClientToServer[:]...), m.ServerToClient[:]...)
}
