package swarm

import (
	"net/netip"
	"time"
)

// maxKnown bounds an item's address book: anybody may name addresses.
const maxKnown = 2000

// Retry times of an address that does not answer, and how long it may take to answer.
const (
	firstRetry = 2 * time.Second
	lastRetry  = 2 * time.Minute
	dialSpan   = time.Second
)

// source says who named an address.
type source uint8

const (
	fromUser source = iota // --peer, a link's hint: kept for ever
	fromLAN
	fromTracker
	fromDHT
	fromPEX
)

// book is an item's list of addresses. It is owned by the node's loop.
type book struct {
	addrs map[netip.AddrPort]*address
}

type address struct {
	source source
	tries  int
	tried  time.Time // last dialled
	next   time.Time // not dialled before
	banned bool
	silent bool // answered no requests: not hurried
	origin bool // as it said when it was connected
}

func newBook() *book { return &book{addrs: make(map[netip.AddrPort]*address)} }

// add enters an address and reports whether it is new.
func (b *book) add(ap netip.AddrPort, s source) bool {
	ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	if !ap.IsValid() || ap.Port() == 0 || ap.Addr().IsUnspecified() || ap.Addr().IsMulticast() {
		return false
	}
	if a := b.addrs[ap]; a != nil {
		a.source = min(a.source, s)
		return false
	}
	if len(b.addrs) >= maxKnown && !b.evict() {
		return false
	}
	b.addrs[ap] = &address{source: s}
	return true
}

// evict drops one address that has failed often and that the user did not name.
func (b *book) evict() bool {
	var worst netip.AddrPort
	tries := 2
	for ap, a := range b.addrs {
		if a.source != fromUser && !a.banned && a.tries > tries {
			worst, tries = ap, a.tries
		}
	}
	if !worst.IsValid() {
		return false
	}
	delete(b.addrs, worst)
	return true
}

// ban keeps an address from being dialled again.
func (b *book) ban(ap netip.AddrPort) {
	b.add(ap, fromPEX)
	if a := b.addrs[ap]; a != nil {
		a.banned = true
	}
}

// setOrigin notes that an address is an origin's.
func (b *book) setOrigin(ap netip.AddrPort) {
	if a := b.addrs[ap]; a != nil {
		a.origin = true
	}
}

func (b *book) origin(ap netip.AddrPort) bool {
	a := b.addrs[ap]
	return a != nil && a.origin
}

// due returns the addresses to dial now, at most n, those first that the user named, and
// notes the attempt. Those that need not be dialled, because they are connected or for
// another reason, are left out.
func (b *book) due(now time.Time, n int, needless func(netip.AddrPort) bool) (out []netip.AddrPort) {
	var named, other []netip.AddrPort
	for ap, a := range b.addrs {
		switch {
		case a.banned || now.Before(a.next):
		case needless(ap):
			a.tries = 0
		case a.source == fromUser:
			named = append(named, ap)
		default:
			other = append(other, ap)
		}
	}
	out = append(named, other...)
	out = out[:max(0, min(n, len(out)))]
	for _, ap := range out {
		a := b.addrs[ap]
		wait := firstRetry << min(a.tries, 6)
		a.tries++
		a.tried = now
		a.next = now.Add(min(wait, lastRetry))
	}
	return out
}

// underWay counts the addresses that were dialled just now and may answer yet.
func (b *book) underWay(now time.Time, connected func(netip.AddrPort) bool) (n int) {
	for ap, a := range b.addrs {
		if a.tries > 0 && now.Sub(a.tried) < dialSpan && !connected(ap) {
			n++
		}
	}
	return n
}

// yield puts off the first attempt at an address.
func (b *book) yield(ap netip.AddrPort, until time.Time) {
	if a := b.addrs[ap]; a != nil && a.source != fromUser && a.tries == 0 {
		a.next = until
	}
}

// alive notes that an address has just been heard of by its own word: it is dialled
// again soon, however often that failed before.
func (b *book) alive(ap netip.AddrPort) {
	if a := b.addrs[ap]; a != nil {
		a.tries = 0
		a.next = a.tried.Add(firstRetry)
	}
}

// lost notes that the connection to a peer went silent: it is dialled again soon.
func (b *book) lost(ap netip.AddrPort, now time.Time) {
	if a := b.addrs[ap]; a != nil {
		a.tries = 0
		a.next = now.Add(firstRetry)
	}
}

// hurry makes every address due, after a long time without progress.
func (b *book) hurry() {
	for _, a := range b.addrs {
		if !a.silent {
			a.next = time.Time{}
		}
	}
}

// snubbed notes that a peer took requests and answered none: it is dialled again
// as late as one that could not be reached many times.
func (b *book) snubbed(ap netip.AddrPort, now time.Time) {
	if a := b.addrs[ap]; a != nil {
		a.silent = true
		a.next = now.Add(lastRetry)
	}
}
