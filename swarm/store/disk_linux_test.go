package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"handful/manifest"
)

// mounted makes a file system of its own of at most size bytes.
func mounted(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small tmpfs")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0755"); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestDiskFullAtOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(40, 1))
	_, m, _ := publish(t, map[string]node{"a": {data: random(r, 2<<20)}}, manifest.FormatHybrid)
	dest := mounted(t, "1m")
	s := open(t, t.TempDir())
	_, err := s.Download(t.Context(), copyOf(t, m), dest, DownloadOptions{})
	e, ok := errors.AsType[*Error](err)
	if !ok || !errors.Is(err, ErrDiskFull) || e.Need != m.Length() || e.Free <= 0 || e.Free > 1<<20 || e.Path != dest {
		t.Errorf("%+v", err)
	}
	if left, err := os.ReadDir(dest); len(left) != 0 || err != nil {
		t.Errorf("left on the full disk: %v, %v", left, err)
	}
}

// TestStateOnFullDisk opens a new store at each amount of free space, and again
// when there is room.
func TestStateOnFullDisk(t *testing.T) {
	state := mounted(t, "256k")
	for free := 0; free <= 40<<10; free += 4 << 10 {
		hog := filepath.Join(state, "hog")
		if err := os.WriteFile(hog, make([]byte, 256<<10-free), 0o644); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(state, "store")
		s, err := Open(dir, Options{})
		if err == nil {
			if err := s.Close(); err != nil {
				t.Errorf("closed with %d bytes free: %v", free, err)
			}
		} else if !errors.Is(err, ErrDiskFull) && !errors.Is(err, unix.ENOSPC) {
			t.Errorf("with %d bytes free: %v", free, err)
		}
		if err := os.Remove(hog); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(dir, Options{}); err == nil {
			err = s.Close()
		}
		if err != nil {
			t.Errorf("with room, after %d bytes were free: %v", free, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFullOnTheWay fills the disk by other means while a download runs, and
// makes room later.
func TestDiskFullOnTheWay(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 1))
	dir, m, seed := publish(t, map[string]node{"a": {data: random(r, 1<<20)}, "b": {data: random(r, 1<<20)}}, manifest.FormatV1)
	dest, state := mounted(t, "4m"), t.TempDir()
	s := open(t, state)
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	moved := fetch(t, r, seed, c, m.NumPieces()/4)
	hog := filepath.Join(dest, "hog")
	if err := os.WriteFile(hog, make([]byte, 3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	var full error
	for i := range m.NumPieces() {
		buf := make([]byte, m.PieceSize(i))
		if _, err := seed.ReadPiece(buf, i, 0); err != nil {
			t.Fatal(err)
		}
		if _, full = c.WritePiece(buf, i, 0); full != nil {
			break
		}
		if complete, _ := c.State(i); !complete {
			moved += c.payload(i)
			c.SetComplete(i, true)
		}
	}
	if e, ok := errors.AsType[*Error](full); !ok || !errors.Is(full, ErrDiskFull) || e.Hint == "" {
		t.Fatalf("the disk is full: %v", full)
	}
	s.kill()
	s = open(t, state)
	if _, err := s.Download(t.Context(), copyOf(t, m), dest, DownloadOptions{}); !errors.Is(err, ErrDiskFull) {
		t.Errorf("still full: %v", err)
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	c = download(t, s, copyOf(t, m), dest, DownloadOptions{})
	moved += fetch(t, r, seed, c, -1)
	if moved != m.Length() {
		t.Errorf("moved %d of %d", moved, m.Length())
	}
	sameTrees(t, dir, finish(t, c))
}

func TestReadOnly(t *testing.T) {
	r := rand.New(rand.NewPCG(42, 1))
	_, m, seed := publish(t, map[string]node{"a": {data: random(r, 200_000)}}, manifest.FormatHybrid)
	dest := mounted(t, "4m")
	s := open(t, t.TempDir())
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	fetch(t, r, seed, c, 2)
	c.Close()
	if err := unix.Mount("", dest, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot make it read-only: %v", err)
	}
	for _, s := range []*Store{s, open(t, t.TempDir())} {
		_, err := s.Download(t.Context(), copyOf(t, m), dest, DownloadOptions{})
		if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrPermission) || e.Path[:len(dest)] != dest {
			t.Errorf("%v", err)
		}
	}
	if _, err := Open(dest, Options{}); !errors.Is(err, ErrPermission) {
		t.Errorf("state on a read-only file system: %v", err)
	}
}

// TestReadOnlyCopy seeds from where nothing can be written, and takes a complete
// copy there for what it is.
func TestReadOnlyCopy(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 1))
	dest := mounted(t, "4m")
	dir := filepath.Join(dest, "tree")
	plant(t, dir, mixedTree(r))
	if err := unix.Mount("", dest, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("cannot make it read-only: %v", err)
	}
	m, src := build(t, dir, manifest.FormatHybrid)
	seed, err := open(t, t.TempDir()).Seed(m, src, SeedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := download(t, open(t, t.TempDir()), copyOf(t, m), dest, DownloadOptions{})
	readAll(t, seed, c)
}

// TestSparse asks the file system what a download takes.
func TestSparse(t *testing.T) {
	r := rand.New(rand.NewPCG(44, 1))
	_, m, seed := publish(t, map[string]node{"a": {data: random(r, 8<<20)}}, manifest.FormatHybrid)
	dest, state := t.TempDir(), t.TempDir()
	s := open(t, state)
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	last := m.NumPieces() - 1
	buf := make([]byte, m.PieceSize(last))
	if _, err := seed.ReadPiece(buf, last, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WritePiece(buf, last, 0); err != nil {
		t.Fatal(err)
	}
	fi, err := c.place.stat(0)
	if err != nil || fi.Size() != 8<<20 || allocated(fi) > 1<<20 {
		t.Errorf("%d bytes on disk of %d, %v", allocated(fi), fi.Size(), err)
	}
	s.kill()
	c = download(t, open(t, state), copyOf(t, m), dest, DownloadOptions{})
	unknown := 0
	for i := range m.NumPieces() {
		if complete, known := c.State(i); !known {
			unknown++
		} else if complete {
			t.Errorf("piece %d is believed", i)
		}
	}
	if unknown != 1 {
		t.Errorf("%d pieces are to be hashed, only one was written", unknown)
	}
}

// TestFoldedCase fetches two names that differ by case to where they are one.
func TestFoldedCase(t *testing.T) {
	r := rand.New(rand.NewPCG(45, 1))
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a tmpfs that folds case")
	}
	dest := t.TempDir()
	if err := unix.Mount("tmpfs", dest, "tmpfs", 0, "casefold"); err != nil {
		t.Skipf("no tmpfs that folds case here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dest, unix.MNT_DETACH) })
	d, err := os.Open(dest)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const folds = 0x40000000 // FS_CASEFOLD_FL
	if err := unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, folds); err != nil {
		t.Skipf("cannot make the directory fold case: %v", err)
	}
	_, m, seed := publish(t, map[string]node{"Readme": {data: random(r, 10)}, "README": {data: random(r, 10)}}, manifest.FormatHybrid)
	_, err = open(t, t.TempDir()).Download(t.Context(), m, dest, DownloadOptions{})
	if !errors.Is(err, ErrName) || !errors.Is(err, manifest.ErrCollision) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dest); len(left) != 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
	c := download(t, open(t, t.TempDir()), copyOf(t, m), t.TempDir(), DownloadOptions{})
	fetch(t, r, seed, c, -1)
	finish(t, c)
}
