package main

import (
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/discover/mainline"
	"handful/swarm/follow"
	"handful/swarm/publish"
)

// dhtNode starts a node that finds others through a private DHT and in no other way.
func dhtNode(t *testing.T, number int, bootstrap ...string) *swarm.Node {
	t.Helper()
	n, err := swarm.Start(t.Context(), swarm.Config{
		Listen: fmt.Sprintf("127.0.0.%d:0", number), Isolated: true, MachineID: fmt.Sprint("machine ", number),
		DHT: true, DHTBootstrap: bootstrap, Tracker: number%2 == 0, // half of them share the port with a tracker
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	if got := n.DHT().Addr(); got.Port() != n.Port() {
		t.Logf("node %d: DHT on %s, TCP on port %d", number, got, n.Port())
	}
	return n
}

// publishMedia publishes an entry whose content nobody has.
func publishMedia(t *testing.T, p *publish.Publisher, name string) {
	t.Helper()
	sum := [32]byte([]byte(strings.Repeat(name[:1], 32)))
	e := manifest.Media{Head: manifest.Header{Time: time.Now().UnixMilli()}, InfoSum: sum, Name: name, Size: 1, Title: name}
	if _, err := p.Publish(e.Bytes()); err != nil {
		t.Fatal(err)
	}
}

// newest follows a channel on a node and returns the name of its newest entry.
func newest(t *testing.T, n *swarm.Node, cfg follow.Config) (*follow.Follower, string) {
	t.Helper()
	cfg.Node, cfg.Dir = n, t.TempDir()
	f, err := follow.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	found, err := f.Find(t.Context(), signing.MainWriter, -1)
	if err != nil {
		t.Fatal(err)
	}
	return f, found.Entry.(manifest.Media).Name
}

// TestDHT has five nodes that know of each other through a private DHT on loopback, without
// tracker and multicast, and a liar beside the channel's item. Who has nothing but the 40
// characters of the id gets the newest entry from the publisher. When the publisher is gone,
// who knows the DHT key as well gets it from the DHT.
func TestDHT(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds")
	}
	t.Parallel()
	first := dhtNode(t, 1)
	bootstrap := first.DHT().Addr().String()
	publisher := dhtNode(t, 2, bootstrap)
	others := []*swarm.Node{dhtNode(t, 3, bootstrap), dhtNode(t, 4, bootstrap)}

	keys, err := keyfile.Create(t.TempDir(), keyfile.Options{Title: "Demo", Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	key := keys.Newest().DHTKey()
	at, err := net.ListenPacket("udp", "127.0.0.66:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { at.Close() })
	lies := LiarAt(at, bootstrap, mainline.Target([32]byte(key), []byte(signing.MainWriter)))
	p, err := publish.Open(t.Context(), publish.Config{Node: publisher, Keys: keys, Dir: t.TempDir(), New: true})
	if err != nil {
		t.Fatal(err)
	}
	publishMedia(t, p, "older")
	publishMedia(t, p, "newest")

	id, err := signing.ParseID(keys.ID.String()) // all that a follower needs
	if err != nil {
		t.Fatal(err)
	}
	f, got := newest(t, dhtNode(t, 5, bootstrap), follow.Config{ID: id})
	if got != "newest" || f.Peers() == 0 {
		t.Errorf("from the id alone it found %q at %d peers", got, f.Peers())
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}

	// The items are there, and name what a BEP 46 client is to fetch.
	item := awaitItem(t, others[0].DHT(), key, signing.MainWriter)
	u, err := signing.ParseUpdate(item.Value)
	want := manifest.Media{InfoSum: [32]byte([]byte(strings.Repeat("n", 32)))}.InfoHash()
	if ih, ok := mainline.Pointer(item.Value); err != nil || !ok || ih != want || len(u.Entries) != 2 {
		t.Errorf("the item is %q: %v", item.Value, err)
	}
	awaitItem(t, others[1].DHT(), key, "root")
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := publisher.Close(); err != nil {
		t.Error(err)
	}
	f, got = newest(t, dhtNode(t, 6, bootstrap), follow.Config{ID: id, DHTKey: key})
	if got != "newest" || f.Peers() != 0 {
		t.Errorf("without its publisher it found %q at %d peers", got, f.Peers())
	}
	if lies.Load() == 0 {
		t.Error("nobody asked the liar, who proves nothing then")
	}
}

// awaitItem asks until the DHT has the item: it is put beside what the publisher does.
func awaitItem(t *testing.T, d *mainline.Node, key []byte, salt string) mainline.Item {
	t.Helper()
	for {
		found, err := d.Get(t.Context(), key, []byte(salt), nil)
		if err == nil {
			return found.Item
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
