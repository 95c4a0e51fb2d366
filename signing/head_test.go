package signing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
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

// TestJoinHeads brings the lines of machines and a witness together, until both the
// threshold and the quorum are met.
func TestJoinHeads(t *testing.T) {
	p := testParams()
	p.Timestamp = oneKey(seedKey(31), seedKey(32), seedKey(33))
	p.Timestamp.Threshold = 2
	p.Witnesses, p.Quorum = []Witness{NewWitness("example.org/w", public(seedKey(5)))}, 1
	root := newRoot(t, p, rootKey)
	origin := Origin(root.ID(), MainWriter)
	sign := func(k byte, seconds int64) []byte {
		raw, err := SignHead(root.ID(), MainWriter, 1, [32]byte{1}, seedKey(k), time.Unix(seconds, 0))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	one, two := sign(31, 100), sign(32, 200)
	both, err := JoinHeads(one, two)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := root.OpenHead(MainWriter, both); !errors.Is(err, ErrWitness) {
		t.Errorf("without a witness: %v", err)
	}
	seen, err := CosignHead(both, "example.org/w", seedKey(5), time.Unix(150, 0))
	if err != nil {
		t.Fatal(err)
	}
	if h, err := root.OpenHead(MainWriter, seen); err != nil || h.Time.Unix() != 100 {
		t.Errorf("signed at %d: %v", h.Time.Unix(), err)
	}
	newer, err := JoinHeads(seen, sign(31, 300))
	if err != nil {
		t.Fatal(err)
	}
	if h, err := root.OpenHead(MainWriter, newer); err != nil || h.Time.Unix() != 200 {
		t.Errorf("with a newer line signed at %d: %v", h.Time.Unix(), err)
	}
	again, err := JoinHeads(newer, seen)
	if err != nil || string(again) != string(newer) {
		t.Errorf("the older line comes back: %v", err)
	}
	if third, err := CosignHead(newer, origin, seedKey(33), time.Unix(400, 0)); err != nil || strings.Count(string(third), "— ") != 4 {
		t.Errorf("a third machine: %v\n%s", err, third)
	}
	other, err := SignHead(root.ID(), MainWriter, 2, [32]byte{1}, seedKey(31), time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := JoinHeads(one, other); !errors.Is(err, ErrBogus) {
		t.Errorf("heads over two trees: %v", err)
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb"} {
		if _, err := CosignHead(one, name, seedKey(5), time.Unix(1, 0)); err == nil {
			t.Errorf("a witness called %q", name)
		}
	}
	for i := range MaxHeadLines - 1 {
		if one, err = CosignHead(one, fmt.Sprint("w", i), seedKey(5), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := CosignHead(one, "last", seedKey(5), time.Unix(1, 0)); !errors.Is(err, ErrMalformed) {
		t.Errorf("more lines than a head may have: %v", err)
	}
}
