package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"handful/manifest"
)

func pipe(t *testing.T, dir string) []string {
	t.Helper()
	path := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(path, 0o666); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// reflinking makes a file system that can share blocks between files, or skips the
// test.
func reflinking(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("STORE_TEST_REFLINK"); dir != "" {
		sub, err := os.MkdirTemp(dir, "store")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(sub) })
		return sub
	}
	if _, err := exec.LookPath("mkfs.xfs"); err != nil && os.Getenv("CI") == "true" && os.Geteuid() == 0 {
		t.Fatalf("in CI it must be there: %v", err)
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 400<<20); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.xfs", "-q", "-m", "reflink=1", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system that shares blocks, see STORE_TEST_REFLINK: %v: %.200s", err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestReflink: where the file system can, a piece shares the donor's blocks, and a
// change of either file does not show in the other.
func TestReflink(t *testing.T) {
	dir := reflinking(t)
	r := rand.New(rand.NewPCG(70, 1))
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			src := filepath.Join(dir, name, "tree")
			plant(t, src, map[string]node{"a": {data: random(r, 3_000_001)}, "b/c": {data: random(r, 500)}, "d": {data: random(r, 1<<20)}})
			m, files := build(t, src, f)
			seed, err := open(t, t.TempDir()).Seed(m, files, SeedOptions{Origin: true})
			if err != nil {
				t.Fatal(err)
			}
			c := download(t, open(t, t.TempDir()), copyOf(t, m), filepath.Join(dir, name, "out"), DownloadOptions{})
			d := donorOf(t, seed)
			if n := takeAll(t, c, d); n != m.Length() {
				t.Errorf("%d bytes of %d", n, m.Length())
			}
			// Files of v1 begin anywhere: only the first is aligned.
			if want := map[bool]int64{true: m.Length(), false: 2_900_000}[m.HasV2()]; d.Cloned() < want || d.Cloned() > m.Length() {
				t.Errorf("%d bytes shared of %d", d.Cloned(), m.Length())
			}
			if c.Reused() != 0 {
				t.Errorf("%d bytes count as found here", c.Reused())
			}
			done := finish(t, c)
			sameTrees(t, src, done)
			if err := os.WriteFile(filepath.Join(src, "d"), make([]byte, 1<<20), 0o644); err != nil {
				t.Fatal(err)
			}
			if v, err := c.Verify(m.NumPieces() - 1); v == manifest.Bad || err != nil {
				t.Errorf("after a change of the donor's file: %v, %v", v, err)
			}
		})
	}
}

// TestReflinkLies: other bytes that were shared are not complete, and what the
// network had brought of a piece is not replaced by them.
func TestReflinkLies(t *testing.T) {
	dir := reflinking(t)
	r := rand.New(rand.NewPCG(71, 1))
	data := random(r, 100_000)
	plant(t, dir, map[string]node{"right": {data: data}, "wrong": {data: random(r, 100_000)}})
	m, _ := build(t, filepath.Join(dir, "right"), manifest.FormatHybrid)
	c := download(t, open(t, t.TempDir()), m, filepath.Join(dir, "out"), DownloadOptions{})
	if _, err := c.WritePiece(data[:16<<10], 0, 0); err != nil {
		t.Fatal(err)
	}
	d := NewDonor(m, Whereabouts{Root: filepath.Join(dir, "wrong")})
	for i := range m.NumPieces() {
		if n, _, err := c.TakePiece(t.Context(), d, i); n != 0 || !errors.Is(err, ErrDonor) {
			t.Errorf("piece %d: %d, %v", i, n, err)
		}
		if complete, _ := c.State(i); complete {
			t.Errorf("piece %d is complete", i)
		}
	}
	if d.Cloned() != 0 || d.noClone.Load() {
		t.Errorf("%d bytes shared", d.Cloned())
	}
	if _, err := c.WritePiece(data[16<<10:32<<10], 0, 16<<10); err != nil {
		t.Fatal(err)
	}
	if !settle(t, c, 0) {
		t.Error("the network's bytes were lost")
	}
	takeAll(t, c, NewDonor(m, Whereabouts{Root: filepath.Join(dir, "right")}))
	if v, err := c.Verify(1); v != manifest.Good || err != nil {
		t.Errorf("%v, %v", v, err)
	}
}

// TestTakeOnFullDisk: a full disk is no fault of the donor's.
func TestTakeOnFullDisk(t *testing.T) {
	r := rand.New(rand.NewPCG(72, 1))
	_, m, seed := publish(t, map[string]node{"a": {data: random(r, 2<<20)}}, manifest.FormatHybrid)
	dest := mounted(t, "3m")
	c := download(t, open(t, t.TempDir()), copyOf(t, m), dest, DownloadOptions{})
	plant(t, dest, map[string]node{"filler": {data: make([]byte, 2<<20)}})
	d := donorOf(t, seed)
	var err error
	for i := 0; i < m.NumPieces() && err == nil; i++ {
		_, _, err = c.TakePiece(t.Context(), d, i)
	}
	if !errors.Is(err, ErrDiskFull) || errors.Is(err, ErrDonor) {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dest, "filler")); err != nil {
		t.Fatal(err)
	}
	takeAll(t, c, d)
	finish(t, c)
}
