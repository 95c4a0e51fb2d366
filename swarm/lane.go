package swarm

import (
	"cmp"
	"slices"
	"time"
)

// How much of what is to be sent may be in the system's queues, and how fast more is
// written. A queue in front of the line makes all that is small wait: requests, Haves,
// and what is acknowledged, so that the far end's queue holds up this one's. So once the
// line's rate is known, blocks are written no faster than that; from time to time they
// are written as fast as the budget lets them for a while, to see the rate.
const (
	// firstBudget applies until a rate is known.
	firstBudget = 64 << 10
	// leastBudget keeps slow lines busy: two blocks.
	leastBudget = 32 << 10
	// standing is how long a queue may stand in front of the line. It is more than
	// nothing, so that a line that has grown faster shows it.
	standing = 40 * time.Millisecond
	// longestRTT bounds what a connection's own figure can add to the budget.
	longestRTT = 500 * time.Millisecond
	// window is the span over which a rate is measured; the line's is the second largest
	// of those in the last windows in which the line was the limit.
	window  = 500 * time.Millisecond
	windows = 5
	// firstWindow is the span of the first measurements: they go on until the rate is
	// less than grown times the last one.
	firstWindow = 200 * time.Millisecond
	grown       = 1.15
	// other is how far a window must be off above the line's rate, or two below it, for
	// it to be another line.
	other = 0.1
	// Of so many windows one goes as fast as the budget lets it, with probeGain times
	// the queue; the others at the line's rate.
	probeEvery = 8
	probeGain  = 1.5
	// spendGain is the same for a line that is to be full whatever its queue.
	spendGain = 2.25
	// mostPaced is the rate in bytes/s beyond which nothing is held back: there the
	// machine is the limit, and its timers are too coarse.
	mostPaced = 25e6
	// idleGap is a pause in the looks at a lane after which a new window begins.
	idleGap = 250 * time.Millisecond
)

// lane is the part of the uplink that the connections of one class share: the
// budget of bytes in the system's queues, and the limit of the class. It is guarded
// by the uplink's lock.
type lane struct {
	limit  bucket // payload
	pace   bucket // blocks
	greedy bool   // pace does not hold, and the queue may always be that of a probe

	turns   []*lease // waiting for a turn, first come first
	given   int      // turns
	blocked bool     // at the last look somebody waited for the budget

	outstanding int           // bytes at the last look, and those allowed since
	largest     *lease        // whose part of them was the largest at the last look, of those whose peers are slow; nil: of none
	most        int           // that part
	looked      time.Time     // when that was
	acked       int64         // bytes that peers have acknowledged, all time
	moved       time.Time     // when a peer last did
	rtt         time.Duration // mean of the waiting connections' least

	begun   time.Time // the current window's beginning; zero: none
	from    int64     // acked then
	pressed time.Duration
	rates   [windows]float64 // bytes/s, of windows in which the line was the limit
	next    int              // where the next one goes
	known   int              // how many there are
	top     float64          // the second largest of them; 0: none is known
	first   float64          // the largest of the first measurements
	count   int              // windows
	felt    time.Time        // when the line was last seen to be the limit
}

// budget returns how many bytes may be outstanding.
func (n *lane) budget() int {
	if n.top == 0 {
		// Twice the way, since a long one may hold more; not twice the queue.
		return max(firstBudget, int(n.first*(2*min(n.rtt, longestRTT)+standing).Seconds()))
	}
	return n.budgetAt(n.top)
}

func (n *lane) budgetAt(rate float64) int {
	queue := standing.Seconds()
	switch {
	case n.greedy:
		queue *= spendGain
	case n.probing():
		queue *= probeGain
	}
	return max(leastBudget, int(rate*(min(n.rtt, longestRTT).Seconds()+queue)))
}

// probing reports whether blocks are written as fast as the budget lets them.
func (n *lane) probing() bool { return n.top == 0 || n.top > mostPaced || n.count%probeEvery == 0 }

// wait returns how long no block may be written yet.
func (n *lane) wait(now time.Time) time.Duration {
	if d := n.limit.wait(now); d > 0 || n.greedy || n.probing() {
		return d
	}
	return n.pace.wait(now)
}

// room tells whether n more bytes fit: half of them must, since a budget of few blocks
// would never be used up. One block fits always where nothing is outstanding. A flow whose peer
// is slow to acknowledge leaves half of the budget to the others: were it all waiting for that
// peer, nothing would move by which it can be seen that it does.
func (n *lane) room(l *lease, size int) bool {
	out, budget := n.outstanding, n.budget()
	if l != n.largest {
		out -= max(0, n.most-budget/2)
	}
	return out <= 0 || out+size/2 <= budget
}

// choose returns the place in turns of the flow whose turn it is; -1 if there is none
// that may have one now: first come first, but every third turn is that of a piece of
// which no copy was sent, since what others can pass on is the sooner in many hands. Were
// it every turn, those behind would take this node for one that does not deliver. A flow
// with much unsent waits until that has left.
func (n *lane) choose(wait *time.Duration) int {
	best := -1
	for i, l := range n.turns {
		if l.taking {
			continue
		}
		if !n.room(l, l.next.size) {
			n.blocked = true
			continue
		}
		if over := l.last.unsent + l.busy - ownShare; l.known && over > 0 {
			*wait = soonest(*wait, n.drained(over))
			continue
		}
		switch {
		case l.next.more:
			return i
		case best < 0:
			best = i
		case n.given%3 == 2 && l.next.fresh && !n.turns[best].next.fresh:
			best = i
		}
	}
	return best
}

// sample takes note of a look: acked is up to date.
func (n *lane) sample(now time.Time) {
	since := now.Sub(n.looked)
	n.looked = now
	if n.begun.IsZero() || since > idleGap {
		n.begun, n.from, n.pressed = now, n.acked, 0
		return
	}
	if n.blocked {
		n.pressed += since
	}
	span := now.Sub(n.begun)
	moved := int(n.acked-n.from) >= n.budget()/2
	switch {
	case moved && (span >= window || n.top == 0 && n.pressed*2 >= span && span >= firstWindow):
		pressed := n.pressed*4 >= span*3
		if pressed {
			n.felt = now
		}
		n.measured(float64(n.acked-n.from)/span.Seconds(), pressed)
		n.begun, n.from, n.pressed = now, n.acked, 0
		n.pace.set(int64(n.top), now)
		n.pace.most = max(leastBudget/2, n.top*soonestLook.Seconds())
		if under := n.top * min(n.rtt, longestRTT).Seconds(); pressed {
			n.pace.tokens = min(n.pace.most, under+leastBudget-float64(n.outstanding)) // the queue goes first
		}
	case span >= stuckAfter:
		n.begun, n.from, n.pressed = now, n.acked, 0 // that was the peers, not the line
	}
}

// measured takes note of the rate of one window. Where this node had little to send it
// says nothing about the line, unless it is a large one.
func (n *lane) measured(rate float64, pressed bool) {
	n.count++
	if !pressed && (n.top == 0 || rate < n.top*(1+other)) {
		return
	}
	if n.top == 0 && rate > n.first*grown {
		n.first = rate
		return
	}
	last := n.rates[(n.next+windows-1)%windows]
	off := func(r float64) int {
		switch {
		case r > n.top*(1+other):
			return 1
		case r < n.top*(1-other):
			return -1
		}
		return 0
	}
	switch {
	case n.top > 0 && off(rate) > 0:
		n.first, n.top, n.known, n.next = rate, 0, 0, 0 // a faster line: how fast?
		return
	case n.known > 1 && off(rate) < 0 && off(last) < 0:
		n.rates[0], n.next, n.known = last, 1, 1
	}
	if n.top == 0 {
		n.count = probeEvery - 2 // the first look again comes soon
	}
	n.rates[n.next] = max(rate, n.first)
	n.next, n.first, n.known = (n.next+1)%windows, 0, min(n.known+1, windows)
	sorted := slices.Sorted(slices.Values(n.rates[:n.known]))
	n.top = sorted[n.known*3/4]
}

// drained returns how long it takes until so many bytes have left the queues.
func (n *lane) drained(size int) time.Duration {
	rate := n.top
	if rate == 0 {
		rate = float64(firstBudget) / standing.Seconds()
	}
	return time.Duration(float64(size) / rate * float64(time.Second))
}

// bucket is a token bucket that may be overdrawn: what is taken last is paid off
// before anything else is given. The zero value has no limit.
type bucket struct {
	rate   float64 // bytes/s; 0: no limit
	tokens float64
	most   float64 // bytes that may be taken at once after a pause; 0: see burst
	at     time.Time
}

// burst is how much may be taken at once after a pause, in seconds of the rate; at
// least leastBurst bytes. A bucket may have a figure of its own.
const (
	burst      = 0.05
	leastBurst = 32 << 10
)

func (b *bucket) set(rate int64, now time.Time) {
	b.fill(now)
	b.rate = float64(max(0, rate))
}

func (b *bucket) fill(now time.Time) {
	most := cmp.Or(b.most, max(leastBurst, b.rate*burst))
	if b.rate > 0 {
		b.tokens = min(most, b.tokens+b.rate*now.Sub(b.at).Seconds())
	} else {
		b.tokens = most
	}
	b.at = now
}

// wait returns how long nothing can be taken yet.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.rate == 0 {
		return 0
	}
	if b.fill(now); b.tokens > 0 {
		return 0
	}
	return time.Duration((1 - b.tokens) / b.rate * float64(time.Second))
}

// take takes n bytes whether they are there or not; a negative n gives back.
func (b *bucket) take(n int) {
	if b.rate > 0 {
		b.tokens -= float64(n)
	}
}
