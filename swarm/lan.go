package swarm

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"handful/swarm/discover"
)

// rescan is how often the machine's interfaces are looked at again.
const rescan = 5 * time.Second

// lan is the node's view of the machine's interfaces and its presence on the
// local network.
type lan struct {
	node  *Node
	links atomic.Pointer[discover.Links]
	next  time.Time     // owned by the loop
	lsd   *discover.LSD // nil when isolated or when no socket could be had

	mu     sync.Mutex
	offers map[string][]byte // by channel and writer
}

func newLAN(n *Node) (*lan, error) {
	l := &lan{node: n, offers: make(map[string][]byte)}
	if err := l.scan(); err != nil {
		return l, err
	}
	if n.cfg.Isolated {
		return l, nil
	}
	cfg := discover.LSDConfig{
		Interfaces: l.listening(),
		Logger:     n.log,
		Now:        n.cfg.Now,
		OnPeer: func(ih [20]byte, ap netip.AddrPort, _ string) {
			n.mail.tryPost(func() { n.heard(Infohash(ih), ap) })
		},
	}
	if f := n.cfg.OnOffer; f != nil {
		cfg.OnOffer = func(b []byte, from netip.AddrPort, ifname string) {
			if o, err := discover.ParseOffer(b); err == nil {
				f(o, from, ifname)
			}
		}
	}
	lsd, err := discover.NewLSD(cfg)
	if err != nil {
		return l, fmt.Errorf("local discovery: %w", err)
	}
	l.lsd = lsd
	return l, nil
}

// listening returns the interfaces on which to announce: not those where nobody
// could connect, because the node listens on loopback only.
func (l *lan) listening() []string {
	names := l.node.cfg.Interfaces
	links := l.links.Load()
	if len(names) > 0 || !l.node.front.addrPort().Addr().IsLoopback() {
		return names
	}
	for _, link := range *links {
		if link.Loopback {
			names = append(names, link.Name)
		}
	}
	return names
}

func (l *lan) scan() error {
	links, err := discover.ScanLinks(l.node.cfg.Interfaces)
	if err != nil {
		return err
	}
	l.links.Store(&links)
	return nil
}

func (l *lan) pulse(now time.Time) {
	if now.Before(l.next) {
		return
	}
	l.next = now.Add(rescan)
	if err := l.scan(); err != nil {
		l.node.log.Debug("interfaces could not be listed", "err", err)
	}
	l.node.locate()
}

// addrs returns the addresses of the interfaces used, loopback last.
func (l *lan) addrs() (out []netip.Addr) {
	links := l.links.Load()
	if links == nil {
		return nil
	}
	for _, loopback := range []bool{false, true} {
		for _, link := range *links {
			if link.Loopback != loopback {
				continue
			}
			for _, p := range link.Addrs {
				out = append(out, p.Addr())
			}
		}
	}
	return out
}

// local reports whether an address lies on one of the interfaces used.
func (l *lan) local(a netip.Addr) bool {
	links := l.links.Load()
	return links != nil && links.Local(a)
}

// own reports whether an address is this machine's.
func (l *lan) own(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	links := l.links.Load()
	return links != nil && links.Own(a)
}

// hurry asks the local network again who is there.
func (l *lan) hurry() {
	if l.lsd != nil {
		l.lsd.Solicit()
	}
}

func (l *lan) close() {
	if l.lsd != nil {
		l.lsd.Close()
	}
}

// heard takes an address that local discovery brought.
func (n *Node) heard(ih Infohash, ap netip.AddrPort) {
	it := n.eng.item(ih)
	if it == nil || it.private.Load() || n.isSelf(ap) || !n.mayDial(ap) {
		return
	}
	n.learn(it, ap, fromLAN)
	it.book.alive(ap)
	// A complete node calls back too: a newcomer may never hear of it, because it
	// announces itself seldom.
	n.dialSome(it, it.state == StateSeeding)
}

// announceAll tells local discovery and the DHT which torrents this node takes part in.
func (n *Node) announceAll() {
	for _, it := range n.items {
		n.tellDHT(it)
	}
	if n.lan.lsd == nil {
		return
	}
	var hashes [][20]byte
	for _, it := range n.items {
		if !it.private.Load() && it.state != StateFailed {
			hashes = append(hashes, [20]byte(it.hash))
		}
	}
	if err := n.lan.lsd.Announce(hashes, n.Port()); err != nil {
		n.log.Warn("local discovery does not announce everything", "err", err)
	}
}

// Offer tells the local network what can be had here. It replaces what was offered
// of the same channel and writer; an offer without an update ends that.
func (n *Node) Offer(o discover.Offer) error {
	if n.lan.lsd == nil {
		return nil
	}
	o.Port = n.Port()
	b, err := o.Marshal()
	if err != nil {
		return err
	}
	l := n.lan
	l.mu.Lock()
	defer l.mu.Unlock()
	key := o.ID + "/" + o.Writer
	if len(o.Update) > 0 {
		l.offers[key] = b
	} else {
		delete(l.offers, key)
	}
	return l.lsd.Offer(slices.Collect(maps.Values(l.offers))...)
}

// Solicit asks everybody on the local network for their offers.
func (n *Node) Solicit() { n.lan.hurry() }

// reachable returns the addresses under which others may reach this machine:
// global ones before private ones before loopback, IPv4 before IPv6, without
// link-local ones, which need a zone that differs on every machine.
func reachable(names []string) []netip.Addr {
	links, err := discover.ScanLinks(names)
	if err != nil {
		return nil
	}
	var ranked [6][]netip.Addr
	for _, link := range links {
		for _, p := range link.Addrs {
			a := p.Addr()
			if a.IsLinkLocalUnicast() {
				continue
			}
			rank := 0
			switch {
			case a.IsLoopback():
				rank = 4
			case a.IsPrivate():
				rank = 2
			}
			if a.Is6() {
				rank++
			}
			ranked[rank] = append(ranked[rank], a)
		}
	}
	var out []netip.Addr
	for _, group := range ranked {
		out = append(out, group...)
	}
	if len(out) > 1 {
		// Loopback helps only where nothing else does.
		var global []netip.Addr
		for _, a := range out {
			if !a.IsLoopback() {
				global = append(global, a)
			}
		}
		if len(global) > 0 {
			return global
		}
	}
	return out
}
