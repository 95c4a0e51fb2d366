package policy

import (
	"slices"
	"time"
)

// Who can hardly send anything is best asked for nothing that others have. That it let others
// wait would show after a while only, when much depends on it already, and it cannot be told
// from somebody who has much to do; so every node says what its line carries.

// paceShare: slow is whose line carries less than one in so many of the usual line's rate.
const paceShare = 8

// leastPace returns the rate below which a line is slow, of the rates of all lines that are
// known; 0: none is. The usual one is the middle one, so that most are never slow, and nobody
// who exaggerates makes others slow.
func leastPace(rates []int64) int64 {
	rates = slices.DeleteFunc(rates, func(r int64) bool { return r <= 0 })
	if len(rates) == 0 {
		return 0
	}
	slices.Sort(rates)
	return rates[len(rates)/2] / paceShare
}

// Pace records the word of a member that a line carries that many bytes/s from it to here; 0:
// it does not know.
func (s *Sight) Pace(p Peer, rate int64, now time.Duration) {
	if h := s.holder(p); h != nil && h.role == Member && h.pace != rate {
		h.pace = rate
		s.compare(now)
	}
}

// OwnPace records the same of this node. One that is slow is nobody's delegate: others do not
// wait for it.
func (s *Sight) OwnPace(rate int64, now time.Duration) {
	if s.pace != rate {
		s.pace = rate
		s.compare(now)
	}
}

// compare finds anew who is slow.
func (s *Sight) compare(now time.Duration) {
	rates := []int64{s.pace}
	for _, h := range s.order {
		rates = append(rates, h.pace)
	}
	least := leastPace(rates)
	s.slow = s.pace > 0 && s.pace < least
	changed := false
	for _, h := range s.order {
		slow := h.pace > 0 && h.pace < least
		if slow == h.slow {
			continue
		}
		changed = true
		s.mark(h, h.late, slow, now)
	}
	if changed {
		for i := next(s.viewed, s.got, s.none, s.none, s.none, 0); i >= 0; i = next(s.viewed, s.got, s.none, s.none, s.none, i+1) {
			s.relieve(i, now)
		}
		s.fillAll(now)
	}
}

// relieve shows a piece that is awaited of one who is late or slow at another holder as well,
// as soon as there is one who is not.
func (s *Sight) relieve(piece int, now time.Duration) {
	sg := &s.pieces[piece]
	if h := s.holder(sg.at); h == nil || !h.behind() || sg.views >= turns || !s.elsewhere(piece, now) {
		return
	}
	for _, h := range s.order {
		if h.role == Member && !h.behind() && h.has.Has(piece) && !h.shown.Has(piece) && s.eligible(h.tier, piece, now) != Unseen {
			s.show(h, piece, Spill, now)
			return
		}
	}
}

// elsewhere reports whether a piece is at a member who keeps nobody waiting, and may be seen
// there now.
func (s *Sight) elsewhere(piece int, now time.Duration) bool {
	for t := range s.hold {
		if s.hold[t][piece] > 0 && s.eligible(Tier(t), piece, now) != Unseen {
			return true
		}
	}
	return false
}

// Pace records the word of a leecher that its line carries that many bytes/s; 0: it does not
// know.
func (g *Grants) Pace(p Peer, rate int64) {
	if q := g.peers[p]; q != nil && q.pace != rate {
		q.pace = rate
		g.compare()
	}
}

// compare finds anew who is slow.
func (g *Grants) compare() {
	rates := make([]int64, 0, len(g.order))
	for _, q := range g.order {
		rates = append(rates, q.pace)
	}
	least := leastPace(rates)
	for _, q := range g.order {
		q.slow = q.pace > 0 && q.pace < least
	}
}
