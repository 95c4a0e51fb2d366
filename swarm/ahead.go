package swarm

import (
	"encoding/binary"
	"sync"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// The engine asks a peer that has sent nothing lately for one block, then for two, and so
// on: each of them waits for its turn at the other end, and the piece is whole, and can be
// passed on, turns later than it might be. So when the engine asks one of ours for the
// first block of a piece of which nothing is here yet, the rest is asked for ahead, of the
// same peer. When the engine comes to ask for a block, the request has gone already, or
// the block is here and waits.
//
// When the engine asks another peer instead, because that has nothing to send, the blocks
// asked for ahead move there: they are cancelled, and asked for at the other peer when the
// first one has said that it does not send them (BEP 6 has it answer a Cancel with a
// Reject or the Piece). So none comes twice. To the peers, all this is requests like any
// others.

// maxAhead is how many bytes of a piece are asked for ahead.
const maxAhead = 256 << 10

// ahead is what one item has asked members for and not received. Its lock is taken under
// those of taps and under the engine's.
type ahead struct {
	size  func(piece int) int64 // bytes
	began func(piece int) bool  // some of it is here

	mu     sync.Mutex
	asked  map[block]ask
	undone map[*tap]map[block]int // cancelled, not answered yet and of no interest
	source map[block]*link        // of blocks that the engine reads as another peer's
}

// ask is a request of which the answer is not here, or not wanted yet.
type ask struct {
	of    *tap   // whom it was sent to
	to    *tap   // who is asked when that one has refused it, the cancel having been sent; or nil
	ahead bool   // the engine has not asked for it
	data  []byte // it came before that; owned
	from  *link  // the sender of data
}

// errand is what is to be done when no lock is held: a request at a tap is made or
// cancelled, or a block is given to the engine as the tap's.
type errand struct {
	tap    *tap
	kind   pp.MessageType
	key    block
	length uint32
	data   []byte
}

func newAhead(size func(int) int64, began func(int) bool) *ahead {
	return &ahead{size: size, began: began, asked: make(map[block]ask),
		undone: make(map[*tap]map[block]int), source: make(map[block]*link)}
}

// length returns how many bytes a block has; 0 if it is none.
func (a *ahead) length(key block) uint32 {
	return uint32(max(0, min(blockLen, a.size(int(key.piece))-int64(key.begin))))
}

// request takes a request of the engine to t. It returns the blocks that are asked for in
// its place: none, if that has been done. data is the block, if it is here.
func (a *ahead) request(t *tap, key block, length uint32) (out []block, data []byte, then []errand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if length != a.length(key) {
		return []block{key}, nil, nil // not as blocks are cut here
	}
	switch old, known := a.asked[key]; {
	case known && old.data != nil:
		a.source[key] = old.from
		delete(a.asked, key)
		return nil, old.data, nil
	case known && old.to != nil, known && old.ahead && old.of != t:
		if old.to == nil {
			then = append(then, a.errand(old.of, pp.Cancel, key))
		}
		old.to, old.ahead = t, false
		a.asked[key] = old
	case known && old.ahead:
		a.asked[key] = ask{of: t}
		return nil, nil, nil
	default:
		a.asked[key] = ask{of: t}
		out = append(out, key)
	}
	first := key.begin == 0 && !a.began(int(key.piece))
	for next := (block{key.piece, key.begin + blockLen}); a.length(next) > 0 && next.begin < maxAhead; next.begin += blockLen {
		switch old, known := a.asked[next]; {
		case !known && first:
			a.asked[next] = ask{of: t, ahead: true}
			out = append(out, next)
		case known && old.ahead && old.data == nil && old.of != t && old.to != t:
			if old.to == nil {
				then = append(then, a.errand(old.of, pp.Cancel, next))
			}
			old.to = t
			a.asked[next] = old
		}
	}
	return out, nil, then
}

func (a *ahead) errand(t *tap, kind pp.MessageType, key block) errand {
	return errand{tap: t, kind: kind, key: key, length: a.length(key)}
}

// undo cancels a request that nobody is interested in any more, unless that has been
// done. Its answer is kept from the engine. The lock is held.
func (a *ahead) undo(key block, old ask, then []errand) []errand {
	if a.undone[old.of] == nil {
		a.undone[old.of] = make(map[block]int)
	}
	a.undone[old.of][key]++
	if old.to != nil {
		return then
	}
	return append(then, a.errand(old.of, pp.Cancel, key))
}

// answered takes the answer to a request that was undone; false: it is another's. The
// lock is held.
func (a *ahead) answered(t *tap, key block) bool {
	n := a.undone[t][key]
	if n > 1 {
		a.undone[t][key] = n - 1
	} else {
		delete(a.undone[t], key)
	}
	return n > 0
}

// cancelled takes a Cancel of the engine to t. It reports whether that is to go out. If it
// is not, the engine, which waits for an answer, is given one.
func (a *ahead) cancelled(t *tap, key block) (tell bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, known := a.asked[key]
	switch {
	case !known || old.ahead:
	case old.of == t && old.to == nil:
		delete(a.asked, key) // the answer is the engine's
	case old.to == t: // t was not asked yet
		old.to, old.ahead = old.of, true
		a.asked[key] = old
		return false
	}
	return true
}

// rejected takes a Reject from t. It reports whether the engine is to see it.
func (a *ahead) rejected(t *tap, key block) (see bool, then []errand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answered(t, key) {
		return false, nil
	}
	old := a.asked[key]
	switch {
	case old.of != t || old.data != nil:
		return true, nil
	case old.to == nil:
		delete(a.asked, key)
		return !old.ahead, nil
	}
	a.asked[key] = ask{of: old.to, ahead: old.ahead}
	return false, append(then, a.errand(old.to, pp.Request, key))
}

// came takes a block from t, whose link is l. It reports whether the engine is to see it
// now. If not, it is kept until the engine asks for it, or given to the engine as the
// peer's that it has asked.
func (a *ahead) came(t *tap, l *link, key block, data []byte) (see bool, then []errand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answered(t, key) {
		return false, nil
	}
	old := a.asked[key]
	switch {
	case old.of != t || old.data != nil || uint32(len(data)) != a.length(key):
		return true, nil
	case old.ahead:
		a.asked[key] = ask{of: t, ahead: true, data: data, from: l}
		return false, nil
	}
	delete(a.asked, key)
	if old.to == nil || old.to == t {
		return true, nil
	}
	a.source[key] = l
	e := a.errand(old.to, pp.Piece, key)
	e.data = data
	return false, append(then, e)
}

// sender returns who sent a block that the engine took for l's.
func (a *ahead) sender(key block, l *link) *link {
	if a == nil {
		return l
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if from := a.source[key]; from != nil {
		delete(a.source, key)
		return from
	}
	return l
}

// done forgets a piece that is here.
func (a *ahead) done(piece int) (then []errand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key := (block{uint32(piece), 0}); a.length(key) > 0; key.begin += blockLen {
		if old, known := a.asked[key]; known && old.data == nil && (old.ahead || old.to != nil) {
			then = a.undo(key, old, then)
		}
		delete(a.asked, key)
		delete(a.source, key)
	}
	return then
}

// leave forgets a connection. What was to move away from it is asked for where it was to
// go.
func (a *ahead) leave(t *tap) (then []errand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.undone, t)
	for key, old := range a.asked {
		switch {
		case old.of == t && old.data == nil && old.to != nil && old.to != t:
			a.asked[key] = ask{of: old.to, ahead: old.ahead}
			then = append(then, a.errand(old.to, pp.Request, key))
		case old.of == t && old.data == nil:
			delete(a.asked, key)
		case old.to == t: // the engine asks somebody for it anew
			delete(a.asked, key)
			then = a.undo(key, old, then)
		}
	}
	return then
}

// do does what is to be done. No lock of a tap is held.
func do(errands []errand) {
	for _, e := range errands {
		m := pp.Message{Type: e.kind, Index: pp.Integer(e.key.piece), Begin: pp.Integer(e.key.begin)}
		if e.kind == pp.Piece {
			m.Piece = e.data
			e.tap.hear(m)
			continue
		}
		m.Length = pp.Integer(e.length)
		e.tap.inject(m)
	}
}

// askAhead lets the node ask this peer ahead of the engine.
func (t *tap) askAhead(a *ahead) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fast() {
		t.ahead.Store(a)
	}
}

// requests appends what goes out for a request of the engine. The lock is held.
func (t *tap) requests(a *ahead, out, raw []byte) []byte {
	key, length := block{binary.BigEndian.Uint32(raw[5:]), binary.BigEndian.Uint32(raw[9:])}, binary.BigEndian.Uint32(raw[13:])
	ask, data, then := a.request(t, key, length)
	for _, b := range ask {
		if b != key {
			length = a.length(b)
		}
		out = append(out, pp.Message{Type: pp.Request, Index: pp.Integer(b.piece), Begin: pp.Integer(b.begin), Length: pp.Integer(length)}.MustMarshalBinary()...)
	}
	if data != nil {
		t.overhear(pp.Message{Type: pp.Piece, Index: pp.Integer(key.piece), Begin: pp.Integer(key.begin), Piece: data})
	}
	t.errands = append(t.errands, then...)
	return out
}

// cancels appends what goes out for a Cancel of the engine. The lock is held.
func (t *tap) cancels(a *ahead, out, raw []byte) []byte {
	key := block{binary.BigEndian.Uint32(raw[5:]), binary.BigEndian.Uint32(raw[9:])}
	if a.cancelled(t, key) {
		return append(out, raw...)
	}
	t.overhear(pp.Message{Type: pp.Reject, Index: pp.Integer(key.piece), Begin: pp.Integer(key.begin), Length: pp.Integer(binary.BigEndian.Uint32(raw[13:]))})
	return out
}
