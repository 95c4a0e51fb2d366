package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"handful/bench/netns"
)

// A field is where a measurement takes place: addresses, one a client, and where possible real links between them. It
// is made anew for each run, so that no counter, queue or cached route of the run before is left.
type field struct {
	network *netns.Network // nil: loopback
	bridge  *netns.Bridge  // nil: loopback, or a lone host
	lone    *netns.Host
	sites   []*netns.Site // of a field of several; bridge is nil then
	hosts   []*netns.Host // one a client; nil without links
	clients []netip.AddrPort
}

// firstPort: all clients' ports differ, since a peer list tells them apart by it.
const firstPort = 20000

// address of client i, below a prefix of two bytes.
func address(a, b byte, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{a, b, byte(1 + i/250), byte(1 + i%250)})
}

func port(i int) uint16 { return uint16(firstPort + i) }

// line is how fast one client is joined to the others, in bit/s each way; 0 = as fast as the machine.
type line struct{ up, down int64 }

// linkedField gives each client a host on a line of its own, shaped as said; client 0 is the origin.
func linkedField(ctx context.Context, lines []line) (*field, error) {
	network, err := netns.New(ctx)
	if err != nil {
		return nil, err
	}
	f := &field{network: network}
	if f.bridge, err = network.Bridge(ctx, netns.BridgeOptions{Addr: netip.MustParsePrefix("10.66.0.1/16")}); err != nil {
		return nil, f.fail(err)
	}
	for i, l := range lines {
		addr := address(10, 66, i)
		h, err := f.bridge.Host(ctx, netns.HostOptions{
			Addr: netip.PrefixFrom(addr, 16), Up: netns.Shape{Rate: l.up}, Down: netns.Shape{Rate: l.down},
		})
		if err != nil {
			return nil, f.fail(fmt.Errorf("make host %d of %d: %w", i+1, len(lines), err))
		}
		f.hosts = append(f.hosts, h)
		f.clients = append(f.clients, netip.AddrPortFrom(addr, port(i)))
	}
	return f, nil
}

// loopbackField gives each of n clients an address on one loopback device: one of a namespace's own if that can be
// made, else 127.0.0.0/8.
func loopbackField(ctx context.Context, n int) (*field, error) {
	f := &field{}
	if netns.Available() != nil {
		for i := range n {
			f.clients = append(f.clients, netip.AddrPortFrom(address(127, 66, i), port(i)))
		}
		return f, nil
	}
	network, err := netns.New(ctx)
	if err != nil {
		return nil, err
	}
	f.network = network
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.66.0.1/16")}
	for i := range n {
		f.clients = append(f.clients, netip.AddrPortFrom(address(10, 66, i), port(i)))
		prefixes = append(prefixes, netip.PrefixFrom(address(10, 66, i), 16))
	}
	if f.lone, err = network.Lone(ctx, prefixes...); err != nil {
		return nil, f.fail(err)
	}
	return f, nil
}

// fail gives back what was made so far.
func (f *field) fail(err error) error {
	if cerr := f.Close(); cerr != nil {
		return fmt.Errorf("%w; and then: %w", err, cerr)
	}
	return err
}

// namespace in which client i runs.
func (f *field) namespace(i int) string {
	switch {
	case f.hosts != nil:
		return f.hosts[i].Namespace()
	case f.lone != nil:
		return f.lone.Namespace()
	}
	return ""
}

// listen is where all clients can reach a server of the measurement itself.
func (f *field) listen() (net.Listener, error) {
	switch {
	case f.sites != nil:
		return listenInEach(f.sites)
	case f.bridge != nil:
		return f.bridge.Listen(0)
	case f.lone != nil:
		return netns.Listen(f.lone.Namespace(), netip.AddrPortFrom(f.lone.Addr(), 0))
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// carried is how many bytes the loopback device has carried, of a field that has one; -1 if that is not known.
func (f *field) carried() int64 {
	if f.lone != nil {
		if c, err := f.lone.Counters(); err == nil {
			return c.TxBytes
		}
		return -1
	}
	text, err := os.ReadFile("/sys/class/net/lo/statistics/tx_bytes")
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// sent reads what each client's uplink carried so far; nil without links.
func (f *field) sent(ctx context.Context) ([]netns.Qdisc, error) {
	var all []netns.Qdisc
	for _, h := range f.hosts {
		q, err := h.Shaper(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	return all, nil
}

// Close removes everything, with whatever still runs in it.
func (f *field) Close() error {
	if f.network == nil {
		return nil
	}
	return f.network.Close()
}
