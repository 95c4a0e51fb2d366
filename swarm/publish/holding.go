package publish

import (
	"handful/signing"
	"handful/swarm/channel"
)

// Holds says that all that was signed can be asked for.
func (s source) Holds(writer string) (channel.Holding, bool) {
	if !s.own(writer) {
		return s.holdsOf(writer)
	}
	h := s.p.log.Head()
	out := channel.Holding{Size: h.Size, Time: h.Time.Unix()}
	out.Root, out.Targets = versions(s.p.docs.newest())
	return out, h.Raw != nil
}

// holdsOf says what can be asked for of another writer.
func (s source) holdsOf(writer string) (channel.Holding, bool) {
	if s.p.known == nil {
		return channel.Holding{}, false
	}
	h, ok := s.p.known.holds(writer)
	if c := s.p.shelf.peek(writer); ok && c != nil && c.Head().Size == h.Size {
		h.First = 0
	}
	return h, ok
}

// versions returns those of documents, 0 for one that is not there.
func versions(root *signing.Root, targets *signing.Targets) (r, t int64) {
	if root != nil {
		r = root.Version()
	}
	if targets != nil {
		t = targets.Version()
	}
	return r, t
}

// Documents asks for documents that a peer claims to have.
func (s sink) Documents(peer channel.Peer, root int64) {
	if l := s.learner(); l != nil {
		l.mu.Lock()
		next := int64(1)
		if have := l.state.Root(); have != nil {
			next = have.Version() + 1
		}
		wants := l.state.Wants()
		l.mu.Unlock()
		s.p.channel.AskRoot(peer, next)
		s.ask(peer, signing.MainWriter, wants)
		return
	}
	s.newer(peer, root)
}

// UpdateWithin makes an update for a path, or an asker, that takes so many bytes.
func (s source) UpdateWithin(writer string, size int64, limit int) (signing.Update, bool) {
	if s.own(writer) {
		u, err := s.p.log.UpdateWithin(size, limit)
		return u, err == nil
	}
	known := s.p.known
	if known == nil {
		return signing.Update{}, false
	}
	// The copy has more entries than what is known, unless its head is an older one.
	if c := s.p.shelf.peek(writer); c != nil && c.Head().Size >= known.size(writer) {
		if u, err := c.UpdateWithin(size, limit); err == nil {
			u.Root, _ = versions(s.p.docs.newest())
			return u, true
		}
	}
	return known.updateWithin(writer, size, limit)
}

// Traffic returns how many bytes of messages this publisher's channel has sent and received.
func (p *Publisher) Traffic() (sent, received int64) { return p.channel.Traffic() }
