package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// group is one of the two multicast groups.
type group int

const (
	searchGroup group = iota // BEP 14
	offerGroup               // ours
	groups
)

func (g group) String() string {
	if g == searchGroup {
		return "local service discovery"
	}
	return "offers"
}

// addr is where a group's datagrams go.
func (g group) addr(v6 bool) netip.AddrPort {
	switch {
	case g == searchGroup && !v6:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 192, 152, 143}), 6771)
	case g == searchGroup:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0xff, 1: 0x15, 12: 0xef, 13: 0xc0, 14: 0x98, 15: 0x8f}), 6771)
	case !v6:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 192, 104, 102}), 6772)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0xff, 1: 0x15, 14: 0x68, 15: 0x66}), 6772)
}

// maxDatagram is the most bytes of a group's datagram that are looked at.
func (g group) maxDatagram() int {
	if g == searchGroup {
		return maxSearch
	}
	return MaxOffer
}

func udpNetwork(v6 bool) string {
	if v6 {
		return "udp6"
	}
	return "udp4"
}

// receiver is a socket that hears one group in one address family, on the links
// it has joined. Join and leave belong to the goroutine of the [LSD], read to the
// receiver's own.
type receiver struct {
	group  group
	v6     bool
	conn   net.PacketConn
	p4     *ipv4.PacketConn
	p6     *ipv6.PacketConn
	joined map[int]bool // by interface index
}

// listen opens a receiver. It is bound to the wildcard address, since Windows
// binds to no group; what was not sent to the group is told apart when read.
func listen(g group, v6 bool) (*receiver, error) {
	bind := netip.AddrPortFrom(netip.IPv4Unspecified(), g.addr(v6).Port())
	if v6 {
		bind = netip.AddrPortFrom(netip.IPv6Unspecified(), g.addr(v6).Port())
	}
	lc := net.ListenConfig{Control: shareAddress}
	conn, err := lc.ListenPacket(context.Background(), udpNetwork(v6), bind.String())
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", g, err)
	}
	r := &receiver{group: g, v6: v6, conn: conn, joined: make(map[int]bool)}
	// Not every system can tell the interface and the destination of a datagram
	// (Windows cannot): then the source address alone says where it came from.
	if v6 {
		r.p6 = ipv6.NewPacketConn(conn)
		_ = r.p6.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true)
		_ = r.p6.SetMulticastLoopback(true) // Windows looks for it at the receiver
	} else {
		r.p4 = ipv4.NewPacketConn(conn)
		_ = r.p4.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true)
		_ = r.p4.SetMulticastLoopback(true)
	}
	return r, nil
}

func (r *receiver) join(l Link) error {
	ifi := &net.Interface{Index: l.Index, Name: l.Name}
	addr := &net.UDPAddr{IP: r.group.addr(r.v6).Addr().AsSlice()}
	var err error
	if r.v6 {
		err = r.p6.JoinGroup(ifi, addr)
	} else {
		err = r.p4.JoinGroup(ifi, addr)
	}
	if err != nil {
		return fmt.Errorf("join %s on %s: %w", addr.IP, l.Name, err)
	}
	r.joined[l.Index] = true
	return nil
}

// leave forgets a link. An interface that is gone has taken its membership with
// it, so that an error means nothing.
func (r *receiver) leave(l Link) {
	if !r.joined[l.Index] {
		return
	}
	ifi := &net.Interface{Index: l.Index, Name: l.Name}
	addr := &net.UDPAddr{IP: r.group.addr(r.v6).Addr().AsSlice()}
	if r.v6 {
		_ = r.p6.LeaveGroup(ifi, addr)
	} else {
		_ = r.p4.LeaveGroup(ifi, addr)
	}
	delete(r.joined, l.Index)
}

// datagram is what a receiver heard.
type datagram struct {
	group group
	data  []byte
	from  netip.AddrPort // unmapped; its zone as the system gives it
	index int            // the interface's, 0 where the system does not tell
}

// read waits for a datagram that was sent to the group and is not too long. It
// fails only when the socket does.
func (r *receiver) read(buf []byte) (datagram, error) {
	for {
		d := datagram{group: r.group}
		var (
			n   int
			dst net.IP
			src net.Addr
			err error
		)
		if r.v6 {
			var cm *ipv6.ControlMessage
			if n, cm, src, err = r.p6.ReadFrom(buf); cm != nil {
				dst, d.index = cm.Dst, cm.IfIndex
			}
		} else {
			var cm *ipv4.ControlMessage
			if n, cm, src, err = r.p4.ReadFrom(buf); cm != nil {
				dst, d.index = cm.Dst, cm.IfIndex
			}
		}
		if err != nil {
			return d, err
		}
		from, ok := src.(*net.UDPAddr)
		if !ok || n > r.group.maxDatagram() {
			continue
		}
		if to, ok := netip.AddrFromSlice(dst); ok && to.Unmap() != r.group.addr(r.v6).Addr() {
			continue
		}
		ap := from.AddrPort()
		d.from = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
		d.data = append([]byte(nil), buf[:n]...)
		return d, nil
	}
}

// sender is a socket from which datagrams of one address family leave. It has a
// port of its own: by that and its address a node knows its own datagrams. It
// belongs to the goroutine of the [LSD].
type sender struct {
	v6   bool
	conn net.PacketConn
	p4   *ipv4.PacketConn
	p6   *ipv6.PacketConn
	port uint16
}

func newSender(v6 bool) (*sender, error) {
	conn, err := net.ListenPacket(udpNetwork(v6), ":0")
	if err != nil {
		return nil, fmt.Errorf("open a %s socket for multicast: %w", udpNetwork(v6), err)
	}
	s := &sender{v6: v6, conn: conn}
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		s.port = uint16(a.Port)
	}
	if v6 {
		s.p6 = ipv6.NewPacketConn(conn)
		err = errors.Join(s.p6.SetMulticastHopLimit(1), s.p6.SetMulticastLoopback(true))
	} else {
		s.p4 = ipv4.NewPacketConn(conn)
		err = errors.Join(s.p4.SetMulticastTTL(1), s.p4.SetMulticastLoopback(true))
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("set up a %s socket for multicast: %w", udpNetwork(v6), err)
	}
	return s, nil
}

// source is the address that a datagram must come from where the system would
// choose a misleading one: on loopback Linux takes the address of another
// interface, at which a node that serves loopback only cannot be reached.
func (l Link) source(v6 bool) (net.IP, bool) {
	i := slices.IndexFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr().Is6() == v6 })
	if !l.Loopback || i < 0 {
		return nil, false
	}
	return l.Addrs[i].Addr().AsSlice(), true
}

// send sends b to a group on one link.
func (s *sender) send(l Link, g group, b []byte) error {
	ifi := &net.Interface{Index: l.Index, Name: l.Name}
	var err error
	if s.v6 {
		err = s.p6.SetMulticastInterface(ifi)
	} else {
		err = s.p4.SetMulticastInterface(ifi)
	}
	to := net.UDPAddrFromAddrPort(g.addr(s.v6))
	switch src, ok := l.source(s.v6); {
	case err != nil:
	case ok && !s.v6:
		_, err = s.p4.WriteTo(b, &ipv4.ControlMessage{Src: src, IfIndex: l.Index}, to)
	default:
		_, err = s.conn.WriteTo(b, to)
	}
	if err != nil {
		return fmt.Errorf("send %s to %s on %s: %w", g, g.addr(s.v6), l.Name, err)
	}
	return nil
}
