package swarm

import (
	"hash/fnv"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"handful/swarm/policy"
)

// This file is the origin's side of the economy: it carries out the grants of package
// policy, and refuses what was not granted.

// startGrants opens the account of an origin's torrent.
func (n *Node) startGrants(it *Item) {
	if !it.origin || it.torrent == nil {
		return
	}
	n.eng.uplink.spend()
	pieces := it.torrent.NumPieces()
	it.grants = policy.NewGrants(policy.Config{
		Pieces:      pieces,
		PieceLength: it.torrent.PieceLength,
		Handful:     n.cfg.Handful,
		Order:       n.cfg.Rand.Perm(pieces),
	})
}

// sayReady tells a peer that grants can be used here.
func (n *Node) sayReady(l *link) {
	if l.item.state == StateFetching && l.item.host.head == nil && l.ours.Load() {
		n.eng.send(l, extSwarm, []byte{kindReady})
	}
}

// joinGrants enters a leecher: one of ours when it is ready, a foreign one when it is
// clear that it is that.
func (n *Node) joinGrants(l *link) {
	it := l.item
	if it.grants == nil || l.origin.Load() || it.haves[l.id] || l.tap == nil {
		return
	}
	it.haves[l.id] = true
	have := l.claims.snapshot()
	if have == nil {
		have = policy.NewSet(int(it.pieces.Load()))
		for i := range int(it.pieces.Load()) {
			have.Add(i)
		}
	}
	near, group := n.placeOf(l)
	key := peerKey(l.pc.PeerID, it.hash)
	it.grants.Join(policy.Peer(l.id), policy.Leecher{Have: have, Member: l.ours.Load(), Near: near, Group: group, Key: key}, n.elapsed())
	n.usePace(l)
	n.stir(it)
}

// placeOf tells whether a leecher is near this node, and numbers the group of peers
// that it is one of: by its label, or by its network.
func (n *Node) placeOf(l *link) (near bool, group uint64) {
	h := fnv.New64a()
	if site := n.siteOf(l); site != "" {
		h.Write([]byte(site))
	} else {
		bits := 24
		if l.remote.Addr().Is6() {
			bits = 48
		}
		p, _ := l.remote.Addr().Prefix(bits)
		h.Write(p.Addr().AsSlice())
	}
	return Tier(l.tier.Load()) <= TierSite, h.Sum64()
}

// An origin keeps visits free for those who know nobody yet: they are told of others
// and make room.
const (
	visits    = 16
	visitSpan = 10 * time.Second
	// In a swarm without content others are told of within a second or two.
	gossipVisitSpan = 3 * time.Second
)

// endVisits closes the oldest connections of leechers that are not granted anything,
// when few are left. So does every node for the news of a channel with connections that
// others have made: who knows only this node must get in, to learn of the others.
func (n *Node) endVisits(it *Item, now time.Time) {
	excess := len(it.links) - (maxConns - visits)
	if it.grants == nil && it.gossip == nil || excess <= 0 {
		return
	}
	for _, l := range it.sortedLinks() {
		if excess <= 0 {
			return
		}
		over := it.gossip != nil && !l.outgoing && now.Sub(l.since) >= gossipVisitSpan && len(l.pex.told) > 0 ||
			it.grants != nil && now.Sub(l.since) >= visitSpan && !it.grants.InRing(policy.Peer(l.id))
		if over {
			l.pc.Close()
			excess--
		}
	}
}

// giveGrants tells leechers of the pieces that the account grants them.
func (n *Node) giveGrants(it *Item) {
	if it.grants == nil {
		return
	}
	for id, l := range it.links {
		if !it.haves[id] {
			continue
		}
		if sent, at := l.tap.sentData(); sent > 0 {
			it.grants.Sent(policy.Peer(id), at.Sub(n.started))
		}
	}
	byPeer := make(map[policy.Peer][]int)
	for _, g := range it.grants.Next(n.elapsed(), policy.Uplink{Rate: it.up.rate, Idle: n.eng.uplink.idle()}) {
		byPeer[g.Peer] = append(byPeer[g.Peer], g.Piece)
	}
	for p, pieces := range byPeer {
		if l := it.links[uint64(p)]; l != nil {
			n.grant(l, pieces)
		}
	}
}

func (n *Node) grant(l *link, pieces []int) {
	for _, p := range pieces {
		l.granted.add(p, l.item.pieces.Load())
	}
	if !l.ours.Load() {
		l.tap.reveal(pieces)
		return
	}
	for len(pieces) > 0 {
		k := min(len(pieces), maxPieceList)
		n.eng.send(l, extSwarm, pieceList(kindGrant, pieces[:k]))
		pieces = pieces[k:]
	}
}

// refused drops a request for what the origin did not grant, and takes it for hunger.
// It runs in the engine's callback.
func (e *engine) refused(l *link, m *pp.Message) bool {
	it := l.item
	if !it.origin || l.tap == nil || l.granted.has(int(m.Index)) {
		return false
	}
	if _, fast := l.tap.serves(); fast {
		l.tap.inject(pp.Message{Type: pp.Reject, Index: m.Index, Begin: m.Begin, Length: m.Length})
	}
	if piece := int(m.Index); l.ours.Load() && m.Begin == 0 {
		e.node.tell(l, 0, func() { e.node.hungry(l, []int{piece}) })
	}
	*m = pp.Message{Keepalive: true}
	return true
}

// hungry enters what a leecher cannot get from anybody else.
func (n *Node) hungry(l *link, pieces []int) {
	if g := l.item.grants; g != nil && seldom(&l.hungryIn, n.cfg.Now()) {
		g.Hungry(policy.Peer(l.id), pieces)
		n.stir(l.item)
	}
}
