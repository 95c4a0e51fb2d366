package main_test

import (
	"net/netip"
	"strings"
	"testing"

	"handful/bench/netns"
)

// hosts makes namespaces on one Ethernet segment, with multicast but without any route beyond it.
func hosts(t *testing.T, l *lab, prefix netip.Prefix, count int) []string {
	t.Helper()
	n := l.network(t)
	addr := prefix.Addr()
	b, err := n.Bridge(t.Context(), netns.BridgeOptions{Addr: netip.PrefixFrom(addr, prefix.Bits()), Multicast: true})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for range count {
		addr = addr.Next()
		h, err := b.Host(t.Context(), netns.HostOptions{Addr: netip.PrefixFrom(addr, prefix.Bits())})
		if err != nil {
			t.Fatal(err)
		}
		// Whoever needs a route for multicast finds nobody where there is none.
		command(t, "ip", "-n", h.Namespace(), "route", "del", "224.0.0.0/4")
		all = append(all, h.Namespace())
	}
	return all
}

// testStory: one publishes, the second fetches by the link, the third from the second when the origin is gone, the
// fourth is killed half way and goes on.
func testStory(t *testing.T, l *lab) {
	ns := hosts(t, l, netip.MustParsePrefix("10.81.0.1/24"), 4)
	first, second, third, fourth := l.side(t, ns[0]), l.side(t, ns[1]), l.side(t, ns[2]), l.side(t, ns[3])

	tree := first.path("an odd tree")
	makeOddTree(t, tree, 60<<20)
	origin, published := first.publish(tree)
	link := published.Link

	seeder := second.start("fetch", link, "-o", second.path("out"), "--seed-for", "1h")
	done := seeder.await("done", is("done"))
	done.adds(t)
	if done.Bytes != published.Bytes || done.Received["reused"] != 0 {
		t.Errorf("done says %+v of %+v", done, published)
	}
	sameTrees(t, tree, second.path("out", "an odd tree"))
	noLeftovers(t, second.path("out"))
	origin.stop()

	done = third.fetched(link, "-o", third.path("out"))
	if done.Received["origin"] != 0 || done.received() < done.Bytes {
		t.Errorf("with the origin gone, received is %v", done.Received)
	}
	sameTrees(t, tree, third.path("out", "an odd tree"))
	noLeftovers(t, third.path("out"))

	killedHalfWay(t, fourth, link)
	sameTrees(t, tree, fourth.path("out", "an odd tree"))
	noLeftovers(t, fourth.path("out"))
	seeder.stop()
}

// killedHalfWay fetches at a limited rate, kills the fetch at about half, and fetches again.
func killedHalfWay(t *testing.T, s *side, link string) {
	t.Helper()
	p := s.start("fetch", link, "-o", s.path("out"), "--limit-down", "12M", "--limit-lan")
	half := p.await("progress at about half", func(l line) bool {
		return l.Type == "progress" && l.Stage == "" && l.Total > 0 && l.Done*10 > l.Total*4
	})
	p.kill()
	if half.Done*10 > half.Total*8 {
		t.Errorf("killed at %d of %d, which is not about half: the limit does not hold", half.Done, half.Total)
	}
	if got := names(t, s.path("out")); len(got) != 1 || !strings.HasPrefix(got[0], ".handful-") {
		t.Errorf("after the kill there is %q, want only what grows", got)
	}
	done := s.fetched(link, "-o", s.path("out"))
	rest := done.Bytes - half.Done
	t.Logf("killed at %d of %d; then reused %d, received %d, wasted %d", half.Done, half.Total, done.Received["reused"], done.received(), done.Wasted)
	if done.received() > rest+rest/100 {
		t.Errorf("received %d although only %d were not verified before the kill", done.received(), rest)
	}
	if done.Wasted > rest/100 {
		t.Errorf("%d of %d bytes were wasted", done.Wasted, rest)
	}
}
