package swarm

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// gauge reads what the system knows of one connection, and tells it what is awaited.
type gauge struct {
	raw syscall.RawConn // nil: nothing can be known
}

// read returns the load of a connection to which so many bytes have been written, all
// time; false if the system cannot tell. It is called often, so it asks for little.
func (g gauge) read(written int64) (l load, ok bool) {
	if g.raw == nil {
		return load{}, false
	}
	var qerr, nerr error
	err := g.raw.Control(func(fd uintptr) {
		if l.unacked, qerr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); l.unacked > ownShare {
			l.unsent, nerr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD)
		}
	})
	if err != nil || qerr != nil || nerr != nil {
		return load{}, false
	}
	l.acked = written - int64(l.unacked)
	return l, true
}

// info returns the least round trip time that the connection has had, 0 if none is known,
// and for how long nothing has come over it; false if the system cannot tell.
func (g gauge) info() (minRTT, silence time.Duration, ok bool) {
	if g.raw == nil {
		return 0, 0, false
	}
	var info *unix.TCPInfo
	var ierr error
	if err := g.raw.Control(func(fd uintptr) {
		info, ierr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); err != nil || ierr != nil {
		return 0, 0, false
	}
	if info.Min_rtt != ^uint32(0) {
		minRTT = time.Duration(info.Min_rtt) * time.Microsecond
	}
	return minRTT, time.Duration(info.Last_data_recv) * time.Millisecond, true
}

// await keeps a read waiting until so many bytes have come.
func (g gauge) await(bytes int) {
	if g.raw != nil {
		g.raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, bytes)
		})
	}
}
