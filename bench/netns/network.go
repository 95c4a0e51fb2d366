package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
)

// ErrUnavailable is wrapped by the error of Available and New where namespaces cannot be made.
var ErrUnavailable = errors.New("network namespaces are not to be had")

// A Network is a set of namespaces and the links between them. Its methods are for one goroutine, except Close of a
// network that another goroutine still reads counters of.
type Network struct {
	prefix  string   // of all its namespaces' names
	all     []string // names of the namespaces made, switch first: what Close removes
	ports   int      // ports made in the switch, for their names
	bridges int
	hosts   int
}

// A Bridge is one site: an Ethernet switch, with an address of its own where servers of the measurement can listen.
type Bridge struct {
	net       *Network
	namespace string
	device    string
	addr      netip.Prefix
	mcast     bool
	routed    bool // its address is its hosts' gateway
}

// BridgeOptions: Addr is the bridge's own address and the prefix of its hosts. Multicast is passed between hosts only
// when asked for, so that in a measurement nobody is found earlier than told.
type BridgeOptions struct {
	Addr      netip.Prefix
	Multicast bool
}

// A Host is a namespace with one address.
type Host struct {
	net       *Network
	namespace string
	device    string // "eth0", or "lo" for a lone host
	port      string // the other end of its link, in the switch; "" for a lone host
	addr      netip.Addr
	shaped    bool
}

// HostOptions: the host's address with its prefix length, and the shapes of what it sends (Up) and gets (Down).
type HostOptions struct {
	Addr     netip.Prefix
	Up, Down Shape
}

// A Trunk is the link between two bridges.
type Trunk struct {
	net  *Network
	a, b string // devices at either end: a sends towards b
}

// serial tells the networks of one process apart.
var serial atomic.Int64

// New makes a network without hosts, after removing what dead processes left behind.
func New(ctx context.Context) (*Network, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	if err := removeLeftovers(ctx); err != nil {
		return nil, err
	}
	n := &Network{prefix: fmt.Sprintf("%s%d-%d-", namePrefix, selfPID(), serial.Add(1))}
	if _, err := n.namespace(ctx, "switch"); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Switch is the name of the namespace in which all bridges are.
func (n *Network) Switch() string { return n.prefix + "switch" }

func (n *Network) namespace(ctx context.Context, name string) (string, error) {
	name = n.prefix + name
	if err := run(ctx, "", "ip", "netns", "add", name); err != nil {
		return "", err
	}
	n.all = append(n.all, name)
	return name, run(ctx, "", "ip", "-n", name, "link", "set", "lo", "up")
}

// Bridge adds a site.
func (n *Network) Bridge(ctx context.Context, o BridgeOptions) (*Bridge, error) {
	return n.bridgeIn(ctx, n.Switch(), o)
}

func (n *Network) bridgeIn(ctx context.Context, namespace string, o BridgeOptions) (*Bridge, error) {
	b := &Bridge{net: n, namespace: namespace, device: fmt.Sprintf("br%d", n.bridges), addr: o.Addr, mcast: o.Multicast}
	n.bridges++
	batch := []string{
		"link add " + b.device + " type bridge mcast_snooping 0",
		"link set " + b.device + " addrgenmode none",
		"addr add " + o.Addr.String() + " dev " + b.device,
		"link set " + b.device + " up",
	}
	return b, run(ctx, strings.Join(batch, "\n"), "ip", "-n", namespace, "-batch", "-")
}

// Host adds a host to the bridge.
func (b *Bridge) Host(ctx context.Context, o HostOptions) (*Host, error) {
	n := b.net
	ns, err := n.namespace(ctx, fmt.Sprintf("h%d", n.hosts))
	if err != nil {
		return nil, err
	}
	n.hosts++
	port := n.port()
	if err := b.plug(ctx, port, "link add "+port+" type veth peer name eth0 netns "+ns); err != nil {
		return nil, err
	}
	batch := []string{
		"link set eth0 addrgenmode none",
		"addr add " + o.Addr.String() + " dev eth0",
		"link set eth0 up",
	}
	if b.mcast { // where multicast is what is tested, it needs a route
		batch = append(batch, "route add 224.0.0.0/4 dev eth0")
	}
	if b.routed {
		batch = append(batch, "route add default via "+b.Addr().String())
	}
	if err := run(ctx, strings.Join(batch, "\n"), "ip", "-n", ns, "-batch", "-"); err != nil {
		return nil, err
	}
	h := &Host{net: n, namespace: ns, device: "eth0", port: port, addr: o.Addr.Addr(), shaped: o.Up.Rate > 0}
	if err := shape(ctx, ns, "eth0", o.Up); err != nil {
		return nil, err
	}
	return h, shape(ctx, b.namespace, port, o.Down)
}

// Lone adds a host that is connected to nobody, with all the given addresses on its loopback device: two programs on two
// of them talk as over loopback, but without an address of 127.0.0.0/8, which some clients refuse.
func (n *Network) Lone(ctx context.Context, addrs ...netip.Prefix) (*Host, error) {
	ns, err := n.namespace(ctx, fmt.Sprintf("h%d", n.hosts))
	if err != nil {
		return nil, err
	}
	n.hosts++
	h := &Host{net: n, namespace: ns, device: "lo"}
	for i, a := range addrs {
		if i == 0 {
			h.addr = a.Addr()
		}
		if err := run(ctx, "", "ip", "-n", ns, "addr", "add", a.String(), "dev", "lo"); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Join connects two bridges, of which neither is a Site's, by a trunk that is shaped in both directions alike.
func (n *Network) Join(ctx context.Context, a, b *Bridge, s Shape) (*Trunk, error) {
	t := &Trunk{net: n, a: n.port(), b: n.port()}
	if err := a.plug(ctx, t.a, "link add "+t.a+" type veth peer name "+t.b); err != nil {
		return nil, err
	}
	if err := b.plug(ctx, t.b, ""); err != nil {
		return nil, err
	}
	return t, errors.Join(shape(ctx, n.Switch(), t.a, s), shape(ctx, n.Switch(), t.b, s))
}

func (n *Network) port() string {
	n.ports++
	return fmt.Sprintf("p%d", n.ports-1)
}

// plug makes device a port of the bridge; add is the ip command that creates it, "" if it is there already.
func (b *Bridge) plug(ctx context.Context, device, add string) error {
	var batch []string
	if add != "" {
		batch = append(batch, add)
	}
	batch = append(batch, "link set "+device+" addrgenmode none master "+b.device, "link set "+device+" up")
	if !b.mcast {
		batch = append(batch, "link set "+device+" type bridge_slave mcast_flood off")
	}
	return run(ctx, strings.Join(batch, "\n"), "ip", "-n", b.namespace, "-batch", "-")
}

func shape(ctx context.Context, ns, device string, s Shape) error {
	if s.Rate <= 0 {
		return nil
	}
	err := run(ctx, "", "ip", "-n", ns, "link", "set", device, "gso_max_size", "6000", "gso_max_segs", "4")
	if err != nil {
		return err
	}
	return run(ctx, "", "tc", append([]string{"-n", ns, "qdisc", "add", "dev", device, "root"}, s.arguments()...)...)
}

// Addr is the bridge's own address.
func (b *Bridge) Addr() netip.Addr { return b.addr.Addr() }

// Listen opens a TCP listener on the bridge's own address; port 0 picks one. Connections to it pass no shaper but the
// sender's own.
func (b *Bridge) Listen(port uint16) (net.Listener, error) {
	return Listen(b.namespace, netip.AddrPortFrom(b.Addr(), port))
}

// Listen opens a TCP listener inside a namespace, "" for the caller's own. It stays there wherever its user runs.
func Listen(namespace string, addr netip.AddrPort) (l net.Listener, err error) {
	err = Do(namespace, func() error {
		l, err = net.Listen("tcp", addr.String())
		return err
	})
	return l, err
}

// Dial connects to a TCP address from inside a namespace, "" for the caller's own.
func Dial(ctx context.Context, namespace string, addr netip.AddrPort) (c net.Conn, err error) {
	err = Do(namespace, func() error {
		var d net.Dialer
		c, err = d.DialContext(ctx, "tcp", addr.String())
		return err
	})
	return c, err
}

// Namespace is the host's name for `ip netns exec` and Start.
func (h *Host) Namespace() string { return h.namespace }

// Addr is the host's (first) address.
func (h *Host) Addr() netip.Addr { return h.addr }

// Unplug pulls the host's cable out of the switch: from then on nothing passes in either direction, and nobody is told.
func (h *Host) Unplug(ctx context.Context) error {
	if h.port == "" {
		return fmt.Errorf("host %s hangs on no switch", h.namespace)
	}
	return run(ctx, "", "ip", "-n", h.net.Switch(), "link", "set", h.port, "down")
}

// Counters of the host's device.
func (h *Host) Counters() (Counters, error) { return deviceCounters(h.namespace, h.device) }

// Connections is how many TCP connections are established at the host, at either end.
func (h *Host) Connections() (int, error) { return establishedIn(h.namespace) }

// Shaper is the token bucket at the host's uplink, if it has one.
func (h *Host) Shaper(ctx context.Context) (Qdisc, error) {
	if !h.shaped {
		return Qdisc{}, fmt.Errorf("host %s has no shaper", h.namespace)
	}
	return shaperOf(ctx, h.namespace, h.device)
}

// Sent tells what crossed the trunk from its first bridge to its second, and back; the trunk must be shaped.
func (t *Trunk) Sent(ctx context.Context) (there, back Qdisc, err error) {
	there, err1 := shaperOf(ctx, t.net.Switch(), t.a)
	back, err2 := shaperOf(ctx, t.net.Switch(), t.b)
	return there, back, errors.Join(err1, err2)
}

func shaperOf(ctx context.Context, ns, device string) (Qdisc, error) {
	out, err := output(ctx, "tc", "-n", ns, "-s", "-j", "qdisc", "show", "dev", device)
	if err != nil {
		return Qdisc{}, err
	}
	qs, err := ParseQdiscs(out)
	if err != nil {
		return Qdisc{}, err
	}
	for _, q := range qs {
		if q.Kind == "tbf" {
			return q, nil
		}
	}
	return Qdisc{}, fmt.Errorf("device %s in namespace %s has no tbf", device, ns)
}
