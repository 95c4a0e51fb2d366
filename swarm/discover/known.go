package discover

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"handful/manifest/bencode"
)

const (
	// MaxKnown is how many peers a Known remembers.
	MaxKnown = 256
	// maxFailures is after how many failures in a row a peer is forgotten.
	maxFailures = 10
	// knownFor is how long a peer is remembered that is not heard of.
	knownFor = 60 * 24 * time.Hour
	// maxKnownBytes bounds the stored form: an entry has at most 1+21+3*13+1+1.
	maxKnownBytes = 64 + MaxKnown*80
)

// KnownPeer is what is remembered of one peer.
type KnownPeer struct {
	Addr     netip.AddrPort // never IPv4-mapped, never with a zone
	Seen     time.Time      // last time anything was heard of it; whole seconds, UTC
	Useful   time.Time      // last time it sent something wanted; zero: never
	Failures int            // failed attempts since it was last useful or seen alive
}

// Known remembers peers of one swarm over restarts, at most [MaxKnown], the less
// promising ones forgotten first. The zero value is empty. It is a pure value
// with one owner and not safe for use by several goroutines.
type Known struct {
	peers map[netip.AddrPort]KnownPeer
}

// canonical returns the form under which addr is kept. Addresses that mean
// another thing tomorrow (link-local, with a zone) or nothing at all are refused.
func canonical(addr netip.AddrPort) (netip.AddrPort, bool) {
	a := addr.Addr().Unmap()
	ok := a.IsValid() && addr.Port() != 0 && a.Zone() == "" &&
		!a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
	return netip.AddrPortFrom(a, addr.Port()), ok
}

func (k *Known) change(addr netip.AddrPort, absent bool, f func(*KnownPeer)) {
	addr, ok := canonical(addr)
	if !ok {
		return
	}
	p, known := k.peers[addr]
	if !known {
		if !absent {
			return
		}
		p.Addr = addr
	}
	f(&p)
	if k.peers == nil {
		k.peers = make(map[netip.AddrPort]KnownPeer)
	}
	k.peers[addr] = p
	if len(k.peers) > MaxKnown {
		delete(k.peers, k.worst())
	}
}

// worst is who is forgotten first: the least promising of those that were never
// useful, so that nobody can push out useful peers by naming many others.
func (k *Known) worst() netip.AddrPort {
	all := k.All()
	for _, p := range slices.Backward(all) {
		if p.Useful.IsZero() {
			return p.Addr
		}
	}
	return all[len(all)-1].Addr
}

// Heard records that addr was named, or was connected to, at now.
func (k *Known) Heard(addr netip.AddrPort, now time.Time) {
	k.change(addr, true, func(p *KnownPeer) { p.Seen = later(p.Seen, now) })
}

// Useful records that addr sent something wanted at now.
func (k *Known) Useful(addr netip.AddrPort, now time.Time) {
	k.change(addr, true, func(p *KnownPeer) {
		p.Seen, p.Useful, p.Failures = later(p.Seen, now), later(p.Useful, now), 0
	})
}

// Failed records that an attempt to reach addr failed. After 10 failures in a row
// the peer is forgotten. An address that is not known stays so.
func (k *Known) Failed(addr netip.AddrPort) {
	k.change(addr, false, func(p *KnownPeer) { p.Failures++ })
	if addr, _ = canonical(addr); k.peers[addr].Failures >= maxFailures {
		delete(k.peers, addr)
	}
}

// Prune forgets what was not heard of for 60 days before now.
func (k *Known) Prune(now time.Time) {
	for addr, p := range k.peers {
		if now.Sub(p.Seen) > knownFor {
			delete(k.peers, addr)
		}
	}
}

// Len returns how many peers are remembered.
func (k *Known) Len() int { return len(k.peers) }

// All returns the peers, the most promising first: fewest failures, then last
// useful, then last seen, then by address.
func (k *Known) All() []KnownPeer {
	all := make([]KnownPeer, 0, len(k.peers))
	for _, p := range k.peers {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b KnownPeer) int {
		return cmp.Or(cmp.Compare(a.Failures, b.Failures), b.Useful.Compare(a.Useful),
			b.Seen.Compare(a.Seen), a.Addr.Compare(b.Addr))
	})
	return all
}

// later returns the later of a and b in whole seconds, never before 1970: a clock
// that is set back does not make a peer look forgotten.
func later(a, b time.Time) time.Time {
	b = time.Unix(min(max(0, b.Unix()), maxUnix), 0).UTC()
	if a.After(b) {
		return a
	}
	return b
}

// Bytes prints k in strict bencode, peers ascending by address:
//
//	d1:pl l <4 or 16 bytes of address, 2 of port> i<seen>e i<useful, 0: never>e i<failures>e e … e 1:vi1ee
func (k *Known) Bytes() []byte {
	all := k.All()
	slices.SortFunc(all, func(a, b KnownPeer) int { return a.Addr.Compare(b.Addr) })
	b := []byte("d1:pl")
	for _, p := range all {
		addr := p.Addr.Addr().AsSlice()
		addr = append(addr, byte(p.Addr.Port()>>8), byte(p.Addr.Port()))
		b = append(b, 'l')
		b = bencode.AppendString(b, addr)
		b = bencode.AppendInt(b, p.Seen.Unix())
		useful := int64(0)
		if !p.Useful.IsZero() {
			useful = p.Useful.Unix()
		}
		b = bencode.AppendInt(b, useful)
		b = bencode.AppendInt(b, int64(p.Failures))
		b = append(b, 'e')
	}
	return append(b, "e1:vi1ee"...)
}

// ParseKnown reads what Bytes prints and nothing else. No input makes it hold
// more than [MaxKnown] peers.
func ParseKnown(b []byte) (*Known, error) {
	if len(b) > maxKnownBytes {
		return nil, fmt.Errorf("%w known peers: %d bytes, at most %d", ErrMalformed, len(b), maxKnownBytes)
	}
	k := &Known{peers: make(map[netip.AddrPort]KnownPeer)}
	r := bencode.NewReader(b)
	var last netip.AddrPort
	keys := 0
	r.Dict(func(key string) {
		keys++
		switch key {
		case "p":
			r.List(func() {
				p := readKnown(r)
				switch {
				case r.Err() != nil:
				case last.IsValid() && last.Compare(p.Addr) >= 0:
					r.Fail(fmt.Errorf("peers not ascending at %s", p.Addr))
				case len(k.peers) == MaxKnown:
					r.Fail(fmt.Errorf("more than %d peers", MaxKnown))
				default:
					k.peers[p.Addr] = p
					last = p.Addr
				}
			})
		case "v":
			if v := r.Int(); r.Err() == nil && v != 1 {
				r.Fail(fmt.Errorf("version %d, this program reads 1", v))
			}
		default:
			r.Fail(fmt.Errorf("unknown key %.20q", key))
		}
	})
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("%w known peers: %w", ErrMalformed, err)
	}
	if keys != 2 {
		return nil, fmt.Errorf("%w known peers: %d of 2 keys", ErrMalformed, keys)
	}
	return k, nil
}

func readKnown(r *bencode.Reader) KnownPeer {
	var p KnownPeer
	field := 0
	r.List(func() {
		switch field {
		case 0:
			p.Addr = readAddrPort(r)
		case 1:
			p.Seen = readTime(r)
		case 2:
			p.Useful = readTime(r)
		case 3:
			n := r.Int()
			if n < 0 || n >= maxFailures {
				r.Fail(fmt.Errorf("%d failures", n))
			}
			p.Failures = int(n)
		default:
			r.Fail(fmt.Errorf("a peer has 4 fields"))
		}
		field++
	})
	if field != 4 {
		r.Fail(fmt.Errorf("a peer has 4 fields, not %d", field))
	}
	if p.Useful.Unix() == 0 {
		p.Useful = time.Time{}
	}
	return p
}

func readAddrPort(r *bencode.Reader) netip.AddrPort {
	b := r.Bytes()
	if r.Err() != nil {
		return netip.AddrPort{}
	}
	if len(b) != 6 && len(b) != 18 {
		r.Fail(fmt.Errorf("address of %d bytes", len(b)))
		return netip.AddrPort{}
	}
	n := len(b) - 2
	ip, _ := netip.AddrFromSlice(b[:n])
	addr := netip.AddrPortFrom(ip, uint16(b[n])<<8|uint16(b[n+1]))
	if c, ok := canonical(addr); !ok || c != addr {
		r.Fail(fmt.Errorf("address %s is not one to remember", addr))
	}
	return addr
}

// maxUnix is the end of the year 9999.
const maxUnix = 253402300799

func readTime(r *bencode.Reader) time.Time {
	n := r.Int()
	if n < 0 || n > maxUnix {
		r.Fail(fmt.Errorf("time %d", n))
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
