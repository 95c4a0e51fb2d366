package simtest

import (
	"math/bits"
	"slices"
	"time"
)

// Foreign clients.
const (
	unchokeEvery = 2 * time.Second // a free place is given away
	rankEvery    = 5               // of these, all places are given anew
	places       = 4               // one of them to anybody
	pipeline     = 32              // blocks asked for in advance on a connection
)

// refill asks the other end for more pieces, at random, where one of both is foreign.
func (w *world) refill(e *end) {
	p := e.owner
	if e.closed || e.rev.choking || p.complete() || p.silent {
		return
	}
	each := onesIn(w.full)
	for e.waiting+each <= max(pipeline, each) {
		i := w.random(e)
		if i < 0 {
			if e.waiting == 0 {
				w.endgame(e)
			}
			return
		}
		w.want(e, i)
	}
}

// random returns a piece that may be asked for at the other end and is asked for
// nowhere; -1 if there is none.
func (w *world) random(e *end) int {
	p := e.owner
	n := len(p.have)
	from := w.rng.IntN(n * 64)
	for k := range n + 1 {
		word := (from/64 + k) % n
		v := e.shown[word] &^ p.have[word] &^ p.loading[word]
		if k == 0 {
			v &= ^uint64(0) << (from % 64)
		}
		if v != 0 {
			return word*64 + bits.TrailingZeros64(v)
		}
	}
	return -1
}

// endgame asks an idle holder for half of what another was asked for.
func (w *world) endgame(e *end) {
	p := e.owner
	for i := first(p.loading, 0); i >= 0; i = first(p.loading, i+1) {
		d := p.loads[i]
		if !e.shown.Has(i) || !slices.ContainsFunc(d.parts, func(pt part) bool {
			return pt.e != e && pt.mask != 0 && w.clock.now-pt.since >= stealAfter
		}) {
			continue
		}
		pt := d.part(e)
		if pt == nil {
			d.parts = append(d.parts, part{e: e})
			pt = &d.parts[len(d.parts)-1]
		}
		if w.takeHalf(d, pt) {
			return
		}
	}
}

// choose is a foreign client's choice of whom to serve: those that sent most, and one
// at random. Who is complete serves at random.
func (w *world) choose(p *peer) {
	if p.silent {
		return
	}
	w.clock.after(w.unchokes, event{kind: evUnchoke, p: p})
	anew := p.rounds%rankEvery == 0
	p.rounds++
	var open, others []*end
	for _, e := range p.ends {
		switch {
		case e == nil || e.other == w.origin.peer || e.other.complete() || !interested(e):
			if e != nil && !e.choking {
				w.choke(e)
			}
		case !e.choking && !anew:
			open = append(open, e)
		default:
			others = append(others, e)
		}
	}
	w.rng.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	if anew && !p.complete() {
		slices.SortStableFunc(others, func(a, b *end) int { return int(b.recent - a.recent) })
		if len(others) > places { // the last place is anybody's
			i := places - 1 + w.rng.IntN(len(others)-places+1)
			others[places-1], others[i] = others[i], others[places-1]
		}
	}
	for _, e := range others {
		switch {
		case len(open) < places:
			open = append(open, e)
			if e.choking {
				e.choking = false
				w.unchoked(e.rev)
			}
		case !e.choking:
			w.choke(e)
		}
	}
	if anew {
		for _, e := range p.ends {
			if e != nil {
				e.recent = 0
			}
		}
	}
}

// interested reports whether the other end lacks anything that the owner has.
func interested(e *end) bool {
	for k, v := range e.owner.have {
		if v&^e.other.have[k] != 0 {
			return true
		}
	}
	return false
}

// unchoked is when the other end begins to serve.
func (w *world) unchoked(e *end) { w.refill(e) }

// choke ends serving the other end; what it asked for is forgotten.
func (w *world) choke(e *end) {
	e.choking, e.asks = true, nil
	if e.other.loads != nil {
		w.releaseAll(e.rev)
	}
}
