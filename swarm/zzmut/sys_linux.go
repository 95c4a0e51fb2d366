package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncAll flushes the whole file system that dir is on. Far cheaper than one
// fsync a file when there are thousands.
func syncAll(dir *os.File) (done bool, err error) {
	err = unix.Syncfs(int(dir.Fd()))
	if errors.Is(err, unix.ENOSYS) {
		return false, nil
	}
	return err == nil, err
}

// renameNoReplace moves a name between two open directories and fails with an
// error matching fs.ErrExist when the target is there.
func renameNoReplace(from *os.File, old string, to *os.File, name string) error {
	err := unix.Renameat2(int(from.Fd()), old, int(to.Fd()), name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return renameChecked(from, old, to, name)
	}
	return linkError(from, old, to, name, err)
}

// dataAt reports the first byte at or after off that is not in a hole; ok is
// false when the file system does not tell.
func dataAt(f *os.File, off int64) (next int64, ok bool) {
	next, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return 1<<63 - 1, true // nothing but hole up to the end
	}
	return next, err == nil
}
