package simtest

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"handful/swarm/policy"
)

// Times of the node that the simulation follows.
const (
	pulseEvery  = 250 * time.Millisecond // a node's periodic work
	haveHold    = 875 * time.Millisecond // a Have of no urgency waits: a second until it is read
	silentAfter = 7 * time.Second        // until a silent peer's connections are closed
	stealAfter  = 150 * time.Millisecond // until a request is taken from one holder to another
)

// Connections.
const (
	farAnswer = 12 // far peers in a tracker's answer
	farMost   = 24 // far connections of a peer that it does not refuse
)

// world is a run. It is used by one goroutine.
type world struct {
	cfg    Config
	clock  clock
	rng    *rand.Rand
	pieces int
	full   uint64 // all blocks of a piece
	sites  []*site
	peers  []*peer      // all that ever joined
	haves  []policy.Set // of all that were ever made, by id
	alive  []*peer      // those that are there, in no order that matters
	origin *origin
	left   int // peers that are there, or are to come, and are to complete

	near, far, pulse, origins, notice, unchokes, plan *line

	sent      int64 // bytes of payload by all uplinks
	useful    int64 // bytes that somebody lacked
	duplicate int64 // bytes received twice
	bad       int64 // bytes of pieces that were bad
}

// site is a group of peers behind one border.
type site struct {
	index   int
	in, out server
	link    int64 // bit/s
	members []*peer
	inward  int64 // bytes of payload that came in
}

func newWorld(cfg Config) *world {
	w := &world{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x6a09e667f3bcc908)), pieces: cfg.pieces()}
	w.full = ^uint64(0) >> (64 - cfg.Piece/blockSize)
	w.plan = w.clock.line(-1)
	w.near, w.far = w.clock.line(cfg.Near), w.clock.line(cfg.Far)
	w.origins = w.clock.line(pulseEvery + 1)
	w.pulse, w.notice = w.clock.line(pulseEvery), w.clock.line(silentAfter)
	w.unchokes = w.clock.line(unchokeEvery)
	for i := range cfg.Sites {
		s := &site{index: i, link: cfg.Link}
		if cfg.Case == SlowSite && i == 0 {
			s.link = max(cfg.Link/100, 1)
		}
		s.in.line = w.clock.line(cfg.blockTime(s.link))
		s.out.line = s.in.line
		w.sites = append(w.sites, s)
	}
	w.origin = newOrigin(w)
	w.scenario()
	return w
}

// at plans an action; actions are planned in the order of their times.
func (w *world) at(t time.Duration, act func()) {
	w.plan.push(event{at: t, kind: evAction, act: act})
}

// flat says that all are in one site, the origin with them.
func (w *world) flat() bool { return w.cfg.Sites == 1 }

// Run simulates a swarm until everybody who is to complete has, or nothing more comes
// of it. It ends early with the context's cause.
func Run(ctx context.Context, cfg Config) (Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Result{}, err
	}
	w := newWorld(cfg)
	limit := w.horizon()
	for n := 0; w.left > 0; n++ {
		ev, ok := w.clock.next()
		if !ok || w.clock.now > limit {
			break
		}
		w.happen(ev)
		if n&0xffff == 0 && ctx.Err() != nil {
			return Result{}, context.Cause(ctx)
		}
	}
	return w.result(), nil
}

func (w *world) happen(ev event) {
	switch ev.kind {
	case evUplink:
		w.uplinked(ev)
	case evLeave, evEnter:
		w.crossed(ev)
	case evAsk:
		w.asked(ev)
	case evCancel:
		w.cancelled(ev)
	case evHave:
		w.announced(ev)
	case evHungry:
		w.origin.hungry(ev)
	case evGrant:
		w.granted(ev)
	case evOffer:
		w.offered(ev)
	case evPass:
		w.passed(ev)
	case evPulse:
		w.pulsed(ev.p)
	case evOrigin:
		w.origin.pulsed()
	case evUnchoke:
		w.choose(ev.p)
	case evNotice:
		w.remove(ev.p)
	case evAction:
		ev.act()
	}
}

// latency is the line in which a message over a connection waits.
func (w *world) latency(e *end) *line {
	if e.far {
		return w.far
	}
	return w.near
}

// connect joins two peers.
func (w *world) connect(a, b *peer) {
	far := !w.flat() && a.site != b.site
	x := &end{owner: a, other: b, num: policy.Peer(len(a.ends)), far: far}
	y := &end{owner: b, other: a, num: policy.Peer(len(b.ends)), far: far}
	x.rev, y.rev = y, x
	a.ends, b.ends = append(a.ends, x), append(b.ends, y)
	a.others, b.others = append(a.others, int32(b.id)), append(b.others, int32(a.id))
	if a != w.origin.peer && far {
		a.farCount++
		b.farCount++
	}
	w.meet(x)
	w.meet(y)
}

// meet tells one end's owner of the other.
func (w *world) meet(e *end) {
	p, q := e.owner, e.other
	e.choking = p.kind == stranger
	if p == w.origin.peer {
		w.origin.joined(e)
		return
	}
	if q == w.origin.peer {
		p.origin = e
	}
	if p.kind == stranger || q.kind == stranger {
		e.shown = policy.NewSet(w.pieces)
	}
	if p.offers != nil && q.offers != nil && !e.far {
		p.offers.Join(e.num, q.key)
		for i := first(q.have, 0); i >= 0; i = first(q.have, i+1) {
			p.offers.Has(e.num, i)
		}
		defer w.makeOffers(p)
	}
	if p.sight != nil {
		tier, role := policy.Site, policy.Member
		switch {
		case q == w.origin.peer:
			tier, role = policy.Origin, policy.Publisher
		case e.far:
			tier = policy.Far
		}
		if q.kind == stranger {
			role = policy.Foreign
		}
		p.sight.Join(e.num, q.key, tier, role, w.clock.now)
		p.sight.OwnPace(int64(p.rate/8), w.clock.now)
		p.sight.OwnPlace(uint64(p.site.index) + 1)
		if role == policy.Member {
			p.sight.Place(e.num, uint64(q.site.index)+1)
		}
		if role == policy.Member && q.kind != liar { // who lies claims to be quick
			p.sight.Pace(e.num, int64(q.rate/8), w.clock.now)
		}
		if q.kind == liar {
			p.sight.HasSet(e.num, nil, w.clock.now)
		} else if q.count > 0 && q != w.origin.peer { // the origin shows what it grants, nothing else
			p.sight.HasSet(e.num, q.have, w.clock.now)
		}
		w.look(p)
	} else if p.kind == stranger && q != w.origin.peer {
		copy(e.shown, q.have)
		if q.kind == liar {
			fillSet(e.shown, w.pieces)
		}
	}
}

// join lets a peer in: it knows all of its site.
func (w *world) join(p *peer) {
	p.joined = w.clock.now
	w.peers = append(w.peers, p)
	for _, q := range p.site.members {
		w.connect(p, q)
	}
	p.site.members = append(p.site.members, p)
	p.place = len(w.alive)
	w.alive = append(w.alive, p)
}

// introduce connects a peer that joined to others that are far, and to the origin if
// the tracker hands it out.
func (w *world) introduce(p *peer) {
	for tries := 0; p.farCount < farAnswer && tries < 4*farAnswer && len(w.alive) > len(p.site.members); tries++ {
		q := w.alive[w.rng.IntN(len(w.alive))]
		if q.site != p.site && q.farCount < farMost && !q.silent && !p.knows(q) {
			w.connect(p, q)
		}
	}
	w.origin.announced(p)
}

// remove closes all connections of a peer.
func (w *world) remove(p *peer) {
	if p.gone {
		return
	}
	p.gone, p.silent = true, true
	p.leftAt = w.clock.now
	for _, e := range p.ends {
		if e != nil {
			w.close(e)
		}
	}
	p.site.members = slices.DeleteFunc(p.site.members, func(q *peer) bool { return q == p })
	last := w.alive[len(w.alive)-1]
	w.alive[p.place], last.place = last, p.place
	w.alive = w.alive[:len(w.alive)-1]
	p.forget()
	w.origin.replace()
}

// close ends a connection.
func (w *world) close(e *end) {
	if e.closed {
		return
	}
	for _, x := range [2]*end{e, e.rev} {
		p := x.owner
		for _, a := range x.asks {
			p.queued -= onesIn(a.mask)
		}
		x.closed, x.asks = true, nil
		p.ends[x.num], p.others[x.num] = nil, -1
		if p == w.origin.peer {
			w.origin.leave(x)
			continue
		}
		if p.origin == x {
			p.origin = nil
		} else if x.far {
			p.farCount--
		}
	}
	for _, x := range [2]*end{e, e.rev} {
		if p := x.owner; p != w.origin.peer && !p.gone {
			w.releaseAll(x)
			if p.sight != nil {
				p.sight.Leave(x.num, w.clock.now)
				w.look(p)
			}
			if p.offers != nil {
				p.offers.Leave(x.num)
			}
		}
	}
}
