package mainline

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var epochTime = time.Unix(1_800_000_000, 0)

func node(id string, addr string) contact {
	c := contact{addr: netip.MustParseAddrPort(addr)}
	copy(c.id[:], id)
	return c
}

func TestTable(t *testing.T) {
	var tab table
	now := epochTime
	for i := range 20 {
		c := node("\x80"+string(rune('a'+i)), fmt.Sprintf("10.0.0.%d:1", i+1))
		if got := tab.answered(c, now); got != (i < bucketSize) {
			t.Errorf("node %d: new is %v", i, got)
		}
		if again := tab.answered(c, now); again {
			t.Errorf("node %d was new twice", i)
		}
	}
	if tab.answered(contact{addr: netip.MustParseAddrPort("10.1.1.1:1")}, now) || tab.answered(node("x", "0.0.0.0:1"), now) {
		t.Error("our own id, or no address, was entered")
	}
	if tab.answered(node("\x80a", "10.9.9.9:1"), now); tab.nearest([20]byte{0x80, 'a'}, 1, want{v4: true})[0].addr != netip.MustParseAddrPort("10.0.0.1:1") {
		t.Error("somebody else took the place of a node that answers")
	}
	if tab.wants(node("\x80z", "10.0.0.99:1")) {
		t.Error("a full bucket wants more")
	}
	tab.failed(netip.MustParseAddrPort("10.0.0.3:1"))
	if !tab.answered(node("\x80z", "10.0.0.99:1"), now) || tab.size() != bucketSize {
		t.Error("a node that failed was not replaced")
	}
	for range maxFailed {
		tab.failed(netip.MustParseAddrPort("10.0.0.4:1"))
	}
	if tab.size() != bucketSize-1 {
		t.Errorf("%d nodes", tab.size())
	}
	tab.answered(node("\x01q", "10.0.0.1:1"), now) // started anew under another id
	if n := tab.count(func(e entry) bool { return e.addr.String() == "10.0.0.1:1" }); n != 1 {
		t.Errorf("%d nodes at one address", n)
	}
	if got := tab.stale(now.Add(time.Second), 3); len(got) != 3 {
		t.Errorf("%d stale", len(got))
	}
	if got := tab.nearest([20]byte{0x01, 'q'}, 2, want{v4: true}); got[0].id[0] != 1 || len(got) != 2 {
		t.Errorf("nearest are %v", got)
	}
	if got := tab.nearest([20]byte{}, 9, want{v6: true}); len(got) != 0 {
		t.Errorf("of IPv6 there are %v", got)
	}
}

func TestBuckets(t *testing.T) {
	tab := table{self: [20]byte([]byte(id20))}
	r := rand.New(rand.NewPCG(3, 4))
	for want := range 160 {
		var id [20]byte
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		id = tab.within(id, want)
		if tab.bucket(id) != &tab.buckets[want] {
			t.Errorf("%x is not in bucket %d", id, want)
		}
	}
	if tab.emptiest() != 0 || tab.depth() != 0 {
		t.Errorf("of an empty table: %d, %d", tab.emptiest(), tab.depth())
	}
	for i, bucket := range []int{0, 0, 1, 2, 2, 4, 4, 4} {
		tab.answered(contact{tab.within([20]byte{byte(i)}, bucket), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 1)}, epochTime)
	}
	if tab.depth() != 5 || tab.emptiest() != 3 {
		t.Errorf("depth %d, emptiest %d", tab.depth(), tab.emptiest())
	}
}

func TestTablePublic(t *testing.T) {
	var tab table
	entered := 0
	for i := range 30 {
		if tab.answered(node(string(rune(i*8)), fmt.Sprintf("203.0.113.7:%d", i+1)), epochTime) {
			entered++
		}
	}
	if entered != maxPerAddress {
		t.Errorf("%d nodes of one public address", entered)
	}
	tab = table{}
	for i := range bucketSize {
		tab.answered(node("\xff"+string(rune('a'+i)), fmt.Sprintf("203.0.113.%d:1", i+1)), epochTime)
	}
	good := contact{[20]byte(unhex(t, "a5d43220bc8f112a3d426c84764f8c2a1150e616")), netip.MustParseAddrPort("65.23.51.170:1")}
	if !tab.answered(good, epochTime) || tab.answered(node("\xff9", "203.0.113.99:1"), epochTime) {
		t.Error("an id that fits its address does not come first")
	}
}

// TestFits has the test vectors of BEP 42.
func TestFits(t *testing.T) {
	for ip, id := range map[string]string{
		"124.31.75.21":  "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401",
		"21.75.31.124":  "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256",
		"65.23.51.170":  "a5d43220bc8f112a3d426c84764f8c2a1150e616",
		"84.124.73.14":  "1b0321dd1bb1fe518101ceef99462b947a01ff41",
		"43.213.53.83":  "e56f6cbf5b7c4be0237986d5243b87aa6d51305a",
		"192.168.1.1":   "0000000000000000000000000000000000000000",
		"127.0.0.1":     "0000000000000000000000000000000000000000",
		"fe80::1":       "0000000000000000000000000000000000000000",
		"fd00:1:2:3::4": "0000000000000000000000000000000000000000",
	} {
		c := contact{[20]byte(unhex(t, id)), netip.AddrPortFrom(netip.MustParseAddr(ip), 1)}
		if !fits(c) {
			t.Errorf("%s does not fit %s", id, ip)
		}
		c.id[0] ^= 1
		if fits(c) != inner(c.addr.Addr()) {
			t.Errorf("%x fits %s", c.id, ip)
		}
	}
}

func savedSample() saved {
	s := saved{self: [20]byte([]byte(id20))}
	for i := range 5 {
		s.nodes = append(s.nodes, node(fmt.Sprint("v4", i), fmt.Sprintf("192.0.2.%d:6881", i+1)))
	}
	s.nodes = append(s.nodes, node("v6", "[2001:db8::1]:6881"))
	return s
}

func TestSaved(t *testing.T) {
	s := savedSample()
	b := s.bytes()
	got, err := parseSaved(b)
	if err != nil || got.self != s.self || !slices.Equal(got.nodes, s.nodes) {
		t.Errorf("%v came back as %v: %v", s, got, err)
	}
	for i := range b {
		c := bytes.Clone(b)
		c[i] ^= 4
		if _, err := parseSaved(c); err == nil {
			t.Errorf("byte %d changed: accepted", i)
		}
	}
	many := saved{}
	for i := range maxSaved + 1 {
		many.nodes = append(many.nodes, node("x", fmt.Sprintf("10.0.%d.%d:1", i/250, i%250+1)))
	}
	twice := saved{nodes: append(s.nodes, s.nodes[0])}
	for name, b := range map[string][]byte{"empty": nil, "too many": many.bytes(), "twice": twice.bytes(), "nobody": saved{nodes: []contact{node("x", "0.0.0.0:1")}}.bytes()} {
		if got, err := parseSaved(b); err == nil {
			t.Errorf("%s was accepted as %v", name, got)
		}
	}
	if n := len(saved{nodes: many.nodes[:maxSaved]}.bytes()); n > MaxFile {
		t.Errorf("the largest file has %d bytes", n)
	}
}

func FuzzSaved(f *testing.F) {
	sum := func(s saved) []byte { b := s.bytes(); return b[:len(b)-32] }
	f.Add(sum(savedSample()))
	f.Add(sum(saved{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := withSum(b)
		s, err := parseSaved(whole)
		if err == nil && !bytes.Equal(s.bytes(), whole) {
			t.Fatalf("%q was read as %v, which prints as %q", whole, s, s.bytes())
		}
		if _, err := parseSaved(b); err == nil && len(b) < 32 {
			t.Fatalf("%q needs no checksum", b)
		}
	})
}

// TestTableRandom enters and fails nodes at random: the table never grows beyond its
// bounds, and has each id and address once.
func TestTableRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var tab table
	for range 5000 {
		c := contact{addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(1 + r.IntN(12)), 0, byte(r.IntN(4)), 1}), uint16(1+r.IntN(3)))}
		c.id[r.IntN(3)] = byte(1 + r.IntN(255))
		if r.IntN(3) == 0 {
			tab.failed(c.addr)
		} else {
			tab.answered(c, epochTime.Add(time.Duration(r.IntN(1000))*time.Second))
		}
		ids, addrs := map[[20]byte]bool{}, map[netip.AddrPort]bool{}
		for _, b := range tab.buckets {
			if len(b) > bucketSize {
				t.Fatalf("a bucket of %d", len(b))
			}
			for _, e := range b {
				if ids[e.id] || addrs[e.addr] {
					t.Fatalf("%v is there twice", e)
				}
				ids[e.id], addrs[e.addr] = true, true
			}
		}
	}
}

func withSum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(bytes.Clone(b), sum[:]...)
}
