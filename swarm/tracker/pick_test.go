package tracker

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// tierOf names the step of doc.go's order that an address belongs to for an asker
// at 10.1.2.3.
func tierOf(addr string) int {
	for i, prefix := range []string{"10.1.2.3:", "10.1.2.", "10.", "192.168."} {
		if strings.HasPrefix(addr, prefix) {
			return min(i, 2)
		}
	}
	if addr == "10.9.9.9:6881" {
		return 4
	}
	return 3
}

func TestNearestFirstOriginLast(t *testing.T) {
	origin := netip.MustParseAddrPort("203.0.113.1:6881")
	s, _ := newTest(Config{Self: func([20]byte, netip.Addr) []netip.AddrPort { return []netip.AddrPort{origin} }})
	n := 0
	for _, pattern := range []string{"198.51.%d.7:1", "10.1.2.3:10%d", "10.5.%d.1:1", "10.1.2.%d0:1", "192.168.%d.1:1", "203.0.%d.9:1"} {
		for i := range 4 {
			n++
			ask(t, s, join(n, fmt.Sprintf(pattern, i+1)))
		}
	}
	for range 20 { // the choice within a step is random
		got := ask(t, s, join(99, "10.1.2.3:1"))
		if len(got) != n+1 {
			t.Fatalf("%d peers handed out, want %d: %v", len(got), n+1, got)
		}
		if got[n] != origin.String() {
			t.Fatalf("the origin is not last: %v", got)
		}
		if !slices.IsSortedFunc(got[:n], func(a, b string) int { return tierOf(a) - tierOf(b) }) {
			t.Fatalf("not nearest first: %v", got)
		}
	}
}

func TestRandomWithinAStep(t *testing.T) {
	s, _ := newTest(Config{})
	for i := range 100 {
		ask(t, s, join(i, fmt.Sprintf("198.51.%d.7:1", i)))
	}
	seen := map[string]bool{}
	for range 200 {
		q := join(999, "203.0.113.5:1")
		q.numWant = 10
		for _, a := range ask(t, s, q) {
			seen[a] = true
		}
	}
	if len(seen) != 100 {
		t.Errorf("200 draws of 10 peers from 100 showed %d of them", len(seen))
	}
}

// TestNearDoesNotSplit has more near peers than fit an answer.
func TestNearDoesNotSplit(t *testing.T) {
	s, _ := newTest(Config{Self: func([20]byte, netip.Addr) []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("203.0.113.1:6881")}
	}})
	for i := range 200 {
		ask(t, s, join(i, fmt.Sprintf("10.1.2.%d:1", i+10)))
	}
	for i := range 40 {
		ask(t, s, join(300+i, fmt.Sprintf("198.51.%d.7:1", i)))
	}
	got := ask(t, s, join(999, "10.1.2.3:1"))
	var tiers [5]int
	for _, a := range got[:len(got)-1] {
		tiers[tierOf(a)]++
	}
	if len(got) != defaultNumWant || tiers[1] != 43 || tiers[3] != 6 || got[len(got)-1] != "203.0.113.1:6881" {
		t.Errorf("got %v by step and %s last, want 43 near, 6 beyond and the origin", tiers, got[len(got)-1])
	}
	if far := slices.IndexFunc(got, func(a string) bool { return tierOf(a) == 3 }); far < 43 {
		t.Errorf("a far peer at place %d, before the near ones", far)
	}
}

func TestNobodyIsHandedItself(t *testing.T) {
	self := netip.MustParseAddrPort("10.0.0.1:6881")
	s, _ := newTest(Config{Self: func([20]byte, netip.Addr) []netip.AddrPort { return []netip.AddrPort{self} }})
	ask(t, s, join(1, "10.0.0.7:1001"))
	ask(t, s, join(1, "[2001:db8::7]:1001")) // the same peer on its other family
	if got := ask(t, s, join(1, "10.0.0.7:1001")); !slices.Equal(got, []string{self.String()}) {
		t.Errorf("got %v", got)
	}
	if got := ask(t, s, join(2, "10.0.0.1:6881")); slices.Contains(got, self.String()) {
		t.Errorf("the origin was handed its own address: %v", got)
	}
	// A restarted client has a new peer id at the same address.
	if got := ask(t, s, join(5, "10.0.0.7:1001")); slices.Contains(got, "10.0.0.7:1001") {
		t.Errorf("handed its own address: %v", got)
	}
}

func TestSeedsAreTheLeechersOnly(t *testing.T) {
	s, _ := newTest(Config{
		Self: func([20]byte, netip.Addr) []netip.AddrPort {
			return []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:1")}
		},
		IsOrigin: func(a netip.AddrPort) bool { return a.Addr().String() == "10.0.0.2" },
	})
	ask(t, s, joinSeed(1, "10.0.0.3:1"))
	ask(t, s, joinSeed(2, "10.0.0.2:1")) // an origin that announces
	ask(t, s, join(3, "10.0.0.4:1"))
	if got := ask(t, s, joinSeed(4, "10.0.0.5:1")); !slices.Equal(got, []string{"10.0.0.4:1"}) {
		t.Errorf("a seed got %v", got)
	}
	got := ask(t, s, join(5, "10.0.0.6:1"))
	slices.Sort(got[:3])
	if want := []string{"10.0.0.3:1", "10.0.0.4:1", "10.0.0.5:1", "10.0.0.1:1"}; !slices.Equal(got, want) {
		t.Errorf("a leecher got %v, want %v", got, want)
	}
	if c, _ := s.Counts(torrentA); c != (Counts{Complete: 4, Incomplete: 2}) {
		t.Errorf("counts %+v", c)
	}
}

func TestOriginKeepsAPlace(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("10.9.9.9:6881"), netip.MustParseAddrPort("[fd00::9]:6881")
	both := func([20]byte, netip.Addr) []netip.AddrPort { return []netip.AddrPort{v6, v4} }
	s, _ := newTest(Config{Self: both})
	for i := range 300 {
		ask(t, s, join(i, fmt.Sprintf("10.1.2.%d:%d", i%250+1, 1+i)))
	}
	for _, tc := range []struct {
		want   int
		family families
		last   []string
	}{
		{0, anyFamily, nil}, {1, anyFamily, nil}, {2, anyFamily, []string{v4.String()}},
		{10, anyFamily, []string{v4.String(), v6.String()}}, {200, onlyIPv4, []string{v4.String()}},
	} {
		q := join(999, "10.1.2.3:1")
		q.numWant, q.family = tc.want, tc.family
		got := ask(t, s, q)
		if len(got) != tc.want {
			t.Errorf("numwant %d: %d peers", tc.want, len(got))
			continue
		}
		at := max(len(got)-len(tc.last), 0)
		if !slices.Equal(got[at:], tc.last) && len(tc.last)+len(got[at:]) > 0 {
			t.Errorf("numwant %d: last are %v, want %v", tc.want, got[at:], tc.last)
		}
		for _, a := range got[:at] {
			if a == v4.String() || a == v6.String() {
				t.Errorf("numwant %d: the origin stands at another place: %v", tc.want, got)
			}
		}
	}
	crowd, _ := newTest(Config{Self: both, OriginBelow: 3})
	for i, wantOrigin := range []bool{true, true, true, false, false} {
		got := ask(t, crowd, join(i, fmt.Sprintf("10.1.2.%d:1", i+1)))
		if slices.Contains(got, v4.String()) != wantOrigin {
			t.Errorf("with %d others and OriginBelow 3: %v", i, got)
		}
	}
}

// TestOriginReach gives an origin addresses that not everybody can use.
func TestOriginReach(t *testing.T) {
	for from, want := range map[string]string{
		"127.0.0.5:9": "127.0.0.1:1", "198.51.100.4:9": "", "192.168.1.9:9": "", "[fe80::7]:9": "[fe80::1]:1", "[::1]:9": "127.0.0.1:1",
	} {
		s, _ := newTest(Config{Self: func([20]byte, netip.Addr) []netip.AddrPort {
			return []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("[fe80::1%eth0]:1"),
				netip.MustParseAddrPort("0.0.0.0:1"), netip.MustParseAddrPort("192.0.2.1:0"), {}}
		}})
		if got := strings.Join(ask(t, s, join(1, from)), " "); got != want {
			t.Errorf("asked from %s: %q, want %q", from, got, want)
		}
	}
}

func TestOriginIsCountedOnce(t *testing.T) {
	self := netip.MustParseAddrPort("10.0.0.1:1")
	s, _ := newTest(Config{Self: func([20]byte, netip.Addr) []netip.AddrPort { return []netip.AddrPort{self} }})
	for range 2 {
		if c, _ := s.Counts(torrentA); c != (Counts{Complete: 1}) {
			t.Errorf("%+v", c)
		}
		ask(t, s, joinSeed(1, self.String())) // its engine announces to its own tracker
	}
}

func TestReach(t *testing.T) {
	s, _ := newTest(Config{})
	all := []string{"127.0.0.1:1", "[::1]:1", "169.254.1.1:1", "[fe80::1]:1", "192.168.1.1:1", "[fd00::1]:1", "100.64.0.1:1",
		"203.0.113.7:1", "[2001:db8::1]:1"}
	for i, a := range all {
		ask(t, s, join(i, a))
	}
	for _, tc := range []struct{ from, local, never string }{
		{"127.0.0.5:9", "127.0.0.1", "[fe80::1]:1"},
		{"192.168.1.9:9", "192.168.1.9", "[fe80::1]:1"}, // on the tracker's host, by another address
		{"192.168.1.9:9", "192.168.1.2", "127.0.0.1:1 [::1]:1 [fe80::1]:1"},
		{"169.254.7.7:9", "169.254.1.9", "127.0.0.1:1 [::1]:1 [fe80::1]:1"},
		{"[fe80::7]:9", "fe80::9", "127.0.0.1:1 [::1]:1"},
		{"198.51.100.4:9", "203.0.113.1", "127.0.0.1:1 [::1]:1 [fe80::1]:1 169.254.1.1:1"},
	} {
		q := join(99, tc.from)
		q.local = netip.MustParseAddr(tc.local)
		got := ask(t, s, q)
		want := slices.DeleteFunc(slices.Clone(all), func(a string) bool { return slices.Contains(strings.Fields(tc.never), a) })
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("asked from %s at %s:\ngot  %v\nwant %v", tc.from, tc.local, got, want)
		}
		s.stop(q)
	}
}
