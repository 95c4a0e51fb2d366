package follow

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"handful/signing"
	"handful/swarm/channel"
)

// How many updates are kept at first contact, and how many of one source: behind one address
// there may be several, honest ones too.
const (
	maxCandidates = 16
	maxOfSource   = 4
)

// contact is the first contact with a writer: what several sources tell is collected, so
// that none of them alone chooses what is believed.
type contact struct {
	offers []offered
	over   bool
}

// add keeps what a peer shows, in place of what it showed before.
func (c *contact) add(o offered) {
	same := 0
	for i, old := range c.offers {
		if old.peer == o.peer && old.source == o.source {
			c.offers[i] = o
			return
		}
		if old.source == o.source {
			same++
		}
	}
	if same < maxOfSource && len(c.offers) < maxCandidates {
		c.offers = append(c.offers, o)
	}
}

// sources counts those who have shown something.
func (c *contact) sources() int {
	all := make(map[string]bool)
	for _, o := range c.offers {
		all[o.source] = true
	}
	return len(all)
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
	c.add(offered{p, source, u})
	enough := c.sources() >= enoughSources
	f.mu.Unlock()
	switch {
	case enough:
		f.decide(writer)
	case first:
		f.later(listenTime, func() { f.decide(writer) })
	}
	return true
}

// What news that no address vouches for come from.
const (
	anySource    = "the DHT"
	bundleSource = "a bundle"
)

// source is what a peer is called as a source. The caller holds mu.
func (f *Follower) source(p channel.Peer) string {
	if p == nobody {
		return anySource
	}
	return f.peers[p]
}

// sourceOf names the source at an address, whatever its port: a machine has 65535 of them,
// and with IPv6 mostly the 2^64 addresses of a network.
func sourceOf(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return "an unknown address"
	}
	return p.String()
}

// asked notes that a source was asked. The caller holds mu.
func (f *Follower) asked(name string) {
	if len(f.met) < maxTold {
		f.met[name] = true
	}
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
