package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

var (
	// coreAddr is the core router's address on all its links.
	coreAddr = netip.MustParseAddr("10.255.255.1")
	// serviceAddr is an address that every site's router has: see Site.Listen.
	serviceAddr = netip.MustParseAddr("10.255.255.2")
)

// A Site is a bridge in a namespace of its own, with a router between it and the core. Its hosts are reached by IP alone
// from other sites: no broadcast passes.
type Site struct {
	*Bridge
	namespace string // of the router
	inside    string // the router's device towards the core
	outside   string // the core's device towards the router, in the switch
}

// SiteOptions: Addr is the router's address in its site and the prefix of the site's hosts, Link the shape of what goes
// to the core, and of what comes from there.
type SiteOptions struct {
	Addr netip.Prefix
	Link Shape
}

// Site adds a site that is joined to all others by the core, which is the switch's namespace. Prefixes of sites must not
// overlap.
func (n *Network) Site(ctx context.Context, o SiteOptions) (*Site, error) {
	ns, err := n.namespace(ctx, fmt.Sprintf("site%d", n.bridges))
	if err != nil {
		return nil, err
	}
	b, err := n.bridgeIn(ctx, ns, BridgeOptions{Addr: o.Addr})
	if err != nil {
		return nil, err
	}
	b.routed = true
	s := &Site{Bridge: b, namespace: ns, inside: "wan", outside: n.port()}
	for _, router := range []string{ns, n.Switch()} {
		if err := forward(router); err != nil {
			return nil, err
		}
	}
	router, gateway := o.Addr.Addr(), coreAddr
	batch := []string{
		"link add " + s.outside + " type veth peer name " + s.inside + " netns " + ns,
		"link set " + s.outside + " addrgenmode none",
		"addr add " + netip.PrefixFrom(coreAddr, 32).String() + " dev " + s.outside,
		"link set " + s.outside + " up",
		"route add " + o.Addr.Masked().String() + " via " + router.String() + " dev " + s.outside + " onlink",
	}
	if err := run(ctx, strings.Join(batch, "\n"), "ip", "-n", n.Switch(), "-batch", "-"); err != nil {
		return nil, err
	}
	batch = []string{
		"addr add " + netip.PrefixFrom(serviceAddr, 32).String() + " dev lo",
		"link set " + s.inside + " addrgenmode none",
		"link set " + s.inside + " up",
		"route add default via " + gateway.String() + " dev " + s.inside + " onlink src " + router.String(),
	}
	if err := run(ctx, strings.Join(batch, "\n"), "ip", "-n", ns, "-batch", "-"); err != nil {
		return nil, err
	}
	return s, errors.Join(shape(ctx, ns, s.inside, o.Link), shape(ctx, n.Switch(), s.outside, o.Link))
}

// forward makes a namespace a router.
func forward(namespace string) error {
	err := Do(namespace, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	if err != nil {
		return fmt.Errorf("turn on forwarding in %s: %w", namespace, err)
	}
	return nil
}

// Carried tells what the site's link carried into the site and out of it; the link must be shaped.
func (s *Site) Carried(ctx context.Context) (in, out Qdisc, err error) {
	in, err1 := shaperOf(ctx, s.net.Switch(), s.outside)
	out, err2 := shaperOf(ctx, s.namespace, s.inside)
	return in, out, errors.Join(err1, err2)
}

// Listen opens a TCP listener in the site's router, on an address that the routers of all sites have: with the same port
// in every site, all hosts reach a server under one address, and none of them over a site's link. Port 0 picks one.
func (s *Site) Listen(port uint16) (net.Listener, error) {
	return Listen(s.namespace, netip.AddrPortFrom(serviceAddr, port))
}
