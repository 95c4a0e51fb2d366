package swarm

import (
	"encoding/binary"
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
	case t.out.urgent(piece):
		return append(t.release(out), raw...)
	}
	if t.out.later != nil && t.out.later(piece) {
		if len(t.later) == 0 {
			t.laterSince = t.now()
		}
		t.later = append(t.later, piece)
		return out
	}
	if len(t.held) == 0 {
		t.heldSince = t.now()
	}
	t.held = append(t.held, piece)
	t.up.nudge() // with nothing to send it is said at once
	return out
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

// pulse sends the Haves that have been held for long enough, all in one write; with idle,
// those too that have not, if an equal is to hear them: this node has nothing else to send,
// and is to be asked for more.
func (t *tap) pulse(now time.Time, idle bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead {
		return
	}
	out := t.ahead.lose(nil, now)
	if len(t.later) > 0 && now.Sub(t.laterSince) >= laterHold {
		t.recall()
		out = t.release(out)
	}
	idle = idle && (t.out.equal == nil || t.out.equal())
	if len(t.held) > 0 && (idle || now.Sub(t.heldSince) >= haveHold) {
		out = t.release(out)
	}
	if len(out) > 0 {
		t.say(out)
	}
}

// recall lets what is held for longer be said with what is held.
func (t *tap) recall() {
	t.held = append(t.held, t.later...)
	t.later = t.later[:0]
}

// sayLater sends at once what is held for longer: somebody of whom the peer was told is gone.
func (t *tap) sayLater() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dead || len(t.later) == 0 {
		return
	}
	t.recall()
	if out := t.release(nil); len(out) > 0 {
		t.say(out)
	}
}

// speakFor tells who is farther of what else is here, when an equal is gone who had told
// them of its pieces.
func (n *Node) speakFor(it *Item, gone *link) {
	if tier := Tier(gone.tier.Load()); tier != TierLink && tier != TierSite {
		return
	}
	for _, l := range it.links {
		if l.tap != nil {
			l.tap.sayLater()
		}
	}
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
