package swarm

import (
	"handful/swarm/policy"
)

// This file is the sending side among equals: it carries out what policy.Offers decides,
// and answers the offers of others.

// startOffers opens the account of what is offered to equals, once there is anything that
// could be.
func (n *Node) startOffers(it *Item) {
	if it.offers != nil || it.origin || it.torrent == nil || it.content == nil || it.gossip != nil {
		return
	}
	pieces := it.torrent.NumPieces()
	it.offers = policy.NewOffers(peerKey(n.eng.cl.PeerID(), it.hash), pieces, it.torrent.PieceLength)
	for i := range pieces {
		if done, _ := it.content.State(i); done {
			it.offers.Got(i)
		}
	}
	for _, l := range it.sortedLinks() {
		n.joinOffers(l)
	}
	n.stir(it)
}

// joinOffers enters an equal, or takes out who is none any more.
func (n *Node) joinOffers(l *link) {
	o := l.item.offers
	if o == nil || !l.known || l.tap == nil || !l.ours.Load() || l.origin.Load() {
		return
	}
	if Tier(l.tier.Load()) > TierSite {
		o.Leave(policy.Peer(l.id))
		return
	}
	o.Join(policy.Peer(l.id), peerKey(l.pc.PeerID, l.item.hash))
	l.taken = l.tap.asked.Load()
	n.offerLess(l, -1, l.claims.snapshot())
}

// offerLess takes note of a piece that a peer has; if that is below 0, of those of a set,
// nil meaning all.
func (n *Node) offerLess(l *link, piece int, set policy.Set) {
	o := l.item.offers
	if piece >= 0 {
		o.Has(policy.Peer(l.id), piece)
		return
	}
	for i := range int(l.item.pieces.Load()) {
		if set == nil || set.Has(i) {
			o.Has(policy.Peer(l.id), i)
		}
	}
}

// lineLow runs when little is left to send, in a goroutine of its own.
func (n *Node) lineLow() {
	if !n.mail.tryPost(n.makeOffers) {
		n.eng.uplink.told.Store(false)
	}
}

// makeOffers offers equals as much as there is room for on the line.
func (n *Node) makeOffers() {
	u := n.eng.uplink
	rate, now := u.rate(), n.elapsed()
	due, ahead, any := int64(0), int64(0), false
	for _, it := range n.items {
		if it.offers == nil || it.offers.Idle() {
			continue
		}
		for _, l := range it.links {
			if l.tap != nil {
				if asked := l.tap.asked.Load(); asked != l.taken {
					it.offers.Asked(policy.Peer(l.id), asked-l.taken, now)
					l.taken = asked
				}
			}
		}
		due += it.offers.Due()
		ahead = max(ahead, it.offers.Ahead(rate))
		any = true
	}
	if !any {
		u.low.Store(0)
		u.told.Store(false)
		return
	}
	room := ahead - due - u.waiting.Load()
	for _, it := range n.items {
		if it.offers == nil || it.offers.Idle() {
			continue
		}
		byPeer, before := make(map[policy.Peer][]int), it.offers.Due()
		for _, o := range it.offers.Next(now, room) {
			byPeer[o.Peer] = append(byPeer[o.Peer], o.Piece)
		}
		more := it.offers.Due() - before
		room, due = room-more, due+more
		for p, pieces := range byPeer {
			if l := it.links[uint64(p)]; l != nil {
				n.eng.send(l, extSwarm, pieceList(kindOffer, pieces))
			}
		}
	}
	u.low.Store(ahead - due)
	u.told.Store(false)
}

// offered answers a peer that has room for pieces.
func (n *Node) offered(l *link, pieces []int) {
	it := l.item
	var passed []int
	for _, piece := range pieces {
		l.claims.add(piece, it.pieces.Load())
		if it.offers != nil {
			it.offers.Has(policy.Peer(l.id), piece)
		}
		if it.sight == nil || l.origin.Load() || !it.sight.Offered(policy.Peer(l.id), piece, n.elapsed()) {
			passed = append(passed, piece)
		}
	}
	if len(passed) > 0 && l.affords(len(passed)) {
		n.eng.send(l, extSwarm, pieceList(kindPass, passed))
	}
	n.stir(it)
	n.hostHas(l)
}

// passed enters that a peer wants nothing for an offer.
func (n *Node) passed(l *link, pieces []int) {
	if o := l.item.offers; o != nil {
		for _, piece := range pieces {
			o.Passed(policy.Peer(l.id), piece, n.elapsed())
		}
		n.stir(l.item)
	}
}

// sayHaves tells at once what this node has, since it has nothing to send.
func (n *Node) sayHaves() {
	now := n.cfg.Now()
	for _, it := range n.items {
		for _, l := range it.links {
			if l.tap != nil {
				l.tap.pulse(now, true)
			}
		}
		n.stir(it)
	}
}

// lineIdle runs when there is nothing left to send, in a goroutine of its own: others hear
// at once of what there is, and an origin grants more.
func (n *Node) lineIdle() { n.mail.tryPost(n.sayHaves) }
