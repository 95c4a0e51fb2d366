package swarm

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"handful/manifest"
	"handful/swarm/policy"
)

// TestLimitsFollowTheClock: a download that would last for minutes at the limit of the day is done soon after the
// evening has come, when there is none.
func TestLimitsFollowTheClock(t *testing.T) {
	t.Parallel()
	table, err := policy.ParseTimetable("08:00,16384 19:00,off", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	if err != nil {
		t.Fatal(err)
	}
	noon, begun := time.Date(2025, 2, 3, 12, 0, 0, 0, time.UTC), time.Now()
	var evening atomic.Bool // the same moment, elsewhere
	origin := startNode(t, "origin", func(c *Config) {
		c.LimitUp, c.LimitDown = table, table
		c.Now = func() time.Time {
			now := noon.Add(time.Since(begun))
			if evening.Load() {
				return now.In(time.FixedZone("east", 8*3600))
			}
			return now
		}
	})
	root := tree(t, t.TempDir(), 4<<20)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	limits := func() (l limits) {
		origin.call(func() { l = origin.eng.limits })
		return l
	}
	until(t, "the limit is felt", func() bool { return it.Snapshot().Received.Total() >= 2*leastBurst })
	if got := limits(); got.up != 16384 || got.down != 16384 {
		t.Errorf("at noon the limits are %+v, want 16384", got)
	}
	evening.Store(true)
	await(t, it)
	adds(t, it.Snapshot())
	evening.Store(false)
	until(t, "it is noon again", func() bool { return limits().up == 16384 })
}

// TestLimitsSpareNearPeers: a limit that would make the download last for minutes does not bind peers on this machine,
// be they the origin or not.
func TestLimitsSpareNearPeers(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 4<<20)
	slow := func(c *Config) {
		c.LimitUp, c.LimitDown = policy.Steady(16384), policy.Steady(16384)
		c.LimitLAN = false
	}
	origin := startNode(t, "origin", slow)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	leech := startNode(t, "leech", slow)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, it)
	adds(t, it.Snapshot())
}
