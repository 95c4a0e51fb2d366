package discover

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// shareAddress lets several sockets, of this and of other programs, bind the same
// multicast port; on Windows SO_REUSEADDR is all that is needed.
func shareAddress(_, _ string, c syscall.RawConn) error {
	var err error
	ctlErr := c.Control(func(fd uintptr) {
		err = windows.SetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_REUSEADDR, 1)
	})
	return errors.Join(ctlErr, err)
}
