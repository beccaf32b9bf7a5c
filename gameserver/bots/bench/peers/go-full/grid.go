package main

import (
	"encoding/binary"
	"slices"
)

const (
	// of the map, which is square; a place fits into 16 bits
	mapUnits  = 64000
	walkUnits = 20
	// of a cell; the map has 256 of them, a thousand players four in each
	cellUnits  = 4000
	cellsASide = mapUnits / cellUnits
	// how far a player sees, in cells
	viewCells = 4
)

// Where a player is.
type body struct {
	x, y int32
}

// Players begin all over the map.
func bodyOf(id uint32) body {
	at := uint64(id) * 0x9E3779B97F4A7C15
	return body{x: int32(at >> 32 % mapUnits), y: int32(at & 0xFFFFFFFF % mapUnits)}
}

func (b *body) walk(dx, dy int8) {
	b.x = min(max(b.x+int32(dx)*walkUnits, 0), mapUnits-1)
	b.y = min(max(b.y+int32(dy)*walkUnits, 0), mapUnits-1)
}

func (b *body) cell() (int32, int32) {
	return b.x / cellUnits, b.y / cellUnits
}

// Players by cell, made anew at each tick.
type grid struct {
	// where each cell begins in `inside`, and where the last one ends
	begins [cellsASide*cellsASide + 1]int32
	inside []*player
	// cells that a player sees, from its own on, nearest first
	around [][2]int32
}

func newGrid() *grid {
	g := &grid{}
	for dy := int32(-viewCells); dy <= viewCells; dy++ {
		for dx := int32(-viewCells); dx <= viewCells; dx++ {
			if dx*dx+dy*dy <= viewCells*viewCells {
				g.around = append(g.around, [2]int32{dx, dy})
			}
		}
	}
	distance := func(d [2]int32) int32 { return d[0]*d[0] + d[1]*d[1] }
	slices.SortStableFunc(g.around, func(a, b [2]int32) int { return int(distance(a) - distance(b)) })
	return g
}

func (g *grid) fill(players []*player) {
	clear(g.begins[:])
	for _, p := range players {
		x, y := p.cell()
		g.begins[y*cellsASide+x]++
	}
	// each cell's end, which goes down to its begin as it is filled
	for cell := 1; cell < len(g.begins); cell++ {
		g.begins[cell] += g.begins[cell-1]
	}
	g.inside = slices.Grow(g.inside[:0], len(players))[:len(players)]
	for _, p := range players {
		x, y := p.cell()
		cell := &g.begins[y*cellsASide+x]
		*cell--
		g.inside[*cell] = p
	}
}

// Writes as many of those around as there is room for, nearest cells first, and zeroes after them.
func (g *grid) writeAround(viewer *player, room []byte) {
	left := room
	cellX, cellY := viewer.cell()
	for _, d := range g.around {
		x, y := cellX+d[0], cellY+d[1]
		if x < 0 || y < 0 || x >= cellsASide || y >= cellsASide {
			continue
		}
		cell := y*cellsASide + x
		for _, p := range g.inside[g.begins[cell]:g.begins[cell+1]] {
			if p == viewer {
				continue
			}
			if len(left) < entityBytes {
				return
			}
			binary.BigEndian.PutUint16(left, uint16(p.id))
			binary.BigEndian.PutUint16(left[2:], uint16(p.x))
			binary.BigEndian.PutUint16(left[4:], uint16(p.y))
			left = left[entityBytes:]
		}
	}
	clear(left)
}
