package main_test

import (
	"net/netip"
	"strings"
	"testing"

	"handful/bench/netns"
)

// testDHT: machines that hear no multicast and know no tracker find each other through a DHT
// of their own. Who has the 40 characters of a channel's id fetches its newest.
func testDHT(t *testing.T, l *lab) {
	n := l.network(t)
	prefix := netip.MustParsePrefix("10.88.0.1/24")
	b, err := n.Bridge(t.Context(), netns.BridgeOptions{Addr: prefix}) // which passes no multicast on
	if err != nil {
		t.Fatal(err)
	}
	var sides []*side
	var nodes []string
	addr := prefix.Addr()
	for range 3 {
		addr = addr.Next()
		h, err := b.Host(t.Context(), netns.HostOptions{Addr: netip.PrefixFrom(addr, prefix.Bits())})
		if err != nil {
			t.Fatal(err)
		}
		s := l.side(t, h.Namespace())
		s.listen = netip.AddrPortFrom(addr, 6881).String()
		sides, nodes = append(sides, s), append(nodes, s.listen)
	}
	tree := sides[0].path("tree")
	makeOddTree(t, tree, 1<<20)
	old := sides[0].path("older")
	makeOddTree(t, old, 1<<10)
	// Each of the two that stay knows the other, whoever comes first.
	helper := sides[1].start("fetch", "serve", "--dht", "--dht-bootstrap", nodes[0])
	origin := sides[0].start("seed", "publish", old, "--dht", "--dht-bootstrap", nodes[1])
	origin.await("published", is("published"))
	second := sides[0].start("seed", "publish", tree, "--dht", "--dht-bootstrap", nodes[1])
	published := second.await("published", is("published"))
	id, _, _ := strings.Cut(published.Link, "/")
	if len(id) != len("handful:")+40 {
		t.Fatalf("the link %s does not begin with an id", published.Link)
	}
	done := sides[2].fetched(id, "-o", sides[2].path("out"), "--dht", "--dht-bootstrap", nodes[1])
	if done.Bytes != published.Bytes {
		t.Errorf("done says %+v of %+v", done, published)
	}
	sameTrees(t, tree, sides[2].path("out", "tree"))
	second.kill()
	origin.stop()
	helper.stop()
}
