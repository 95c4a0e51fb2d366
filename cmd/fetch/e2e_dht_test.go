package main_test

import (
	"crypto/ed25519"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"handful/bench/netns"
	. "handful/cmd/fetch"
	"handful/signing"
	"handful/swarm/discover/mainline"
)

// dhtHosts puts machines on a network that passes no multicast on. The addresses are those of
// their nodes; the DHT's is the same.
func dhtHosts(t *testing.T, l *lab, count int) (sides []*side, addrs []string) {
	t.Helper()
	n := l.network(t)
	prefix := netip.MustParsePrefix("10.88.0.1/24")
	b, err := n.Bridge(t.Context(), netns.BridgeOptions{Addr: prefix})
	if err != nil {
		t.Fatal(err)
	}
	addr := prefix.Addr()
	for range count {
		addr = addr.Next()
		h, err := b.Host(t.Context(), netns.HostOptions{Addr: netip.PrefixFrom(addr, prefix.Bits())})
		if err != nil {
			t.Fatal(err)
		}
		s := l.side(t, h.Namespace())
		s.listen = netip.AddrPortFrom(addr, 6881).String()
		sides, addrs = append(sides, s), append(addrs, s.listen)
	}
	return sides, addrs
}

// testDHT: machines that hear no multicast and know no tracker find each other through a DHT
// of their own. Who has the 40 characters of a channel's id fetches its newest.
func testDHT(t *testing.T, l *lab) {
	sides, nodes := dhtHosts(t, l, 3)
	tree := sides[0].path("tree")
	makeOddTree(t, tree, 1<<20)
	old := sides[0].path("older")
	makeOddTree(t, old, 1<<10)
	// Each of the two that stay knows the other, whoever comes first.
	helper := sides[1].start("fetch", "serve", "--dht", "--dht-bootstrap", nodes[0])
	origin := sides[0].start("seed", "publish", old, "--dht", "--dht-bootstrap", nodes[1])
	origin.await("published", is("published"))
	second := sides[0].start("seed", "publish", tree, "--dht", "--dht-bootstrap", nodes[1])
	published := second.await("published", is("published"))
	id, _, _ := strings.Cut(published.Link, "/")
	if len(id) != len("handful:")+40 {
		t.Fatalf("the link %s does not begin with an id", published.Link)
	}
	done := sides[2].fetched(id, "-o", sides[2].path("out"), "--dht", "--dht-bootstrap", nodes[1])
	if done.Bytes != published.Bytes {
		t.Errorf("done says %+v of %+v", done, published)
	}
	sameTrees(t, tree, sides[2].path("out", "tree"))
	second.kill()
	origin.stop()
	helper.stop()
}

// testDHTWriters: what a granted writer has said reaches, through the DHT alone, a follower who
// knows the channel and finds nobody of it, with a liar beside the place where it stands.
func testDHTWriters(t *testing.T, l *lab) {
	sides, nodes := dhtHosts(t, l, 5)
	helper, owner, alice, reader, spy := sides[0], sides[1], sides[2], sides[3], sides[4]
	helped := helper.start("fetch", "serve", "--dht", "--dht-bootstrap", nodes[1])
	in := []string{"--dht", "--dht-bootstrap", nodes[0]}
	first := owner.start("seed", append([]string{"post", "-c", "board", "Hello", "--no-wait"}, in...)...)
	link := first.await("posted", is("posted")).Link
	ends(t, first, 0)
	id, _, _ := strings.Cut(link, "/")
	ends(t, alice.start("seed", "writer", "join", id, "alice", "-c", "board"), 0)
	owner.run("seed", "writer", "add", "-c", "board", "alice", alice.path("alice.pub"))
	serving := owner.start("seed", append([]string{"serve"}, in...)...)
	serving.await("listening", is("listening"))

	follow := append([]string{"follow", id}, in...)
	early := reader.start("fetch", follow...)
	early.await("the owner's words", func(l line) bool { return l.Text == "Hello" })
	told := func(l trustLine) bool { return l.Targets > 0 }
	for !slices.ContainsFunc(linesOf[trustLine](t, reader.run("fetch", append([]string{"trust", id}, in...)...)), told) {
		t.Log("the targets document has not come yet")
	}
	early.stop()

	key := publicKey(t, alice.path("alice.pub"))
	at := udpIn(t, spy.namespace, strings.Replace(nodes[4], "6881", "0", 1))
	lies := HostileNode(t, at, nodes[0], mainline.Target([32]byte(key), []byte("alice")))
	hers := alice.start("seed", append([]string{"serve"}, in...)...)
	hers.await("listening", is("listening"))
	post := alice.start("seed", append([]string{"post", "-c", "board", "From Alice"}, in...)...)
	post.await("posted", is("posted"))
	ends(t, post, 0)
	awaitWord(t, spy, nodes[4], nodes[0], key)
	hers.stop()
	serving.stop()

	late := reader.start("fetch", follow...)
	got := late.await("Alice's words", func(l line) bool { return l.Text == "From Alice" })
	if got.Writer != "alice" || got.State != "fresh" || lies.Load() == 0 {
		t.Errorf("heard %+v; the liar was asked %d times", got, lies.Load())
	}
	late.stop()
	helped.stop()
}

// publicKey reads the file of a writer's public key.
func publicKey(t *testing.T, path string) ed25519.PublicKey {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	k, err := signing.ParsePublicKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k.Ed25519()
}

// udpIn opens a socket inside a namespace.
func udpIn(t *testing.T, namespace, addr string) (c net.PacketConn) {
	t.Helper()
	err := netns.Do(namespace, func() (err error) {
		c, err = net.ListenPacket("udp", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// awaitWord asks the DHT until it has an item of Alice with an entry.
func awaitWord(t *testing.T, s *side, addr, bootstrap string, key ed25519.PublicKey) {
	t.Helper()
	d, err := mainline.Start(mainline.Config{Conn: udpIn(t, s.namespace, addr), Bootstrap: []string{bootstrap}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for limit := time.Now().Add(patience); ; {
		found, err := d.Get(t.Context(), key, []byte("alice"), nil)
		if u, perr := signing.ParseUpdate(found.Item.Value); err == nil && perr == nil && len(u.Entries) == 1 {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("Alice's item is not in the DHT: %v", err)
		}
	}
}
