package swarm

import (
	"testing"
	"time"

	"handful/manifest"
	"handful/swarm/policy"
)

// TestSlowNodeIsSpared: a node that is hardly allowed to send says so, to the origin and to
// its equal, and both complete without anybody waiting for what it alone was given.
func TestSlowNodeIsSpared(t *testing.T) {
	t.Parallel()
	const slowRate = 4 << 10
	limited := func(rate int64) func(*Config) { return func(c *Config) { c.LimitUp = policy.Steady(rate) } }
	root := tree(t, t.TempDir(), 2<<20)
	origin := startNode(t, "origin", limited(512<<10))
	tor, seed := origin.publish(t, root, manifest.BuildOptions{PieceLength: 16 << 10})
	quick, slow := startNode(t, "quick", limited(1<<20)), startNode(t, "slow", limited(slowRate))
	itq := quick.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr(), slow.addr())
	its := slow.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr(), quick.addr())
	await(t, itq)
	await(t, its)
	adds(t, itq.Snapshot())
	adds(t, its.Snapshot())
	quick.call(func() {
		for _, l := range itq.links {
			if !l.origin.Load() && l.pace != slowRate {
				t.Errorf("its equal was told of %d bytes/s, want %d", l.pace, slowRate)
			}
		}
	})
	origin.call(func() {
		granted := map[int64]int{}
		for _, l := range seed.links {
			granted[l.pace] += l.granted.snapshot().Count()
		}
		if granted[slowRate]*4 > granted[1<<20] {
			t.Errorf("the origin granted by rate %v pieces", granted)
		}
	})
}

// TestPaceIsSaidSeldom: only what has become known, unknown or another by a factor of two.
func TestPaceIsSaidSeldom(t *testing.T) {
	for _, c := range []struct {
		said, rate int64
		want       bool
	}{{0, 0, false}, {0, 1, true}, {1, 0, true}, {100, 199, false}, {100, 51, false}, {100, 200, true}, {100, 50, true}} {
		if got := otherPace(c.said, c.rate); got != c.want {
			t.Errorf("%d after %d is said: %t", c.rate, c.said, got)
		}
	}
}

// TestPaceOfALine: the limit if that is less than what was measured, and a measurement for a
// minute only, since a line that is spared shows nothing more.
func TestPaceOfALine(t *testing.T) {
	now := time.Unix(1e9, 0)
	u := newUplink(func() time.Time { return now })
	if got := u.pace(classWide); got != 0 {
		t.Errorf("%d bytes/s of a line that has carried nothing", got)
	}
	n := &u.lanes[classWide]
	n.top, n.felt = 5000, now
	u.lanes[classWide].limit.set(7000, now)
	if got := u.pace(classWide); got != 5000 {
		t.Errorf("%d bytes/s with a limit above what was measured", got)
	}
	now = now.Add(paceKept)
	if got := u.pace(classWide); got != 7000 {
		t.Errorf("%d bytes/s after a minute, want the limit", got)
	}
	u.lanes[classWide].limit.set(0, now)
	if got := u.pace(classWide); got != 0 {
		t.Errorf("%d bytes/s after a minute without a limit", got)
	}
}
