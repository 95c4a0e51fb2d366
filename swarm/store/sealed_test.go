package store

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"handful/manifest"
	sealing "handful/manifest/seal"
)

const marker = "MARKER-of-the-plaintext"

// readKey is a read key made of one byte.
func readKey(t testing.TB, b byte) sealing.Key {
	t.Helper()
	k, err := sealing.NewKey(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// privateTree is a tree whose content and names have the marker.
func privateTree() map[string]node {
	return map[string]node{
		"film-" + marker: {data: []byte(strings.Repeat(marker+" ", 20_000))},
		"sub/tool":       {data: []byte("#!" + marker), mode: 0o755},
		"sub/none":       {},
		"hollow":         {dir: true},
		"link":           {link: "sub/tool"},
	}
}

// publishSealed seals the tree at dir in a store, as a publisher does.
func publishSealed(t testing.TB, s *Store, k sealing.Key, dir string) *Content {
	t.Helper()
	inner, src, err := manifest.Build(t.Context(), []string{dir}, manifest.BuildOptions{Format: manifest.FormatV1, Salt: k.Salt()})
	if err != nil {
		t.Fatal(err)
	}
	ic, err := s.Seed(inner, src, SeedOptions{Hidden: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := k.Seal(inner, ic.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := manifest.BuildStream(t.Context(), r.Name(), r.Size(), r, manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.SeedSealed(outer, ic, r, SeedOptions{Origin: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func openStore(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// transfer fills to with the pieces of from.
func transfer(t testing.TB, from, to *Content) {
	t.Helper()
	for i := range from.t.NumPieces() {
		p := make([]byte, from.t.PieceSize(i))
		if _, err := from.ReadPiece(p, i, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := to.WritePiece(p, i, 0); err != nil {
			t.Fatal(err)
		}
		v, err := to.Verify(i)
		if err != nil || v != manifest.Good {
			t.Fatalf("piece %d: %v, %v", i, v, err)
		}
		if err := to.SetComplete(i, true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := to.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// allVerify reads every piece.
func allVerify(t testing.TB, c *Content) {
	t.Helper()
	for i := range c.t.NumPieces() {
		if v, err := c.Verify(i); err != nil || v != manifest.Good {
			t.Fatalf("piece %d: %v, %v", i, v, err)
		}
	}
}

// holdsMarker finds the marker in the content or the names of a tree.
func holdsMarker(t testing.TB, dir string) (where string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(d.Name(), marker) || bytes.Contains(b, []byte(marker)) {
			where = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return where
}

// TestSealed follows content from its publisher over a cache without a key to a reader,
// each of which serves it after a restart, too.
func TestSealed(t *testing.T) {
	dir := t.TempDir()
	k := readKey(t, 7)
	source := filepath.Join(dir, "holiday-"+marker)
	plant(t, source, privateTree())
	before := grown(t, source)

	states := map[string]string{}
	for _, who := range []string{"publisher", "cache", "reader"} {
		states[who] = filepath.Join(dir, who)
	}
	ps := openStore(t, states["publisher"])
	published := publishSealed(t, ps, k, source)
	allVerify(t, published)

	cs := openStore(t, states["cache"])
	cached, err := cs.Download(t.Context(), published.t, filepath.Join(dir, "cached"), DownloadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	transfer(t, published, cached)
	if _, err := cached.Unseal(t.Context(), []sealing.Key{readKey(t, 1)}, dir, DownloadOptions{}); !errors.Is(err, sealing.ErrKey) {
		t.Errorf("with another key: %v", err)
	}

	rs, dest := openStore(t, states["reader"]), filepath.Join(dir, "read")
	got, err := rs.Download(t.Context(), cached.t, SealedDir(dest, cached.ih), DownloadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	transfer(t, cached, got)
	for range 2 {
		path, err := got.Unseal(t.Context(), []sealing.Key{readKey(t, 1), k}, dest, DownloadOptions{})
		if err != nil || path != filepath.Join(dest, filepath.Base(source)) {
			t.Fatalf("%s, %v", path, err)
		}
	}
	if left, err := os.ReadDir(dest); err != nil || len(left) != 1 {
		t.Errorf("beside the tree there is something: %v, %v", left, err)
	}
	if after := grown(t, filepath.Join(dest, filepath.Base(source))); len(after) != len(before) {
		t.Errorf("%v became %v", before, after)
	} else {
		for name := range before {
			if after[name] != before[name] {
				t.Errorf("%s is not what it was", name)
			}
		}
	}
	allVerify(t, got)

	for who, s := range map[string]*Store{"publisher": ps, "cache": cs, "reader": rs} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if where := holdsMarker(t, states[who]); who == "cache" && where != "" {
			t.Errorf("the cache has plaintext in %s", where)
		}
		s = openStore(t, states[who])
		records, err := s.Load()
		if err != nil || len(records) != 1 {
			t.Fatalf("%s remembers %+v, %v", who, records, err)
		}
		c, err := s.Reopen(t.Context(), records[0])
		if err != nil {
			t.Fatal(err)
		}
		allVerify(t, c)
		if want := map[string]string{"publisher": "", "cache": filepath.Join(dir, "cached", published.t.Name), "reader": filepath.Join(dest, filepath.Base(source))}[who]; records[0].Path() != want {
			t.Errorf("%s has it in %s", who, records[0].Path())
		}
		if err := c.CheckSources(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if where := holdsMarker(t, filepath.Join(dir, "cached")); where != "" {
		t.Errorf("the cache has plaintext in %s", where)
	}
}

// TestSealedChanged: when a file behind sealed content changes, it is withdrawn, and
// nothing of what is there now is sealed.
func TestSealedChanged(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file is not replaced there")
	}
	dir := t.TempDir()
	k := readKey(t, 7)
	source := filepath.Join(dir, "holiday")
	plant(t, source, privateTree())
	s := openStore(t, filepath.Join(dir, "state"))
	c := publishSealed(t, s, k, source)
	allVerify(t, c)
	path := filepath.Join(source, "film-"+marker)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.CheckSources(t.Context()); !errors.Is(err, ErrChanged) {
		t.Errorf("looking at it: %v", err)
	}
	p := make([]byte, c.t.PieceSize(0))
	if _, err := c.ReadPiece(p, 0, 0); !errors.Is(err, ErrChanged) {
		t.Errorf("reading it: %v", err)
	}
	select {
	case err := <-c.Changed():
		if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
	default:
		t.Error("nobody is told")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	records, err := s.Load()
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	if _, err := s.Reopen(t.Context(), records[0]); !errors.Is(err, ErrChanged) {
		t.Errorf("opened again: %v", err)
	}
	// What is published again is another torrent, and the old one can be forgotten.
	if err := s.Forget(records[0].InfoHash); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := s.Record(records[0].Inner); ok {
		t.Error("what is behind it was not forgotten")
	}
	again := publishSealed(t, s, k, source)
	allVerify(t, again)
	if again.ih == c.ih {
		t.Error("other files are the same torrent")
	}
}

// TestUnsealInterrupted ends before each step of finishing, and between the rename and
// the record, and goes on in a new store.
func TestUnsealInterrupted(t *testing.T) {
	steps := []string{"verify", "complete", "sync", "journal", "rename", "clean", "record"}
	for _, at := range steps {
		for _, done := range []bool{false, true} {
			dir := t.TempDir()
			k := readKey(t, 7)
			source := filepath.Join(dir, "holiday")
			plant(t, source, privateTree())
			c := publishSealed(t, openStore(t, filepath.Join(dir, "p")), k, source)
			state, dest := filepath.Join(dir, "r"), filepath.Join(dir, "read")
			s := openStore(t, state)
			got, err := s.Download(t.Context(), c.t, SealedDir(dest, c.ih), DownloadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			transfer(t, c, got)
			reached := false
			s.fault = func(step string, after bool) {
				if step == at && after == done {
					reached = true
					panic("killed")
				}
			}
			func() {
				defer func() { recover() }()
				got.Unseal(t.Context(), []sealing.Key{k}, dest, DownloadOptions{})
			}()
			if !reached {
				t.Fatalf("step %s is none", at)
			}
			// The process is gone: its locks with it, and nothing was closed.
			s.db.Close()
			s.lock.release()
			for _, c := range s.open {
				if c != nil && c.staging != nil {
					c.staging.close()
				}
			}
			s = openStore(t, state)
			records, err := s.Load()
			if err != nil || len(records) != 1 {
				t.Fatalf("%s: %+v, %v", at, records, err)
			}
			got, err = s.Reopen(t.Context(), records[0])
			if err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			allVerify(t, got)
			path, err := got.Unseal(t.Context(), []sealing.Key{k}, dest, DownloadOptions{})
			if err != nil {
				t.Fatalf("%s, done %t: %v", at, done, err)
			}
			if b, err := os.ReadFile(filepath.Join(path, "sub", "tool")); err != nil || string(b) != "#!"+marker {
				t.Errorf("%s: %q, %v", at, b, err)
			}
			allVerify(t, got)
		}
	}
}
