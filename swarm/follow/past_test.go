package follow

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/durable"
	"handful/swarm/feed"
)

// pastWorld is a writer's log beside what a follower keeps of it.
type pastWorld struct {
	t   *testing.T
	dir string
	log *signing.Log
}

func newPastWorld(t *testing.T) *pastWorld {
	root := testRoot(t)
	log, err := signing.NewLog(root.ID(), signing.MainWriter, &signing.Memory{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &pastWorld{t: t, dir: t.TempDir(), log: log}
}

func (w *pastWorld) open() *past { return newPast(durable.OS{}, w.dir) }

// grow appends posts of one minute each.
func (w *pastWorld) grow(n int, what string) {
	for range n {
		at := testTime.Add(time.Duration(w.log.Size()) * time.Minute)
		e, err := manifest.EncodeEntry(manifest.Post{Head: manifest.Header{Time: at.UnixMilli()}, Title: fmt.Sprint(what, w.log.Size())})
		if err == nil {
			_, err = w.log.Append(e)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *pastWorld) entries(from, to int64) (out [][]byte) {
	for i := from; i < to; i++ {
		e, err := w.log.Entry(i)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func (w *pastWorld) border(at int64) ([][32]byte, bool) {
	r, err := w.log.Range(0, at)
	return r, err == nil
}

func (w *pastWorld) take(p *past, from, to int64) {
	w.t.Helper()
	if err := p.take(signing.MainWriter, from, w.entries(from, to), w.border); err != nil {
		w.t.Fatal(err)
	}
}

// proves checks that all from first up to size is proven, and nothing before.
func (w *pastWorld) proves(p *past, first, size int64) {
	w.t.Helper()
	if a, b, ok := p.holds(signing.MainWriter); !ok || a != first || b != size {
		w.t.Errorf("the entries %d to %d are kept (%v), want %d to %d", a, b, ok, first, size)
		return
	}
	root, err := w.log.RootAt(size)
	if err != nil {
		w.t.Fatal(err)
	}
	for at := first; at < size; {
		page, ok := p.page(signing.MainWriter, at, 256, size)
		if !ok {
			w.t.Fatalf("no page from entry %d on", at)
		}
		if err := page.Verify(signing.Head{Size: size, Root: root}); err != nil {
			w.t.Fatalf("the page from entry %d on: %v", at, err)
		}
		at += int64(len(page.Entries))
	}
	if _, ok := p.page(signing.MainWriter, first-1, 256, size); first > 0 && ok {
		w.t.Errorf("entry %d is proven, and is not kept", first-1)
	}
}

func TestPast(t *testing.T) {
	w := newPastWorld(t)
	w.grow(700, "post ")
	p := w.open()
	w.take(p, 130, 135)
	w.take(p, 135, 600)
	w.proves(p, 130, 600)
	p = w.open() // after a restart
	w.proves(p, 130, 600)
	w.take(p, 600, 700)
	w.proves(p, 130, 700)

	// What was torn by a crash is read again.
	if err := os.Truncate(filepath.Join(w.dir, "m", "2"), 100); err != nil {
		t.Fatal(err)
	}
	p = w.open()
	_, size, _ := p.holds(signing.MainWriter)
	if size <= 512 || size >= 600 {
		t.Fatalf("%d entries are left of a torn bundle", size)
	}
	w.take(p, 640, 700) // what is missing in between makes it begin anew
	w.proves(p, 640, 700)

	// A run of which nothing is known before it waits for a border.
	p = newPast(durable.OS{}, t.TempDir())
	if err := p.take(signing.MainWriter, 300, w.entries(300, 400), func(at int64) ([][32]byte, bool) {
		if at != 310 {
			return nil, false
		}
		return w.border(at)
	}); err != nil {
		t.Fatal(err)
	}
	w.proves(p, 310, 400)
}

// Entries that a document has taken back give way to those in their place.
func TestPastWithdrawn(t *testing.T) {
	w, other := newPastWorld(t), newPastWorld(t)
	other.dir = w.dir
	w.grow(400, "post ")
	other.grow(300, "post ")
	w.grow(300, "withdrawn ")
	other.grow(250, "instead ")
	p := w.open()
	w.take(p, 10, 700)
	other.take(p, 300, 520)
	other.proves(p, 10, 520)
	p = w.open()
	other.proves(p, 10, 520)
	other.take(p, 520, 550)
	other.proves(p, 10, 550)

	// Where it is not known that they were taken back, it shows at the next entry.
	p = w.open()
	w.grow(1, "post ")
	if err := p.take(signing.MainWriter, 550, w.entries(550, 560), w.border); err != nil {
		t.Fatal(err)
	}
	w.proves(p, 550, 560)
}

func TestPastPruned(t *testing.T) {
	for name, tt := range map[string]struct {
		keep feed.Keep
		want int64
	}{
		"all":      {feed.Keep{}, 100},
		"by count": {feed.Keep{Count: 300}, 512},
		"by age":   {feed.Keep{Age: 230 * time.Minute}, 768},
		"by bytes": {feed.Keep{Bytes: 1}, 768},
	} {
		w := newPastWorld(t)
		w.grow(1000, "post ")
		p := w.open()
		w.take(p, 100, 1000)
		if err := p.prune(tt.keep, testTime.Add(1000*time.Minute)); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			w.proves(p, tt.want, 1000)
			w.proves(w.open(), tt.want, 1000)
		})
	}
}

func FuzzPastRange(f *testing.F) {
	f.Add([]byte("0\n"))
	f.Add([]byte("1\nlwZARTxng2duP6Y04jvSAy8HRaI6egpFeiy88jPDMc4=\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if index, err := parsePastRange(b); err == nil && string(pastRange(index)) != string(b) {
			t.Fatalf("%q is printed as %q", b, pastRange(index))
		}
	})
}

// TestOldFromFollowers: when the writer is gone a stranger gets all that was ever said from
// followers, in order and verified; and from them, in turn, who comes next.
func TestOldFromFollowers(t *testing.T) {
	const posts = 2500
	w := newTalker(t)
	var all []manifest.Entry
	for i := range posts {
		all = append(all, text("an entry that is long enough for all of them to be far more than an update: ", i))
	}
	w.say(all...)
	first := listenFrom(t, w, posts, w.node.Addrs())
	first.await(posts)
	if err := w.ch.Leave(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := w.node.Close(); err != nil {
		t.Fatal(err)
	}
	second := listenFrom(t, w, posts, first.f.cfg.Node.Addrs())
	second.await(posts)
	first.close()
	if err := first.f.cfg.Node.Close(); err != nil {
		t.Fatal(err)
	}
	third := listenFrom(t, w, FirstEntries, second.f.cfg.Node.Addrs())
	third.await(posts)
	told, err := third.f.Older(t.Context(), signing.MainWriter, 100, 900)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range told {
		if want := fmt.Sprint("an entry that is long enough for all of them to be far more than an update: ", 100+i); len(told) != 800 || e.Index != int64(100+i) || titleOf(t, e) != want {
			t.Fatalf("entry %d of %d is %d, %q", i, len(told), e.Index, titleOf(t, e))
		}
	}
}

func titleOf(t *testing.T, e Told) string {
	said, err := e.Entry()
	if err != nil {
		t.Fatal(err)
	}
	return said.(manifest.Post).Title
}
