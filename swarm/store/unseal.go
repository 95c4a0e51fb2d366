package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"handful/manifest"
	sealing "handful/manifest/seal"
)

// cipherReader reads the one file of a content.
type cipherReader struct{ c *Content }

func (r cipherReader) ReadAt(p []byte, off int64) (int, error) {
	size := r.c.t.Length()
	if off < 0 || off > size {
		return 0, &Error{Kind: ErrOutOfRange, Path: r.c.t.Name, Detail: fmt.Sprintf("offset %d of %d", off, size)}
	}
	want := min(int64(len(p)), size-off)
	if err := r.c.ReadFile(0, p[:want], off); err != nil {
		return 0, err
	}
	if want < int64(len(p)) {
		return int(want), io.EOF
	}
	return int(want), nil
}

// Plaintext opens content of a private channel with whichever key fits. Errors wrap
// seal.ErrKey or seal.ErrMalformed, or are those of reading.
func (c *Content) Plaintext(keys []sealing.Key) (*sealing.Opened, error) {
	if !c.t.Single() {
		return nil, fmt.Errorf("open %s: %w: it is a directory", c.t.Name, sealing.ErrMalformed)
	}
	return sealing.Open(keys, cipherReader{c}, c.t.Length())
}

// Unseal decrypts a complete download of a private channel into the directory dest, under
// the name that is inside, as [Store.Download] and [Content.Finish] would put it there,
// and serves the ciphertext out of that from then on. It returns the path. Content that
// is so already is left as it is. Errors are those of these three and of Plaintext;
// ErrMismatch is what contradicts itself. Whenever it is interrupted it can be called again.
func (c *Content) Unseal(ctx context.Context, keys []sealing.Key, dest string, o DownloadOptions) (string, error) {
	if c.Record().Kind == Sealed {
		return c.finalPath(), nil
	}
	opened, err := c.Plaintext(keys)
	if err != nil {
		return "", err
	}
	o.Hidden = true
	inner, err := c.s.Download(ctx, opened.Torrent, dest, o)
	if err != nil {
		return "", err
	}
	if err := c.unseal(ctx, opened, inner, o.Progress); err != nil {
		return "", errors.Join(err, inner.Close())
	}
	return inner.finalPath(), nil
}

func (c *Content) unseal(ctx context.Context, opened *sealing.Opened, inner *Content, progress func(done, total int64)) error {
	if err := inner.decrypt(ctx, opened, progress); err != nil {
		return err
	}
	if _, err := inner.Finish(ctx); err != nil {
		return err
	}
	r, err := opened.Reader(inner.ReadFile)
	if err != nil {
		return err
	}
	return c.ServeSealed(inner, r)
}

// decrypt writes the pieces that are missing, each once it is verified.
func (c *Content) decrypt(ctx context.Context, opened *sealing.Opened, progress func(done, total int64)) error {
	total := c.t.Length()
	report := reporter(nil)
	if progress != nil {
		report = reporter(func(n int64) { progress(n, total) })
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers())
	for i := range c.t.NumPieces() {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := c.decryptPiece(gctx, opened, i); err != nil {
				return err
			}
			report(c.payload(i))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

func (c *Content) decryptPiece(ctx context.Context, opened *sealing.Opened, i int) error {
	complete, known := c.State(i)
	if !known {
		v, err := c.Verify(i)
		if err != nil {
			return err
		}
		if complete = v == manifest.Good; complete {
			return c.SetComplete(i, true)
		}
	}
	if complete {
		return nil
	}
	buf, free, err := c.s.buffer(ctx, c.t.PieceSize(i))
	if err != nil {
		return err
	}
	defer free()
	if err := opened.ReadPiece(buf, i); err != nil {
		return fmt.Errorf("decrypt %s: %w", c.t.Name, err)
	}
	if c.t.Check(i, buf) != manifest.Good {
		return &Error{Kind: ErrMismatch, Path: c.nameOf(c.fileOf(i)), Detail: "what was encrypted is not what the publisher says it is",
			Hint: "tell the publisher: it was made so"}
	}
	if _, err := c.WritePiece(buf, i, 0); err != nil {
		return err
	}
	if err := c.SetComplete(i, true); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pieces.strong.set(i, true)
	return nil
}
