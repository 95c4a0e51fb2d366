//go:build !linux

package store

import (
	"errors"
	"os"
)

// canClone tells whether the system has a way to share a part of a file's blocks:
// what macOS has shares whole files only.
const canClone = false

func cloneRange(_, _ *os.File, _, _ int64) error { return errors.ErrUnsupported }

func cannotClone(error) bool { return true }

// openDonor opens a file for reading whose path somebody else has named.
func openDonor(path string) (*os.File, error) {
	was, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !was.Mode().IsRegular() {
		return nil, &os.PathError{Op: "open", Path: path, Err: errNotRegular}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|openQuietly|openItself, 0)
	if err != nil {
		return nil, err
	}
	is, err := f.Stat()
	if err == nil && !os.SameFile(was, is) {
		err = &os.PathError{Op: "open", Path: path, Err: errors.New("replaced while it was opened")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
