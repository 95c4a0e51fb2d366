package swarm

import (
	"sync/atomic"
	"testing"
	"time"

	"handful/manifest"
)

// until waits for something that nobody announces.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	late := time.After(30 * time.Second)
	for !f() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// held returns how many requests an item's peers have not answered.
func (n *testNode) held(it *Item) (sum int64) {
	n.call(func() {
		for _, l := range it.links {
			sum += l.asked.Load()
		}
	})
	return sum
}

// silent starts peers that claim everything, unchoke and then answer nothing.
func silent(t *testing.T, tor *manifest.Torrent, it *Item, ids ...string) {
	for _, id := range ids {
		p := &rawPeer{hash: Infohash(tor.InfoHash()), info: tor.InfoBytes, pieces: tor.NumPieces(), id: id}
		it.AddPeers(p.start(t))
	}
}

// TestSilentHoldersOfRequests: silent peers hold the last blocks; the download
// completes from another.
func TestSilentHoldersOfRequests(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 2<<14)
	origin := startNode(t, "origin", nil)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{Format: manifest.FormatV1, PieceLength: 16 << 10})
	leech := startNode(t, "leech", nil)
	sum := tor.InfoSum()
	it := leech.fetch(t, Infohash(tor.InfoHash()), &sum)
	silent(t, tor, it, "silent-1", "silent-2")
	until(t, "the silent ones have all requests", func() bool { return leech.held(it) == int64(tor.NumPieces()) })
	it.AddPeers(origin.addr())
	await(t, it)
	sameTree(t, root, it.Snapshot().Path)
	adds(t, it.Snapshot())
}

// TestNoProgressIsToldThoughConnected: the watchdog connects anew, but what others
// judge a stalled download by, LastProgress, stays where it was.
func TestNoProgressIsToldThoughConnected(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 2<<14)
	origin := startNode(t, "origin", nil)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{Format: manifest.FormatV1, PieceLength: 16 << 10})
	var ahead atomic.Int64
	leech := startNode(t, "leech", func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil)
	silent(t, tor, it, "silent")
	until(t, "requests are held", func() bool { return leech.held(it) > 0 })
	before := it.Snapshot()
	ahead.Store(int64(stallDrop))
	until(t, "the connection is made anew", func() bool {
		s := it.Snapshot()
		return len(s.Peers) > 0 && s.Peers[0].Addr == before.Peers[0].Addr && leech.newestLink(it) > 1
	})
	if after := it.Snapshot(); !after.LastProgress.Equal(before.LastProgress) {
		t.Errorf("last progress went from %v to %v, and nothing was received", before.LastProgress, after.LastProgress)
	}
}

// newestLink returns the number of the item's latest connection.
func (n *testNode) newestLink(it *Item) (id uint64) {
	n.call(func() {
		for _, l := range it.links {
			id = max(id, l.id)
		}
	})
	return id
}
