package follow

import (
	"bytes"
	"cmp"
	"slices"

	"handful/signing"
	"handful/swarm/channel"
)

// maxCandidates bounds the updates that are kept at first contact, one a source.
const maxCandidates = 16

// contact is the first contact with a writer: what several sources tell is collected, so
// that none of them alone chooses what is believed.
type contact struct {
	offers []offered
	over   bool
}

// offered is what a source showed.
type offered struct {
	peer   channel.Peer
	source string
	update signing.Update
}

// collect keeps an update of the first contact for decide, and reports whether it did.
func (f *Follower) collect(p channel.Peer, writer string, u signing.Update) bool {
	if f.trust.Head(writer).Raw != nil || !slices.Contains(f.Writers(), writer) {
		return false
	}
	f.mu.Lock()
	c := f.contacts[writer]
	if c == nil {
		c = &contact{}
		f.contacts[writer] = c
	}
	if f.eager || c.over {
		f.mu.Unlock()
		return false
	}
	source := f.source(p)
	first := len(c.offers) == 0
	i := slices.IndexFunc(c.offers, func(o offered) bool { return o.source == source })
	switch o := (offered{p, source, u}); {
	case i >= 0:
		c.offers[i] = o
	case len(c.offers) < maxCandidates:
		c.offers = append(c.offers, o)
	}
	enough := len(c.offers) >= enoughSources
	f.mu.Unlock()
	switch {
	case enough:
		f.decide(writer)
	case first:
		f.later(listenTime, func() { f.decide(writer) })
	}
	return true
}

// source is what a peer is called as a source. The caller holds mu.
func (f *Follower) source(p channel.Peer) string {
	if p == nobody {
		return "the DHT"
	}
	return f.peers[p]
}

// decide ends the first contact with a writer: of all that was told the largest that
// verifies is believed, and the rest is held against it.
func (f *Follower) decide(writer string) {
	f.mu.Lock()
	c := f.contacts[writer]
	if c == nil {
		c = &contact{}
		f.contacts[writer] = c
	}
	if c.over {
		f.mu.Unlock()
		return
	}
	c.over = true
	offers := c.offers
	c.offers = nil
	f.mu.Unlock()
	if len(offers) > 0 {
		f.choose(writer, offers)
	}
	f.change(func() {})
	f.offer()
}

func (f *Follower) choose(writer string, offers []offered) {
	var updates []signing.Update
	for _, o := range offers {
		updates = append(updates, o.update)
	}
	acc, err := f.trust.FirstContact(writer, updates, f.cfg.Now())
	if err != nil {
		f.cfg.Logger.Debug("first contact", "channel", f.cfg.ID, "writer", writer, "err", err)
	}
	f.change(func() { f.note(err) })
	if acc.Changed {
		head := f.trust.Head(writer)
		if i := slices.IndexFunc(offers, func(o offered) bool { return bytes.Equal(o.update.Head, head.Raw) }); i >= 0 {
			f.wire.Push(writer, offers[i].update, offers[i].peer)
		}
	}
	// What each of them is worth is settled with each of them, the largest first: who is
	// behind is helped, who contradicts is asked for the proof.
	slices.SortStableFunc(offers, func(a, b offered) int { return cmp.Compare(claimed(b), claimed(a)) })
	for _, o := range offers {
		f.take(o.peer, writer, o.update)
	}
}

func claimed(o offered) int64 {
	h, err := signing.ParseHead(o.update.Head)
	if err != nil {
		return -1
	}
	return h.Size
}
