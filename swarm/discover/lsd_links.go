package discover

import (
	"errors"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"
)

// open opens the sockets that are missing, and returns why one could not be.
func (l *LSD) open() error {
	var errs []error
	for i, v6 := range []bool{false, true} {
		if l.senders[i] == nil {
			s, err := newSender(v6)
			if err != nil {
				errs = append(errs, err)
			} else {
				l.senders[i] = s
			}
		}
		for g := range groups {
			if slices.ContainsFunc(l.receivers, func(r *receiver) bool { return r.group == g && r.v6 == v6 }) {
				continue
			}
			r, err := listen(g, v6)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			l.receivers = append(l.receivers, r)
			l.wg.Go(func() { l.hear(r) })
		}
	}
	return errors.Join(errs...)
}

// hear reads a receiver until its socket fails or the LSD is closed.
func (l *LSD) hear(r *receiver) {
	buf := make([]byte, 1<<16)
	for {
		d, err := r.read(buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.log.Warn("multicast socket failed", "group", r.group, "err", err)
			}
			select {
			case l.broken <- r:
			case <-l.quit:
			}
			return
		}
		select {
		case l.packets <- d:
		case <-l.quit:
			return
		}
	}
}

// drop gives up a receiver whose socket failed; the next rescan opens another.
func (l *LSD) drop(r *receiver) {
	r.conn.Close()
	l.receivers = slices.DeleteFunc(l.receivers, func(x *receiver) bool { return x == r })
	l.rescanAt = l.cfg.Now().Add(l.rescanIn)
}

func (l *LSD) closeSockets() {
	for _, r := range l.receivers {
		r.conn.Close()
	}
	for _, s := range l.senders {
		if s != nil {
			s.conn.Close()
		}
	}
}

// rescan looks which interfaces are there, joins and leaves, and starts anew on
// links that are new, have other addresses, or failed.
func (l *LSD) rescan(now time.Time) {
	trouble := len(l.failed) > 0
	if err := l.open(); err != nil {
		l.log.Debug("multicast socket missing", "err", err)
	}
	links, err := ScanLinks(l.cfg.Interfaces)
	if err != nil {
		l.log.Warn("cannot look at the network interfaces", "err", err)
		links, trouble = l.links, true
	}
	links = slices.DeleteFunc(slices.Clone(links), func(k Link) bool {
		return !k.Multicast && !k.Loopback || len(k.Addrs) == 0
	})
	for _, old := range l.links {
		if k, ok := links.byIndex(old.Index); !ok || !reflect.DeepEqual(k, old) {
			l.leave(old)
		}
	}
	for _, link := range links {
		old, known := l.links.byIndex(link.Index)
		l.join(link)
		if !known || !reflect.DeepEqual(link, old) || l.failed[link.Index] {
			l.log.Debug("local discovery", "interface", link.Name, "addrs", link.Addrs)
			l.searches.begin(now, link.Index)
			l.offers.begin(now, link.Index)
			l.queries.begin(now, link.Index)
		}
	}
	l.links = links
	clear(l.failed)
	l.rescanAt = now.Add(l.cfg.rescan)
	if !trouble {
		l.rescanIn = rescanSoon
	} else {
		l.rescanIn = min(2*l.rescanIn, rescanEvery)
	}
}

// join joins both groups on a link, in each family that it speaks.
func (l *LSD) join(link Link) {
	var errs []error
	joined := map[bool]bool{}
	for _, r := range l.receivers {
		if speaks(link, r.v6) && !r.joined[link.Index] {
			if err := r.join(link); err != nil {
				errs = append(errs, err)
				l.log.Debug("cannot join", "err", err)
			}
		}
		if r.joined[link.Index] {
			joined[r.v6] = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.states[link.Index]
	if s == nil {
		s = new(LinkState)
		l.states[link.Index] = s
	}
	s.Name, s.V4, s.V6 = link.Name, joined[false], joined[true]
	if len(errs) > 0 {
		s.Err = errors.Join(errs...)
	}
}

func (l *LSD) leave(link Link) {
	for _, r := range l.receivers {
		r.leave(link)
	}
	l.searches.end(link.Index)
	l.offers.end(link.Index)
	l.queries.end(link.Index)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.states, link.Index)
}

// arrival returns the link on which a datagram came, if it is one in use and the
// sender's address can be on it: who forges another cannot make us dial beyond
// the link.
func (l *LSD) arrival(d datagram) (Link, bool) {
	from := d.from.Addr()
	if d.index != 0 {
		link, ok := l.links.byIndex(d.index)
		// Another client may send on loopback from any of the machine's addresses.
		near := link.contains(from.WithZone("")) || link.Loopback && l.links.Own(from)
		return link, ok && near
	}
	i := slices.IndexFunc(l.links, func(k Link) bool {
		if zone := from.Zone(); zone != "" {
			return k.Name == zone
		}
		return !from.IsLinkLocalUnicast() && k.contains(from)
	})
	if i < 0 {
		return Link{}, false
	}
	return l.links[i], true
}

// account is under which name a sender's rate is limited: one for each machine
// on the link, whatever ports it sends from, but one for each node on our own,
// where many share an address.
func (l *LSD) account(addr netip.Addr, port uint16) netip.AddrPort {
	if !l.links.Own(addr) {
		port = 0
	}
	return netip.AddrPortFrom(addr, port)
}

// receive handles one datagram.
func (l *LSD) receive(now time.Time, d datagram) {
	link, ok := l.arrival(d)
	if !ok {
		return
	}
	addr := d.from.Addr().WithZone("")
	for _, s := range l.senders {
		if s != nil && s.v6 == addr.Is6() && s.port == d.from.Port() && l.links.Own(addr) {
			return // ourselves
		}
	}
	if !l.limits[d.group].allow(now, l.account(addr, d.from.Port())) {
		return
	}
	l.mu.Lock()
	if s := l.states[link.Index]; s != nil {
		s.Heard++
	}
	l.mu.Unlock()
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		addr = addr.WithZone(link.Name)
	}
	from := netip.AddrPortFrom(addr, d.from.Port())
	if d.group == searchGroup {
		l.receiveSearch(now, link, d.data, from)
	} else {
		l.receiveOffer(now, link, d.data, from)
	}
}

func (l *LSD) receiveSearch(now time.Time, link Link, data []byte, from netip.AddrPort) {
	s, err := parseSearch(data)
	if err != nil {
		l.log.Debug("announcement ignored", "from", from, "err", err)
		return
	}
	if s.Cookie == l.cookie {
		return // ourselves, by some detour
	}
	peer := netip.AddrPortFrom(from.Addr(), s.Port)
	for _, ih := range s.Infohashes {
		if !l.hashes[ih] {
			continue
		}
		l.searches.heard(link.Index, ih)
		if l.heard.fresh(now, heardKey{ih, peer}) {
			if !l.newPeers.take(now, newPeersRate, maxNewPeers) {
				continue
			}
			l.searches.owe(now, link.Index, ih)
		}
		if l.cfg.OnPeer != nil {
			l.cfg.OnPeer(ih, peer, link.Name)
		}
	}
}

func (l *LSD) receiveOffer(now time.Time, link Link, data []byte, from netip.AddrPort) {
	switch {
	case string(data) == solicitation:
		for _, payload := range l.offers.items {
			l.offers.owe(now, link.Index, payload)
		}
	case len(data) > 0 && l.cfg.OnOffer != nil:
		l.cfg.OnOffer(data, from, link.Name)
	}
}
