package main_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretWords are in the tree of testPrivate, in a file, in names and in a title, and must
// be nowhere where there is no key.
const secretWords = "the minutes of the board"

// testPrivate: a publisher, a cache without a key, readers. What the cache has on disk and
// tells nobody is plaintext; it seeds when the publisher is gone; readers seed ciphertext
// out of plaintext; who is removed reads nothing that comes later.
func testPrivate(t *testing.T, l *lab) {
	publisher, cache, ann, bob, cid := l.local(t), l.local(t), l.local(t), l.local(t), l.local(t)
	tree := publisher.path(secretWords)
	makeOddTree(t, tree, 1<<20)
	plantFile(t, filepath.Join(tree, secretWords+".txt"), strings.Repeat(secretWords+"\n", 5000))

	origin, published := publisher.publish(tree, "--private", "-c", "board", "--title", secretWords)
	bare, key, _ := strings.Cut(published.Link, "#k=")
	if !strings.HasPrefix(key, "AGE-SECRET-KEY-1") || strings.Contains(bare, "dn=") {
		t.Fatalf("the link is %s", published.Link)
	}
	wrong := bare + "#k=" + wrongKey
	refusedWith(t, cache, 2, "is private, and the link has no key", bare, "-o", cache.path("out"))
	refusedWith(t, cid, 12, "no key that is here opens it", wrong, "-o", cid.path("out"))
	last := "Q"
	if strings.HasSuffix(key, last) {
		last = "P"
	}
	refusedWith(t, cid, 2, "the key behind #k= is damaged", bare+"#k="+key[:len(key)-1]+last, "-o", cid.path("out"))

	keeper := cache.start("fetch", bare, "--blind", "-o", cache.path("out"), "--seed-for", "1h")
	blind := keeper.await("done", is("done"))
	blind.adds(t)
	at := keeper.await("listening", is("listening")).Addr
	done := ann.fetched(published.Link, "-o", ann.path("out"), "--peer", at)
	sameTrees(t, tree, done.Path)
	if done.Bytes != blind.Bytes || filepath.Base(done.Path) != secretWords {
		t.Errorf("a reader has %+v, the cache %+v", done, blind)
	}
	verifies(t, ann, done.Path)
	origin.stop()

	// The publisher is gone, and the cache has all of it.
	done = bob.fetched(published.Link, "-o", bob.path("out"), "--peer", at)
	sameTrees(t, tree, done.Path)
	keeper.stop()
	for _, dir := range []string{cache.path("state"), cache.path("out")} {
		if where := finds(t, dir, secretWords); where != "" {
			t.Errorf("the cache has plaintext in %s", where)
		}
		if where := finds(t, dir, "AGE-SECRET-KEY-"); where != "" {
			t.Errorf("the cache has a key in %s", where)
		}
	}

	// A reader has plaintext only, and seeds ciphertext out of it.
	serving := ann.start("fetch", "serve")
	at = serving.await("listening", is("listening")).Addr
	done = cid.fetched(published.Link, "-o", cid.path("out"), "--peer", at)
	sameTrees(t, tree, done.Path)
	serving.stop()

	// What was fetched without a key is decrypted when there is one, and nothing comes anew.
	done = cache.fetched(published.Link, "-o", cache.path("out"), "--peer", at, "--timeout", "60s")
	if done.received() != 0 {
		t.Errorf("what was there was fetched: %+v", done)
	}
	sameTrees(t, tree, done.Path)
	testRekey(t, publisher, ann, bob, cid, published.Link)
}

// testRekey: two readers who send their keys, one of whom is removed later.
func testRekey(t *testing.T, publisher, ann, bob, cid *side, link string) {
	old := "#k=" + link[strings.Index(link, "#k=")+3:]
	serve := publisher.start("seed", "serve")
	at := serve.await("listening", is("listening")).Addr
	for name, who := range map[string]*side{"ann": ann, "bob": bob} {
		p := who.start("fetch", "key")
		key := p.await("a key", is("reader_key")).Key
		again := who.start("fetch", "key")
		if other := again.await("a key", is("reader_key")).Key; other != key || !strings.HasPrefix(key, "age1") {
			t.Errorf("%s has the key %s, and %s", name, key, other)
		}
		ends(t, publisher.start("seed", "reader", "add", "-c", "board", name, key), 0)
	}
	ends(t, publisher.start("seed", "reader", "add", "-c", "board", "eve", wrongKey), 2)
	both := posted(t, publisher, "for both of them")
	says(t, bob, bareLink(both)+"?pe="+at, "for both of them") // without any key in the link

	ends(t, publisher.start("seed", "reader", "remove", "-c", "board", "nobody"), 10)
	p := publisher.start("seed", "reader", "remove", "-c", "board", "bob")
	next := p.await("rekeyed", is("rekeyed")).Link
	ends(t, p, 0)
	later := posted(t, publisher, "for ann alone")
	says(t, ann, bareLink(later)+"?pe="+at, "for ann alone")
	says(t, bob, bareLink(both)+"?pe="+at, "for both of them")
	for _, who := range []*side{bob, cid} {
		refusedWith(t, who, 12, "no key that is here opens it", bareLink(later)+"?pe="+at+old)
	}
	_, key, _ := strings.Cut(next, "#k=")
	says(t, cid, bareLink(later)+"?pe="+at+"#k="+key, "for ann alone")

	list := publisher.start("seed", "reader", "ls", "-c", "board")
	ends(t, list, 0)
	if text := string(list.stdout); !strings.Contains(text, "ann") || strings.Contains(text, "bob") {
		t.Errorf("the readers are %s", text)
	}
	current := publisher.start("seed", "reader", "link", "-c", "board")
	if got := current.await("link", is("link")).Link; !strings.HasSuffix(got, "#k="+key) {
		t.Errorf("the link is %s", got)
	}

	// Who follows without a key that fits is told so, and not left with silence.
	for who, want := range map[*side]string{bob: "what no key that is here opens is not shown", publisher.lab.local(t): "no key of it is here"} {
		if out := who.once(0, bareLink(later)+"?pe="+at, "--json"); !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	serve.stop()
	// No log has ever seen a key.
	if strings.Contains(string(serve.stderr)+string(serve.stdout), "AGE-SECRET-KEY-") {
		t.Errorf("serve has told a key:\n%s", serve.tail())
	}
	if where := finds(t, publisher.path("state", "seed", "logs"), "for ann"); where != "" {
		t.Errorf("the log has a text in the clear: %s", where)
	}
}

// wrongKey is a key that opens nothing.
const wrongKey = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"

func plantFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func bareLink(link string) string {
	link, _, _ = strings.Cut(link, "#")
	link, _, _ = strings.Cut(link, "?")
	return link
}

// posted posts a text with the node that serves, and returns its link.
func posted(t *testing.T, s *side, text string) string {
	t.Helper()
	p := s.start("seed", "post", "-c", "board", text)
	link := p.await("posted", is("posted")).Link
	ends(t, p, 0)
	return link
}

// says fetches a text.
func says(t *testing.T, s *side, link, want string) {
	t.Helper()
	p := s.start("fetch", link)
	if got := p.await("entry", is("entry")).Text; got != want {
		t.Errorf("%q is %q", link, got)
	}
	ends(t, p, 0)
}

func ends(t *testing.T, p *process, code int) {
	t.Helper()
	if got := p.wait(); got != code {
		t.Errorf("%s ended with %d, want %d\n%s", p.name, got, code, p.tail())
	}
}

// refused runs a fetch that ends with a code, an error that has some words, and a hint.
func refusedWith(t *testing.T, s *side, code int, words string, args ...string) {
	t.Helper()
	p := s.start("fetch", append(args, "--timeout", "60s")...)
	ends(t, p, code)
	l := p.await("error", is("error"))
	if !strings.Contains(l.Message, words) || l.Hint == "" {
		t.Errorf("it says %q, hint %q", l.Message, l.Hint)
	}
	if strings.Contains(string(p.stdout)+string(p.stderr), "AGE-SECRET-KEY-") {
		t.Errorf("it tells the key:\n%s", p.tail())
	}
}

func verifies(t *testing.T, s *side, path string) {
	t.Helper()
	ends(t, s.start("fetch", "verify", path), 0)
}

// finds looks for words in the names and the bytes of a tree.
func finds(t *testing.T, dir, words string) (where string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && !strings.Contains(d.Name(), words) || !d.Type().IsRegular() && !d.IsDir() {
			return err
		}
		if strings.Contains(d.Name(), words) {
			where = path
			return nil
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(words)) {
			where = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}
