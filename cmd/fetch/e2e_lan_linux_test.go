package main_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"handful/bench/netns"
)

// Addresses and names outside (RFC 5737, 3849, 2606), for nodes to be lured to.
const (
	outside4 = "203.0.113.5"
	outside6 = "2001:db8::5"
	lure     = "pe=203.0.113.5:6881&pe=[2001:db8::5]:6881&pe=peer.handful.example:6881" +
		"&tr=http://203.0.113.5:6969/announce&tr=udp://203.0.113.5:6969/announce&tr=http://tracker.handful.example/announce"
)

// testLANOnly captures every packet of two machines, of which one publishes and one fetches with --lan-only, while the
// link names peers and trackers beyond. Both machines have routes to there, so nothing but obedience keeps packets back.
func testLANOnly(t *testing.T, l *lab) {
	ns := hosts(t, l, netip.MustParsePrefix("10.83.0.1/24"), 2)
	for i, n := range ns {
		command(t, "ip", "-n", n, "addr", "add", fmt.Sprintf("fd83::%d/64", i+2), "dev", "eth0", "nodad")
		command(t, "ip", "-n", n, "route", "add", "default", "via", "10.83.0.1")
		command(t, "ip", "-n", n, "-6", "route", "add", "default", "via", "fd83::1")
		// Without an answer of the gateway's nothing would leave for it.
		command(t, "ip", "-n", n, "neigh", "add", "10.83.0.1", "lladdr", "02:00:00:00:00:01", "dev", "eth0")
		command(t, "ip", "-n", n, "-6", "neigh", "add", "fd83::1", "lladdr", "02:00:00:00:00:01", "dev", "eth0")
	}
	first, second, lured := l.side(t, ns[0]), l.side(t, ns[1]), l.side(t, ns[1])
	capture := newCapture(t, ns...)

	tree := first.path("tree")
	makeOddTree(t, tree, 8<<20)
	origin, published := first.publish(tree, "--lan-only", "--peer", outside4+":6881", "--peer", "peer.handful.example:6881",
		"--tracker", "http://"+outside4+":6969/announce", "--tracker", "http://tracker.handful.example/announce")
	head, _, _ := strings.Cut(published.Link, "?")
	link := head + "?" + lure
	second.fetched(link, "-o", second.path("out"), "--lan-only", "--tracker", "udp://tracker.handful.example:6969")
	sameTrees(t, tree, second.path("out", "tree"))
	origin.stop()

	seen := capture.stop()
	if len(seen) < 100 {
		t.Errorf("%d packets were captured, want at least 100", len(seen))
	}
	t.Logf("%d packets between %d pairs of addresses", len(seen), len(pairs(seen)))
	local := []netip.Prefix{netip.MustParsePrefix("10.83.0.0/24"), netip.MustParsePrefix("fd83::/64")}
	for _, p := range seen {
		if err := p.stray(local); err != nil {
			t.Errorf("--lan-only: %v: %v", p, err)
		}
	}

	// The same link without --lan-only is followed, and the capture sees it. Else the test above proves nothing.
	capture = newCapture(t, ns[1])
	p := lured.start("fetch", link, "-o", lured.path("out"), "--timeout", "0")
	for _, what := range []func(packet) bool{
		func(p packet) bool { return p.to.Addr() == netip.MustParseAddr(outside4) },
		func(p packet) bool { return p.to.Addr() == netip.MustParseAddr(outside6) },
		func(p packet) bool { return p.to.Port() == 53 },
	} {
		capture.await(what)
	}
	p.kill()
	capture.stop()
}

// packet is what a captured packet says of its way.
type packet struct {
	kind     string // "ARP", "TCP", "UDP", "ICMPv6", …
	from, to netip.AddrPort
}

func (p packet) String() string { return fmt.Sprintf("%s from %v to %v", p.kind, p.from, p.to) }

func pairs(seen []packet) map[string]int {
	n := map[string]int{}
	for _, p := range seen {
		n[p.from.Addr().String()+" "+p.to.Addr().String()]++
	}
	return n
}

// stray says what about a packet has no place on a local network.
func (p packet) stray(local []netip.Prefix) error {
	for _, port := range []uint16{53, 5353} {
		if p.from.Port() == port || p.to.Port() == port {
			return errors.New("it is DNS")
		}
	}
	groups := []string{
		"239.192.152.143", "239.192.104.102", "ff15::efc0:988f", "ff15::6866", // BEP 14's and ours
		"224.0.0.22", // the kernel's: IGMP
	}
	kernel := []netip.Prefix{netip.MustParsePrefix("ff02::/16")} // MLD, neighbour discovery
	own := append(slices.Clone(local), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"))
	within := func(a netip.Addr, all []netip.Prefix) bool {
		return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	if a := p.from.Addr(); !a.IsUnspecified() && !within(a, own) {
		return fmt.Errorf("%v is outside", a)
	}
	if a := p.to.Addr(); !within(a, own) && !slices.Contains(groups, a.String()) && (!within(a, kernel) || p.kind == "UDP" || p.kind == "TCP") {
		return fmt.Errorf("%v is outside", a)
	}
	return nil
}

// capture records what passes the interfaces of namespaces, in both directions.
type capture struct {
	t       *testing.T
	end     chan struct{}
	readers sync.WaitGroup

	mu      sync.Mutex
	seen    []packet
	changed chan struct{} // closed and made anew with every packet
}

func newCapture(t *testing.T, namespaces ...string) *capture {
	t.Helper()
	c := &capture{t: t, end: make(chan struct{}), changed: make(chan struct{})}
	for _, ns := range namespaces {
		fd := -1
		err := netns.Do(ns, func() (err error) {
			// All interfaces; without link-layer headers, which loopback has not.
			fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(networkOrder(unix.ETH_P_ALL)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}))
		if err != nil {
			t.Fatal(err)
		}
		c.readers.Go(func() { c.read(fd) })
	}
	return c
}

func networkOrder(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// read takes packets until the end, and what is waiting then.
func (c *capture) read(fd int) {
	defer unix.Close(fd)
	buf := make([]byte, 256) // headers are enough
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			select {
			case <-c.end:
				if s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err != nil || s.Drops > 0 {
					c.t.Errorf("the capture lost packets: %+v, %v", s, err)
				}
				return
			default:
				continue
			}
		case err != nil:
			c.t.Errorf("capture: %v", err)
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok {
			c.t.Errorf("capture: a packet from %T", from)
			return
		}
		p, err := parsePacket(networkOrder(link.Protocol), buf[:n])
		if err != nil {
			c.t.Errorf("capture: %v in %x", err, buf[:n])
			continue
		}
		c.mu.Lock()
		c.seen = append(c.seen, p)
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
	}
}

// stop ends the capture and returns what was seen.
func (c *capture) stop() []packet {
	close(c.end)
	c.readers.Wait()
	return c.seen
}

// await waits for a packet.
func (c *capture) await(ok func(packet) bool) {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		found, changed := slices.ContainsFunc(c.seen, ok), c.changed
		c.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.t.Fatalf("a packet did not come in %v, only %v", patience, pairs(c.seen))
		}
	}
}

// parsePacket reads the headers of a packet of an EtherType.
func parsePacket(kind uint16, b []byte) (packet, error) {
	short := fmt.Errorf("a packet of type %#04x is cut short", kind)
	var p packet
	var from, to netip.Addr
	var protocol byte
	switch {
	case kind == unix.ETH_P_ARP && len(b) >= 28:
		from, to = netip.AddrFrom4([4]byte(b[14:])), netip.AddrFrom4([4]byte(b[24:]))
		return packet{"ARP", netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)}, nil
	case kind == unix.ETH_P_IP && len(b) >= 20:
		from, to, protocol = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[9]
		b = b[min(len(b), int(b[0]&15)*4):]
	case kind == unix.ETH_P_IPV6 && len(b) >= 40:
		from, to, protocol = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:])), b[6]
		b = b[40:]
		if protocol == unix.IPPROTO_HOPOPTS && len(b) >= 8 {
			protocol, b = b[0], b[min(len(b), 8+int(b[1])*8):]
		}
	default:
		return p, short
	}
	var ports [2]uint16
	p.kind = fmt.Sprintf("protocol %d", protocol)
	switch protocol {
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		p.kind = "ICMP"
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
		p.kind = map[byte]string{unix.IPPROTO_TCP: "TCP", unix.IPPROTO_UDP: "UDP"}[protocol]
		if len(b) < 4 {
			return p, short
		}
		ports = [2]uint16{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])}
	}
	p.from, p.to = netip.AddrPortFrom(from, ports[0]), netip.AddrPortFrom(to, ports[1])
	return p, nil
}
