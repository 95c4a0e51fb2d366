package swarm

import (
	"hash/fnv"
	"net/netip"

	"handful/swarm/policy"
)

// nearness is what a peer's tier depends on.
type nearness struct {
	origin      bool   // the publisher's seed
	own         bool   // loopback or one of this machine's addresses
	linked      bool   // inside a prefix of our interfaces
	sameMachine bool   // it says that it is on this machine
	here, there string // site labels, ours and the peer's; empty: unknown
	quick       bool   // answers as fast as a neighbour
}

// tier classifies a peer. A claim alone brings nobody nearer than its site: the
// address must fit. Round trips tell of a site only where labels do not contradict.
func (s nearness) tier() Tier {
	switch {
	case s.origin:
		return TierOrigin
	case s.own && s.sameMachine:
		return TierHost
	case s.own || s.linked:
		return TierLink
	case s.here != "" && s.here == s.there:
		return TierSite
	case s.quick && (s.here == "" || s.there == ""):
		return TierSite
	}
	return TierFar
}

// nearness of a peer of which nothing is known but its address.
func (n *Node) nearnessOf(addr netip.Addr) nearness {
	return nearness{own: n.lan.own(addr), linked: n.lan.local(addr)}
}

// firstTier is how near a peer is that has said nothing yet.
func (n *Node) firstTier(addr netip.Addr) Tier {
	if n.cfg.Blind {
		return TierFar
	}
	return n.nearnessOf(addr).tier()
}

// retier decides anew how near a link's peer is.
func (n *Node) retier(l *link) {
	s := n.nearnessOf(l.remote.Addr())
	s.here, s.there = n.site, n.siteOf(l)
	s.quick = l.life.quick && !l.origin.Load()
	s.sameMachine = l.hello != nil && l.hello.Machine == machineTag(n.cfg.MachineID, l.item.hash)
	if l.tap != nil {
		near := s.tier() < TierFar // an origin too, by where it is
		l.tap.place(n.classOf(near), !near)
	}
	s.origin = l.origin.Load()
	t := s.tier()
	if n.cfg.Blind && t != TierOrigin {
		t = TierFar
	}
	l.tier.Store(uint32(t))
	p := policy.Peer(l.id)
	if l.item.sight != nil {
		l.item.sight.Move(p, policy.Tier(t), n.elapsed())
		n.placeSight(l)
		n.stir(l.item)
	}
	n.joinOffers(l)
	if l.item.grants != nil {
		near, group := n.placeOf(l)
		l.item.grants.Place(p, near, group)
	}
}

// placeSight tells an item's table at which sites a peer and this node are.
func (n *Node) placeSight(l *link) {
	number := func(site string) uint64 {
		if site == "" || n.cfg.Blind {
			return 0
		}
		h := fnv.New64a()
		h.Write([]byte(site))
		return h.Sum64()
	}
	l.item.sight.OwnPlace(number(n.site))
	l.item.sight.Place(policy.Peer(l.id), number(n.siteOf(l)))
}

// siteOf returns the label of a peer's site: the map's, which is ours, before the
// peer's own word.
func (n *Node) siteOf(l *link) string {
	if site := n.cfg.SiteMap.Site(l.remote.Addr()); site != "" || l.hello == nil {
		return site
	}
	return l.hello.Site
}

// locate finds out at which site this node is, and classifies all peers again when
// that has changed.
func (n *Node) locate() {
	site := n.cfg.Site
	if site == "" {
		site = siteAmong(n.cfg.SiteMap, n.lan.addrs())
	}
	if site == n.site {
		return
	}
	n.log.Info("this node is at another site", "site", site, "before", n.site)
	n.site = site
	for _, it := range n.items {
		for _, l := range it.links {
			n.retier(l)
		}
	}
}

// siteAmong returns the label of the first address that the map knows.
func siteAmong(m *policy.SiteMap, addrs []netip.Addr) string {
	for _, a := range addrs {
		if site := m.Site(a); site != "" {
			return site
		}
	}
	return ""
}
