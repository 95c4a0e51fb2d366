package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// staging is the directory beside a destination in which a download grows.
type staging struct {
	root *os.Root // the destination directory; closed by close
	name string   // of the staging directory in it
	lock *fileLock
	made bool // it was not there before
}

func stagingName(ih [20]byte) string { return ".handful-" + hex.EncodeToString(ih[:8]) + ".part" }

func (g *staging) newPath() string { return filepath.Join(g.name, "new") }
func (g *staging) oldPath() string { return filepath.Join(g.name, "old") }

// openDest makes the destination directory where it is missing.
func openDest(dest string) (*os.Root, error) {
	switch fi, err := os.Stat(dest); {
	case err == nil && !fi.IsDir():
		return nil, &Error{Kind: ErrIsFile, Path: dest, Detail: "a directory is needed", Hint: "name another directory with -o"}
	case isNotDir(err):
		return nil, &Error{Kind: ErrIsFile, Path: dest, Err: err, Hint: "name another directory with -o"}
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(dest, 0o777); err != nil {
			return nil, diskError("create", dest, err)
		}
	}
	root, err := os.OpenRoot(dest)
	if err != nil {
		return nil, diskError("open", dest, err)
	}
	return root, nil
}

// openStaging makes the staging directory or takes over the one that is there,
// and locks it. It owns root from then on, also when it fails.
func openStaging(root *os.Root, ih [20]byte) (*staging, error) {
	g := &staging{root: root, name: stagingName(ih)}
	if err := g.take(); err != nil {
		root.Close()
		return nil, err
	}
	return g, nil
}

func (g *staging) take() error {
	path := filepath.Join(g.root.Name(), g.name)
	err := g.root.Mkdir(g.name, 0o700)
	switch {
	case err == nil:
		g.made = true
	case errors.Is(err, fs.ErrExist):
		fi, err := g.root.Lstat(g.name)
		if err != nil {
			return diskError("open", path, err)
		}
		if !fi.IsDir() || !ownedByMe(fi) {
			return &Error{Kind: ErrExists, Path: path, Detail: "it is not a directory of this user", Hint: "move it away"}
		}
	default:
		return diskError("write to", g.root.Name(), err)
	}
	lock := filepath.Join(g.name, "lock")
	if fi, err := g.root.Lstat(lock); err == nil && !fi.Mode().IsRegular() {
		return &Error{Kind: ErrExists, Path: filepath.Join(g.root.Name(), lock), Detail: "it is no file", Hint: "move it away"}
	}
	f, err := g.root.OpenFile(lock, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return diskError("create", filepath.Join(g.root.Name(), lock), err)
	}
	g.lock, err = takeLock(f, path, false, "the same content is being fetched into the same directory; wait for that, or name another directory with -o")
	return err
}

// close gives the lock free and leaves the tree.
func (g *staging) close() {
	g.lock.release()
	g.root.Close()
}

// discard removes the tree.
func (g *staging) discard() error {
	g.lock.release() // where an open file cannot be removed
	g.lock = nil
	if err := g.root.RemoveAll(g.name); err != nil {
		return diskError("remove", filepath.Join(g.root.Name(), g.name), err)
	}
	return nil
}

// discardStaging removes a download's tree, unless another process works there.
func discardStaging(dest string, ih [20]byte) error {
	root, err := os.OpenRoot(dest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return diskError("open", dest, err)
	}
	if _, err := root.Lstat(stagingName(ih)); errors.Is(err, fs.ErrNotExist) {
		root.Close()
		return nil
	}
	g, err := openStaging(root, ih)
	if err != nil {
		return err
	}
	defer g.close()
	return g.discard()
}

// foldsCase tells whether the file system takes two names that differ by case
// for one.
func (g *staging) foldsCase() (bool, error) {
	f, err := g.root.OpenFile(filepath.Join(g.name, "case"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, diskError("create", filepath.Join(g.root.Name(), g.name, "case"), err)
	}
	f.Close()
	defer g.root.Remove(filepath.Join(g.name, "case"))
	_, err = g.root.Lstat(filepath.Join(g.name, strings.ToUpper("case")))
	return err == nil, nil
}

// move renames between two directories of the destination.
func (g *staging) move(rename func(from *os.File, old string, to *os.File, name string) error, fromDir, old, toDir, name string) error {
	from, err := g.root.Open(fromDir)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := g.root.Open(toDir)
	if err != nil {
		return err
	}
	defer to.Close()
	return rename(from, old, to, name)
}

func (g *staging) syncDir(dir string) error {
	d, err := g.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := syncDir(d); err != nil {
		return fmt.Errorf("sync %s: %w", d.Name(), err)
	}
	return nil
}

// isEmptyDir is true for a directory without entries.
func isEmptyDir(root *os.Root, name string) bool {
	if fi, err := root.Lstat(name); err != nil || !fi.IsDir() {
		return false
	}
	d, err := root.Open(name)
	if err != nil {
		return false
	}
	defer d.Close()
	_, err = d.Readdirnames(1)
	return err == io.EOF
}

// exists tells whether there is anything of that name, below the destination. A
// failure to look is never taken for absence.
func (g *staging) exists(name string) (bool, error) {
	_, err := g.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, diskError("look at", filepath.Join(g.root.Name(), name), err)
	}
	return true, nil
}

// restore puts back what was moved aside by a swap that did not get far.
func (g *staging) restore(name string) error {
	old, err := g.exists(g.oldPath())
	if err != nil || !old {
		return err
	}
	there, err := g.exists(name)
	if err != nil || there {
		return err
	}
	if err := g.move(renameNoReplace, g.name, "old", ".", name); err != nil {
		return diskError("put back", filepath.Join(g.root.Name(), name), err)
	}
	return nil
}
