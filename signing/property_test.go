package signing

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestConverge lets followers receive updates of an honest and of a second history, in
// any order, with loss, repetition, restarts and lying relays. Nobody may ever hold two
// histories; nobody may call fork while there was only one; and who reaches the honest
// writer in the end has all of its log, or has found the fork.
func TestConverge(t *testing.T) {
	root := testRoot(t)
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t, r, root)
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			w.step(r)
		}
		w.finish(r)
	})
}

// world is one honest log, perhaps a second history of the same writer, and followers.
type world struct {
	t         *testing.T
	root      *Root
	honest    *Log
	second    *Log // nil: the writer is honest
	followers []*Trusted
	heard     []bool // whether a follower has heard anything of the second history
}

func newWorld(t *testing.T, r *rapid.T, root *Root) *world {
	w := &world{t: t, root: root, honest: testLog(t, root, testTime, numbered(rapid.IntRange(0, 9).Draw(r, "entries"))...)}
	if rapid.Bool().Draw(r, "forks") {
		shared := rapid.Int64Range(0, w.honest.Size()).Draw(r, "shared")
		w.second = testLog(t, root, testTime)
		for i := range shared {
			e, err := w.honest.Entry(i)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.second.Append(e); err != nil {
				t.Fatal(err)
			}
		}
		w.grow(r, w.second, "second history")
		w.grow(r, w.honest, "honest history")
	}
	for range 3 {
		w.followers, w.heard = append(w.followers, follower(t, root)), append(w.heard, false)
	}
	return w
}

func (w *world) grow(r *rapid.T, l *Log, text string) {
	for range rapid.IntRange(1, 7).Draw(r, "more entries") {
		if _, err := l.Append(post(text)); err != nil {
			w.t.Fatal(err)
		}
	}
	signLog(w.t, l, testTime)
}

// step is one message that arrives somewhere, or a restart, or new entries.
func (w *world) step(r *rapid.T) {
	i := rapid.IntRange(0, len(w.followers)-1).Draw(r, "follower")
	f := w.followers[i]
	switch rapid.IntRange(0, 9).Draw(r, "event") {
	case 0:
		w.grow(r, w.honest, "honest history")
	case 1:
		if w.second != nil {
			w.grow(r, w.second, "second history")
		}
	case 2:
		w.followers[i] = restart(w.t, f)
	case 3, 4:
		j := rapid.IntRange(0, len(w.followers)-1).Draw(r, "gossip from")
		size := rapid.Int64Range(0, max(f.Size(MainWriter), 1)).Draw(r, "as if at")
		if u, ok := w.followers[j].UpdateFor(MainWriter, size); ok {
			w.heard[i] = w.heard[i] || w.heard[j]
			w.receive(r, i, u, nil)
		}
	default:
		l := w.honest
		if w.second != nil && rapid.Bool().Draw(r, "of the second history") {
			l = w.second
			w.heard[i] = true
		}
		size := rapid.Int64Range(0, l.Head().Size).Draw(r, "as if at")
		if rapid.Bool().Draw(r, "as asked for") {
			size = min(f.Size(MainWriter), l.Head().Size)
		}
		w.receive(r, i, updateFor(w.t, l, size), l)
	}
}

// receive delivers an update, perhaps spoilt, and answers what it needs from l.
func (w *world) receive(r *rapid.T, i int, u Update, l *Log) {
	f := w.followers[i]
	lie := rapid.IntRange(0, 5).Draw(r, "lie")
	switch {
	case lie == 0 && len(u.Hashes) > 0:
		u.Hashes = slices.Clone(u.Hashes)
		u.Hashes[rapid.IntRange(0, len(u.Hashes)-1).Draw(r, "hash")][0] ^= 1
	case lie == 1 && len(u.Entries) > 0:
		u.Entries = slices.Clone(u.Entries)
		u.Entries[rapid.IntRange(0, len(u.Entries)-1).Draw(r, "entry")] = post("a relay's own")
	case lie == 2:
		u.Size = rapid.Int64Range(0, 12).Draw(r, "size")
	}
	before := f.Bytes()
	acc, err := f.UpdateHead(MainWriter, u, testTime)
	if err == nil && acc.Needs.Range && l != nil {
		if rng, rerr := l.Range(0, min(u.Size, l.Head().Size)); rerr == nil {
			if lie == 3 && len(rng) > 0 {
				rng[0][0] ^= 1
			}
			acc, err = f.UpdateRange(MainWriter, u, rng, testTime)
		}
	}
	if !acc.Changed && !errors.Is(err, ErrFork) && !bytes.Equal(before, f.Bytes()) {
		r.Fatalf("the state changed unsaid: %v", err)
	}
	w.check(r, i)
}

// check compares what a follower holds with the logs.
func (w *world) check(r *rapid.T, i int) {
	f := w.followers[i]
	if f.Fork(MainWriter) != nil && !w.heard[i] {
		r.Fatalf("follower %d calls fork, but has heard of one history only", i)
	}
	h := f.Head(MainWriter)
	if h.Raw == nil {
		return
	}
	match := false
	for _, l := range []*Log{w.honest, w.second} {
		if l == nil || h.Size > l.Size() {
			continue
		}
		root, err := l.RootAt(h.Size)
		if err != nil {
			r.Fatal(err)
		}
		if root != h.Root {
			continue
		}
		match = true
		first, entries := f.Held(MainWriter)
		for k, e := range entries {
			if own, err := l.Entry(first + int64(k)); err != nil || !bytes.Equal(own, e) {
				r.Fatalf("follower %d holds another entry %d than was signed", i, first+int64(k))
			}
		}
	}
	if !match {
		r.Fatalf("follower %d holds a tree that nobody signed", i)
	}
}

// finish brings every follower together with the honest writer, over a true relay.
func (w *world) finish(r *rapid.T) {
	w.grow(r, w.honest, "last")
	for i, f := range w.followers {
		size := f.Size(MainWriter)
		if size > w.honest.Size() {
			continue // on the second history, which is longer: nothing here contradicts it yet
		}
		u := updateFor(w.t, w.honest, size)
		acc, err := f.UpdateHead(MainWriter, u, testTime)
		if err == nil && acc.Needs.Range {
			rng, rerr := w.honest.Range(0, u.Size)
			if rerr != nil {
				r.Fatal(rerr)
			}
			_, err = f.UpdateRange(MainWriter, u, rng, testTime)
		}
		w.check(r, i)
		if errors.Is(err, ErrFork) {
			continue
		}
		if err != nil || f.Size(MainWriter) != w.honest.Size() {
			r.Fatalf("follower %d does not converge: %d of %d, %+v, %v", i, f.Size(MainWriter), w.honest.Size(), acc, err)
		}
	}
}
