package swarm

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"handful/swarm/policy"
)

// This file keeps the account of how the pieces of an item came: from whom, through
// which tier, how long they waited and why they did not come from nearer.

const (
	maxCells  = 1 << 16 // accounts of an item; of larger torrents one is of several pieces
	maxShares = 8       // senders that an account names
	maxPast   = 4096    // peers of an item that are remembered when they have left
)

// share is what one peer sent of a piece. A peer whose tier changes has several.
type share struct {
	link  uint64 // 0: peers that are not named
	tier  Tier
	bytes int64
}

// cell is the account of one piece, or of as many as ledger.stride.
type cell struct {
	most   share  // by who sent most; all zero while there is none
	pieces uint32 // that came
	waited float32
	keeper uint64 // link that kept the piece waiting; 0: none
	reason policy.Reason
	views  uint8
}

// ledger holds the accounts of an item. The node's loop owns it.
type ledger struct {
	stride int
	cells  []cell
	others map[int][]share // by cell: who else sent something, most first
}

// open makes room for the accounts of a torrent.
func (l *ledger) open(pieces int) {
	if l.stride > 0 {
		return
	}
	l.stride = max(1, (pieces+maxCells-1)/maxCells)
	l.cells = make([]cell, (pieces+l.stride-1)/l.stride)
	l.others = make(map[int][]share)
}

// add enters a piece that has come.
func (l *ledger) add(piece int, sent []share, why cell) {
	at := piece / l.stride
	if piece < 0 || at >= len(l.cells) {
		return
	}
	c := &l.cells[at]
	all := l.others[at]
	if c.most.bytes > 0 {
		all = append([]share{c.most}, all...)
	}
	all = merge(all, sent)
	if c.pieces == 0 || why.waited > c.waited {
		c.waited, c.keeper, c.reason, c.views = why.waited, why.keeper, why.reason, why.views
	}
	c.pieces++
	c.most = all[0]
	delete(l.others, at)
	if len(all) > 1 {
		l.others[at] = all[1:]
	}
}

// merge adds up what peers sent, most first. Beyond maxShares they are not named.
func merge(all, more []share) []share {
	all = slices.Clone(all)
	enter := func(s share) {
		i := slices.IndexFunc(all, func(o share) bool { return o.link == s.link && o.tier == s.tier })
		if i < 0 {
			all = append(all, s)
		} else {
			all[i].bytes += s.bytes
		}
	}
	for _, s := range more {
		enter(s)
	}
	most := func(a, b share) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.link, b.link), cmp.Compare(a.tier, b.tier))
	}
	slices.SortFunc(all, most)
	if len(all) > maxShares {
		rest := all[maxShares:]
		all = all[:maxShares:maxShares]
		for _, s := range rest {
			s.link = 0
			enter(s)
		}
		slices.SortFunc(all, most)
	}
	return all
}

// shares returns who sent the blocks of a piece.
func (b *blame) shares(piece int) []share {
	b.mu.Lock()
	defer b.mu.Unlock()
	var one [1]share // the usual number
	all := one[:0]
	for _, d := range b.senders[piece] {
		i := slices.IndexFunc(all, func(s share) bool { return s.link == d.from.id && s.tier == d.tier })
		if i < 0 {
			i = len(all)
			all = append(all, share{link: d.from.id, tier: d.tier})
		}
		all[i].bytes += d.size
	}
	return all
}

// account enters a piece that has come. What nobody sent was there before.
func (n *Node) account(it *Item, piece int, sent []share) {
	if it.torrent == nil || len(sent) == 0 {
		return
	}
	it.ledger.open(it.torrent.NumPieces())
	why := cell{reason: policy.Open}
	if it.sight != nil {
		from := slices.MaxFunc(sent, func(a, b share) int { return cmp.Compare(a.bytes, b.bytes) })
		acc := it.sight.Account(piece)
		reason, keeper, kept := acc.Why(policy.Peer(from.link), it.roleOf(from.link))
		why.reason, why.views = reason, uint8(min(acc.Views, 255))
		if kept {
			why.keeper = uint64(keeper)
		}
		if acc.Claimed {
			why.waited = float32((n.elapsed() - acc.Known).Seconds())
		}
	}
	it.ledger.add(piece, sent, why)
}

// Who is a peer as people may know it again, also when it has left.
type Who struct {
	Addr   string `json:"addr"`   // HOST:PORT of the connection; empty: of several peers, or long gone
	Client string `json:"client"` // as the peer names itself; not to be trusted
}

// String returns the address and the name.
func (w Who) String() string {
	switch {
	case w.Addr == "":
		return "a peer that has left"
	case w.Client == "":
		return w.Addr
	}
	return fmt.Sprintf("%s (%s)", w.Addr, w.Client)
}

// roster remembers peers that have left. The node's loop owns it.
type roster map[uint64]pastPeer

type pastPeer struct {
	who    Who
	role   policy.Role
	useful bool // bytes came from it, or were sent to it
}

func (l *link) who() Who {
	w := Who{Addr: l.remote.String()}
	if l.client != "" {
		w.Client = sanitize(l.client)
	}
	return w
}

func (l *link) role() policy.Role {
	switch {
	case l.origin.Load():
		return policy.Publisher
	case l.ours.Load():
		return policy.Member
	}
	return policy.Foreign
}

// remember keeps the name of a peer that leaves, if an account may mention it.
func (it *Item) remember(l *link) {
	useful := l.useful.Load() > 0
	if l.tap != nil && it.grants != nil {
		sent, _ := l.tap.sentData()
		useful = useful || sent > 0
	}
	mentioned := useful || it.haves[l.id] || it.sight != nil && it.sight.Shown(policy.Peer(l.id)).Count() > 0
	if !mentioned {
		return
	}
	if it.past == nil {
		it.past = make(roster)
	}
	if len(it.past) >= maxPast && !it.past.forget(useful) {
		return
	}
	it.past[l.id] = pastPeer{l.who(), l.role(), useful}
}

// forget makes room: for a useful peer in the place of one that was not.
func (r roster) forget(useful bool) bool {
	if !useful {
		return false
	}
	for id, p := range r {
		if !p.useful {
			delete(r, id)
			return true
		}
	}
	return false
}

func (it *Item) roleOf(id uint64) policy.Role {
	if l := it.links[id]; l != nil {
		return l.role()
	}
	return it.past[id].role
}

func (it *Item) whoIs(id uint64) Who {
	if l := it.links[id]; l != nil {
		return l.who()
	}
	return it.past[id].who
}

// PieceState says where a piece stands in an Explanation.
type PieceState string

// The states of a piece.
const (
	PieceReceived PieceState = "received" // from peers, since the node has the item
	PieceReused   PieceState = "reused"   // it was on disk and verified
	PieceExpected PieceState = "expected" // seen at a peer, and not here yet
	PieceMissing  PieceState = "missing"  // not seen anywhere
)

// Delivery is what one peer sent of a piece.
type Delivery struct {
	From  Who
	Tier  Tier
	Bytes int64
}

// PieceAccount tells how a piece came here, or why it has not. Of torrents of more
// than 65536 pieces it is of a run of Pieces ones between First and Last, and Reason,
// Waited, Views and Kept are of the one of them that waited longest.
type PieceAccount struct {
	First, Last int
	Pieces      int
	State       PieceState
	From        []Delivery // who sent it, most first; of an expected piece, who is to send it
	Reason      policy.Reason
	Kept        Who           // who kept it waiting, when Reason is policy.Spill
	Claimed     bool          // somebody is known to have it
	Waited      time.Duration // since somebody was known to have it
	Views       int           // members of the swarm that it was shown at
}

// Explanation tells how an item came.
type Explanation struct {
	Item        ItemSnapshot
	PieceLength int64
	Pieces      []PieceAccount // in order
}

// Explain returns the account of every piece. It is kept until the item is removed.
func (it *Item) Explain() (e Explanation) {
	it.node.view(func() {
		e.Item = it.node.itemSnapshot(it)
		if it.torrent == nil || it.content == nil {
			return
		}
		e.PieceLength = it.torrent.PieceLength
		it.ledger.open(it.torrent.NumPieces())
		for at := range it.ledger.cells {
			e.Pieces = it.node.explainCell(e.Pieces, it, at)
		}
	})
	return e
}

// explainCell appends what there is to say of the pieces of a cell: of those that
// came, those that were there, and those that lack.
func (n *Node) explainCell(out []PieceAccount, it *Item, at int) []PieceAccount {
	c, stride := it.ledger.cells[at], it.ledger.stride
	first := at * stride
	last := min(first+stride, it.torrent.NumPieces()) - 1
	here, lacking, lack := 0, 0, -1
	for i := first; i <= last; i++ {
		if done, _ := it.content.State(i); done {
			here++
		} else if lacking++; lack < 0 {
			lack = i
		}
	}
	received := min(int(c.pieces), here)
	run := func(pieces int) PieceAccount { return PieceAccount{First: first, Last: last, Pieces: pieces} }
	if received > 0 {
		p := run(received)
		p.State, p.Reason, p.Views, p.Claimed = PieceReceived, c.reason, int(c.views), true
		p.Waited = time.Duration(float64(c.waited) * float64(time.Second))
		if c.keeper != 0 {
			p.Kept = it.whoIs(c.keeper)
		}
		for _, s := range append([]share{c.most}, it.ledger.others[at]...) {
			p.From = append(p.From, Delivery{From: it.whoIs(s.link), Tier: s.tier, Bytes: s.bytes})
		}
		out = append(out, p)
	}
	if reused := here - received; reused > 0 {
		p := run(reused)
		p.State = PieceReused
		out = append(out, p)
	}
	if lacking > 0 {
		out = append(out, n.explainLacking(it, lack, run(lacking)))
	}
	return out
}

// explainLacking says what is known of a piece that is not here.
func (n *Node) explainLacking(it *Item, piece int, p PieceAccount) PieceAccount {
	p.State = PieceMissing
	if it.sight == nil {
		return p
	}
	acc := it.sight.Account(piece)
	p.Claimed, p.Views = acc.Claimed, acc.Views
	if acc.Claimed {
		p.Waited = n.elapsed() - acc.Known
	}
	if acc.Reason == policy.Unseen {
		return p
	}
	p.State = PieceExpected
	why, keeper, kept := acc.Why(acc.Peer, it.roleOf(uint64(acc.Peer)))
	p.Reason = why
	if kept {
		p.Kept = it.whoIs(uint64(keeper))
	}
	d := Delivery{From: it.whoIs(uint64(acc.Peer)), Tier: TierFar}
	if l := it.links[uint64(acc.Peer)]; l != nil {
		d.Tier = Tier(l.tier.Load())
	}
	p.From = []Delivery{d}
	return p
}

// GrantedPiece tells whom an origin let see a piece.
type GrantedPiece struct {
	Piece int
	Times int   // that it was granted
	Held  int   // leechers that are connected and have it
	To    []Who // in order; of many, the first eight
}

// Granted returns the pieces of an origin's item that were ever granted, in order;
// nothing for others.
func (it *Item) Granted() (out []GrantedPiece) {
	it.node.view(func() {
		if it.grants == nil {
			return
		}
		for i := range int(it.pieces.Load()) {
			g := GrantedPiece{Piece: i}
			if g.Times, g.Held = it.grants.Copies(i); g.Times == 0 {
				continue
			}
			for _, p := range it.grants.Grantees(i) {
				g.To = append(g.To, it.whoIs(uint64(p)))
			}
			out = append(out, g)
		}
	})
	return out
}
