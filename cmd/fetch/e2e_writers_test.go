package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// testWritersOffline: what a granted writer says travels with the channel's owner's words where
// no node runs: on a static web server, and in a bundle to a machine without any network and
// from there to the next one. Of a private channel who has the key reads it, who has not sees
// nothing, and a new key reaches the writer.
func testWritersOffline(t *testing.T, l *lab, private bool) {
	owner, alice := l.local(t), l.local(t)
	tree, hers := owner.path("tree"), alice.path("hers")
	makeOddTree(t, tree, 1<<20)
	makeOddTree(t, hers, 1<<18)
	kind := []string{"-c", "board"}
	if private {
		kind = append(kind, "--private")
	}
	p, published := owner.publish(tree, kind...)
	p.stop()
	serve := owner.start("seed", "serve")
	at := serve.await("listening", is("listening")).Addr
	bare := "handful:" + published.Channel
	_, key, _ := strings.Cut(published.Link, "#k=")
	o := offlineBoard{t: t, lab: l, owner: owner, private: private, bare: bare, key: key, tree: tree}
	hersServing, later, want, entries := o.herWords(alice, at, hers)

	web := owner.path("web")
	mirrored := owner.exported("--http", web, "-c", "board")
	for limit := time.Now().Add(patience); mirrored.Entries < entries; mirrored = owner.exported("--http", web, "-c", "board") {
		if time.Now().After(limit) {
			t.Fatalf("the owner's node has not all that Alice published:\n%s", serve.tail())
		}
	}
	// Her files are not there before they are fetched.
	if mirrored.Missing != 1 || mirrored.Items != 1 {
		t.Errorf("without Alice's files: %d torrents, %d missing", mirrored.Items, mirrored.Missing)
	}
	owner.fetched(o.hers, "-o", owner.path("hers"))
	if mirrored = owner.exported("--http", web, "-c", "board"); mirrored.Missing != 0 || mirrored.Items != 2 {
		t.Errorf("with Alice's files: %d torrents, %d missing", mirrored.Items, mirrored.Missing)
	}
	hersServing.stop()
	serve.stop()
	path := filepath.Join(openDir(t), "board.bundle")
	exported := owner.exported("--bundle", path, "-c", "board")
	if exported.Missing != 0 || exported.Items != 2 {
		t.Errorf("the bundle has %d torrents, and lacks %d", exported.Items, exported.Missing)
	}
	if exported.Entries != entries || private != strings.Contains(exported.Link, "#k="+later) {
		t.Errorf("the bundle has %d entries, want %d; its link is %s", exported.Entries, entries, exported.Link)
	}
	for _, dir := range []string{web, filepath.Dir(path), owner.path("state", "seed", "copies"), alice.path("state", "seed", "logs")} {
		if where := finds(t, dir, "Hello from Alice"); private == (where != "") {
			t.Errorf("private %v: Alice's words are in %q below %s", private, where, dir)
		}
		if where := finds(t, dir, "AGE-SECRET-KEY-"); where != "" {
			t.Errorf("a key is in %s", where)
		}
	}
	o.readers(web, path, later, want)
	if private {
		o.blind(path)
	}
}

// offlineBoard is the channel of testWritersOffline.
type offlineBoard struct {
	t         *testing.T
	lab       *lab
	owner     *side
	private   bool
	bare, key string // the channel's link, and the first read key
	tree      string
	hers      string // the link of Alice's tree
	hersTree  string
}

// hello is what Alice says first, before there is another key.
var hello = []string{"alice: Hello from Alice"}

func (o offlineBoard) link(hint string) string { return o.linkWith(hint, o.key) }

func (o offlineBoard) linkWith(hint, key string) string {
	if o.private {
		return o.bare + hint + "#k=" + key
	}
	return o.bare + hint
}

// herWords lets Alice join and publish, with the owner's node at an address. want is what who has
// the key later reads of her, entries how many the channel then has.
func (o *offlineBoard) herWords(alice *side, at, hers string) (serving *process, later string, want []string, entries int64) {
	t, owner, link := o.t, o.owner, o.link
	t.Helper()
	later = o.key
	joined := alice.start("seed", "writer", "join", link("?pe="+at), "alice", "-c", "board")
	ends(t, joined, 0)
	owner.run("seed", "writer", "add", "-c", "board", "alice", alice.path("alice.pub"))
	serving = alice.start("seed", "serve")
	serving.await("listening", is("listening"))
	posted(t, alice, "Hello from Alice")
	want = hello // with the newest key
	if o.private {
		// A reader comes: the new key goes to readers, and Alice is none yet.
		ends(t, owner.start("seed", "reader", "add", "-c", "board", "ann", "age17allfvg83zlaef3v5za3vr2z0n6hvtv9726u445q0myu8l4mmcyscdhd3a"), 0)
		o.heard(alice)
		refusedPost := alice.start("seed", "post", "-c", "board", "Too early")
		ends(t, refusedPost, 12)
		reader := joined.await("a reader's key", is("reader_key")).Key
		ends(t, owner.start("seed", "reader", "add", "-c", "board", "alice", reader), 0)
		rekeyed := owner.start("seed", "rekey", "-c", "board")
		_, later, _ = strings.Cut(rekeyed.await("rekeyed", is("rekeyed")).Link, "#k=")
		ends(t, rekeyed, 0)
		o.heard(alice)
		if again := posted(t, alice, "Under the new key"); !strings.HasSuffix(again, "#k="+later) {
			t.Errorf("Alice's link has another key than the channel: %s", again)
		}
		want = []string{"alice: Under the new key"}
	}
	p := alice.start("seed", "publish", hers, "-c", "board", "--no-wait")
	o.hers, o.hersTree = p.await("her tree", is("published")).Link, hers
	ends(t, p, 0)
	entries = 4 // the tree, the grant, Alice's words and tree
	if o.private {
		entries += 4 // three times a read key, and her words
	}
	return serving, later, want, entries
}

// heard waits until Alice's node has all that the owner has signed: news take their time.
func (o offlineBoard) heard(alice *side) {
	o.t.Helper()
	id := strings.TrimPrefix(o.bare, "handful:")
	said, copied := o.owner.path("state", "seed", "logs", id, "m", "head"), alice.path("state", "seed", "copies", id, "m", "head")
	for limit := time.Now().Add(patience); ; alice.run("seed", "status") {
		want, err := os.ReadFile(said)
		if err != nil {
			o.t.Fatal(err)
		}
		if got, err := os.ReadFile(copied); err == nil && bytes.Equal(got, want) {
			return
		}
		if time.Now().After(limit) {
			o.t.Fatalf("Alice's node has not what the owner's says:\n%s", want)
		}
	}
}

// readers read from a web server, and where no network is.
func (o offlineBoard) readers(web, path, later string, want []string) {
	t, l, link := o.t, o.lab, o.link
	t.Helper()
	// A web server is all there is.
	url := serveStatic(t, web)
	reader := l.local(t)
	if got := saidBy(t, reader.once(0, o.linkWith("?ws="+url, later), "--json")); !subset(want, got) {
		t.Errorf("from the web server come %q", got)
	}
	done := reader.fetched(link("/m/0?ws="+url), "-o", reader.path("out"))
	sameTrees(t, o.tree, done.Path)
	if done.Received["webseed"] == 0 {
		t.Errorf("nothing came from the web: %+v", done.Received)
	}

	bare, _, _ := strings.Cut(o.hers, "?")
	bare, _, _ = strings.Cut(bare, "#")
	hers := reader.fetched(strings.Replace(o.linkWith("?ws="+url, later), o.bare, bare, 1), "-o", reader.path("hers"))
	sameTrees(t, o.hersTree, hers.Path)

	// No network at all.
	island := l.side(t, isolated(t))
	took := island.start("fetch", "bundle", path, link(""), "-o", island.path("out"))
	ends(t, took, 0)
	if got := saidBy(t, string(took.stdout)); !subset(hello, got) {
		t.Errorf("from the bundle come %q", got)
	}
	sameTrees(t, o.tree, island.path("out", "tree"))
	if later == o.key { // she wrote under a newer one
		sameTrees(t, o.hersTree, island.path("out", filepath.Base(o.hersTree)))
	}
	// It can be read there too, once: then there is nothing new, and nobody to ask.
	if got := saidBy(t, island.once(0, link(""), "--json", "--timeout", "1s")); !subset(hello, got) {
		t.Errorf("after the bundle %q is read", got)
	}
	island.once(10, link(""), "--timeout", "1s")
	onward := filepath.Join(filepath.Dir(path), "onward.bundle")
	ends(t, island.start("fetch", "bundle", "--export", onward, link("")), 0)
	next := l.side(t, isolated(t))
	took = next.start("fetch", "bundle", onward, link(""), "-o", next.path("out"))
	ends(t, took, 0)
	if got := saidBy(t, string(took.stdout)); !subset(hello, got) {
		t.Errorf("from the second bundle come %q", got)
	}
	sameTrees(t, o.tree, next.path("out", "tree"))
}

// blind has no key, and passes on what it cannot read.
func (o offlineBoard) blind(path string) {
	t, l, link, bare := o.t, o.lab, o.link, o.bare
	t.Helper()
	onward := filepath.Join(filepath.Dir(path), "blind.bundle")
	// Without the key: nothing is read, and it is passed on to who has one.
	blind := l.side(t, isolated(t))
	took := blind.start("fetch", "bundle", path, bare, "-o", blind.path("out"))
	ends(t, took, 0)
	if got := saidBy(t, string(took.stdout)); len(got) > 0 {
		t.Errorf("without the key %q is read", got)
	}
	if _, err := os.Stat(blind.path("out", "tree")); err == nil {
		t.Error("without the key the tree has its name")
	}
	ends(t, blind.start("fetch", "bundle", "--export", onward, bare, "--force"), 0)
	last := l.side(t, isolated(t))
	took = last.start("fetch", "bundle", onward, link(""), "-o", last.path("out"))
	ends(t, took, 0)
	if got := saidBy(t, string(took.stdout)); !subset(hello, got) {
		t.Errorf("from a blind machine's bundle come %q", got)
	}
	sameTrees(t, o.tree, last.path("out", "tree"))
}

// saidBy returns the texts among lines of JSON, each behind its writer.
func saidBy(t *testing.T, out string) (all []string) {
	t.Helper()
	for _, e := range entriesOf(t, out) {
		if e.Text != "" {
			all = append(all, e.Writer+": "+e.Text)
		}
	}
	return all
}

func subset(want, got []string) bool {
	return !slices.ContainsFunc(want, func(s string) bool { return !slices.Contains(got, s) })
}
