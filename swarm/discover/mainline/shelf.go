package mainline

import (
	"bytes"
	"crypto/sha1"
	"net/netip"
	"slices"
	"time"
)

// Bounds of what is kept for others, all in memory: about 2 MiB of items and 2 MiB of
// peers.
const (
	maxItems          = 1000
	maxItemsPerHost   = 100 // put from one public address
	maxSwarms         = 1000
	maxPeersPerSwarm  = 60
	maxPeersPerHost   = 4 // of one public address in one swarm: people behind one router
	itemLife          = 2 * time.Hour
	peerLife          = 45 * time.Minute
	errorProtocol     = 203
	errorUnknown      = 204
	errorValueTooBig  = 205
	errorBadSignature = 206
	errorSaltTooBig   = 207
	errorCasMismatch  = 301
	errorSeqTooLow    = 302
)

// refusal is why a query is answered with an error (BEP 5, BEP 44); the zero value: it
// is not.
type refusal struct {
	code int64
	text string
}

// shelf keeps what others put here: items (BEP 44) and peers (BEP 5). It has one owner.
type shelf struct {
	items map[[20]byte]*shelved
	peers map[[20]byte][]announced
}

// shelved is an item, mutable or not.
type shelved struct {
	body // value, and of a mutable one key, salt, seq, sig
	from netip.Addr
	at   time.Time
}

type announced struct {
	addr netip.AddrPort
	at   time.Time
}

func newShelf() *shelf {
	return &shelf{items: make(map[[20]byte]*shelved), peers: make(map[[20]byte][]announced)}
}

// item returns an item, or nil.
func (s *shelf) item(target [20]byte, now time.Time) *shelved {
	it := s.items[target]
	if it != nil && now.Sub(it.at) > itemLife {
		delete(s.items, target)
		return nil
	}
	return it
}

// put keeps the item of a query, or says why not.
func (s *shelf) put(o body, from netip.Addr, now time.Time) refusal {
	if len(o.value) == 0 {
		return refusal{errorProtocol, "no value"}
	}
	target := sha1.Sum(o.value)
	if o.key != nil || o.sig != nil {
		if o.key == nil || o.sig == nil || o.seq == nil {
			return refusal{errorProtocol, "a mutable item needs k, seq and sig"}
		}
		it := Item{Key: *o.key, Salt: o.salt, Seq: *o.seq, Value: o.value, Sig: *o.sig}
		if it.Check() != nil {
			return refusal{errorBadSignature, "invalid signature"}
		}
		target = it.Target()
	}
	old := s.item(target, now)
	switch {
	case old == nil:
		if why := s.room(from, now); why.code != 0 {
			return why
		}
	case o.key == nil:
	case o.cas != nil && *o.cas != *old.seq:
		return refusal{errorCasMismatch, "the CAS hash mismatched, re-read value and try again"}
	case *o.seq < *old.seq, *o.seq == *old.seq && !bytes.Equal(o.value, old.value):
		return refusal{errorSeqTooLow, "sequence number less than current"}
	}
	s.items[target] = &shelved{
		body: body{value: o.value, key: o.key, salt: o.salt, seq: o.seq, sig: o.sig}, from: from, at: now,
	}
	return refusal{}
}

// room makes room for one more item.
func (s *shelf) room(from netip.Addr, now time.Time) refusal {
	mine := 0
	var oldest [20]byte
	var at time.Time
	for target, it := range s.items {
		if now.Sub(it.at) > itemLife {
			delete(s.items, target)
			continue
		}
		if it.from == from {
			mine++
		}
		if at.IsZero() || it.at.Before(at) {
			oldest, at = target, it.at
		}
	}
	if mine >= maxItemsPerHost && !inner(from) {
		return refusal{errorProtocol, "too many items of one address"}
	}
	if len(s.items) >= maxItems {
		delete(s.items, oldest)
	}
	return refusal{}
}

// announce keeps a peer of a swarm.
func (s *shelf) announce(infohash [20]byte, peer netip.AddrPort, now time.Time) {
	list := s.live(infohash, now)
	list = slices.DeleteFunc(list, func(a announced) bool { return a.addr == peer })
	if !inner(peer.Addr()) {
		same := 0
		for i := len(list) - 1; i >= 0; i-- { // newest first: the oldest of the address goes
			if list[i].addr.Addr() != peer.Addr() {
				continue
			}
			if same++; same >= maxPeersPerHost {
				list = slices.Delete(list, i, i+1)
			}
		}
	}
	if len(list) >= maxPeersPerSwarm {
		list = slices.Delete(list, 0, 1)
	}
	if len(list) == 0 && len(s.peers) >= maxSwarms {
		s.forgetSwarm(now)
	}
	s.peers[infohash] = append(list, announced{peer, now})
}

// live returns the peers of a swarm that have announced lately, oldest first.
func (s *shelf) live(infohash [20]byte, now time.Time) []announced {
	list := s.peers[infohash]
	fresh := slices.IndexFunc(list, func(a announced) bool { return now.Sub(a.at) <= peerLife })
	if fresh < 0 {
		delete(s.peers, infohash)
		return nil
	}
	return list[fresh:]
}

// forgetSwarm makes room for another swarm: those go of which nobody is left, else the
// one that was announced to least lately.
func (s *shelf) forgetSwarm(now time.Time) {
	var oldest [20]byte
	var at time.Time
	for infohash, list := range s.peers {
		last := list[len(list)-1].at
		if now.Sub(last) > peerLife {
			delete(s.peers, infohash)
		} else if at.IsZero() || last.Before(at) {
			oldest, at = infohash, last
		}
	}
	if len(s.peers) >= maxSwarms {
		delete(s.peers, oldest)
	}
}

// swarm returns peers of the wanted families, those that announced last first.
func (s *shelf) swarm(infohash [20]byte, w want, now time.Time) (out []netip.AddrPort) {
	for _, a := range slices.Backward(s.live(infohash, now)) {
		if v4 := a.addr.Addr().Is4(); v4 && w.v4 || !v4 && w.v6 {
			out = append(out, a.addr)
		}
	}
	return out
}
