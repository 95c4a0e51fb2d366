package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// maxFrame is the longest frame that a device can hand on.
const maxFrame = 1 << 16

// readEvery is how long frames may wait to be read: a wake-up for each would cost more than all else.
const readEvery = 20 * time.Millisecond

// watchBuffer is what the kernel may hold of frames that were not read yet, in bytes with its own overhead.
const watchBuffer = 16 << 20

// A Watch reads what leaves a host. It costs a copy of every such frame: about 6 % of a core for 100 Mbit/s.
type Watch struct {
	socket  *os.File
	done    chan struct{} // closed when reading has ended
	once    sync.Once     // of Close
	closing chan struct{} // closed when Close is called
	err     error         // owned by the reading goroutine until done, then by Close
}

// Watch calls seen, from one goroutine, for every TCP segment with payload that leaves the host from now on, in the order
// in which they leave its shaper. What the shaper drops is not seen.
func (h *Host) Watch(seen func(Segment)) (*Watch, error) {
	var fd int
	err := Do(h.namespace, func() (err error) {
		fd, err = packetSocket(h.device)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s in namespace %s: %w", h.device, h.namespace, err)
	}
	w := &Watch{socket: os.NewFile(uintptr(fd), "watch of "+h.namespace), done: make(chan struct{}),
		closing: make(chan struct{})}
	go w.read(seen)
	return w, nil
}

// packetSocket opens a packet(7) socket, not blocking, that gets what device sends: TCP over IPv4.
func packetSocket(device string) (fd int, err error) {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		return -1, err
	}
	// No protocol yet: nothing may come in before the filter is there.
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open packet socket: %w", err)
	}
	filter := outgoingTCP()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1),
		// Only sockets for all protocols see what is sent.
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: ifi.Index}),
	)
	if err != nil {
		return -1, errors.Join(fmt.Errorf("set up packet socket: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// networkOrder is htons.
func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// outgoingTCP is the socket's filter (classic BPF): the whole of a frame that the host itself sends and that is TCP over
// IPv4, nothing of others.
func outgoingTCP() []unix.SockFilter {
	const (
		loadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		loadHalf = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		jumpIf   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		give     = unix.BPF_RET | unix.BPF_K
		kind     = 0xfffff000 + 4 // SKF_AD_OFF + SKF_AD_PKTTYPE
	)
	return []unix.SockFilter{
		{Code: loadByte, K: kind},
		{Code: jumpIf, K: unix.PACKET_OUTGOING, Jf: 5},
		{Code: loadHalf, K: 12},
		{Code: jumpIf, K: typeIPv4, Jf: 3},
		{Code: loadByte, K: ethernetHeader + 9},
		{Code: jumpIf, K: protocolTCP, Jf: 1},
		{Code: give, K: maxFrame},
		{Code: give, K: 0},
	}
}

func (w *Watch) read(seen func(Segment)) {
	defer close(w.done)
	raw, err := w.socket.SyscallConn()
	if err != nil {
		w.err = err
		return
	}
	frame, control := make([]byte, maxFrame), make([]byte, 128)
	var n, controls int
	var rerr error
	receive := func(fd uintptr) bool {
		n, controls, _, _, rerr = unix.Recvmsg(int(fd), frame, control, 0)
		return !errors.Is(rerr, unix.EAGAIN)
	}
	pause := func() { // whatever leaves meanwhile is then read at one go
		select {
		case <-time.After(readEvery):
		case <-w.closing:
		}
	}
	var until time.Time // once it is told to end: what left before that is still read
	for {
		if until.IsZero() {
			drained := false
			err = raw.Read(func(fd uintptr) bool {
				ok := receive(fd)
				drained = drained || !ok
				return ok
			})
			if drained && err == nil {
				pause()
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				until = time.Now()
				continue
			}
		} else {
			err = raw.Control(func(fd uintptr) { receive(fd) })
		}
		switch {
		case errors.Is(rerr, unix.EINTR):
			continue
		case !until.IsZero() && errors.Is(rerr, unix.EAGAIN):
			return
		case err != nil || rerr != nil:
			w.err = errors.Join(err, rerr)
			return
		}
		at := stamp(control[:controls])
		if !until.IsZero() && at.After(until) {
			return
		}
		if s, ok := parseSegment(frame[:n]); ok {
			s.At = at
			seen(s)
		}
	}
}

// stamp is when the kernel handed a frame to the device: two 64-bit numbers, seconds and nanoseconds; the present where
// it does not say.
func stamp(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err == nil {
		for _, m := range messages {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS_NEW && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now()
}

// Close ends the watch after what has left the host so far; seen is not called any more when it returns. An error says
// that something was missed. A second Close tells the same again.
func (w *Watch) Close() error {
	w.once.Do(func() {
		close(w.closing)
		err := w.socket.SetReadDeadline(time.Unix(1, 0)) // long ago
		if err != nil {
			err = errors.Join(err, w.socket.Close()) // this ends the reading, too
		}
		<-w.done
		w.err = errors.Join(err, w.err, w.lost(), w.socket.Close())
	})
	return w.err
}

// lost asks the kernel whether it had to drop frames for want of room.
func (w *Watch) lost() error {
	raw, err := w.socket.SyscallConn()
	if err != nil {
		return err
	}
	var stats *unix.TpacketStats
	var serr error
	err = raw.Control(func(fd uintptr) {
		stats, serr = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS)
	})
	if err := errors.Join(err, serr); err != nil {
		return fmt.Errorf("ask how many frames were lost: %w", err)
	}
	if stats.Drops > 0 {
		return fmt.Errorf("%d of %d frames were lost, since they were not read in time", stats.Drops, stats.Packets)
	}
	return nil
}
