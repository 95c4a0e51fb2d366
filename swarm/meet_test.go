package swarm

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"handful/manifest"
	"handful/swarm/store"
)

// TestPairsAgree: of any two exactly one dials first, and nobody is left with all the work.
func TestPairsAgree(t *testing.T) {
	var ends []netip.AddrPort
	for i := range 64 {
		ends = append(ends, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 66, 1, byte(i)}), uint16(20000+i)))
	}
	for _, ih := range []Infohash{{1}, {2}, {3}} {
		for _, a := range ends {
			first := 0
			for _, b := range ends {
				switch mine := dialsFirst(ih, a, b); {
				case a == b:
				case mine == dialsFirst(ih, b, a):
					t.Errorf("%v and %v agree on nobody, or on both", a, b)
				case mine:
					first++
				}
			}
			if first < 16 || first > 48 {
				t.Errorf("%v dials %d of 63", a, first)
			}
		}
	}
}

// TestMeetDialsHalf: of many addresses that are learned at once those are dialled whose turn it is, and the others
// later, if they have not come; whom the user names is dialled at once, and so is everybody where few are known.
func TestMeetDialsHalf(t *testing.T) {
	t.Parallel()
	n := startNode(t, "node", func(c *Config) { c.Listen = "127.0.0.1:0" })
	add := func(i byte) *Item {
		it, err := n.Add(Spec{Infohash: Infohash{i}, Open: func(*manifest.Torrent) (*store.Content, error) { return nil, errors.New("not reached") }})
		if err != nil {
			t.Fatal(err)
		}
		return it
	}
	listen := func() (net.Listener, netip.AddrPort) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l, netip.MustParseAddrPort(l.Addr().String())
	}
	many, few := add(1), add(2)
	var listeners []net.Listener
	dialled, put := map[netip.AddrPort]bool{}, map[netip.AddrPort]bool{}
	_, named := listen()
	n.call(func() {
		n.learn(many, named, fromUser)
		for range 4 * yieldCrowd {
			l, ap := listen()
			listeners = append(listeners, l)
			n.learn(many, ap, fromTracker)
		}
		for range yieldCrowd - 2 {
			_, ap := listen()
			n.learn(few, ap, fromTracker)
		}
		now := n.cfg.Now()
		n.settle()
		for ap, a := range many.book.addrs {
			if a.tries > 0 {
				dialled[ap] = true
			} else if put[ap] = true; !a.next.After(now) || a.next.Sub(now) > time.Second {
				t.Errorf("%v is dialled in %v", ap, a.next.Sub(now))
			}
		}
		for ap, a := range few.book.addrs {
			if a.tries == 0 {
				t.Errorf("few are known, and %v has to wait", ap)
			}
		}
	})
	if len(put) == 0 || len(dialled) < 2 || !dialled[named] {
		t.Errorf("%d dialled and %d put off; the one named: %v", len(dialled), len(put), dialled[named])
	}
	for ap := range put {
		if dialsFirst(many.hash, netip.AddrPortFrom(ap.Addr(), n.Port()), ap) {
			t.Errorf("%v was to be dialled first", ap)
		}
	}
	for _, l := range listeners { // all of them, in the end
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// TestNothingForTheChoked: nobody is choked here, so what might be asked for all the same is not listed.
func TestNothingForTheChoked(t *testing.T) {
	tap, s := stopped(t)
	mustWrite(t, tap, have(1), pp.Message{Type: pp.AllowedFast, Index: 3}, have(2))
	mustWrite(t, tap, pp.Message{Type: pp.AllowedFast, Index: 4})
	mustWrite(t, tap, have(3))
	wantOut(t, s, have(1), have(2), have(3))
}
