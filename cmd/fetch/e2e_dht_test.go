package main_test

import (
	"crypto/ed25519"
	"encoding/base32"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"handful/bench/netns"
	. "handful/cmd/fetch"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/discover/mainline"
)

// testDHT: machines that hear no multicast and know no tracker find each other through a DHT of their own, in which a liar
// stands nearer to the channel's item than anybody. Who has the 40 characters of the channel's id fetches its newest. When
// the publisher is gone, who has the DHT key as well is told the newest by the DHT, not the old item that the liar replays.
func testDHT(t *testing.T, l *lab) {
	sides := quiet(t, l, "10.88.0.1/24", 7)
	var nodes []string
	for _, s := range sides {
		nodes = append(nodes, s.listen)
	}
	publisher, follower, late, hostile := sides[0], sides[4], sides[5], sides[6]
	dht := func(of int) []string { return []string{"--dht", "--dht-bootstrap", nodes[of]} }
	tree, old := publisher.path("tree"), publisher.path("older")
	makeOddTree(t, tree, 1<<20)
	makeOddTree(t, old, 1<<10)
	var helpers []*process
	for i, s := range sides[1:4] { // each knows one of the others, whoever comes first
		helper := s.start("fetch", append([]string{"serve"}, dht(1+(i+1)%3)...)...)
		helper.await("listening", is("listening"))
		helpers = append(helpers, helper)
	}
	publisher.ended(0, "seed", "post", "--no-wait", "the first, which nobody asks for")
	id, key := dhtKey(t, publisher)
	lies := hostile.liar(nodes[1], mainline.Target([32]byte(key), []byte(signing.MainWriter)))

	origin := publisher.start("seed", append([]string{"publish", old}, dht(1)...)...)
	origin.await("published", is("published"))
	first := lies.await("an item", func(l line) bool { return strings.HasPrefix(l.Message, "put ") })
	origin.stop()
	origin = publisher.start("seed", append([]string{"publish", tree}, dht(2)...)...)
	published := origin.await("published", is("published"))
	if len(id.String()) != 40 || published.Channel != id.String() {
		t.Fatalf("the link %s does not begin with %s", published.Link, id)
	}
	done := follower.fetched(append([]string{"handful:" + id.String(), "-o", follower.path("out")}, dht(3)...)...)
	if done.Bytes != published.Bytes {
		t.Errorf("done says %+v of %+v", done, published)
	}
	sameTrees(t, tree, follower.path("out", "tree"))

	lies.await("a newer item", func(l line) bool { return strings.HasPrefix(l.Message, "put ") && l.Message != first.Message })
	origin.stop()
	link := signing.Link{ID: id, Index: -1, DHTKey: strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key))}
	said := late.ended(0, "fetch", append([]string{"follow", "--once", link.String()}, dht(2)...)...)
	said.find("the newest entry", func(l line) bool { return l.Type == "entry" && l.Index == published.Index })
	for _, what := range []string{"no seq", "wrong key", "huge value", "old seq", "garbage"} {
		lies.await("lie: "+what, func(l line) bool { return l.Message == what })
	}
	for _, helper := range helpers {
		helper.stop()
	}
}

// dhtKey returns the id and the DHT key of a publisher's only channel.
func dhtKey(t *testing.T, s *side) (signing.ID, []byte) {
	t.Helper()
	dir := s.path("state", "seed", "keys")
	ids, err := keyfile.List(dir)
	if err != nil || len(ids) != 1 {
		t.Fatalf("channels %v: %v", ids, err)
	}
	keys, err := keyfile.Open(dir, ids[0])
	if err != nil {
		t.Fatal(err)
	}
	return ids[0], keys.Newest().DHTKey()
}

// liar runs a node of a DHT at the side's address that answers with lies.
func (s *side) liar(bootstrap string, target [20]byte) *process {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	program := filepath.Join(openDir(s.t), "hostile-dht")
	if err := os.Symlink(self, program); err != nil { // testscript.Main looks at the name
		s.t.Fatal(err)
	}
	s.programs = map[string]string{"fetch": program}
	return s.start("fetch", s.listen, bootstrap, hex.EncodeToString(target[:]))
}

// testDHTWriters: what a granted writer has said reaches, through the DHT alone, a follower who
// knows the channel and finds nobody of it, with a liar beside the place where it stands.
func testDHTWriters(t *testing.T, l *lab) {
	sides := quiet(t, l, "10.88.0.1/24", 5)
	var nodes []string
	for _, s := range sides {
		nodes = append(nodes, s.listen)
	}
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
	lies := LiarAt(at, nodes[0], mainline.Target([32]byte(key), []byte("alice")))
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
