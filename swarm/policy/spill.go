package policy

import (
	"math"
	"time"
)

// What happens when a holder keeps this node waiting.

// setLate notes that a holder keeps others waiting, or no longer does.
func (s *Sight) setLate(h *sight, late bool, now time.Duration) { s.mark(h, late, h.slow, now) }

// mark changes what is said of a holder that keeps others waiting.
func (s *Sight) mark(h *sight, late, slow bool, now time.Duration) {
	if h.role != Member || h.late == late && h.slow == slow {
		return
	}
	was, is := h.behind(), late || slow
	if is && !was {
		s.tally(h, -1)
	}
	h.late, h.slow = late, slow
	switch {
	case is && !was:
		s.yield(h, now)
	case was && !is:
		s.tally(h, 1)
	default:
		return
	}
	s.regroup()
}

// behind reports whether nobody waits for a holder: it is late, or slow.
func (h *sight) behind() bool { return h.late || h.slow }

// yield starts the turns anew for the pieces that a near holder was expected to give.
func (s *Sight) yield(h *sight, now time.Duration) {
	for i := next(h.has, s.got, s.none, s.none, s.none, 0); i >= 0; i = next(h.has, s.got, s.none, s.none, s.none, i+1) {
		s.pieces[i].first = now
	}
}

// Grace is how long a holder may keep others waiting for a piece.
func (s *Sight) Grace() time.Duration {
	return min(max(time.Duration(3*s.latency*float64(time.Second)), minGrace), maxGrace)
}

// Received tells how many useful bytes a peer has delivered in all.
func (s *Sight) Received(p Peer, total int64, now time.Duration) {
	h := s.holder(p)
	if h == nil {
		return
	}
	if total > h.total {
		s.useful, s.stalled = now, false
		h.total, h.progress = total, now
		s.setLate(h, false, now)
	}
	if dt := (now - h.at).Seconds(); dt >= 0.1 {
		w := 1 - math.Exp(-dt/sightSpan.Seconds())
		h.rate += w * (float64(total-h.received)/dt - h.rate)
		h.received, h.at = total, now
		span := int(h.rate * sightSpan.Seconds() / float64(max(s.cfg.PieceLength, 1)))
		h.window = max(s.leastWindow(), span)
	}
}

// Fed tells that useful bytes came from elsewhere than peers.
func (s *Sight) Fed(now time.Duration) { s.useful, s.stalled = now, false }

// Tick does what is due by time; call it a few times a second. done says that the
// node lacks nothing.
func (s *Sight) Tick(now time.Duration, done bool) {
	if s.complete = done; done {
		return
	}
	grace := s.Grace()
	if now-s.useful >= 3*grace && !s.stalled {
		s.open(now)
	}
	for i := next(s.viewed, s.got, s.none, s.none, s.none, 0); i >= 0; i = next(s.viewed, s.got, s.none, s.none, s.none, i+1) {
		if s.overdue(i, now, grace) {
			s.widen(i, now)
		} else {
			s.relieve(i, now)
		}
	}
	s.fillAll(now)
}

// overdue reports whether a piece is to be seen at one more holder: the last one it was
// shown at delivered nothing at all for a grace, or not this piece for three. What
// waits its turn at a busy holder is not overdue.
func (s *Sight) overdue(piece int, now, grace time.Duration) bool {
	sg := &s.pieces[piece]
	last := sg.since
	if h := s.holder(sg.at); h != nil {
		last = max(last, h.progress)
	}
	return now-last >= grace || now-sg.since >= 3*grace
}

// open shows everything at everybody, after nothing came for a long time: whoever can
// serve anything may.
func (s *Sight) open(now time.Duration) {
	s.stalled = true
	for _, h := range s.order {
		if h.role != Publisher {
			continue
		}
		for i := range s.cfg.Pieces {
			if !s.got.Has(i) {
				s.show(h, i, Stalled, now)
			}
		}
	}
}

// widen shows a piece whose holder let a grace pass at one more peer, the nearest that
// is waited for least; the second time at all.
func (s *Sight) widen(piece int, now time.Duration) {
	sg := &s.pieces[piece]
	if h := s.holder(sg.at); h != nil && h.role == Member {
		s.setLate(h, true, now)
	}
	var best *sight
	for _, h := range s.order {
		if !h.has.Has(piece) || h.shown.Has(piece) || h.role == Publisher {
			continue
		}
		if sg.views >= turns {
			s.show(h, piece, Spill, now)
			continue
		}
		if best == nil || h.behind() != best.behind() && best.behind() || h.behind() == best.behind() &&
			(h.tier < best.tier || h.tier == best.tier && h.open < best.open) {
			best = h
		}
	}
	if best != nil && sg.views < turns {
		s.show(best, piece, Spill, now)
	}
}

// Hungry returns pieces that this node cannot get, for it to tell the origin: those
// whose only holders keep it waiting, and, when nothing comes at all, those that
// nobody has. It names none again within two seconds.
func (s *Sight) Hungry(now time.Duration) (pieces []int) {
	if s.complete || now-s.asked < hungerAfter {
		return nil
	}
	grace := s.Grace()
	idle := now - s.useful
	for k := range s.cfg.Pieces {
		i := (s.cfg.Start + k) % s.cfg.Pieces
		stuck := s.viewed.Has(i) && s.overdue(i, now, grace)
		alone := !s.viewed.Has(i) && (idle >= grace || idle >= hungerAfter && !s.near[Origin].Has(i))
		if !s.got.Has(i) && (stuck || alone) {
			if pieces = append(pieces, i); len(pieces) == maxHungry {
				break
			}
		}
	}
	if len(pieces) > 0 {
		s.asked = now
	}
	return pieces
}
