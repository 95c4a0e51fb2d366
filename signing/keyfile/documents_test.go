package keyfile

import (
	"crypto"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"handful/signing"
)

func targetsOf(t *testing.T, k *Keys, before *signing.Targets, writers ...string) *signing.Targets {
	t.Helper()
	p := signing.TargetsParams{Expires: testTime.AddDate(1, 0, 0), Before: before}
	for i, name := range writers {
		role := signing.RoleParams{Keys: []crypto.PublicKey{seed(byte(100 + i)).Public()}}
		p.Writers = append(p.Writers, signing.WriterParams{Name: name, Role: role})
	}
	doc, err := signing.NewTargets(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Sign(k.Granter()); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestGrant(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := create(t, dir)
	if !k.New {
		t.Error("new keys are not new")
	}
	first := targetsOf(t, k, nil, "alice")
	k1, err := k.Grant(dir, first.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k1.Grant(dir, first.Bytes()); !errors.Is(err, signing.ErrRollback) {
		t.Errorf("the same version again: %v", err)
	}
	k2, err := k1.Grant(dir, targetsOf(t, k, first, "alice", "bob").Bytes())
	if err != nil {
		t.Fatal(err)
	}
	foreign := &Keys{Roots: k.Roots, Online: k.Root}
	if foreign.Granter() != nil {
		t.Error("the root key grants")
	}
	doc, err := signing.NewTargets(signing.TargetsParams{Expires: testTime, Before: k2.Document()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k2.Grant(dir, doc.Bytes()); !errors.Is(err, signing.ErrForged) {
		t.Errorf("signed by others: %v", err)
	}
	again, err := Open(dir, k.ID)
	if err != nil || len(again.Documents) != 2 || again.Document().Version() != 2 || !again.New {
		t.Fatalf("opened %+v: %v", again, err)
	}
	if again, err = again.Used(dir); err != nil || again.New {
		t.Fatalf("still new: %v", err)
	}
	if again, err = Open(dir, k.ID); err != nil || again.New {
		t.Fatalf("new again: %v", err)
	}
	text, err := again.Export()
	if err != nil {
		t.Fatal(err)
	}
	imported, err := Import(filepath.Join(t.TempDir(), "keys"), text)
	if err != nil || imported.Document().Hash() != again.Document().Hash() || imported.New {
		t.Fatalf("imported %+v: %v", imported, err)
	}
	same(t, again, imported)
	path := filepath.Join(dir, k.ID.String(), "3.targets.json")
	if err := os.WriteFile(path, first.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, k.ID); !errors.Is(err, ErrDamaged) {
		t.Errorf("a document under another's name: %v", err)
	}
}

func TestWithoutRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k, err := create(t, dir).WithoutRoot(dir)
	if err != nil || k.Root != nil {
		t.Fatalf("%+v: %v", k, err)
	}
	again, err := Open(dir, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, k, again)
	other := filepath.Join(t.TempDir(), "keys")
	parts, err := Assemble(other, k.ID, [][]byte{k.Newest().Bytes()}, nil, false)
	if err != nil || parts.Online != nil || parts.New {
		t.Fatalf("a channel without keys here: %+v: %v", parts, err)
	}
	if parts, err = Open(other, k.ID); err != nil || parts.Granter() != nil {
		t.Fatalf("opened %+v: %v", parts, err)
	}
}
