package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

const (
	hz       = 64
	tickTime = time.Second / hz
	// retry is how often a step of the handshake is repeated.
	retry    = 100 * time.Millisecond
	patience = 10 * time.Second
	// mostOpen moves are on their way at a time: as many as the arena takes at once after a pause.
	mostOpen = 7
	viewLag  = 6
	// every so many packets of the server one is thrown away, and one comes twice.
	loses, doubles = 11, 16
)

// Codes of the arena.
const (
	intentMove  = 0
	intentCast  = 1
	skillHaste  = 2001
	unknownCode = 77
	moveUnit    = 1_000   // thousandths: a step
	tooFar      = 100_000 // more than anybody walks in a second
	middle      = 500_000
)

// seen is an entity as a snapshot told of it.
type seen struct {
	tick  uint64
	index uint32
	state entity
}

func (s seen) MarshalJSON() ([]byte, error) {
	e := s.state
	return json.Marshal([]any{
		s.tick, s.index, e.ID, e.Kind, e.X, e.Y, e.Figures[0], e.Figures[1], e.Figures[2], e.Figures[3],
	})
}

type report struct {
	ClientIndex  uint32         `json:"client_index"`
	MaxClients   uint32         `json:"max_clients"`
	Sent         uint32         `json:"sent"`
	Confirmed    int            `json:"confirmed"`
	Rejected     []rejected     `json:"rejected"`
	Cast         uint32         `json:"cast"`
	Unknown      uint32         `json:"unknown"`
	TooFar       uint32         `json:"too_far"`
	Snapshots    int            `json:"snapshots"`
	Late         int            `json:"late"`
	Malformed    int            `json:"malformed"`
	Cells        map[string]int `json:"cells"`
	Mismatches   []string       `json:"mismatches"`
	Lost         int            `json:"lost"`
	Doubled      int            `json:"doubled"`
	Replays      int            `json:"replays"`
	Forged       int            `json:"forged"`
	KeepAlives   int            `json:"keep_alives"`
	ResumeTokens int            `json:"resume_tokens"`
	ResumedIndex *uint32        `json:"resumed_index"`
	ResumedTick  uint64         `json:"resumed_tick"`
	Notices      int            `json:"notices"`
	Seen         []seen         `json:"seen"`
	Own          [][3]int64     `json:"own"`
}

type client struct {
	token   token
	session *session
	socket  *net.UDPConn
	view    view
	report  *report
	resume  *resume

	newestAt time.Time
	own      []int64
	stamp    uint16
	sequence uint32
	open     []input
	refused  map[uint32]bool
	notices  map[uint32]bool
	lead     int64
	aimed    uint64
	packets  int
}

func connect(t token, r *report) (*client, error) {
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(t.servers[0]))
	if err != nil {
		return nil, err
	}
	c := &client{
		token: t, session: newSession(t), socket: socket, report: r, lead: 2,
		view:    view{states: map[uint32][]state{}},
		refused: map[uint32]bool{}, notices: map[uint32]bool{},
	}
	challenge, err := c.until(packetChallenge, c.token.request)
	if err != nil {
		return nil, fmt.Errorf("no challenge: %w", err)
	}
	keepAlive, err := c.until(packetKeepAlive, func() []byte { return c.session.seal(packetResponse, challenge) })
	if err != nil {
		return nil, fmt.Errorf("no keep-alive: %w", err)
	}
	r.ClientIndex, r.MaxClients = little32(keepAlive), little32(keepAlive[4:])
	return c, nil
}

func little32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// until sends again and again until a packet of this kind comes, and gives its body.
func (c *client) until(kind byte, packet func() []byte) ([]byte, error) {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := c.socket.Write(packet()); err != nil {
			return nil, err
		}
		for next := time.Now().Add(retry); ; {
			came, body, err := c.receive(next)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err == nil && came == packetDenied {
				return nil, errors.New("denied")
			}
			if err == nil && came == kind {
				return body, nil
			}
		}
	}
	return nil, errors.New("no answer")
}

// receive gives the next packet that opens, until a moment.
func (c *client) receive(until time.Time) (byte, []byte, error) {
	if err := c.socket.SetReadDeadline(until); err != nil {
		return 0, nil, err
	}
	buffer := make([]byte, 2048)
	size, err := c.socket.Read(buffer)
	if err != nil {
		return 0, nil, err
	}
	return c.session.open(buffer[:size])
}

// play is one input a tick for so long.
func (c *client) play(long time.Duration) error {
	start := time.Now()
	for next := start; time.Since(start) < long; {
		next = next.Add(tickTime)
		if now := time.Now(); next.Before(now) {
			next = now // what was missed is let go
		}
		if err := c.take(next); err != nil {
			return err
		}
		if c.own == nil {
			if err := c.send(); err != nil {
				return err
			}
			continue
		}
		c.ask(time.Since(start))
		if err := c.send(); err != nil {
			return err
		}
		if c.stamp%hz == 0 {
			if _, err := c.socket.Write(c.session.seal(packetKeepAlive, make([]byte, 8))); err != nil {
				return err
			}
		}
	}
	return nil
}

// take receives until a moment.
func (c *client) take(until time.Time) error {
	for {
		if err := c.socket.SetReadDeadline(until); err != nil {
			return err
		}
		buffer := make([]byte, 2048)
		size, err := c.socket.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		c.packets++
		if c.packets%loses == 0 {
			c.report.Lost++
			continue
		}
		times := 1
		if c.packets%doubles == 0 {
			c.report.Doubled++
			times = 2
		}
		for range times {
			kind, body, err := c.session.open(append([]byte(nil), buffer[:size]...))
			if err != nil {
				continue
			}
			switch kind {
			case packetKeepAlive:
				c.report.KeepAlives++
			case packetPayload:
				c.learn(body)
			case packetDisconnect:
				return errors.New("the server said goodbye")
			}
		}
	}
}

func (c *client) learn(message []byte) {
	if token, err := decodeResume(message); err == nil {
		c.report.ResumeTokens++
		c.resume = &token
		return
	}
	m, err := decodeSnapshot(message)
	if err != nil {
		c.report.Malformed++
		return
	}
	if m.Tick <= c.view.newest {
		c.report.Late++
		return
	}
	told, err := c.view.apply(m.Tick, m.Cells)
	if err != nil {
		c.report.Mismatches = append(c.report.Mismatches, err.Error())
		return
	}
	c.newestAt = time.Now()
	c.report.Snapshots++
	c.report.Seen = append(c.report.Seen, told...)
	for _, one := range m.Cells {
		switch {
		case one.Full != nil:
			c.report.Cells["full"]++
		case one.Since != nil:
			c.report.Cells["since"]++
		default:
			c.report.Cells["gone"]++
		}
	}
	if len(m.Own) >= 2 {
		c.own = m.Own
		c.report.Own = append(c.report.Own, [3]int64{int64(m.Tick), m.Own[0], m.Own[1]})
	}
	c.settle(m)
}

func (c *client) settle(m snapshot) {
	for _, one := range m.Rejected {
		if !c.refused[one.Sequence] {
			c.refused[one.Sequence] = true
			c.report.Rejected = append(c.report.Rejected, one)
		}
	}
	for _, one := range m.Notices {
		if !c.notices[one.Number] {
			c.notices[one.Number] = true
			c.report.Notices++
		}
	}
	var open []input
	for _, one := range c.open {
		switch {
		case c.refused[one.Sequence]:
		case one.Sequence <= m.LastInputSequence:
			c.report.Confirmed++
		default:
			open = append(open, one)
		}
	}
	c.open = open
	// "by how many sixteenths of a tick the client should aim its inputs earlier": this one aims by whole ticks,
	// early rather than late, and what comes of it is seen some ticks later
	if hurry := (int64(m.Hurry) + 15) >> 4; hurry != 0 && m.Tick >= c.aimed+hz/4 {
		c.lead, c.aimed = min(max(c.lead+hurry, 1), 20), m.Tick
	}
}

func (c *client) push(tick uint64, intent ...int64) uint32 {
	c.sequence++
	c.open = append(c.open, input{c.sequence, tick, intent})
	return c.sequence
}

// ask adds what the player wants at this moment of the play.
func (c *client) ask(at time.Duration) {
	x, y := c.own[0], c.own[1]
	toTheMiddle := int64(1)
	if x > middle {
		toTheMiddle = -1
	}
	r := c.report
	switch {
	case at > 2*time.Second && r.Cast == 0:
		r.Cast = c.push(0, intentCast, skillHaste, 0)
	case at > 3*time.Second && r.Unknown == 0:
		r.Unknown = c.push(0, unknownCode, 1, -1)
	case at > 4*time.Second && r.TooFar == 0:
		r.TooFar = c.push(0, intentMove, x+toTheMiddle*tooFar, y)
	case len(c.open) < mostOpen:
		c.push(c.view.newest+uint64(c.lead), intentMove, x+toTheMiddle*moveUnit, y)
	}
}

func (c *client) send() error {
	if c.stamp++; c.stamp == 0 {
		c.stamp = 1
	}
	m := inputs{Stamp: c.stamp, AckTick: c.view.newest, AckBits: c.view.before, ViewLagTicks: viewLag, Inputs: c.open}
	if c.view.newest > 0 {
		m.AckHoldUs = uint32(time.Since(c.newestAt).Microseconds())
	}
	_, err := c.socket.Write(c.session.seal(packetPayload, encodeInputs(m)))
	return err
}

func (c *client) leave() {
	for range 10 {
		// the server may have gone with the first of them
		_, _ = c.socket.Write(c.session.seal(packetDisconnect, nil))
	}
}

// playAll plays, comes back by the newest resume token from another port, and leaves.
func playAll(tokenFile string, long time.Duration) (*report, error) {
	raw, err := os.ReadFile(tokenFile)
	if err != nil {
		return nil, err
	}
	t, err := parseToken(raw)
	if err != nil {
		return nil, err
	}
	r := &report{Cells: map[string]int{}, Rejected: []rejected{}, Mismatches: []string{}, Seen: []seen{}, Own: [][3]int64{}}
	c, err := connect(t, r)
	if err != nil {
		return nil, err
	}
	if err := c.play(long); err != nil {
		return nil, err
	}
	// what is still on its way
	quiet := time.Now().Add(patience)
	for len(c.open) > 0 && time.Now().Before(quiet) {
		if err := c.take(time.Now().Add(tickTime)); err != nil {
			return nil, err
		}
		if err := c.send(); err != nil {
			return nil, err
		}
	}
	r.Sent, r.Replays, r.Forged = c.sequence, c.session.replays, c.session.forged
	if c.resume == nil {
		return r, nil
	}
	return r, comeBack(c, r)
}

// comeBack takes the player's place by the newest resume token, without a goodbye before, and then leaves.
func comeBack(c *client, r *report) error {
	again := &report{Cells: map[string]int{}}
	back, err := connect(c.token.from(*c.resume), again)
	if err != nil {
		return fmt.Errorf("it cannot come back: %w", err)
	}
	for end := time.Now().Add(patience); back.view.newest == 0 && time.Now().Before(end); {
		if err := back.send(); err != nil {
			return err
		}
		if err := back.take(time.Now().Add(tickTime)); err != nil {
			return err
		}
	}
	r.ResumedIndex, r.ResumedTick = &again.ClientIndex, back.view.newest
	r.Mismatches = append(r.Mismatches, again.Mismatches...)
	back.leave()
	return nil
}
