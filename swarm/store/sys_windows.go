package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

const (
	openQuietly = 0
	openItself  = 0
)

func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

func isReadOnly(err error) bool { return errors.Is(err, windows.ERROR_WRITE_PROTECT) }

func isTooManyFiles(err error) bool { return errors.Is(err, windows.ERROR_TOO_MANY_OPEN_FILES) }

func freeSpace(path string) (int64, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, err
	}
	var free, total, all uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, &total, &all); err != nil {
		return 0, &os.PathError{Op: "GetDiskFreeSpaceEx", Path: path, Err: err}
	}
	return int64(min(free, 1<<62)), nil
}

// stampOf leaves the inode out: the file index costs an open here, and mtime has
// a resolution of 100 ns.
func stampOf(fi os.FileInfo) stamp {
	return stamp{size: fi.Size(), mtime: fi.ModTime().UnixNano()}
}

func allocated(fi os.FileInfo) int64 { return fi.Size() }

func ownedByMe(os.FileInfo) bool { return true }

func statHandle(f *os.File, _ uintptr) (stamp, bool, error) {
	fi, err := f.Stat()
	if err != nil {
		return stamp{}, false, err
	}
	return stampOf(fi), false, nil
}

// lockFile locks one byte far beyond the end, so that the process id at the
// beginning stays readable for others.
func lockFile(f *os.File) (held bool, err error) {
	far := windows.Overlapped{OffsetHigh: 1 << 30}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &far)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return true, nil
	}
	return false, err
}

// syncDir has no counterpart: NTFS journals its directories.
func syncDir(*os.File) error { return nil }

func syncAll(*os.File) (done bool, err error) { return false, nil }

func dataAt(*os.File, int64) (next int64, ok bool) { return 0, false }

// makeSparse keeps NTFS from writing zeros up to a piece that comes early. A
// file system that cannot do it just writes the zeros.
func makeSparse(f *os.File) {
	var n uint32
	_ = windows.DeviceIoControl(windows.Handle(f.Fd()), windows.FSCTL_SET_SPARSE, nil, 0, nil, 0, &n, nil)
}

// renameNoReplace fails with an error matching fs.ErrExist when the target is there.
func renameNoReplace(from *os.File, old string, to *os.File, name string) error {
	src, dst := filepath.Join(from.Name(), old), filepath.Join(to.Name(), name)
	a, err := windows.UTF16PtrFromString(src)
	if err != nil {
		return err
	}
	b, err := windows.UTF16PtrFromString(dst)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(a, b, windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "rename", Old: src, New: dst, Err: err}
	}
	return nil
}

func isNotDir(err error) bool {
	return errors.Is(err, windows.ERROR_DIRECTORY) || errors.Is(err, syscall.ENOTDIR)
}

// hasNoLocks is true for file systems that know no locks.
func hasNoLocks(err error) bool {
	return errors.Is(err, windows.ERROR_NOT_SUPPORTED) || errors.Is(err, windows.ERROR_INVALID_FUNCTION)
}

// renameOverEmpty moves a directory to a name that is free or that of an empty
// directory; the system refuses all else.
func renameOverEmpty(from *os.File, old string, to *os.File, name string) error {
	p, err := windows.UTF16PtrFromString(filepath.Join(to.Name(), name))
	if err != nil {
		return err
	}
	_ = windows.RemoveDirectory(p) // the rename tells whether it is gone
	return renameNoReplace(from, old, to, name)
}
