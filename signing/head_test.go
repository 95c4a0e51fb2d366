package signing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// TestHeadTime: of k needed signatures the k-th newest tells the time, so that fewer
// than k thieves cannot make a head look fresh, and fewer than k sleepers not late.
func TestHeadTime(t *testing.T) {
	p := testParams()
	p.Timestamp = oneKey(seedKey(31), seedKey(32), seedKey(33))
	p.Timestamp.Threshold = 2
	root := newRoot(t, p, rootKey)
	h := Head{Origin: Origin(root.ID(), MainWriter), Size: 1, Root: [32]byte{1}}
	raw := h.Text() + "\n"
	for i, seconds := range []int64{100, 300, 200} {
		k := seedKey(byte(31 + i))
		line, err := cosign(h.Text(), h.Origin, public(k), k, seconds)
		if err != nil {
			t.Fatal(err)
		}
		raw += line
	}
	got, err := root.OpenHead(MainWriter, []byte(raw))
	if err != nil || got.Time.Unix() != 200 {
		t.Fatalf("signed at %d: %v", got.Time.Unix(), err)
	}
	spoilt := strings.Replace(raw, "— "+h.Origin+" ", "— "+h.Origin+"x ", 1)
	if got, err = root.OpenHead(MainWriter, []byte(spoilt)); err != nil || got.Time.Unix() != 200 {
		t.Fatalf("without the line of 100: signed at %d: %v", got.Time.Unix(), err)
	}
}

// TestWitnessKey reads verifier keys as package note writes them.
func TestWitnessKey(t *testing.T) {
	w := NewWitness("example.org/w", public(seedKey(5)))
	again, known, err := parseWitness(w.String())
	if err != nil || !known || again.String() != w.String() {
		t.Fatalf("%s comes back as %s: %v", w, again, err)
	}
	plain, err := note.NewEd25519VerifierKey("example.org/w", public(seedKey(5)))
	if err != nil {
		t.Fatal(err)
	}
	if _, known, err := parseWitness(plain); err != nil || known {
		t.Errorf("a key that does not cosign: %v, %v", known, err)
	}
	for _, bad := range []string{"", "a", "a+b", "+00000000+BA==", w.String()[:len(w.String())-8], strings.Replace(w.String(), "+", "+0", 1),
		strings.Replace(w.String(), "example", "exemple", 1), strings.Replace(w.String(), "example", "ex ample", 1)} {
		if _, known, err := parseWitness(bad); err == nil && known {
			t.Errorf("%q is accepted", bad)
		}
	}
	p := testParams()
	p.Quorum, p.Witnesses = 1, []Witness{w}
	if r := newRoot(t, p, rootKey); len(r.witnesses) != 1 || r.quorum != 1 {
		t.Errorf("the root names %v", r.witnesses)
	}
}

func TestSignHeadRefuses(t *testing.T) {
	root := testRoot(t)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SignHead(root.ID(), MainWriter, 1, [32]byte{}, p256, testTime); err == nil {
		t.Error("an ECDSA key signs heads")
	}
	for name, sign := range map[string]func() ([]byte, error){
		"writer":      func() ([]byte, error) { return SignHead(root.ID(), "../m", 1, [32]byte{}, onlineKey, testTime) },
		"size":        func() ([]byte, error) { return SignHead(root.ID(), MainWriter, -1, [32]byte{}, onlineKey, testTime) },
		"time":        func() ([]byte, error) { return SignHead(root.ID(), MainWriter, 1, [32]byte{}, onlineKey, time.Time{}) },
		"empty's sum": func() ([]byte, error) { return SignHead(root.ID(), MainWriter, 0, [32]byte{}, onlineKey, testTime) },
	} {
		if raw, err := sign(); err == nil {
			t.Errorf("%s: signed %q", name, raw)
		}
	}
}

// TestLogGuards a pure log against signing a second history.
func TestLogGuards(t *testing.T) {
	root := testRoot(t)
	l := testLog(t, root, testTime, "one", "two")
	opened, err := root.OpenHead(MainWriter, l.Head().Raw)
	if err != nil {
		t.Fatal(err)
	}
	other := testLog(t, root, testTime, "one", "other", "three")
	if err := other.SetHead(opened); !errors.Is(err, ErrFork) {
		t.Errorf("told of a head over another tree: %v", err)
	}
	short := testLog(t, root, testTime, "one")
	if err := short.SetHead(opened); !errors.Is(err, ErrFork) {
		t.Errorf("told of a head over more entries: %v", err)
	}
	l.storage = other.storage // the entries are swapped behind its back
	if _, err := l.SignHead(onlineKey, testTime); !errors.Is(err, ErrFork) {
		t.Errorf("signs a tree that contradicts the last: %v", err)
	}
	empty, err := NewLog(root.ID(), MainWriter, &Memory{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.UpdateFor(0); !errors.Is(err, ErrUnsigned) {
		t.Errorf("an update without a head: %v", err)
	}
	if _, err := empty.Append([]byte("no bencode")); !errors.Is(err, ErrMalformed) {
		t.Errorf("appends anything: %v", err)
	}
}
