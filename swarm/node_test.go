package swarm

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"handful/manifest"
	"handful/swarm/store"
)

// testNode is a node with a store of its own, on loopback, without discovery.
type testNode struct {
	*Node
	store *store.Store
	dir   string
	ev    chan Event
}

func startNode(t *testing.T, name string, change func(*Config)) *testNode {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	st, err := store.Open(filepath.Join(dir, "state"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tn := &testNode{store: st, dir: dir, ev: make(chan Event, 1000)}
	cfg := Config{Listen: "127.0.0.1:0", Isolated: true, MachineID: name, LimitLAN: true, OnEvent: func(ev Event) {
		select {
		case tn.ev <- ev:
		default:
		}
	}}
	if change != nil {
		change(&cfg)
	}
	if tn.Node, err = Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tn.Node.Close(); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return tn
}

func (n *testNode) addr() netip.AddrPort { return n.Addrs()[0] }

// tree makes a folder of files with odd sizes.
func tree(t *testing.T, dir string, sizes ...int) string {
	t.Helper()
	root := filepath.Join(dir, "tree")
	rng := rand.NewChaCha8([32]byte{byte(len(sizes))})
	for i, n := range sizes {
		p := filepath.Join(root, fmt.Sprintf("d%d", i%3), fmt.Sprintf("file-%d.bin", i))
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n)
		rng.Read(b)
		if err := os.WriteFile(p, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// publish seeds a folder from a node as its origin.
func (n *testNode) publish(t *testing.T, root string, o manifest.BuildOptions) (*manifest.Torrent, *Item) {
	t.Helper()
	tor, src, err := manifest.Build(t.Context(), []string{root}, o)
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.store.Seed(tor, src, store.SeedOptions{Origin: true})
	if err != nil {
		t.Fatal(err)
	}
	it, err := n.Add(Spec{Content: c, Origin: true})
	if err != nil {
		t.Fatal(err)
	}
	return tor, it
}

// fetch starts a download by infohash alone.
func (n *testNode) fetch(t *testing.T, ih Infohash, sum *[32]byte, peers ...netip.AddrPort) *Item {
	t.Helper()
	it, err := n.Add(Spec{
		Infohash: ih, InfoSum: sum, Peers: peers,
		Open: func(tor *manifest.Torrent) (*store.Content, error) {
			return n.store.Download(context.Background(), tor, filepath.Join(n.dir, "out"), store.DownloadOptions{})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return it
}

func await(t *testing.T, it *Item) {
	t.Helper()
	select {
	case <-it.Done():
	case <-time.After(60 * time.Second):
		t.Fatalf("not complete: %+v", it.Snapshot())
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
}

func sameTree(t *testing.T, a, b string) {
	t.Helper()
	count := 0
	err := filepath.WalkDir(a, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(a, p)
		x, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		y, err := os.ReadFile(filepath.Join(b, rel))
		if err != nil {
			return err
		}
		if !bytes.Equal(x, y) {
			t.Errorf("%s differs", rel)
		}
		count++
		return nil
	})
	if err != nil || count == 0 {
		t.Fatalf("compare %d files: %v", count, err)
	}
}

// adds checks the accounts of a completed download: what came from all tiers is
// the content and the waste.
func adds(t *testing.T, s ItemSnapshot) {
	t.Helper()
	if got, want := s.Received.Total(), s.Bytes-s.Reused+s.Wasted; got != want {
		t.Errorf("received %d, but bytes %d - reused %d + wasted %d = %d", got, s.Bytes, s.Reused, s.Wasted, want)
	}
}

func TestFetchEachFormat(t *testing.T) {
	for _, f := range []manifest.Format{manifest.FormatHybrid, manifest.FormatV1, manifest.FormatV2} {
		t.Run(f.String(), func(t *testing.T) {
			root := tree(t, t.TempDir(), 1, 100_000, 3<<20+17, 65536, 16384, 700_001)
			origin := startNode(t, "origin", nil)
			tor, _ := origin.publish(t, root, manifest.BuildOptions{Format: f, PieceLength: 64 << 10})
			leech := startNode(t, "leech", nil)
			sum := tor.InfoSum()
			it := leech.fetch(t, Infohash(tor.InfoHash()), &sum, origin.addr())
			await(t, it)
			s := it.Snapshot()
			sameTree(t, root, s.Path)
			adds(t, s)
			if s.Received[TierOrigin] != s.Bytes {
				t.Errorf("received %v, all %d bytes should be the origin's", s.Received, s.Bytes)
			}
			if n := len(it.Torrent().MissingLayers()); n != 0 {
				t.Errorf("%d piece layers are missing", n)
			}
		})
	}
}

func TestCrowd(t *testing.T) {
	const leechers = 5
	root := tree(t, t.TempDir(), 8<<20, 3<<20+1)
	origin := startNode(t, "origin", nil)
	tor, seed := origin.publish(t, root, manifest.BuildOptions{})
	var items []*Item
	for i := range leechers {
		n := startNode(t, fmt.Sprintf("leech%d", i), nil)
		items = append(items, n.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr()))
	}
	for _, it := range items {
		await(t, it)
		s := it.Snapshot()
		sameTree(t, root, s.Path)
		adds(t, s)
		t.Logf("received %v wasted %d", s.Received, s.Wasted)
	}
	sent := float64(seed.Snapshot().Uploaded) / float64(tor.Length())
	t.Logf("origin sent %.2f copies", sent)
	if sent > 2 {
		t.Errorf("origin sent %.2f copies to %d leechers", sent, leechers)
	}
}

// TestLargeContent is larger than every window of the engine: what an origin has
// not granted must not keep what it has granted from being asked for.
func TestLargeContent(t *testing.T) {
	root := tree(t, t.TempDir(), 90<<20)
	origin := startNode(t, "origin", nil)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, it)
	adds(t, it.Snapshot())
	if s := it.Snapshot(); s.Received[TierOrigin] != s.Bytes {
		t.Errorf("received %v of %d bytes", s.Received, s.Bytes)
	}
}
