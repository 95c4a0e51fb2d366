package swarm

import (
	"fmt"
	"net/netip"
	"slices"

	"handful/swarm/policy"
)

// This file is the loop's side of connections: what it does when a link comes up,
// says who it is, and goes.

func (n *Node) linkUp(l *link) {
	if n.items[l.item.hash] != l.item {
		return
	}
	l.item.links[l.id] = l
	l.item.changes++
	l.since = n.cfg.Now()
	if l.outgoing {
		l.listenAddr = l.remote
	}
	n.retier(l)
	if !l.pc.PeerExtensionBytes.SupportsExtended() {
		n.identified(l)
	}
}

// linkHandshook runs when the peer's extended handshake has been read.
func (n *Node) linkHandshook(l *link, client string, port int, pex, gossip bool) {
	l.client = client
	if !l.outgoing && port > 0 && port < 1<<16 {
		l.listenAddr = netip.AddrPortFrom(l.remote.Addr(), uint16(port))
	}
	n.retier(l)
	it := l.item
	it.changes++
	if l.ours.Load() && !l.greeted.Swap(true) {
		h := hello{Machine: machineTag(n.cfg.MachineID, it.hash), Site: n.site}
		n.eng.send(l, extSwarm, h.bytes())
		n.sayReady(l)
		n.greetPings(l)
		if l.listenAddr.IsValid() {
			n.known.Heard(l.listenAddr, n.cfg.Now())
		}
	}
	if l.origin.Load() {
		it.book.setOrigin(l.listenAddr)
	}
	n.identified(l)
	l.pex.on = pex && !it.private.Load()
	n.askLayers(it)
	n.hostStep(it)
	if gossip && it.gossip != nil {
		addr := l.listenAddr
		if !addr.IsValid() {
			addr = netip.AddrPortFrom(l.remote.Addr(), 0)
		}
		it.gossip.deliver(gossipEvent{peer: l.id, joined: true, addr: addr, link: l})
	}
}

func (n *Node) linkDown(l *link) {
	it := l.item
	l.closed = true
	if l.ours.Load() && l.received.Load() > 0 && l.listenAddr.IsValid() {
		n.known.Useful(l.listenAddr, n.cfg.Now())
	}
	if _, ok := it.links[l.id]; !ok {
		return
	}
	delete(it.links, l.id)
	n.speakFor(it, l)
	it.changes++
	it.remember(l)
	if it.grants != nil && it.haves[l.id] {
		delete(it.haves, l.id)
		it.grants.Leave(policy.Peer(l.id))
	}
	if it.sight != nil {
		it.sight.Leave(policy.Peer(l.id), n.elapsed())
	}
	if it.offers != nil {
		it.offers.Leave(policy.Peer(l.id))
	}
	n.stir(it)
	if it.gossip != nil {
		it.gossip.deliver(gossipEvent{peer: l.id, left: true})
	}
	n.layerPeerGone(it, l)
	n.hostStep(it)
}

// message handles one of our extension messages, or PEX. Malformed ones are
// dropped: they can only be a bug or an attack, and neither deserves an answer.
func (n *Node) message(l *link, ext string, payload []byte) {
	if l.closed || n.items[l.item.hash] != l.item {
		return
	}
	if ext == extPEX {
		if seldom(&l.pexIn, n.cfg.Now()) {
			n.pexReceived(l, payload)
		}
		return
	}
	if ext != extSwarm || len(payload) == 0 {
		return
	}
	kind, body := payload[0], payload[1:]
	var err error
	switch kind {
	case kindHello:
		var h hello
		if h, err = parseHello(body); err == nil && l.hello == nil {
			l.hello = &h
			n.retier(l)
			n.unmeasured(l)
			n.askLayers(l.item)
			n.askPath(l)
			n.hostStep(l.item)
		}
	case kindGrant:
		var pieces []int
		pieces, err = parsePieceList(body, int(l.item.pieces.Load()))
		if err == nil && l.item.sight != nil && l.origin.Load() {
			l.item.sight.Grant(policy.Peer(l.id), pieces, n.elapsed())
			n.stir(l.item)
		}
	case kindHungry:
		var pieces []int
		if pieces, err = parsePieceList(body, int(l.item.pieces.Load())); err == nil {
			n.hungry(l, pieces)
		}
	case kindOffer:
		var pieces []int
		if pieces, err = parsePieceList(body, int(l.item.pieces.Load())); err == nil {
			n.offered(l, pieces)
		}
	case kindPass:
		var pieces []int
		if pieces, err = parsePieceList(body, int(l.item.pieces.Load())); err == nil {
			n.passed(l, pieces)
		}
	case kindPace:
		err = n.paceHeard(l, body)
	case kindReady:
		l.ready = true
		n.joinGrants(l)
		n.askLayers(l.item)
	case kindPing:
		err = n.pinged(l, body)
	case kindAskLayer:
		var m layerMessage
		if m, err = parseLayerMessage(body); err == nil {
			n.answerLayer(l, m)
		}
	case kindLayer:
		var m layerMessage
		if m, err = parseLayerMessage(body); err == nil {
			n.layerReceived(l, m)
		}
	case kindAskPath:
		n.pathAsked(l)
	case kindPath:
		var m pathMessage
		if m, err = parsePathMessage(body); err == nil {
			n.pathReceived(l, m)
		}
	}
	if err != nil {
		n.log.Debug("message dropped", "peer", l.remote, "err", err)
	}
}

// learn enters an address into an item's book. It is dialled once all that came with it is there.
func (n *Node) learn(it *Item, ap netip.AddrPort, s source) {
	ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	if n.isSelf(ap) || !n.mayDial(ap) {
		return
	}
	if it.book.add(ap, s) {
		n.learned[it] = append(n.learned[it], ap)
	}
}

func (n *Node) isSelf(ap netip.AddrPort) bool {
	return ap.Port() == n.Port() && n.lan.own(ap.Addr()) && n.listensOn(ap.Addr())
}

func (n *Node) listensOn(a netip.Addr) bool {
	mine := n.front.addrPort().Addr()
	return mine.IsUnspecified() || mine == a
}

// gossipConns is how many connections a node keeps up for the news of a channel: from each
// of some, they reach everybody in a few steps.
const gossipConns = 8

// made counts the connections that this node has made to its like, or to who has not said
// what it is. Those that others have made do not count: they choose whom this node hears.
func (it *Item) made() (n int) {
	for _, l := range it.links {
		if l.outgoing && (l.ours.Load() || !l.shaken.Load()) {
			n++
		}
	}
	return n
}

// dialDue connects to addresses that are due. Complete items wait for others to
// come, which halves the connection attempts of a swarm.
func (n *Node) dialDue(it *Item) { n.dialSome(it, false) }

func (n *Node) dialSome(it *Item, seeding bool) {
	if it.t == nil || it.state == StateSeeding && !seeding || it.state == StateFailed || len(it.links) >= maxConns {
		return
	}
	now := n.cfg.Now()
	room, needless := maxConns-len(it.links), it.connectedTo
	if it.gossip != nil {
		made := it.made()
		if room = min(room, gossipConns-made); room > 0 {
			room -= it.book.underWay(now, it.connectedTo)
		}
		if made >= gossipConns/2 { // the origin is left to those who know nobody
			needless = func(ap netip.AddrPort) bool { return it.book.origin(ap) || it.connectedTo(ap) }
		}
	}
	if room <= 0 {
		return
	}
	if due := it.book.due(now, room, needless); len(due) > 0 {
		n.eng.dial(it, due)
	}
}

func (it *Item) connectedTo(ap netip.AddrPort) bool {
	for _, l := range it.links {
		if l.listenAddr == ap || l.remote == ap {
			return true
		}
	}
	return false
}

// liar drops a peer that sent wrong bytes, and names it.
func (n *Node) liar(l *link, piece int) {
	n.eng.ban(l)
	if l.listenAddr.IsValid() {
		l.item.book.ban(l.listenAddr)
	}
	name := fmt.Sprintf("%s (%s)", l.remote, sanitize(l.client))
	n.emit(Event{Kind: EventBanned, Infohash: l.item.hash, Peer: name, Piece: piece})
	n.log.Warn("peer sent wrong bytes and was dropped", "peer", name, "piece", piece, "torrent", l.item.hash)
}

// sanitize makes a name that a peer gave itself fit to be printed.
func sanitize(s string) string {
	out := []rune(s)
	if len(out) > 40 {
		out = out[:40]
	}
	for i, r := range out {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e || r == 0xfffd {
			out[i] = '?'
		}
	}
	if len(out) == 0 {
		return "unnamed"
	}
	return string(out)
}

// peersOf returns an item's links in the order in which they came.
func (it *Item) sortedLinks() []*link {
	out := make([]*link, 0, len(it.links))
	for _, l := range it.links {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *link) int { return int(a.id) - int(b.id) })
	return out
}
