package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"handful/manifest"
)

func TestExistingCopy(t *testing.T) {
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, uint64(f)))
			tree := mixedTree(r)
			_, m, seed := publish(t, tree, f)
			dest := t.TempDir()
			plant(t, filepath.Join(dest, "tree"), tree)
			plant(t, filepath.Join(dest, "tree"), map[string]node{"Thumbs.db": {data: []byte("not ours")}})
			before := stampsBelow(t, dest)
			s := open(t, t.TempDir())
			var last int64
			c := download(t, s, copyOf(t, m), dest, DownloadOptions{Progress: func(done, _ int64) { last = max(last, done) }})
			if !c.Complete() || c.Reused() != m.Length() || c.Record().Kind != Finished {
				t.Errorf("complete %v, reused %d of %d", c.Complete(), c.Reused(), m.Length())
			}
			if path := finish(t, c); path != filepath.Join(dest, "tree") {
				t.Error(path)
			}
			readAll(t, seed, c)
			if after := stampsBelow(t, dest); after != before {
				t.Errorf("the copy was touched:\n%s\n%s", before, after)
			}
			if last != m.Length() {
				t.Errorf("progress ended at %d of %d", last, m.Length())
			}
		})
	}
}

func TestExistingOther(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	tree := mixedTree(r)
	dir, m, seed := publish(t, tree, manifest.FormatHybrid)
	flip := func(name string, at int) func(string) error {
		return func(dest string) error {
			path := filepath.Join(dest, name)
			b, err := os.ReadFile(path)
			if err == nil {
				b[at] ^= 1
				err = os.WriteFile(path, b, 0o644)
			}
			return err
		}
	}
	for _, k := range []struct {
		path   string // that the error must name
		damage func(dest string) error
		refuse error
	}{
		{"zeros", flip("zeros", 149_999), ErrExists},
		{"bin/tool", flip("bin/tool", 0), ErrExists},
		{"secret", func(d string) error { return os.Truncate(filepath.Join(d, "secret"), 99) }, ErrExists},
		{"empty", func(d string) error { return os.Remove(filepath.Join(d, "empty")) }, ErrExists},
		{"bin/tool", func(d string) error { return os.Chmod(filepath.Join(d, "bin/tool"), 0o644) }, ErrExists},
		{"link", func(d string) error { return os.Remove(filepath.Join(d, "link")) }, ErrExists},
		{"nothing/here", func(d string) error { return os.Remove(filepath.Join(d, "nothing/here")) }, ErrExists},
		{"d0/f0", func(d string) error {
			return errors.Join(os.Remove(filepath.Join(d, "d0/f0")), os.Mkdir(filepath.Join(d, "d0/f0"), 0o755))
		}, ErrExists},
		{"", func(d string) error { return errors.Join(os.RemoveAll(d), os.Symlink("/", d)) }, ErrExists},
		{"", func(d string) error { return errors.Join(os.RemoveAll(d), os.WriteFile(d, nil, 0o644)) }, ErrIsFile},
	} {
		dest := t.TempDir()
		plant(t, filepath.Join(dest, "tree"), tree)
		if err := k.damage(filepath.Join(dest, "tree")); err != nil {
			t.Fatal(err)
		}
		before := stampsBelow(t, dest)
		s := open(t, t.TempDir())
		_, err := s.Download(t.Context(), copyOf(t, m), dest, DownloadOptions{})
		e, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, k.refuse) || e.Path != filepath.Join(dest, "tree", k.path) || e.Hint == "" {
			t.Errorf("%s: %v", k.path, err)
		}
		if after := stampsBelow(t, dest); after != before {
			t.Errorf("%s: refused and touched:\n%s\n%s", k.path, before, after)
		}
		c, err := s.Download(t.Context(), copyOf(t, m), dest, DownloadOptions{Force: true})
		if k.refuse == ErrIsFile {
			if !errors.Is(err, ErrIsFile) {
				t.Errorf("force over a file: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		moved := fetch(t, r, seed, c, -1)
		if k.path != "" && moved > 150_000 || moved+c.Reused() != m.Length() {
			t.Errorf("%s: %d bytes were fetched, %d reused of %d", k.path, moved, c.Reused(), m.Length())
		}
		sameTrees(t, dir, finish(t, c))
		s.Close()
	}
}

func TestSingleFileExists(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 1))
	src := t.TempDir()
	plant(t, src, map[string]node{"file": {data: random(r, 50_000)}})
	m, _ := build(t, filepath.Join(src, "file"), manifest.FormatHybrid)
	s := open(t, t.TempDir())
	dest := t.TempDir()
	plant(t, dest, map[string]node{"file": {dir: true}})
	if _, err := s.Download(t.Context(), m, dest, DownloadOptions{}); !errors.Is(err, ErrIsFile) {
		t.Errorf("a directory at the file's name: %v", err)
	}
	if _, err := s.Download(t.Context(), m, filepath.Join(src, "file"), DownloadOptions{}); !errors.Is(err, ErrIsFile) {
		t.Errorf("a file as destination: %v", err)
	}
	if _, err := s.Download(t.Context(), m, filepath.Join(src, "file", "below"), DownloadOptions{}); !errors.Is(err, ErrIsFile) {
		t.Errorf("a destination below a file: %v", err)
	}
	c := download(t, s, m, src, DownloadOptions{})
	if !c.Complete() {
		t.Error("the publisher's own file is not a complete copy")
	}
}

func TestElsewhere(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 1))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	one, two := t.TempDir(), t.TempDir()
	s := open(t, t.TempDir())
	c := download(t, s, copyOf(t, m), one, DownloadOptions{})
	if _, err := s.Download(t.Context(), copyOf(t, m), one, DownloadOptions{}); !errors.Is(err, ErrOpen) {
		t.Errorf("twice at once: %v", err)
	}
	fetch(t, r, seed, c, 3)
	c.Close()
	if _, err := s.Download(t.Context(), copyOf(t, m), two, DownloadOptions{}); !errors.Is(err, ErrElsewhere) {
		t.Errorf("unfinished elsewhere: %v", err)
	}
	c = download(t, s, copyOf(t, m), one, DownloadOptions{})
	fetch(t, r, seed, c, -1)
	finish(t, c)
	c.Close()
	c = download(t, s, copyOf(t, m), two, DownloadOptions{})
	if !c.Complete() || c.Reused() != m.Length() {
		t.Errorf("a finished copy elsewhere was not used: %d of %d bytes", c.Reused(), m.Length())
	}
	sameTrees(t, dir, finish(t, c))
	sameTrees(t, dir, filepath.Join(one, "tree"))
	if _, err := seed.s.Download(t.Context(), copyOf(t, m), two, DownloadOptions{}); !errors.Is(err, ErrOpen) {
		t.Errorf("content that is seeded: %v", err)
	}
	seed.Close()
	if _, err := seed.s.Download(t.Context(), copyOf(t, m), two, DownloadOptions{}); !errors.Is(err, ErrElsewhere) {
		t.Errorf("content that was seeded: %v", err)
	}
}

// TestStateLost finds a download again without any record of it.
func TestStateLost(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	dest := t.TempDir()
	s := open(t, t.TempDir())
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	moved := fetch(t, r, seed, c, m.NumPieces()/2)

	other := open(t, t.TempDir())
	_, err := other.Download(t.Context(), copyOf(t, m), dest, DownloadOptions{})
	if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrLocked) || e.PID != os.Getpid() {
		t.Errorf("two at one staging tree: %v", err)
	}
	s.Close()
	c = download(t, other, copyOf(t, m), dest, DownloadOptions{})
	moved += fetch(t, r, seed, c, -1)
	if moved != m.Length() {
		t.Errorf("moved %d of %d", moved, m.Length())
	}
	sameTrees(t, dir, finish(t, c))
}

// TestDamagedStaging changes a byte behind the back of an unfinished download.
func TestDamagedStaging(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 1))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	state, dest := t.TempDir(), t.TempDir()
	s := open(t, state)
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	fetch(t, r, seed, c, -1)
	path := c.place.path(c.fileOf(0))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
	c = download(t, open(t, state), copyOf(t, m), dest, DownloadOptions{})
	if _, known := c.State(0); known {
		t.Error("a file with another mtime is believed")
	}
	if moved := fetch(t, r, seed, c, -1); moved != c.payload(0) {
		t.Errorf("moved %d, not just the first piece of %d", moved, c.payload(0))
	}
	sameTrees(t, dir, finish(t, c))
}

// TestUnknownStaysUnknown closes a download properly before it was checked.
func TestUnknownStaysUnknown(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 1))
	_, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	state, dest := t.TempDir(), t.TempDir()
	s := open(t, state)
	moved := fetch(t, r, seed, download(t, s, copyOf(t, m), dest, DownloadOptions{}), m.NumPieces()/2)
	s.kill()
	for range 2 {
		s = open(t, state)
		download(t, s, copyOf(t, m), dest, DownloadOptions{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	moved += fetch(t, r, seed, download(t, open(t, state), copyOf(t, m), dest, DownloadOptions{}), -1)
	if moved != m.Length() {
		t.Errorf("moved %d of %d", moved, m.Length())
	}
}

// TestBitmapWithdrawn has a power cut lose the mtime of a write, but not its bytes.
func TestBitmapWithdrawn(t *testing.T) {
	r := rand.New(rand.NewPCG(28, 1))
	_, m, seed := publish(t, map[string]node{"a": {data: random(r, 300_000)}}, manifest.FormatHybrid)
	state, dest := t.TempDir(), t.TempDir()
	s := open(t, state)
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	fetch(t, r, seed, c, -1)
	path := c.place.path(0)
	s.Close()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s = open(t, state)
	c = download(t, s, copyOf(t, m), dest, DownloadOptions{})
	if complete, known := c.State(0); !complete || !known {
		t.Fatal("not believed after a proper close")
	}
	c.SetComplete(0, false)
	if _, err := c.WritePiece([]byte("half a piece"), 0, 0); err != nil {
		t.Fatal(err)
	}
	s.kill()
	if err := os.Chtimes(path, fi.ModTime(), fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	c = download(t, open(t, state), copyOf(t, m), dest, DownloadOptions{})
	if _, known := c.State(0); known {
		t.Error("a bitmap is believed that was made before the last write")
	}
}

func TestRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 1))
	_, m, seed := publish(t, mixedTree(r), manifest.FormatV1)
	c := download(t, open(t, t.TempDir()), copyOf(t, m), t.TempDir(), DownloadOptions{})
	b := make([]byte, 10)
	for _, k := range []struct {
		piece int
		off   int64
	}{{-1, 0}, {m.NumPieces(), 0}, {0, -1}, {0, m.PieceSize(0) + 1}} {
		if _, err := seed.ReadPiece(b, k.piece, k.off); !errors.Is(err, ErrOutOfRange) {
			t.Errorf("read %v: %v", k, err)
		}
		if _, err := c.WritePiece(b, k.piece, k.off); !errors.Is(err, ErrOutOfRange) {
			t.Errorf("write %v: %v", k, err)
		}
	}
	if _, err := c.WritePiece(b, 0, m.PieceSize(0)-5); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("write over the end: %v", err)
	}
	if n, err := seed.ReadPiece(b, 0, m.PieceSize(0)-4); n != 4 || err == nil {
		t.Errorf("read over the end: %d, %v", n, err)
	}
	if _, err := c.ReadPiece(b, 0, 0); err == nil {
		t.Error("read of what was never written")
	}
	if v, err := c.Verify(0); v != manifest.Bad || err != nil {
		t.Errorf("verify of what was never written: %v, %v", v, err)
	}
	if err := c.SetComplete(m.NumPieces(), true); !errors.Is(err, ErrOutOfRange) {
		t.Error(err)
	}
	c.Close()
	if _, err := c.WritePiece(b, 0, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if _, err := c.ReadPiece(b, 0, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}

func TestCompletePieceIsKept(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 1))
	_, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	c := download(t, open(t, t.TempDir()), copyOf(t, m), t.TempDir(), DownloadOptions{})
	fetch(t, r, seed, c, -1)
	b := bytes.Repeat([]byte{7}, 100)
	if n, err := c.WritePiece(b, 0, 0); n != len(b) || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	readAll(t, seed, c)
}

func TestDownloadCanceled(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 1))
	tree := mixedTree(r)
	_, m, _ := publish(t, tree, manifest.FormatHybrid)
	dest := t.TempDir()
	plant(t, filepath.Join(dest, "tree"), tree)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := open(t, t.TempDir())
	if _, err := s.Download(ctx, copyOf(t, m), dest, DownloadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if !download(t, s, copyOf(t, m), dest, DownloadOptions{}).Complete() {
		t.Error("not taken over after a canceled attempt")
	}
}

func TestForget(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 1))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	s, dest := open(t, t.TempDir()), t.TempDir()
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	fetch(t, r, seed, c, 4)
	if err := s.Forget(m.InfoHash()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dest); len(left) != 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
	if list, err := s.Load(); len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	c = download(t, s, copyOf(t, m), dest, DownloadOptions{})
	fetch(t, r, seed, c, -1)
	path := finish(t, c)
	for _, c := range []*Content{c, seed} {
		if err := c.s.Forget(m.InfoHash()); err != nil {
			t.Fatal(err)
		}
	}
	sameTrees(t, dir, path)
	if _, err := s.Torrent(m.InfoHash()); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(dest, stagingName(m.InfoHash()))); !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(stagingName(m.InfoHash()), ".handful-") {
		t.Error(err)
	}
}

// TestOnlyDirectories is a torrent without a byte.
func TestOnlyDirectories(t *testing.T) {
	dir, m, _ := publish(t, map[string]node{"a/b": {dir: true}, "c": {}, "d": {link: "a"}}, manifest.FormatHybrid)
	s, dest := open(t, t.TempDir()), t.TempDir()
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	if !c.Complete() {
		t.Error("nothing is missing")
	}
	sameTrees(t, dir, finish(t, c))
	c.Close()
	if c = download(t, s, copyOf(t, m), dest, DownloadOptions{}); c.Record().Kind != Finished {
		t.Error(c.Record().Kind)
	}
}

func TestDestinationGone(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 1))
	_, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	s, dest := open(t, t.TempDir()), filepath.Join(t.TempDir(), "dest")
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	fetch(t, r, seed, c, 2)
	c.Close()
	if err := os.Rename(dest, dest+".away"); err != nil {
		t.Fatal(err)
	}
	list, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reopen(t.Context(), list[0]); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(dest); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the destination was made again")
	}
	if err := os.Rename(dest+".away", dest); err != nil {
		t.Fatal(err)
	}
	if c, err = s.Reopen(t.Context(), list[0]); err != nil || c.Reused() == 0 {
		t.Errorf("%v", err)
	}
}

func TestUnwritable(t *testing.T) {
	if os.Geteuid() <= 0 {
		t.Skip("mode bits do not bind root, and are not there on Windows; a read-only file system is another test")
	}
	r := rand.New(rand.NewPCG(26, 1))
	_, m, _ := publish(t, mixedTree(r), manifest.FormatHybrid)
	dest := t.TempDir()
	if err := os.Chmod(dest, 0o555); err != nil {
		t.Fatal(err)
	}
	_, err := open(t, t.TempDir()).Download(t.Context(), m, dest, DownloadOptions{})
	if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrPermission) || e.Path != dest {
		t.Errorf("%v", err)
	}
}
