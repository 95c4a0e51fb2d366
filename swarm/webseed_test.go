package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"handful/manifest"
	"handful/swarm/policy"
	"handful/swarm/store"
)

// webServer has a tree and its torrent, and counts what it sends of files.
type webServer struct {
	*httptest.Server
	sent     atomic.Int64
	requests atomic.Int64
}

type sending struct {
	http.ResponseWriter
	s *webServer
}

func (w sending) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.s.sent.Add(int64(n))
	return n, err
}

// serveTree serves what is in the directory of a tree under /files/, and tor. change may
// answer first, and then returns true.
func serveTree(t *testing.T, root string, tor *manifest.Torrent, change func(http.ResponseWriter, *http.Request) bool) *webServer {
	t.Helper()
	s := &webServer{}
	files := http.StripPrefix("/files", http.FileServer(http.Dir(filepath.Dir(root))))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case change != nil && change(w, r):
		case r.URL.Path == "/t.torrent":
			w.Write(tor.Bytes())
		default:
			s.requests.Add(1)
			files.ServeHTTP(sending{w, s}, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// fetchWeb starts a download that knows web servers.
func (n *testNode) fetchWeb(t *testing.T, tor *manifest.Torrent, peers []netip.AddrPort, servers ...*webServer) *Item {
	t.Helper()
	sum := tor.InfoSum()
	spec := Spec{Infohash: Infohash(tor.InfoHash()), InfoSum: &sum, Peers: peers,
		Open: func(tor *manifest.Torrent) (*store.Content, error) {
			return n.store.Download(context.Background(), tor, filepath.Join(n.dir, "out"), store.DownloadOptions{})
		}}
	for _, s := range servers {
		spec.WebSeeds = append(spec.WebSeeds, s.URL+"/files/")
		spec.WebTorrents = append(spec.WebTorrents, s.URL+"/t.torrent")
	}
	it, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	return it
}

func built(t *testing.T, root string, f manifest.Format) *manifest.Torrent {
	t.Helper()
	tor, _, err := manifest.Build(t.Context(), []string{root}, manifest.BuildOptions{Format: f, PieceLength: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return tor
}

// noRanges hides from a server that ranges were asked for, as simple ones do not know them.
func noRanges(_ http.ResponseWriter, r *http.Request) bool {
	r.Header.Del("Range")
	return false
}

// TestWebOnly: without any peer everything comes from the web, the metadata too, of
// servers with ranges and without.
func TestWebOnly(t *testing.T) {
	for name, change := range map[string]func(http.ResponseWriter, *http.Request) bool{"ranges": nil, "whole files": noRanges} {
		for _, f := range []manifest.Format{manifest.FormatHybrid, manifest.FormatV1, manifest.FormatV2} {
			t.Run(fmt.Sprint(name, " ", f), func(t *testing.T) {
				t.Parallel()
				root := tree(t, t.TempDir(), 1, 100_000, 3<<20+17, 65536, 16384, 700_001)
				tor := built(t, root, f)
				s := serveTree(t, root, tor, change)
				n := startNode(t, "alone", nil)
				it := n.fetchWeb(t, tor, nil, s)
				await(t, it)
				snap := it.Snapshot()
				sameTree(t, root, snap.Path)
				adds(t, snap)
				if snap.Received[TierWebSeed] != snap.Bytes || snap.Wasted != 0 || s.sent.Load() < snap.Bytes || s.sent.Load() > snap.Bytes+snap.Bytes/10 {
					t.Errorf("received %v, wasted %d, %d were sent of %d", snap.Received, snap.Wasted, s.sent.Load(), snap.Bytes)
				}
				for _, p := range it.Explain().Pieces {
					if len(p.From) != 1 || p.From[0].Tier != TierWebSeed || !strings.Contains(p.From[0].From.String(), "(web seed)") {
						t.Fatalf("a piece came %+v", p)
					}
				}
			})
		}
	}
}

// TestWebLast: while the origin is there, the web is asked for nothing.
func TestWebLast(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 4<<20)
	origin := startNode(t, "origin", nil)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	s := serveTree(t, root, tor, nil)
	n := startNode(t, "leech", func(c *Config) { c.LimitDown = policy.Steady(1 << 20) })
	it := n.fetchWeb(t, tor, []netip.AddrPort{origin.addr()}, s)
	await(t, it)
	if got := it.Snapshot(); s.requests.Load() != 0 || got.Received[TierWebSeed] != 0 || got.Received[TierOrigin] != got.Bytes {
		t.Errorf("%d requests, received %v", s.requests.Load(), got.Received)
	}
}

// TestWebShared: nodes that know each other and have only the web besides fetch about one
// copy from it, and trade.
func TestWebShared(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 24<<20)
	tor := built(t, root, manifest.FormatHybrid)
	s := serveTree(t, root, tor, nil)
	var nodes []*testNode
	for i := range 3 {
		nodes = append(nodes, startNode(t, fmt.Sprint("peer", i), func(c *Config) { c.LimitDown = policy.Steady(3 << 20) }))
	}
	var items []*Item
	for i, n := range nodes {
		items = append(items, n.fetchWeb(t, tor, []netip.AddrPort{nodes[(i+1)%3].addr()}, s))
	}
	for _, it := range items {
		await(t, it)
		snap := it.Snapshot()
		sameTree(t, root, snap.Path)
		adds(t, snap)
		t.Logf("received %v wasted %d", snap.Received, snap.Wasted)
	}
	copies := float64(s.sent.Load()) / float64(tor.Length())
	t.Logf("the server sent %.2f copies", copies)
	if copies > 1.6 {
		t.Errorf("the server sent %.2f copies to 3 nodes that know each other", copies)
	}
}

// TestWebLies: servers that have other files, or none, cost their bytes and no more.
func TestWebLies(t *testing.T) {
	root := tree(t, t.TempDir(), 1<<20, 300_000)
	tor := built(t, root, manifest.FormatHybrid)
	other := tree(t, t.TempDir(), 1<<20, 300_000)
	for _, name := range []string{"d0/file-0.bin", "d1/file-1.bin"} {
		b, err := os.ReadFile(filepath.Join(other, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		b[10] ^= 1
		if err := os.WriteFile(filepath.Join(other, filepath.FromSlash(name)), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	wrong := tree(t, t.TempDir(), 5, 5)
	for name, liar := range map[string]*webServer{
		"other bytes":   serveTree(t, other, tor, nil),
		"shorter files": serveTree(t, wrong, tor, nil),
		"no files":      serveTree(t, filepath.Join(t.TempDir(), "none"), tor, nil),
		"another torrent": serveTree(t, root, built(t, wrong, manifest.FormatHybrid), func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/t.torrent" {
				w.WriteHeader(http.StatusInternalServerError)
			}
			return r.URL.Path != "/t.torrent"
		}),
		"another range": serveTree(t, root, tor, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				return false
			}
			w.Header().Set("Content-Range", "bytes 5-9/100")
			w.WriteHeader(http.StatusPartialContent)
			return true
		}),
		"an endless body": serveTree(t, root, tor, func(w http.ResponseWriter, r *http.Request) bool {
			for r.URL.Path != "/t.torrent" {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return true
				}
			}
			return false
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			honest := serveTree(t, root, tor, nil)
			it := startNode(t, "node", nil).fetchWeb(t, tor, nil, liar, honest)
			await(t, it)
			snap := it.Snapshot()
			sameTree(t, root, snap.Path)
			adds(t, snap)
			t.Logf("received %v wasted %d", snap.Received, snap.Wasted)
			if snap.Wasted > 4<<20 {
				t.Errorf("%d bytes were wasted", snap.Wasted)
			}
		})
	}
}

// TestWebResume: what is there is not asked for.
func TestWebResume(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 4<<20)
	tor := built(t, root, manifest.FormatHybrid)
	s := serveTree(t, root, tor, nil)
	n := startNode(t, "node", nil)
	c, err := n.store.Download(t.Context(), tor, filepath.Join(n.dir, "out"), store.DownloadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(root, "d0", "file-0.bin"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; i < tor.NumPieces(); i += 2 {
		b := make([]byte, tor.PieceSize(i))
		if _, err := f.ReadAt(b, int64(i)*tor.PieceLength); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.PutPiece(i, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	it := n.fetchWeb(t, tor, nil, s)
	await(t, it)
	if snap := it.Snapshot(); snap.Reused != 2<<20 || snap.Received[TierWebSeed] != 2<<20 {
		t.Errorf("reused %d, received %v", snap.Reused, snap.Received)
	}
}

// TestWebLANOnly: a node that keeps to its networks asks no server beyond, and looks up no
// name.
func TestWebLANOnly(t *testing.T) {
	n := startNode(t, "node", func(c *Config) { c.LANOnly = true })
	for _, u := range []string{"http://203.0.113.9/", "http://localhost:1/", "http://[2001:db8::1]/"} {
		if _, err := n.Web().Get(u); !errors.Is(err, errBeyond) {
			t.Errorf("%s: %v", u, err)
		}
	}
}
