package channel

import (
	"maps"
	"slices"
	"time"

	"handful/signing"
)

const (
	// News that come faster than this are passed on together, so that who says a thousand
	// things in a minute costs everybody a few messages a second and not a few for each: a node
	// that has pushed waits so long until it pushes again, an origin longer, since what it
	// says together stays together on all ways.
	pushEvery       = 150 * time.Millisecond
	originPushEvery = 250 * time.Millisecond

	maxTogether = 32 // entries that are passed on together

	// farewell is how long the last of them may take to leave this machine.
	farewell = 500 * time.Millisecond
)

// push is news that wait to be passed on.
type push struct {
	at   time.Time
	from int64 // entries that whoever has not heard of them holds
	but  Peer  // whom they came from, all of them; 0: several, or this node
}

// Push tells news to a few peers, not to one, which may be 0: whoever they came from. The
// others hear of them from those. The update must be of what this node now holds. What
// follows soon after is told together, a little later.
func (c *Channel) Push(writer string, u signing.Update, but Peer) {
	s := c.spread
	now, every := c.now(), pushEvery
	if s.origin {
		every = originPushEvery
	}
	s.mu.Lock()
	next, waits := s.pushes[writer]
	switch due := s.pushed[writer].Add(every); {
	case waits:
		if next.but != but {
			next.but = 0
		}
		next.from = min(next.from, u.Size)
		s.pushes[writer] = next
	case now.Before(due):
		s.pushes[writer], waits = push{due, u.Size, but}, true
	default:
		s.pushed[writer] = now
	}
	s.mu.Unlock()
	if waits {
		s.poke()
		return
	}
	s.push(writer, u, but)
}

// pushDue pushes what has waited, and reports whether there was any.
func (s *spread) pushDue(now time.Time) bool {
	s.mu.Lock()
	due := make(map[string]push)
	for w, p := range s.pushes {
		if !p.at.After(now) {
			due[w] = p
			delete(s.pushes, w)
			s.pushed[w] = now
		}
	}
	s.mu.Unlock()
	for _, w := range slices.Sorted(maps.Keys(due)) {
		ours, _ := s.c.source.Holds(w)
		// Who lacks more asks for it, instead of being sent what it most likely has.
		if u, ok := s.c.source.UpdateFor(w, max(due[w].from, ours.Size-maxTogether)); ok {
			s.push(w, u, due[w].but)
		}
	}
	return len(due) > 0
}

// push tells a few peers now.
func (s *spread) push(writer string, u signing.Update, but Peer) {
	c := s.c
	ours, ok := c.source.Holds(writer)
	if !ok {
		return
	}
	b := message{answer: true, topic: topicUpdate, writer: writer, value: u.Bytes()}.bytes()
	n, wait := fanout, lateTime
	if s.origin {
		n, wait = originFanout, originLateTime
	}
	s.mu.Lock()
	to := s.lacking(writer, ours, but, n)
	for _, p := range to {
		told := ours
		told.First = ours.Size
		s.remember(p, writer, told, false)
	}
	if _, due := s.late[writer]; !due {
		s.late[writer] = c.now().Add(wait)
	}
	s.mu.Unlock()
	for _, p := range to {
		c.gossip.Send(p, b)
	}
	s.poke()
}
