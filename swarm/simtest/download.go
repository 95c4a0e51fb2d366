package simtest

import (
	"math/bits"
	"slices"
	"time"

	"handful/swarm/policy"
)

// download is a piece under way.
type download struct {
	piece int32
	multi bool   // in its peer's list of such
	ended bool   // whole, or nobody is asked any more
	got   uint64 // blocks that are here
	parts []part
	bad   *peer // a liar that sent some of it
}

// part is what of a piece one holder was asked for.
type part struct {
	e     *end
	mask  uint64 // blocks asked for that have not come
	since time.Duration
}

func (d *download) part(e *end) *part {
	for i := range d.parts {
		if d.parts[i].e == e {
			return &d.parts[i]
		}
	}
	return nil
}

// free returns the blocks that nobody is asked for.
func (d *download) free(full uint64) uint64 {
	m := full &^ d.got
	for i := range d.parts {
		m &^= d.parts[i].mask
	}
	return m
}

// want asks a holder for a piece, as far as nobody else is asked for it.
func (w *world) want(e *end, piece int) {
	p := e.owner
	if p.have.Has(piece) {
		return
	}
	d := p.loads[piece]
	if d == nil {
		d = &download{piece: int32(piece)}
		p.loads[piece] = d
	}
	p.loading.Add(piece)
	if d.part(e) != nil {
		return
	}
	d.parts = append(d.parts, part{e: e})
	if free := d.free(w.full); free != 0 {
		w.assign(d, &d.parts[len(d.parts)-1], free)
		return
	}
	if !d.multi {
		d.multi = true
		p.multi = append(p.multi, d)
	}
	w.steal(e)
}

func (w *world) assign(d *download, pt *part, mask uint64) {
	pt.mask |= mask
	pt.since = w.clock.now
	pt.e.waiting += onesIn(mask)
	w.clock.after(w.latency(pt.e), event{kind: evAsk, e: pt.e.rev, piece: d.piece, mask: mask})
}

func (w *world) cancel(d *download, pt *part, mask uint64) {
	if mask == 0 {
		return
	}
	pt.mask &^= mask
	pt.e.waiting -= onesIn(mask)
	if !pt.e.closed {
		w.clock.after(w.latency(pt.e), event{kind: evCancel, e: pt.e.rev, piece: d.piece, mask: mask})
	}
}

// steal lets a holder that has nothing to send take over half of what another was
// asked for, of a piece that is shown at both.
func (w *world) steal(e *end) {
	if e.waiting > 0 || e.closed || e.rev.choking {
		return
	}
	p := e.owner
	p.multi = slices.DeleteFunc(p.multi, func(d *download) bool { return d.ended })
	for _, d := range p.multi {
		if mine := d.part(e); mine != nil && w.takeHalf(d, mine) {
			return
		}
	}
}

// takeHalf moves half of the blocks that the most loaded holder was asked for.
func (w *world) takeHalf(d *download, mine *part) bool {
	if free := d.free(w.full); free != 0 {
		w.assign(d, mine, free)
		return true
	}
	var victim *part
	for i := range d.parts {
		pt := &d.parts[i]
		if pt.e != mine.e && pt.mask != 0 && w.clock.now-pt.since >= stealAfter &&
			(victim == nil || onesIn(pt.mask) > onesIn(victim.mask)) {
			victim = pt
		}
	}
	if victim == nil {
		return false
	}
	var take uint64
	for m, n := victim.mask, (onesIn(victim.mask)+1)/2; n > 0; n-- {
		top := uint64(1) << (63 - bits.LeadingZeros64(m))
		take, m = take|top, m&^top
	}
	w.cancel(d, victim, take)
	w.assign(d, mine, take)
	return true
}

// stealDue looks for idle holders of pieces that others are asked for.
func (w *world) stealDue(p *peer) {
	p.multi = slices.DeleteFunc(p.multi, func(d *download) bool { return d.ended })
	for _, d := range p.multi {
		for i := range d.parts {
			if d.parts[i].e.waiting == 0 {
				w.steal(d.parts[i].e)
			}
		}
	}
}

// deliver is when a block arrives that the owner of e sent.
func (w *world) deliver(e *end, b block) {
	r, re := e.other, e.rev
	if e.closed || r.silent {
		w.duplicate += blockSize
		return
	}
	re.received += blockSize
	re.recent += blockSize
	re.last = w.clock.now
	if !re.active && r.sight != nil {
		re.active = true
		r.senders = append(r.senders, re)
	}
	if r.have.Has(int(b.piece)) || r.loads[b.piece] == nil {
		w.duplicate += blockSize
		return
	}
	d := r.loads[b.piece]
	bit := uint64(1) << b.index
	if pt := d.part(re); pt != nil && pt.mask&bit != 0 {
		pt.mask &^= bit
		re.waiting--
	}
	if d.got&bit != 0 {
		w.duplicate += blockSize
		return
	}
	d.got |= bit
	w.useful += blockSize
	if e.owner.kind == liar {
		d.bad = e.owner
	}
	for i := range d.parts {
		w.cancel(d, &d.parts[i], d.parts[i].mask&bit)
	}
	if d.got == w.full {
		w.whole(re, d)
	}
	switch {
	case r.complete():
	case r.kind == stranger || e.owner.kind == stranger:
		w.refill(re)
	case re.waiting == 0 && len(r.multi) > 0:
		w.steal(re)
	}
}

// discard ends a download.
func (w *world) discard(p *peer, d *download) {
	for i := range d.parts {
		w.cancel(d, &d.parts[i], d.parts[i].mask)
	}
	d.parts, d.ended = nil, true
	p.loads[d.piece] = nil
	p.loading.Remove(int(d.piece))
}

// release takes a holder out of a download; another that is asked for some of it is
// asked for the rest.
func (w *world) release(p *peer, d *download, e *end) {
	i := slices.IndexFunc(d.parts, func(pt part) bool { return pt.e == e })
	if i < 0 {
		return
	}
	w.cancel(d, &d.parts[i], d.parts[i].mask)
	d.parts = slices.Delete(d.parts, i, i+1)
	w.retry(p, d)
}

// retry asks somebody a piece is shown at for what nobody is asked for.
func (w *world) retry(p *peer, d *download) {
	if len(d.parts) == 0 {
		p.loading.Remove(int(d.piece))
		if d.got == 0 {
			w.discard(p, d)
		}
		return
	}
	best := 0
	for i := range d.parts {
		if d.parts[i].e.waiting < d.parts[best].e.waiting {
			best = i
		}
	}
	if free := d.free(w.full); free != 0 {
		w.assign(d, &d.parts[best], free)
	}
}

// releaseAll takes a holder out of all downloads.
func (w *world) releaseAll(e *end) {
	for i := first(e.owner.loading, 0); i >= 0; i = first(e.owner.loading, i+1) {
		w.release(e.owner, e.owner.loads[i], e)
	}
}

// first returns the first number from i on in a set; -1 if there is none.
func first(s policy.Set, i int) int {
	for k := i / 64; k < len(s); k++ {
		v := s[k]
		if k == i/64 {
			v &= ^uint64(0) << (i % 64)
		}
		if v != 0 {
			return k*64 + bits.TrailingZeros64(v)
		}
	}
	return -1
}
