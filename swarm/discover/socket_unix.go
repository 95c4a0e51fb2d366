//go:build unix

package discover

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// shareAddress lets several sockets, of this and of other programs, bind the same
// multicast port. Some clients set only one of the two options and both must fit.
func shareAddress(_, _ string, c syscall.RawConn) error {
	var err error
	ctlErr := c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		)
	})
	return errors.Join(ctlErr, err)
}
