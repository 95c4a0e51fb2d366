package simtest

import (
	"testing"
	"time"
)

// limits of a case: copies of payload.
type limits struct{ origin, site float64 }

// TestCases runs a small swarm through every case: all who stay complete, the origin
// and the borders carry little more than they must.
func TestCases(t *testing.T) {
	most := map[Case]limits{
		Flash:    {1.1, 1.2},
		Arrivals: {1.1, 1.6}, // a site of few fetches for few
		Churn:    {1.3, 1.4},
		SlowSite: {4, 8},     // graces are shorter than a piece takes over the link
		SlowPeer: {1.1, 1.4}, // a delegate whose turn lasts
		Dead:     {1.5, 1.5},
		Liars:    {1.5, 1.5},
		Foreign:  {8, 20}, // foreign clients know no borders, and get what is left of the uplink
	}
	for _, c := range Cases {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			r, err := Run(t.Context(), Config{Case: c, Seed: 1, Peers: 200, Sites: 10, Size: 16 << 20, Interval: 200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", r)
			if r.Complete != r.Peers || r.Peers == 0 {
				t.Errorf("%d of %d are complete", r.Complete, r.Peers)
			}
			if r.Makespan < r.Bound {
				t.Errorf("done after %v, before the bound of %v", r.Makespan, r.Bound)
			}
			if r.OriginCopies > most[c].origin || c != Foreign && r.OriginCopies < 1 {
				t.Errorf("the origin sent %.3f copies, want 1 to %.1f", r.OriginCopies, most[c].origin)
			}
			if r.SiteCopies > most[c].site || r.MeanSite < 1-1e-9 {
				t.Errorf("%.3f copies went into one site, %.3f in the mean; want 1 to %.1f", r.SiteCopies, r.MeanSite, most[c].site)
			}
			if c != SlowSite && r.InSecond > 8 {
				t.Errorf("the origin served %d in one second", r.InSecond)
			}
		})
	}
}

// TestSameSeed: a run can be repeated, and another seed is another run.
func TestSameSeed(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) Result {
		r, err := Run(t.Context(), Config{Case: Churn, Seed: seed, Peers: 60, Sites: 3, Size: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b, c := run(1), run(1), run(2)
	if a != b {
		t.Errorf("the same seed gave\n%+v and\n%+v", a, b)
	}
	if a.Events == c.Events && a.Makespan == c.Makespan {
		t.Error("two seeds gave the same run")
	}
}

// TestCrowd: in one LAN every piece leaves the origin once, and what the policy saves
// shows against a swarm without it.
func TestCrowd(t *testing.T) {
	t.Parallel()
	cfg := Config{Peers: 16, Sites: 1, Size: 16 << 20, Piece: 64 << 10, OriginRate: 10e6}
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.OriginCopies != 1 || r.Duplicates > 0.03 || r.Ratio > 1.25 || r.InSecond > 8 {
		t.Errorf("%+v", r)
	}
}

// TestServerTakesTurns: an uplink serves its connections in turn, a run of a piece each,
// and sends across a border every other time.
func TestServerTakesTurns(t *testing.T) {
	var s server
	near, far := []*end{{num: 1}, {num: 2}, {num: 3}}, []*end{{num: 11, far: true}, {num: 12, far: true}}
	for _, e := range append(near, far...) {
		s.push(e)
	}
	for i, want := range []*end{far[0], near[0], far[1], near[1], near[2], nil} {
		if got := s.pop(); got != want {
			t.Fatalf("turn %d: %+v, want %+v", i, got, want)
		}
	}
}

// TestClock: events of different lines come in the order of their times.
func TestClock(t *testing.T) {
	var c clock
	slow, fast := c.line(time.Second), c.line(300*time.Millisecond)
	for i := range 200 {
		c.after(slow, event{piece: int32(i)})
		c.after(fast, event{piece: int32(i)})
		if i%3 == 0 {
			before := c.now
			if ev, ok := c.next(); !ok || ev.at < before {
				t.Fatalf("at %v came %v", before, ev.at)
			}
		}
	}
	last, n := time.Duration(0), 0
	for ev, ok := c.next(); ok; ev, ok = c.next() {
		if ev.at < last {
			t.Fatalf("%v after %v", ev.at, last)
		}
		last = ev.at
		n++
	}
	if n != 400-67 {
		t.Errorf("%d events are left of 400, 67 were taken out", n)
	}
}

// TestConfigErrors: what cannot be simulated is refused.
func TestConfigErrors(t *testing.T) {
	for _, cfg := range []Config{
		{Peers: 5, Sites: 10}, {Rate: 1}, {Piece: 1000}, {Piece: 2 << 20}, {Size: 100 << 10}, {Case: "nothing"},
	} {
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("%+v was simulated", cfg)
		}
	}
}

// TestSlowPeerHoldsUpNobody: with a peer whose line has a hundredth of the others' rate a crowd takes hardly longer than
// without. What it was given alone others get in time, and nobody waits for it for what others have too.
func TestSlowPeerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		cfg := Config{Seed: seed, Peers: 16, Sites: 1, Size: 32 << 20, Piece: 64 << 10, OriginRate: 10e6, Near: 10 * time.Millisecond}
		clean, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Case = SlowPeer
		slow, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if slow.Complete != 16 || slow.Makespan.Seconds() > 1.15*clean.Makespan.Seconds() {
			t.Errorf("seed %d: %d of 16 after %v, without it after %v", seed, slow.Complete, slow.Makespan, clean.Makespan)
		}
	}
}
