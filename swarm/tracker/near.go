package tracker

import "net/netip"

// class says how far an address can be reached from.
type class uint8

const (
	classLoopback class = iota
	classLinkLocal
	classPrivate
	classPublic
	classes
)

// carrierNAT is RFC 6598's shared space, which overlay networks use as well.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

func classOf(a netip.Addr) class {
	switch {
	case a.IsLoopback():
		return classLoopback
	case a.IsLinkLocalUnicast():
		return classLinkLocal
	case a.IsPrivate(), carrierNAT.Contains(a):
		return classPrivate
	}
	return classPublic
}

// reachable lists the classes an asker can reach, its own first. An asker on the
// tracker's host reaches whatever the tracker's host reaches.
func reachable(c class, onHost bool) []class {
	switch {
	case c == classLoopback, onHost:
		return []class{classLoopback, classPrivate, classLinkLocal, classPublic}
	case c == classLinkLocal:
		return []class{classLinkLocal, classPrivate, classPublic}
	case c == classPrivate:
		return []class{classPrivate, classLinkLocal, classPublic}
	}
	return []class{classPublic, classPrivate}
}

// network is the /24 or /64 that a belongs to.
func network(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // fails only for the invalid address, whose zero prefix is as good
	return p
}

// account is the address that limits are kept for: whoever has one IPv6 address
// commonly has the whole /64.
func account(a netip.Addr) netip.Addr {
	if a.Is6() {
		return network(a).Addr()
	}
	return a
}

// plain undoes IPv4-in-IPv6 and drops the zone, so that one peer has one address
// whatever socket it came through.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// claimable tells whether an address that a local sender merely claims may be
// handed out.
func claimable(a netip.AddrPort) bool {
	ip := a.Addr()
	if a.Port() == 0 || !ip.IsGlobalUnicast() || ip.Is4() && ip.As4()[0] == 0 {
		return false
	}
	c := classOf(ip)
	return c == classPrivate || c == classPublic
}
