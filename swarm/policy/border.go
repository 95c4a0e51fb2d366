package policy

import (
	"slices"
	"time"
)

// The rule of every border between tiers, and of one visible holder among equals.

// regroup finds anew who is nearer than each tier. Complete members want nothing and
// have no turns; on those who are late nobody waits.
func (s *Sight) regroup() {
	for t := range s.nearer {
		keys := s.spare[:0]
		for _, h := range s.order {
			if h.role == Member && !h.behind() && h.tier < Tier(t) && h.count < s.cfg.Pieces {
				keys = append(keys, h.key)
			}
		}
		if s.spare = keys; !slices.Equal(keys, s.nearer[t]) {
			s.nearer[t], s.spare = keys, s.nearer[t]
			clear(s.ranks[t])
		}
	}
}

// consider shows a piece at a peer if it may be seen there.
func (s *Sight) consider(h *sight, piece int, now time.Duration) {
	if s.got.Has(piece) || h.shown.Has(piece) {
		return
	}
	switch {
	case s.cfg.Plain:
		s.show(h, piece, Open, now)
	case s.stalled:
		s.show(h, piece, Stalled, now)
	case h.role == Publisher:
	case h.role == Foreign:
		if s.eligible(h.tier, piece, now) != Unseen {
			s.show(h, piece, Open, now)
		}
	case s.viewed.Has(piece):
		if o := s.holder(s.pieces[piece].at); o != nil && o.behind() && !h.behind() && s.pieces[piece].views < turns {
			s.show(h, piece, Spill, now)
		}
	case h.open < h.limit() && !s.offers(h, piece, now) && !s.chained(h, piece, now) && !(h.slow && s.elsewhere(piece, now)):
		if why := s.eligible(h.tier, piece, now); why != Unseen {
			s.show(h, piece, why, now)
		}
	}
}

// offers reports whether this node leaves a piece where it is, since it will be offered it
// by somebody of the link or site.
func (s *Sight) offers(h *sight, piece int, now time.Duration) bool {
	return h.tier <= Site && !h.late && now-s.pieces[piece].known < s.patience()
}

// patience is how long this node waits to be offered what an equal has: for longer than
// that usually takes, and less than two graces.
func (s *Sight) patience() time.Duration {
	return min(max(leastPatience, time.Duration(3*s.spread*float64(time.Second))), 2*s.Grace())
}

// Offered records the word of a member that it has room for a piece. It reports whether
// that piece, or another one that the peer has and nobody else was asked for, is shown
// there now.
func (s *Sight) Offered(p Peer, piece int, now time.Duration) bool {
	h := s.holder(p)
	if h == nil || h.role != Member || h.tier > Site || piece < 0 || piece >= s.cfg.Pieces {
		return false
	}
	if !h.has.Has(piece) {
		s.claim(h, piece, now)
	}
	if s.complete || s.cfg.Plain || s.stalled || h.open >= max(h.limit(), mostOffered) || h.behind() && h.open > 0 {
		return false
	}
	if h.slow && s.elsewhere(piece, now) {
		return false
	}
	if s.got.Has(piece) || s.viewed.Has(piece) || s.eligible(h.tier, piece, now) == Unseen {
		if piece = s.rarest(h, now); piece < 0 {
			return false
		}
	}
	s.show(h, piece, s.eligible(h.tier, piece, now), now)
	return true
}

// rarest is the piece of a holder that fewest have, of those that nobody was asked for; -1
// if there is none.
func (s *Sight) rarest(h *sight, now time.Duration) int {
	best, hold := -1, s.hold[h.tier]
	for i := next(h.has, s.got, s.viewed, s.near[h.tier], s.none, 0); i >= 0; i = next(h.has, s.got, s.viewed, s.near[h.tier], s.none, i+1) {
		if (best < 0 || hold[i] < hold[best] || hold[i] == hold[best] && s.cfg.Self.weight(i) > s.cfg.Self.weight(best)) &&
			s.eligible(h.tier, i, now) != Unseen {
			best = i
		}
	}
	return best
}

// limit is how many pieces may be awaited of a member.
func (h *sight) limit() int {
	if h.behind() {
		return 1
	}
	return h.window
}

// eligible is the rule of every border: it says why a piece may be seen at a peer of
// a tier, Unseen if it may not.
func (s *Sight) eligible(t Tier, piece int, now time.Duration) Reason {
	if s.near[t].Has(piece) {
		return Unseen
	}
	if len(s.nearer[t]) == 0 {
		return Nearest
	}
	rank := s.rank(t, piece)
	if s.slow {
		rank = max(rank, turns)
	}
	if rank == 0 {
		return Delegate
	}
	if now-s.pieces[piece].first >= s.wait(rank) && !s.carried(t, piece, rank, now) {
		return Turn
	}
	return Unseen
}

// carried reports whether somebody whose turn for a piece comes before this node's goes
// on bringing pieces: then this one waits in line there, and is not forgotten.
func (s *Sight) carried(t Tier, piece, rank int, now time.Duration) bool {
	grace := s.Grace()
	for _, h := range s.order {
		if h.role == Member && !h.behind() && h.tier < t && h.count < s.cfg.Pieces && h.gained > 0 && now-h.gained < grace &&
			before(h.key, s.cfg.Self, piece) && (rank <= turns || Rank(h.key, s.nearer[t], piece) < turns) {
			return true
		}
	}
	return false
}

// wait is how long somebody waits for the turn of a rank.
func (s *Sight) wait(rank int) time.Duration {
	return time.Duration(min(rank, turns)) * s.Grace()
}

// rank is this node's turn for a piece among those who are nearer than a tier.
func (s *Sight) rank(t Tier, piece int) int {
	if s.ranks[t] == nil {
		s.ranks[t] = make([]int32, s.cfg.Pieces)
	}
	r := &s.ranks[t][piece]
	if *r == 0 {
		*r = int32(Rank(s.cfg.Self, s.nearer[t], piece)) + 1
	}
	return int(*r) - 1
}

// fill shows what there is room for at a peer.
func (s *Sight) fill(h *sight, now time.Duration) {
	if h.count == 0 || s.complete {
		return
	}
	open := s.stalled || s.cfg.Plain
	roomy := open || h.role != Member
	if !roomy && h.open >= h.limit() {
		return
	}
	hide, near := s.viewed, s.near[h.tier]
	if roomy {
		hide = h.shown
	}
	if open {
		near = s.none
	}
	if roomy {
		s.fillFrom(h, hide, near, now)
		return
	}
	// What nobody else has comes first: it is what keeps others waiting.
	common := s.common[h.tier]
	for i := next(h.has, s.got, hide, near, common, h.from); i >= 0; i = next(h.has, s.got, hide, near, common, i+1) {
		if h.open >= h.limit() {
			return
		}
		s.consider(h, i, now)
	}
	for i := next(h.has, s.got, hide, near, common, 0); i >= 0 && i < h.from; i = next(h.has, s.got, hide, near, common, i+1) {
		if h.open >= h.limit() {
			return
		}
		s.consider(h, i, now)
	}
	s.fillFrom(h, hide, near, now)
}

// fillFrom shows what there is room for, in the order of the pieces.
func (s *Sight) fillFrom(h *sight, hide, near Set, now time.Duration) {
	roomy := h.role != Member || s.stalled || s.cfg.Plain
	for _, part := range [2][2]int{{h.from, s.cfg.Pieces}, {0, h.from}} {
		for i := next(h.has, s.got, hide, near, s.none, part[0]); i >= 0 && i < part[1]; i = next(h.has, s.got, hide, near, s.none, i+1) {
			if !roomy && h.open >= h.limit() {
				return
			}
			s.consider(h, i, now)
		}
	}
}

func (s *Sight) fillAll(now time.Duration) {
	for _, h := range s.order {
		s.fill(h, now)
	}
}

func (s *Sight) show(h *sight, piece int, why Reason, now time.Duration) {
	if h.shown.Has(piece) {
		return
	}
	h.shown.Add(piece)
	h.open++
	sg := &s.pieces[piece]
	whole := sg.reason == Unseen && h.role != Foreign && !s.cfg.Plain
	if sg.reason == Unseen {
		sg.shown = now
	}
	sg.since, sg.at, sg.reason = now, h.peer, why
	sg.shows++
	sg.opened(h, why, now)
	if h.role == Member {
		sg.views++
		s.viewed.Add(piece)
	}
	s.out = append(s.out, Show{Peer: h.peer, Piece: piece, Whole: whole})
}
