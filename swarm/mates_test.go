package swarm

import (
	"testing"
	"time"

	"handful/swarm/policy"
)

// TestTwoOfASiteActAtOnce: of those who share turns, two are told at once of a piece, and each piece has its own two.
func TestTwoOfASiteActAtOnce(t *testing.T) {
	mates := []policy.Key{11, 22, 33, 44, 55}
	first := make(map[policy.Key]bool)
	for piece := range 100 {
		n := 0
		for _, key := range mates {
			l := &link{key: key}
			if l.mates.Store(&mates); l.acts(piece) {
				n++
				first[key] = true
			}
		}
		if n != 2 {
			t.Fatalf("%d of %d act on piece %d", n, len(mates), piece)
		}
	}
	if len(first) != len(mates) {
		t.Errorf("only %d of %d ever act", len(first), len(mates))
	}
	if l := (&link{key: 1}); !l.acts(0) {
		t.Error("somebody whose site is not known is kept waiting")
	}
}

// TestLaterHaves: what a far peer has been told of by others is said when that is long ago, or at once when one of them
// is gone; never what it has by then.
func TestLaterHaves(t *testing.T) {
	for _, gone := range []bool{true, false} {
		tap, s := asking(true)
		now := time.Unix(1, 0)
		tap.now = func() time.Time { return now }
		s.sent(t, tap)
		no := func(int) bool { return false }
		tap.out = outgoing{urgent: no, later: func(piece int) bool { return piece != 9 }, has: func(piece int) bool { return piece == 2 },
			equal: func() bool { return false }}
		mustWrite(t, tap, have(1), have(2), have(3), have(9))
		tap.pulse(now, true)
		same(t, s.sent(t, tap))
		now = now.Add(haveHold)
		tap.pulse(now, true)
		same(t, s.sent(t, tap), have(9))
		if gone {
			tap.sayLater()
		} else {
			now = now.Add(laterHold - haveHold - 1)
			tap.pulse(now, true)
			same(t, s.sent(t, tap))
			now = now.Add(1)
			tap.pulse(now, true)
		}
		same(t, s.sent(t, tap), have(1), have(3))
		tap.pulse(now.Add(laterHold), true)
		tap.sayLater()
		same(t, s.sent(t, tap))
	}
}
