// Package crashfs is a filesystem in memory for tests of what survives a crash. It
// keeps apart what programs see and what would be there after the power failed: file
// content becomes durable by Sync, names by SyncDir. A fault at any step either loses
// the step, or lets it land and reports it as lost; after it everything fails until
// the restart.
package crashfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"handful/signing/durable"
)

// ErrCrash is what the step with the fault, and all after it, return.
var ErrCrash = errors.New("crash")

// Loss is what a crash does to what was not synced.
type Loss int

const (
	Keep  Loss = iota // nothing is lost: the process died, the machine did not
	Lose              // all of it is lost
	Torn              // names are kept, and half of what was appended
	Zeros             // names are kept, and what was appended reads as zeros
)

// Losses are all kinds of loss.
var Losses = []Loss{Keep, Lose, Torn, Zeros}

type inode struct{ live, durable []byte }

// FS is the filesystem. The zero value is not useful; see [New]. It is not safe for
// concurrent use.
type FS struct {
	live, durable map[string]*inode // by path
	steps         int               // steps that change something, so far
	failAt        int               // the step that fails; 0: none
	landed        bool
	crashed       bool
}

var _ durable.FS = (*FS)(nil)

// New returns an empty filesystem, in which every directory exists.
func New() *FS { return &FS{live: map[string]*inode{}, durable: map[string]*inode{}} }

// Steps returns how many steps that change something have been taken since the start,
// or the last restart.
func (f *FS) Steps() int { return f.steps }

// FailAt makes the n-th step from now on fail, counted from 1. landed: it takes effect
// all the same.
func (f *FS) FailAt(n int, landed bool) { f.failAt, f.landed = f.steps+n, landed }

// Crashed reports whether the fault has struck.
func (f *FS) Crashed() bool { return f.crashed }

// Restart ends the crash, after which only what the loss leaves is there.
func (f *FS) Restart(loss Loss) {
	if loss != Keep {
		if loss == Lose {
			f.live = maps.Clone(f.durable)
		}
		for _, n := range f.live {
			n.live = survive(n, loss)
		}
	}
	f.durable = maps.Clone(f.live)
	for _, n := range f.live {
		n.durable = slices.Clone(n.live)
	}
	f.steps, f.failAt, f.crashed = 0, 0, false
}

func survive(n *inode, loss Loss) []byte {
	out := slices.Clone(n.durable)
	more := len(n.live) - len(n.durable)
	switch {
	case more <= 0 || loss == Lose:
	case loss == Torn:
		out = append(out, n.live[len(out):len(out)+(more+1)/2]...)
	case loss == Zeros:
		out = append(out, make([]byte, more)...)
	}
	return out
}

// Put makes a file, durable at once.
func (f *FS) Put(path string, data []byte) {
	n := &inode{slices.Clone(data), slices.Clone(data)}
	f.live[path], f.durable[path] = n, n
}

// Get returns the content that programs see; nil without the file.
func (f *FS) Get(path string) []byte {
	if n := f.live[path]; n != nil {
		return slices.Clone(n.live)
	}
	return nil
}

// Paths returns the files that programs see, sorted.
func (f *FS) Paths() []string { return slices.Sorted(maps.Keys(f.live)) }

// step runs one change, or fails.
func (f *FS) step(what string, do func()) error {
	if f.crashed {
		return fmt.Errorf("%s: %w", what, ErrCrash)
	}
	f.steps++
	if f.steps != f.failAt {
		do()
		return nil
	}
	f.crashed = true
	if f.landed {
		do()
	}
	return fmt.Errorf("%s: %w", what, ErrCrash)
}

// MkdirAll implements [durable.FS].
func (f *FS) MkdirAll(string) error { return nil }

// Open implements [durable.FS].
func (f *FS) Open(path string) (durable.File, error) {
	if f.crashed {
		return nil, ErrCrash
	}
	if f.live[path] == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return &file{f, path, f.live[path]}, nil
}

// Create implements [durable.FS].
func (f *FS) Create(path string) (durable.File, error) {
	if f.live[path] == nil {
		if err := f.step("create "+path, func() { f.live[path] = &inode{} }); err != nil {
			return nil, err
		}
	}
	return f.Open(path)
}

// Rename implements [durable.FS].
func (f *FS) Rename(from, to string) error {
	if f.live[from] == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	return f.step("rename "+from, func() {
		f.live[to] = f.live[from]
		delete(f.live, from)
	})
}

// Remove implements [durable.FS].
func (f *FS) Remove(path string) error {
	if f.live[path] == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	return f.step("remove "+path, func() { delete(f.live, path) })
}

// SyncDir implements [durable.FS].
func (f *FS) SyncDir(dir string) error {
	return f.step("sync "+dir, func() {
		maps.DeleteFunc(f.durable, func(p string, _ *inode) bool { return filepath.Dir(p) == dir })
		for p, n := range f.live {
			if filepath.Dir(p) == dir {
				f.durable[p] = n
			}
		}
	})
}

type file struct {
	fs   *FS
	path string
	n    *inode
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.n.live)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.live[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	err := f.fs.step("write "+f.path, func() {
		if end := int(off) + len(p); end > len(f.n.live) {
			f.n.live = append(f.n.live, make([]byte, end-len(f.n.live))...)
		}
		copy(f.n.live[off:], p)
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *file) Size() (int64, error) { return int64(len(f.n.live)), nil }

func (f *file) Truncate(size int64) error {
	if size == int64(len(f.n.live)) {
		return nil
	}
	return f.fs.step("truncate "+f.path, func() { f.n.live = append(f.n.live, make([]byte, max(0, int(size)-len(f.n.live)))...)[:size] })
}

func (f *file) Sync() error {
	return f.fs.step("sync "+f.path, func() { f.n.durable = slices.Clone(f.n.live) })
}

func (f *file) Close() error { return nil }
