package keyfile

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"handful/signing"
)

func seed(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

// successor replaces the online key of k, and drops nothing else.
func successor(t testing.TB, k *Keys, to ed25519.PrivateKey) *signing.Root {
	t.Helper()
	old, err := signing.NewKey(k.Online.Public())
	if err != nil {
		t.Fatal(err)
	}
	edit := signing.RoleEdit{Drop: []string{old.ID()}, Add: []crypto.PublicKey{to.Public()}}
	next, err := k.Newest().Edit(signing.RootEdit{Targets: edit, Timestamp: edit})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Sign(k.Root); err != nil {
		t.Fatal(err)
	}
	return next
}

func TestNext(t *testing.T) {
	dir := t.TempDir()
	k := create(t, dir)
	root := successor(t, k, seed(77))
	next, err := k.Next(dir, root.Bytes(), seed(77))
	if err != nil {
		t.Fatal(err)
	}
	if !next.Online.Equal(seed(77)) || !next.Root.Equal(k.Root) || !next.DHT.Equal(k.DHT) || next.Newest().Version() != 2 {
		t.Fatal("the new keys are not in their places")
	}
	again, err := Open(dir, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, next, again)
	names, err := os.ReadDir(filepath.Join(dir, k.ID.String()))
	if err != nil || len(names) != 6 {
		t.Errorf("%d files are there: %v", len(names), err)
	}
	text, err := next.Export()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "keys")
	imported, err := Import(other, text)
	if err != nil {
		t.Fatal(err)
	}
	same(t, next, imported)
	third := successor(t, next, seed(78))
	if _, err := next.Next(dir, third.Bytes(), seed(78), seed(79)); err == nil {
		t.Error("a key that the document does not name")
	}
	if _, err := next.Next(dir, root.Bytes(), seed(77)); !errors.Is(err, signing.ErrRollback) {
		t.Errorf("the same document again: %v", err)
	}
	if again, err = Open(dir, k.ID); err != nil {
		t.Fatal(err)
	}
	same(t, next, again)
	// A head key that is made elsewhere: the old one goes.
	if again, err = next.Next(dir, third.Bytes()); err != nil || again.Online != nil || again.Root == nil {
		t.Fatalf("without the new head key: %v", err)
	}
	if next, err = Open(dir, k.ID); err != nil {
		t.Fatal(err)
	}
	same(t, next, again)
}

// TestNextInterrupted leaves every state that an interrupted Next can leave: what is
// opened are the old keys or the new ones, and the next attempt succeeds.
func TestNextInterrupted(t *testing.T) {
	for _, tt := range []struct {
		name              string
		waits, root, done []string // files of the new state: as NAME.next, as they are, renamed
		old               bool
	}{
		{"nothing", nil, nil, nil, true},
		{"one key waits", []string{onlinePEM}, nil, nil, true},
		{"all keys wait", []string{rootPEM, onlinePEM, dhtPEM}, nil, nil, true},
		{"the document is there", []string{rootPEM, onlinePEM, dhtPEM}, []string{"2.root.json"}, nil, false},
		{"a key is in its place", []string{onlinePEM, dhtPEM}, []string{"2.root.json"}, []string{rootPEM}, false},
		{"two are", []string{dhtPEM}, []string{"2.root.json"}, []string{rootPEM, onlinePEM}, false},
	} {
		dir, whole := t.TempDir(), t.TempDir()
		k := create(t, dir)
		root := successor(t, k, seed(77))
		next, err := create(t, whole).Next(whole, root.Bytes(), seed(77))
		if err != nil {
			t.Fatal(err)
		}
		for suffix, names := range map[string][]string{nextKey: tt.waits, "": append(tt.root, tt.done...)} {
			for _, name := range names {
				b, err := os.ReadFile(filepath.Join(whole, k.ID.String(), name))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, k.ID.String(), name+suffix), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		got, err := Open(dir, k.ID)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if tt.old {
			same(t, k, got)
			if got, err = got.Next(dir, root.Bytes(), seed(77)); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		same(t, next, got)
		last, err := got.Next(dir, successor(t, got, seed(78)).Bytes(), seed(78))
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if got, err = Open(dir, k.ID); err != nil {
			t.Fatal(err)
		}
		same(t, last, got)
	}
}
