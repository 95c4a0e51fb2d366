package store

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"handful/manifest"
)

// badFile is what vouch returns for content that is not the torrent's.
type badFile struct{ file int }

func (b *badFile) Error() string { return fmt.Sprintf("file %d does not verify", b.file) }

// vouch checks pieces as strictly as the torrent allows: with SHA-256, by pieces
// where the hashes are known, by whole files against their pieces root where
// not, and with SHA-1 only in a torrent that has nothing else. It returns a
// *badFile for the first piece that fails. The caller does not hold io.
func (c *Content) vouch(ctx context.Context, pieces []int, progress func(bytes int64)) error {
	whole := make(map[int]bool)
	var list []int
	for _, i := range pieces {
		if c.t.HasV2() && !c.t.CanCheck(i) {
			if f := c.fileOf(i); !whole[f] {
				whole[f] = true
				list = append(list, f)
			}
		}
	}
	var bad atomic.Int64
	bad.Store(int64(c.t.NumPieces()))
	report := reporter(progress)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers())
	for _, i := range pieces {
		if c.t.HasV2() && whole[c.fileOf(i)] {
			continue
		}
		if gctx.Err() != nil || bad.Load() < int64(i) {
			break
		}
		g.Go(func() error {
			v, err := c.checkOnce(gctx, i)
			if err != nil {
				return err
			}
			if v == manifest.Bad {
				lower(&bad, int64(i))
			}
			report(c.t.PieceSize(i))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if i := bad.Load(); i < int64(c.t.NumPieces()) {
		return &badFile{c.fileOf(int(i))}
	}
	for _, f := range list {
		if err := c.vouchFile(ctx, f); err != nil {
			return err
		}
		report(c.t.Files[f].Length)
	}
	return nil
}

// reporter sums up bytes for progress, one call at a time.
func reporter(progress func(bytes int64)) func(n int64) {
	if progress == nil {
		return func(int64) {}
	}
	var mu sync.Mutex
	var done int64
	return func(n int64) {
		mu.Lock()
		defer mu.Unlock()
		done += n
		progress(done)
	}
}

func lower(v *atomic.Int64, to int64) {
	for old := v.Load(); to < old && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

// checkOnce is verify with io held shared for one piece, so that nobody waits
// for long.
func (c *Content) checkOnce(ctx context.Context, piece int) (manifest.Verdict, error) {
	c.io.RLock()
	defer c.io.RUnlock()
	return c.verify(ctx, piece)
}

// vouchFile checks a file against its pieces root, and with it all its pieces.
func (c *Content) vouchFile(ctx context.Context, file int) error {
	f := &c.t.Files[file]
	ok, err := c.t.CheckFile(file, io.NewSectionReader(&fileReader{c, ctx, file}, 0, f.Length))
	if err != nil {
		return err
	}
	if !ok {
		return &badFile{file}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.piecesOf(file) {
		c.pieces.strong.set(i, true)
	}
	return nil
}

// fileReader reads one file of a content.
type fileReader struct {
	c    *Content
	ctx  context.Context
	file int
}

func (r *fileReader) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	r.c.io.RLock()
	defer r.c.io.RUnlock()
	if e := r.c.broken.Load(); e != nil {
		return 0, e
	}
	if err := r.c.readFile(r.file, p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// piecesOf lists the pieces with bytes of a file.
func (c *Content) piecesOf(file int) (list []int) {
	f := &c.t.Files[file]
	if f.Length == 0 || f.Pad {
		return nil
	}
	for i := f.Offset / c.t.PieceLength; i <= (f.Offset+f.Length-1)/c.t.PieceLength; i++ {
		list = append(list, int(i))
	}
	return list
}

// allPieces lists every piece.
func (c *Content) allPieces() []int {
	list := make([]int, c.t.NumPieces())
	for i := range list {
		list[i] = i
	}
	return list
}

// onDisk tells whether file i has a place of its own: pads and symlinks do not.
func (c *Content) onDisk(i int) bool {
	f := &c.t.Files[i]
	return !f.Pad && f.Symlink == nil
}
