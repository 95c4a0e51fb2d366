package policy

import (
	"slices"
	"time"
)

// record is what an origin remembers of its grants, to be read by people.
type record struct {
	times  [4]int       // pieces granted never, once, twice, more often
	to     [][]Peer     // by piece: to whom, in order
	served map[Key]bool // leechers that were ever sent data
}

const (
	maxGrantees = 8       // of a piece that are remembered
	maxServed   = 1 << 16 // leechers that are known again
)

func newRecord(pieces int) record {
	return record{times: [4]int{pieces}, to: make([][]Peer, pieces), served: make(map[Key]bool)}
}

// grant notes a grant of a piece that was granted before so many times.
func (r *record) grant(g Grant, before int) {
	last := len(r.times) - 1
	r.times[min(before, last)]--
	r.times[min(before+1, last)]++
	if to := r.to[g.Piece]; len(to) < maxGrantees {
		r.to[g.Piece] = append(to, g.Peer)
	}
}

// serve notes that a leecher was sent data.
func (r *record) serve(k Key) {
	if len(r.served) < maxServed {
		r.served[k] = true
	}
}

// GrantSummary says how an origin has shared a torrent out.
type GrantSummary struct {
	Times    [4]int // pieces granted never, once, twice, and three times or more
	Leechers int    // incomplete leechers that are connected
	Served   int    // leechers that were sent data in the last second
	Ever     int    // leechers that were ever sent data, each counted once; at most 65536
}

// Summary returns how the torrent was shared out until now.
func (g *Grants) Summary(now time.Duration) GrantSummary {
	s := GrantSummary{Times: g.record.times, Leechers: g.Leechers(), Ever: len(g.record.served)}
	for _, q := range g.order {
		if q.served && now-q.sent < time.Second {
			s.Served++
		}
	}
	return s
}

// Grantees returns whom a piece was granted to, in order; the same one again if it
// was granted again. Of many, the first eight.
func (g *Grants) Grantees(piece int) []Peer { return slices.Clone(g.record.to[piece]) }
