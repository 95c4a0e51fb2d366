package swarm

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"github.com/minio/sha256-simd"
)

// Where many come at once, all are told of each other, and each would dial everybody: of
// every two connections one is dropped again. So the two of a pair agree, without a word,
// on who dials first; the other does it later if nothing has come.
const (
	yieldSpan  = 100 * time.Millisecond
	yieldCrowd = 8 // known addresses, below which nobody waits
)

// meet dials what has just been learned.
func (n *Node) meet(it *Item, fresh []netip.AddrPort) {
	if len(it.book.addrs) >= yieldCrowd {
		time.AfterFunc(yieldSpan, func() {
			n.mail.tryPost(func() {
				if n.items[it.hash] == it {
					n.dialDue(it)
				}
			})
		})
		until := n.cfg.Now().Add(yieldSpan)
		for _, ap := range fresh {
			if own := n.seenAs(ap.Addr()); own.IsValid() && !dialsFirst(it.hash, own, ap) {
				it.book.yield(ap, until)
			}
		}
	}
	n.dialDue(it)
}

// seenAs returns the address by which a peer most likely knows this node; the zero address
// if there is none of its kind. Behind a NAT it is wrong, and then both wait or neither.
func (n *Node) seenAs(peer netip.Addr) netip.AddrPort {
	links := n.lan.links.Load()
	if links == nil {
		return netip.AddrPort{}
	}
	var found netip.Addr
	for _, link := range *links {
		for _, p := range link.Addrs {
			if p.Contains(peer) {
				return netip.AddrPortFrom(p.Addr(), n.Port())
			}
			if !found.IsValid() && p.Addr().Is4() == peer.Is4() && !p.Addr().IsLoopback() {
				found = p.Addr()
			}
		}
	}
	if !found.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(found, n.Port())
}

// dialsFirst tells who of a pair dials the other: of all that a node knows about half.
func dialsFirst(ih Infohash, own, peer netip.AddrPort) bool {
	low, high := own, peer
	if own.Compare(peer) > 0 {
		low, high = peer, own
	}
	pair := slices.Clone(ih[:])
	for _, ap := range []netip.AddrPort{low, high} {
		a := ap.Addr().As16()
		pair = binary.BigEndian.AppendUint16(append(pair, a[:]...), ap.Port())
	}
	return sha256.Sum256(pair)[0]&1 == 0 == (own == low)
}
