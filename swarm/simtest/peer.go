package simtest

import (
	"math/bits"
	"time"

	"handful/swarm/policy"
)

// What a peer is.
const (
	member   = iota // a node with our policy
	stranger        // a foreign client
	liar            // claims everything, and what it sends is bad
)

// peer is a leecher, or the origin.
type peer struct {
	id       int
	site     *site // nil: the origin, unless all is flat
	kind     int
	key      policy.Key
	rate     int64
	sight    *policy.Sight  // nil: a stranger, a liar, the origin, or complete
	offers   *policy.Offers // nil: a stranger, a liar, the origin
	queued   int            // blocks that others asked for
	have     policy.Set
	count    int
	ends     []*end  // by number; nil where closed
	others   []int32 // by number: their ids; negative where closed
	inbox    []heardHave
	farCount int
	origin   *end
	up       server
	place    int // in world.alive

	loads   []*download // by piece
	loading policy.Set  // pieces that somebody was asked for
	multi   []*download // shown at several holders
	held    []heldHave  // oldest first
	senders []*end      // that sent something lately
	rounds  int         // choices of whom to serve

	silent bool // does and hears nothing
	gone   bool // and everybody knows
	exempt bool // is not to complete
	joined time.Duration
	doneAt time.Duration
	leftAt time.Duration
}

// heardHave is a Have that arrived and is read at the next pulse.
type heardHave struct{ num, piece int32 }

type heldHave struct {
	piece int32
	since time.Duration
}

// newPeer returns a leecher with nothing.
func (w *world) newPeer(s *site, kind int) *peer {
	p := &peer{id: len(w.haves), site: s, kind: kind, key: policy.Key(w.rng.Uint64()), rate: w.cfg.Rate,
		have: policy.NewSet(w.pieces)}
	p.up.owner = p
	w.haves = append(w.haves, p.have)
	p.up.line = w.clock.line(w.cfg.blockTime(p.rate))
	if kind == liar {
		fillSet(p.have, w.pieces)
		p.count, p.exempt = w.pieces, true
		return p
	}
	p.loads, p.loading = make([]*download, w.pieces), policy.NewSet(w.pieces)
	if kind == member {
		p.sight = policy.NewSight(policy.SightConfig{Pieces: w.pieces, PieceLength: w.cfg.Piece, Self: p.key,
			Start: w.rng.IntN(w.pieces), Plain: w.cfg.Plain})
		p.offers = policy.NewOffers(p.key, w.pieces, w.cfg.Piece)
	}
	return p
}

func fillSet(s policy.Set, n int) {
	for i := range n {
		s.Add(i)
	}
}

// knows reports whether a peer is connected to another that is far.
func (p *peer) knows(q *peer) bool {
	if len(q.ends) < len(p.ends) {
		p, q = q, p
	}
	for i := len(p.ends) - 1; i >= 0; i-- {
		if e := p.ends[i]; e != nil && e.other == q {
			return true
		}
	}
	return false
}

func (p *peer) complete() bool { return p.doneAt > 0 }

// forget frees what only an incomplete peer needs.
func (p *peer) forget() {
	p.sight, p.loads, p.loading, p.multi, p.senders, p.inbox = nil, nil, nil, nil, nil, nil
}

// look carries out what Sight decided.
func (w *world) look(p *peer) {
	for _, show := range p.sight.Take() {
		e := p.ends[show.Peer]
		if e == nil {
			continue
		}
		if e.other.kind == stranger {
			e.shown.Add(show.Piece)
			w.refill(e)
			continue
		}
		w.want(e, show.Piece)
	}
}

// whole is when all blocks of a piece are here, the last one from e.
func (w *world) whole(e *end, d *download) {
	p, piece := e.owner, int(d.piece)
	if d.bad != nil {
		w.bad += w.cfg.Piece
		w.useful -= w.cfg.Piece
		from := d.bad
		d.bad, d.got = nil, 0
		for _, x := range p.ends { // it is asked again of others it is shown at
			if x != nil && x.other == from {
				w.close(x)
				break
			}
		}
		if p.loads[d.piece] == d {
			w.retry(p, d)
		}
		return
	}
	p.have.Add(piece)
	p.count++
	w.discard(p, d)
	urgent := e.far || e.other == w.origin.peer || p.kind == stranger
	if urgent {
		w.clock.after(w.near, event{kind: evHave, p: p, piece: d.piece})
		if !w.flat() {
			w.clock.after(w.far, event{kind: evHave, p: p, piece: d.piece, far: true})
		}
	} else {
		p.held = append(p.held, heldHave{d.piece, w.clock.now})
	}
	if p.sight != nil {
		p.sight.Got(piece, w.clock.now)
		w.look(p)
	}
	if !urgent && !p.up.busy {
		w.flush(p)
	}
	if p.offers != nil {
		p.offers.Got(piece)
		w.makeOffers(p)
	}
	if p.count == w.pieces {
		p.doneAt = w.clock.now
		p.forget()
		if !p.exempt {
			w.left--
		}
	}
}

// announced is when urgent Haves arrive.
func (w *world) announced(ev event) {
	p := ev.p
	if p.silent {
		return
	}
	for _, e := range p.ends {
		if e != nil && e.far == ev.far && w.hear(e.rev, int(ev.piece)) {
			w.look(e.other)
		}
	}
}

// hear is when a Have arrives at an end's owner. It reports whether Sight may have
// something to show.
func (w *world) hear(e *end, piece int) bool {
	q := e.owner
	if q.offers != nil {
		q.offers.Has(e.num, piece)
	}
	switch {
	case q == w.origin.peer:
		w.origin.has(e, piece)
	case q.silent || q.complete() || q.kind == liar:
	case q.kind == stranger:
		e.shown.Add(piece)
		w.refill(e)
	case !q.have.Has(piece):
		q.sight.Has(e.num, piece, w.clock.now)
		return true
	}
	return false
}

// pulsed is a peer's periodic work.
func (w *world) pulsed(p *peer) {
	if p.silent {
		return
	}
	now := w.clock.now
	w.flush(p)
	if p.sight == nil {
		if len(p.held) > 0 {
			w.clock.after(w.pulse, event{kind: evPulse, p: p})
		}
		return
	}
	w.read(p)
	w.tell(p)
	p.sight.Tick(now, false)
	w.look(p)
	if p.origin != nil {
		if pieces := p.sight.Hungry(now); len(pieces) > 0 {
			for _, i := range pieces {
				w.clock.after(w.latency(p.origin), event{kind: evHungry, e: p.origin.rev, piece: int32(i)})
			}
			w.clock.after(w.latency(p.origin), event{kind: evHungry, e: p.origin.rev, piece: -1})
		}
	}
	w.stealDue(p)
	w.clock.after(w.pulse, event{kind: evPulse, p: p})
}

// tell lets Sight know how much came from whom.
func (w *world) tell(p *peer) {
	kept := p.senders[:0]
	for _, e := range p.senders {
		if e.closed {
			continue
		}
		p.sight.Received(e.num, e.received, w.clock.now)
		if e.active = w.clock.now-e.last < 4*time.Second; e.active {
			kept = append(kept, e)
		}
	}
	clear(p.senders[len(kept):])
	p.senders = kept
}

// flush sends the Haves that have waited for long enough to those who lack the
// pieces still.
func (w *world) flush(p *peer) {
	due := 0
	idle := !p.up.busy
	for due < len(p.held) && (idle || w.clock.now-p.held[due].since >= haveHold) {
		due++
	}
	if due == 0 {
		return
	}
	for i, id := range p.others {
		if id < 0 {
			continue
		}
		have, heard := w.haves[id], false
		for _, h := range p.held[:due] {
			if id != originID && have.Has(int(h.piece)) {
				continue
			}
			e := p.ends[i]
			if q := e.other; !idle && q.sight != nil {
				q.inbox = append(q.inbox, heardHave{num: int32(e.rev.num), piece: h.piece})
			} else {
				heard = w.hear(e.rev, int(h.piece)) || heard
			}
		}
		if q := p.ends[i].other; heard && q.sight != nil {
			w.look(q)
		}
	}
	p.held = p.held[:copy(p.held, p.held[due:])]
}

// read takes in the Haves that came since the last time, all at once.
func (w *world) read(p *peer) {
	for _, h := range p.inbox {
		if p.ends[h.num] != nil && !p.have.Has(int(h.piece)) {
			p.offers.Has(policy.Peer(h.num), int(h.piece))
			p.sight.Has(policy.Peer(h.num), int(h.piece), w.clock.now)
		}
	}
	p.inbox = p.inbox[:0]
}

func onesIn(mask uint64) int { return bits.OnesCount64(mask) }
