package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"handful/manifest"
)

// DownloadOptions of content that is fetched.
type DownloadOptions struct {
	Force    bool                    // other content at the destination is replaced at the end
	Meta     []byte                  // the caller's, kept in the Record; nil: as it is
	Hidden   bool                    // Load does not list it: other content will be sealed out of it
	Progress func(done, total int64) // bytes checked of what is there already; one call at a time, hashing waits for it
}

// Download starts the download of a torrent into the directory dest, or goes on
// with the one that is there, whoever began it. Its files are called as on their
// publisher's disk, below its WrittenName. Content that is complete at
// that place already is taken as it is and served from there. Other content there
// is ErrExists, or with Force replaced when Finish comes; its bytes are used
// where they fit. Further errors match ErrIsFile, ErrDiskFull, ErrPermission,
// ErrName, ErrElsewhere, ErrLocked or ErrOpen where these are the reason. When
// the content is Complete, Finish puts it into place.
func (s *Store) Download(ctx context.Context, t *manifest.Torrent, dest string, o DownloadOptions) (*Content, error) {
	dest, err := filepath.Abs(dest)
	if err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	if err := s.reserve(t.InfoHash(), t.Name); err != nil {
		return nil, err
	}
	c, err := s.download(ctx, t, dest, o)
	return s.settle(t.InfoHash(), c, err)
}

func (s *Store) download(ctx context.Context, t *manifest.Torrent, dest string, o DownloadOptions) (*Content, error) {
	if err := t.CheckDestination(runtime.GOOS); err != nil {
		return nil, &Error{Kind: ErrName, Path: t.Name, Err: err, Hint: "fetch it on another system"}
	}
	w, err := s.row(t.InfoHash())
	if err != nil {
		return nil, err
	}
	fresh := s.newRow(t, Partial, dest)
	fresh.Hidden = o.Hidden
	if w != nil {
		if err := sameTorrent(w, t); err != nil {
			return nil, err
		}
		fresh.Origin, fresh.Meta, fresh.Uploaded = w.Origin, w.Meta, w.Uploaded
		if err := s.addLayers(t); err != nil {
			return nil, err
		}
		fresh.Force = w.Kind == Partial && w.Force
	}
	fresh.Force = fresh.Force || o.Force
	if o.Meta != nil {
		fresh.Meta = o.Meta
	}
	d := &downloader{s: s, t: t, dest: dest, o: o, old: w, row: fresh}
	defer d.close()
	return d.open(ctx)
}

// addLayers gives the torrent the piece layers that an earlier run received.
func (s *Store) addLayers(t *manifest.Torrent) error {
	missing := t.MissingLayers()
	if len(missing) == 0 {
		return nil
	}
	stored, err := s.Torrent(t.InfoHash())
	if err != nil {
		return err
	}
	for _, l := range missing {
		if b := stored.Layer(l.Root); b != nil {
			if err := t.AddLayer(l.Root, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// downloader finds out what is there when a download is opened.
type downloader struct {
	s    *Store
	t    *manifest.Torrent
	dest string
	o    DownloadOptions
	old  *row // what the store knew; nil: nothing
	row  row  // what it will know

	reuse []*Content // complete or damaged copies at final places, best first
}

func (d *downloader) close() {
	for _, c := range d.reuse {
		d.s.files.drop(c)
		c.place.close()
	}
}

func (d *downloader) open(ctx context.Context) (*Content, error) {
	if c, err := d.known(ctx); c != nil || err != nil {
		return c, err
	}
	root, err := openDest(d.dest)
	if err != nil {
		return nil, err
	}
	copy, differs, err := d.inspect(ctx, root)
	if err == nil && copy != nil && differs == nil {
		root.Close()
		return d.adopt(copy)
	}
	if copy != nil {
		d.reuse = append(d.reuse, copy)
	}
	if err == nil && differs != nil && !d.row.Force {
		err = differs
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return d.start(ctx, root)
}

// known handles what the store already has of the torrent. It returns nothing
// when the destination is to be looked at.
func (d *downloader) known(ctx context.Context) (*Content, error) {
	w := d.old
	switch {
	case w == nil:
		return nil, nil
	case w.Kind == InPlace:
		return nil, &Error{Kind: ErrElsewhere, Path: w.Name, Detail: "it is seeded in place from this state directory",
			Hint: "copy it, or fetch it with another --state-dir"}
	case w.Kind == Partial && w.Dest != d.dest:
		return nil, &Error{Kind: ErrElsewhere, Path: w.path(), Detail: "it is being fetched into that place",
			Hint: "finish it there with -o " + w.Dest}
	case w.Kind == Partial && w.Journal:
		return d.mend(ctx)
	case w.Kind == Partial:
		return nil, nil
	}
	c, err := d.s.reopenServed(ctx, d.t, *w)
	switch {
	case errors.Is(err, ErrChanged):
		d.s.log.Info("what was fetched before has been changed since", "error", err)
		return nil, nil
	case err != nil:
		return nil, err
	case w.Dest == d.dest && w.Kind == Finished:
		if d.o.Meta != nil {
			if err := c.Annotate(w.Origin, d.o.Meta); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	c.lenient = true
	d.reuse = append(d.reuse, c)
	return nil, nil
}

// inspect compares what is at dest/Name with the torrent: first the tree, then
// the bytes. Nothing there: all nil. differs names the first path that is not as
// it should be; copy is then good for what pieces still fit.
func (d *downloader) inspect(ctx context.Context, root *os.Root) (copy *Content, differs error, err error) {
	name := d.t.WrittenName()
	fi, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, diskError("look at", filepath.Join(d.dest, name), err)
	}
	path := filepath.Join(d.dest, name)
	switch {
	case !d.t.Single() && isEmptyDir(root, name):
		return nil, nil, nil
	case fi.Mode()&fs.ModeSymlink != 0:
		return nil, d.exists(path, "a symlink"), nil
	case d.t.Single() && fi.IsDir():
		return nil, nil, &Error{Kind: ErrIsFile, Path: path, Detail: "a directory stands where a file is to be written",
			Hint: "move it away, or name another directory with -o"}
	case !d.t.Single() && fi.Mode().IsRegular():
		return nil, nil, &Error{Kind: ErrIsFile, Path: path, Detail: "a file stands where a directory is needed",
			Hint: "move it away, or name another directory with -o"}
	}
	p := &tree{t: d.t, dest: d.dest, prefix: name}
	if err := p.hold(); err != nil {
		return nil, nil, diskError("open", d.dest, err)
	}
	copy = d.s.newContent(d.t, d.row)
	copy.place, copy.phase, copy.lenient = p, served, true
	copy.stamps = make([]stamp, len(d.t.Files))
	if detailPath, detail, err := copy.compareTree(root); err != nil || detail != "" {
		return copy, d.exists(detailPath, detail), err
	}
	total := d.t.Length()
	var progress func(int64)
	if d.o.Progress != nil {
		progress = func(n int64) { d.o.Progress(min(n, total), total) }
	}
	err = copy.vouch(ctx, copy.allPieces(), progress)
	if b, ok := errors.AsType[*badFile](err); ok {
		return copy, d.exists(p.path(b.file), "its bytes are not those of the torrent"), nil
	}
	if errors.Is(err, ErrChanged) {
		return copy, d.exists(path, err.Error()), nil
	}
	return copy, nil, err
}

func (d *downloader) exists(path, detail string) error {
	return &Error{Kind: ErrExists, Path: path, Detail: detail,
		Hint: "name another directory with -o, or use --force to replace it when the download is complete"}
}

// compareTree takes the stamps of what is there and names the first difference
// that shows without reading a byte. What is there beside the torrent's files
// does not count.
func (c *Content) compareTree(root *os.Root) (path, detail string, err error) {
	differs := func(p, d string) {
		if detail == "" {
			path, detail = p, d
		}
	}
	p := c.place.(*tree)
	for i := range c.t.Files {
		f := &c.t.Files[i]
		c.stamps[i] = noFile
		if f.Symlink != nil {
			rel := p.below(f.Path)
			want, err := p.linkTarget(f.Path, f.Symlink)
			if err != nil {
				return "", "", err
			}
			if got, err := root.Readlink(rel); err != nil || got != want {
				differs(filepath.Join(c.dest, rel), "it is not the symlink to "+want)
			}
			continue
		}
		now, what, err := c.look(i)
		if err != nil {
			return "", "", err
		}
		switch {
		case f.Pad:
		case what == "it is gone":
			differs(p.path(i), "it is missing")
		case what != "":
			differs(p.path(i), what)
		case now.size != f.Length:
			differs(p.path(i), fmt.Sprintf("it has %d bytes, not %d", now.size, f.Length))
		}
		c.stamps[i] = now
		if f.Exec && what == "" && runtime.GOOS != "windows" {
			if fi, err := c.place.stat(i); err == nil && fi.Mode()&0o100 == 0 {
				differs(p.path(i), "it is not executable")
			}
		}
	}
	for _, dir := range c.t.EmptyDirs {
		if fi, err := root.Lstat(p.below(dir)); err != nil || !fi.IsDir() {
			differs(filepath.Join(c.dest, p.below(dir)), "the empty directory is missing")
		}
	}
	return path, detail, nil
}

// adopt serves a complete copy from where it is.
func (d *downloader) adopt(c *Content) (*Content, error) {
	c.place.close() // from now on opened as needed
	c.lenient = false
	c.row.Kind = Finished
	c.setServed()
	files := &fileState{stamps: c.stamps}
	err := d.s.put(c.ih, change{row: &c.row, metainfo: d.t.Bytes(), stamps: files.encode(), clean: []byte{}})
	if err != nil {
		d.s.files.drop(c)
		return nil, err
	}
	if d.old != nil && d.old.Kind == Partial {
		if err := discardStaging(d.dest, c.ih); err != nil {
			d.s.log.Warn("an unfinished download of content that is complete was left", "error", err)
		}
	}
	return c, nil
}

// start opens the staging tree and finds out what is in it. It owns root.
func (d *downloader) start(ctx context.Context, root *os.Root) (*Content, error) {
	g, err := openStaging(root, d.t.InfoHash())
	if err != nil {
		return nil, err
	}
	c, err := d.grow(ctx, g)
	if err != nil {
		if c != nil {
			d.s.files.drop(c)
		}
		if g.made {
			if derr := g.discard(); derr != nil {
				d.s.log.Warn("an empty staging tree was left", "error", derr)
			}
		}
		g.close()
		return nil, err
	}
	return c, nil
}

func (d *downloader) grow(ctx context.Context, g *staging) (*Content, error) {
	if folds, err := g.foldsCase(); err != nil {
		return nil, err
	} else if folds {
		if err := d.t.CheckDestination("darwin"); err != nil {
			return nil, &Error{Kind: ErrName, Path: d.dest, Err: err, Hint: "name a directory on a file system that tells upper from lower case with -o"}
		}
	}
	if err := g.restore(d.t.WrittenName()); err != nil {
		return nil, err
	}
	c := d.s.newContent(d.t, d.row)
	c.staging, c.phase = g, growing
	c.place = &tree{t: d.t, dest: d.dest, prefix: g.newPath(), writable: true, root: g.root}
	need, err := c.survey()
	if err != nil {
		return c, err
	}
	if err := c.checkSpace(need); err != nil {
		return c, err
	}
	if err := d.s.put(c.ih, change{row: &c.row, metainfo: d.t.Bytes(), stamps: []byte{}}); err != nil {
		return c, err
	}
	for _, old := range d.reuse {
		if err := c.reuseFrom(ctx, old); err != nil {
			return c, err
		}
	}
	return c, nil
}

// checkSpace compares what is still to be written with what is free.
func (c *Content) checkSpace(need int64) error {
	free, err := freeSpace(c.dest)
	if err != nil {
		c.s.log.Debug("free space unknown", "error", err)
		return nil
	}
	if need > free {
		return &Error{Kind: ErrDiskFull, Path: c.dest, Need: need, Free: free,
			Detail: fmt.Sprintf("%d bytes are still to be written, %d are free", need, free),
			Hint:   fmt.Sprintf("free %d bytes there, or name a directory on another file system with -o", need-free)}
	}
	return nil
}

// reuseFrom copies the missing pieces that another copy has.
func (c *Content) reuseFrom(ctx context.Context, old *Content) error {
	if err := c.withdrawClean(); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers())
	for i := range c.t.NumPieces() {
		if complete, known := c.State(i); complete || !known {
			continue
		}
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return c.copyPiece(gctx, old, i) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// copyPiece writes exactly the bytes that it verified.
func (c *Content) copyPiece(ctx context.Context, old *Content, i int) error {
	buf, free, err := c.s.buffer(ctx, c.t.PieceSize(i))
	if err != nil {
		return err
	}
	defer free()
	old.io.RLock()
	_, err = old.read(buf, i, 0)
	old.io.RUnlock()
	if err != nil {
		return nil // not there, or not as long: then it is fetched
	}
	v := c.t.Check(i, buf)
	if v == manifest.Bad {
		return nil
	}
	if _, err := c.write(buf, i, 0); err != nil {
		return err
	}
	if err := c.SetComplete(i, true); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pieces.strong.set(i, v == manifest.Good)
	return nil
}
