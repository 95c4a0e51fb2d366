package main_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testAttached: files are part of a post. Who follows with a place for them has them, also after a kill; of what is
// withdrawn he has none, and nothing of his own is replaced.
func testAttached(t *testing.T, l *lab) {
	first, second := l.local(t), l.local(t)
	big := noise(4 << 20)
	for name, b := range map[string][]byte{"big.bin": big, "note.txt": []byte("a note\n"), "gone.txt": []byte("never to be seen\n")} {
		if err := os.WriteFile(first.path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	talker := first.start("seed", "post", "--title", "Two files", "--attach", "big.bin", "--attach", "note.txt", "see below")
	link := talker.await("posted", is("posted")).Link

	// Killed in the middle of a file.
	p := second.start("fetch", "follow", link, "--name", "room", "-o", "out", "--limit-down", "400K", "--limit-lan")
	p.await("a part", func(l line) bool { return l.Type == "progress" && l.Done > 1<<20 && l.Done < l.Total })
	p.kill()
	first.said("post", "--attach", "gone.txt", "to be withdrawn")
	first.said("withdraw", "1", "--reason", "a mistake")
	done := doneOf(t, second.once(0, link, "-o", "out", "--json"))
	if len(done) != 1 || !strings.HasSuffix(done[0].Link, "/m/0") || done[0].Path != second.path("out", "room", "m-0", "Two files files") {
		t.Fatalf("after a kill: %+v", done)
	}
	var received int64
	for tier, n := range done[0].Received {
		if tier != "reused" {
			received += n
		}
	}
	if received >= int64(len(big)) {
		t.Errorf("after a kill all is fetched again: %+v", done[0])
	}
	same := func(want []byte, path ...string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(path...)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes, want %d: %v", filepath.Join(path...), len(got), len(want), err)
		}
	}
	same(big, done[0].Path, "big.bin")
	same([]byte("a note\n"), done[0].Path, "note.txt")
	if entries, err := os.ReadDir(second.path("out", "room")); err != nil || len(entries) != 1 {
		t.Errorf("what was withdrawn is there: %v, %v", entries, err)
	}
	if done := doneOf(t, second.once(0, link, "-o", "out", "--json")); len(done) != 0 {
		t.Errorf("nothing new is fetched again: %+v", done)
	}

	// What is published comes as well, and the files of one post by its link alone.
	first.said("post", "--attach", "note.txt", "the note alone")
	published := first.start("seed", "publish", "note.txt", "--title", "The note", "--no-wait")
	if code := published.wait(); code != 0 {
		t.Fatalf("publish ended with %d\n%s", code, published.tail())
	}
	if done := doneOf(t, second.once(0, link, "-o", "out", "--json")); len(done) != 2 { // one file, in two entries
		t.Errorf("of two entries with the same file: %+v", done)
	}
	same([]byte("a note\n"), second.path("out", "room", "m-3", "note.txt"))
	same([]byte("a note\n"), second.path("out", "room", "m-4", "note.txt"))
	third := l.local(t)
	one := third.fetched(strings.Replace(link, "/m/0", "/m/3", 1), "-o", third.path("here"))
	same([]byte("a note\n"), one.Path)

	// Nothing of one's own is replaced.
	mine := third.path("out", "room", "m-0", "Two files files")
	if err := os.MkdirAll(filepath.Dir(mine), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	third.once(3, link, "--name", "room", "-o", "out")
	same([]byte("mine"), mine)
	talker.stop()
}

// testAttachedPrivate: in a private channel files are as secret as texts.
func testAttachedPrivate(t *testing.T, l *lab) {
	first, second := l.local(t), l.local(t)
	if err := os.WriteFile(first.path("plan.txt"), []byte("the secret plan\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	talker := first.start("seed", "post", "--private", "-c", "secret", "--attach", "plan.txt", "as agreed")
	link := talker.await("posted", is("posted")).Link
	out := second.once(0, link, "--name", "secret", "-o", "out", "--json")
	if got := entriesOf(t, out); len(got) != 1 || got[0].Text != "as agreed" || !strings.Contains(out, `"name":"plan.txt"`) {
		t.Errorf("it printed %s", out)
	}
	if got, err := os.ReadFile(second.path("out", "secret", "m-0", "plan.txt")); err != nil || string(got) != "the secret plan\n" {
		t.Errorf("%q, %v\n%s", got, err, out)
	}
	log, err := filepath.Glob(first.path("state", "seed", "logs", "*", "m", "entries"))
	if err != nil || len(log) != 1 {
		t.Fatal(log, err)
	}
	if b, err := os.ReadFile(log[0]); err != nil || bytes.Contains(b, []byte("plan.txt")) || bytes.Contains(b, []byte("agreed")) {
		t.Errorf("the log shows what is secret: %v", err)
	}
	first.said("withdraw", "0", "-c", "secret")
	talker.stop()
}

// noise returns bytes that nothing makes shorter, the same each time.
func noise(n int) (b []byte) {
	for sum := sha256.Sum256(nil); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:n]
}

// doneOf returns what was fetched, of lines of JSON.
func doneOf(t *testing.T, out string) (all []line) {
	t.Helper()
	for s := range strings.Lines(out) {
		var l line
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			t.Fatalf("%v: %q", err, s)
		}
		if l.Type == "done" {
			all = append(all, l)
		}
	}
	return all
}
