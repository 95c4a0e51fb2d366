package policy

import (
	"slices"
	"time"
)

// How a new piece spreads among equals. If all asked its first holder for it, that one
// would be busy for long with what others could pass on who have nothing to do. So the
// members that lack a piece are put in an order that all know, by rendezvous hashing:
// the first fan of them have it from its first holder, the next fan from the first of
// these, and so on. Who waits for a parent in vain, or hears of somebody idle, goes
// elsewhere.
const (
	fan        = 4
	parentWait = 600 * time.Millisecond // after a piece was first heard of, or what it usually takes to have one
	idleMoment = 50 * time.Millisecond  // after its word for which somebody is idle for sure
)

// awaits reports whether this node leaves a piece where it is, at a member of the link or
// site, since its parent will have it soon.
func (s *Sight) awaits(h *sight, piece int, now time.Duration) bool {
	sg := &s.pieces[piece]
	if !sg.alone || h.tier > Site || now-sg.first >= max(parentWait, time.Duration(s.latency*float64(time.Second))) || h.idle > 0 && now-h.idle < idleMoment {
		return false
	}
	if sg.era != s.era {
		sg.era = s.era
		sg.parent, sg.child = s.parentOf(piece)
	}
	if !sg.child {
		return false
	}
	p := s.holder(sg.parent)
	return p != nil && !p.late && !p.has.Has(piece)
}

// line returns the incomplete members of the link and site, without the first holder of a
// piece, in the order of that piece, and this node's place among them.
func (s *Sight) line(piece int) (line []*sight, self int) {
	root := s.holder(s.pieces[piece].root)
	for _, h := range s.order {
		if h.role == Member && !h.late && h != root && h.tier <= Site && h.count < s.cfg.Pieces {
			line = append(line, h)
		}
	}
	slices.SortFunc(line, func(a, b *sight) int {
		if before(a.key, b.key, piece) {
			return -1
		}
		return 1
	})
	for self < len(line) && before(line[self].key, s.cfg.Self, piece) {
		self++
	}
	return line, self
}

// parentOf finds whom a piece is to be had from; false: from its first holder.
func (s *Sight) parentOf(piece int) (Peer, bool) {
	line, self := s.line(piece)
	if self < fan {
		return 0, false
	}
	return line[self/fan-1].peer, true
}

// Children returns who waits for this node to have a piece, which it has now: they are to
// hear of it at once.
func (s *Sight) Children(piece int) (out []Peer) {
	if !s.pieces[piece].alone {
		return nil
	}
	line, self := s.line(piece)
	for i := fan * (self + 1); i < fan*(self+2); i++ {
		if i-1 < len(line) { // this node is not in line
			if h := line[i-1]; !h.has.Has(piece) {
				out = append(out, h.peer)
			}
		}
	}
	return out
}
