package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"handful/manifest"
)

// checker compares files on disk with a torrent.
type checker struct {
	torrent *manifest.Torrent
	root    string // what has the torrent's name: the file, or the directory
	report  func(done int64)

	bad      map[string]bool // paths below root, with slashes
	sha1Only bool
	done     int64    // bytes checked
	open     *os.File // the file that was read last
	openFile int      // its index
}

// run checks the shape of the tree, then every piece, then the files of which
// only the whole can be checked.
func (c *checker) run(ctx context.Context) error {
	defer func() {
		if c.open != nil {
			c.open.Close()
		}
	}()
	if err := c.shape(); err != nil {
		return err
	}
	whole := map[int]bool{}
	buf := make([]byte, c.torrent.PieceLength)
	for i := range c.torrent.NumPieces() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := c.piece(i, buf, whole); err != nil {
			return err
		}
		c.report(min(c.done, c.torrent.Length()))
	}
	for i := range c.torrent.Files {
		if !whole[i] || c.bad[c.name(i)] {
			continue
		}
		if err := c.wholeFile(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) path(i int) string {
	if c.torrent.Single() {
		return c.root
	}
	return filepath.Join(c.root, filepath.Join(c.torrent.Written(c.torrent.Files[i].Path)...))
}

func (c *checker) name(i int) string { return strings.Join(c.torrent.Files[i].Path, "/") }

// shape checks that every file, link and empty directory is there, as what it
// was and of the size it had.
func (c *checker) shape() error {
	for i, f := range c.torrent.Files {
		if f.Pad {
			continue
		}
		path := c.path(i)
		if f.Symlink != nil {
			if got, err := os.Readlink(path); err != nil || !c.pointsTo(path, got, f.Symlink) {
				c.bad[c.name(i)] = true
			}
			continue
		}
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
			c.bad[c.name(i)] = true
		case err != nil:
			return err
		case !info.Mode().IsRegular() || info.Size() != f.Length || !execFits(info, f.Exec):
			c.bad[c.name(i)] = true
		}
	}
	for _, dir := range c.torrent.EmptyDirs {
		info, err := os.Lstat(filepath.Join(c.root, filepath.Join(c.torrent.Written(dir)...)))
		if err != nil || !info.IsDir() {
			c.bad[strings.Join(dir, "/")+"/"] = true
		}
	}
	return nil
}

// pointsTo tells whether a link at path with the text got leads to target, which
// is from the torrent's root.
func (c *checker) pointsTo(path, got string, target []string) bool {
	want := filepath.Join(c.root, filepath.Join(c.torrent.Written(target)...))
	if !filepath.IsAbs(got) {
		got = filepath.Join(filepath.Dir(path), got)
	}
	return filepath.Clean(got) == filepath.Clean(want)
}

// piece reads one piece and checks it. Files that it cannot decide go to whole.
func (c *checker) piece(i int, buf []byte, whole map[int]bool) error {
	size := c.torrent.PieceSize(i)
	buf = buf[:size]
	clear(buf)
	var files []int
	missing := false
	at := int64(0)
	for span := range c.torrent.Spans(i, 0, size) {
		part := buf[at : at+span.Length]
		at += span.Length
		if c.torrent.Files[span.File].Pad {
			continue
		}
		c.done += span.Length
		files = append(files, span.File)
		if c.bad[c.name(span.File)] {
			missing = true
			continue
		}
		ok, err := c.read(span.File, part, span.Offset)
		if err != nil {
			return err
		}
		missing = missing || !ok
	}
	switch verdict := c.torrent.Check(i, buf); {
	case verdict == manifest.Good:
	case verdict == manifest.SHA1Only:
		c.sha1Only = c.sha1Only || !c.torrent.HasV2()
		c.undecided(files, whole)
	case !c.torrent.CanCheck(i) && c.torrent.HasV2() && !c.torrent.HasV1():
		c.undecided(files, whole)
	case missing && len(files) > 1:
		// One piece of several files, and one of them is known to be bad: which of
		// the others is right cannot be told from it.
		c.undecided(files, whole)
	default:
		for _, f := range files {
			c.bad[c.name(f)] = true
		}
	}
	return nil
}

func (c *checker) undecided(files []int, whole map[int]bool) {
	for _, f := range files {
		whole[f] = true
	}
}

// read fills b from a file; false when the file ends before.
func (c *checker) read(i int, b []byte, off int64) (bool, error) {
	if c.open == nil || c.openFile != i {
		if c.open != nil {
			c.open.Close()
		}
		f, err := os.Open(c.path(i))
		if err != nil {
			c.open = nil
			return false, err
		}
		c.open, c.openFile = f, i
	}
	_, err := c.open.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return err == nil, err
}

// wholeFile checks a file of a torrent with v2 against its pieces root.
func (c *checker) wholeFile(ctx context.Context, i int) error {
	if c.torrent.Files[i].PiecesRoot == [32]byte{} {
		return nil // v1 only: nothing more can be said
	}
	f, err := os.Open(c.path(i))
	if err != nil {
		return err
	}
	defer f.Close()
	ok, err := c.torrent.CheckFile(i, stoppable{ctx, f})
	if err != nil {
		return err
	}
	if !ok {
		c.bad[c.name(i)] = true
	}
	return nil
}

// names are the files that differ, sorted.
func (c *checker) names() []string {
	names := make([]string, 0, len(c.bad))
	for name := range c.bad {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// stoppable is a reader that ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(b []byte) (int, error) {
	if s.ctx.Err() != nil {
		return 0, context.Cause(s.ctx)
	}
	return s.r.Read(b)
}
