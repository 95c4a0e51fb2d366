package swarm

import (
	"github.com/anacrolix/torrent"
	pp "github.com/anacrolix/torrent/peer_protocol"
)

// read sees every message before the engine does, and may rewrite it. It counts
// payload, and takes out what peers say they have.
func (e *engine) read(pc *torrent.PeerConn, m *pp.Message) {
	l := e.link(pc)
	if l == nil {
		// Refused in connAdded, and about to be closed: nothing it says counts.
		*m = pp.Message{Keepalive: true}
		return
	}
	if l.tap != nil && l.tap.heard() || m.Keepalive {
		return // this node's own word, or none
	}
	switch m.Type {
	case pp.Piece:
		n := int64(len(m.Piece))
		l.received.Add(n)
		l.paid = Tier(l.tier.Load())
		l.item.count.received[l.paid].Add(n)
		if l.tap.early(m) {
			l.tap.discard(m)
		}
	case pp.Reject, pp.Choke, pp.Unchoke:
		if l.tap.early(m) {
			l.tap.discard(m)
		}
	case pp.Have, pp.Bitfield, pp.HaveAll, pp.HaveNone:
		e.claims(l, m)
	case pp.Request:
		if !e.refused(l, m) {
			e.paddedRequest(l, m)
		}
	case pp.Cancel:
		if l.tap == nil || !l.tap.cancel(block{uint32(m.Index), uint32(m.Begin)}) {
			e.paddedRequest(l, m)
		}
	case pp.HashRequest:
		e.hashRequest(l, m)
	case pp.Hashes:
		e.hashes(l, m)
	case pp.HashReject:
		root := m.PiecesRoot
		e.node.tell(l, 0, func() { e.node.hashesRefused(l, root) })
	}
}

// claims takes a peer's word on what it has out of the stream: what the engine may
// see of it, the loop decides.
func (e *engine) claims(l *link, m *pp.Message) {
	it := l.item
	if it.gossip != nil {
		return
	}
	said, limit := -1, it.pieces.Load()
	switch m.Type {
	case pp.Have:
		if said = int(m.Index); !l.claims.add(said, limit) {
			l.tap.discard(m)
			return
		}
	case pp.Bitfield:
		l.claims.addAll(m.Bitfield, limit)
	case pp.HaveAll:
		l.claims.addAll(nil, limit)
	}
	if m.Type != pp.HaveNone && !e.node.tell(l, 0, func() { e.node.claimed(l, said) }) {
		l.claims.missed(true)
	}
	l.tap.discard(m)
}

// discard keeps a message from the engine, where it can be told in another way.
func (t *tap) discard(m *pp.Message) {
	if t != nil {
		*m = pp.Message{Keepalive: true}
	}
}
