package discover

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Link is one network interface that was up when it was looked at.
type Link struct {
	Name      string
	Index     int // the system's interface index, never 0
	Loopback  bool
	Multicast bool // the interface can do multicast; loopback is used in any case
	// Addrs are the interface's own addresses with the length of their prefix,
	// ascending, without zone.
	Addrs []netip.Prefix
}

// has reports whether the link has an address of the family.
func (l Link) has(v6 bool) bool {
	return slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr().Is6() == v6 })
}

// contains reports whether addr, which has no zone, lies on the link.
func (l Link) contains(addr netip.Addr) bool {
	if addr.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return prefixHas(p, addr) })
}

// prefixHas is Contains, but an interface that claims the whole internet (/0, as
// some tunnels do) does not make everything near.
func prefixHas(p netip.Prefix, addr netip.Addr) bool { return p.Bits() > 0 && p.Contains(addr) }

// Links is a snapshot of the interfaces that are up. It is never changed after it
// was made and may be shared.
type Links []Link

// ScanLinks looks at the machine's interfaces: those of the given names, or all
// when names is empty. One that is down or absent is left out, since it may come
// later; see [Links.Missing].
func ScanLinks(names []string) (Links, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var links Links
	for _, ifi := range all {
		if ifi.Flags&net.FlagUp == 0 || len(names) > 0 && !slices.Contains(names, ifi.Name) {
			continue
		}
		addrs, err := ifi.Addrs()
		if err != nil {
			continue // it went away between the two calls
		}
		l := Link{
			Name:      ifi.Name,
			Index:     ifi.Index,
			Loopback:  ifi.Flags&net.FlagLoopback != 0,
			Multicast: ifi.Flags&net.FlagMulticast != 0,
		}
		for _, a := range addrs {
			if p, ok := toPrefix(a); ok {
				l.Addrs = append(l.Addrs, p)
			}
		}
		slices.SortFunc(l.Addrs, netip.Prefix.Compare)
		links = append(links, l)
	}
	return links, nil
}

func toPrefix(a net.Addr) (netip.Prefix, bool) {
	n, ok := a.(*net.IPNet)
	if !ok {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	bits, size := n.Mask.Size()
	if addr = addr.Unmap(); addr.Is4() && size == 128 {
		bits -= 96
	}
	p := netip.PrefixFrom(addr, bits)
	return p, p.IsValid()
}

// Missing returns those of names that are not among the links, in their order.
func (ls Links) Missing(names []string) []string {
	var missing []string
	for _, name := range names {
		if !slices.ContainsFunc(ls, func(l Link) bool { return l.Name == name }) {
			missing = append(missing, name)
		}
	}
	return missing
}

// Prefixes returns the prefixes of all links, masked, ascending, each once. A
// prefix of no bits is left out.
func (ls Links) Prefixes() []netip.Prefix {
	var all []netip.Prefix
	for _, l := range ls {
		for _, p := range l.Addrs {
			if p.Bits() > 0 {
				all = append(all, p.Masked())
			}
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

// Local reports whether addr can be meant by "on the local network": loopback,
// link-local, or inside a prefix of one of the links. An IPv4-mapped address
// counts as IPv4; a zone is not looked at.
func (ls Links) Local(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() {
		return false
	}
	if addr.IsLoopback() || addr.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(ls, func(l Link) bool { return l.contains(addr) })
}

// Own reports whether addr is an address of this machine: one of the links', or
// any of 127.0.0.0/8 or ::1.
func (ls Links) Own(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return addr.IsLoopback() || slices.Contains(ls.OwnAddrs(), addr)
}

// OwnAddrs returns the addresses of all links, ascending, each once, without
// zones.
func (ls Links) OwnAddrs() []netip.Addr {
	var all []netip.Addr
	for _, l := range ls {
		for _, p := range l.Addrs {
			all = append(all, p.Addr())
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// byIndex returns the link of an interface index.
func (ls Links) byIndex(index int) (Link, bool) {
	i := slices.IndexFunc(ls, func(l Link) bool { return l.Index == index })
	if i < 0 {
		return Link{}, false
	}
	return ls[i], true
}
