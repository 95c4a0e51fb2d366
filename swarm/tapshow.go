package swarm

import (
	"encoding/binary"
	"slices"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// What a connection says about the pieces that this node has: Haves may wait for
// each other, and an origin shows what it wants to be asked for (BEP 16).

func appendHave(out []byte, piece int) []byte {
	out = append(out, 0, 0, 0, 5, byte(pp.Have))
	return binary.BigEndian.AppendUint32(out, uint32(piece))
}

// have handles a Have of the engine.
func (t *tap) have(out, raw []byte) []byte {
	piece := int(binary.BigEndian.Uint32(raw[5:]))
	switch {
	case t.out.conceal:
		return out
	case t.out.urgent == nil:
		return append(out, raw...)
	case slices.Contains(t.early, piece):
		t.early = slices.DeleteFunc(t.early, func(p int) bool { return p == piece })
		return out
	case t.out.urgent(piece):
		return append(t.release(out), raw...)
	}
	if len(t.held) == 0 {
		t.heldSince = t.now()
	}
	t.held = append(t.held, piece)
	t.up.nudge() // with nothing to send it is offered
	return out
}

// maxEarly bounds the Haves that were sent before the engine's.
const maxEarly = 256

// haveNow sends the Have of a piece at once, that the engine has sent or is about to.
func (t *tap) haveNow(piece int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead || t.opaque || t.out.conceal || t.out.urgent == nil || t.out.urgent(piece) {
		return
	}
	if i := slices.Index(t.held, piece); i >= 0 {
		t.held = slices.Delete(t.held, i, i+1)
	} else if len(t.early) < maxEarly {
		t.early = append(t.early, piece)
	}
	t.say(appendHave(nil, piece))
}

// release appends the Haves that were held, but for those of which the peer needs
// no word any more.
func (t *tap) release(out []byte) []byte {
	for _, piece := range t.held {
		if t.out.has == nil || !t.out.has(piece) {
			out = appendHave(out, piece)
		}
	}
	t.held = t.held[:0]
	return out
}

// pulse sends the Haves that have been held for long enough, all in one write.
func (t *tap) pulse(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead || len(t.held) == 0 || now.Sub(t.heldSince) < haveHold {
		return
	}
	if out := t.release(nil); len(out) > 0 {
		t.say(out)
	}
}

// takeHeld returns the pieces whose Haves were held and the peer needs word of; it is
// for the caller to tell.
func (t *tap) takeHeld() []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead || len(t.held) == 0 {
		return nil
	}
	var out []int
	for _, piece := range t.held {
		if t.out.has == nil || !t.out.has(piece) {
			out = append(out, piece)
		}
	}
	t.held = t.held[:0]
	return out
}

// introduce handles the engine's word on all that this node has. BEP 6 demands one
// such message; without it none is needed.
func (t *tap) introduce(out, raw []byte) []byte {
	if !t.out.conceal {
		return append(out, raw...)
	}
	if t.introduced || !t.fast() {
		return out
	}
	t.introduced = true
	out = append(out, 0, 0, 0, 1, byte(pp.HaveNone))
	for _, piece := range t.unsaid {
		out = appendHave(out, piece)
	}
	t.unsaid = nil
	return out
}

// reveal tells a peer from which they are concealed that this node has these
// pieces.
func (t *tap) reveal(pieces []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead || t.opaque {
		return
	}
	if t.fast() && !t.introduced {
		t.unsaid = append(t.unsaid, pieces...)
		return
	}
	var out []byte
	for _, piece := range pieces {
		out = appendHave(out, piece)
	}
	if len(out) > 0 {
		t.say(out)
	}
}
