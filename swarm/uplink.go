package swarm

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The uplink decides when blocks leave. A block that is written early only waits
// elsewhere: in the socket, or in front of the line, where no Cancel reaches it and
// every small message stands behind it. So only as much is written as the line
// carries in some tens of milliseconds, and the rest waits here, a block of each
// connection in turn.

// class says which line a connection uses, and which limits it falls under.
type class uint32

const (
	classWide  class = iota // beyond the link; unknown peers too
	classLocal              // this host and the link
	numClasses
)

const (
	// ownShare is how many bytes of one connection may wait in its socket unsent.
	ownShare = 48 << 10
	// stuckAfter is how long nobody may acknowledge anything until what is
	// outstanding no longer counts: it waits for the peers and not for the line.
	stuckAfter = 2 * time.Second
	// slowWord is how long at least a peer may take to acknowledge what it was sent before
	// that leaves half of the budget to the others.
	slowWord = 250 * time.Millisecond
	// The time between two looks at the system's queues.
	soonestLook = time.Millisecond
	latestLook  = 20 * time.Millisecond
	// supposed is a line's rate, in bytes/s, as long as none is known.
	supposed = 1.25e6
	// idleLook is the time between two looks whether there is anything to send.
	idleLook = 10 * time.Millisecond
)

// load is what the system knows of one connection.
type load struct {
	acked   int64 // bytes that the peer has acknowledged, all time
	unacked int   // bytes that were written and are not acknowledged
	unsent  int   // of these, bytes that were not sent yet
	minRTT  time.Duration
}

// flow is a connection as the uplink sees it.
type flow interface {
	// load returns false where the system tells nothing.
	load() (load, bool)
	class() class
	// turn writes one block, of about size bytes, without blocking the caller, and
	// calls took.
	turn(size int)
}

// due is a block that waits for a turn.
type due struct {
	size  int  // bytes; 0: none waits
	fresh bool // this node has sent no copy of its piece yet
	more  bool // it goes on with the piece of the block before it, and goes first
}

// lease is one flow's account. Its fields are guarded by the uplink's lock.
type lease struct {
	flow   flow
	lane   *lane // in which it waits; nil: it does not wait
	next   due
	busy   int  // bytes of writes that have not returned
	taking bool // a turn is being written
	active bool // something is outstanding
	known  bool // load could be read
	last   load
	passed int64 // what the lane's peers had acknowledged when this one last did, or had nothing to
	stuck  bool  // it waits for its peer: what was written later has been acknowledged
	closed bool

	written   int64  // bytes, all time
	marks     []mark // what was written and is not acknowledged or overtaken, oldest first
	overtaken int64  // of what was written, where the newest mark that was overtaken ends
}

// mostMarks is how many of them are kept of one flow.
const mostMarks = 64

// mark is the end of what a flow wrote, and what the lane's peers will have acknowledged, in
// bytes of all time, when that and all before it is.
type mark struct {
	end, acked int64
	at         time.Time
}

// wrote notes that bytes are written.
func (l *lease) wrote(size int, acked int64, now time.Time) {
	l.written += int64(size)
	if k := len(l.marks); k > 0 && (acked-l.marks[k-1].acked < 4<<10 || k == mostMarks) {
		l.marks[k-1].end, l.marks[k-1].acked = l.written, acked
		return
	}
	l.marks = append(l.marks, mark{l.written, acked, now})
}

// lining returns how many bytes of a flow may stand in front of the line: what its peer has
// not acknowledged, but for what was overtaken: more has been acknowledged than was written
// until then. That waits for its peer, which is slow to say that it has it. An origin counts
// all: it is not to be busy with more than a handful, and what it has written leaves it late.
func (l *lease) lining(n *lane) int {
	if n.greedy {
		return l.last.unacked + l.busy
	}
	far, done := n.acked-int64(n.budget()), l.written-int64(l.last.unacked+l.busy)
	i := 0
	for ; i < len(l.marks) && (l.marks[i].acked < far || l.marks[i].end <= done); i++ {
		l.overtaken = l.marks[i].end
	}
	l.marks = slices.Delete(l.marks, 0, i)
	return min(l.last.unacked+l.busy, int(l.written-l.overtaken))
}

// uplink schedules the data of one node. The nil uplink lets everything pass.
type uplink struct {
	now func() time.Time

	mu     sync.Mutex
	lanes  [numClasses]lane
	active map[*lease]struct{}
	timer  *time.Timer
	due    time.Time // when the timer fires; zero: it is not set
	rested bool      // nothing was written since onIdle was told

	onIdle func() // is told, by a goroutine, that there is nothing left to send; nil: nobody

	// waiting is how many bytes of blocks for equals wait for a turn. What far peers have asked
	// for does not count: it may wait for another line, and equals are not to wait for that.
	waiting atomic.Int64
	low     atomic.Int64 // onLow is told when that falls below
	told    atomic.Bool  // since it was, nobody has asked for more
	onLow   func()       // is told, by a goroutine, that more may be asked of this node; nil: nobody

	down downlink
}

func newUplink(now func() time.Time) *uplink {
	return &uplink{now: now, rested: true, active: make(map[*lease]struct{}), down: downlink{now: now}}
}

// idle reports whether no block waits and next to nothing is on its way.
func (u *uplink) idle() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.isIdle(u.now())
}

func (u *uplink) isIdle(now time.Time) bool {
	for i := range u.lanes {
		n := &u.lanes[i]
		if len(n.turns) > 0 {
			return false
		}
		if n.outstanding > 0 && now.Sub(n.looked) >= soonestLook {
			u.look(now)
		}
		if n.outstanding > leastBudget/4 {
			return false
		}
	}
	return true
}

// nudge has onIdle told once more, if there is nothing to send.
func (u *uplink) nudge() {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.rested && u.onIdle != nil {
		u.rested = false
		u.arm(u.now(), idleLook)
	}
}

// spend has lines filled at the price of a queue: everybody waits for what an origin
// sends, and it has little else to say.
func (u *uplink) spend() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range u.lanes {
		u.lanes[i].greedy = true
	}
}

// hold counts bytes of blocks for equals that begin to wait for a turn, or, below 0, do so no longer.
func (u *uplink) hold(bytes int) {
	if u != nil {
		u.waiting.Add(int64(bytes))
	}
}

// left tells onLow, once, when little waits.
func (u *uplink) left() {
	if u != nil && u.onLow != nil && u.waiting.Load() < u.low.Load() && u.told.CompareAndSwap(false, true) {
		go u.onLow()
	}
}

// rate returns how many bytes a second the fastest line carries.
func (u *uplink) rate() float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	rate := 0.0
	for i := range u.lanes {
		n := &u.lanes[i]
		r := max(n.top, n.first)
		if l := float64(n.limit.rate); l > 0 {
			r = min(r, l)
		}
		rate = max(rate, r)
	}
	if rate == 0 {
		rate = supposed
	}
	return rate
}

// setLimit bounds the payload of a class, in bytes/s; 0: no limit.
func (u *uplink) setLimit(c class, rate int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.lanes[c].limit.set(rate, u.now())
	u.dispatch()
}

// admit tells whether size bytes, payload of which are the content's, may be
// written at once. If so, wrote must be called when they are.
func (u *uplink) admit(l *lease, size, payload int) bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	n := &u.lanes[l.flow.class()]
	if l.closed || len(n.turns) > 0 || l.taking {
		return false
	}
	now := u.now()
	if n.wait(now) > 0 {
		return false
	}
	if !n.room(l, size) {
		if u.look(now); !n.room(l, size) {
			return false
		}
	}
	n.limit.take(payload)
	n.pace.take(size)
	u.enter(l, n, size, now)
	return true
}

// enter counts bytes that are about to be written.
func (u *uplink) enter(l *lease, n *lane, size int, now time.Time) {
	if n.outstanding == 0 {
		n.moved = now
	}
	n.outstanding += size
	l.busy += size
	l.wrote(size, n.acked+int64(n.outstanding), now)
	if u.rested && u.onIdle != nil {
		u.rested = false
		u.arm(now, idleLook)
	}
	if !l.active {
		l.active, l.passed, l.stuck = true, n.acked, false
		u.active[l] = struct{}{}
		l.last, l.known = l.flow.load()
	}
}

// await lets a flow wait for its turn with a block.
func (u *uplink) await(l *lease, next due) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if l.closed || l.lane != nil {
		return
	}
	u.queue(l, next)
	u.dispatch()
}

func (u *uplink) queue(l *lease, next due) {
	l.lane, l.next = &u.lanes[l.flow.class()], next
	l.lane.turns = append(l.lane.turns, l)
}

// wrote ends what admit allowed.
func (u *uplink) wrote(l *lease, size int) {
	if u == nil || size == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	l.busy -= size
}

// took ends a turn of size bytes, of which spared were not needed. next is the block
// that waits then.
func (u *uplink) took(l *lease, size, spared int, next due) {
	u.mu.Lock()
	defer u.mu.Unlock()
	l.busy -= size
	l.taking = false
	n := &u.lanes[l.flow.class()]
	n.limit.take(-spared)
	n.pace.take(-spared)
	if next.size > 0 && l.lane == nil && !l.closed {
		u.queue(l, next)
	}
	u.dispatch()
}

// leave forgets a flow.
func (u *uplink) leave(l *lease) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	l.closed = true
	delete(u.active, l)
	if l.lane != nil {
		l.lane.turns = slices.DeleteFunc(l.lane.turns, func(o *lease) bool { return o == l })
		l.lane = nil
	}
}

// look reads the system's queues.
func (u *uplink) look(now time.Time) {
	var rtts [numClasses]struct {
		sum time.Duration
		n   int
	}
	for i := range u.lanes {
		u.lanes[i].outstanding, u.lanes[i].largest, u.lanes[i].most = 0, nil, 0
	}
	for l := range u.active {
		c := l.flow.class()
		n := &u.lanes[c]
		cur, ok := l.flow.load()
		if l.known = ok; !ok {
			cur = load{}
		}
		if d := cur.acked - l.last.acked; d > 0 {
			n.acked += d
			n.moved = now
		}
		if cur.acked > l.last.acked || cur.unacked == 0 {
			l.passed, l.stuck = n.acked, false
		}
		l.last = cur
		if l.lane != nil && cur.minRTT > 0 {
			rtts[c].sum += cur.minRTT
			rtts[c].n++
		}
		if cur.unacked == 0 && l.busy == 0 && l.lane == nil {
			l.active, l.marks, l.overtaken = false, nil, l.written
			delete(u.active, l)
		}
	}
	for l := range u.active {
		n := &u.lanes[l.flow.class()]
		// What is written waits in line for no longer than two budgets take.
		if n.acked-l.passed > 2*int64(n.budget()) || now.Sub(n.moved) >= stuckAfter {
			l.stuck = true
		}
		if l.known && !l.stuck {
			part := l.lining(n)
			n.outstanding += part
			// It takes longer than the line can take: that is the peer.
			if part > n.most && len(l.marks) > 0 && now.Sub(l.marks[0].at) >= max(slowWord, 4*n.drained(n.budget())) {
				n.largest, n.most = l, part
			}
		}
	}
	for i := range u.lanes {
		n := &u.lanes[i]
		if rtts[i].n > 0 {
			n.rtt = rtts[i].sum / time.Duration(rtts[i].n)
		}
		n.sample(now)
	}
}

// dispatch gives turns as far as budgets and limits allow, and sets the timer for
// those who go on waiting.
func (u *uplink) dispatch() {
	now := u.now()
	var wake time.Duration
	for i := range u.lanes {
		if n := &u.lanes[i]; len(n.turns) > 0 {
			if d := u.serve(n, now); d > 0 && (wake == 0 || d < wake) {
				wake = d
			}
		}
	}
	if wake == 0 && !u.rested {
		wake = idleLook
	}
	if wake > 0 {
		u.arm(now, wake)
	}
}

// arm sets the timer, unless it fires sooner.
func (u *uplink) arm(now time.Time, wake time.Duration) {
	due := now.Add(wake)
	switch {
	case u.timer == nil:
		u.timer = time.AfterFunc(wake, u.tick)
	case u.due.IsZero() || due.Before(u.due):
		u.timer.Reset(wake)
	default:
		return
	}
	u.due = due
}

func (u *uplink) tick() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.due = time.Time{}
	if !u.rested && u.isIdle(u.now()) {
		u.rested = true
		go u.onIdle()
	}
	u.dispatch()
}

// serve gives turns in one lane. It returns when to try again; 0: when something
// has been written.
func (u *uplink) serve(n *lane, now time.Time) time.Duration {
	if now.Sub(n.looked) >= soonestLook {
		u.look(now)
	}
	n.blocked = false
	if d := n.wait(now); d > 0 {
		return soonest(0, d)
	}
	var wait time.Duration
	for {
		i := n.choose(&wait)
		if i < 0 {
			if n.blocked {
				over := n.outstanding + n.budget()/8 - n.budget()
				wait = soonest(wait, n.drained(over))
			}
			return wait
		}
		l := n.turns[i]
		size := l.next.size
		if d := n.wait(now); d > 0 {
			return soonest(wait, d)
		}
		n.turns = slices.Delete(n.turns, i, i+1)
		l.lane, l.taking = nil, true
		n.given++
		n.limit.take(size)
		n.pace.take(size)
		u.enter(l, n, size, now)
		l.flow.turn(size)
	}
}

// soonest returns the smaller of two times to try again, of which a may be 0 for
// none, within the bounds of a look.
func soonest(a, b time.Duration) time.Duration {
	b = min(max(b, soonestLook), latestLook)
	if a == 0 {
		return b
	}
	return min(a, b)
}
