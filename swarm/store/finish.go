package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// step does one step of finishing.
func (s *Store) step(name string, act func() error) error {
	if s.fault != nil {
		s.fault(name, false)
	}
	err := act()
	if s.fault != nil && err == nil {
		s.fault(name, true)
	}
	return err
}

// Finish puts a complete download into place and returns its path; from then on
// it is served from there. Content that is served already is left as it is; its
// path is empty when it is seeded in place. Errors match ErrIncomplete,
// ErrMismatch (a file fits its SHA-1 and not its SHA-256; nothing is renamed and
// the file's pieces are incomplete again), ErrExists, ErrDiskFull or
// ErrPermission where these are the reason; the download can go on after each.
func (c *Content) Finish(ctx context.Context) (string, error) {
	c.finishMu.Lock()
	defer c.finishMu.Unlock()
	c.io.Lock()
	switch c.phase {
	case closed:
		c.io.Unlock()
		return "", &Error{Kind: ErrClosed, Path: c.t.Name}
	case served:
		c.io.Unlock()
		if c.staging != nil {
			if err := c.land(); err != nil {
				return "", err
			}
		}
		return c.finalPath(), nil
	}
	if !c.Complete() {
		c.io.Unlock()
		return "", &Error{Kind: ErrIncomplete, Path: c.t.Name, Detail: "pieces are missing"}
	}
	c.phase = finishing // no write begins after this
	c.io.Unlock()

	err := c.finish(ctx)
	if err != nil {
		c.io.Lock()
		if c.phase == finishing {
			c.phase = growing
		}
		c.io.Unlock()
		return "", err
	}
	return c.finalPath(), nil
}

func (c *Content) finalPath() string {
	c.rowMu.Lock()
	defer c.rowMu.Unlock()
	if c.row.Dest == "" {
		return ""
	}
	return c.row.path()
}

func (c *Content) finish(ctx context.Context) error {
	s := c.s
	if err := s.step("verify", func() error { return c.vouchRest(ctx) }); err != nil {
		return err
	}
	if err := c.withdrawClean(); err != nil {
		return err
	}
	if err := s.step("complete", func() error { return c.fill(ctx) }); err != nil {
		return err
	}
	if err := s.step("sync", func() error { return c.sync(ctx) }); err != nil {
		return err
	}
	stamps, err := c.takeStamps()
	if err != nil {
		return err
	}
	if err := s.step("journal", func() error { return c.journal(stamps) }); err != nil {
		return err
	}
	return c.swap(stamps)
}

// vouchRest checks what SHA-256 has not vouched for yet, as far as the torrent
// has SHA-256 at all.
func (c *Content) vouchRest(ctx context.Context) error {
	if !c.t.HasSHA256() {
		return nil
	}
	var list []int
	c.mu.Lock()
	for i := range c.t.NumPieces() {
		if !c.pieces.strong.get(i) {
			list = append(list, i)
		}
	}
	c.mu.Unlock()
	err := c.vouch(ctx, list, nil)
	b, ok := errors.AsType[*badFile](err)
	if !ok {
		return err
	}
	for _, i := range c.piecesOf(b.file) {
		c.mu.Lock()
		strong := c.pieces.strong.get(i)
		c.mu.Unlock()
		if strong {
			continue
		}
		if err := c.SetComplete(i, false); err != nil {
			return err
		}
	}
	return c.mismatch(b.file)
}

// mismatch is the error of a torrent that contradicts itself in a file.
func (c *Content) mismatch(file int) *Error {
	return &Error{Kind: ErrMismatch, Path: c.nameOf(file), Detail: "its bytes fit the SHA-1 hashes but not the SHA-256 hashes of the torrent",
		Hint: "do not trust where this torrent comes from: it was made to name two different contents"}
}

// nameOf is a file's name in the torrent, for people.
func (c *Content) nameOf(file int) string {
	if c.t.Single() {
		return c.t.Name
	}
	return filepath.Join(c.t.Name, filepath.Join(c.t.Files[file].Path...))
}

// fill makes what no piece has written: empty files, empty directories and, last,
// symlinks. Files that are too long are cut.
func (c *Content) fill(ctx context.Context) error {
	p := c.place.(*tree)
	if !c.t.Single() {
		if err := p.makeDir(p.root, p.prefix); err != nil {
			return diskError("create", filepath.Join(p.dest, p.prefix), err)
		}
	}
	for i := range c.t.Files {
		if !c.onDisk(i) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.fillFile(i); err != nil {
			return err
		}
	}
	for _, dir := range c.t.EmptyDirs {
		if err := p.makeDir(p.root, p.below(dir)); err != nil {
			return diskError("create", filepath.Join(p.dest, p.below(dir)), err)
		}
	}
	for i := range c.t.Files {
		f := &c.t.Files[i]
		if f.Symlink == nil {
			continue
		}
		if err := p.makeLink(f.Path, f.Symlink); err != nil {
			return err
		}
	}
	return nil
}

func (c *Content) fillFile(i int) error {
	f := &c.t.Files[i]
	fi, err := c.place.stat(i)
	if errors.Is(err, fs.ErrNotExist) && f.Length == 0 {
		h, err := c.s.files.get(c, i, true)
		if err != nil {
			return diskError("create", c.place.path(i), err)
		}
		c.s.files.put(h)
		c.dirty[i].Store(true)
		return nil
	}
	if err != nil {
		return diskError("look at", c.place.path(i), err)
	}
	switch {
	case fi.Size() < f.Length:
		return fmt.Errorf("%s has %d of its %d bytes: %w", c.place.path(i), fi.Size(), f.Length, ErrIncomplete)
	case fi.Size() > f.Length:
		h, err := c.s.files.get(c, i, false)
		if err != nil {
			return err
		}
		defer c.s.files.put(h)
		c.dirty[i].Store(true)
		return diskError("truncate", c.place.path(i), h.f.Truncate(f.Length))
	}
	return nil
}

// makeLink makes a symlink that nothing will be written through any more.
func (p *tree) makeLink(path, target []string) error {
	rel := p.below(path)
	text, err := p.linkTarget(path, target)
	if err != nil {
		return err
	}
	if got, err := p.root.Readlink(rel); err == nil && got == text {
		return nil
	}
	if err := p.makeDir(p.root, filepath.Dir(rel)); err != nil {
		return diskError("create", filepath.Join(p.dest, filepath.Dir(rel)), err)
	}
	if fi, err := p.root.Lstat(rel); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
		if err := p.root.Remove(rel); err != nil {
			return diskError("remove", filepath.Join(p.dest, rel), err)
		}
	}
	return diskError("create the symlink", filepath.Join(p.dest, rel), p.root.Symlink(text, rel))
}

func (c *Content) takeStamps() ([]stamp, error) {
	stamps := make([]stamp, len(c.t.Files))
	for i := range stamps {
		now, detail, err := c.look(i)
		if err != nil {
			return nil, err
		}
		if detail != "" {
			return nil, fmt.Errorf("%s: %s", c.place.path(i), detail)
		}
		stamps[i] = now
	}
	return stamps, nil
}

// journal writes down that the rename comes and how the files look that it moves.
func (c *Content) journal(stamps []stamp) error {
	c.rowMu.Lock()
	defer c.rowMu.Unlock()
	w := c.row
	w.Journal = true
	ch := change{row: &w, stamps: (&fileState{stamps: stamps}).encode()}
	if n := len(c.t.MissingLayers()); n != w.Layers {
		w.Layers, ch.metainfo = n, c.t.Bytes()
	}
	if err := c.s.put(c.ih, ch); err != nil {
		return err
	}
	c.row = w
	return nil
}

// swap does what the journal announced, up to the finished record. Every part of
// it may have happened before.
func (c *Content) swap(stamps []stamp) error {
	if err := c.switchPlace(stamps); err != nil {
		return c.unswap(err)
	}
	return c.land()
}

// switchPlace is the part of swap during which nobody reads.
func (c *Content) switchPlace(stamps []stamp) error {
	c.io.Lock()
	defer c.io.Unlock()
	c.s.files.drop(c) // where open files keep a directory from being renamed
	if err := c.rename(); err != nil {
		return err
	}
	c.place = &tree{t: c.t, dest: c.dest, prefix: c.t.WrittenName()}
	c.stamps, c.phase = stamps, served
	return nil
}

// land makes durable that the content is in its final place. It is repeated by
// the next Finish when it fails.
func (c *Content) land() error {
	s, g := c.s, c.staging
	if err := s.step("sync destination", func() error { return g.syncDir(".") }); err != nil {
		return diskError("sync", c.dest, err)
	}
	if err := s.step("clean", g.discard); err != nil {
		s.log.Warn("what is left of a finished download could not be removed", "error", err)
	}
	if err := s.step("record", c.recordFinished); err != nil {
		return err
	}
	c.staging = nil
	g.close()
	return nil
}

// rename moves what is in the way aside, if that may be, and the content in.
func (c *Content) rename() error {
	g := c.staging
	grown, err := g.exists(g.newPath())
	if err != nil {
		return err
	}
	taken, err := g.exists(c.t.WrittenName())
	if err != nil {
		return err
	}
	move := renameNoReplace
	switch {
	case !grown && taken:
		return nil // it landed in an earlier run
	case taken && c.force:
		if err := c.s.step("aside", c.moveAside); err != nil {
			return err
		}
	case taken && (c.t.Single() || !isEmptyDir(g.root, c.t.WrittenName())):
		return fs.ErrExist
	case taken:
		move = renameOverEmpty // a directory replaces nothing else
	}
	return c.s.step("rename", func() error { return g.move(move, g.name, "new", ".", c.t.WrittenName()) })
}

func (c *Content) moveAside() error {
	g := c.staging
	if err := g.root.RemoveAll(g.oldPath()); err != nil {
		return err
	}
	return g.move(renameNoReplace, ".", c.t.WrittenName(), g.name, "old")
}

// unswap takes the journal back after a rename that failed.
func (c *Content) unswap(err error) error {
	g := c.staging
	if rerr := g.restore(c.t.WrittenName()); rerr != nil {
		err = errors.Join(err, rerr)
	}
	c.rowMu.Lock()
	defer c.rowMu.Unlock()
	w := c.row
	w.Journal = false
	if perr := c.s.put(c.ih, change{row: &w, stamps: []byte{}}); perr != nil {
		return errors.Join(err, perr)
	}
	c.row = w
	path := w.path()
	if errors.Is(err, fs.ErrExist) {
		return &Error{Kind: ErrExists, Path: path, Detail: "it appeared while the content was fetched", Err: err,
			Hint: "move it away and run the same command again, or use --force to replace it"}
	}
	return diskError("rename the content to", path, err)
}

func (c *Content) recordFinished() error {
	c.rowMu.Lock()
	defer c.rowMu.Unlock()
	w := c.row
	w.Kind, w.Journal, w.Force = Finished, false, false
	n := c.uploaded.Load()
	w.Uploaded += n
	if err := c.s.put(c.ih, change{row: &w, clean: []byte{}}); err != nil {
		return err
	}
	c.row = w
	c.uploaded.Add(-n)
	return nil
}
