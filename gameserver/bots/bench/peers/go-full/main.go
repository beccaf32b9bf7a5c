// The server of `../go` with what a game cannot do without: each datagram is encrypted, and each player is told who is around it.
//
// `peer-go-full PORT TICK_HZ`; says `ready` when it is bound. Speaks the sealed protocol of `load/src/sealed.rs`.
package main

import (
	"encoding/binary"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	bufferBytes   = 4 << 20
	snapshotBytes = 340
	// of a snapshot before who is around: the newest input, the tick, and where the player is
	headBytes = 12
	// of one who is around: its number, and where it is
	entityBytes = 6
)

type player struct {
	address netip.AddrPort
	id      uint32
	seals   seals
	body
	newest uint32
}

type server struct {
	socket *net.UDPConn
	// the reader's own
	known map[uint32]*player

	mutex   sync.Mutex
	players []*player
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: peer-go-full PORT TICK_HZ")
	}
	port, portErr := strconv.Atoi(os.Args[1])
	tickHz, tickErr := strconv.Atoi(os.Args[2])
	if portErr != nil || tickErr != nil || tickHz < 1 {
		log.Fatal("PORT and TICK_HZ are numbers")
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		log.Fatal(err)
	}
	if err := socket.SetReadBuffer(bufferBytes); err != nil {
		log.Fatal(err)
	}
	if err := socket.SetWriteBuffer(bufferBytes); err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	s := &server{socket: socket, known: make(map[uint32]*player)}
	go s.read()
	s.tick(time.Second / time.Duration(tickHz))
}

func (s *server) read() {
	datagram := make([]byte, 2048)
	for {
		n, from, err := s.socket.ReadFromUDPAddrPort(datagram)
		if err != nil {
			log.Fatal(err)
		}
		s.take(datagram[:n], from)
	}
}

// Takes an input that is its player's own and new; the first one joins.
func (s *server) take(datagram []byte, from netip.AddrPort) {
	if len(datagram) < headerBytes {
		return
	}
	id := binary.BigEndian.Uint32(datagram)
	p, isKnown := s.known[id]
	if !isKnown {
		p = &player{address: from, id: id, seals: sealsOf(id), body: bodyOf(id)}
	}
	input, isNew := p.seals.open(datagram)
	if !isNew || len(input) < 6 {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if !isKnown {
		s.known[id] = p
		s.players = append(s.players, p)
	}
	p.newest = max(p.newest, binary.BigEndian.Uint32(input))
	p.walk(int8(input[4]), int8(input[5]))
}

func (s *server) tick(period time.Duration) {
	datagram := make([]byte, snapshotBytes)
	world := newGrid()
	tick := uint32(0)
	for range time.Tick(period) {
		tick++
		s.mutex.Lock()
		world.fill(s.players)
		for _, p := range s.players {
			message := datagram[headerBytes : snapshotBytes-tagBytes]
			binary.BigEndian.PutUint32(message, p.newest)
			binary.BigEndian.PutUint32(message[4:], tick)
			binary.BigEndian.PutUint16(message[8:], uint16(p.x))
			binary.BigEndian.PutUint16(message[10:], uint16(p.y))
			world.writeAround(p, message[headBytes:])
			p.seals.seal(p.id, datagram)
			if _, err := s.socket.WriteToUDPAddrPort(datagram, p.address); err != nil {
				log.Fatal(err)
			}
		}
		s.mutex.Unlock()
	}
}
