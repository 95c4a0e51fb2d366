package signing

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzParseTargets(f *testing.F) {
	root := testRoot(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := ParseTargets(b)
		if err != nil {
			return
		}
		if !bytes.Equal(doc.Bytes(), b) {
			t.Fatalf("%q is kept as %q", b, doc.Bytes())
		}
		for _, name := range doc.Writers() {
			if w, err := doc.Writer(name); err != nil || w.Allows("../x") || w.Allows("/x") || !ValidDelegate(name) {
				t.Fatalf("writer %q: %+v, %v", name, w, err)
			}
		}
		_, _ = root.OpenTargets(b) // it must only not panic
	})
}

func FuzzParseRootPayload(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRootPayload(b)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Payload(), b) {
			t.Fatalf("%q becomes %q", b, r.Payload())
		}
		for _, line := range append(r.Explain(nil), r.Explain(testRoot(t))...) {
			if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }) {
				t.Fatalf("the explanation has control characters: %q", line)
			}
		}
	})
}

func FuzzParseEvidence(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEvidence(b)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Bytes(), b) {
			t.Fatalf("%q comes back as %q", b, e.Bytes())
		}
		if x, y, err := e.Verify(); err == nil && bytes.Equal(x.Raw, y.Raw) {
			t.Fatal("a head forks from itself")
		}
	})
}

func FuzzParseProof(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Bytes(), b) {
			t.Fatalf("%q comes back as %q", b, p.Bytes())
		}
		if _, h, err := p.Verify(); err == nil && p.Index >= h.Size {
			t.Fatalf("entry %d of %d", p.Index, h.Size)
		}
	})
}

// FuzzAttach takes any file for a signature or a public key of another program.
func FuzzAttach(f *testing.F) {
	root := organisation(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := ParsePublicKey(b); err == nil {
			if again, err := NewKey(k.Public()); err != nil || again.ID() != k.ID() {
				t.Fatalf("a key that is none: %v", err)
			}
		}
		r, err := ParseRoot(root.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Attach(b, nil); err == nil && (!got.Own || len(r.signedBy(r.roles[RoleRoot])) < 2) {
			t.Fatalf("%q counts: %+v", b, got)
		}
	})
}

// FuzzDocuments gives a follower any root and targets documents: what it keeps it can
// read again.
func FuzzDocuments(f *testing.F) {
	follower, _, _ := delegatedFollower(f)
	state := follower.Bytes()
	f.Fuzz(func(t *testing.T, b []byte) {
		trusted, err := ParseTrusted(state)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(trusted.UpdateRoot(b), trusted.UpdateTargets(b)); err != nil && !bytes.Equal(trusted.Bytes(), state) && trusted.Root().Version() == 1 {
			t.Fatalf("refused, and kept: %v", err)
		}
		restart(t, trusted)
	})
}

// seeds are what the fuzzers begin with, beside what they make themselves.
func seeds(t testing.TB) map[string][][]byte {
	f, main, alice := delegatedFollower(t)
	targets := f.Targets().Bytes()
	second, err := f.Root().Edit(RootEdit{Timestamp: RoleEdit{Drop: []string{keyID(t, onlineKey)}, Add: oneKey(seedKey(7)).Keys}, Base: map[string]Base{MainWriter: {Size: 4, Root: rootAt(t, main, 4)}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Sign(rootKey); err != nil {
		t.Fatal(err)
	}
	withBase := restart(t, f)
	if err := withBase.UpdateRoot(second.Bytes()); err != nil {
		t.Fatal(err)
	}
	proof := prove(t, f, alice, 5, 1).Bytes()
	other := otherLog(t, f.Root(), "alice", append(numbered(3), "another")...)
	if _, err := other.SignHead(seedKey(61), testTime); err != nil {
		t.Fatal(err)
	}
	if _, err := f.UpdateHead("alice", updateFor(t, other, 0), testTime); !errors.Is(err, ErrFork) {
		t.Fatal(err)
	}
	evidence, _ := f.Evidence("alice")
	org := organisation(t)
	sig, err := seedKey(42).Sign(nil, org.Payload(), crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	framed := base64.StdEncoding.EncodeToString(append([]byte("Ed12345678"), sig...))
	return map[string][][]byte{
		"FuzzParseTargets":     {targets},
		"FuzzParseRoot":        {second.Bytes(), org.Bytes()},
		"FuzzParseRootPayload": {second.Payload(), org.Payload()},
		"FuzzParseEvidence":    {evidence.Bytes()},
		"FuzzParseProof":       {proof, prove(t, f, main, 0, 1).Bytes()},
		"FuzzAttach":           {sig, []byte(comment + " x\n" + framed + "\ntrusted comment: y\n" + framed + "\n")},
		"FuzzDocuments":        {second.Bytes(), targets},
		"FuzzParseTrusted":     {f.Bytes(), withBase.Bytes()},
		"FuzzReadPointers":     {GrantEntry(f.Targets(), testTime.UnixMilli(), 2, 8)},
		"FuzzParseHead":        {alice.Head().Raw},
		"FuzzParseUpdate":      {updateFor(t, alice, 20).Bytes()},
	}
}

func rootAt(t testing.TB, l *Log, size int64) [32]byte {
	t.Helper()
	root, err := l.RootAt(size)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestSeeds keeps testdata/fuzz, which also "go test" runs through the fuzzers.
func TestSeeds(t *testing.T) {
	for name, list := range seeds(t) {
		for i, b := range list {
			path := filepath.Join("testdata", "fuzz", name, fmt.Sprintf("seed-%d", i))
			text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", b)
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != text {
				t.Errorf("%s is not what it should be (-update writes it): %v", path, err)
			}
		}
	}
}
