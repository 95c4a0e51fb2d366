package swarm

import (
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"handful/swarm/policy"
)

// This file carries out the grants of package policy, on both sides.

// hungerAfter is how long a leecher waits without useful bytes before it tells an
// origin what it lacks; plainAfter is how many unanswered calls make it fall back
// to plain BitTorrent.
const (
	hungerAfter = 2 * time.Second
	plainAfter  = 4
)

// startGrants opens the account of an origin's torrent.
func (n *Node) startGrants(it *Item) {
	if !it.origin || it.torrent == nil {
		return
	}
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
	if l.item.state == StateFetching && l.ours.Load() {
		n.eng.send(l, extSwarm, []byte{kindReady})
	}
}

// joinGrants enters a leecher that is ready.
func (n *Node) joinGrants(l *link) {
	it := l.item
	if it.grants == nil || !l.ours.Load() || l.origin.Load() || it.haves[l.id] {
		return
	}
	has := l.pc.PeerPieces()
	have := policy.NewSet(int(it.pieces.Load()))
	for i := range int(it.pieces.Load()) {
		if has.Contains(uint32(i)) {
			have.Add(i)
		}
	}
	it.haves[l.id] = true
	it.grants.Join(policy.Peer(l.id), policy.Leecher{Have: have, Member: true}, n.elapsed())
	n.giveGrants(it)
}

// peerHas records a leecher's Have.
func (n *Node) peerHas(l *link, piece int) {
	if it := l.item; it.grants != nil && it.haves[l.id] {
		it.grants.Have(policy.Peer(l.id), piece, n.elapsed())
		n.giveGrants(it)
	}
}

// peerBitfield records a leecher's bitfield; nil means that it has everything.
func (n *Node) peerBitfield(l *link, have []bool) {
	it := l.item
	if it.grants == nil || !it.haves[l.id] {
		return // joinGrants asks the engine what it has
	}
	for i := range int(it.pieces.Load()) {
		if have == nil || i < len(have) && have[i] {
			it.grants.Have(policy.Peer(l.id), i, n.elapsed())
		}
	}
	n.giveGrants(it)
}

// elapsed is the time since the node's start, which package policy counts in.
func (n *Node) elapsed() time.Duration { return n.cfg.Now().Sub(n.started) }

func (n *Node) giveGrants(it *Item) {
	if it.grants == nil {
		return
	}
	byPeer := make(map[policy.Peer][]int)
	for _, g := range it.grants.Next(n.elapsed(), it.up.rate) {
		byPeer[g.Peer] = append(byPeer[g.Peer], g.Piece)
	}
	for p, pieces := range byPeer {
		l := it.links[uint64(p)]
		if l == nil {
			continue
		}
		for len(pieces) > 0 {
			k := min(len(pieces), maxPieceList)
			n.eng.send(l, extSwarm, pieceList(kindGrant, pieces[:k]))
			pieces = pieces[k:]
		}
	}
}

// feed helps a leecher that gets nothing: it tells an origin what it lacks, and
// gives up obeying grants when no origin answers.
func (n *Node) feed(it *Item, now time.Time) {
	if it.state != StateFetching || it.plain.Load() {
		return
	}
	if now.Sub(it.lastUseful) < hungerAfter {
		return
	}
	var origin *link
	for _, l := range it.sortedLinks() {
		if l.origin.Load() {
			origin = l
			break
		}
	}
	if origin == nil {
		return
	}
	it.lastUseful = now
	if it.hungrySince++; it.hungrySince > plainAfter {
		n.goPlain(it)
		return
	}
	if lacking := n.lacking(it, 8); len(lacking) > 0 {
		n.eng.send(origin, extSwarm, pieceList(kindHungry, lacking))
	}
}

// goPlain stops obeying grants. The engine learns an origin's pieces from its
// bitfield only, so the connection is made again.
func (n *Node) goPlain(it *Item) {
	n.log.Info("the origin grants nothing, falling back to plain BitTorrent", "torrent", it.hash)
	it.plain.Store(true)
	for _, l := range it.links {
		if l.origin.Load() {
			l.pc.Close()
		}
	}
	it.book.hurry()
}

// lacking returns up to limit pieces that this node lacks, those first that no peer
// shows.
func (n *Node) lacking(it *Item, limit int) []int {
	shown := roaring.New()
	for _, l := range it.links {
		shown.Or(l.pc.PeerPieces())
	}
	var alone, other []int
	for i := range it.torrent.NumPieces() {
		if done, _ := it.content.State(i); done {
			continue
		}
		if !shown.Contains(uint32(i)) {
			if alone = append(alone, i); len(alone) >= limit {
				return alone
			}
		} else if len(other) < limit {
			other = append(other, i)
		}
	}
	if len(alone) > 0 {
		return alone
	}
	return other
}
