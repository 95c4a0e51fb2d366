package follow

import (
	"bytes"
	"context"
	"net/netip"
	"time"

	"handful/signing"
	"handful/swarm/discover"
)

// When a follower offers on the local network what it believes: so much later than it was
// heard of, and after enoughOffers others have done so only after offerRest.
const (
	offerWait    = time.Second
	offerSpread  = 4 * time.Second
	offerRest    = time.Minute
	enoughOffers = 2
	maxOverheard = 64 // offers that wait; more are dropped, as they are repeated
)

// offerUpdate is how many bytes of an update fit an offer's datagram.
const offerUpdate = discover.MaxOffer - 120

// overheard is an offer and where it came from.
type overheard struct {
	offer discover.Offer
	from  netip.AddrPort
}

// Hear takes an offer from the local network, of this channel or another, and returns at
// once. from is the socket that sent it.
func (f *Follower) Hear(o discover.Offer, from netip.AddrPort) {
	if o.ID != f.cfg.ID.String() {
		return
	}
	select {
	case f.offers <- overheard{o, from}:
	default:
	}
}

// hearAll takes what was heard, until ctx ends.
func (f *Follower) hearAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-f.offers:
			f.hearOffer(o)
		}
	}
}

func (f *Follower) hearOffer(o overheard) {
	u, err := signing.ParseUpdate(o.offer.Update)
	if err != nil || !signing.ValidWriter(o.offer.Writer) {
		return
	}
	if o.offer.Port > 0 {
		f.AddPeers(netip.AddrPortFrom(o.from.Addr(), o.offer.Port))
	}
	w := o.offer.Writer
	if head := f.trust.Head(w); head.Raw != nil && bytes.Equal(head.Raw, u.Head) {
		f.mu.Lock()
		f.echoes[w]++
		f.mu.Unlock()
		return
	}
	if len(u.Entries) > 0 { // of a head alone its sender is asked, as a peer
		ears{f}.Update(nobody, w, u)
	}
}

// offer puts what is believed on the local network, so that others find it there when the
// publisher is away: soon.
func (f *Follower) offer() {
	f.mu.Lock()
	due := f.offering
	f.offering = true
	if !due {
		clear(f.echoes)
	}
	wait := offerWait + time.Duration(f.cfg.Rand.Int64N(int64(offerSpread)))
	f.mu.Unlock()
	if !due && f.later != nil {
		f.later(wait, f.offerUnless)
	}
}

// offerUnless offers, or waits if others do.
func (f *Follower) offerUnless() {
	f.mu.Lock()
	enough := len(f.echoes) > 0
	for _, w := range f.trust.Writers() {
		enough = enough && f.echoes[w] >= enoughOffers
	}
	clear(f.echoes)
	if !enough {
		f.offering = false
	}
	f.mu.Unlock()
	if enough {
		f.later(offerRest, f.offerUnless)
		return
	}
	f.offerNow()
}

func (f *Follower) offerNow() {
	root := f.trust.Root()
	if root == nil || root.Private() || f.cfg.Node == nil {
		return
	}
	for _, w := range f.trust.Writers() {
		u, ok := f.trust.UpdateWithin(w, 0, offerUpdate)
		if !ok {
			continue
		}
		b := u.Bytes()
		if len(b) > offerUpdate {
			b = signing.Update{Head: u.Head}.Bytes()
		}
		o := discover.Offer{ID: f.cfg.ID.String(), Writer: w, Update: b}
		if err := f.cfg.Node.Offer(o); err != nil {
			f.cfg.Logger.Debug("not offered on the local network", "err", err)
		}
	}
}
