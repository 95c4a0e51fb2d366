package swarm

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"handful/manifest"
	"handful/swarm/store"
)

// inDHT is a node of a private DHT with nobody in it but those that are named.
func inDHT(t *testing.T, name string, bootstrap ...string) *testNode {
	return startNode(t, name, func(c *Config) { c.DHT, c.DHTBootstrap = true, bootstrap })
}

// TestDHTFetch: who knows an infohash and a DHT finds the content.
func TestDHTFetch(t *testing.T) {
	first := startNode(t, "first", func(c *Config) { c.DHT, c.Tracker = true, true })
	bootstrap := first.DHT().Addr().String()
	origin := inDHT(t, "origin", bootstrap)
	root := tree(t, origin.dir, 100_000, 7)
	tor, seed := origin.publish(t, root, manifest.BuildOptions{})
	await(t, seed)
	leech := inDHT(t, "leech", bootstrap)
	sum := tor.InfoSum()
	it := leech.fetch(t, Infohash(tor.InfoHash()), &sum)
	await(t, it)
	sameTree(t, root, filepath.Join(leech.dir, "out", "tree"))
}

// TestDHTPort: the tracker and the DHT answer on one UDP port.
func TestDHTPort(t *testing.T) {
	n := startNode(t, "both", func(c *Config) { c.DHT, c.Tracker = true, true })
	if got := n.DHT().Addr(); got != n.addr() {
		t.Fatalf("the DHT is on %s, the node on %s", got, n.addr())
	}
	c, err := net.Dial("udp", n.addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	ask := func(q []byte) []byte {
		t.Helper()
		if _, err := c.Write(q); err != nil {
			t.Fatal(err)
		}
		for b := make([]byte, 2048); ; {
			k, err := c.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(b[:k], []byte("1:y1:q")) { // the DHT may ask us in turn, and first
				return b[:k]
			}
		}
	}
	connect := binary.BigEndian.AppendUint64(nil, 0x41727101980)
	connect = append(connect, 0, 0, 0, 0, 'a', 'b', 'c', 'd')
	if got := ask(connect); len(got) != 16 || !bytes.Equal(got[4:8], []byte("abcd")) {
		t.Errorf("the tracker answers %q", got)
	}
	if got := ask([]byte("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe")); !bytes.Contains(got, []byte("1:t2:aa1:y1:re")) {
		t.Errorf("the DHT answers %q", got)
	}
}

// TestDHTPrivate: what is private is not named in the DHT, and with LANOnly there is none.
func TestDHTPrivate(t *testing.T) {
	if n := startNode(t, "lan", func(c *Config) { c.DHT, c.LANOnly = true, true }); n.DHT() != nil {
		t.Error("a node that keeps to the local network is in the DHT")
	}
	if n := startNode(t, "off", nil); n.DHT() != nil {
		t.Error("a node is in the DHT that was not asked to be")
	}
	n := inDHT(t, "node")
	announces := func(it *Item, want bool, what string) {
		t.Helper()
		n.view(func() {}) // what was posted before is done
		if got := n.DHT().Announces([20]byte(it.hash)); got != want {
			t.Errorf("%s: announced is %v", what, got)
		}
	}
	root := tree(t, n.dir, 1000)
	_, open := n.publish(t, root, manifest.BuildOptions{})
	announces(open, true, "a public torrent")
	_, private := n.publish(t, tree(t, t.TempDir(), 1000, 1000), manifest.BuildOptions{Private: true})
	announces(private, false, "a private torrent")
	hidden, err := n.Add(Spec{Infohash: Infohash{1}, Unlisted: true, Open: func(*manifest.Torrent) (*store.Content, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	announces(hidden, false, "what is not listed")
	g, err := n.Join(GossipConfig{Infohash: Infohash{2}, Protocol: "x"})
	if err != nil {
		t.Fatal(err)
	}
	announces(g.item, true, "a channel")
	g.Unlist()
	announces(g.item, false, "a channel that turns out to be private")
	if g, err = n.Join(GossipConfig{Infohash: Infohash{3}, Protocol: "x", Unlisted: true}); err != nil {
		t.Fatal(err)
	}
	announces(g.item, false, "a private channel")
	if err := open.Remove(); err != nil {
		t.Fatal(err)
	}
	announces(open, false, "what was removed")
}

// TestDHTUnreached: with routers that are not there a node works as without, and says nothing
// about it that its user would see.
func TestDHTUnreached(t *testing.T) {
	var mu sync.Mutex
	var said []string
	nodes := make([]*testNode, 2)
	for i, name := range []string{"origin", "leech"} {
		nodes[i] = startNode(t, name, func(c *Config) {
			c.DHT, c.DHTBootstrap = true, []string{"127.0.0.77:9"}
			c.Logger = slog.New(tell(func(r slog.Record) {
				mu.Lock()
				defer mu.Unlock()
				said = append(said, r.Message)
			}))
		})
	}
	root := tree(t, nodes[0].dir, 50_000)
	tor, _ := nodes[0].publish(t, root, manifest.BuildOptions{})
	await(t, nodes[1].fetch(t, Infohash(tor.InfoHash()), nil, nodes[0].addr()))
	for _, n := range nodes {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(said) > 0 {
		t.Errorf("the log says %q", said)
	}
}

// tell is a log handler for warnings.
type tell func(slog.Record)

func (tell) Enabled(_ context.Context, l slog.Level) bool    { return l >= slog.LevelWarn }
func (f tell) Handle(_ context.Context, r slog.Record) error { f(r); return nil }
func (f tell) WithAttrs([]slog.Attr) slog.Handler            { return f }
func (f tell) WithGroup(string) slog.Handler                 { return f }
