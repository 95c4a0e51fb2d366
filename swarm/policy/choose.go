package policy

import (
	"cmp"
	"slices"
	"time"
)

// Classes of leechers; a better one is served alone as long as it has somebody who
// keeps up.
const (
	nearMember = iota
	farMember
	slowMember
	foreigner
	classes
)

// pick chooses the leecher with the least left to pass on, and a piece for it.
func (g *Grants) pick(r *round) (Grant, bool) {
	near, all := 0, 0
	for _, q := range g.order {
		if q.ring && q.count < g.cfg.Pieces {
			all++
			if q.near {
				near++
			}
		}
	}
	for class := range classes {
		waiting := false
		tried := make(map[*leecher]bool)
		for {
			q := g.shortest(r, tried, &waiting, func(q *leecher) bool {
				return classOf(q, near*nearShare >= all, r) == class
			})
			if q == nil {
				break
			}
			if piece, ok := g.pieceFor(q); ok {
				return Grant{Peer: q.peer, Piece: piece}, true
			}
			tried[q] = true
		}
		if waiting {
			return Grant{}, false // somebody better placed will have room soon
		}
	}
	return Grant{}, false
}

// classOf returns a leecher's class. One that is foreign and has stood still for long
// counts as a member that is far, since nobody else seems to serve it.
func classOf(q *leecher, nearFirst bool, r *round) int {
	switch {
	case !q.member && r.now-q.progress < foreignStall:
		return foreigner
	case q.slow:
		return slowMember
	case q.near && nearFirst && q.member:
		return nearMember
	}
	return farMember
}

// shortest returns the leecher of a class that will soonest have passed on what it
// was granted, of those who may be granted one more piece. In a crowd it is the next
// one's turn as soon as one more may be served, and else those go on who have it; the
// last pieces go to whoever has least to do. It sets waiting if there is somebody who
// lacks pieces and keeps up, but has no room now.
func (g *Grants) shortest(r *round, tried map[*leecher]bool, waiting *bool, in func(*leecher) bool) *leecher {
	var best *leecher
	bestTime, others := 0.0, false
	usual := g.usualSpeed()
	for _, q := range g.order {
		if !q.ring || q.count >= g.cfg.Pieces || tried[q] || !in(q) || q.lagging(r) {
			continue
		}
		active := q.active(r)
		if q.open >= r.each || !active && r.slots <= 0 {
			others = true
			continue
		}
		turns := r.crowded && !r.ending
		if turns && active && !q.turn {
			continue
		}
		t := float64(g.weigh(q)) / cmp.Or(q.speed, usual, 1)
		// In a crowd who comes new goes first.
		newer := turns && best != nil && !active && best.active(r)
		older := turns && best != nil && active && !best.active(r)
		if best == nil || newer || !older && (t < bestTime || t == bestTime && waited(q, best)) {
			best, bestTime = q, t
		}
	}
	*waiting = *waiting || best == nil && others && len(g.pending) > 0
	return best
}

// waited reports whether a leecher goes before another that has as much to do: fewer
// grants are on their way to it, or its last turn is longer ago.
func waited(q, other *leecher) bool {
	return q.open < other.open || q.open == other.open && q.began < other.began
}

// weigh counts the copies of granted pieces that a leecher has left to pass on.
func (g *Grants) weigh(q *leecher) (load int) {
	kept := q.given[:0]
	for _, piece := range q.given {
		if left := len(g.order) - g.spread[piece]; left > 0 && g.owners[piece] == q {
			load += left
			kept = append(kept, piece)
		}
	}
	q.given = kept
	return load
}

// usualSpeed is the mean of what is known.
func (g *Grants) usualSpeed() float64 {
	sum, n := 0.0, 0
	for _, q := range g.order {
		if q.speed > 0 {
			sum, n = sum+q.speed, n+1
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

// passing notes how long a piece took from its first holder to its second.
func (g *Grants) passing(piece int, now time.Duration) {
	switch took := (now - g.landed[piece]).Seconds(); g.spread[piece] {
	case 1:
		g.landed[piece] = now
	case 2:
		if g.passed++; g.passed == 1 {
			g.pass = took
		}
		g.pass += passWeight * (took - g.pass)
	}
}

// stuck reports whether a piece is with one leecher for much longer than it usually
// takes until a second has it. In a large swarm that is long, since the ring is far from
// itself; and nothing is usual as long as most pieces wait.
func (g *Grants) stuck(piece int, now time.Duration) bool {
	if !g.alone(piece) {
		return false
	}
	wait := time.Duration(slowFactor * g.pass * float64(time.Second))
	return now-g.landed[piece] >= max(slowAfter, wait) && g.passed >= g.waiting()
}

// alone reports whether a piece was granted once, and is with that leecher only.
func (g *Grants) alone(piece int) bool {
	return g.spread[piece] <= 1 && g.copies[piece] <= 1 && !g.flying(piece)
}

// waiting returns how many pieces only one leecher has.
func (g *Grants) waiting() (n int) {
	for _, spread := range g.spread {
		if spread == 1 {
			n++
		}
	}
	return n
}

// meter measures once a second how fast leechers pass on what they were granted, and
// takes from the slowest what nobody else has: others waited for it in vain.
func (g *Grants) meter(now time.Duration) {
	dt := (now - g.metered).Seconds()
	if dt < meterSpan.Seconds() {
		return
	}
	g.metered = now
	top := 0.0
	for _, q := range g.order {
		was := q.load
		if q.load = g.weigh(q); q.load > 0 && was == 0 {
			q.loaded = now
		}
		// With nothing to pass on it shows nothing of its speed.
		if was > 0 && (q.load > 0 || q.passed > 0) {
			q.speed += meterWeight * (float64(q.passed)/dt - q.speed)
			q.speed = max(q.speed, 1e-3)
		}
		q.passed = 0
		top = max(top, q.speed)
	}
	for _, q := range g.order {
		if !q.slow && (q.load == 0 || now-q.loaded < slowAfter || q.speed*slowShare >= top) {
			continue
		}
		for _, piece := range q.given {
			if (g.stuck(piece, now) || q.slow && g.spread[piece] <= 1 && g.copies[piece] <= 1) && !slices.Contains(g.rescued, piece) {
				g.rescued = append(g.rescued, piece)
			}
		}
	}
}

// pieceFor returns the next piece that nobody has and this leecher may be given. When
// there is none left, a foreign leecher gets what fewest have: it knows no hunger.
func (g *Grants) pieceFor(q *leecher) (int, bool) {
	if piece, ok := g.fresh(); ok {
		return piece, true
	}
	for i, piece := range g.rescued {
		if !q.have.Has(piece) && g.owners[piece] != q {
			g.rescued = slices.Delete(g.rescued, i, i+1)
			return piece, true
		}
	}
	if q.member {
		return 0, false
	}
	best := -1
	for i := range g.cfg.Pieces {
		if !q.have.Has(i) && !g.Granted(q.peer, i) && (best < 0 || g.spread[i] < g.spread[best]) {
			best = i
		}
	}
	return best, best >= 0
}

// fresh takes the next piece that nobody has out of those that wait.
func (g *Grants) fresh() (int, bool) {
	for i := len(g.pending) - 1; i >= 0; i-- {
		piece := g.pending[i]
		if g.spread[piece] > 0 || g.flying(piece) {
			g.pending = append(g.pending[:i], g.pending[i+1:]...)
			continue
		}
		g.pending = append(g.pending[:i], g.pending[i+1:]...)
		return piece, true
	}
	return 0, false
}
