package main

import "fmt"

// state is what was known of the entity of an index from a tick on; nil: that it is not to be seen.
type state struct {
	tick  uint64
	known *entity
}

// view is what the client knows of others, and which snapshots it has.
type view struct {
	newest uint64
	before uint64 // bit 0: has the one just before the newest
	states map[uint32][]state
}

func (v *view) has(tick uint64) bool {
	back := v.newest - tick
	return tick <= v.newest && v.newest > 0 && (back == 0 || back <= history && v.before&(1<<(back-1)) != 0)
}

// at gives what was known of an entity at a tick.
func (v *view) at(index uint32, tick uint64) *entity {
	var known *entity
	for _, one := range v.states[index] {
		if one.tick <= tick {
			known = one.known
		}
	}
	return known
}

// apply takes the cells of a snapshot that is newer than all before: all of them, or none.
func (v *view) apply(tick uint64, cells []cell) ([]seen, error) {
	var told []seen
	made := map[uint32]*entity{}
	for _, one := range cells {
		var next *entity
		switch {
		case one.Full != nil:
			next = one.Full
		case one.Since != nil:
			back := uint64(one.Since.Back)
			var base *entity
			if back < tick && v.has(tick-back) {
				base = v.at(one.Index, tick-back)
			}
			if base == nil {
				return nil, fmt.Errorf("tick %d tells what has changed of %d in %d ticks, and nothing is known of then",
					tick, one.Index, back)
			}
			changed := *base
			changed.X += one.Since.East
			changed.Y += one.Since.North
			for at, figure := range one.Since.Figures {
				if figure != nil {
					changed.Figures[at] = *figure
				}
			}
			next = &changed
		}
		made[one.Index] = next
		if next != nil {
			told = append(told, seen{tick, one.Index, *next})
		}
	}
	for index, next := range made {
		v.states[index] = append(v.forget(index, tick), state{tick, next})
	}
	step := tick - v.newest
	if v.newest > 0 {
		v.before = v.before<<step | 1<<(step-1)
	}
	v.newest = tick
	return told, nil
}

// forget gives the states of an entity without those that no change can be told from any more.
func (v *view) forget(index uint32, tick uint64) []state {
	states := v.states[index]
	for len(states) > 1 && states[1].tick+history <= tick {
		states = states[1:]
	}
	return states
}
