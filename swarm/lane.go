package swarm

import "time"

// How much of what is to be sent may be in the system's queues.
const (
	// firstBudget applies until a rate is known.
	firstBudget = 128 << 10
	// leastBudget keeps slow lines busy: two blocks.
	leastBudget = 32 << 10
	// standing is how long a queue may stand in front of the line. It is more than
	// nothing, so that a line that has grown faster shows it.
	standing = 40 * time.Millisecond
	// longestRTT bounds what a connection's own figure can add to the budget.
	longestRTT = 500 * time.Millisecond
	// window is the span over which a rate is measured, and windows how many of them
	// are remembered: ten seconds of a busy line.
	window  = 500 * time.Millisecond
	windows = 20
	// idleGap is a pause in the looks at a lane after which a new window begins.
	idleGap = 250 * time.Millisecond
)

// lane is the part of the uplink that the connections of one class share: the
// budget of bytes in the system's queues, and the limit of the class. It is guarded
// by the uplink's lock.
type lane struct {
	limit bucket // payload

	turns   []*lease // waiting for a turn, first come first served
	blocked bool     // at the last look somebody waited for the budget

	outstanding int           // bytes at the last look, and those allowed since
	looked      time.Time     // when that was
	acked       int64         // bytes that peers have acknowledged, all time
	moved       time.Time     // when a peer last did
	rtt         time.Duration // mean of the waiting connections' least

	begun   time.Time // the current window's beginning; zero: none
	from    int64     // acked then
	pressed time.Duration
	rates   [windows]float64 // bytes/s, of windows in which the line was the limit
	next    int              // where the next one goes
	top     float64          // the largest
}

// budget returns how many bytes may be outstanding.
func (n *lane) budget() int {
	if n.top == 0 {
		return firstBudget
	}
	return n.budgetAt(n.top)
}

func (n *lane) budgetAt(rate float64) int {
	return max(leastBudget, int(rate*(min(n.rtt, longestRTT)+standing).Seconds()))
}

// room tells whether n more bytes fit. One block fits always where nothing is
// outstanding.
func (n *lane) room(size int) bool {
	return n.outstanding == 0 || n.outstanding+size <= n.budget()
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
	if span < window {
		return
	}
	rate := float64(n.acked-n.from) / span.Seconds()
	// Where this node had little to send the figure says nothing about the line,
	// unless it is a large one.
	if n.pressed*2 >= span || n.budgetAt(rate) > n.budget() {
		n.rates[n.next] = rate
		n.next = (n.next + 1) % windows
		n.top = 0
		for _, r := range n.rates {
			n.top = max(n.top, r)
		}
	}
	n.begun, n.from, n.pressed = now, n.acked, 0
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
	at     time.Time
}

// burst is how much may be taken at once after a pause, in seconds of the rate; at
// least leastBurst bytes.
const (
	burst      = 0.05
	leastBurst = 32 << 10
)

func (b *bucket) set(rate int64, now time.Time) {
	b.fill(now)
	b.rate = float64(max(0, rate))
}

func (b *bucket) fill(now time.Time) {
	if b.rate > 0 {
		b.tokens = min(max(leastBurst, b.rate*burst), b.tokens+b.rate*now.Sub(b.at).Seconds())
	} else {
		b.tokens = leastBurst
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
