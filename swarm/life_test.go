package swarm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"handful/manifest"
	"handful/swarm/policy"
	"handful/swarm/store"
)

// TestCloseEndsWaiting: who waits for a download hears that the node was closed, and
// not that all is well.
func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	st, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	n, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", Isolated: true})
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{Infohash: Infohash{1}, Open: func(*manifest.Torrent) (*store.Content, error) { return nil, errors.New("not reached") }}
	it, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	<-it.Done()
	if err := it.Err(); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v", err)
	}
	if s := it.Snapshot(); s.State != StateFailed || s.Infohash != it.Infohash() {
		t.Errorf("snapshot %+v", s)
	}
	spec.Infohash[1] = 1
	if _, err := n.Add(spec); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed node takes a torrent: %v", err)
	}
}

// TestMetadataAtTheEnd: metadata that comes while the node is closed is dropped, and nobody waits for it.
func TestMetadataAtTheEnd(t *testing.T) {
	t.Parallel()
	seed, n := startNode(t, "seed", nil), startNode(t, "node", nil)
	tor, _ := seed.publish(t, tree(t, t.TempDir(), 100_000), manifest.BuildOptions{Format: manifest.FormatV1})
	v1, _ := tor.InfoHashV1()
	it, err := n.Add(Spec{Infohash: Infohash(v1), Open: func(*manifest.Torrent) (*store.Content, error) { return nil, errors.New("not reached") }})
	if err != nil {
		t.Fatal(err)
	}
	it.cancel()
	<-it.stopped
	if err := it.t.SetInfoBytes(tor.InfoBytes); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := it.metadata(context.WithoutCancel(t.Context())); !errors.Is(err, ErrClosed) {
		t.Errorf("metadata after the end: %v", err)
	}
}

// TestSameTorrentTwice: by its other infohash too, a torrent is in a node once.
func TestSameTorrentTwice(t *testing.T) {
	t.Parallel()
	n := startNode(t, "node", nil)
	tor, first := n.publish(t, tree(t, t.TempDir(), 100_000), manifest.BuildOptions{Format: manifest.FormatHybrid})
	v2, _ := tor.InfoHashV2()
	spec := Spec{Infohash: Infohash(v2[:20]), Open: func(*manifest.Torrent) (*store.Content, error) { return nil, errors.New("not reached") }}
	if _, err := n.Add(spec); err == nil {
		t.Error("added by its v2 infohash, though it is there by v1")
	}
	if err := first.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Add(spec); err != nil {
		t.Fatal(err)
	}
	content, err := n.store.Load()
	if err != nil || len(content) != 1 {
		t.Fatal(err)
	}
	c, err := n.store.Reopen(t.Context(), content[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := n.Add(Spec{Content: c}); err == nil {
		t.Error("added by its v1 infohash, though it is there by v2")
	}
}

// union returns how many pieces are verified at one of the items at least.
func union(items []*Item) (n int) {
	have := make(map[int]bool)
	for _, it := range items {
		it.node.call(func() {
			if it.content == nil {
				return
			}
			for i := range it.torrent.NumPieces() {
				if done, _ := it.content.State(i); done {
					have[i] = true
				}
			}
		})
	}
	return len(have)
}

// TestOriginDies: when one full copy is out, nobody needs the origin any more.
func TestOriginDies(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 2<<20, 70_001)
	origin := startNode(t, "origin", func(c *Config) { c.LimitUp = policy.Steady(2 << 20) })
	tor, seed := origin.publish(t, root, manifest.BuildOptions{PieceLength: 64 << 10})
	var items []*Item
	for i := range 3 {
		n := startNode(t, fmt.Sprintf("leech%d", i), nil)
		items = append(items, n.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr()))
	}
	until(t, "one copy is out", func() bool { return union(items) == tor.NumPieces() })
	if err := seed.Remove(); err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		await(t, it)
		sameTree(t, root, it.Snapshot().Path)
		adds(t, it.Snapshot())
	}
}

// TestRestartInTheMiddle: what was verified before is not fetched again.
func TestRestartInTheMiddle(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 3<<20)
	origin := startNode(t, "origin", func(c *Config) { c.LimitUp = policy.Steady(1 << 20) })
	tor, _ := origin.publish(t, root, manifest.BuildOptions{PieceLength: 64 << 10})
	dir := t.TempDir()
	run := func() (*testNode, *Item) {
		n := startNode(t, "leech", nil)
		n.store.Close()
		st, err := store.Open(filepath.Join(dir, "state"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n.store, n.dir = st, dir
		return n, n.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	}
	n, it := run()
	until(t, "a third is there", func() bool { return it.Snapshot().Done > tor.Length()/3 })
	if err := it.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	n, it = run()
	await(t, it)
	s := it.Snapshot()
	sameTree(t, root, s.Path)
	adds(t, s)
	if s.Reused < tor.Length()/3 {
		t.Errorf("%d of %d bytes were reused", s.Reused, s.Bytes)
	}
	if err := it.Remove(); err != nil {
		t.Error(err)
	}
	if err := n.store.Close(); err != nil {
		t.Error(err)
	}
}

// TestLimits: with limits in both directions a download completes, and adds up.
func TestLimits(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 1<<20, 3)
	origin := startNode(t, "origin", func(c *Config) { c.LimitUp, c.LimitDown = policy.Steady(1<<20), policy.Steady(1) })
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	leech := startNode(t, "leech", func(c *Config) { c.LimitUp, c.LimitDown = policy.Steady(1), policy.Steady(512<<10) })
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, it)
	sameTree(t, root, it.Snapshot().Path)
	adds(t, it.Snapshot())
}

// TestPrivate: peers of a private torrent are not exchanged, though it was asked for
// by infohash and the metadata came later.
func TestPrivate(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 300_000)
	origin := startNode(t, "origin", nil)
	tor, seed := origin.publish(t, root, manifest.BuildOptions{Private: true})
	var items []*Item
	for i := range 2 {
		n := startNode(t, fmt.Sprintf("leech%d", i), nil)
		items = append(items, n.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr()))
	}
	for _, it := range items {
		await(t, it)
		if !it.private.Load() {
			t.Error("the torrent is not taken for private")
		}
	}
	for _, it := range append(items, seed) {
		it.node.call(func() {
			for _, l := range it.links {
				if l.pex.on || l.pex.told != nil {
					t.Errorf("peers are exchanged with %s", l.remote)
				}
			}
			if it != seed && len(it.book.addrs) != 1 {
				t.Errorf("knows %v", it.book.addrs)
			}
		})
	}
}
