package follow

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"handful/manifest/bencode"
	"handful/signing"
	"handful/signing/durable/crashfs"
)

var testTime = time.Unix(1766400000, 0).UTC()

func seedKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func testRoot(t testing.TB) *signing.Root {
	t.Helper()
	role := func(b byte) signing.RoleParams {
		return signing.RoleParams{Keys: []crypto.PublicKey{seedKey(b).Public()}}
	}
	r, err := signing.NewRoot(signing.RootParams{Expires: testTime.AddDate(2, 0, 0), Root: role(1), Targets: role(2), Timestamp: role(2)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sign(seedKey(1)); err != nil {
		t.Fatal(err)
	}
	return r
}

// logOf is a log whose posts carry a mark, so that two marks are two histories.
func logOf(t testing.TB, root *signing.Root, mark string, size int) *signing.Log {
	t.Helper()
	l, err := signing.NewLog(root.ID(), signing.MainWriter, &signing.Memory{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range size {
		b := bencode.AppendString([]byte("d"), "x")
		b = bencode.AppendString(b, fmt.Sprint(mark, i))
		b = bencode.AppendString(b, "y")
		b = bencode.AppendString(b, "post")
		if _, err := l.Append(append(b, 'e')); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.SignHead(seedKey(2), testTime); err != nil {
		t.Fatal(err)
	}
	return l
}

func updateFor(t testing.TB, l *signing.Log, size int64) signing.Update {
	t.Helper()
	u, err := l.UpdateFor(size)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestRollbackAfterRestart goes through a real file.
func TestRollbackAfterRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trust")
	root := testRoot(t)
	tr, err := OpenTrust(dir, root.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.UpdateRoot(root.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.UpdateHead(signing.MainWriter, updateFor(t, logOf(t, root, "a", 3), 0), testTime); err != nil {
		t.Fatal(err)
	}
	if err := tr.HandedOn(signing.MainWriter, 2); err != nil {
		t.Fatal(err)
	}
	if tr, err = OpenTrust(dir, root.ID()); err != nil {
		t.Fatal(err)
	}
	first, held := tr.Held(signing.MainWriter)
	if tr.Next(signing.MainWriter) != 2 || first != 0 || len(held) != 3 || tr.State(signing.MainWriter, testTime) != signing.StateFresh {
		t.Fatalf("after the restart: next %d, %d entries from %d on", tr.Next(signing.MainWriter), len(held), first)
	}
	if _, err := tr.UpdateHead(signing.MainWriter, updateFor(t, logOf(t, root, "a", 2), 0), testTime); !errors.Is(err, signing.ErrRollback) {
		t.Fatalf("an older head after a restart: %v", err)
	}
	if _, err := tr.UpdateHead(signing.MainWriter, updateFor(t, logOf(t, root, "b", 4), 0), testTime); !errors.Is(err, signing.ErrFork) {
		t.Fatalf("another history after a restart: %v", err)
	}
	if tr, err = OpenTrust(dir, root.ID()); err != nil || tr.State(signing.MainWriter, testTime) != signing.StateForked {
		t.Fatalf("a fork is forgotten over a restart: %v", err)
	}
}

// TestCrash interrupts each write of the file: afterwards the state is the one before
// or the one after, and never older than what a call has returned.
func TestCrash(t *testing.T) {
	root := testRoot(t)
	for _, landed := range []bool{false, true} {
		for _, loss := range crashfs.Losses {
			n := 1
			for crashOnce(t, root, n, landed, loss) {
				n++
			}
			if n < 20 {
				t.Fatalf("only %d steps were interrupted", n)
			}
		}
	}
}

func crashOnce(t *testing.T, root *signing.Root, n int, landed bool, loss crashfs.Loss) (crashed bool) {
	t.Helper()
	name := fmt.Sprintf("step %d, landed %v, loss %d", n, landed, loss)
	fs := crashfs.New()
	fs.FailAt(n, landed)
	tr, err := OpenTrustFS(fs, "trust", root.ID())
	if err != nil {
		t.Fatal(err)
	}
	returned := int64(-1)
	if tr.UpdateRoot(root.Bytes()) == nil {
		returned = 0
		for size := 1; size < 6; size++ {
			acc, err := tr.UpdateHead(signing.MainWriter, updateFor(t, logOf(t, root, "a", size), 0), testTime)
			if err == nil {
				returned = int64(size)
				continue
			}
			if !errors.Is(err, crashfs.ErrCrash) || acc.Changed || len(acc.Entries) > 0 || tr.Size(signing.MainWriter) != returned {
				t.Fatalf("%s: %v, although not on disk: %+v, size %d after %d", name, err, acc, tr.Size(signing.MainWriter), returned)
			}
			break
		}
	}
	if !fs.Crashed() {
		return false
	}
	fs.Restart(loss)
	tr, err = OpenTrustFS(fs, "trust", root.ID())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if got := tr.Size(signing.MainWriter); got < returned || got > returned+1 || returned >= 0 && tr.Root() == nil {
		t.Fatalf("%s: %d entries after the restart, %d before", name, got, returned)
	}
	if err := tr.UpdateRoot(root.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.UpdateHead(signing.MainWriter, updateFor(t, logOf(t, root, "a", 9), tr.Size(signing.MainWriter)), testTime); err != nil {
		t.Fatalf("%s: it does not go on: %v", name, err)
	}
	return true
}

// TestFullDisk goes on with the same Trust when a write has failed.
func TestFullDisk(t *testing.T) {
	root := testRoot(t)
	fs := crashfs.New()
	tr, err := OpenTrustFS(fs, "trust", root.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.UpdateRoot(root.Bytes()); err != nil {
		t.Fatal(err)
	}
	l := logOf(t, root, "a", 3)
	fs.FailAt(2, false)
	if _, err := tr.UpdateHead(signing.MainWriter, updateFor(t, l, 0), testTime); !errors.Is(err, crashfs.ErrCrash) || !strings.Contains(err.Error(), root.ID().String()) {
		t.Fatalf("a failed write: %v", err)
	}
	fs.Restart(crashfs.Keep)
	acc, err := tr.UpdateHead(signing.MainWriter, updateFor(t, l, 0), testTime)
	if err != nil || len(acc.Entries) != 3 {
		t.Fatalf("after the disk has room again: %d entries, %v", len(acc.Entries), err)
	}
}

func TestCorrupt(t *testing.T) {
	dir := t.TempDir()
	root := testRoot(t)
	tr, err := OpenTrust(dir, root.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.UpdateRoot(root.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.UpdateHead(signing.MainWriter, updateFor(t, logOf(t, root, "a", 3), 0), testTime); err != nil {
		t.Fatal(err)
	}
	if err := tr.HandedOn(signing.MainWriter, 2); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, root.ID().String()+".trust")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"entries skipped": bytes.Replace(good, []byte("4:nexti2e"), []byte("4:nexti3e"), 1),
		"empty":           {}, "short": good[:20], "cut": good[:len(good)-1],
		"flipped": append(bytes.Clone(good[:len(good)/2]), append([]byte{good[len(good)/2] ^ 1}, good[len(good)/2+1:]...)...),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenTrust(dir, root.ID())
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file is open to others: %v, %v", info.Mode(), err)
	}
}

// pub is what an edit of a document takes.
func pub(keys ...ed25519.PrivateKey) (all []crypto.PublicKey) {
	for _, k := range keys {
		all = append(all, k.Public())
	}
	return all
}
