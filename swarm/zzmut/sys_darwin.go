package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNoReplace moves a name between two open directories and fails with an
// error matching fs.ErrExist when the target is there.
func renameNoReplace(from *os.File, old string, to *os.File, name string) error {
	err := unix.RenameatxNp(int(from.Fd()), old, int(to.Fd()), name, unix.RENAME_EXCL)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return renameChecked(from, old, to, name)
	}
	return linkError(from, old, to, name, err)
}
