package swarm

import (
	"testing"
	"testing/synctest"
	"time"
)

// wire is a line of a given rate in front of which the bytes of all connections
// queue up.
type wire struct {
	rate float64 // bytes/s
	free time.Time
	peak int // the most bytes that were ever unacknowledged, of all fakes
	all  []*fake
}

// fake is a connection that always has blocks to send, over a wire.
type fake struct {
	up    *uplink
	lease lease
	wire  *wire
	rtt   time.Duration
	line  class
	size  int // bytes of a block
	left  int // blocks; -1: endless
	deaf  bool
	blind bool          // the system tells nothing of its queues
	lag   time.Duration // the peer acknowledges so much later than it could

	sent    int // blocks
	total   int // bytes
	flights []flight
}

type flight struct {
	size  int
	acked time.Time
}

func (u *uplink) fake(w *wire, blocks int) *fake {
	f := &fake{up: u, wire: w, size: 16384, left: blocks}
	f.lease.flow = f
	u.mu.Lock()
	defer u.mu.Unlock()
	w.all = append(w.all, f)
	return f
}

func (f *fake) class() class { return f.line }

func (f *fake) load() (l load, ok bool) {
	now := time.Now()
	l = load{acked: int64(f.total), minRTT: f.rtt}
	for len(f.flights) > 0 && !f.flights[0].acked.After(now) {
		f.flights = f.flights[1:]
	}
	for _, fl := range f.flights {
		l.unacked += fl.size
	}
	l.acked -= int64(l.unacked)
	return l, !f.blind
}

// turn writes a block. A deaf peer's never gets through.
func (f *fake) turn(size int) {
	now := time.Now()
	f.sent, f.left = f.sent+1, f.left-1
	f.total += size
	w := f.wire
	if f.deaf {
		f.flights = append(f.flights, flight{size, now.Add(1e6 * time.Hour)})
		return // the write never returns
	}
	if w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(float64(size) / w.rate * 1e9))
	f.flights = append(f.flights, flight{size, w.free.Add(f.rtt + f.lag)})
	unacked := 0
	for _, o := range w.all {
		l, _ := o.load()
		unacked += l.unacked
	}
	w.peak = max(w.peak, unacked)
	next := f.size
	if f.left == 0 {
		next = 0
	}
	go f.up.took(&f.lease, size, 13, due{size: next})
}

// count returns what was sent, in blocks and bytes. Turns are given under the
// uplink's lock.
func (f *fake) count() (blocks, total int) {
	f.up.mu.Lock()
	defer f.up.mu.Unlock()
	return f.sent, f.total
}

func (f *fake) start() { f.up.await(&f.lease, due{size: f.size}) }

// run lets time pass and returns how many bytes the fakes have sent in it.
func (w *wire) run(d time.Duration) int {
	sum := func() (n int) {
		for _, f := range w.all {
			_, total := f.count()
			n += total
		}
		return n
	}
	before := sum()
	<-time.After(d) // of the bubble's clock
	synctest.Wait()
	return sum() - before
}

// TestUplinkKeepsQueuesShort: the line is busy all the time, and what stands in front of it is some tens of
// milliseconds, for lines of every speed and length.
func TestUplinkKeepsQueuesShort(t *testing.T) {
	for _, c := range []struct {
		rate float64
		rtt  time.Duration
	}{{125e3, time.Millisecond}, {1.25e6, 200 * time.Microsecond}, {1.25e6, 100 * time.Millisecond}, {12.5e6, 20 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			up := newUplink(time.Now)
			w := &wire{rate: c.rate}
			for range 8 {
				f := up.fake(w, -1)
				f.rtt = c.rtt
				f.start()
			}
			w.run(30 * time.Second)
			w.peak = 0
			before := make(map[*fake]int)
			for _, f := range w.all {
				before[f] = f.sent
			}
			sent := w.run(10 * time.Second)
			if share := float64(sent) / (c.rate * 10); share < 0.97 || share > 1.03 {
				t.Errorf("%.0f bytes/s, RTT %v: used %.3f of the line", c.rate, c.rtt, share)
			}
			allowed := max(leastBudget, int(c.rate*(c.rtt.Seconds()+probeGain*standing.Seconds())*1.1)) + 16384
			if w.peak > allowed {
				t.Errorf("%.0f bytes/s, RTT %v: %d bytes were outstanding, at most %d should be", c.rate, c.rtt, w.peak, allowed)
			}
			for _, f := range w.all {
				if a, b := f.sent-before[f], w.all[0].sent-before[w.all[0]]; max(a-b, b-a) > 1+b/10 {
					t.Errorf("one has sent %d blocks, another %d", a, b)
				}
				f.up.leave(&f.lease)
			}
		})
	}
}

// TestUplinkGrows: a line that turns out to be faster and longer than the first budget fills is filled nevertheless.
func TestUplinkGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUplink(time.Now)
		w := &wire{rate: 12.5e6}
		f := up.fake(w, -1)
		f.rtt = 100 * time.Millisecond
		f.start()
		w.run(10 * time.Second)
		if share := float64(w.run(time.Second)) / w.rate; share < 0.95 {
			t.Errorf("used %.2f of the line after ten seconds", share)
		}
		w.rate /= 10 // it has become slow: its old rate is forgotten
		w.run(15 * time.Second)
		w.peak = 0
		w.run(time.Second)
		if most := int(w.rate*(0.1+probeGain*standing.Seconds())*1.1) + 16384; w.peak > most {
			t.Errorf("%d bytes were outstanding on the slower line, at most %d should be", w.peak, most)
		}
		up.leave(&f.lease)
	})
}

// TestUplinkPassesByTheDeaf: peers that do not read take no part of the budget for ever.
func TestUplinkPassesByTheDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUplink(time.Now)
		w := &wire{rate: 1e6}
		for i := range 40 {
			f := up.fake(w, -1)
			f.deaf = i < 39
			f.start()
		}
		w.run(25 * time.Second)
		if share := float64(w.run(10*time.Second)) / 1e7; share < 0.97 {
			t.Errorf("used %.2f of the line", share)
		}
		for _, f := range w.all {
			if f.deaf && f.sent > 1 {
				t.Errorf("a deaf peer was given %d turns", f.sent)
			}
			up.leave(&f.lease)
		}
	})
}

// TestUplinkLimits: a class gets its rate of payload, the other is free, and a limit that is lifted lets all through.
func TestUplinkLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, blind := range []bool{false, true} {
			up := newUplink(time.Now)
			up.setLimit(classWide, 100_000)
			w := &wire{rate: 1e6}
			var slow []*fake
			for range 4 {
				f := up.fake(w, -1)
				f.blind = blind
				f.start()
				slow = append(slow, f)
			}
			local := up.fake(w, -1)
			local.line = classLocal
			local.start()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			sent := func() (n int) {
				for _, f := range slow {
					blocks, _ := f.count()
					n += blocks * (f.size - 13)
				}
				return n
			}
			before := sent()
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if got := sent() - before; got < 1_950_000 || got > 2_050_000 {
				t.Errorf("%d bytes in 20 s at a limit of 100000 bytes/s", got)
			}
			if _, total := local.count(); float64(total) < 0.85*30*w.rate {
				t.Errorf("the class without a limit has sent %d bytes in 30 s", total)
			}
			up.leave(&local.lease)
			before = sent()
			up.setLimit(classWide, 0)
			time.Sleep(time.Second)
			synctest.Wait()
			if got := float64(sent() - before); got < 0.8*w.rate {
				t.Errorf("%.0f bytes in 1 s without a limit", got)
			}
			for _, f := range slow {
				up.leave(&f.lease)
			}
		}
	})
}

// TestUplinkStraight: while nobody waits and there is room, data goes straight through, and nothing runs in the
// background.
func TestUplinkStraight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUplink(time.Now)
		w := &wire{rate: 1e6}
		two := []*fake{up.fake(w, 1), up.fake(w, 1)} // one alone may fill half of the budget
		f := two[0]
		for sum := 0; sum+f.size <= firstBudget; sum += f.size {
			f = two[sum/f.size%2]
			if !up.admit(&f.lease, f.size, f.size-13) {
				t.Fatalf("refused after %d bytes", sum)
			}
			f.flights = append(f.flights, flight{f.size, time.Now().Add(time.Second)})
			up.wrote(&f.lease, f.size)
		}
		if up.admit(&f.lease, f.size, f.size-13) {
			t.Fatal("admitted beyond the budget")
		}
		if up.timer != nil {
			t.Fatal("a timer runs though nobody waits")
		}
		other := up.fake(w, 1)
		other.start()
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		if other.sent != 0 {
			t.Fatal("a turn was given beyond the budget")
		}
		if up.admit(&f.lease, 1, 1) {
			t.Fatal("admitted past one that waits")
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if other.sent != 1 {
			t.Fatal("no turn was given when there was room")
		}
		if !up.admit(&f.lease, f.size, f.size-13) {
			t.Fatal("refused though nobody waits any more")
		}
		time.Sleep(time.Minute)
		up.mu.Lock()
		defer up.mu.Unlock()
		if !up.due.IsZero() {
			t.Error("a timer runs though nobody waits")
		}
	})
}

// TestUplinkDoesNotWaitForSlowWord: a peer whose acknowledgements come seconds late, but come,
// takes nothing from the others: what it has not acknowledged does not stand in front of the
// line.
func TestUplinkDoesNotWaitForSlowWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := newUplink(time.Now)
		w := &wire{rate: 1.25e6}
		for i := range 4 {
			f := up.fake(w, -1)
			if f.rtt = 200 * time.Microsecond; i == 0 {
				f.lag = 3 * time.Second
			}
			f.start()
		}
		w.run(5 * time.Second)
		if sent := float64(w.run(20 * time.Second)); sent < 0.9*20*w.rate {
			t.Errorf("%.0f%% of the line was used", 100*sent/20/w.rate)
		}
	})
}
