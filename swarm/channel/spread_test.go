package channel

import "testing"

// TestHolding: the newer documents win, whatever the sizes; then size, then time; and what is
// not said is not compared.
func TestHolding(t *testing.T) {
	for _, c := range []struct {
		name         string
		a, b         Holding
		newer        bool // a than b
		covers, back bool // a covers b, b covers a
	}{
		{"more entries", Holding{Size: 3, Root: 1}, Holding{Size: 2, Root: 1}, true, true, false},
		{"a heartbeat", Holding{Size: 3, Root: 1, Time: 100 + newerBy}, Holding{Size: 3, Root: 1, Time: 100}, true, true, false},
		{"hardly newer", Holding{Size: 3, Root: 1, Time: 101}, Holding{Size: 3, Root: 1, Time: 100}, false, true, false},
		{"the same", Holding{Size: 3, Root: 2, Targets: 4}, Holding{Size: 3, Root: 2, Targets: 4}, false, true, true},
		{"a base took entries back", Holding{Size: 3, Root: 2, Time: 5}, Holding{Size: 900, Root: 1, Time: 500}, true, true, false},
		{"a base of targets", Holding{Size: 3, Root: 2, Targets: 2}, Holding{Size: 900, Root: 2, Targets: 1}, true, true, false},
		{"a root beats targets", Holding{Size: 3, Root: 3}, Holding{Size: 3, Root: 2, Targets: 9}, true, true, false},
		{"not said", Holding{Size: 3}, Holding{Size: 2, Root: 7}, true, true, false},
	} {
		if got := c.a.newer(c.b); got != c.newer {
			t.Errorf("%s: newer: %v", c.name, got)
		}
		if c.b.newer(c.a) {
			t.Errorf("%s: the other is newer", c.name)
		}
		if a, b := c.a.covers(c.b), c.b.covers(c.a); a != c.covers || b != c.back {
			t.Errorf("%s: covers %v, and the other %v", c.name, a, b)
		}
	}
}

// TestRelying: all who have connected to a node are told, however many, and others where they are few.
func TestRelying(t *testing.T) {
	odd := func(p Peer) bool { return p%2 == 1 }
	for _, c := range []struct {
		name     string
		peers    []Peer
		dialled  func(Peer) bool
		incoming int
		want     int
	}{
		{"nobody", nil, odd, 0, 0},
		{"many who came", []Peer{1, 2, 4, 6, 8, 10, 12, 3, 5}, odd, 6, 6},
		{"few who came", []Peer{1, 3, 5, 7, 9, 2}, odd, 1, lateFanout},
		{"fewer than are told", []Peer{1, 3}, odd, 0, 2},
	} {
		got := relying(c.peers, c.dialled)
		incoming := 0
		for i, p := range got {
			if !c.dialled(p) {
				incoming++
			}
			for _, q := range got[:i] {
				if p == q {
					t.Errorf("%s: %d twice", c.name, p)
				}
			}
		}
		if len(got) != c.want || incoming != c.incoming {
			t.Errorf("%s: told %d, %d of them have come", c.name, got, incoming)
		}
	}
}

// TestWhoLeavesIsNotWaitedFor: what was asked of a peer that has left is asked of another at once, and nothing else.
func TestWhoLeavesIsNotWaitedFor(t *testing.T) {
	c, now, _ := silent(t, nil)
	s := c.spread
	for p := range Peer(2) {
		s.known[p] = make(map[string]Holding)
	}
	s.asked["m"], s.asked["alice"] = asked{3, *now, 0}, asked{5, *now, 1}
	s.left(0)
	if at, due := s.asks["m"]; !due || at.After(*now) || len(s.asks) != 1 {
		t.Errorf("due are %v at %v", s.asks, *now)
	}
	if _, waits := s.asked["m"]; waits || len(s.asked) != 1 {
		t.Errorf("waits for %v", s.asked)
	}
}
