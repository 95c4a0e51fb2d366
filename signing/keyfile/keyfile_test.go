package keyfile

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"handful/signing"
)

var testTime = time.Unix(1766400000, 0).UTC()

// counter is a source of different, known bytes.
type counter byte

func (c *counter) Read(p []byte) (int, error) {
	*c++
	for i := range p {
		p[i] = byte(*c)
	}
	return len(p), nil
}

func create(t testing.TB, dir string) *Keys {
	t.Helper()
	k, err := Create(dir, Options{Title: "Demo", Now: testTime, Rand: new(counter)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func same(t testing.TB, a, b *Keys) {
	t.Helper()
	x, errX := a.Export()
	y, errY := b.Export()
	if errX != nil || errY != nil || !bytes.Equal(x, y) {
		t.Fatalf("not the same keys: %v %v", errX, errY)
	}
}

func TestCreateOpenExportImport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if ids, err := List(dir); err != nil || len(ids) != 0 {
		t.Fatalf("a missing directory lists %v, %v", ids, err)
	}
	k := create(t, dir)
	again, err := Open(dir, k.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, k, again)
	if got := again.Newest().Expires(); got != testTime.AddDate(2, 0, 0) {
		t.Errorf("expires %s", got)
	}
	text, err := k.Export()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "keys")
	for range 2 { // the second time it does nothing
		imported, err := Import(other, bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		same(t, k, imported)
	}
	if ids, err := List(other); err != nil || !slices.Equal(ids, []signing.ID{k.ID}) {
		t.Fatalf("lists %v, %v", ids, err)
	}
	head, err := signing.SignHead(k.ID, signing.MainWriter, 0, emptyRoot(t, k), again.Online, testTime)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Newest().OpenHead(signing.MainWriter, head); err != nil {
		t.Fatalf("the online key does not sign heads: %v", err)
	}
}

func emptyRoot(t testing.TB, k *Keys) [32]byte {
	l, err := signing.NewLog(k.ID, signing.MainWriter, &signing.Memory{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.RootAt(0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such modes")
	}
	dir := filepath.Join(t.TempDir(), "keys")
	k := create(t, dir)
	sub := filepath.Join(dir, k.ID.String())
	for path, want := range map[string]os.FileMode{dir: 0o700, sub: 0o700, filepath.Join(sub, rootPEM): 0o600, filepath.Join(sub, onlinePEM): 0o600, filepath.Join(sub, dhtPEM): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
	if err := os.Chmod(filepath.Join(sub, onlinePEM), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, k.ID); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read is used: %v", err)
	}
}

func TestRootKeyElsewhere(t *testing.T) {
	dir := t.TempDir()
	k := create(t, dir)
	if err := os.Remove(filepath.Join(dir, k.ID.String(), rootPEM)); err != nil {
		t.Fatal(err)
	}
	k, err := Open(dir, k.ID)
	if err != nil || k.Root != nil || k.Online == nil {
		t.Fatalf("without the root key: %v", err)
	}
	text, err := k.Export()
	if err != nil {
		t.Fatal(err)
	}
	if k, err = ParseExport(text); err != nil || k.Root != nil {
		t.Fatalf("an export without the root key: %v", err)
	}
}

func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(sub string) error{
		"root document gone": func(sub string) error { return os.Remove(filepath.Join(sub, rootName(1))) },
		"other key":          func(sub string) error { return os.Rename(filepath.Join(sub, rootPEM), filepath.Join(sub, onlinePEM)) },
		"key cut":            func(sub string) error { return os.Truncate(filepath.Join(sub, onlinePEM), 60) },
		"root document cut":  func(sub string) error { return os.Truncate(filepath.Join(sub, rootName(1)), 60) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			k := create(t, dir)
			if err := damage(filepath.Join(dir, k.ID.String())); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, k.ID)
			if err == nil || !strings.Contains(err.Error(), k.ID.String()) {
				t.Fatalf("opened: %v", err)
			}
		})
	}
	if _, err := Open(t.TempDir(), signing.ID{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no keys at all: %v", err)
	}
}

// TestParseExportRefuses changes an export in ways that leave its keys whole.
func TestParseExportRefuses(t *testing.T) {
	k := create(t, t.TempDir())
	text, err := k.Export()
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.SplitAfter(string(text), "-----\n")
	for name, bad := range map[string]string{
		"empty":        "",
		"other file":   "-----BEGIN PRIVATE KEY-----\n",
		"text added":   strings.Replace(string(text), "These", "Those", 1),
		"text between": strings.Replace(string(text), "-----BEGIN PRIVATE", "\nhello\n-----BEGIN PRIVATE", 1),
		"key twice":    string(text) + blocks[len(blocks)-3] + blocks[len(blocks)-2],
		"cut":          string(text[:len(text)-60]),
		"too large":    string(text) + strings.Repeat("\n", maxExport),
		"other id":     strings.Replace(string(text), k.ID.String(), signing.ID{1}.String(), 1),
	} {
		if _, err := ParseExport([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ParseExport([]byte("\n" + string(text))); err == nil {
		t.Error("a line before it: accepted")
	}
	if _, err := ParseExport([]byte(string(text) + "\n\n")); err != nil {
		t.Errorf("empty lines behind it: %v", err)
	}
}

// TestUnfinished leaves what a crash within Create leaves, which is not a channel.
func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	k := create(t, dir)
	text, err := k.Export()
	if err != nil {
		t.Fatal(err)
	}
	sub := filepath.Join(dir, k.ID.String())
	if err := os.Rename(sub, filepath.Join(dir, unfinished+k.ID.String())); err != nil {
		t.Fatal(err)
	}
	if ids, err := List(dir); err != nil || len(ids) != 0 {
		t.Fatalf("an unfinished channel is listed: %v, %v", ids, err)
	}
	if _, err := Import(dir, text); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, Options{Title: "Demo", Now: testTime, Rand: new(counter)}); !errors.Is(err, ErrExists) {
		t.Fatalf("the same channel is made twice: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Fatalf("left over: %v, %v", left, err)
	}
}

// absent skips the test for want of another program, or fails it in CI, where all of them must be there.
func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("in CI every client must be there: "+format, args...)
	}
	t.Skipf(format, args...)
}

// TestOpenSSL lets another program read a key.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		absent(t, "openssl is not installed")
	}
	dir := t.TempDir()
	k := create(t, dir)
	out, err := exec.CommandContext(t.Context(), openssl, "pkey", "-in", filepath.Join(dir, k.ID.String(), onlinePEM), "-pubout", "-outform", "DER").Output()
	if err != nil || !bytes.HasSuffix(out, public(k.Online)) {
		t.Fatalf("openssl reads another key: %x, %v", out, err)
	}
}

func FuzzParseExport(f *testing.F) {
	k := create(f, f.TempDir())
	text, err := k.Export()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")))
	f.Add(text[:len(text)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseExport(b)
		if err != nil {
			return
		}
		again, err := k.Export()
		if err != nil || !bytes.Equal(bytes.TrimSpace(again), bytes.TrimSpace(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")))) {
			t.Fatalf("%q comes back as %q, %v", b, again, err)
		}
	})
}
