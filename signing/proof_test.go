package signing

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"
)

// delegatedFollower follows the main writer and alice, whose logs have 9 and 21 entries.
func delegatedFollower(t testing.TB) (f *Trusted, main, alice *Log) {
	t.Helper()
	root := testRoot(t)
	doc, err := NewTargets(TargetsParams{Expires: testExpiry, Writers: []WriterParams{{Name: "alice", Role: oneKey(seedKey(61))}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Sign(onlineKey); err != nil {
		t.Fatal(err)
	}
	main = testLog(t, root, testTime, numbered(8)...)
	if _, err := main.Append(GrantEntry(doc, testTime.UnixMilli(), 1, -1)); err != nil {
		t.Fatal(err)
	}
	signLog(t, main, testTime)
	alice = otherLog(t, root, "alice", numbered(21)...)
	if _, err := alice.SignHead(seedKey(61), testTime); err != nil {
		t.Fatal(err)
	}
	f = follower(t, root)
	if _, err := f.UpdateHead(MainWriter, updateFor(t, main, 0), testTime); err != nil {
		t.Fatal(err)
	}
	if err := f.UpdateTargets(doc.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.UpdateHead("alice", updateFor(t, alice, 0), testTime); err != nil {
		t.Fatal(err)
	}
	return f, main, alice
}

func otherLog(t testing.TB, root *Root, writer string, texts ...string) *Log {
	t.Helper()
	l, err := NewLog(root.ID(), writer, &Memory{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, err := l.Append(post(text)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func prove(t testing.TB, f *Trusted, l *Log, index, count int64) Proof {
	t.Helper()
	page, err := l.Page(max(0, index-count+1), count, l.Head().Size)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.Prove(l.writer, page, index)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestProof proves each entry, and spoils each proof in every part.
func TestProof(t *testing.T) {
	f, main, alice := delegatedFollower(t)
	for _, l := range []*Log{main, alice} {
		for i := range l.Size() {
			for _, count := range []int64{1, 3} {
				p, err := ParseProof(prove(t, f, l, i, count).Bytes())
				if err != nil {
					t.Fatal(err)
				}
				root, h, err := p.Verify()
				if err != nil || root.Version() != 1 || !h.Time.Equal(testTime) || h.Size != l.Size() {
					t.Fatalf("entry %d of %s: %v", i, l.writer, err)
				}
				for name, spoil := range map[string]func(*Proof){
					"entry":   func(p *Proof) { p.Entry = post("another") },
					"index":   func(p *Proof) { p.Index = (p.Index + 1) % l.Size() },
					"hash":    func(p *Proof) { p.Hashes[0][3] ^= 1 },
					"fewer":   func(p *Proof) { p.Hashes = p.Hashes[1:] },
					"channel": func(p *Proof) { p.ID[5] ^= 1 },
					"writer":  func(p *Proof) { p.Writer = "bert" },
					"root":    func(p *Proof) { p.Roots = [][]byte{bytes.Replace(p.Roots[0], []byte("Demo"), []byte("demo"), 1)} },
					"size":    func(p *Proof) { p.Head = bytes.Replace(p.Head, []byte("\n"), []byte("\n1"), 1) },
				} {
					bad := p
					bad.Hashes = append([][32]byte(nil), p.Hashes...)
					spoil(&bad)
					if _, _, err := bad.Verify(); err == nil {
						t.Fatalf("entry %d of %s: accepted with another %s", i, l.writer, name)
					}
				}
			}
		}
	}
}

// TestProofOutlives its documents: keys were replaced and the writer was dropped, and
// still she wrote what she wrote.
func TestProofOutlives(t *testing.T) {
	f, main, alice := delegatedFollower(t)
	root, err := f.Root().Edit(RootEdit{Targets: RoleEdit{Drop: []string{keyID(t, onlineKey)}, Add: oneKey(seedKey(62)).Keys}})
	if err != nil {
		t.Fatal(err)
	}
	if err := root.Sign(rootKey); err != nil {
		t.Fatal(err)
	}
	if err := f.UpdateRoot(root.Bytes()); err != nil {
		t.Fatal(err)
	}
	if got := f.State("alice", testTime); got != StateUnconfirmed {
		t.Errorf("without a targets document alice is %s", got)
	}
	f = restart(t, f)
	if _, _, err := prove(t, f, alice, 7, 1).Verify(); err != nil {
		t.Errorf("after the targets key was replaced: %v", err)
	}
	doc, err := NewTargets(TargetsParams{Version: 2, Expires: testExpiry})
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Sign(seedKey(62)); err != nil {
		t.Fatal(err)
	}
	if _, err := main.Append(GrantEntry(doc, 1, 2, 8)); err != nil {
		t.Fatal(err)
	}
	signLog(t, main, testTime.Add(time.Second))
	if _, err := f.UpdateHead(MainWriter, updateFor(t, main, 9), testTime); err != nil {
		t.Fatal(err)
	}
	if err := f.UpdateTargets(doc.Bytes()); err != nil {
		t.Fatal(err)
	}
	f = restart(t, f)
	if !f.Closed("alice") || f.Size("alice") != 21 {
		t.Error("alice was dropped, and is not closed where she was")
	}
	if _, _, err := prove(t, f, alice, 7, 1).Verify(); err != nil {
		t.Errorf("after she was dropped: %v", err)
	}
}

// TestEvidence proves forks of both kinds of writers by a file, and no fork where none is.
func TestEvidence(t *testing.T) {
	f, main, alice := delegatedFollower(t)
	if _, ok := f.Evidence(MainWriter); ok {
		t.Fatal("evidence without a fork")
	}
	for _, l := range []*Log{main, alice} {
		key := map[string]byte{MainWriter: 2, "alice": 61}[l.writer]
		other := otherLog(t, f.Root(), l.writer, append(numbered(3), "another", "history")...)
		if _, err := other.SignHead(seedKey(key), testTime); err != nil {
			t.Fatal(err)
		}
		if _, err := f.UpdateHead(l.writer, updateFor(t, other, 0), testTime); !errors.Is(err, ErrFork) {
			t.Fatalf("%s: %v", l.writer, err)
		}
		f = restart(t, f)
		e, ok := f.Evidence(l.writer)
		if !ok {
			t.Fatal("no evidence")
		}
		again, err := ParseEvidence(e.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		a, b, err := again.Verify()
		if err != nil || a.Size != 5 || b.Size != l.Size() {
			t.Errorf("%s: heads over %d and %d, %v", l.writer, a.Size, b.Size, err)
		}
		for name, spoil := range map[string]func(*Evidence){
			"channel": func(e *Evidence) { e.ID[3] ^= 1 },
			"writer":  func(e *Evidence) { e.Writer = "bert" },
			"range":   func(e *Evidence) { e.Fork.Seen = [][32]byte{{1}, {2}} },
			"one":     func(e *Evidence) { e.Fork = Fork{A: e.Fork.A, B: e.Fork.A} },
			"roots":   func(e *Evidence) { e.Roots = append(e.Roots, e.Roots[0]) },
		} {
			bad := again
			spoil(&bad)
			if _, _, err := bad.Verify(); err == nil {
				t.Errorf("%s: convincing with another %s", l.writer, name)
			}
		}
	}
}

// TestForgedEvidence: two histories by a stranger's key convince nobody, although a targets
// document lists that key for alice: the targets role has not signed it.
func TestForgedEvidence(t *testing.T) {
	f, _, _ := delegatedFollower(t)
	thief := seedKey(66)
	doc, err := NewTargets(TargetsParams{Version: 2, Expires: testExpiry, Writers: []WriterParams{{Name: "alice", Role: oneKey(thief)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Sign(thief); err != nil {
		t.Fatal(err)
	}
	e := Evidence{ID: f.ID(), Roots: [][]byte{f.Root().Bytes()}, Targets: [][]byte{doc.Bytes()}, Writer: "alice"}
	for i, to := range []*[]byte{&e.Fork.A, &e.Fork.B} {
		l := otherLog(t, f.Root(), "alice", numbered(2 + i)[i:]...)
		if *to, err = l.SignHead(thief, testTime); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := e.Verify(); !errors.Is(err, ErrForged) {
		t.Errorf("it convinces: %v", err)
	}
}

// TestManyWriters follows as many writers as a state holds. One more is refused, until
// some are closed, and then takes the place of one of those.
func TestManyWriters(t *testing.T) {
	root := testRoot(t)
	main := testLog(t, root, testTime)
	f := follower(t, root)
	grant := func(version int64, first, count int) {
		t.Helper()
		p := TargetsParams{Version: version, Expires: testExpiry}
		for i := first; i < first+count; i++ {
			p.Writers = append(p.Writers, WriterParams{Name: fmt.Sprint("w", i), Role: oneKey(seedKey(61))})
		}
		doc, err := NewTargets(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := doc.Sign(onlineKey); err != nil {
			t.Fatal(err)
		}
		if _, err := main.Append(GrantEntry(doc, 1, 1, version-2)); err != nil {
			t.Fatal(err)
		}
		signLog(t, main, testTime)
		if _, err := f.UpdateHead(MainWriter, updateFor(t, main, version-1), testTime); err != nil {
			t.Fatal(err)
		}
		if err := f.UpdateTargets(doc.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	follow := func(i int) error {
		l := otherLog(t, root, fmt.Sprint("w", i), "one")
		if _, err := l.SignHead(seedKey(61), testTime); err != nil {
			t.Fatal(err)
		}
		_, err := f.UpdateHead(l.writer, updateFor(t, l, 0), testTime)
		return err
	}
	grant(1, 0, 300)
	for i := range maxWriters - 1 {
		if err := follow(i); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := follow(299); !errors.Is(err, ErrUnsupported) {
		t.Errorf("one writer too many: %v", err)
	}
	f = restart(t, f)
	grant(2, 1, 299)
	if err := follow(299); err != nil || f.Size("w0") != 0 || f.Size("w299") != 1 {
		t.Errorf("in place of a closed one: %v", err)
	}
	if err := follow(298); !errors.Is(err, ErrUnsupported) {
		t.Errorf("one writer too many: %v", err)
	}
	restart(t, f)
}
