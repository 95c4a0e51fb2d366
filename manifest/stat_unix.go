//go:build unix

package manifest

import (
	"io/fs"
	"os"
	"syscall"
)

// inode returns the number of the file behind info.
func inode(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino)
	}
	return 0
}

// openSource opens a file that was regular when it was scanned. It neither
// follows a symlink nor waits for a pipe that may have taken its place.
func openSource(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}
