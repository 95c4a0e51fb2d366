//go:build unix

package store

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// renameChecked is for systems without an exclusive rename. A directory cannot
// replace one that has entries anyway; a file is linked first, which fails when
// the name is taken. Only where links do not exist either is there a moment
// between the look and the rename.
func renameChecked(from *os.File, old string, to *os.File, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(from.Fd()), old, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return linkError(from, old, to, name, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		err := unix.Linkat(int(from.Fd()), old, int(to.Fd()), name, 0)
		if err == nil {
			err = unix.Unlinkat(int(from.Fd()), old, 0)
			return linkError(from, old, to, name, err)
		}
		if err == unix.EEXIST {
			return linkError(from, old, to, name, err)
		}
	}
	var there unix.Stat_t
	if err := unix.Fstatat(int(to.Fd()), name, &there, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return linkError(from, old, to, name, fs.ErrExist)
	}
	return linkError(from, old, to, name, unix.Renameat(int(from.Fd()), old, int(to.Fd()), name))
}

// renameOverEmpty moves a directory to a name that is free or that of an empty
// directory; the system refuses all else.
func renameOverEmpty(from *os.File, old string, to *os.File, name string) error {
	return linkError(from, old, to, name, unix.Renameat(int(from.Fd()), old, int(to.Fd()), name))
}

func linkError(from *os.File, old string, to *os.File, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.LinkError{Op: "rename", Old: filepath.Join(from.Name(), old), New: filepath.Join(to.Name(), name), Err: err}
}
