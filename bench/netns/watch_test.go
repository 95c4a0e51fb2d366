//go:build linux

package netns

import (
	"net/netip"
	"testing"
	"time"
)

func TestWatchSeesWhatLeaves(t *testing.T) {
	n := network(t)
	b := bridge(t, n, "10.88.0.1/16", false)
	one, two, three := host(t, b, "10.88.0.2/16", 100e6), host(t, b, "10.88.0.3/16", 100e6), host(t, b, "10.88.0.4/16", 0)
	// Owned by the watch's goroutine until it is closed.
	covered := map[netip.Addr]map[uint32]bool{}
	var last time.Time
	began := time.Now()
	w, err := one.Watch(func(s Segment) {
		if covered[s.To.Addr()] == nil {
			covered[s.To.Addr()] = map[uint32]bool{}
		}
		for i, c := range s.Payload {
			if c != 0 {
				t.Errorf("byte %d of a segment to %v is %d; zeros were sent", i, s.To, c)
				break
			}
			covered[s.To.Addr()][s.Seq+uint32(i)] = true
		}
		if s.From.Addr() != one.Addr() || s.At.Before(began.Add(-time.Second)) || s.At.Before(last) {
			t.Errorf("a segment from %v at %v, after one at %v", s.From, s.At, last)
		}
		last = s.At
	})
	if err != nil {
		t.Fatal(err)
	}
	send(t, one, two, 300_000)
	send(t, one, three, 5000)
	send(t, two, one, 100_000) // what comes in, and its acknowledgements, is not what leaves
	send(t, two, three, 100_000)
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(covered) != 2 || len(covered[two.Addr()]) != 300_000 || len(covered[three.Addr()]) != 5000 {
		t.Errorf("saw %d bytes to the second host, %d to the third, %d destinations",
			len(covered[two.Addr()]), len(covered[three.Addr()]), len(covered))
	}
	before := len(covered[two.Addr()])
	send(t, one, two, 1000)
	if len(covered[two.Addr()]) != before {
		t.Error("it still watches after Close")
	}
}

func TestWatchOfNoDevice(t *testing.T) {
	n := network(t)
	b := bridge(t, n, "10.88.0.1/16", false)
	h := host(t, b, "10.88.0.2/16", 0)
	h.device = "eth7"
	if _, err := h.Watch(func(Segment) {}); err == nil {
		t.Error("watched a device that is not there")
	}
}
