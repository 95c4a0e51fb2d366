package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func keyID(t testing.TB, k crypto.Signer) string {
	t.Helper()
	id, err := NewKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return id.ID()
}

func p256(t testing.TB, b byte) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// organisation is a channel of three root keys, one of them ECDSA, and two machines.
func organisation(t testing.TB) *Root {
	t.Helper()
	p := testParams()
	p.Root = RoleParams{Keys: []crypto.PublicKey{public(seedKey(41)), public(seedKey(42)), p256(t, 43).Public()}, Threshold: 2}
	p.Targets = RoleParams{Keys: []crypto.PublicKey{p256(t, 44).Public()}}
	p.Timestamp = oneKey(seedKey(45), seedKey(46))
	p.Timestamp.Threshold = 1
	p.Witnesses, p.Quorum = []Witness{NewWitness("example.org/w", public(seedKey(5)))}, 1
	r := newRoot(t, p, seedKey(41))
	if err := r.Sign(p256(t, 43)); err != nil {
		t.Fatal(err)
	}
	if _, err := FirstRoot(r.ID(), r.Bytes()); err != nil {
		t.Fatal(err)
	}
	return r
}

// everything is an edit that changes all there is.
func everything(t testing.TB) RootEdit {
	title, yes, quorum := "Demo 2", true, 0
	return RootEdit{
		Root:      RoleEdit{Drop: []string{keyID(t, seedKey(42))}, Add: []crypto.PublicKey{public(seedKey(47)), public(seedKey(48))}, Threshold: 3},
		Targets:   RoleEdit{Add: []crypto.PublicKey{public(seedKey(49))}},
		Timestamp: RoleEdit{Drop: []string{keyID(t, seedKey(45))[:8]}, Add: []crypto.PublicKey{public(seedKey(50))}},
		Expires:   testExpiry.AddDate(1, 0, 0), Title: &title, DHT: public(seedKey(51)), Private: &yes, Quorum: &quorum,
		MaxAge: map[string]time.Duration{MainWriter: time.Hour, "alice": time.Minute},
		Base:   map[string]Base{MainWriter: {Size: 1000, Root: [32]byte{7}}},
	}
}

// TestExplain compares the plain words for documents with testdata/explain.txt; -update
// writes it anew, to be read by a person.
func TestExplain(t *testing.T) {
	first := organisation(t)
	second, err := first.Edit(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	same, err := second.Edit(RootEdit{})
	if err != nil {
		t.Fatal(err)
	}
	careless, err := first.Edit(RootEdit{Expires: testExpiry.AddDate(-1, 0, 0), Base: map[string]Base{MainWriter: {Size: 3, Root: [32]byte{8}}}})
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := first.Edit(RootEdit{Timestamp: RoleEdit{Drop: []string{keyID(t, seedKey(45)), keyID(t, seedKey(46))}, Add: []crypto.PublicKey{public(seedKey(50))}}})
	if err != nil {
		t.Fatal(err)
	}
	strange, err := ParseRoot([]byte(strings.NewReplacer(`"keytype":"ecdsa"`, `"keytype":"mldsa"`, `"max_age":`, `"later":{},"max_age":`, `"version":1`, `"version":1,"with":1`).Replace(string(first.Bytes()))))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, part := range []struct {
		name      string
		r, before *Root
	}{
		{"the first document", first, nil}, {"everything changes", second, first}, {"nothing changes", same, second}, {"a version is skipped", same, first},
		{"careless", careless, first}, {"a thief's posts stay", dropped, first}, {"members of a later program", strange, nil},
	} {
		got.WriteString("-- " + part.name + " --\n")
		for _, line := range part.r.Explain(part.before) {
			got.WriteString(line + "\n")
		}
	}
	path := filepath.Join("testdata", "explain.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// TestEdit takes the successor through signing by both sets of keys.
func TestEdit(t *testing.T) {
	first := organisation(t)
	second, err := first.Edit(everything(t))
	if err != nil {
		t.Fatal(err)
	}
	if second.Version() != 2 || second.ID() != first.ID() || len(second.signatures) != 0 || second.Role(RoleSnapshot).Threshold != second.Role(RoleTimestamp).Threshold ||
		!sameRole(second.Role(RoleSnapshot), second.Role(RoleTimestamp)) || second.MaxAge("alice") != time.Minute || !second.Private() {
		t.Errorf("made %s", second.Bytes())
	}
	if _, used := second.keys[keyID(t, seedKey(42))]; used {
		t.Error("a key that no role needs stays in the document")
	}
	if own, old := second.Lacking(first); own != 3 || old != 2 {
		t.Errorf("%d and %d signatures are lacking", own, old)
	}
	for i, k := range []crypto.Signer{seedKey(41), p256(t, 43), seedKey(47)} {
		if _, err := first.Next(second.Bytes()); !errors.Is(err, ErrForged) {
			t.Errorf("with %d signatures: %v", i, err)
		}
		if err := second.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	if own, old := second.Lacking(first); own != 0 || old != 0 {
		t.Errorf("%d and %d signatures are lacking in the end", own, old)
	}
	next, err := first.Next(second.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	again, err := next.Edit(RootEdit{Base: map[string]Base{MainWriter: {Size: 1000, Root: [32]byte{7}}}, MaxAge: map[string]time.Duration{"alice": 0}})
	if err != nil {
		t.Fatal(err)
	}
	if b := again.Bases()[MainWriter]; b.Again != 1 || again.MaxAge("alice") != 0 {
		t.Errorf("the same tree again: %+v", b)
	}
}

func TestEditRefuses(t *testing.T) {
	r := organisation(t)
	long := strings.Repeat("x", maxTitle+1)
	two := 2
	for name, e := range map[string]RootEdit{
		"unknown key":        {Root: RoleEdit{Drop: []string{"0123456789abcdef"}}},
		"short id":           {Root: RoleEdit{Drop: []string{keyID(t, seedKey(41))[:7]}}},
		"too few keys":       {Root: RoleEdit{Drop: []string{keyID(t, seedKey(41)), keyID(t, seedKey(42))}}},
		"key twice":          {Root: RoleEdit{Add: []crypto.PublicKey{public(seedKey(41))}}},
		"ECDSA for heads":    {Timestamp: RoleEdit{Add: []crypto.PublicKey{p256(t, 9).Public()}}},
		"curve":              {Root: RoleEdit{Add: []crypto.PublicKey{(*ecdsa.PublicKey)(nil)}}},
		"title":              {Title: &long},
		"base of a delegate": {Base: map[string]Base{"alice": {Size: 1}}},
		"base of nothing":    {Base: map[string]Base{MainWriter: {Size: 0}}},
		"quorum":             {Quorum: &two},
		"age":                {MaxAge: map[string]time.Duration{MainWriter: -time.Hour}},
	} {
		if next, err := r.Edit(e); err == nil {
			t.Errorf("%s: made %s", name, next.Bytes())
		}
	}
}

// TestPayload brings the bytes that are signed back to a document.
func TestPayload(t *testing.T) {
	for _, r := range []*Root{testRoot(t), organisation(t)} {
		again, err := ParseRootPayload(r.Payload())
		if err != nil {
			t.Fatal(err)
		}
		if !again.sameSigned(r) || again.Version() != r.Version() || again.ID() != r.ID() {
			t.Errorf("%s becomes %s", r.Payload(), again.Bytes())
		}
		for name, bad := range map[string][]byte{
			"spaces": bytes.Replace(r.Payload(), []byte(`:`), []byte(`: `), 1), "tail": append(bytes.Clone(r.Payload()), ' '),
			"document": r.Bytes(), "empty": nil, "large": make([]byte, MaxRoot+1),
		} {
			if _, err := ParseRootPayload(bad); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestNewTargets makes what it can read, and nothing else.
func TestNewTargets(t *testing.T) {
	writer := func(name string, keys ...ed25519.PrivateKey) WriterParams {
		return WriterParams{Name: name, Role: oneKey(keys...)}
	}
	good := TargetsParams{Expires: testExpiry, Writers: []WriterParams{writer("bert", seedKey(2)), writer("alice", seedKey(1), seedKey(2))}}
	doc, err := NewTargets(good)
	if err != nil {
		t.Fatal(err)
	}
	root := organisation(t)
	if _, err := root.OpenTargets(doc.Bytes()); !errors.Is(err, ErrForged) {
		t.Errorf("unsigned: %v", err)
	}
	if err := doc.Sign(p256(t, 44)); err != nil {
		t.Fatal(err)
	}
	again, err := root.OpenTargets(doc.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(again.Writers(), " "); got != "alice bert" || again.Version() != 1 || again.Hash() != doc.Hash() {
		t.Errorf("writers %s of version %d", got, again.Version())
	}
	if w, err := again.Writer("alice"); err != nil || w.Role.Threshold != 2 || len(w.Role.Keys) != 2 || !w.Allows("any/thing") {
		t.Errorf("alice: %+v, %v", w, err)
	}
	for name, p := range map[string]WriterParams{
		"main writer": writer("m", seedKey(1)), "role of TUF": writer("targets", seedKey(1)), "capital": writer("Alice", seedKey(1)), "no key": writer("alice"),
		"star inside": {Name: "a", Role: oneKey(seedKey(1)), Paths: []string{"a*b"}}, "upwards": {Name: "a", Role: oneKey(seedKey(1)), Paths: []string{"../*"}},
		"absolute": {Name: "a", Role: oneKey(seedKey(1)), Paths: []string{"/etc/*"}}, "half a name": {Name: "a", Role: oneKey(seedKey(1)), Paths: []string{"docs*"}},
		"backslash": {Name: "a", Role: oneKey(seedKey(1)), Paths: []string{`docs\*`}}, "ECDSA": {Name: "a", Role: RoleParams{Keys: []crypto.PublicKey{p256(t, 1).Public()}}},
		"threshold": {Name: "a", Role: RoleParams{Keys: []crypto.PublicKey{public(seedKey(1))}, Threshold: 2}},
	} {
		if doc, err := NewTargets(TargetsParams{Expires: testExpiry, Writers: []WriterParams{p}}); err == nil {
			t.Errorf("%s: made %s", name, doc.Bytes())
		}
	}
	base := map[string]Base{"alice": {Size: 7, Root: [32]byte{7}}}
	var docs []*Targets
	for _, b := range []map[string]Base{base, nil, base, {"bert": {Size: 1, Root: [32]byte{1}}}} {
		p := TargetsParams{Expires: testExpiry, Base: b}
		if len(docs) > 0 {
			p.Before = docs[len(docs)-1]
		}
		next, err := NewTargets(p)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, next)
	}
	for i, again := range []int64{0, 0, 1, 1} {
		if b := docs[i].Bases()["alice"]; b.Size != 7 || b.Again != again || docs[i].Version() != int64(i+1) {
			t.Errorf("version %d of document %d says of alice: %+v", docs[i].Version(), i+1, b)
		}
	}
	if _, err := NewTargets(TargetsParams{Version: 4, Expires: testExpiry, Before: docs[3]}); !errors.Is(err, ErrRollback) {
		t.Errorf("the same version again: %v", err)
	}
	good.Writers = append(good.Writers, writer("alice", seedKey(3)))
	if _, err := NewTargets(good); !errors.Is(err, ErrMalformed) {
		t.Errorf("a writer twice: %v", err)
	}
}
