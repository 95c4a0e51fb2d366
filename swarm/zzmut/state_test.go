package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"handful/manifest"
)

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(dir, Options{})
	if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrLocked) || e.PID != os.Getpid() || e.Hint == "" {
		t.Errorf("%v", err)
	}
	s.Close()
	open(t, dir)
}

func TestStateDirIsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	plant(t, filepath.Dir(path), map[string]node{"x": {}})
	if _, err := Open(path, Options{}); !errors.Is(err, ErrIsFile) {
		t.Error(err)
	}
}

func TestBlobs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if v, err := s.Blob("peers", "a"); v != nil || err != nil {
		t.Error(v, err)
	}
	if all, err := s.Blobs("peers"); len(all) != 0 || err != nil {
		t.Error(all, err)
	}
	for k, v := range map[string]string{"a": "1", "b": "", "c": "3"} {
		if err := s.SetBlob("peers", k, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetBlob("peers", "c", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SetBlob("peers", "", nil); err != nil {
		t.Errorf("deleting what is not there: %v", err)
	}
	if err := s.SetBlob("peers", "", []byte("x")); err == nil {
		t.Error("an empty key was taken")
	}
	s.Close()
	if err := s.SetBlob("peers", "d", []byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	s = open(t, dir)
	all, err := s.Blobs("peers")
	if err != nil || len(all) != 2 || string(all["a"]) != "1" || all["b"] == nil {
		t.Errorf("%q, %v", all, err)
	}
	if v, err := s.Blob("peers", "a"); string(v) != "1" || err != nil {
		t.Error(v, err)
	}
}

func TestRecordKept(t *testing.T) {
	r := rand.New(rand.NewPCG(30, 1))
	_, m, c := publish(t, mixedTree(r), manifest.FormatV1)
	c.AddUploaded(5)
	if err := c.Annotate(false, []byte("m")); err != nil {
		t.Fatal(err)
	}
	state := c.s.dir
	for want := int64(5); want < 20; want += 5 {
		if err := c.s.Close(); err != nil {
			t.Fatal(err)
		}
		s := open(t, state)
		list, err := s.Load()
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		got := list[0]
		if got.Uploaded != want || got.Origin || string(got.Meta) != "m" || got.Kind != InPlace || got.Name != "tree" ||
			got.Length != m.Length() || got.InfoSum != m.InfoSum() || got.InfoHash != m.InfoHash() {
			t.Errorf("%+v", got)
		}
		if c, err = s.Reopen(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		c.AddUploaded(5)
	}
}

// TestCorrupt damages state.db in every page and at random. Whatever happens, it
// must be said and not be a crash, and what is read must be what was written.
func TestCorrupt(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 1))
	_, m, c := publish(t, mixedTree(r), manifest.FormatHybrid)
	for k := range 40 {
		if err := c.s.SetBlob("b", strings.Repeat("k", k+1), bytes.Repeat([]byte{byte(k)}, 300)); err != nil {
			t.Fatal(err)
		}
	}
	c.s.Close()
	whole, err := os.ReadFile(c.s.dbPath())
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, b []byte) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "state.db"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, Options{})
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(err, ErrCorrupt) || e.Path != filepath.Join(dir, "state.db") || !strings.Contains(e.Hint, ".bad") {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		defer s.Close()
		if list, err := s.Load(); err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: load: %v", what, err)
			}
		} else if len(list) == 1 {
			if _, err := s.Reopen(t.Context(), list[0]); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: reopen: %v", what, err)
			}
			if got, err := s.Torrent(m.InfoHash()); err == nil && !bytes.Equal(got.Bytes(), m.Bytes()) {
				t.Errorf("%s: another torrent", what)
			}
		}
		if v, err := s.Blob("b", "k"); err == nil && v != nil && !bytes.Equal(v, make([]byte, 300)) {
			t.Errorf("%s: another value: %x", what, v)
		}
	}
	try("garbage", bytes.Repeat([]byte("garbage "), 5000))
	try("short", whole[:100])
	try("cut", whole[:len(whole)/2])
	for page := 0; page < len(whole); page += os.Getpagesize() {
		b := bytes.Clone(whole)
		for i := range 64 {
			b[page+i] = byte(r.Uint32())
		}
		try("page header", b)
		b = bytes.Clone(whole)
		b[page+r.IntN(os.Getpagesize())] ^= 1 << r.IntN(8)
		try("one bit", b)
	}
}

// TestDamagedRecord has one bad record among good ones.
func TestDamagedRecord(t *testing.T) {
	r := rand.New(rand.NewPCG(32, 1))
	_, m, c := publish(t, mixedTree(r), manifest.FormatHybrid)
	s := c.s
	dir := filepath.Join(t.TempDir(), "other")
	plant(t, dir, map[string]node{"x": {data: []byte("y")}})
	other, src := build(t, dir, manifest.FormatHybrid)
	if _, err := s.Seed(other, src, SeedOptions{}); err != nil {
		t.Fatal(err)
	}
	ih := m.InfoHash()
	err := s.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketRecords)
		v := bytes.Clone(b.Get(ih[:]))
		v[len(v)-3] ^= 1
		return b.Put(ih[:], v)
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Load()
	if !errors.Is(err, ErrCorrupt) || len(list) != 1 || list[0].Name != "other" {
		t.Errorf("%v, %v", list, err)
	}
	if err := s.Forget(ih); err != nil {
		t.Error(err)
	}
	if list, err := s.Load(); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

func FuzzClean(f *testing.F) {
	files := &fileState{stamps: []stamp{{1, 2, 3}, noFile, {1 << 40, -5, 0}}, paths: []string{"/a/b", "", "/a/c"}}
	p := newPieces(70)
	p.complete.set(69, true)
	f.Add(encodeClean(files, p))
	f.Add(encodeClean(&fileState{stamps: files.stamps}, p))
	f.Add([]byte{3, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		files, p, err := decodeClean(b, 3, 70)
		if err != nil {
			return
		}
		again, q, err := decodeClean(encodeClean(files, p), 3, 70)
		if err != nil || !bytes.Equal(encodeClean(again, q), encodeClean(files, p)) {
			t.Errorf("%x: %v", b, err)
		}
	})
}

func TestClean(t *testing.T) {
	files := &fileState{stamps: []stamp{{1, 2, 3}, noFile, {1 << 40, -5, 0}}, paths: []string{"/a/b", "", "/a/bc"}}
	got, err := decodeFiles(&cursor{b: files.encode()}, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range files.stamps {
		if got.stamps[i] != files.stamps[i] || got.paths[i] != files.paths[i] {
			t.Errorf("%v %q, want %v %q", got.stamps[i], got.paths[i], files.stamps[i], files.paths[i])
		}
	}
	for n := range files.encode() {
		if _, err := decodeFiles(&cursor{b: files.encode()[:n]}, 3); err == nil {
			t.Errorf("the first %d bytes alone were taken", n)
		}
	}
	if _, err := decodeFiles(&cursor{b: files.encode()}, 4); err == nil {
		t.Error("stamps of another number of files were taken")
	}
}
