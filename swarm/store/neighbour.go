package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"handful/manifest"
)

// Two nodes on one host share bytes without the network: one says where the files
// of its content are, see Content.Whereabouts, and the other takes pieces out of
// them, see Content.TakePiece.

// Whereabouts says where the files of a torrent lie on this host. Either Root is set
// or Tops. It is a hint: whoever reads there checks what it finds.
type Whereabouts struct {
	// Root is the absolute path of the directory that holds the torrent's files, or
	// of the file itself where the torrent is one file.
	Root string
	// Tops are the absolute paths of a tree that was gathered from several places,
	// by the first element of its files' paths.
	Tops map[string]string
}

// path is where a file of the torrent would lie; "" if that is not told.
func (w Whereabouts) path(t *manifest.Torrent, file int) string {
	if t.Single() {
		return w.Root
	}
	path := t.Files[file].Path
	written := t.Written(path)
	if w.Root != "" {
		return filepath.Join(w.Root, filepath.Join(written...))
	}
	top := w.Tops[path[0]]
	if top == "" {
		return ""
	}
	return filepath.Join(top, filepath.Join(written[1:]...))
}

// Whereabouts tells where the content's files are at this moment: of a download its
// staging tree, and after Finish another place. It reports false when that cannot be
// said, or should not be because a reader would be in the way: on Windows a tree
// with an open file in it cannot be renamed.
func (c *Content) Whereabouts() (w Whereabouts, ok bool) {
	c.io.RLock()
	defer c.io.RUnlock()
	if c.phase == closed || c.broken.Load() != nil || c.phase != served && runtime.GOOS == "windows" {
		return w, false
	}
	switch p := c.place.(type) {
	case *tree:
		return Whereabouts{Root: filepath.Join(p.dest, p.prefix)}, true
	case sources:
		if c.t.Single() {
			return p.whereabouts(c, 0)
		}
		if w, ok = p.whereabouts(c, 0); !ok {
			w, ok = p.whereabouts(c, 1)
		}
	}
	return w, ok
}

// whereabouts finds the one root of all sources, or one for each top-level name
// (depth 1). Symlinks that lead there are resolved: nobody follows them on the
// other side.
func (p sources) whereabouts(c *Content, depth int) (w Whereabouts, ok bool) {
	for i := range c.t.Files {
		if !c.onDisk(i) {
			continue
		}
		f := &c.t.Files[i]
		if c.t.Single() {
			w.Root = p.paths[i]
			break
		}
		below := filepath.Join(c.t.Written(f.Path)[depth:]...)
		root := p.paths[i]
		if below != "" {
			if root, ok = strings.CutSuffix(root, string(filepath.Separator)+below); !ok {
				return w, false
			}
		}
		switch {
		case depth == 0 && (w.Root == "" || w.Root == root):
			w.Root = root
		case depth == 1 && (w.Tops[f.Path[0]] == "" || w.Tops[f.Path[0]] == root):
			if w.Tops == nil {
				w.Tops = make(map[string]string)
			}
			w.Tops[f.Path[0]] = root
		default:
			return w, false
		}
	}
	if w.Root != "" {
		w.Root, ok = resolved(w.Root)
		return w, ok
	}
	for top, path := range w.Tops {
		if w.Tops[top], ok = resolved(path); !ok {
			return w, false
		}
	}
	return w, len(w.Tops) > 0
}

func resolved(path string) (string, bool) {
	path, err := filepath.EvalSymlinks(path)
	return path, err == nil && filepath.IsAbs(path)
}

// Donor is the files of another node on this host. Nothing about them is believed.
// It is safe for use by several goroutines.
type Donor struct {
	t       *manifest.Torrent
	w       Whereabouts
	noClone atomic.Bool // the file system shares no blocks between it and us
	cloned  atomic.Int64
}

// NewDonor makes a donor of the torrent's files that lie where w says.
func NewDonor(t *manifest.Torrent, w Whereabouts) *Donor { return &Donor{t: t, w: w} }

// Cloned is the number of payload bytes that were taken without being copied.
func (d *Donor) Cloned() int64 { return d.cloned.Load() }

// open opens one of the donor's files and makes sure that it may be read to the end
// of what is wanted: a regular file, not reached through a symlink in its last
// element, not longer than it should be.
func (d *Donor) open(file int, end int64) (*os.File, error) {
	path := d.w.path(d.t, file)
	if path == "" {
		return nil, &Error{Kind: ErrDonor, Path: d.t.Name, Detail: "it does not say where " + filepath.Join(d.t.Files[file].Path...) + " is"}
	}
	f, err := openDonor(path)
	if err != nil {
		return nil, &Error{Kind: ErrDonor, Path: path, Err: err}
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errNotRegular
	}
	if err == nil && (fi.Size() < end || fi.Size() > d.t.Files[file].Length) {
		err = fmt.Errorf("it has %d bytes where %d of %d are expected", fi.Size(), end, d.t.Files[file].Length)
	}
	if err != nil {
		f.Close()
		return nil, &Error{Kind: ErrDonor, Path: path, Err: err}
	}
	return f, nil
}

// read fills buf with a piece.
func (d *Donor) read(piece int, buf []byte) error {
	n := 0
	for span := range d.t.Spans(piece, 0, int64(len(buf))) {
		b := buf[n : n+int(span.Length)]
		n += len(b)
		if d.t.Files[span.File].Pad {
			clear(b)
			continue
		}
		f, err := d.open(span.File, span.Offset+span.Length)
		if err != nil {
			return err
		}
		_, err = io.ReadFull(io.NewSectionReader(f, span.Offset, span.Length), b)
		f.Close()
		if err != nil {
			return &Error{Kind: ErrDonor, Path: d.w.path(d.t, span.File), Err: err}
		}
	}
	if n != len(buf) {
		return &Error{Kind: ErrDonor, Path: d.t.Name, Detail: fmt.Sprintf("piece %d is not to be had from files", piece)}
	}
	return nil
}

// abandonable runs f, which may hang in the file system, and waits for it no longer
// than ctx lasts. late is called when it ends after that.
func abandonable[T any](ctx context.Context, f func() (T, error), late func(T)) (v T, err error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result)
	go func() {
		v, err := f()
		select {
		case done <- result{v, err}:
		case <-ctx.Done():
			late(v)
		}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return v, ctx.Err()
	}
}

// TakePiece completes a piece with bytes of a donor. Blocks are shared with its file
// where the file system can do that (a reflink), and copied otherwise; either way
// the bytes that are ours then have been checked like any others. It returns how
// many payload bytes were taken, 0 if the piece was complete already; first tells
// whether this made it complete, and not somebody who verified it at that moment.
//
// Errors match ErrDonor when the donor does not have what was asked for, and
// then fs.ErrNotExist or fs.ErrPermission where these are the reason; others are as
// those of WritePiece. Nothing is lost by a donor that lies: what was received of the
// piece before stays as it is.
func (c *Content) TakePiece(ctx context.Context, d *Donor, piece int) (n int64, first bool, err error) {
	if err := c.checkPiece(piece); err != nil {
		return 0, false, err
	}
	if complete, _ := c.State(piece); complete {
		return 0, false, nil
	}
	if !c.t.HasV1() && !c.t.CanCheck(piece) {
		return 0, false, &Error{Kind: ErrDonor, Path: c.t.Name, Detail: fmt.Sprintf("piece %d cannot be checked", piece)}
	}
	n, first, done, err := c.clonePiece(ctx, d, piece)
	if done || err != nil {
		return n, first, err
	}
	size := c.t.PieceSize(piece)
	weight := min(size, verifyMemory)
	if err := c.s.taking.Acquire(ctx, weight); err != nil {
		return 0, false, err
	}
	defer c.s.taking.Release(weight)
	// A read that hangs keeps its memory, so this is not a lent buffer.
	buf, err := abandonable(ctx, func() ([]byte, error) {
		b := make([]byte, size)
		return b, d.read(piece, b)
	}, func([]byte) {})
	if err != nil {
		return 0, false, err
	}
	v := c.t.Check(piece, buf)
	if v == manifest.Bad {
		return 0, false, d.wrong(piece)
	}
	return c.adopt(piece, func(bool) error {
		if _, err := c.write(buf, piece, 0); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pieces.strong.set(piece, v == manifest.Good)
		return nil
	})
}

func (d *Donor) wrong(piece int) error {
	return &Error{Kind: ErrDonor, Path: d.t.Name, Detail: fmt.Sprintf("its piece %d does not verify", piece)}
}

// adopt completes a piece whose bytes fill puts into place, with nobody else writing
// to it meanwhile. fill is told whether nothing was written to it in this run.
func (c *Content) adopt(piece int, fill func(fresh bool) error) (n int64, first bool, err error) {
	c.io.RLock()
	defer c.io.RUnlock()
	if err := c.writable(piece); err != nil {
		return 0, false, err
	}
	if err := c.withdrawClean(); err != nil {
		return 0, false, err
	}
	lock := c.writing.of(piece)
	lock.Lock()
	defer lock.Unlock()
	c.mu.Lock()
	complete := c.pieces.complete.get(piece)
	was := c.pieces.written.get(piece)
	if !complete {
		c.pieces.written.set(piece, true)
	}
	c.mu.Unlock()
	if complete {
		return 0, false, nil
	}
	if err := fill(!was); err != nil {
		c.mu.Lock()
		c.pieces.written.set(piece, was || !errors.Is(err, errNotCloned))
		c.mu.Unlock()
		return 0, false, err
	}
	first, err = c.Settle(piece, true)
	return c.payload(piece), first, err
}

// Refute makes a piece incomplete of which somebody has read that it is wrong. It
// reports false, and the piece stays complete, when it verifies by now: it may have
// been taken from a donor since it was read.
func (c *Content) Refute(piece int) (refuted bool, err error) {
	if err := c.checkPiece(piece); err != nil {
		return false, err
	}
	c.io.RLock()
	defer c.io.RUnlock()
	lock := c.writing.of(piece)
	lock.Lock()
	defer lock.Unlock()
	if complete, _ := c.State(piece); complete && c.phase != closed {
		if v, err := c.verify(context.Background(), piece); err == nil && v != manifest.Bad {
			return false, nil
		}
	}
	return true, c.SetComplete(piece, false)
}

// errNotCloned ends the attempt to share blocks: nothing was changed.
var errNotCloned = errors.New("not cloned")

// cloneAlign is what offsets of shared blocks must be a multiple of at least.
const cloneAlign = 4096

// clonePiece lets the piece share the donor's blocks, and verifies it then where it
// is. That needs a piece within one file, at a multiple of the file system's blocks,
// of which nobody has received anything: what does not verify has replaced what was
// there. done is false when the piece must be copied instead.
func (c *Content) clonePiece(ctx context.Context, d *Donor, piece int) (n int64, first, done bool, err error) {
	span, ok := c.onlySpan(piece)
	if !ok || d.noClone.Load() || !canClone || span.Offset%cloneAlign != 0 ||
		span.Length%cloneAlign != 0 && span.Offset+span.Length != c.t.Files[span.File].Length || c.touched(piece) {
		return 0, false, false, nil
	}
	src, err := abandonable(ctx, func() (*os.File, error) { return d.open(span.File, span.Offset+span.Length) },
		func(f *os.File) { f.Close() })
	if err != nil {
		return 0, false, false, err
	}
	defer src.Close()
	n, first, err = c.adopt(piece, func(fresh bool) error {
		if !fresh {
			return errNotCloned
		}
		if err := c.cloneSpan(src, span); err != nil {
			if cannotClone(err) {
				d.noClone.Store(true)
			}
			return errNotCloned
		}
		switch v, err := c.verify(ctx, piece); {
		case errors.Is(err, ErrMismatch) || err == nil && v == manifest.Bad:
			return d.wrong(piece)
		case err != nil:
			return err
		}
		return nil
	})
	if errors.Is(err, errNotCloned) {
		return 0, false, false, nil
	}
	d.cloned.Add(n)
	return n, first, true, err
}

// onlySpan is where a piece lies that lies in one file altogether.
func (c *Content) onlySpan(piece int) (only manifest.Span, ok bool) {
	for span := range c.t.Spans(piece, 0, c.t.PieceLength) {
		if ok || c.t.Files[span.File].Pad {
			return only, false
		}
		only, ok = span, true
	}
	return only, ok
}

// touched tells whether bytes of the piece were written in this run, or may have
// been in an earlier one.
func (c *Content) touched(piece int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pieces.written.get(piece) || !c.pieces.known.get(piece)
}

// cloneSpan shares a part of src with the same part of our own file.
func (c *Content) cloneSpan(src *os.File, span manifest.Span) error {
	h, err := c.s.files.get(c, span.File, true)
	if err != nil {
		return err
	}
	defer c.s.files.put(h)
	c.dirty[span.File].Store(true)
	return cloneRange(h.f, src, span.Offset, span.Length)
}
