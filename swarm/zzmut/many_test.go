package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"handful/manifest"
)

// TestManyFiles has far more files than may be open.
func TestManyFiles(t *testing.T) {
	n := 20_000
	if testing.Short() {
		n = 2000
	}
	tree := make(map[string]node, n)
	for i := range n {
		tree[fmt.Sprintf("%02d/%02d/%d", i%40, i%17, i)] = node{data: fmt.Appendf(nil, "the content of file %d%s", i, bytes.Repeat([]byte("."), i%50))}
	}
	dir := filepath.Join(scratch(t), "tree")
	plant(t, dir, tree)
	m, src, err := manifest.Build(t.Context(), []string{dir}, manifest.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seed, err := open(t, t.TempDir()).Seed(m, src, SeedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m.HasV2() {
		t.Error("a hybrid of many small files: this test wants pieces with many files")
	}
	s := open(t, t.TempDir())
	c := download(t, s, copyOf(t, m), filepath.Dir(dir)+"/out", DownloadOptions{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < m.NumPieces(); i += 4 {
				buf := make([]byte, m.PieceSize(i))
				if _, err := seed.ReadPiece(buf, i, 0); err != nil {
					t.Error(err)
				}
				if _, err := c.WritePiece(buf, i, 0); err != nil {
					t.Error(err)
				}
				if v, err := c.Verify(i); v != manifest.Good || err != nil {
					t.Error(v, err)
				}
				c.SetComplete(i, true)
			}
		})
	}
	wg.Wait()
	for _, s := range []*Store{s, seed.s} {
		if got := len(s.files.open); got > s.files.max {
			t.Errorf("%d files are open, the bound is %d", got, s.files.max)
		}
	}
	path := finish(t, c)
	sameTrees(t, dir, path)
	for _, s := range []*Store{s, seed.s} {
		list, err := s.Load()
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		state := s.dir
		s.Close()
		c, err := open(t, state).Reopen(t.Context(), list[0])
		if err != nil {
			t.Fatal(err)
		}
		if !c.Complete() {
			t.Error("not complete after a restart")
		}
	}
}

// TestConcurrent reads, writes, verifies, finishes and closes all at once.
func TestConcurrent(t *testing.T) {
	r := rand.New(rand.NewPCG(60, 1))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatV1)
	s := open(t, t.TempDir())
	c := download(t, s, copyOf(t, m), t.TempDir(), DownloadOptions{})
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 8 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(61, uint64(w)))
			buf, want := make([]byte, 16<<10), make([]byte, 16<<10)
			for {
				select {
				case <-stop:
					return
				default:
				}
				i := r.IntN(m.NumPieces())
				complete, known := c.State(i)
				off := int64(r.IntN(int(m.PieceSize(i))))
				n, err := c.ReadPiece(buf, i, off)
				if !complete || !known {
					continue
				}
				k, _ := seed.ReadPiece(want, i, off)
				if n != k || !bytes.Equal(buf[:n], want[:k]) {
					t.Errorf("piece %d at %d: %d bytes of %d, %v", i, off, n, k, err)
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := w; i < m.NumPieces(); i += 4 {
				buf := make([]byte, m.PieceSize(i))
				if _, err := seed.ReadPiece(buf, i, 0); err != nil {
					t.Error(err)
				}
				for off := 0; off < len(buf); off += 5000 {
					if _, err := c.WritePiece(buf[off:min(off+5000, len(buf))], i, int64(off)); err != nil {
						t.Error(err)
					}
				}
				if v, err := c.Verify(i); v != manifest.Good || err != nil {
					t.Error(v, err)
				}
				c.SetComplete(i, true)
			}
		})
	}
	writers.Wait()
	var path string
	var finishers sync.WaitGroup
	for range 3 {
		finishers.Go(func() {
			p, err := c.Finish(t.Context())
			if err != nil {
				t.Error(err)
			}
			if p == "" {
				t.Error("no path")
			}
		})
	}
	finishers.Wait()
	path = finish(t, c)
	close(stop)
	readers.Wait()
	sameTrees(t, dir, path)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".handful*")); len(left) != 0 {
		t.Error(left)
	}
}

// TestLargePieces verifies pieces that are larger than all memory that the others
// may have together.
func TestLargePieces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(verifyMemory + 1<<20); err != nil {
		t.Fatal(err)
	}
	f.Close()
	m, src, err := manifest.Build(t.Context(), []string{path}, manifest.BuildOptions{Format: manifest.FormatV1, PieceLength: 2 * verifyMemory})
	if err != nil {
		t.Fatal(err)
	}
	c, err := open(t, t.TempDir()).Seed(m, src, SeedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.Verify(0); v != manifest.Good || err != nil {
		t.Error(v, err)
	}
}

func BenchmarkRead(b *testing.B) {
	r := rand.New(rand.NewPCG(62, 1))
	_, m, c := publish(b, map[string]node{"a": {data: random(r, 16<<20)}}, manifest.FormatHybrid)
	b.SetBytes(16 << 10)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		buf := make([]byte, 16<<10)
		for i := 0; pb.Next(); i++ {
			if _, err := c.ReadPiece(buf, i%m.NumPieces(), 16<<10); err != nil {
				b.Fatal(err)
			}
		}
	})
}
