package swarm

import (
	"crypto/sha256"
	"slices"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"handful/swarm/policy"
)

// This file is the leecher's side of the economy: what peers claim goes into the
// item's policy.Sight, and what that lets this node see is told to the engine as
// messages that the peer might have sent.

// roleWait is how long a peer may take to say who it is.
const roleWait = 3 * time.Second

// manyShows is how many pieces are shown one by one; more go into one bitfield.
const manyShows = 16

// elapsed is the time since the node's start, which package policy counts in.
func (n *Node) elapsed() time.Duration { return n.cfg.Now().Sub(n.started) }

// peerKey is a peer's name in the drawing of turns.
func peerKey(id [20]byte, ih Infohash) policy.Key {
	return policy.NewKey(sha256.Sum256(append(id[:], ih[:]...)))
}

// startSight opens the table of an item that begins to fetch.
func (n *Node) startSight(it *Item) {
	pieces := it.torrent.NumPieces()
	it.wanted, it.early = policy.NewSet(pieces), policy.NewSet(pieces)
	it.sight = policy.NewSight(policy.SightConfig{
		Pieces:      pieces,
		PieceLength: it.torrent.PieceLength,
		Self:        peerKey(n.eng.cl.PeerID(), it.hash),
		Start:       n.cfg.Rand.IntN(pieces),
	})
	it.paceOwn = 0
	it.sight.Fed(n.elapsed()) // nothing was to be had before
	lacking := 0
	for i := range pieces {
		if done, _ := it.content.State(i); done {
			it.sight.Got(i, n.elapsed())
		} else if lacking++; lacking == 1 {
			n.wantShown(it, []int{i}) // the engine connects to nobody while it wants nothing and has nothing
		}
	}
	for _, l := range it.sortedLinks() {
		n.joinSight(l)
	}
}

// identified runs when it is clear what a peer is.
func (n *Node) identified(l *link) {
	if l.known {
		return
	}
	l.known = true
	n.joinSight(l)
	n.joinOffers(l)
	if !l.ours.Load() {
		n.joinGrants(l)
	}
}

// joinSight enters a peer into the table, with what it has said so far. Connections
// whose messages cannot be changed are left to the engine.
func (n *Node) joinSight(l *link) {
	it := l.item
	if it.sight == nil || !l.known || l.gives() {
		return
	}
	if l.tap == nil {
		n.wantAll(it)
		return
	}
	role, tier := policy.Foreign, policy.Tier(l.tier.Load())
	switch {
	case l.origin.Load():
		role = policy.Publisher
	case l.ours.Load():
		role = policy.Member
	}
	now := n.elapsed()
	if role == policy.Member {
		l.tap.mayAsk()
	}
	it.sight.Join(policy.Peer(l.id), peerKey(l.pc.PeerID, it.hash), tier, role, now)
	n.placeSight(l)
	if role != policy.Publisher {
		it.sight.HasSet(policy.Peer(l.id), l.claims.snapshot(), now)
	}
	n.usePace(l)
	n.stir(it)
}

// claimed enters what a peer said that it has: a piece, or, if that is below 0, all
// that its claims hold.
func (n *Node) claimed(l *link, piece int) {
	it := l.item
	p, now := policy.Peer(l.id), n.elapsed()
	set := func() policy.Set {
		if piece >= 0 {
			return nil
		}
		return l.claims.snapshot()
	}()
	if it.sight != nil && !l.origin.Load() {
		if piece >= 0 {
			it.sight.Has(p, piece, now)
		} else {
			it.sight.HasSet(p, set, now)
		}
	}
	if it.offers != nil {
		n.offerLess(l, piece, set)
	}
	if it.grants != nil && !it.haves[l.id] && piece < 0 && set == nil {
		n.joinGrants(l) // a seed has nothing to be ready for
	}
	if it.grants != nil && it.haves[l.id] {
		if piece >= 0 {
			it.grants.Have(p, piece, now)
		} else {
			for i := range int(it.pieces.Load()) {
				if set == nil || set.Has(i) {
					it.grants.Have(p, i, now)
				}
			}
		}
	}
	n.stir(it)
	n.hostHas(l)
}

// stir asks for settle after what the loop is doing.
func (n *Node) stir(it *Item) { n.stirred[it] = true }

// settle carries out what the policy of stirred items has decided.
func (n *Node) settle() {
	for it, fresh := range n.learned {
		delete(n.learned, it)
		if n.items[it.hash] == it {
			n.meet(it, fresh)
		}
	}
	offers := false
	for it := range n.stirred {
		delete(n.stirred, it)
		if n.items[it.hash] == it {
			n.giveGrants(it)
			n.showPieces(it)
			offers = offers || it.offers != nil
		}
	}
	if offers {
		n.makeOffers()
	}
}

// showPieces tells the engine what it may see now.
func (n *Node) showPieces(it *Item) {
	if it.sight == nil {
		return
	}
	byPeer := make(map[policy.Peer][]policy.Show)
	for _, s := range it.sight.Take() {
		byPeer[s.Peer] = append(byPeer[s.Peer], s)
	}
	for p, shows := range byPeer {
		if l := it.links[uint64(p)]; l != nil {
			pieces := make([]int, len(shows))
			for i, s := range shows {
				pieces[i] = s.Piece
			}
			n.wantShown(it, pieces)
			n.askWhole(l, shows)
			if !n.tellShown(l, pieces) {
				l.pc.Close() // it reads nothing, and the engine must not miss this
			}
		}
	}
}

// wantShown lets the engine ask for pieces that are shown somewhere. It goes through all
// that it may ask for whenever anything comes, so it is told of no others.
func (n *Node) wantShown(it *Item, pieces []int) {
	var news []int
	for _, p := range pieces {
		if !it.wanted.Has(p) && !slices.Contains(it.host.held, p) && !slices.Contains(it.web.held, p) { // those are wanted when they are released
			it.wanted.Add(p)
			news = append(news, p)
		}
	}
	slices.Sort(news)
	n.eng.want(it, news, true)
}

// wantAll lets it ask for everything, since there is a peer whose claims it hears itself.
func (n *Node) wantAll(it *Item) {
	all := make([]int, it.pieces.Load())
	for i := range all {
		all[i] = i
	}
	n.wantShown(it, all)
}

func (n *Node) tellShown(l *link, pieces []int) bool {
	if len(pieces) <= manyShows {
		for _, p := range pieces {
			if !l.tap.hear(pp.Message{Type: pp.Have, Index: pp.Integer(p)}) {
				return false
			}
		}
		return true
	}
	shown := l.item.sight.Shown(policy.Peer(l.id))
	bits := make([]bool, (int(l.item.pieces.Load())+7)/8*8) // the engine demands whole bytes
	for i := range bits {
		bits[i] = shown.Has(i)
	}
	return l.tap.hear(pp.Message{Type: pp.Bitfield, Bitfield: bits})
}

// look does what is due by time for what this node sees.
func (n *Node) look(it *Item, now time.Time) {
	for _, l := range it.links {
		if !l.known && now.Sub(l.since) >= roleWait {
			n.identified(l)
		}
		if l.claims.missed(false) {
			n.claimed(l, -1)
		}
	}
	if it.sight == nil {
		return
	}
	at := n.elapsed()
	for _, l := range it.links {
		it.sight.Received(policy.Peer(l.id), l.useful.Load(), at)
	}
	it.sight.Tick(at, it.content.Complete())
	n.sayHungry(it, at)
	n.stir(it)
}

// sayHungry tells an origin what nobody else gives.
func (n *Node) sayHungry(it *Item, at time.Duration) {
	for _, l := range it.sortedLinks() {
		if l.origin.Load() {
			if lacking := it.sight.Hungry(at); len(lacking) > 0 {
				n.eng.send(l, extSwarm, pieceList(kindHungry, lacking))
			}
			return
		}
	}
}
