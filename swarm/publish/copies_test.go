package publish

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"handful/signing"
)

// told is a writer's log, as peers tell of it.
func told(t *testing.T, mark string, size int) *signing.Log {
	t.Helper()
	l, err := signing.NewLog(testRoot(t).ID(), "alice", &signing.Memory{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range size {
		text := fmt.Sprint("post ", i)
		if i >= 3 {
			text += mark
		}
		if _, err := l.Append(post(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.SignHead(seedKey(7), testTime); err != nil {
		t.Fatal(err)
	}
	return l
}

// fill brings a copy to a log by pages of at most count entries; first is the first that was
// asked for, and pages how many.
func fill(t *testing.T, c *Copy, l *signing.Log, kept, count int64) (first int64, pages int) {
	t.Helper()
	missing, err := c.take(l.Head(), kept, 0, nil)
	first = missing
	for ; missing >= 0 && err == nil; pages++ {
		if pages > 100 {
			t.Fatalf("no end: entry %d is missing again and again", missing)
		}
		var p signing.Page
		if p, err = l.Page(missing, count, l.Head().Size); err == nil {
			missing, err = c.takePage(l.Head(), kept, p)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if h := c.Head(); string(h.Raw) != string(l.Head().Raw) {
		t.Fatalf("the copy ends at %d of %d entries", h.Size, l.Head().Size)
	}
	for i := range l.Size() {
		want, _ := l.Entry(i)
		if got, err := c.Entry(i); err != nil || string(got) != string(want) {
			t.Fatalf("entry %d is %q: %v", i, got, err)
		}
	}
	return first, pages
}

// TestCopy fills copies: from the beginning, from where a restart or a crash left it, and with
// another history after a base, whose beginning is kept.
func TestCopy(t *testing.T) {
	dir, id := t.TempDir(), testRoot(t).ID()
	reopen := func(all Copies) *Copy {
		t.Helper()
		if err := all.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := OpenCopies(dir, id)
		if err != nil || len(again) != 1 || again[0].Writer() != "alice" {
			t.Fatalf("%d copies: %v", len(again), err)
		}
		t.Cleanup(func() { again.Close() })
		return again[0]
	}
	c, err := openCopy(dir, id, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if c.Head().Raw != nil {
		t.Error("a new copy has a head")
	}
	if first, pages := fill(t, c, told(t, "", 10), 0, 4); first != 0 || pages != 3 {
		t.Errorf("the first time from %d on, %d pages", first, pages)
	}
	c = reopen(Copies{c})
	if c.Head().Size != 10 {
		t.Fatalf("after a restart it has %d entries", c.Head().Size)
	}
	if first, _ := fill(t, c, told(t, "", 13), 0, 100); first != 10 {
		t.Errorf("the next time from %d on", first)
	}

	// A base took entries from 3 on back, and others came: less than before, and more.
	if first, _ := fill(t, c, told(t, " again", 6), 3, 100); first != 3 {
		t.Errorf("after the base from %d on", first)
	}
	fill(t, c, told(t, " thrice", 9), 3, 2)
	// The same unannounced: all of it comes again.
	if first, _ := fill(t, c, told(t, "", 9), 0, 100); first != 0 {
		t.Errorf("after another history from %d on", first)
	}

	// A crash in the middle of an entry.
	c = reopen(Copies{c})
	path := filepath.Join(dir, "alice", entriesFile)
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, b[:len(b)-3], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c = reopen(Copies{c})
	if c.Head().Raw != nil {
		t.Error("a copy that lacks an entry serves its head")
	}
	if first, _ := fill(t, c, told(t, "", 9), 0, 100); first != 8 {
		t.Errorf("after the crash from %d on", first)
	}

	// A page that is of another log is refused.
	l := told(t, "", 12)
	p, err := told(t, " forged", 12).Page(9, 3, 12)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.takePage(l.Head(), 0, p); err == nil || c.Head().Size != 9 {
		t.Errorf("a forged page: %v, and it has %d", err, c.Head().Size)
	}
}
