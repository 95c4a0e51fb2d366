package tracker

import "net/netip"

// handed is one peer of an answer.
type handed struct {
	addr  netip.AddrPort
	id    [20]byte
	hasID bool
}

const (
	// beyondShare: one place in so many is for peers beyond the asker's host and
	// network, when there are more near ones than fit.
	beyondShare = 8
	// beyondLooks bounds the search for them in a swarm that is nearly all near.
	beyondLooks = 1024
	// originPlaces are kept at the end of an answer: one for each address family.
	originPlaces = 2
)

// picker chooses the peers of one answer, under the Server's lock.
type picker struct {
	s    *Server
	sw   *swarm // nil: no peer is registered
	q    *request
	mark uint64
	near []handed
	far  []handed
}

// pick returns at most q.numWant peers for the sender of q, in the order that
// doc.go tells. self are the origin's own addresses.
func (s *Server) pick(sw *swarm, q *request, self []netip.AddrPort) []handed {
	if q.numWant <= 0 {
		return nil
	}
	s.draws++
	p := &picker{s: s, sw: sw, q: q, mark: s.draws}
	var last []handed
	if q.wantsSeeds() {
		last = p.origins(self)
	}
	// Of a single place the peers have the first refusal.
	room := max(q.numWant-len(last), min(q.numWant, 1))
	if sw != nil {
		p.peers(room)
	}
	out := append(p.near, p.far...)
	if below := s.cfg.OriginBelow; below > 0 && len(out) >= below {
		last = nil
	}
	return append(out, last[:min(len(last), q.numWant-len(out))]...)
}

// peers fills near and far with at most room peers together.
func (p *picker) peers(room int) {
	near := func(room int) {
		p.draw(p.sw.hosts[p.q.host()], room, &p.near, nil)
		p.draw(p.sw.networks[network(p.q.from)], room, &p.near, nil)
	}
	near(room - room/beyondShare)
	p.beyond(room)
	near(room)
}

// beyond fills far from the classes that the asker can reach, looking past peers of
// its own host and network.
func (p *picker) beyond(room int) {
	ip, looks := p.q.from, beyondLooks
	host, net := p.sw.hosts[p.q.host()], p.sw.networks[network(ip)]
	look := func(o *peer) (past, stop bool) {
		looks--
		past = host != nil && o.at[slotHost].bag == host || net != nil && o.at[slotNetwork].bag == net
		return past, looks <= 0
	}
	for _, c := range reachable(classOf(ip), p.q.onHost()) {
		for _, f := range [2]int{family(ip), 1 - family(ip)} {
			// A whole bag that is of no use must not eat up the looks.
			zoned := c == classLinkLocal && f == 1 && !(classOf(ip) == classLinkLocal && ip.Is6())
			if looks > 0 && !zoned && p.q.wants(f) {
				p.draw(&p.sw.classes[c][f], room, &p.far, look)
			}
		}
	}
}

// draw moves peers from b to list until near and far hold room peers together, or
// look, if given, says stop. Peers that look says to look past stay.
func (p *picker) draw(b *bag, room int, list *[]handed, look func(*peer) (past, stop bool)) {
	if len(p.near)+len(p.far) >= room {
		return
	}
	b.draw(p.s.rand, p.q.wantsSeeds(), func(o *peer) bool {
		var past, stop bool
		if look != nil {
			past, stop = look(o)
		}
		if !past && o.drawn != p.mark && p.usable(o.addr) && o.id != p.q.peerID {
			o.drawn = p.mark
			*list = append(*list, handed{addr: o.addr, id: o.id, hasID: true})
		}
		return !stop && len(p.near)+len(p.far) < room
	})
}

// origins lists the places of the origin: the node's own addresses and then peers
// known as origins, of each family at most one.
func (p *picker) origins(self []netip.AddrPort) (out []handed) {
	var have [2]bool
	add := func(h handed) {
		f := family(h.addr.Addr())
		if len(out) < originPlaces && !have[f] && p.usable(h.addr) {
			have[f] = true
			out = append(out, h)
		}
	}
	for _, a := range self {
		add(handed{addr: a})
	}
	if p.sw != nil {
		for _, o := range p.sw.origins {
			if o.id != p.q.peerID {
				add(handed{addr: o.addr, id: o.id, hasID: true})
			}
		}
	}
	// The family that the asker speaks comes first, should only one fit.
	if len(out) == 2 && family(out[0].addr.Addr()) != family(p.q.from) {
		out[0], out[1] = out[1], out[0]
	}
	return out
}

// usable tells whether an address is of use to the asker and not its own.
func (p *picker) usable(a netip.AddrPort) bool {
	ip, q := a.Addr(), p.q
	switch {
	case a == netip.AddrPortFrom(q.from, q.port):
		return false
	case !q.wants(family(ip)):
		return false
	case ip.Is6() && ip.IsLinkLocalUnicast():
		return q.from.Is6() && q.from.IsLinkLocalUnicast()
	case ip.IsLoopback():
		return q.onHost()
	}
	return true
}
