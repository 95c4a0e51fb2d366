package swarm

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// What one peer may make this node hold or do, so that a flood of one costs
// nobody else anything.

const (
	// maxWaiting bounds the bytes of one peer's messages that wait for the loop, or
	// for a gossip's callbacks.
	maxWaiting = 1 << 20
	// overhead is what a message costs beside its payload.
	overhead = 256
	// maxOwed bounds the bytes that a peer asked for and does not read.
	maxOwed = 1 << 20
	// A peer may send this many messages that make the loop work at once, and then
	// one per second.
	costlyBurst = 5
)

// reserve takes n bytes and the overhead of a limited account, if there is room.
func reserve(account *atomic.Int64, n int) bool {
	if account.Add(int64(n)+overhead) > maxWaiting {
		account.Add(-int64(n) - overhead)
		return false
	}
	return true
}

func release(account *atomic.Int64, n int) { account.Add(-int64(n) - overhead) }

// tell posts to the loop what a peer said, size bytes. It reports false if too much of
// that peer waits already.
func (n *Node) tell(l *link, size int, f func()) bool {
	if !reserve(&l.waiting, size) {
		return false
	}
	if !n.mail.tryPost(func() { release(&l.waiting, size); f() }) {
		release(&l.waiting, size)
		return false
	}
	return true
}

// debt is what was queued for a peer and is not written yet: the engine's queue
// has no bound of its own.
type debt struct {
	mu      sync.Mutex
	owed    int64
	written int64 // all that was ever written to the connection, at the last look
}

// afford enters n bytes and reports whether they may be queued.
func (d *debt) afford(n int, written int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owed = max(0, d.owed-(written-d.written))
	d.written = written
	if d.owed+int64(n) > maxOwed {
		return false
	}
	d.owed += int64(n)
	return true
}

// settled reports whether all that was queued has been written.
func (d *debt) settled(written int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return written-d.written >= d.owed
}

// affords tells whether n more bytes may be queued for the peer. It takes the
// client's lock.
func (l *link) affords(n int) bool {
	stats := l.pc.Stats()
	return l.debt.afford(n, stats.BytesWritten.Int64())
}

// seldom tells whether a costly message may be looked at.
func seldom(lim **rate.Limiter, now time.Time) bool {
	if *lim == nil {
		*lim = rate.NewLimiter(1, costlyBurst)
	}
	return (*lim).AllowN(now, 1)
}
