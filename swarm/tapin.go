package swarm

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// maxHearing bounds the bytes of messages that wait to be read by the engine.
const maxHearing = 1 << 20

// maxCharged bounds what one message takes from the download limit: its length is
// the peer's word.
const maxCharged = 128 << 10

// inbound follows the incoming messages. It is owned by the goroutine that reads,
// in which the engine's callback for a message runs too.
type inbound struct {
	head  [5]byte // length and type of a message, as far as they have come
	known int     // bytes of head
	left  int64   // bytes of the message that are still to come, behind head
	order []run   // messages that were read and not yet asked about
}

// run is a number of the peer's messages and, behind them, of this node's.
type run struct{ peer, own int }

// follow takes note of bytes of the stream. It returns how much of them is content.
func (i *inbound) follow(b []byte) (payload int) {
	for len(b) > 0 {
		if i.left > 0 {
			k := min(i.left, int64(len(b)))
			i.left, b = i.left-k, b[k:]
			continue
		}
		if i.known == 0 {
			if last := len(i.order) - 1; last >= 0 && i.order[last].own == 0 {
				i.order[last].peer++
			} else {
				i.order = append(i.order, run{peer: 1})
			}
		}
		i.head[i.known], b = b[0], b[1:]
		i.known++
		n := int64(binary.BigEndian.Uint32(i.head[:]))
		switch {
		case i.known == 4 && n == 0:
			i.known = 0
		case i.known == 5:
			i.known, i.left = 0, n-1
			if pp.MessageType(i.head[4]) == pp.Piece {
				payload += int(min(max(n-9, 0), maxCharged))
			}
		}
	}
	return payload
}

// missing returns how many bytes the current message lacks for certain; 0 between
// messages.
func (i *inbound) missing() int64 {
	switch {
	case i.left > 0:
		return i.left
	case i.known == 0:
		return 0
	case i.known < 4:
		return int64(4 - i.known)
	}
	return int64(binary.BigEndian.Uint32(i.head[:]))
}

// heard reports whether the message that the engine is about to act on was put into
// the stream by hear, and not sent by the peer. It is called once for each message,
// in the order of their coming, from the engine's ReadMessage callback.
func (t *tap) heard() bool {
	order := t.inbound.order
	if len(order) == 0 {
		return false
	}
	r := &order[0]
	own := r.peer == 0
	if own {
		r.own--
	} else {
		r.peer--
	}
	if *r == (run{}) {
		t.inbound.order = append(order[:0], order[1:]...)
	}
	return own
}

// hear lets the engine read m as if the peer had sent it, behind the message that
// is being read, and at once if there is none. It never blocks, and reports false
// if m is dropped: because too much waits already, because the connection is
// closed, or because its messages cannot be seen.
func (t *tap) hear(m pp.Message) bool {
	raw, err := m.MarshalBinary()
	if err != nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hearRaw(raw)
}

// hearRaw is hear with the lock held.
func (t *tap) hearRaw(raw []byte) bool {
	if t.dead || !t.claimed || t.opaque || t.hearingBytes+len(raw) > maxHearing {
		return false
	}
	t.hearing = append(t.hearing, raw)
	t.hearingBytes += len(raw)
	if t.reading {
		t.woken = true
		t.Conn.SetReadDeadline(time.Unix(1, 0))
	}
	select {
	case t.wake <- struct{}{}:
	default:
	}
	return true
}

// told copies waiting messages of this node. The lock is held.
func (t *tap) told(b []byte) (n int) {
	for n < len(b) && len(t.hearing) > 0 {
		if t.hearingAt == 0 {
			if last := len(t.inbound.order) - 1; last >= 0 {
				t.inbound.order[last].own++
			} else {
				t.inbound.order = append(t.inbound.order, run{own: 1})
			}
		}
		k := copy(b[n:], t.hearing[0][t.hearingAt:])
		n, t.hearingAt = n+k, t.hearingAt+k
		if t.hearingAt == len(t.hearing[0]) {
			t.hearingBytes -= t.hearingAt
			t.hearing, t.hearingAt = t.hearing[1:], 0
		}
	}
	return n
}

// Read gives the engine what the peer sent and, between its messages, what it is to
// hear. It follows the download limit.
func (t *tap) Read(b []byte) (int, error) {
	for {
		limit, err := t.mayRead(len(b))
		if err != nil {
			return 0, err
		}
		t.mu.Lock()
		if len(t.hearing) > 0 {
			missing := t.inbound.missing()
			if missing == 0 {
				n := t.told(b)
				t.mu.Unlock()
				return n, nil
			}
			limit = int(min(int64(limit), missing))
		}
		t.reading = true
		t.mu.Unlock()
		n, err := t.rw.Read(b[:limit])
		woken := t.awake()
		if n > 0 {
			t.saw(b[:n])
		}
		if woken && errors.Is(err, os.ErrDeadlineExceeded) {
			if n == 0 {
				continue
			}
			err = nil
		}
		return n, err
	}
}

// awake ends a read. It reports whether hear may have cut it short.
func (t *tap) awake() (woken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	woken = t.woken
	t.reading, t.woken = false, false
	if woken {
		t.Conn.SetReadDeadline(t.readDeadline)
	}
	return woken
}

// mayRead waits until the download limit allows a read, unless there is something to
// hear: then the message that is being read may end. It returns how much may be read.
func (t *tap) mayRead(n int) (int, error) {
	for t.up != nil {
		d, limit := t.up.down.wait(t.class())
		n = min(n, limit)
		if d == 0 {
			break
		}
		t.mu.Lock()
		now := len(t.hearing) > 0
		t.mu.Unlock()
		if now {
			break
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-t.wake:
			timer.Stop()
		case <-t.gone:
			timer.Stop()
			return 0, net.ErrClosed
		}
	}
	return n, nil
}

// saw follows the incoming stream.
func (t *tap) saw(b []byte) {
	if need := handshakeLen - len(t.in); need > 0 {
		k := min(need, len(b))
		t.mu.Lock()
		t.in = append(t.in, b[:k]...)
		if t.in[0] != 19 {
			t.opaque = true
		}
		t.mu.Unlock()
		b = b[k:]
	}
	if len(b) == 0 || !t.legible() {
		return
	}
	payload := t.inbound.follow(b)
	if t.up != nil {
		t.up.down.took(t.class(), payload)
	}
	t.awaitRest()
}

// legible reports whether the stream is one of plain messages, as far as either side's
// first bytes tell.
func (t *tap) legible() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.opaque
}

// A block comes in a dozen segments, and to be woken for each costs more than the rest of
// its way. The rest of a message that has begun comes for certain, or the connection ends,
// so a read waits for that; a little is not worth telling the system.
const (
	leastAwaited = 2 << 10
	mostAwaited  = 16 << 10
)

// awaitRest lets the next read wait until the message that has begun is here.
func (t *tap) awaitRest() {
	rest := int(min(t.inbound.left, mostAwaited))
	if rest < leastAwaited {
		rest = 0
	}
	if t.plain && rest != t.awaited {
		t.awaited = rest
		t.gauge.await(max(rest, 1))
	}
}

// SetReadDeadline implements net.Conn. hear sets others in between.
func (t *tap) SetReadDeadline(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readDeadline = at
	return t.Conn.SetReadDeadline(at)
}

// SetDeadline implements net.Conn.
func (t *tap) SetDeadline(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readDeadline = at
	return t.Conn.SetDeadline(at)
}
