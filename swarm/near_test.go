package swarm

import (
	"testing"

	"handful/manifest"
)

// TestBlindNodeCountsEverythingFar: a node that is blind to tiers takes its neighbours on loopback for far ones; the
// origin stays the origin, because grants do not depend on nearness.
func TestBlindNodeCountsEverythingFar(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 600_000)
	origin := startNode(t, "origin", nil)
	tor, seed := origin.publish(t, root, manifest.BuildOptions{})
	first := startNode(t, "first", nil)
	sighted := first.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, sighted)
	if err := seed.Remove(); err != nil {
		t.Fatal(err)
	}
	blind := startNode(t, "blind", func(c *Config) { c.Blind = true })
	it := blind.fetch(t, Infohash(tor.InfoHash()), nil, first.addr())
	await(t, it)
	s := it.Snapshot()
	if s.Received[TierFar] != s.Received.Total() {
		t.Errorf("received %v, want all of it far", s.Received)
	}
	if got := sighted.Snapshot(); got.Received[TierOrigin] != got.Received.Total() {
		t.Errorf("received %v, want all of it from the origin", got.Received)
	}
	adds(t, s)
}
