// The server that one writes first in Go: a goroutine that reads, a ticker that writes, a map of players under a mutex.
//
// `peer-go PORT TICK_HZ`; says `ready` when it is bound. Speaks the bare protocol of `load/src/wire.rs`.
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
	snapshotBytes = 340
	bufferBytes   = 4 << 20
)

type player struct {
	address netip.AddrPort
	newest  uint32
}

type server struct {
	socket  *net.UDPConn
	mutex   sync.Mutex
	players map[uint32]*player
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: peer-go PORT TICK_HZ")
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
	s := &server{socket: socket, players: make(map[uint32]*player)}
	go s.read()
	s.tick(time.Second / time.Duration(tickHz))
}

func (s *server) read() {
	input := make([]byte, 2048)
	for {
		n, from, err := s.socket.ReadFromUDPAddrPort(input)
		if err != nil {
			log.Fatal(err)
		}
		if n < 8 {
			continue
		}
		sequence, id := binary.BigEndian.Uint32(input), binary.BigEndian.Uint32(input[4:])
		s.mutex.Lock()
		p := s.players[id]
		if p == nil {
			p = &player{address: from}
			s.players[id] = p
		}
		p.newest = max(p.newest, sequence)
		s.mutex.Unlock()
	}
}

func (s *server) tick(period time.Duration) {
	snapshot := make([]byte, snapshotBytes)
	for range time.Tick(period) {
		s.mutex.Lock()
		for id, p := range s.players {
			binary.BigEndian.PutUint32(snapshot, p.newest)
			binary.BigEndian.PutUint32(snapshot[4:], id)
			if _, err := s.socket.WriteToUDPAddrPort(snapshot, p.address); err != nil {
				log.Fatal(err)
			}
		}
		s.mutex.Unlock()
	}
}
