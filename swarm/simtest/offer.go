package simtest

import (
	"handful/swarm/policy"
)

// makeOffers offers what there is room for on a peer's uplink.
func (w *world) makeOffers(p *peer) {
	if p.offers == nil || p.silent || p.gone {
		return
	}
	ahead := p.offers.Ahead(float64(p.rate) / 8)
	room := ahead - int64(p.queued)*blockSize - p.offers.Due()
	for _, o := range p.offers.Next(w.clock.now, room) {
		if e := p.ends[o.Peer]; e != nil {
			w.clock.after(w.near, event{kind: evOffer, e: e.rev, piece: int32(o.Piece)})
		}
	}
}

// offered is when an offer arrives.
func (w *world) offered(ev event) {
	e := ev.e
	p := e.owner
	if e.closed || p.silent {
		return
	}
	if p.sight != nil && p.sight.Offered(e.num, int(ev.piece), w.clock.now) {
		w.look(p)
		return
	}
	w.clock.after(w.near, event{kind: evPass, e: e.rev, piece: ev.piece})
}

// passed is when a peer wants nothing for an offer.
func (w *world) passed(ev event) {
	if p := ev.e.owner; !ev.e.closed && p.offers != nil {
		p.offers.Passed(ev.e.num, int(ev.piece), w.clock.now)
		w.makeOffers(p)
	}
}

// wanted notes that somebody asked for blocks.
func (w *world) wanted(e *end, blocks int) {
	p := e.owner
	p.queued += blocks
	if p.offers != nil && blocks > 0 {
		p.offers.Asked(policy.Peer(e.num), int64(blocks)*blockSize, w.clock.now)
	}
}
