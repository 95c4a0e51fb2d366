package swarm

import (
	"slices"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// The blocks of a connection that wait for a turn of the uplink.

// enqueue lets a block wait.
func (t *tap) enqueue(key block, raw []byte) {
	t.queue = append(t.queue, waiting{key, raw})
	t.queued += len(raw)
	t.hold(len(raw))
	t.asked.Add(int64(len(raw)))
}

// schedule tells the uplink of waiting blocks.
func (t *tap) schedule() {
	if len(t.queue) > 0 && !t.scheduled {
		t.scheduled = true
		t.up.await(&t.lease, t.due())
	}
}

// unqueue takes back all blocks, after a Choke: without the extension of BEP 6 the
// peer has forgotten that it asked for them, with it it must be told.
func (t *tap) unqueue(out []byte) []byte {
	for _, w := range t.queue {
		if t.fast() {
			out = appendReject(out, w)
		}
	}
	t.hold(-t.queued)
	t.queue, t.queued = nil, 0
	t.room.Broadcast()
	return out
}

func appendReject(out []byte, w waiting) []byte {
	return append(out, pp.Message{
		Type: pp.Reject, Index: pp.Integer(w.key.piece), Begin: pp.Integer(w.key.begin), Length: pp.Integer(content(w.raw)),
	}.MustMarshalBinary()...)
}

// cancel takes back a block that waits, and tells the peer where BEP 6 demands it.
// It reports false if the block does not wait here.
func (t *tap) cancel(key block) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.queue, func(w waiting) bool { return w.key == key })
	if i < 0 {
		return false
	}
	w := t.queue[i]
	t.queue = slices.Delete(t.queue, i, i+1)
	t.queued -= len(w.raw)
	t.hold(-len(w.raw))
	t.room.Broadcast()
	if t.fast() {
		t.say(appendReject(nil, w))
	}
	return true
}

// turn implements flow.
func (t *tap) turn(size int) { go t.send(size) }

// send writes a block that has its turn, of size bytes when that was given.
func (t *tap) send(size int) {
	t.writing.Lock()
	t.mu.Lock()
	out := t.ctl
	t.ctl = nil
	payload, next := 0, due{}
	if len(t.queue) > 0 {
		i := t.first()
		w := t.queue[i]
		t.queue = slices.Delete(t.queue, i, i+1)
		t.queued -= len(w.raw)
		t.hold(-len(w.raw))
		if w.key.piece != t.current {
			t.current, t.run = w.key.piece, 0
		}
		t.run += len(w.raw)
		t.out.given.add(w.key.piece)
		payload = content(w.raw)
		if len(out) == 0 {
			out = w.raw
		} else {
			out = append(out, w.raw...)
		}
	}
	if len(t.queue) > 0 {
		next = t.due()
	} else {
		t.scheduled = false
	}
	t.room.Broadcast()
	t.mu.Unlock()
	var err error
	if len(out) > 0 {
		_, err = t.rw.Write(out)
	}
	t.writing.Unlock()
	t.passed(payload, err)
	t.up.took(&t.lease, size, size-payload, next)
	t.up.left()
}

// first is the place in the queue of the block that goes next: of the piece that is
// being sent, since the engine answers requests in random order, and else of one that
// nobody was sent yet. The queue is not empty.
func (t *tap) first() int {
	if i := slices.IndexFunc(t.queue, func(w waiting) bool { return w.key.piece == t.current }); i >= 0 {
		return i
	}
	i := slices.IndexFunc(t.queue, func(w waiting) bool { return t.out.given.fresh(w.key.piece) })
	return max(0, i)
}

// due describes the block that goes next. The queue is not empty.
func (t *tap) due() due {
	w := t.queue[t.first()]
	return due{size: len(w.raw), fresh: t.out.given.fresh(w.key.piece), more: w.key.piece == t.current && t.run > 0 && t.run < maxRun}
}
