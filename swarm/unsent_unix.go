//go:build linux || darwin

package swarm

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsentLow is how many bytes the system takes before it has sent what it took
// earlier.
const unsentLow = 32 << 10

// keepShort keeps a connection's queue inside the process, where requests can
// still be cancelled and small messages pass large ones: without it, megabytes of
// blocks wait in the socket, and with them every Have behind them. That it is not
// possible costs speed only.
func keepShort(c net.Conn) {
	tcp, isTCP := c.(*net.TCPConn)
	if !isTCP {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLow)
	})
}
