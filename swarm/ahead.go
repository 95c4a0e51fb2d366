package swarm

import (
	"encoding/binary"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"handful/swarm/policy"
)

// Of a peer that has sent nothing for a while the engine asks one block, when that has
// come two, then four: a piece of four blocks waits in its sender's queue three times, and
// three times nobody can know that the rest will be asked for. So of a piece that is shown
// at one peer alone, all is asked for here, in one packet, as soon as it is shown. What the
// engine asks for then is not asked again; a block that comes before the engine has asked
// is kept until it does, since one that it did not ask for ends the connection.
//
// This is done with peers that are ours and speak BEP 6: each of their requests is
// answered, with a block or a Reject. An origin is left to the engine: asked like this for
// all that it has granted, it fed a crowd of 16 no sooner, and the last of them was
// complete 0.4 s later.

const (
	// maxWhole is how many blocks of one piece are asked for in advance: of a longer one
	// the engine asks for the rest while these come.
	maxWhole = 32
	// maxAhead is how many blocks of one connection may be asked for in advance, or have
	// come and not been asked for.
	maxAhead = 64
	// bored is how long the engine must have wanted nothing until the peer is told: most
	// often the next piece is shown within that.
	bored = 2 * time.Second
)

// ahead is the account of what was asked of a peer before the engine did. It is guarded
// by the tap's mu.
type ahead struct {
	may   bool              // set once it is known that the peer is one of ours
	later map[uint32]uint32 // pieces to ask for with the engine's first request: their bytes
	out   map[block]early   // asked for, and neither answered nor asked for by the engine
	here  map[block][]byte  // Piece messages that the engine has not asked for yet

	interested bool      // the peer has been told that this side is
	boredAt    time.Time // when the engine lost interest, and the peer was not told; else zero
	unchoked   bool      // the peer serves this side
}

// early is a request that was made in advance.
type early struct {
	length  uint32
	dropped bool // was cancelled: its answer is for nobody
}

// busy tells whether requests and their answers must be looked at. The lock is held.
func (a *ahead) busy() bool { return len(a.later)+len(a.out)+len(a.here) > 0 }

// mayAsk allows askWhole, once the peer has turned out to be one of ours.
func (t *tap) mayAsk() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ahead.may = true
}

// askWhole asks for a piece of that many bytes, of which the engine has asked nobody for
// anything. It is called before the engine can see the piece.
func (t *tap) askWhole(piece, length uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.ahead
	blocks := min(int((length+blockLen-1)/blockLen), maxWhole)
	if t.dead || t.opaque || !a.may || !t.fast() || len(a.out)+len(a.here)+blocks > maxAhead || len(a.later) >= maxAhead {
		return
	}
	if a.interested && a.unchoked && len(t.ctl)+len(t.behind) < maxInjected {
		t.say(a.ask(nil, piece, length, length))
		return
	}
	if a.later == nil {
		a.later = make(map[uint32]uint32)
	}
	a.later[piece] = length
}

// ask appends requests for the first blocks of a piece, but for the one at except.
func (a *ahead) ask(out []byte, piece, length, except uint32) []byte {
	if a.out == nil {
		a.out, a.here = make(map[block]early), make(map[block][]byte)
	}
	for begin := uint32(0); begin < min(length, maxWhole*blockLen); begin += blockLen {
		if begin == except {
			continue
		}
		n := min(blockLen, length-begin)
		a.out[block{piece, begin}] = early{length: n}
		out = append(out, pp.Message{
			Type: pp.Request, Index: pp.Integer(piece), Begin: pp.Integer(begin), Length: pp.Integer(n),
		}.MustMarshalBinary()...)
	}
	return out
}

// engineAsks appends a Request of the engine, unless it was made already; one whose block is
// here is answered.
func (t *tap) engineAsks(out, raw []byte) []byte {
	a := &t.ahead
	key := block{binary.BigEndian.Uint32(raw[5:]), binary.BigEndian.Uint32(raw[9:])}
	if m, ok := a.here[key]; ok {
		delete(a.here, key)
		if t.hearRaw(m) {
			return out
		}
	}
	if e, ok := a.out[key]; ok && !e.dropped {
		delete(a.out, key)
		return out
	}
	out = append(out, raw...)
	if length, ok := a.later[key.piece]; ok {
		delete(a.later, key.piece)
		out = a.ask(out, key.piece, length, key.begin)
	}
	return out
}

// unask takes back what was asked for of a piece in advance: it is here, or is shown
// elsewhere too.
func (t *tap) unask(piece uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if out := t.ahead.unask(nil, piece); len(out) > 0 && !t.dead {
		t.say(out)
	}
}

// unask appends Cancels.
func (a *ahead) unask(out []byte, piece uint32) []byte {
	delete(a.later, piece)
	for key := range a.here {
		if key.piece == piece {
			delete(a.here, key)
		}
	}
	for key, e := range a.out {
		if key.piece == piece && !e.dropped {
			e.dropped = true
			a.out[key] = e
			out = append(out, pp.Message{
				Type: pp.Cancel, Index: pp.Integer(piece), Begin: pp.Integer(key.begin), Length: pp.Integer(e.length),
			}.MustMarshalBinary()...)
		}
	}
	return out
}

// early takes a message of the peer that the engine does not expect, or not yet, and
// reports whether it was one.
func (t *tap) early(m *pp.Message) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.ahead
	switch m.Type {
	case pp.Choke, pp.Unchoke:
		a.unchoked = m.Type == pp.Unchoke
		return false
	}
	key := block{uint32(m.Index), uint32(m.Begin)}
	e, ok := a.out[key]
	if !ok {
		return false
	}
	delete(a.out, key)
	if m.Type == pp.Piece && !e.dropped && len(m.Piece) == int(e.length) {
		a.here[key] = m.MustMarshalBinary()
	}
	return true
}

// interest passes the engine's word on whether it wants anything: that it does not is held
// back for a while.
func (t *tap) interest(out, raw []byte) []byte {
	a := &t.ahead
	wants := pp.MessageType(raw[4]) == pp.Interested
	switch {
	case wants && !a.boredAt.IsZero():
		a.boredAt = time.Time{}
		return out
	case !wants && a.may && a.interested:
		a.boredAt = t.now()
		return out
	}
	a.interested = wants
	return append(out, raw...)
}

// lose appends the word that this side wants nothing, when it is time to say so.
func (a *ahead) lose(out []byte, now time.Time) []byte {
	if a.boredAt.IsZero() || now.Sub(a.boredAt) < bored {
		return out
	}
	a.boredAt, a.interested = time.Time{}, false
	return append(out, pp.Message{Type: pp.NotInterested}.MustMarshalBinary()...)
}

// askWhole asks the peer of a link for pieces that the engine is about to see there.
func (n *Node) askWhole(l *link, shows []policy.Show) {
	it := l.item
	for _, s := range shows {
		switch {
		case s.Whole && l.ours.Load() && !l.origin.Load() && it.wanted.Has(s.Piece):
			it.early.Add(s.Piece)
			l.tap.askWhole(uint32(s.Piece), uint32(it.torrent.PieceSize(s.Piece)))
		case !s.Whole:
			n.unask(it, s.Piece)
		}
	}
}

// unask takes back what is asked for of a piece in advance.
func (n *Node) unask(it *Item, piece int) {
	if !it.early.Has(piece) {
		return
	}
	it.early.Remove(piece)
	for _, l := range it.links {
		if l.tap != nil {
			l.tap.unask(uint32(piece))
		}
	}
}
