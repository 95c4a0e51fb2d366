package mainline

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Pauses after a read that failed: a socket on which that lasts must not spin, and one on
// which strangers cause it, as with too large packets on Windows, must not stand still.
const (
	firstPause = time.Millisecond
	lastPause  = 20 * time.Millisecond
	deadPause  = time.Minute // the socket is closed: Close is on its way
)

// guard stands between the network and the library. Queries are answered on this side;
// to the library go only replies, printed anew from what was understood of them: it
// ends the process on some packets that it did not expect, and on any read error.
type guard struct {
	conn   net.PacketConn
	query  func(message, netip.AddrPort) []byte // the reply, nil: none
	closed chan struct{}
	once   sync.Once
}

func (g *guard) ReadFrom(b []byte) (int, net.Addr, error) {
	pause := firstPause
	var in [maxPacket + 1]byte
	for {
		n, from, err := g.conn.ReadFrom(in[:])
		if err != nil {
			// Only Close ends reading. Anything else is either over soon, as when an
			// earlier packet of ours was answered with "port unreachable", or lasts.
			if errors.Is(err, net.ErrClosed) {
				pause = deadPause
			}
			t := time.NewTimer(pause)
			select {
			case <-g.closed:
				t.Stop()
				return 0, nil, net.ErrClosed
			case <-t.C:
			}
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
		ap, ok := addrOf(from)
		if !ok || n > maxPacket {
			continue
		}
		m, err := parseMessage(in[:n])
		if err != nil {
			continue
		}
		if m.kind == 'q' {
			if reply := g.query(m, ap); reply != nil {
				g.conn.WriteTo(reply, net.UDPAddrFromAddrPort(ap)) // a lost packet is asked for again
			}
			continue
		}
		out := m.append(in[:0])
		return copy(b, out), net.UDPAddrFromAddrPort(ap), nil
	}
}

// addrOf returns where a packet came from.
func addrOf(from net.Addr) (netip.AddrPort, bool) {
	u, ok := from.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	return canonical(u.AddrPort())
}

func (g *guard) WriteTo(b []byte, to net.Addr) (int, error) {
	select {
	case <-g.closed:
		return 0, net.ErrClosed
	default:
		return g.conn.WriteTo(b, to)
	}
}

// Close closes the socket; it may be called twice.
func (g *guard) Close() error {
	var err error
	g.once.Do(func() {
		close(g.closed)
		err = g.conn.Close()
	})
	return err
}

func (g *guard) LocalAddr() net.Addr                { return g.conn.LocalAddr() }
func (g *guard) SetDeadline(t time.Time) error      { return g.conn.SetDeadline(t) }
func (g *guard) SetReadDeadline(t time.Time) error  { return g.conn.SetReadDeadline(t) }
func (g *guard) SetWriteDeadline(t time.Time) error { return g.conn.SetWriteDeadline(t) }
