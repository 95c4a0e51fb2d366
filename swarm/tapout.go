package swarm

import (
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// haveHold is how long a Have of no urgency waits for others to go with it, laterHold the
// same where the peer will most likely never need it.
const (
	haveHold  = time.Second
	laterHold = 30 * time.Second
)

// maxQueued is how many bytes of blocks one connection lets wait before it makes
// the engine wait.
const maxQueued = 512 << 10

// maxRun is how many bytes of one piece leave in a row: a peer can pass on a whole
// piece, and nothing of many parts.
const maxRun = 128 << 10

// outgoing is what the node decides about a connection's own messages. The
// functions are called under the tap's lock, and the engine's: they look something
// up and return. Where they are nil, Haves pass at once.
type outgoing struct {
	urgent  func(piece int) bool // a Have of this piece goes out at once; others are held
	has     func(piece int) bool // the peer has it: a held Have is dropped
	equal   func() bool          // the peer asks for what it hears of; held Haves need not wait when the line is idle
	later   func(piece int) bool // the peer has been told of others that have it
	conceal bool                 // what this node has is shown by reveal alone
	given   *given               // counts what is sent
}

// waiting is a Piece message in the queue.
type waiting struct {
	key block
	raw []byte
}

// outbound is the outgoing side of a tap. It is guarded by the tap's mu.
type outbound struct {
	part   []byte // a message's beginning: nothing of it goes out before its end has come
	behind []byte // messages for behind it
	ctl    []byte // whole messages that go out before anything else

	queue     []waiting // blocks that wait for a turn
	queued    int       // their bytes
	far       bool      // they are for somebody beyond the site, see uplink.waiting
	current   uint32    // piece of the last block that left
	run       int       // bytes of it that left in a row
	scheduled bool      // the uplink knows that there are some

	held       []int // pieces whose Have is held
	heldSince  time.Time
	later      []int // the same for longer
	laterSince time.Time

	introduced bool  // the message of BEP 6 on what there is has gone out
	unsaid     []int // to be revealed behind it

	asked  atomic.Int64 // bytes of blocks that the peer asked for and the engine gave
	sent   int64        // payload of Piece messages
	sentAt time.Time
}

// message is one whole message that the engine wrote, or that was added.
type message struct {
	raw   []byte
	added bool // goes out as it is
}

// govern sets what the node decides about this connection. It is called once, before
// the engine has sent a message.
func (t *tap) govern(o outgoing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out = o
}

// place says which line and limits the connection falls under, and whether it leads beyond
// the site.
func (t *tap) place(c class, far bool) {
	t.line.Store(uint32(c))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.far != far {
		t.hold(-t.queued)
		t.far = far
		t.hold(t.queued)
	}
}

// hold counts bytes that begin to wait, or, below 0, do so no longer. The lock is held.
func (t *tap) hold(bytes int) {
	if !t.far {
		t.up.hold(bytes)
	}
}

func (t *tap) class() class { return class(t.line.Load()) }

// sentData returns how much content has been written to the peer, in bytes, and when
// the last of it was; the zero time if none was.
func (t *tap) sentData() (bytes int64, last time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent, t.sentAt
}

// Write sends what the engine wrote, amended. It reports len(b) written or an
// error: the engine gives a connection up after any. Blocks that must wait for
// their turn are copied; Write waits only while there are many.
func (t *tap) Write(b []byte) (int, error) {
	if err := t.write(b); err != nil {
		return 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.queued > maxQueued && !t.dead {
		t.room.Wait()
	}
	return len(b), nil
}

func (t *tap) write(b []byte) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	if t.dead {
		t.mu.Unlock()
		return net.ErrClosed
	}
	out, size, payload := t.amend(b)
	t.mu.Unlock()
	var err error
	if len(out) > 0 {
		_, err = t.rw.Write(out)
	}
	t.up.wrote(&t.lease, size)
	t.passed(payload, err)
	if payload > 0 {
		t.up.left()
	}
	return err
}

// passed counts content that was written.
func (t *tap) passed(payload int, err error) {
	if payload == 0 && err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.end()
		return
	}
	t.sent += int64(payload)
	t.sentAt = t.now()
}

// amend returns what is to be sent at once in place of b: b itself where nothing
// changes. size is what the uplink allowed for that, payload the content in it.
func (t *tap) amend(b []byte) (out []byte, size, payload int) {
	rest := t.greet(b)
	if len(rest) == 0 {
		return b, 0, 0
	}
	size, payload, plain := t.skim(rest)
	asked := false
	if plain {
		if size == 0 {
			return b, 0, 0
		}
		if len(t.queue) == 0 {
			if asked = true; t.up.admit(&t.lease, size, payload) {
				t.out.given.addAll(rest)
				t.asked.Add(int64(payload))
				return b, size, payload
			}
		}
	}
	out = append(make([]byte, 0, len(t.ctl)+len(b)), b[:len(b)-len(rest)]...)
	out = append(out, t.ctl...)
	t.ctl = nil
	messages := t.whole(rest)
	size, payload = 0, 0
	for _, m := range messages {
		if isBlock(m.raw) && !m.added {
			size, payload = size+len(m.raw), payload+content(m.raw)
		}
	}
	direct := size == 0 || len(t.queue) == 0 && !asked && t.up.admit(&t.lease, size, payload)
	for _, m := range messages {
		if m.added {
			out = append(out, m.raw...)
		} else {
			out = t.sort(out, m.raw, direct)
		}
	}
	if !direct {
		size, payload = 0, 0
		t.schedule()
	}
	return out, size, payload
}

// greet passes the handshake. It returns what is behind it, as far as that is to be
// looked at.
func (t *tap) greet(b []byte) []byte {
	if need := handshakeLen - len(t.hand); need > 0 && !t.opaque {
		k := min(need, len(b))
		t.hand = append(t.hand, b[:k]...)
		if t.hand[0] != 19 {
			t.opaque = true
		}
		b = b[k:]
	}
	if t.opaque {
		return nil
	}
	return b
}

// isBlock tells whether a whole message is a Piece message.
func isBlock(raw []byte) bool { return len(raw) >= 13 && pp.MessageType(raw[4]) == pp.Piece }

// content returns how many bytes of content a whole message carries.
func content(raw []byte) int {
	if isBlock(raw) {
		return len(raw) - 13
	}
	return 0
}

// skim measures messages to which nothing is done. plain is false if there is
// something to do.
func (t *tap) skim(b []byte) (size, payload int, plain bool) {
	if len(t.part)+len(t.ctl) > 0 {
		return 0, 0, false
	}
	for len(b) > 0 {
		n := 4
		if len(b) >= 4 {
			n += int(binary.BigEndian.Uint32(b))
		}
		if n > len(b) {
			return 0, 0, false
		}
		if n > 4 {
			switch pp.MessageType(b[4]) {
			case pp.Piece:
				if len(t.pads) > 0 || n < 13 {
					return 0, 0, false
				}
				size, payload = size+n, payload+content(b[:n])
			case pp.Reject:
				if len(t.pads) > 0 {
					return 0, 0, false
				}
			case pp.Choke, pp.Unchoke, pp.AllowedFast, pp.Interested, pp.NotInterested:
				return 0, 0, false
			case pp.Request, pp.Cancel:
				if t.ahead.busy() {
					return 0, 0, false
				}
			case pp.Have, pp.Bitfield, pp.HaveAll, pp.HaveNone:
				if t.out.conceal || t.out.urgent != nil {
					return 0, 0, false
				}
			}
		}
		b = b[n:]
	}
	return size, payload, true
}

// whole returns the messages that end in b. Their bytes are b's where possible.
func (t *tap) whole(b []byte) (out []message) {
	for {
		n := 4
		if known := len(t.part) + len(b); known >= 4 {
			var head [4]byte
			copy(head[copy(head[:], t.part):], b)
			n += int(binary.BigEndian.Uint32(head[:]))
		}
		missing := n - len(t.part)
		if len(b) == 0 || missing > len(b) {
			t.part = append(t.part, b...)
			return out
		}
		if len(t.part) > 0 {
			out = append(out, message{raw: append(t.part, b[:missing]...)})
			t.part = nil
		} else {
			out = append(out, message{raw: b[:missing]})
		}
		b = b[missing:]
		if len(t.behind) > 0 {
			out = append(out, message{raw: t.behind, added: true})
			t.behind = nil
		}
	}
}

// sort appends to out what goes out at once for a message of the engine, which is
// left alone. Unless direct is set, a block goes into the queue.
func (t *tap) sort(out, raw []byte, direct bool) []byte {
	if len(raw) < 5 {
		return append(out, raw...)
	}
	switch kind := pp.MessageType(raw[4]); kind {
	case pp.Choke:
		t.choking = true
		return t.unqueue(append(out, raw...))
	case pp.Unchoke:
		t.choking = false
	case pp.Piece:
		if !isBlock(raw) {
			break
		}
		if direct {
			t.out.given.add(binary.BigEndian.Uint32(raw[5:]))
			t.asked.Add(int64(content(raw)))
			return t.fillUp(out, raw)
		}
		key := block{binary.BigEndian.Uint32(raw[5:]), binary.BigEndian.Uint32(raw[9:])}
		t.enqueue(key, t.fillUp(make([]byte, 0, len(raw)), raw))
		return out
	case pp.Reject:
		if len(raw) == 17 {
			return t.rejectWhole(out, raw)
		}
	case pp.Interested, pp.NotInterested:
		return t.interest(out, raw)
	case pp.Request:
		if len(raw) == 17 {
			return t.engineAsks(out, raw)
		}
	case pp.Cancel:
		if len(raw) == 17 { // the block came, or is asked of somebody else now: so will the piece be
			return t.ahead.unask(append(out, raw...), binary.BigEndian.Uint32(raw[5:]))
		}
	case pp.Have:
		if len(raw) == 9 {
			return t.have(out, raw)
		}
	case pp.Bitfield, pp.HaveAll, pp.HaveNone:
		return t.introduce(out, raw)
	case pp.AllowedFast: // ten of them to each peer, who is not choked anyway
		return out
	}
	return append(out, raw...)
}

// say sends added messages as soon as nobody else writes, behind a message of which
// a part is there already. The lock is held.
func (t *tap) say(raw []byte) {
	if len(t.part) > 0 {
		t.behind = append(t.behind, raw...)
		return
	}
	t.ctl = append(t.ctl, raw...)
	if !t.flushing {
		t.flushing = true
		go t.flush()
	}
}

// flush sends what was added.
func (t *tap) flush() {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	t.flushing = false
	out := t.ctl
	t.ctl = nil
	t.mu.Unlock()
	if len(out) > 0 {
		_, err := t.rw.Write(out)
		t.passed(0, err)
	}
}

// inject sends a message when the current one has ended. It does not block.
// Messages for a peer that does not read are dropped.
func (t *tap) inject(m pp.Message) {
	raw, err := m.MarshalBinary()
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead || t.opaque || len(t.hand) < handshakeLen || len(t.ctl)+len(t.behind)+t.queued+len(raw) > maxInjected {
		return
	}
	if content(raw) > 0 && t.up != nil {
		t.enqueue(block{uint32(m.Index), uint32(m.Begin)}, raw)
		t.schedule()
		return
	}
	t.say(raw)
}
