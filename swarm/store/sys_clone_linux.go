package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// canClone tells whether the system has a way to share a part of a file's blocks.
const canClone = true

// cloneRange makes n bytes of dst from off on share the blocks of the same part of
// src. dst grows where needed. Nothing is changed when it fails.
func cloneRange(dst, src *os.File, off, n int64) error {
	r := unix.FileCloneRange{Src_fd: int64(src.Fd()), Src_offset: uint64(off), Src_length: uint64(n), Dest_offset: uint64(off)}
	for {
		if err := unix.IoctlFileCloneRange(int(dst.Fd()), &r); err != unix.EINTR {
			return err
		}
	}
}

// cannotClone tells whether it is for good that these two files share nothing.
func cannotClone(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.ENOSYS) ||
		errors.Is(err, unix.EPERM)
}

// openDonor opens a file for reading whose path somebody else has named. It is
// looked at before it is opened, by a handle that does nothing to it: even to open
// and close a device may have an effect.
func openDonor(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &os.PathError{Op: "open", Path: path, Err: errNotRegular}
	}
	return os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}
