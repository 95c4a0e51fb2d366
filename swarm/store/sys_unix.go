//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openQuietly keeps an open of a FIFO, put where a file was, from hanging.
const openQuietly = unix.O_NONBLOCK

func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func isReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }

func isTooManyFiles(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// freeSpace is the number of bytes an ordinary user may still write at path.
func freeSpace(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// stampOf reads a stamp out of what a stat returned.
func stampOf(fi os.FileInfo) stamp {
	s := stamp{size: fi.Size(), mtime: fi.ModTime().UnixNano()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.inode = uint64(st.Ino)
	}
	return s
}

// allocated is the number of bytes the file takes on disk.
func allocated(fi os.FileInfo) int64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return fi.Size()
}

// ownedByMe tells whether the directory entry belongs to this process's user.
func ownedByMe(fi os.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// statHandle is the stamp of an open file; gone is true when no name leads to
// it any more.
func statHandle(f *os.File, fd uintptr) (s stamp, gone bool, err error) {
	var st unix.Stat_t
	for {
		err = unix.Fstat(int(fd), &st)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return stamp{}, false, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	mtime := unix.TimespecToNsec(st.Mtim)
	return stamp{size: st.Size, mtime: mtime, inode: uint64(st.Ino)}, st.Nlink == 0, nil
}

// lockFile takes the exclusive lock of f without waiting.
func lockFile(f *os.File) (held bool, err error) {
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			break
		}
	}
	if err == unix.EWOULDBLOCK {
		return true, nil
	}
	return false, err
}

// syncDir makes the entries of a directory durable.
func syncDir(d *os.File) error {
	err := d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil // some network file systems have nothing to offer here
	}
	return err
}

func makeSparse(*os.File) {}

func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }

// hasNoLocks is true for file systems that know no locks.
func hasNoLocks(err error) bool {
	return errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP)
}
