package publish

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"testing"
	"time"

	"handful/signing"
	"handful/signing/durable/crashfs"
)

// rotated makes version 2 of testRoot: the online key 2 goes and key comes; a base of m at
// size of the log's tree.
func rotated(t testing.TB, key byte, base map[string]signing.Base) *signing.Root {
	t.Helper()
	first := testRoot(t)
	e := signing.RootEdit{Base: base}
	if key != 2 {
		old, err := signing.NewKey(seedKey(2).Public())
		if err != nil {
			t.Fatal(err)
		}
		e.Timestamp = signing.RoleEdit{Drop: []string{old.ID()}, Add: []crypto.PublicKey{seedKey(key).Public()}}
	}
	next, err := first.Edit(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Sign(seedKey(1)); err != nil {
		t.Fatal(err)
	}
	if next, err = first.Next(next.Bytes()); err != nil {
		t.Fatal(err)
	}
	return next
}

func baseAt(t testing.TB, l *Log, size int64) map[string]signing.Base {
	t.Helper()
	root, err := l.log.RootAt(size)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]signing.Base{signing.MainWriter: {Size: size, Root: root}}
}

// TestBaseCrash goes back to a base, with a crash at every step on the way, and on. A
// follower who had all of the old history ends with the new one.
func TestBaseCrash(t *testing.T) {
	for _, key := range []byte{2, 5} {
		for _, landed := range []bool{false, true} {
			for _, loss := range crashfs.Losses {
				steps := 1
				for n := 1; n <= steps; n++ {
					steps = max(steps, baseOnce(t, key, n, landed, loss))
				}
				if steps < 12 {
					t.Fatalf("only %d steps were interrupted", steps)
				}
			}
		}
	}
}

func baseOnce(t *testing.T, key byte, n int, landed bool, loss crashfs.Loss) int {
	t.Helper()
	fs := crashfs.New()
	net := newNetwork(t, fmt.Sprintf("key %d, step %d, landed %v, loss %d", key, n, landed, loss))
	l := open(t, "log", config(t, fs))
	publish(t, l, "a", "b", "bad", "worse")
	net.take(l)
	root := rotated(t, key, baseAt(t, l, 2))
	l.Close()
	fs.Restart(crashfs.Keep) // counts from here
	fs.FailAt(n, landed)
	c := LogConfig{Root: root, Key: seedKey(key), FS: fs}
	signs := func() error {
		l, err := OpenLog("log", c)
		if err != nil {
			return err
		}
		if l.Size() == 2 {
			if _, err = l.Append(post("new")); err != nil {
				return err
			}
		}
		_, err = l.Sign(testTime) // not later than what is withdrawn: the log sees to that
		return err
	}
	err := signs()
	steps := fs.Steps()
	if crashed := fs.Crashed(); crashed == (err == nil) {
		t.Fatalf("%s: crashed %v, and the error is %v", net.name, crashed, err)
	} else if crashed {
		fs.Restart(loss)
		if err := signs(); err != nil {
			t.Fatalf("%s: it does not go on: %v", net.name, err)
		}
		steps++
	}
	fs.Restart(crashfs.Keep)
	l = open(t, "log", c)
	if b, ok := l.Base(); !ok || b.Size != 2 || l.Size() != 3 || l.Unsigned() {
		t.Fatalf("%s: %d entries, base %+v", net.name, l.Size(), b)
	}
	if e, err := l.Entry(2); err != nil || !bytes.Equal(e, post("new")) {
		t.Fatalf("%s: entry 2 is %q: %v", net.name, e, err)
	}
	kept := false
	for _, path := range fs.Paths() {
		kept = kept || bytes.Contains(fs.Get(path), post("worse"))
	}
	if !kept {
		t.Errorf("%s: what was withdrawn is nowhere: %q", net.name, fs.Paths())
	}
	if err := net.trust.UpdateRoot(root.Bytes()); err != nil {
		t.Fatal(err)
	}
	net.take(l)
	if w := net.trust.Withdrawn(signing.MainWriter); len(w) != 1 || w[0].First != 2 || w[0].Size != 4 {
		t.Fatalf("%s: withdrawn are %+v", net.name, w)
	}
	if h := net.trust.Head(signing.MainWriter); h.Size != 3 || !bytes.Equal(h.Raw, l.Head().Raw) {
		t.Fatalf("%s: the follower has %d entries", net.name, h.Size)
	}
	return steps
}

// TestBaseOnce: an old head that the same key signed blocks nobody, and the base is not
// applied again.
func TestBaseOnce(t *testing.T) {
	fs := crashfs.New()
	l := open(t, "log", config(t, fs))
	old := publish(t, l, "a", "b", "bad")
	root := rotated(t, 2, baseAt(t, l, 1))
	if err := l.Adopt(root, nil, seedKey(2)); err != nil {
		t.Fatal(err)
	}
	if l.Size() != 1 || l.Head().Raw != nil || !l.Unsigned() {
		t.Fatalf("%d entries, signed: %q", l.Size(), l.Head().Raw)
	}
	head := publish(t, l, "new")
	if !head.Time.After(old.Time) {
		t.Errorf("signed at %s, what is withdrawn at %s", head.Time, old.Time)
	}
	if err := l.ObserveHead(old.Raw); !errors.Is(err, signing.ErrWithdrawn) {
		t.Errorf("the old head: %v", err)
	}
	l.Close()
	l = open(t, "log", LogConfig{Root: root, Key: seedKey(2), FS: fs})
	if err := l.ObserveHead(old.Raw); !errors.Is(err, signing.ErrWithdrawn) {
		t.Errorf("the old head after a restart: %v", err)
	}
	if l.Size() != 2 {
		t.Errorf("after a restart there are %d entries", l.Size())
	}
	if _, err := l.Append(post("newer")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Sign(testTime.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
}

// TestBaseElsewhere: a log of another history than the base's is put aside and caught up
// with.
func TestBaseElsewhere(t *testing.T) {
	good := open(t, "log", config(t, crashfs.New()))
	publish(t, good, "a", "b", "c")
	fs := crashfs.New()
	bad := open(t, "log", config(t, fs))
	publish(t, bad, "a", "x", "y", "z")
	root := rotated(t, 5, baseAt(t, good, 2))
	if err := good.Adopt(root, nil, seedKey(5)); err != nil {
		t.Fatal(err)
	}
	head := publish(t, good, "d")
	if err := bad.Adopt(root, nil, seedKey(5)); err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Append(post("too early")); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("appended before it caught up: %v", err)
	}
	if err := bad.ObserveHead(head.Raw); !errors.Is(err, ErrBehind) {
		t.Fatalf("the network's head: %v", err)
	}
	page, err := good.Page(bad.CatchUpFrom(), 10, head.Size)
	if err != nil {
		t.Fatal(err)
	}
	if displaced, err := bad.CatchUp(page); err != nil || len(displaced) != 0 {
		t.Fatalf("%q: %v", displaced, err)
	}
	if err := bad.Confirm(); err != nil {
		t.Fatal(err)
	}
	if h := publish(t, bad, "e"); h.Size != 4 {
		t.Errorf("%d entries are signed", h.Size)
	}
}

func TestAdoptRefuses(t *testing.T) {
	l := open(t, "log", config(t, crashfs.New()))
	publish(t, l, "a")
	if err := l.Adopt(rotated(t, 5, nil), nil, seedKey(2)); err == nil {
		t.Error("a key that the new document does not name was taken")
	}
	if err := l.Adopt(rotated(t, 5, nil), nil, nil); !errors.Is(err, ErrNoKey) {
		t.Errorf("no key: %v", err)
	}
	publish(t, l, "b") // and the old ones still hold
}

func TestDelegatedLog(t *testing.T) {
	root := testRoot(t)
	doc := func(before *signing.Targets, key byte, base map[string]signing.Base) *signing.Targets {
		role := signing.RoleParams{Keys: []crypto.PublicKey{seedKey(key).Public()}}
		d, err := signing.NewTargets(signing.TargetsParams{Expires: testTime.AddDate(1, 0, 0), Before: before, Base: base,
			Writers: []signing.WriterParams{{Name: "alice", Role: role}}})
		if err == nil {
			err = d.Sign(seedKey(2))
		}
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := doc(nil, 7, nil)
	c := LogConfig{Root: root, Targets: first, Writer: "alice", Key: seedKey(7), New: true, FS: crashfs.New()}
	l := open(t, "log", c)
	h := publish(t, l, "a", "b")
	if h.Origin != signing.Origin(root.ID(), "alice") {
		t.Errorf("signed as %s", h.Origin)
	}
	if _, err := OpenLog("other", LogConfig{Root: root, Targets: first, Writer: "bob", Key: seedKey(7), FS: crashfs.New()}); !errors.Is(err, signing.ErrUnknownWriter) {
		t.Errorf("a writer who is not granted: %v", err)
	}
	hash, err := l.log.RootAt(1)
	if err != nil {
		t.Fatal(err)
	}
	second := doc(first, 8, map[string]signing.Base{"alice": {Size: 1, Root: hash}})
	if err := l.Adopt(root, second, seedKey(8)); err != nil {
		t.Fatal(err)
	}
	if h = publish(t, l, "c"); h.Size != 2 {
		t.Errorf("%d entries are signed", h.Size)
	}
	if _, err := root.OpenDelegated(second, "alice", h.Raw); err != nil {
		t.Error(err)
	}
}

func TestFindGrant(t *testing.T) {
	root := testRoot(t)
	doc, err := signing.NewTargets(signing.TargetsParams{Expires: testTime.AddDate(1, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	fs := crashfs.New()
	l := open(t, "log", LogConfig{Root: root, Key: seedKey(2), New: true, FS: fs})
	publish(t, l, "a")
	if at, _, _ := l.Grant(); at != -1 {
		t.Errorf("a grant at %d", at)
	}
	if _, err := l.Append(signing.GrantEntry(doc, 5, 1, -1)); err != nil {
		t.Fatal(err)
	}
	stamped, err := signing.StampEntry(post("b"), 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(stamped); err != nil {
		t.Fatal(err)
	}
	publish(t, l, "c")
	for range 2 {
		if at, hash, version := l.Grant(); at != 1 || hash != doc.Hash() || version != 1 {
			t.Errorf("a grant at %d of version %d", at, version)
		}
		l.Close()
		l = open(t, "log", LogConfig{Root: root, Key: seedKey(2), FS: fs})
	}
	if err := l.Adopt(rotated(t, 2, baseAt(t, l, 1)), nil, seedKey(2)); err != nil {
		t.Fatal(err)
	}
	if at, _, _ := l.Grant(); at != -1 {
		t.Errorf("a grant at %d, which is withdrawn", at)
	}
}
