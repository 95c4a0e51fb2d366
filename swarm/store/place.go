package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"handful/manifest"
)

// place is where the files of a content are. Indices are those of Torrent.Files;
// pads and symlinks are never asked for.
type place interface {
	// open opens a file; create makes it, and what leads to it, when it is missing.
	open(file int, create bool) (*os.File, error)
	stat(file int) (os.FileInfo, error)
	path(file int) string // for people
	close()
}

// sources are a publisher's own files.
type sources struct{ paths []string }

func (p sources) path(i int) string               { return p.paths[i] }
func (p sources) close()                          {}
func (p sources) stat(i int) (os.FileInfo, error) { return os.Stat(p.paths[i]) }
func (p sources) open(i int, _ bool) (*os.File, error) {
	f, err := os.OpenFile(p.paths[i], os.O_RDONLY|openQuietly, 0)
	return regular(f, err)
}

// regular refuses what is no file; f is closed then.
func regular(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: errNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

var errNotRegular = errors.New("not a regular file")

// tree is the torrent's own layout below dest/prefix, in the spelling of its
// publisher's disk (Torrent.Written). Every access goes through an os.Root at
// dest, so that no name and no symlink leads out of it.
type tree struct {
	t        *manifest.Torrent
	dest     string // absolute
	prefix   string // relative to dest; for a single file its very name
	writable bool

	root *os.Root // nil: opened for each access

	mu   sync.Mutex
	dirs map[string]bool // directories seen or made, relative to dest
}

// rel is the file's path relative to dest.
func (p *tree) rel(i int) string {
	if p.t.Single() {
		return p.prefix
	}
	return p.below(p.t.Files[i].Path)
}

// below is the path relative to dest of what the torrent calls path.
func (p *tree) below(path []string) string {
	return filepath.Join(p.prefix, filepath.Join(p.t.Written(path)...))
}

func (p *tree) path(i int) string { return filepath.Join(p.dest, p.rel(i)) }

func (p *tree) close() {
	if p.root != nil {
		p.root.Close()
		p.root = nil
	}
}

// hold keeps the root open until close, for many accesses in a row.
func (p *tree) hold() error {
	if p.root != nil {
		return nil
	}
	root, err := os.OpenRoot(p.dest)
	if err != nil {
		return err
	}
	p.root = root
	return nil
}

func (p *tree) use() (root *os.Root, done func(), err error) {
	if p.root != nil {
		return p.root, func() {}, nil
	}
	root, err = os.OpenRoot(p.dest)
	if err != nil {
		return nil, nil, err
	}
	return root, func() { root.Close() }, nil
}

func (p *tree) stat(i int) (os.FileInfo, error) {
	root, done, err := p.use()
	if err != nil {
		return nil, err
	}
	defer done()
	return root.Lstat(p.rel(i))
}

func (p *tree) open(i int, create bool) (*os.File, error) {
	root, done, err := p.use()
	if err != nil {
		return nil, err
	}
	defer done()
	if !p.writable {
		return regular(root.OpenFile(p.rel(i), os.O_RDONLY|openQuietly, 0))
	}
	rel := p.rel(i)
	for range 3 {
		f, err := openPlain(root, rel)
		if err == nil || !create || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		if err := p.makeDir(root, filepath.Dir(rel)); err != nil {
			return nil, err
		}
		mode := os.FileMode(0o666)
		if p.t.Files[i].Exec {
			mode = 0o777
		}
		f, err = root.OpenFile(rel, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
		if err == nil {
			makeSparse(f)
		}
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, &fs.PathError{Op: "create", Path: p.path(i), Err: fs.ErrExist}
}

// openPlain opens an existing file for reading and writing, but nothing that is
// reached through a symlink in its last element.
func openPlain(root *os.Root, rel string) (*os.File, error) {
	was, err := root.Lstat(rel)
	if err != nil {
		return nil, err
	}
	if !was.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: filepath.Join(root.Name(), rel), Err: errNotRegular}
	}
	f, err := root.OpenFile(rel, os.O_RDWR|openQuietly, 0)
	if err != nil {
		return nil, err
	}
	is, err := f.Stat()
	if err == nil && !os.SameFile(was, is) {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: errors.New("replaced while it was opened")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// makeDir makes a directory and those above it, refusing symlinks on the way.
func (p *tree) makeDir(root *os.Root, dir string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.makeDirLocked(root, dir)
}

func (p *tree) makeDirLocked(root *os.Root, dir string) error {
	if dir == "." || p.dirs[dir] {
		return nil
	}
	if err := p.makeDirLocked(root, filepath.Dir(dir)); err != nil {
		return err
	}
	err := root.Mkdir(dir, 0o777)
	if errors.Is(err, fs.ErrExist) {
		var fi os.FileInfo
		if fi, err = root.Lstat(dir); err == nil && !fi.IsDir() {
			err = &fs.PathError{Op: "mkdir", Path: filepath.Join(p.dest, dir), Err: errors.New("not a directory")}
		}
	}
	if err != nil {
		return err
	}
	if p.dirs == nil {
		p.dirs = make(map[string]bool)
	}
	p.dirs[dir] = true
	return nil
}

// linkTarget is the text of a symlink at path that leads to target, both from
// the torrent's root.
func (p *tree) linkTarget(path, target []string) (string, error) {
	dir := p.t.Written(path[:len(path)-1])
	text, err := filepath.Rel(filepath.Join(dir...), filepath.Join(p.t.Written(target)...))
	if err != nil {
		return "", fmt.Errorf("symlink %s: %w", strings.Join(path, "/"), err)
	}
	return text, nil
}
