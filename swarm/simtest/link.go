package simtest

import (
	"math"
	"math/bits"
	"time"

	"handful/swarm/policy"
)

// blockSize is what is asked for and sent at a time, in bytes.
const blockSize = 16 << 10

// maxRun is how many blocks of one piece leave for one peer in a row.
const maxRun = 8

// borderWindow is how many blocks of one connection are at the borders between its
// sites, at most: more wait at the sender, as with TCP.
const borderWindow = 4

// end is one end of a connection: what its owner sends to the other, and what it
// knows of it.
type end struct {
	owner, other *peer
	rev          *end
	num          policy.Peer // what the owner calls the other
	far          bool        // across a border
	closed       bool

	// Sending.
	asks     []ask // what the other asked for, oldest first
	queued   bool  // waits for the uplink
	inflight int   // blocks at the borders
	run      int   // blocks of one piece that left in a row
	leaving  stage
	entering stage
	choking  bool // a foreign owner serves the other not now

	// Receiving.
	waiting  int           // blocks asked for
	received int64         // bytes in all
	recent   int64         // bytes since the last choice of whom to serve
	last     time.Duration // when anything came
	active   bool          // in the owner's list of those that sent something lately
	shown    policy.Set    // pieces that may be asked for, where the other may choke or the owner is foreign
}

// ask is a request for some blocks of a piece.
type ask struct {
	piece int32
	mask  uint64
}

// block of a piece on its way.
type block struct {
	piece int32
	index uint8
}

// stage is what of one connection waits at a border.
type stage struct {
	blocks []block
	queued bool
}

// server sends one block at a time, of all connections that have something to send
// in turn: an uplink or a site's border in one direction.
type server struct {
	line  *line // how long a block takes
	busy  bool
	owner *peer    // of an uplink
	given []uint32 // by piece: blocks that an uplink has sent
	turns int
	on    bool // the next turn goes on with a piece
	first ring // connections that have something to send across a border: every other turn is theirs
	rest  ring // all others
	other bool // the turn after this one is not the first ones'
}

// ring is a queue of connections, each in it once.
type ring struct {
	queue []*end
	head  int
	n     int
}

func (s *server) push(e *end) {
	if e.far {
		s.first.push(e)
	} else {
		s.rest.push(e)
	}
}

func (s *server) pop() *end {
	one, two := &s.rest, &s.first
	if s.other = !s.other; s.other {
		one, two = two, one
	}
	if e := one.pop(); e != nil {
		return e
	}
	return two.pop()
}

func (s *ring) push(e *end) {
	if s.n == len(s.queue) {
		queue := make([]*end, max(8, 2*len(s.queue)))
		for i := range s.n {
			queue[i] = s.queue[(s.head+i)&(len(s.queue)-1)]
		}
		s.queue, s.head = queue, 0
	}
	s.queue[(s.head+s.n)&(len(s.queue)-1)] = e
	s.n++
}

// pushFront lets a connection be the next one.
func (s *ring) pushFront(e *end) {
	s.push(e)
	mask := len(s.queue) - 1
	s.queue[(s.head+s.n-1)&mask] = nil
	s.head = (s.head - 1) & mask
	s.queue[s.head] = e
}

func (s *ring) pop() *end {
	if s.n == 0 {
		return nil
	}
	e := s.queue[s.head]
	s.queue[s.head] = nil
	s.head = (s.head + 1) & (len(s.queue) - 1)
	s.n--
	return e
}

// offer queues a connection at its owner's uplink if it has anything to send.
func (w *world) offer(e *end) {
	if e.queued || e.closed || len(e.asks) == 0 || e.far && e.inflight >= borderWindow {
		return
	}
	e.queued = true
	up := &e.owner.up
	up.push(e)
	if !up.busy {
		w.upload(up)
	}
}

// order lets a piece go next of which no copy was sent, every third turn.
func (s *server) order(pieces int, whole uint32) {
	if s.given == nil {
		s.given = make([]uint32, pieces)
	}
	if s.on {
		s.on = false
		return
	}
	if s.turns++; s.turns%3 != 0 {
		return
	}
	s.rest.lead(func(e *end) (least uint32) {
		least = math.MaxUint32
		if e.closed {
			return least
		}
		for i := range e.asks {
			if n := min(1, s.given[e.asks[i].piece]/whole); n < least {
				least = n
				if n == 0 && i > 0 {
					a := e.asks[i]
					copy(e.asks[1:i+1], e.asks[:i])
					e.asks[0] = a
				}
			}
		}
		return least
	})
}

// lead puts the connection with the least weight first.
func (s *ring) lead(weight func(*end) uint32) {
	if s.n < 2 {
		return
	}
	mask := len(s.queue) - 1
	best, least := 0, uint32(math.MaxUint32)
	for i := range s.n {
		if n := weight(s.queue[(s.head+i)&mask]); n < least {
			best, least = i, n
		}
	}
	e := s.queue[(s.head+best)&mask]
	for i := best; i > 0; i-- {
		s.queue[(s.head+i)&mask] = s.queue[(s.head+i-1)&mask]
	}
	s.queue[s.head] = e
}

// upload begins to send the next block of an uplink.
func (w *world) upload(up *server) {
	up.busy = false
	up.order(w.pieces, uint32(onesIn(w.full)))
	for e := up.pop(); e != nil; e = up.pop() {
		e.queued = false
		if e.closed || e.owner.silent || len(e.asks) == 0 {
			continue
		}
		a := &e.asks[0]
		i := bits.TrailingZeros64(a.mask)
		piece := a.piece
		up.given[piece]++
		e.owner.queued--
		if a.mask &= a.mask - 1; a.mask == 0 {
			e.asks = e.asks[:copy(e.asks, e.asks[1:])]
		}
		if e.far {
			e.inflight++
		}
		up.busy = true
		w.clock.after(up.line, event{kind: evUplink, e: e, piece: piece, mask: uint64(i)})
		if len(e.asks) > 0 && !(e.far && e.inflight >= borderWindow) {
			e.queued = true
			if e.run++; e.asks[0].piece == piece && e.run < maxRun && !e.far {
				up.rest.pushFront(e)
				up.on = true
				return
			}
			up.push(e)
		}
		e.run = 0
		return
	}
}

// uplinked is when a block has left the sender's uplink.
func (w *world) uplinked(ev event) {
	e := ev.e
	b := block{piece: ev.piece, index: uint8(ev.mask)}
	p := e.owner
	if !p.silent {
		w.sent += blockSize
		if p == w.origin.peer {
			w.origin.sent(e, w.clock.now)
		}
		switch {
		case !e.far:
			w.deliver(e, b)
		case p.site != nil:
			w.enterStage(&p.site.out, e, &e.leaving, b, evLeave)
		default:
			w.enterStage(&e.other.site.in, e, &e.entering, b, evEnter)
		}
	}
	w.upload(&p.up)
	if !p.up.busy {
		w.flush(p)
	}
	w.makeOffers(p)
}

// enterStage queues a block at a border.
func (w *world) enterStage(s *server, e *end, st *stage, b block, then kind) {
	st.blocks = append(st.blocks, b)
	if !st.queued {
		st.queued = true
		s.push(e)
	}
	if !s.busy {
		w.cross(s, then)
	}
}

// cross begins to carry the next block over a border.
func (w *world) cross(s *server, then kind) {
	e := s.pop()
	if s.busy = e != nil; e == nil {
		return
	}
	st := &e.leaving
	if then == evEnter {
		st = &e.entering
	}
	b := st.blocks[0]
	st.blocks = st.blocks[:copy(st.blocks, st.blocks[1:])]
	if st.queued = len(st.blocks) > 0; st.queued {
		s.push(e)
	}
	w.clock.after(s.line, event{kind: then, e: e, s: s, piece: b.piece, mask: uint64(b.index)})
}

// crossed is when a block has passed a border.
func (w *world) crossed(ev event) {
	e, b := ev.e, block{piece: ev.piece, index: uint8(ev.mask)}
	if ev.kind == evLeave && e.other.site != nil {
		w.enterStage(&e.other.site.in, e, &e.entering, b, evEnter)
	} else {
		if to := e.other.site; to != nil {
			to.inward += blockSize
		}
		e.inflight--
		w.deliver(e, b)
		w.offer(e)
	}
	w.cross(ev.s, ev.kind)
}

// asked is when a request arrives at the sender.
func (w *world) asked(ev event) {
	e := ev.e
	if e.closed || e.owner.silent || e.choking {
		return
	}
	e.asks = append(e.asks, ask{piece: ev.piece, mask: ev.mask})
	w.wanted(e, onesIn(ev.mask))
	w.offer(e)
}

// cancelled is when a cancel arrives at the sender.
func (w *world) cancelled(ev event) {
	e := ev.e
	for i := 0; i < len(e.asks); i++ {
		if a := &e.asks[i]; a.piece == ev.piece {
			w.wanted(e, -onesIn(a.mask&ev.mask))
			if a.mask &^= ev.mask; a.mask == 0 {
				e.asks = append(e.asks[:i], e.asks[i+1:]...)
				i--
			}
		}
	}
}
