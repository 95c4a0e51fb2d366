package tracker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// maxReadErrors in a row end ServePacket. Single ones are harmless: a datagram that
// an earlier answer of ours could not deliver is reported on the socket by some
// systems.
const maxReadErrors = 64

// ServePacket answers the UDP protocol on pc until ctx ends, and then returns its
// cause; or until pc is closed or fails, and then returns that error. pc stays the
// caller's, who closes it; its read deadline is used. Several sockets may be served
// at once. On a socket bound to all addresses the address that the asker reached is
// learned from the system, so that the answer leaves from it and Config.Self gets
// it; give IPv4 and IPv6 a socket each, since not every system does that for both
// on one.
func (s *Server) ServePacket(ctx context.Context, pc net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { _ = pc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	sock := newSocket(pc)
	buf := make([]byte, readPacket)
	failed := 0
	for {
		n, from, local, err := sock.read(buf)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if failed++; failed >= maxReadErrors || errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("tracker: reading from %s: %w", pc.LocalAddr(), err)
			}
			continue
		}
		failed = 0
		if s.cfg.Foreign != nil && bencoded(buf[:n]) {
			s.cfg.Foreign(buf[:n], from)
			continue
		}
		out := s.handlePacket(buf[:n], addrOf(from), local)
		s.mu.Lock()
		s.stats.Packets++
		if out == nil {
			s.stats.Dropped++
		}
		s.mu.Unlock()
		if out == nil {
			continue
		}
		if err := sock.write(out, from, local); err != nil {
			s.cfg.Logger.Debug("tracker: answer not sent", "to", from, "err", err)
		}
	}
}

// readPacket is what is read of a packet: enough for those of the DHT.
const readPacket = 4<<10 + 1

// bencoded reports whether a packet is one of the DHT, and not of BEP 15. Those are
// bencoded dictionaries whose first key has one character or two. Ours begin with a
// magic number, or with a connection id made at random: that looks like the former once
// in eight million, and then asks again with another.
func bencoded(b []byte) bool {
	return len(b) > 3 && b[0] == 'd' && (b[1] == '1' || b[1] == '2') && b[2] == ':'
}

// socket reads packets together with the address that they reached, as far as the
// system tells it.
type socket struct {
	pc    net.PacketConn
	v4    *ipv4.PacketConn // non-nil: tells the address reached
	v6    *ipv6.PacketConn
	bound netip.Addr // what pc is bound to
}

func newSocket(pc net.PacketConn) *socket {
	s := &socket{pc: pc, bound: addrOf(pc.LocalAddr()).Addr()}
	if _, ok := pc.(*net.UDPConn); !ok || !s.bound.IsUnspecified() {
		return s
	}
	if s.bound.Is4() {
		if c := ipv4.NewPacketConn(pc); c.SetControlMessage(ipv4.FlagDst, true) == nil {
			s.v4 = c
		}
	} else if c := ipv6.NewPacketConn(pc); c.SetControlMessage(ipv6.FlagDst, true) == nil {
		s.v6 = c
	}
	return s
}

func (s *socket) read(b []byte) (n int, from net.Addr, local netip.Addr, err error) {
	local = s.bound
	var dst net.IP
	switch {
	case s.v4 != nil:
		var cm *ipv4.ControlMessage
		if n, cm, from, err = s.v4.ReadFrom(b); cm != nil {
			dst = cm.Dst
		}
	case s.v6 != nil:
		var cm *ipv6.ControlMessage
		if n, cm, from, err = s.v6.ReadFrom(b); cm != nil {
			dst = cm.Dst
		}
	default:
		n, from, err = s.pc.ReadFrom(b)
	}
	if a, ok := netip.AddrFromSlice(dst); ok {
		local = plain(a)
	}
	if local.IsUnspecified() {
		local = netip.Addr{} // unknown
	}
	return n, from, local, err
}

func (s *socket) write(b []byte, to net.Addr, local netip.Addr) error {
	var err error
	switch {
	case s.v4 != nil && local.Is4():
		_, err = s.v4.WriteTo(b, &ipv4.ControlMessage{Src: local.AsSlice()}, to)
	case s.v6 != nil && local.Is6():
		_, err = s.v6.WriteTo(b, &ipv6.ControlMessage{Src: local.AsSlice()}, to)
	default:
		_, err = s.pc.WriteTo(b, to)
	}
	return err
}
