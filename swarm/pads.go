package swarm

import (
	"encoding/binary"
	"math/bits"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// padded is a request of which the engine was shown a part.
type padded struct{ shown, whole uint32 }

// request notes a request of which the engine is shown the first bytes only. It
// reports false when too many wait already.
func (t *tap) request(key block, shown, whole uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pads) >= maxPadded {
		return false
	}
	t.pads[key] = padded{shown, whole}
	return true
}

// serves tells whether the peer may expect its requests to be answered, and
// whether it must be told when they are not (BEP 6).
func (t *tap) serves() (unchoked, fast bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.choking, t.fast()
}

// fast tells whether both sides speak the fast extension (BEP 6). The lock is held.
func (t *tap) fast() bool {
	return len(t.in) == handshakeLen && len(t.hand) == handshakeLen && t.in[27]&t.hand[27]&4 != 0
}

// fillUp appends a Piece message, with zeros added if it answers a request that was
// shown in part.
func (t *tap) fillUp(out, raw []byte) []byte {
	key := block{binary.BigEndian.Uint32(raw[5:]), binary.BigEndian.Uint32(raw[9:])}
	start := len(out)
	out = append(out, raw...)
	if p, ok := t.pads[key]; ok && int(p.shown) == len(raw)-13 {
		delete(t.pads, key)
		binary.BigEndian.PutUint32(out[start:], 9+p.whole)
		out = append(out, make([]byte, p.whole-p.shown)...)
	}
	return out
}

// rejectWhole appends a Reject message, of the length that the peer asked for.
func (t *tap) rejectWhole(out, raw []byte) []byte {
	key := block{binary.BigEndian.Uint32(raw[5:]), binary.BigEndian.Uint32(raw[9:])}
	start := len(out)
	out = append(out, raw...)
	if p, ok := t.pads[key]; ok && p.shown == binary.BigEndian.Uint32(raw[13:]) {
		delete(t.pads, key)
		binary.BigEndian.PutUint32(out[start+13:], p.whole)
	}
	return out
}

// maxZeros is the longest request for padding alone that is answered.
const maxZeros = 128 << 10

// paddedRequest handles requests that reach beyond a file's end into the padding
// of its last piece (BEP 47), which the engine does not have and takes for an
// offence. It is shown the part that there is; the tap adds the zeros. Requests for
// zeros alone are answered here. (The last file has no padding, but libtorrent asks
// for whole blocks there too when the torrent is v2 only.)
func (e *engine) paddedRequest(l *link, m *pp.Message) {
	it := l.item
	n := it.pieces.Load()
	if l.tap == nil || int64(m.Index) >= n || !it.opened.Load() || !it.torrent.HasV2() {
		return
	}
	size := it.torrent.PieceSize(int(m.Index))
	begin, end := int64(m.Begin), int64(m.Begin)+int64(m.Length)
	if end <= size || end > it.torrent.PieceLength {
		return
	}
	if begin < size {
		shown := pp.Integer(size - begin)
		if m.Type == pp.Cancel || l.tap.request(block{uint32(m.Index), uint32(m.Begin)}, uint32(shown), uint32(m.Length)) {
			m.Length = shown
		}
		return
	}
	if m.Length > maxZeros {
		return
	}
	if m.Type == pp.Request {
		e.zeros(l, *m)
	}
	*m = pp.Message{Keepalive: true}
}

// zeros answers a request for padding alone.
func (e *engine) zeros(l *link, m pp.Message) {
	unchoked, fast := l.tap.serves()
	complete, _ := l.item.content.State(int(m.Index))
	switch {
	case unchoked && complete:
		l.tap.inject(pp.Message{Type: pp.Piece, Index: m.Index, Begin: m.Begin, Piece: make([]byte, m.Length)})
	case fast:
		l.tap.inject(pp.Message{Type: pp.Reject, Index: m.Index, Begin: m.Begin, Length: m.Length})
	}
}

// maxProving bounds the hash requests that are being answered at a time.
const maxProving = 64

// hashRequest answers for a piece layer (BEP 52), with proofs, which the engine
// cannot. The tree is computed outside its lock.
func (e *engine) hashRequest(l *link, m *pp.Message) {
	it := l.item
	if l.tap == nil || it.pieces.Load() == 0 || !it.torrent.HasV2() {
		return
	}
	ask := *m
	*m = pp.Message{Keepalive: true}
	if e.proving.Add(1) > maxProving {
		e.proving.Add(-1)
		ask.Type = pp.HashReject
		l.tap.inject(ask)
		return
	}
	go func() {
		defer e.proving.Add(-1)
		ask.Type = pp.HashReject
		if int(ask.BaseLayer) == pieceLayer(it.torrent.PieceLength) {
			hashes, ok := it.torrent.Hashes(ask.PiecesRoot, int(ask.Index), int(ask.Length), int(ask.ProofLayers))
			if ok {
				ask.Type, ask.Hashes = pp.Hashes, hashes
			}
		}
		l.tap.inject(ask)
	}()
}

// pieceLayer returns how high the piece layer lies above the leaves.
func pieceLayer(pieceLength int64) int { return bits.Len64(uint64(pieceLength>>14)) - 1 }
