package swarm

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// gauge reads what the system knows of one connection's outgoing bytes.
type gauge struct {
	raw syscall.RawConn // nil: nothing can be known
}

// read returns the load, and false if the system cannot tell.
func (g gauge) read() (l load, ok bool) {
	if g.raw == nil {
		return load{}, false
	}
	var queued int
	var info *unix.TCPInfo
	var qerr, ierr error
	err := g.raw.Control(func(fd uintptr) {
		queued, qerr = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		info, ierr = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	})
	if err != nil || qerr != nil || ierr != nil {
		return load{}, false
	}
	l = load{
		acked:   int64(info.Bytes_acked),
		unacked: queued,
		unsent:  int(info.Notsent_bytes),
		minRTT:  time.Duration(info.Min_rtt) * time.Microsecond,
	}
	if info.Min_rtt == ^uint32(0) {
		l.minRTT = 0 // no sample yet
	}
	return l, true
}
