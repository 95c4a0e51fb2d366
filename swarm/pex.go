package swarm

import (
	"encoding/binary"
	"net/netip"
	"time"

	"handful/manifest/bencode"
)

// Peer exchange (BEP 11) of our own: it never names an origin, and with
// Config.LANOnly nothing from outside the interfaces' prefixes. Ours are told at
// once, others as often as the BEP allows.

const (
	pexMax      = 50 // addresses added or dropped in one message (BEP 11)
	pexInterval = time.Minute
	pexOurs     = time.Second
	// A swarm without content needs few connections, which the first message helps to.
	pexGossip = 5 * time.Second
)

// pexState is what one peer was told. It is owned by the loop.
type pexState struct {
	on   bool
	told map[netip.AddrPort]bool
	seen int // Item.changes when it was told all
	next time.Time
}

func (n *Node) pexPulse(it *Item, now time.Time) {
	if it.private.Load() {
		return
	}
	for _, l := range it.links {
		if l.pex.on && l.pex.seen != it.changes && !now.Before(l.pex.next) {
			n.pexSend(it, l, now)
		}
	}
}

func (n *Node) pexSend(it *Item, to *link, now time.Time) {
	current := make(map[netip.AddrPort]bool)
	for _, l := range it.links {
		if l != to && !l.origin.Load() && l.listenAddr.IsValid() && n.mayDial(l.listenAddr) &&
			sameReach(to.remote.Addr(), l.listenAddr.Addr()) {
			current[l.listenAddr] = true
		}
	}
	var added, dropped []netip.AddrPort
	for ap := range current {
		if !to.pex.told[ap] && len(added) < pexMax {
			added = append(added, ap)
		}
	}
	for ap := range to.pex.told {
		if !current[ap] && len(dropped) < pexMax {
			dropped = append(dropped, ap)
		}
	}
	if len(added) < pexMax && len(dropped) < pexMax {
		to.pex.seen = it.changes
	}
	if len(added)+len(dropped) == 0 {
		return
	}
	if to.pex.told == nil {
		to.pex.told = make(map[netip.AddrPort]bool)
	}
	for _, ap := range added {
		to.pex.told[ap] = true
	}
	for _, ap := range dropped {
		delete(to.pex.told, ap)
	}
	to.pex.next = now.Add(pexInterval)
	switch {
	case to.ours.Load() && it.gossip != nil:
		to.pex.next = now.Add(pexGossip)
	case to.ours.Load():
		to.pex.next = now.Add(pexOurs)
	}
	n.eng.send(to, extPEX, pexMessage(added, dropped))
}

// sameReach keeps loopback addresses on loopback: elsewhere they would mean
// another machine.
func sameReach(asker, named netip.Addr) bool {
	return !named.IsLoopback() || asker.IsLoopback()
}

// pexMessage prints the six keys of BEP 11.
func pexMessage(added, dropped []netip.AddrPort) []byte {
	a4, a6 := compact(added)
	d4, d6 := compact(dropped)
	b := []byte{'d'}
	for _, kv := range []struct {
		key   string
		value []byte
	}{
		{"added", a4}, {"added.f", make([]byte, len(a4)/6)},
		{"added6", a6}, {"added6.f", make([]byte, len(a6)/18)},
		{"dropped", d4}, {"dropped6", d6},
	} {
		b = bencode.AppendString(b, kv.key)
		b = bencode.AppendString(b, kv.value)
	}
	return append(b, 'e')
}

func compact(aps []netip.AddrPort) (v4, v6 []byte) {
	for _, ap := range aps {
		if a := ap.Addr(); a.Is4() {
			v4 = binary.BigEndian.AppendUint16(append(v4, a.AsSlice()...), ap.Port())
		} else {
			v6 = binary.BigEndian.AppendUint16(append(v6, a.AsSlice()...), ap.Port())
		}
	}
	return v4, v6
}

// parsePEX returns the addresses that a message adds, at most pexMax of each
// family. Other clients' dictionaries need not be sorted, but must be ours to be
// read strictly; those that are not are ignored.
func parsePEX(payload []byte) (added []netip.AddrPort, err error) {
	r := bencode.NewReader(payload)
	r.Dict(func(key string) {
		switch key {
		case "added":
			added = append(added, uncompact(r.Bytes(), 4)...)
		case "added6":
			added = append(added, uncompact(r.Bytes(), 16)...)
		default:
			r.Skip()
		}
	})
	return added, r.End()
}

func uncompact(b []byte, ip int) (out []netip.AddrPort) {
	for ; len(b) >= ip+2 && len(out) < pexMax; b = b[ip+2:] {
		a, _ := netip.AddrFromSlice(b[:ip])
		out = append(out, netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[ip:])))
	}
	return out
}

func (n *Node) pexReceived(l *link, payload []byte) {
	added, err := parsePEX(payload)
	if err != nil || l.item.private.Load() {
		return
	}
	for _, ap := range added {
		if sameReach(l.remote.Addr(), ap.Addr()) {
			n.learn(l.item, ap, fromPEX)
		}
	}
}
