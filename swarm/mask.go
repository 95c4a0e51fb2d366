package swarm

import (
	"slices"

	"github.com/anacrolix/torrent"
	pp "github.com/anacrolix/torrent/peer_protocol"
)

// read sees every message before the engine does, and may rewrite it. It counts
// payload, and hides from the engine what an origin has but has not granted.
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
		l.item.count.received[l.tier.Load()].Add(n)
	case pp.Have, pp.Bitfield, pp.HaveAll, pp.HaveNone:
		e.claims(l, m)
	case pp.Extended:
		if pieces, ok := e.granted(l, m); ok {
			l.mask.grant(pieces, m)
		}
	case pp.Request:
		e.paddedRequest(l, m)
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

// claims handles a peer's word on what it has.
func (e *engine) claims(l *link, m *pp.Message) {
	it := l.item
	if it.origin {
		// The origin keeps account of what its leechers have.
		switch m.Type {
		case pp.Have:
			piece := int(m.Index)
			e.node.tell(l, 0, func() { e.node.peerHas(l, piece) })
		case pp.Bitfield:
			have := slices.Clone(m.Bitfield)
			e.node.tell(l, len(have), func() { e.node.peerBitfield(l, have) })
		case pp.HaveAll:
			e.node.tell(l, 0, func() { e.node.peerBitfield(l, nil) })
		}
		return
	}
	l.mask.mu.Lock()
	defer l.mask.mu.Unlock()
	if l.mask.on {
		*m = pp.Message{Keepalive: true}
	}
}

// granted recognises a grant from an origin whose pieces are masked.
func (e *engine) granted(l *link, m *pp.Message) ([]int, bool) {
	if len(m.ExtendedPayload) == 0 || m.ExtendedPayload[0] != kindGrant || m.ExtendedID == pp.HandshakeExtendedID {
		return nil, false
	}
	name, builtin, err := l.pc.LocalLtepProtocolMap.LookupId(m.ExtendedID)
	if err != nil || builtin || name != extSwarm || !l.origin.Load() {
		return nil, false
	}
	n := int(l.item.pieces.Load())
	if n == 0 {
		return nil, false // the metadata is not known yet; the origin grants again
	}
	pieces, err := parsePieceList(m.ExtendedPayload[1:], n)
	return pieces, err == nil
}

// grant adds pieces to what may be seen and turns m into the message that tells
// the engine so: a Have for one, else a Bitfield of all that was granted so far
// (its length a multiple of eight, as the engine demands).
func (k *mask) grant(pieces []int, m *pp.Message) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.on {
		return
	}
	top := slices.Max(pieces)
	if top >= len(k.granted) {
		k.granted = append(k.granted, make([]bool, (top/8+1)*8-len(k.granted))...)
	}
	for _, p := range pieces {
		k.granted[p] = true
	}
	if len(pieces) == 1 {
		*m = pp.Message{Type: pp.Have, Index: pp.Integer(pieces[0])}
		return
	}
	*m = pp.Message{Type: pp.Bitfield, Bitfield: slices.Clone(k.granted)}
}
