package simtest

import (
	"math"
	"time"

	"handful/swarm/policy"
)

// originID is the id of the origin as a peer.
const originID = 0

// origin is the publisher's seed.
type origin struct {
	w      *world
	peer   *peer
	grants *policy.Grants
	asks   []int // of the hunger that is arriving

	bytes    int64
	lastSent []time.Duration // by number of its end; 0: nothing yet
	served   int             // different leechers
	most     int             // of them in any one second
	handed   []int           // by site: peers that the tracker handed it to and that are connected
	members  int

	rate     float64 // bytes/s
	metered  int64
	meterSet time.Duration
}

func newOrigin(w *world) *origin {
	o := &origin{w: w, handed: make([]int, w.cfg.Sites)}
	o.peer = &peer{id: originID, have: policy.NewSet(w.pieces), count: w.pieces, rate: w.cfg.OriginRate, doneAt: 1}
	fillSet(o.peer.have, w.pieces)
	w.haves = append(w.haves, o.peer.have)
	if w.flat() {
		o.peer.site = w.sites[0]
	}
	o.peer.up.line = w.clock.line(w.cfg.blockTime(w.cfg.OriginRate))
	o.grants = policy.NewGrants(policy.Config{Pieces: w.pieces, PieceLength: w.cfg.Piece, Handful: w.cfg.Handful,
		Order: w.rng.Perm(w.pieces)})
	w.clock.after(w.origins, event{kind: evOrigin})
	return o
}

// announced is the tracker's decision whether a newcomer learns the origin: the first
// of as many sites as possible do, then nobody.
func (o *origin) announced(p *peer) {
	if o.members >= o.w.cfg.Ring {
		return
	}
	share := (o.w.cfg.Ring + o.w.cfg.Sites - 1) / o.w.cfg.Sites
	if o.handed[p.site.index] < share {
		o.w.connect(p, o.peer)
	}
}

// replace hands the origin to another when one of those that knew it is gone.
func (o *origin) replace() {
	w := o.w
	for tries := 0; o.members < w.cfg.Ring && tries < 16 && len(w.alive) > 0; tries++ {
		if p := w.alive[w.rng.IntN(len(w.alive))]; p.origin == nil && !p.silent && !p.complete() {
			o.announced(p)
		}
	}
}

func (o *origin) joined(e *end) {
	o.members++
	o.handed[e.other.site.index]++
	o.lastSent = append(o.lastSent, 0)
	o.grants.Join(e.num, policy.Leecher{Have: e.other.have, Member: e.other.kind != stranger,
		Near: !e.far, Group: uint64(e.other.site.index), Key: e.other.key}, o.w.clock.now)
	if e.other.kind == member {
		o.grants.Pace(e.num, int64(e.other.rate/8))
	}
}

func (o *origin) leave(e *end) {
	o.members--
	o.handed[e.other.site.index]--
	o.grants.Leave(e.num)
}

func (o *origin) has(e *end, piece int) {
	o.grants.Have(e.num, piece, o.w.clock.now)
	o.give()
}

// hungry collects what a leecher asks for; -1 ends it.
func (o *origin) hungry(ev event) {
	if ev.piece >= 0 {
		o.asks = append(o.asks, int(ev.piece))
		return
	}
	if !ev.e.closed {
		o.grants.Hungry(ev.e.num, o.asks)
	}
	o.asks = o.asks[:0]
}

func (o *origin) pulsed() {
	now := o.w.clock.now
	dt := (now - o.meterSet).Seconds()
	o.rate += (1 - math.Exp(-dt/2)) * (float64(o.bytes-o.metered)/dt - o.rate)
	o.metered, o.meterSet = o.bytes, now
	o.give()
	o.w.clock.after(o.w.origins, event{kind: evOrigin})
}

// give grants what is to be granted now.
func (o *origin) give() {
	for _, g := range o.grants.Next(o.w.clock.now, policy.Uplink{Rate: o.rate, Idle: !o.peer.up.busy}) {
		if e := o.peer.ends[g.Peer]; e != nil {
			o.w.clock.after(o.w.latency(e), event{kind: evGrant, e: e.rev, piece: int32(g.Piece)})
		}
	}
}

// granted is when a grant arrives.
func (w *world) granted(ev event) {
	e := ev.e
	p := e.owner
	switch {
	case e.closed || p.silent:
	case p.kind == stranger && !p.complete():
		e.shown.Add(int(ev.piece))
		w.refill(e)
	case p.sight != nil:
		p.sight.Grant(e.num, []int{int(ev.piece)}, w.clock.now)
		w.look(p)
	}
}

// sent counts a block that left.
func (o *origin) sent(e *end, now time.Duration) {
	o.bytes += blockSize
	o.grants.Sent(e.num, now)
	if o.lastSent[e.num] == 0 {
		o.served++
	}
	o.lastSent[e.num] = now
	n := 0
	for _, at := range o.lastSent {
		if at > 0 && now-at < time.Second {
			n++
		}
	}
	o.most = max(o.most, n)
}
