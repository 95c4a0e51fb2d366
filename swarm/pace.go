package swarm

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"handful/swarm/policy"
)

// Nodes tell each other what their lines carry, once they know: who can hardly send is not
// asked for what others have, see package policy.

const (
	// paceKept is how long a measurement holds: a line that is asked for nothing shows nothing.
	paceKept = time.Minute
	// paceChange is the factor by which a line must have changed for it to be said again.
	paceChange = 2
)

// pace returns what the line of a class carries, in bytes/s: what was measured of late, or
// the limit if that is less; 0: not known.
func (u *uplink) pace(c class) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := &u.lanes[c]
	rate := 0.0
	if n.top > 0 && u.now().Sub(n.felt) < paceKept {
		rate = n.top
	}
	if l := n.limit.rate; l > 0 && (rate == 0 || l < rate) {
		rate = l
	}
	return int64(min(rate, math.MaxUint32))
}

// pacePulse uses what an item's peers have said, and tells them what the line to them carries,
// when that is known and when it has become another.
func (n *Node) pacePulse(it *Item) {
	if it.gossip != nil {
		return
	}
	own := classWide
	for _, l := range it.sortedLinks() {
		if l.tap == nil || !l.greeted.Load() || l.closed {
			continue
		}
		n.usePace(l)
		if it.origin {
			continue
		}
		c := l.tap.class()
		rate := n.eng.uplink.pace(c)
		if !l.origin.Load() {
			own = max(own, c) // to the nearest
		}
		if otherPace(l.paceSaid, rate) {
			l.paceSaid = rate
			n.log.Debug("saying what the line carries", "peer", l.remote, "rate", rate)
			n.eng.send(l, extSwarm, binary.BigEndian.AppendUint32([]byte{kindPace}, uint32(rate)))
		}
	}
	if rate := n.eng.uplink.pace(own); it.sight != nil && otherPace(it.paceOwn, rate) {
		it.paceOwn = rate
		it.sight.OwnPace(rate, n.elapsed())
	}
}

// otherPace reports whether a rate differs so much from what was said that it is told.
func otherPace(said, rate int64) bool {
	if said == 0 || rate == 0 {
		return said != rate
	}
	return rate >= said*paceChange || rate*paceChange <= said
}

// paceHeard enters what a peer says of its line.
func (n *Node) paceHeard(l *link, body []byte) error {
	if len(body) != 4 {
		return fmt.Errorf("%w: a rate of %d bytes", errWire, len(body))
	}
	l.pace = int64(binary.BigEndian.Uint32(body)) // used at the next pulse, however often it is said
	n.log.Debug("a peer says what its line carries", "peer", l.remote, "rate", l.pace)
	return nil
}

// usePace lets the economy know of it.
func (n *Node) usePace(l *link) {
	it := l.item
	if it.sight != nil {
		it.sight.Pace(policy.Peer(l.id), l.pace, n.elapsed())
	}
	if it.grants != nil && it.haves[l.id] {
		it.grants.Pace(policy.Peer(l.id), l.pace)
	}
}
