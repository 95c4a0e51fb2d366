package tracker

import (
	"container/list"
	"math/rand/v2"
	"net/netip"
	"time"
)

// peer is one address and port in one swarm. The Server's lock guards it.
type peer struct {
	swarm  *swarm
	addr   netip.AddrPort
	id     [20]byte
	key    uint64 // of the parameter "key"; 0: none was given
	seed   bool
	proven bool       // it announced from addr; false: a local sender claimed addr
	origin bool       // Config.IsOrigin said so
	onHost bool       // its sender is on the tracker's host
	host   netip.Addr // the sender's address, invalid when onHost: one host bag for all of those
	payer  netip.Addr // the account that it is registered on
	seen   time.Time
	queued *list.Element // in Server.byAge
	at     [slots]place  // where it stands in the swarm's bags
	drawn  uint64        // the last draw that handed it out
}

// place is where a peer stands in one bag.
type place struct {
	bag   *bag // nil: in none of this kind
	index int
}

// Each peer is in one bag of each of these kinds; an origin in slotAll alone, and
// in the swarm's list of origins.
const (
	slotAll = iota
	slotHost
	slotNetwork
	slotClass
	slots
)

// bag holds peers from which some are drawn at random, without a copy and in time
// proportional to the number drawn. Seeds stand apart, since seeds are not told of
// them.
type bag struct {
	slot  int
	lists [2][]*peer // leechers, seeds
}

func which(p *peer) int {
	if p.seed {
		return 1
	}
	return 0
}

func (b *bag) len() int { return len(b.lists[0]) + len(b.lists[1]) }

func (b *bag) add(p *peer) {
	l := &b.lists[which(p)]
	p.at[b.slot] = place{bag: b, index: len(*l)}
	*l = append(*l, p)
}

func (b *bag) remove(p *peer) {
	l := &b.lists[which(p)]
	last := len(*l) - 1
	b.swap(*l, p.at[b.slot].index, last)
	(*l)[last] = nil
	*l = (*l)[:last]
	p.at[b.slot] = place{}
}

func (b *bag) swap(l []*peer, i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].at[b.slot].index = i
	l[j].at[b.slot].index = j
}

// draw shows take one random peer after the other, none twice, until it says that
// it has enough or the bag is empty. The peers shown move to the front: this is
// the start of a Fisher-Yates shuffle in place.
func (b *bag) draw(r *rand.Rand, seeds bool, take func(*peer) (more bool)) {
	if b == nil {
		return
	}
	var shown [2]int
	for {
		left := len(b.lists[0]) - shown[0]
		n := left
		if seeds {
			n += len(b.lists[1]) - shown[1]
		}
		if n == 0 {
			return
		}
		pick, w := r.IntN(n), 0
		if pick >= left {
			pick, w = pick-left, 1
		}
		l := b.lists[w]
		b.swap(l, shown[w], shown[w]+pick)
		p := l[shown[w]]
		shown[w]++
		if !take(p) {
			return
		}
	}
}

// swarm is the peers of one infohash. The Server's lock guards it.
type swarm struct {
	infohash   [20]byte
	downloaded int
	peers      map[netip.AddrPort]*peer
	all        bag
	hosts      map[netip.Addr]*bag
	networks   map[netip.Prefix]*bag
	classes    [classes][2]bag // by address family: IPv4, IPv6
	origins    []*peer
}

func newSwarm(infohash [20]byte) *swarm {
	s := &swarm{
		infohash: infohash,
		peers:    make(map[netip.AddrPort]*peer),
		all:      bag{slot: slotAll},
		hosts:    make(map[netip.Addr]*bag),
		networks: make(map[netip.Prefix]*bag),
	}
	for c := range s.classes {
		s.classes[c] = [2]bag{{slot: slotClass}, {slot: slotClass}}
	}
	return s
}

func family(a netip.Addr) int {
	if a.Is6() {
		return 1
	}
	return 0
}

func (s *swarm) add(p *peer) {
	p.swarm = s
	s.peers[p.addr] = p
	s.all.add(p)
	if p.origin {
		s.origins = append(s.origins, p)
		return
	}
	ip := p.addr.Addr()
	bagOf(s.hosts, p.host, slotHost).add(p)
	bagOf(s.networks, network(ip), slotNetwork).add(p)
	s.classes[classOf(ip)][family(ip)].add(p)
}

func bagOf[K comparable](m map[K]*bag, k K, slot int) *bag {
	b, ok := m[k]
	if !ok {
		b = &bag{slot: slot}
		m[k] = b
	}
	return b
}

func (s *swarm) remove(p *peer) {
	delete(s.peers, p.addr)
	for i := range p.at {
		if b := p.at[i].bag; b != nil {
			b.remove(p)
		}
	}
	for i, o := range s.origins {
		if o == p {
			s.origins = append(s.origins[:i], s.origins[i+1:]...)
			break
		}
	}
	if b := s.hosts[p.host]; b != nil && b.len() == 0 {
		delete(s.hosts, p.host)
	}
	if n := network(p.addr.Addr()); s.networks[n] != nil && s.networks[n].len() == 0 {
		delete(s.networks, n)
	}
}

// silent returns the longest silent of a few peers chosen at random, or nil if the
// swarm is empty.
func (s *swarm) silent(r *rand.Rand) (oldest *peer) {
	const sample = 8
	n := 0
	s.all.draw(r, true, func(p *peer) bool {
		if oldest == nil || p.seen.Before(oldest.seen) {
			oldest = p
		}
		n++
		return n < sample
	})
	return oldest
}
