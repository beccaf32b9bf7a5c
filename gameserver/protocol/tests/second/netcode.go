package main

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/chacha20poly1305"
)

// The client's side of netcode 1.02, written from its STANDARD.md.

const (
	version     = "NETCODE 1.02\x00"
	tokenBytes  = 2048
	tagBytes    = 16
	replaySpan  = 256
	mostPayload = 1200
)

const (
	packetRequest = iota
	packetDenied
	packetChallenge
	packetResponse
	packetKeepAlive
	packetPayload
	packetDisconnect
)

type token struct {
	protocolID     uint64
	createUnix     uint64
	expireUnix     uint64
	nonce          [24]byte
	private        [1024]byte
	timeoutSeconds int32
	servers        []netip.AddrPort
	clientToServer [32]byte
	serverToClient [32]byte
}

func parseToken(b []byte) (t token, err error) {
	if len(b) != tokenBytes || string(b[:13]) != version {
		return t, errors.New("no connect token of netcode 1.02")
	}
	t.protocolID = binary.LittleEndian.Uint64(b[13:])
	t.createUnix = binary.LittleEndian.Uint64(b[21:])
	t.expireUnix = binary.LittleEndian.Uint64(b[29:])
	copy(t.nonce[:], b[37:])
	copy(t.private[:], b[61:])
	t.timeoutSeconds = int32(binary.LittleEndian.Uint32(b[1085:]))
	count := binary.LittleEndian.Uint32(b[1089:])
	if t.createUnix > t.expireUnix || count < 1 || count > 32 {
		return t, errors.New("a connect token that cannot be")
	}
	rest := b[1093:]
	for range count {
		kind, size := rest[0], 4
		if kind == 2 {
			size = 16
		} else if kind != 1 {
			return t, errors.New("an address of no known kind")
		}
		raw := bytes.Clone(rest[1 : 1+size])
		if kind == 2 {
			// groups of 16 bits, little-endian
			for at := 0; at < size; at += 2 {
				raw[at], raw[at+1] = raw[at+1], raw[at]
			}
		}
		ip, _ := netip.AddrFromSlice(raw)
		t.servers = append(t.servers, netip.AddrPortFrom(ip, binary.LittleEndian.Uint16(rest[1+size:])))
		rest = rest[1+size+2:]
	}
	copy(t.clientToServer[:], rest)
	copy(t.serverToClient[:], rest[32:])
	return t, nil
}

// from makes the token that leads back to where this one led.
func (t token) from(r resume) token {
	return token{
		protocolID: t.protocolID, servers: t.servers,
		createUnix: r.CreateUnix, expireUnix: r.ExpireUnix, nonce: r.Nonce, private: r.Private,
		timeoutSeconds: r.TimeoutSeconds, clientToServer: r.ClientToServer, serverToClient: r.ServerToClient,
	}
}

func (t token) request() []byte {
	packet := append([]byte{packetRequest}, version...)
	packet = binary.LittleEndian.AppendUint64(packet, t.protocolID)
	packet = binary.LittleEndian.AppendUint64(packet, t.expireUnix)
	return append(append(packet, t.nonce[:]...), t.private[:]...)
}

// window knows which sequences have come.
type window struct {
	newest uint64
	have   [replaySpan]uint64 // sequence + 1, by sequence modulo the span
}

func (w *window) isReplay(sequence uint64) bool {
	return sequence+replaySpan <= w.newest || w.have[sequence%replaySpan] > sequence
}

func (w *window) take(sequence uint64) {
	w.newest = max(w.newest, sequence)
	w.have[sequence%replaySpan] = sequence + 1
}

// session seals and opens the packets of one token.
type session struct {
	protocolID uint64
	seals      cipher.AEAD
	opens      cipher.AEAD
	sequence   uint64
	replay     window
	replays    int
	forged     int
}

func newSession(t token) *session {
	seals, err := chacha20poly1305.New(t.clientToServer[:])
	if err != nil {
		panic(err)
	}
	opens, err := chacha20poly1305.New(t.serverToClient[:])
	if err != nil {
		panic(err)
	}
	return &session{protocolID: t.protocolID, seals: seals, opens: opens}
}

func (s *session) associated(prefix byte) []byte {
	return append(binary.LittleEndian.AppendUint64([]byte(version), s.protocolID), prefix)
}

func nonceOf(sequence uint64) []byte {
	return binary.LittleEndian.AppendUint64(make([]byte, 4, 12), sequence)
}

func (s *session) seal(kind byte, body []byte) []byte {
	sequence := binary.LittleEndian.AppendUint64(nil, s.sequence)
	size := 8
	for size > 1 && sequence[size-1] == 0 {
		size--
	}
	prefix := kind | byte(size)<<4
	packet := append([]byte{prefix}, sequence[:size]...)
	packet = s.seals.Seal(packet, nonceOf(s.sequence), body, s.associated(prefix))
	s.sequence++
	return packet
}

var errReplay = errors.New("a packet that came before")

func (s *session) open(packet []byte) (kind byte, body []byte, err error) {
	if len(packet) < 2+tagBytes {
		return 0, nil, errors.New("too short for a packet")
	}
	prefix := packet[0]
	size := int(prefix >> 4)
	kind = prefix & 0x0f
	if kind < packetDenied || kind > packetDisconnect || size < 1 || size > 8 || len(packet) < 1+size+tagBytes {
		return 0, nil, fmt.Errorf("a packet that cannot be: prefix %#x, %d bytes", prefix, len(packet))
	}
	var raw [8]byte
	copy(raw[:], packet[1:1+size])
	sequence := binary.LittleEndian.Uint64(raw[:])
	guarded := kind >= packetKeepAlive
	if guarded && s.replay.isReplay(sequence) {
		s.replays++
		return 0, nil, errReplay
	}
	body, err = s.opens.Open(nil, nonceOf(sequence), packet[1+size:], s.associated(prefix))
	if err != nil {
		s.forged++
		return 0, nil, err
	}
	if guarded {
		s.replay.take(sequence)
	}
	right := false
	switch kind {
	case packetDenied, packetDisconnect:
		right = len(body) == 0
	case packetChallenge, packetResponse:
		right = len(body) == 8+300
	case packetKeepAlive:
		right = len(body) == 8
	case packetPayload:
		right = len(body) >= 1 && len(body) <= mostPayload
	}
	if !right {
		return 0, nil, fmt.Errorf("a packet of kind %d with %d bytes", kind, len(body))
	}
	return kind, body, nil
}
