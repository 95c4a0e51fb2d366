package swarm

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestNewsFromEight: for the news of a channel a node dials eight of all that it hears of, others only when these
// have not answered, and an origin only while it knows few.
func TestNewsFromEight(t *testing.T) {
	t.Parallel()
	n := startNode(t, "node", func(c *Config) { c.Listen = "127.0.0.1:0" })
	g, err := n.Join(GossipConfig{Infohash: Infohash{1}, Protocol: "hf_head"})
	if err != nil {
		t.Fatal(err)
	}
	it := g.item
	tried := func() (all []netip.AddrPort) {
		for ap, a := range it.book.addrs {
			if a.tries > 0 {
				all = append(all, ap)
			}
		}
		return all
	}
	n.call(func() {
		for range 5 * gossipConns {
			l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { l.Close() })
			n.learn(it, netip.MustParseAddrPort(l.Addr().String()), fromPEX)
		}
		n.settle()
		for _, a := range it.book.addrs {
			if a.tries == 0 {
				a.next = time.Time{} // whoever's turn it is
			}
		}
		for range 3 {
			n.dialDue(it)
		}
		if got := len(tried()); got != gossipConns {
			t.Errorf("dialled %d of %d, want %d", got, len(it.book.addrs), gossipConns)
		}
		for _, ap := range tried() {
			it.book.addrs[ap].tried = n.cfg.Now().Add(-dialSpan)
		}
		n.dialDue(it)
		if got := len(tried()); got != 2*gossipConns {
			t.Errorf("dialled %d after as many as are kept have not answered, want %d", got, 2*gossipConns)
		}
	})
}

func TestBookKnowsOrigins(t *testing.T) {
	b := newBook()
	ap := netip.MustParseAddrPort("192.0.2.1:1")
	b.setOrigin(ap) // unknown: nothing
	b.add(ap, fromUser)
	if b.origin(ap) {
		t.Error("an origin that nobody has met")
	}
	b.setOrigin(ap)
	if got := b.due(time.Unix(100, 0), 9, b.origin); len(got) > 0 {
		t.Errorf("dials %v needlessly", got)
	}
	if got := b.due(time.Unix(100, 0), 9, func(netip.AddrPort) bool { return false }); len(got) != 1 {
		t.Errorf("dials %v, want the origin", got)
	}
}
