package publish

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"handful/signing"
	"handful/signing/durable/crashfs"
)

// copyFS is a backup of all files.
func copyFS(fs *crashfs.FS) *crashfs.FS {
	backup := crashfs.New()
	for _, p := range fs.Paths() {
		backup.Put(p, fs.Get(p))
	}
	return backup
}

// TestRestoreRefuses restores a backup that is older than what was published.
func TestRestoreRefuses(t *testing.T) {
	fs := crashfs.New()
	l := open(t, "log", config(t, fs))
	publish(t, l, "a", "b", "c")
	backup := copyFS(fs)
	publish(t, l, "d", "e")
	newest := publish(t, l, "f")

	c := config(t, backup)
	c.New = false
	old := open(t, "log", c)
	if err := old.ObserveHead(newest.Raw); !errors.Is(err, ErrBehind) {
		t.Fatalf("told of a newer head: %v", err)
	}
	if _, err := old.Sign(testTime); !errors.Is(err, ErrBehind) {
		t.Fatalf("an old backup signs: %v", err)
	}
	if _, err := old.Append(post("x")); !errors.Is(err, ErrBehind) {
		t.Fatalf("an old backup appends: %v", err)
	}
	old = open(t, "log", c) // the refusal survives a restart
	if _, err := old.Sign(testTime); !errors.Is(err, ErrBehind) {
		t.Fatalf("an old backup signs after a restart: %v", err)
	}
	for rounds := 0; old.Size() < newest.Size; rounds++ {
		if rounds > 4 {
			t.Fatalf("no progress beyond %d entries", old.Size())
		}
		p, err := l.Page(old.CatchUpFrom(), 1, newest.Size)
		if err != nil {
			t.Fatal(err)
		}
		if displaced, err := old.CatchUp(p); err != nil || len(displaced) > 0 {
			t.Fatalf("catch up: %d displaced, %v", len(displaced), err)
		}
		if rounds == 1 { // half of it survives a restart
			old = open(t, "log", c)
		}
	}
	if h := publish(t, old, "g"); h.Size != 7 {
		t.Fatalf("after catching up %d entries are signed", h.Size)
	}
}

// TestRestoreWithUnsignedEntry has appended to the old backup before the network could
// be asked.
func TestRestoreWithUnsignedEntry(t *testing.T) {
	fs := crashfs.New()
	l := open(t, "log", config(t, fs))
	publish(t, l, "a")
	backup := copyFS(fs)
	newest := publish(t, l, "b")
	old := open(t, "log", config(t, backup))
	if _, err := old.Append(post("mine")); err != nil {
		t.Fatal(err)
	}
	if err := old.ObserveHead(newest.Raw); !errors.Is(err, ErrBehind) {
		t.Fatalf("told of a head over another entry than the unsigned one: %v", err)
	}
	p, err := l.Page(old.CatchUpFrom(), 10, newest.Size)
	if err != nil {
		t.Fatal(err)
	}
	displaced, err := old.CatchUp(p)
	if err != nil || len(displaced) != 1 || string(displaced[0]) != string(post("mine")) {
		t.Fatalf("displaced %q, %v", displaced, err)
	}
	if h := publish(t, old, "mine"); h.Size != 3 {
		t.Fatalf("size %d", h.Size)
	}
}

// TestTwoMachines uses one key on two machines: the fork is refused by whoever sees the
// other's head.
func TestTwoMachines(t *testing.T) {
	fs := crashfs.New()
	l := open(t, "log", config(t, fs))
	publish(t, l, "a")
	other := copyFS(fs)
	mine := publish(t, l, "b")
	o := open(t, "log", config(t, other))
	theirs := publish(t, o, "c")
	for _, tt := range []struct {
		l *Log
		h signing.Head
	}{{l, theirs}, {o, mine}} {
		if err := tt.l.ObserveHead(tt.h.Raw); !errors.Is(err, signing.ErrFork) {
			t.Fatalf("told of the other history: %v", err)
		}
		if _, err := tt.l.Sign(testTime); !errors.Is(err, signing.ErrFork) {
			t.Fatalf("signs on in a fork: %v", err)
		}
	}
	o = open(t, "log", config(t, other))
	if _, err := o.Append(post("d")); !errors.Is(err, signing.ErrFork) {
		t.Fatalf("appends to a fork after a restart: %v", err)
	}
}

// TestCatchUpKeepsWhatWasSigned is shown a longer history than its own: what it signed
// is never displaced.
func TestCatchUpKeepsWhatWasSigned(t *testing.T) {
	fs := crashfs.New()
	l := open(t, "log", config(t, fs))
	publish(t, l, "a")
	o := open(t, "log", config(t, copyFS(fs)))
	publish(t, o, "mine")
	newest := publish(t, l, "b", "c", "d")
	if err := o.ObserveHead(newest.Raw); !errors.Is(err, ErrBehind) {
		t.Fatalf("a longer history cannot be told from an old backup yet: %v", err)
	}
	for first := range int64(4) {
		p, err := l.Page(first, 4, newest.Size)
		if err != nil {
			t.Fatal(err)
		}
		displaced, err := o.CatchUp(p)
		if err == nil || len(displaced) > 0 || first <= 2 && !errors.Is(err, signing.ErrFork) {
			t.Errorf("page from %d on: displaced %q, %v", first, displaced, err)
		}
	}
	if e, err := o.Entry(1); err != nil || string(e) != string(post("mine")) {
		t.Errorf("the signed entry is now %q, %v", e, err)
	}
}

func TestMissingLogIsUnconfirmed(t *testing.T) {
	fs := crashfs.New()
	c := config(t, fs)
	c.New = false
	l := open(t, "log", c)
	if _, err := l.Append(post("a")); !errors.Is(err, ErrUnconfirmed) {
		t.Fatalf("a lost log is continued: %v", err)
	}
	c.New = true // too late: it was opened before
	l = open(t, "log", c)
	if _, err := l.Sign(testTime); !errors.Is(err, ErrUnconfirmed) {
		t.Fatalf("a lost log is signed: %v", err)
	}
	if err := l.Confirm(); err != nil {
		t.Fatal(err)
	}
	l = open(t, "log", c)
	publish(t, l, "a")
}

// TestLostEntries loses or damages files one by one.
func TestLostEntries(t *testing.T) {
	fs := crashfs.New()
	l := open(t, "log", config(t, fs))
	publish(t, l, "a", "b", "c")
	for _, tt := range []struct {
		name   string
		damage func(*crashfs.FS)
		opens  bool  // OpenLog succeeds
		signs  error // what Sign says then
		text   string
	}{
		{"entries gone", func(f *crashfs.FS) { f.Put("log/entries", nil) }, true, ErrBehind, ""},
		{"entries cut within", func(f *crashfs.FS) { b := f.Get("log/entries"); f.Put("log/entries", b[:len(b)-1]) }, false, ErrDamaged, "log/entries"},
		{"bit in an entry", func(f *crashfs.FS) { b := f.Get("log/entries"); b[9] ^= 1; f.Put("log/entries", b) }, false, ErrDamaged, "log/entries"},
		{"hashes gone", func(f *crashfs.FS) { f.Put("log/hashes", nil) }, true, nil, ""},
		{"bit in the hashes", func(f *crashfs.FS) { b := f.Get("log/hashes"); b[70] ^= 1; f.Put("log/hashes", b) }, true, nil, ""},
		{"head gone", func(f *crashfs.FS) { f.Remove("log/head") }, true, nil, ""},
		{"bit in the head", func(f *crashfs.FS) { b := f.Get("log/head"); b[len(b)-20] ^= 1; f.Put("log/head", b) }, true, nil, ""},
		{"about-to-sign gone", func(f *crashfs.FS) { f.Remove("log/about-to-sign") }, true, nil, ""},
		{"about-to-sign damaged", func(f *crashfs.FS) { f.Put("log/about-to-sign", []byte("x")) }, false, ErrDamaged, "log/about-to-sign"},
		{"entries and about-to-sign gone", func(f *crashfs.FS) { f.Put("log/entries", nil); f.Remove("log/about-to-sign") }, true, ErrBehind, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broken := copyFS(fs)
			tt.damage(broken)
			c := config(t, broken)
			c.New = false
			l, err := OpenLog("log", c)
			if tt.opens != (err == nil) {
				t.Fatalf("open: %v", err)
			}
			if err == nil {
				_, err = l.Sign(testTime)
			}
			if !errors.Is(err, tt.signs) || tt.text != "" && !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %v, want %v", err, tt.signs)
			}
		})
	}
}

// TestProposedIsKept: a signature may have left for other holders of keys when the machine fails. Whatever the disk
// keeps, what was signed is remembered, and entries from a backup get no second head of that size.
func TestProposedIsKept(t *testing.T) {
	for _, loss := range crashfs.Losses {
		fs := crashfs.New()
		l := open(t, "log", config(t, fs))
		publish(t, l, "a")
		entries, heads := fs.Get("log/entries"), fs.Get("log/head")
		if _, err := l.Append(post("b")); err != nil {
			t.Fatal(err)
		}
		proposed, err := l.Propose(testTime)
		if err != nil {
			t.Fatal(err)
		}
		fs.Restart(loss)
		fs.Put("log/entries", entries)
		if got := fs.Get("log/head"); !bytes.Equal(got, heads) {
			t.Fatalf("loss %v: the head was taken before it was accepted", loss)
		}
		c := config(t, fs)
		c.New = false
		old := open(t, "log", c)
		if _, err := old.Append(post("c")); !errors.Is(err, ErrBehind) {
			t.Errorf("loss %v: appended over %d entries, though a head over 2 was signed: %v", loss, old.Size(), err)
		}
		if raw, err := old.Propose(testTime); !errors.Is(err, ErrBehind) {
			t.Errorf("loss %v: signed %q after %q: %v", loss, raw, proposed, err)
		}
	}
}
