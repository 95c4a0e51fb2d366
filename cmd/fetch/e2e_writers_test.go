package main_test

import (
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
	linkWith := func(hint, key string) string {
		if private {
			return bare + hint + "#k=" + key
		}
		return bare + hint
	}
	link := func(hint string) string { return linkWith(hint, key) }
	later, hello := key, []string{"alice: Hello from Alice"}

	joined := alice.start("seed", "writer", "join", link("?pe="+at), "alice", "-c", "board")
	ends(t, joined, 0)
	owner.run("seed", "writer", "add", "-c", "board", "alice", alice.path("alice.pub"))
	hisServe := alice.start("seed", "serve")
	hisServe.await("listening", is("listening"))
	posted(t, alice, "Hello from Alice")
	want := hello // with the newest key
	if private {
		// A reader comes: the new key goes to readers, and Alice is none yet.
		ends(t, owner.start("seed", "reader", "add", "-c", "board", "ann", "age17allfvg83zlaef3v5za3vr2z0n6hvtv9726u445q0myu8l4mmcyscdhd3a"), 0)
		refusedPost := alice.start("seed", "post", "-c", "board", "Too early")
		ends(t, refusedPost, 12)
		reader := joined.await("a reader's key", is("reader_key")).Key
		ends(t, owner.start("seed", "reader", "add", "-c", "board", "alice", reader), 0)
		rekeyed := owner.start("seed", "rekey", "-c", "board")
		_, later, _ = strings.Cut(rekeyed.await("rekeyed", is("rekeyed")).Link, "#k=")
		ends(t, rekeyed, 0)
		if again := posted(t, alice, "Under the new key"); !strings.HasSuffix(again, "#k="+later) {
			t.Errorf("Alice's link has another key than the channel: %s", again)
		}
		want = []string{"alice: Under the new key"}
	}
	ends(t, alice.start("seed", "publish", hers, "-c", "board", "--no-wait"), 0)
	entries := int64(4) // the tree, the grant, Alice's words and tree
	if private {
		entries += 4 // three times a read key, and her words
	}

	web := owner.path("web")
	for limit := time.Now().Add(patience); owner.exported("--http", web, "-c", "board").Entries < entries; {
		if time.Now().After(limit) {
			t.Fatalf("the owner's node has not all that Alice published:\n%s", serve.tail())
		}
	}
	hisServe.stop()
	serve.stop()
	path := filepath.Join(openDir(t), "board.bundle")
	exported := owner.exported("--bundle", path, "-c", "board")
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

	// A web server is all there is.
	url := serveStatic(t, web)
	reader := l.local(t)
	if got := saidBy(t, reader.once(0, linkWith("?ws="+url, later), "--json")); !subset(want, got) {
		t.Errorf("from the web server come %q", got)
	}
	done := reader.fetched(link("/m/0?ws="+url), "-o", reader.path("out"))
	sameTrees(t, tree, done.Path)
	if done.Received["webseed"] == 0 {
		t.Errorf("nothing came from the web: %+v", done.Received)
	}

	// No network at all.
	island := l.side(t, isolated(t))
	took := island.start("fetch", "bundle", path, link(""), "-o", island.path("out"))
	ends(t, took, 0)
	if got := saidBy(t, string(took.stdout)); !subset(hello, got) {
		t.Errorf("from the bundle come %q", got)
	}
	sameTrees(t, tree, island.path("out", "tree"))
	onward := filepath.Join(filepath.Dir(path), "onward.bundle")
	ends(t, island.start("fetch", "bundle", "--export", onward, link("")), 0)
	next := l.side(t, isolated(t))
	took = next.start("fetch", "bundle", onward, link(""), "-o", next.path("out"))
	ends(t, took, 0)
	if got := saidBy(t, string(took.stdout)); !subset(hello, got) {
		t.Errorf("from the second bundle come %q", got)
	}
	sameTrees(t, tree, next.path("out", "tree"))
	if !private {
		return
	}

	// Without the key: nothing is read, and it is passed on to who has one.
	blind := l.side(t, isolated(t))
	took = blind.start("fetch", "bundle", path, bare, "-o", blind.path("out"))
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
	sameTrees(t, tree, last.path("out", "tree"))
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
