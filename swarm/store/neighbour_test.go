package store

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"handful/manifest"
)

// takeAll takes what can be had of a donor, and returns the payload.
func takeAll(t testing.TB, c *Content, d *Donor) (payload int64) {
	t.Helper()
	for i := range c.t.NumPieces() {
		n, _, err := c.TakePiece(t.Context(), d, i)
		if err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
		payload += n
		if complete, known := c.State(i); !complete || !known {
			t.Fatalf("piece %d: %v, %v", i, complete, known)
		}
	}
	return payload
}

// donorOf is where a content's files are, as another node would hear it.
func donorOf(t testing.TB, c *Content) *Donor {
	t.Helper()
	w, ok := c.Whereabouts()
	if !ok {
		t.Fatal("the content does not say where it is")
	}
	return NewDonor(c.Torrent(), w)
}

// TestTake: a download out of the files of a publisher, of an unfinished download
// and of a finished one, at several places that these may be at.
func TestTake(t *testing.T) {
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(60, 1))
			files := mixedTree(r)
			if f != manifest.FormatV1 { // that has them, and only that
				for name, n := range files {
					if n.link != "" || n.dir || len(n.data) == 0 {
						delete(files, name)
					}
				}
			}
			dir, m, seed := publish(t, files, f)
			a := download(t, open(t, t.TempDir()), copyOf(t, m), t.TempDir(), DownloadOptions{})
			if n := takeAll(t, a, donorOf(t, seed)); n != m.Length() || a.Reused() != 0 {
				t.Errorf("%d bytes of %d, %d reused", n, m.Length(), a.Reused())
			}
			staged := donorOf(t, a)
			b := download(t, open(t, t.TempDir()), copyOf(t, m), t.TempDir(), DownloadOptions{})
			takeAll(t, b, staged)
			sameTrees(t, dir, finish(t, a))
			c := download(t, open(t, t.TempDir()), copyOf(t, m), t.TempDir(), DownloadOptions{})
			if _, _, err := c.TakePiece(t.Context(), staged, 0); !errors.Is(err, ErrDonor) || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("from a place that was left: %v", err)
			}
			takeAll(t, c, donorOf(t, a))
			if n, _, err := c.TakePiece(t.Context(), donorOf(t, a), 0); n != 0 || err != nil {
				t.Errorf("once more: %d, %v", n, err)
			}
			sameTrees(t, dir, finish(t, b))
			sameTrees(t, dir, finish(t, c))
		})
	}
}

// TestTakePads: pads are in nobody's files.
func TestTakePads(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 1))
	a, b := random(r, 5000), random(r, 40_000)
	m := padded(t, a, b)
	dir := t.TempDir()
	plant(t, dir, map[string]node{"a": {data: a}, "b": {data: b}})
	c := download(t, open(t, t.TempDir()), m, t.TempDir(), DownloadOptions{})
	if n := takeAll(t, c, NewDonor(m, Whereabouts{Root: dir})); n != int64(len(a)+len(b)) {
		t.Errorf("%d bytes", n)
	}
	sameTrees(t, dir, finish(t, c))
}

// TestTakeLies: whatever lies at a donor's path, the piece stays as it was.
func TestTakeLies(t *testing.T) {
	r := rand.New(rand.NewPCG(62, 1))
	data := random(r, 100_000)
	dir := t.TempDir()
	plant(t, dir, map[string]node{
		"right": {data: data}, "other": {data: random(r, 100_000)}, "short": {data: data[:30_000]}, "long": {data: append(bytes.Clone(data), 0)},
		"dir": {dir: true}, "link": {link: "right"}, "loop": {link: "loop"}, "unreadable": {data: data, mode: 0o200},
	})
	m, _ := build(t, filepath.Join(dir, "right"), manifest.FormatHybrid)
	c := download(t, open(t, t.TempDir()), m, t.TempDir(), DownloadOptions{})
	if _, err := c.WritePiece(data[:16<<10], 0, 0); err != nil {
		t.Fatal(err)
	}
	paths := []string{"", "/dev/zero", "/dev/null", dir, filepath.Join(dir, "right", "below")}
	for _, name := range []string{"other", "short", "long", "dir", "link", "loop", "missing", string(bytes.Repeat([]byte("x"), 5000)), "nul\x00"} {
		paths = append(paths, filepath.Join(dir, name))
	}
	paths = append(paths, pipe(t, dir)...)
	if os.Geteuid() != 0 {
		paths = append(paths, filepath.Join(dir, "unreadable"))
	}
	for _, path := range paths {
		for i := range m.NumPieces() {
			if path == filepath.Join(dir, "short") && i == 0 {
				continue // that much is there
			}
			if n, _, err := c.TakePiece(t.Context(), NewDonor(m, Whereabouts{Root: path}), i); n != 0 || !errors.Is(err, ErrDonor) {
				t.Errorf("%.100q, piece %d: %d, %v", path, i, n, err)
			}
			if complete, _ := c.State(i); complete {
				t.Errorf("%.100q: piece %d is complete", path, i)
			}
		}
	}
	// What the network had brought is still there: with the rest the piece verifies.
	if _, err := c.WritePiece(data[16<<10:32<<10], 0, 16<<10); err != nil {
		t.Fatal(err)
	}
	if !settle(t, c, 0) {
		t.Error("the network's bytes were lost")
	}
	takeAll(t, c, NewDonor(m, Whereabouts{Root: filepath.Join(dir, "right")}))
}

// TestTakeAgainstWriter: a peer that sends wrong bytes at the same time does no harm
// to a piece that is taken.
func TestTakeAgainstWriter(t *testing.T) {
	r := rand.New(rand.NewPCG(63, 1))
	dir, m, seed := publish(t, map[string]node{"a": {data: random(r, 1<<20)}}, manifest.FormatHybrid)
	c := download(t, open(t, t.TempDir()), copyOf(t, m), t.TempDir(), DownloadOptions{})
	d := donorOf(t, seed)
	wrong := make([]byte, 16<<10)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i = (i + 1) % m.NumPieces() {
				if _, err := c.WritePiece(wrong, i, 0); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	takeAll(t, c, d)
	cancel()
	wg.Wait()
	for i := range m.NumPieces() {
		if v, err := c.Verify(i); v != manifest.Good || err != nil {
			t.Errorf("piece %d: %v, %v", i, v, err)
		}
	}
	sameTrees(t, dir, finish(t, c))
}

// TestTakeKilled: a download that was killed in the middle of taking pieces finds
// what it had.
func TestTakeKilled(t *testing.T) {
	r := rand.New(rand.NewPCG(64, 1))
	dir, m, seed := publish(t, map[string]node{"a": {data: random(r, 400_000)}, "b": {data: random(r, 300_000)}}, manifest.FormatHybrid)
	state, dest := t.TempDir(), t.TempDir()
	s := open(t, state)
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	if err := c.Close(); err != nil { // it leaves a bitmap, which must not be believed later
		t.Fatal(err)
	}
	c = download(t, s, copyOf(t, m), dest, DownloadOptions{})
	d := donorOf(t, seed)
	half := m.NumPieces() / 2
	for i := range half {
		if _, _, err := c.TakePiece(t.Context(), d, i); err != nil {
			t.Fatal(err)
		}
	}
	s.kill()
	c = download(t, open(t, state), copyOf(t, m), dest, DownloadOptions{})
	for i := range m.NumPieces() {
		complete, known := c.State(i)
		if complete {
			t.Errorf("piece %d is believed", i)
		}
		if ok := !known && settle(t, c, i); ok != (i < half) {
			t.Errorf("piece %d: %v, known %v", i, ok, known)
		}
	}
	takeAll(t, c, d)
	sameTrees(t, dir, finish(t, c))
}

// TestTakeCanceled: nobody waits for a read that hangs.
func TestTakeCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hang, closed := make(chan struct{}), make(chan int, 1)
	go cancel()
	if _, err := abandonable(ctx, func() (int, error) { <-hang; return 7, nil }, func(v int) { closed <- v }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(hang)
	if v := <-closed; v != 7 {
		t.Error(v)
	}
	r := rand.New(rand.NewPCG(65, 1))
	_, m, seed := publish(t, map[string]node{"a": {data: random(r, 100_000)}}, manifest.FormatHybrid)
	c := download(t, open(t, t.TempDir()), copyOf(t, m), t.TempDir(), DownloadOptions{})
	if n, _, err := c.TakePiece(ctx, donorOf(t, seed), 0); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d, %v", n, err)
	}
}

// TestRefute: a piece that was taken after somebody had read other bytes there stays;
// one that is wrong goes.
func TestRefute(t *testing.T) {
	r := rand.New(rand.NewPCG(66, 1))
	_, m, seed := publish(t, map[string]node{"a": {data: random(r, 100_000)}}, manifest.FormatHybrid)
	c := download(t, open(t, t.TempDir()), copyOf(t, m), t.TempDir(), DownloadOptions{})
	if _, err := c.WritePiece(make([]byte, m.PieceSize(0)), 0, 0); err != nil {
		t.Fatal(err)
	}
	if refuted, err := c.Refute(0); !refuted || err != nil {
		t.Errorf("wrong and incomplete: %v, %v", refuted, err)
	}
	if n, first, err := c.TakePiece(t.Context(), donorOf(t, seed), 0); n != m.PieceSize(0) || !first || err != nil {
		t.Fatalf("%d, %v, %v", n, first, err)
	}
	if refuted, err := c.Refute(0); refuted || err != nil {
		t.Errorf("right and complete: %v, %v", refuted, err)
	}
	if err := c.SetComplete(1, true); err != nil { // though nothing is there
		t.Fatal(err)
	}
	if refuted, err := c.Refute(1); !refuted || err != nil {
		t.Errorf("wrong and complete: %v, %v", refuted, err)
	}
	if complete, known := c.State(1); complete || !known {
		t.Errorf("%v, %v", complete, known)
	}
}
