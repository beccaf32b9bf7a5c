package main

import (
	"crypto/cipher"
	"encoding/binary"
	"log"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	// whose datagram it is and its number among those of its direction: the nonce under that client's key
	headerBytes = chacha20poly1305.NonceSize
	tagBytes    = chacha20poly1305.Overhead
	// numbers that may come out of order
	windowSize = 256
)

// Seals of one client: a key for each direction, and which numbers have come.
type seals struct {
	in, out cipher.AEAD
	sent    uint64
	newest  uint64
	// by number modulo its length
	seen [windowSize]uint64
}

// Keys follow from the client's number: how they would be agreed on is no part of what is measured.
func sealsOf(id uint32) seals {
	return seals{in: aeadOf(id, 0), out: aeadOf(id, 1)}
}

func aeadOf(id uint32, direction byte) cipher.AEAD {
	var key [chacha20poly1305.KeySize]byte
	binary.BigEndian.PutUint32(key[:], id)
	key[4] = direction
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		log.Fatal(err)
	}
	return aead
}

// What a datagram says, decrypted in place; false if it is not the client's or has come before.
func (s *seals) open(datagram []byte) ([]byte, bool) {
	header, sealed := datagram[:headerBytes], datagram[headerBytes:]
	number := binary.BigEndian.Uint64(header[4:])
	seen := &s.seen[number%windowSize]
	if number+windowSize <= s.newest || number <= *seen {
		return nil, false
	}
	message, err := s.in.Open(sealed[:0], header, sealed, nil)
	if err != nil {
		return nil, false
	}
	*seen, s.newest = number, max(s.newest, number)
	return message, true
}

// Encrypts in place what stands between the header and the tag.
func (s *seals) seal(id uint32, datagram []byte) {
	s.sent++
	header := datagram[:headerBytes]
	binary.BigEndian.PutUint32(header, id)
	binary.BigEndian.PutUint64(header[4:], s.sent)
	message := datagram[headerBytes : len(datagram)-tagBytes]
	s.out.Seal(message[:0], header, message, nil)
}
