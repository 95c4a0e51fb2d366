package follow

import (
	"crypto"
	"slices"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/feed"
)

// replaced returns the root document after w's that takes the main writer's log back to its
// first entries, for another key, and a log with these, others behind them.
func (w *talker) replaced(size int64) (*signing.Root, *signing.Log) {
	w.t.Helper()
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	tree, err := w.log.RootAt(size)
	must(err)
	next, err := w.root.Edit(signing.RootEdit{
		Timestamp: signing.RoleEdit{Drop: []string{w.root.Role(signing.RoleTimestamp).Keys[0].ID()}, Add: []crypto.PublicKey{seedKey(9).Public()}},
		Base:      map[string]signing.Base{signing.MainWriter: {Size: size, Root: tree}},
	})
	must(err)
	must(next.Sign(seedKey(1)))
	log, err := signing.NewLog(w.root.ID(), signing.MainWriter, &signing.Memory{}, 2)
	must(err)
	for i := range size {
		e, err := w.log.Entry(i)
		must(err)
		_, err = log.Append(e)
		must(err)
	}
	return next, log
}

// titles are those of what an inbox has.
func (l *listener) titles() (all []string) {
	l.t.Helper()
	entries, err := l.inbox.Newest(100)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Post.Title)
	}
	return all
}

// told lets the follower hear a log, as far as it is.
func (l *listener) told(log *signing.Log) {
	l.t.Helper()
	_, err := log.SignHead(seedKey(9), time.Now())
	if err != nil {
		l.t.Fatal(err)
	}
	u, err := log.UpdateFor(0)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.f.trust.UpdateHead(signing.MainWriter, u, time.Now()); err != nil {
		l.t.Fatal(err)
	}
}

// TestTakenBack: what a thief published, and everybody had read, goes from the archive when a
// document takes it back, and what stands in its place is read by who was beyond it, over
// restarts as well.
func TestTakenBack(t *testing.T) {
	w := newTalker(t)
	l := listen(t, startNode(t), w, t.TempDir())
	for i := range 9 {
		w.say(text("post ", i))
	}
	l.await(9)
	_, age := l.inbox.TakenBack(nil, 0)
	beyond := feed.Cursor{signing.MainWriter: 9}
	if err := l.inbox.SetCursor("reader", beyond, age); err != nil {
		t.Fatal(err)
	}
	next, log := w.replaced(3)
	if err := l.f.trust.UpdateRoot(next.Bytes()); err != nil {
		t.Fatal(err)
	}
	l.told(log)
	for l.inbox.Position()[signing.MainWriter] != 3 {
		wait(t, l.f)
	}
	want := []string{"post 0", "post 1", "post 2"}
	if got := l.titles(); !slices.Equal(got, want) {
		t.Errorf("after the base it has %q", got)
	}
	for i := range 2 {
		b, err := manifest.EncodeEntry(text("ours ", i))
		if err == nil {
			_, err = log.Append(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l.told(log)
	want = append(want, "ours 0", "ours 1")
	check := func(when string) {
		t.Helper()
		l.await(5)
		if got := l.titles(); !slices.Equal(got, want) {
			t.Errorf("%s it has %q", when, got)
		}
		at, ok, err := l.inbox.Cursor("reader")
		if err != nil || !ok || at[signing.MainWriter] != 3 {
			t.Fatalf("%s the reader is at %s: %v, %v", when, at, ok, err)
		}
		if at, _ := l.inbox.TakenBack(beyond, age); at[signing.MainWriter] != 3 {
			t.Errorf("%s one that runs is at %s", when, at)
		}
		if news, err := l.inbox.Since(at, 10); err != nil || len(news) != 2 || news[0].Post.Title != "ours 0" {
			t.Errorf("%s the reader is told %+v: %v", when, news, err)
		}
	}
	check("later")
	l.close()
	l = listen(t, startNode(t), w, l.dir)
	check("after a restart")
	_, age = l.inbox.TakenBack(nil, 0)
	if err := l.inbox.SetCursor("reader", feed.Cursor{signing.MainWriter: 5}, age); err != nil {
		t.Fatal(err)
	}
	if at, _, err := l.inbox.Cursor("reader"); err != nil || at[signing.MainWriter] != 5 {
		t.Errorf("who has read what took their place is at %s: %v", at, err)
	}
}
