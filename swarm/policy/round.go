package policy

import (
	"slices"
	"time"
)

// One round of grants: what is given now.

// coming reports whether a piece is on its way to somebody who keeps up.
func (g *Grants) coming(piece int, r *round) bool {
	return slices.ContainsFunc(g.flights, func(f flight) bool { return f.Piece == piece && r.now-f.since < r.late })
}

// Uplink is what the origin knows of its own line.
type Uplink struct {
	Rate float64 // measured upload rate in bytes a second; 0 when unknown
	Idle bool    // nothing waits to be sent, whatever was granted
}

// Next returns the grants to give now.
func (g *Grants) Next(now time.Duration, up Uplink) (out []Grant) {
	r := g.round(now, up.Rate)
	if up.Idle && len(g.flights) < maxTransfers*max(r.total, minTransfer) {
		r.room = max(r.room, minEach) // what was granted takes its time to be asked for
	}
	g.expire(now, r.life)
	g.meter(now)
	g.endTurn(&r)
	for r.room > 0 {
		grant, ok := g.feed(&r)
		if !ok {
			if grant, ok = g.pick(&r); !ok {
				if g.renew(&r) {
					continue
				}
				break
			}
		}
		out = append(out, g.give(grant, &r))
	}
	return out
}

// renew makes room in a ring that is of no more use: pieces wait, and everybody in it
// is complete or keeps grants to itself. It reports whether somebody new came in.
func (g *Grants) renew(r *round) bool {
	if len(g.pending) == 0 || g.ring == len(g.order) {
		return false
	}
	var useless *leecher
	for _, q := range g.order {
		switch {
		case !q.ring:
		case q.count >= g.cfg.Pieces || q.lagging(r):
			useless = q
		default:
			return false
		}
	}
	fresh := func(q *leecher) bool { return !q.ring && q.count < g.cfg.Pieces }
	if useless == nil && g.ring > 0 || !slices.ContainsFunc(g.order, fresh) {
		return false
	}
	if useless != nil {
		useless.ring = false
		g.ring--
	}
	g.recruit(useless)
	return true
}

// round is what holds during one call of Next.
type round struct {
	now   time.Duration
	late  time.Duration // age from which a grant holds up nobody else
	life  time.Duration // age at which it is given up
	total int           // grants that keep the line busy
	room  int           // grants that may be given still
	slots int           // leechers that may be begun to be served
	each  int           // grants in flight to one leecher

	crowded bool // there are more leechers than may be served at a time
	ending  bool // so little waits that no more turns are needed
}

func (g *Grants) round(now time.Duration, rate float64) round {
	pl := float64(max(g.cfg.PieceLength, 1))
	n := g.Leechers()
	inTransfer := min(max(minTransferBytes, rate*slowSpan.Seconds()), slowTransfer)
	span, least := transferSpan, max(minTransfer, int(inTransfer/pl))
	if n <= 1 {
		span = soloSpan
	}
	total := max(least, int(rate*span.Seconds()/pl))
	r := round{now: now, late: minLate, life: minGrantLife, total: total, slots: g.cfg.Handful}
	if rate > 0 {
		expected := time.Duration(float64(max(total, len(g.flights))) * pl / rate * float64(time.Second))
		r.late, r.life = max(r.late, 4*expected), max(r.life, 8*expected)
	}
	r.room = total
	for _, f := range g.flights {
		if now-f.since < r.late {
			r.room--
		}
	}
	for _, q := range g.order {
		if q.active(&r) {
			r.slots--
		}
	}
	r.crowded = n > g.cfg.Handful
	r.ending = float64(len(g.pending))*pl <= rate*turnSpan.Seconds()
	switch r.each = total; {
	case rate == 0:
		r.each = minEach // others may join in a moment
	case n > 1 && !r.crowded:
		r.each = max(minEach, (total+n-1)/n)
	}
	return r
}

// endTurn takes the turn from the leecher that has had it for longest, when it is time
// that a place among the handful becomes free. One keeps its turn.
func (g *Grants) endTurn(r *round) {
	if !r.crowded || r.now-g.turned < turnSpan/time.Duration(max(1, g.cfg.Handful-1)) {
		return
	}
	var oldest *leecher
	n := 0
	for _, q := range g.order {
		if q.turn = q.turn && q.active(r); !q.turn {
			continue
		}
		if n++; oldest == nil || q.began < oldest.began {
			oldest = q
		}
	}
	if n > 1 {
		oldest.turn = false
		g.turned = r.now
	}
}

// active reports whether the leecher is being sent data, or was a second ago. One that
// does not take what it was granted is not.
func (q *leecher) active(r *round) bool {
	return q.open > 0 && !q.lagging(r) || q.served && r.now-q.sent < servedSpan
}

// lagging reports whether the leecher keeps a grant for so long that nobody waits for
// it.
func (q *leecher) lagging(r *round) bool { return q.open > 0 && r.now-q.oldest >= r.late }

func (g *Grants) give(grant Grant, r *round) Grant {
	q := g.peers[grant.Peer]
	if !q.active(r) {
		r.slots--
		q.began, q.turn = r.now, true
	}
	if q.open == 0 {
		q.oldest = r.now
	}
	q.open++
	q.given = append(q.given, grant.Piece)
	g.owners[grant.Piece] = q
	g.record.grant(grant, g.copies[grant.Piece])
	g.copies[grant.Piece]++
	g.flights = append(g.flights, flight{Grant: grant, since: r.now})
	r.room--
	return grant
}

// expire gives up grants that nobody took: the leecher may be slow, have got the
// piece elsewhere unheard, or be gone without a word.
func (g *Grants) expire(now, life time.Duration) {
	for _, f := range g.land(func(f flight) bool { return now-f.since >= life }) {
		// Not next, but after what is already waiting: the same leecher may still be
		// at it.
		g.again(f.Piece, false)
	}
}

// feed grants what somebody hungers for. It goes to who asked: perhaps that leecher
// reaches nobody else.
func (g *Grants) feed(r *round) (Grant, bool) {
	for i := 0; i < len(g.hungry); i++ {
		ask := g.hungry[i]
		q := g.peers[ask.Peer]
		if q == nil || q.have.Has(ask.Piece) || g.coming(ask.Piece, r) {
			g.hungry = slices.Delete(g.hungry, i, i+1)
			i--
			continue
		}
		if q.open >= minEach || !q.active(r) && r.slots <= 0 {
			continue // later
		}
		g.hungry = slices.Delete(g.hungry, i, i+1)
		if g.spread[ask.Piece] > 0 {
			// Somebody has it, and it may be on its way. A piece that nobody has stills the
			// hunger as well, and costs no second copy.
			if piece, ok := g.fresh(); ok {
				return Grant{Peer: ask.Peer, Piece: piece}, true
			}
		}
		g.pending = slices.DeleteFunc(g.pending, func(p int) bool { return p == ask.Piece })
		return ask, true
	}
	return Grant{}, false
}
