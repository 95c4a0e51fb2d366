package swarm

import (
	"sync"
	"sync/atomic"
	"time"
)

// downlink limits what is read.
type downlink struct {
	now     func() time.Time
	mu      sync.Mutex
	limits  [numClasses]bucket
	limited [numClasses]atomic.Bool
}

// setLimit bounds the payload read from peers of a class, in bytes/s; 0: no limit.
func (d *downlink) setLimit(c class, rate int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limits[c].set(rate, d.now())
	d.limited[c].Store(rate > 0)
}

// wait returns how long nothing may be read, and how much then at most.
func (d *downlink) wait(c class) (time.Duration, int) {
	if !d.limited[c].Load() {
		return 0, 1 << 20
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	b := &d.limits[c]
	return b.wait(d.now()), max(4<<10, min(int(b.rate*burst), 128<<10))
}

// took counts payload that was read.
func (d *downlink) took(c class, n int) {
	if n > 0 && d.limited[c].Load() {
		d.mu.Lock()
		d.limits[c].take(n)
		d.mu.Unlock()
	}
}
