package seal

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"handful/manifest"
)

// update rewrites the vectors that are made here. That changes what readers understand.
var update = flag.Bool("update", false, "rewrite testdata")

// absent skips the test for want of another program, or fails it in CI, where all of them must be there.
func absent(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("in CI every client must be there: "+format, args...)
	}
	t.Skipf(format, args...)
}

func vector(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectorTree is the tree of the vectors: hello.txt with "hello\n".
func vectorTree(t testing.TB, k Key) tree {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hello.txt")
	if err := os.WriteFile(path, []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tor, src, err := manifest.Build(t.Context(), []string{path}, manifest.BuildOptions{Format: manifest.FormatV1, Salt: k.Salt()})
	if err != nil {
		t.Fatal(err)
	}
	return tree{tor, src, map[int][]byte{0: []byte("hello\n")}}
}

// TestVectors: what is sealed is what it was in every version so far. keys is the ring of
// the keys 0x07 and 0x08, of which the first seals; entry the post "Tea at four";
// content the file hello.txt.
func TestVectors(t *testing.T) {
	k := testKey(t, 7)
	ring := Ring{Keys: []Key{k, testKey(t, 8)}, Pending: true, Members: []Member{{"ann", testKey(t, 10).Recipient()}}}
	s, err := k.SealEntry(manifest.Post{Head: head(), Title: "Tea at four"}.Bytes(), manifest.Pointers{Rekey: 3})
	if err != nil {
		t.Fatal(err)
	}
	tr := vectorTree(t, k)
	r, err := k.Seal(tr.t, tr.read)
	if err != nil {
		t.Fatal(err)
	}
	for name, made := range map[string][]byte{"keys": ring.Bytes(), "entry": s.Bytes(), "entry.age": s.Box, "content.age": readAll(t, r)} {
		if *update {
			if err := os.WriteFile(filepath.Join("testdata", name), made, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(made, vector(t, name)) {
			t.Errorf("testdata/%s is not what is made now", name)
		}
	}
}

// TestMadeByAge reads what the program age 1.1.1 made: entry-by-age.age is the plaintext of
// entry.age for the key 0x07 and another, key-by-age.age the key 0x08 for ann and bob, keys
// 0x0a and 0x0b.
func TestMadeByAge(t *testing.T) {
	k := testKey(t, 7)
	e, err := OpenEntry([]Key{k}, manifest.Sealed{Head: head(), Box: vector(t, "entry-by-age.age")})
	if p, ok := e.(manifest.Post); err != nil || !ok || p.Title != "Tea at four" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, own := range []byte{10, 11} {
		if got, err := OpenKey(vector(t, "key-by-age.age"), []age.Identity{identity(t, testKey(t, own))}); err != nil || got != testKey(t, 8) {
			t.Errorf("%v, %v", got, err)
		}
	}
	if _, err := OpenKey(vector(t, "key-by-age.age"), []age.Identity{identity(t, k)}); !errors.Is(err, ErrKey) {
		t.Errorf("somebody else: %v", err)
	}
	b := vector(t, "content-by-age.age")
	o, err := Open([]Key{k}, bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	// Whoever has what another program sealed can go on seeding it.
	again, err := o.Reader(vectorTree(t, k).read)
	if err != nil || !bytes.Equal(readAll(t, again), b) {
		t.Errorf("it does not become the same again: %v", err)
	}
}

// TestAgeOpens lets the program age open what is made here.
func TestAgeOpens(t *testing.T) {
	program, err := exec.LookPath("age")
	if err != nil {
		absent(t, "age is not installed")
	}
	k, dir := testKey(t, 7), t.TempDir()
	keys := filepath.Join(dir, "keys")
	ring := Ring{Keys: []Key{testKey(t, 1), k}}
	if err := os.WriteFile(keys, ring.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tr := makeTree(t, k, 200_000, chunkLength, 5)
	r, err := k.Seal(tr.t, tr.read)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, r.s.plain)
	if _, err := r.plain.ReadAt(want, 0); err != nil {
		t.Fatal(err)
	}
	post := manifest.Post{Head: head(), Title: "Tea at four"}
	s, err := k.SealEntry(post.Bytes(), manifest.Pointers{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ sealed, plain []byte }{
		"content": {readAll(t, r), want},
		"entry":   {s.Box, append(post.Bytes(), make([]byte, minEntry-len(post.Bytes()))...)},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, c.sealed, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := exec.CommandContext(t.Context(), program, "-d", "-i", keys, path).Output()
		if err != nil || !bytes.Equal(got, c.plain) {
			t.Errorf("%s: age says %v, %d bytes of %d", name, err, len(got), len(c.plain))
		}
	}
}
