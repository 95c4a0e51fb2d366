package tracker

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// check counts everything that a server holds and compares it with its limits and
// with itself.
func check(t *testing.T, s *Server) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.cfg.Limits
	peers, seeds, owned := 0, 0, map[netip.Addr]int{}
	for h, sw := range s.swarms {
		n := sw.all.len()
		if n > l.PeersPerSwarm || n != len(sw.peers) || h != sw.infohash {
			t.Fatalf("a swarm of %d peers, %d in its map, limit %d", n, len(sw.peers), l.PeersPerSwarm)
		}
		bagged := [3]int{}
		for _, b := range sw.hosts {
			bagged[0] += b.len()
		}
		for _, b := range sw.networks {
			bagged[1] += b.len()
		}
		for _, c := range sw.classes {
			bagged[2] += c[0].len() + c[1].len()
		}
		if want := n - len(sw.origins); bagged != [3]int{want, want, want} || len(sw.hosts) > n || len(sw.networks) > n {
			t.Fatalf("%d peers, %d origins, in bags %v", n, len(sw.origins), bagged)
		}
		for addr, p := range sw.peers {
			if p.addr != addr || p.swarm != sw || sw.all.lists[which(p)][p.at[slotAll].index] != p {
				t.Fatalf("peer %s is not where it says", addr)
			}
			owned[p.payer]++
			seeds += which(p)
		}
		peers += n
	}
	for a, n := range owned {
		if n > l.PeersPerIP || s.owned[a] != n {
			t.Fatalf("%s has %d peers, booked %d, limit %d", a, n, s.owned[a], l.PeersPerIP)
		}
	}
	if peers > l.Peers || peers != s.byAge.Len() || seeds != s.seeds || len(owned) != len(s.owned) || len(s.swarms) > l.Swarms {
		t.Fatalf("%d peers (%d queued), %d seeds (%d), %d payers (%d), %d swarms", peers, s.byAge.Len(), seeds, s.seeds, len(owned), len(s.owned), len(s.swarms))
	}
	if len(s.rates.byAddr) > l.RatedIPs || len(s.rates.byAddr) != s.rates.used.Len() {
		t.Fatalf("%d rated addresses", len(s.rates.byAddr))
	}
}

func TestFloodStaysWithinLimits(t *testing.T) {
	const announces = 100_000
	limits := Limits{Swarms: 100, Peers: 3000, PeersPerSwarm: 500, PeersPerIP: 50, RatedIPs: 1000}
	r := rand.New(rand.NewPCG(1, 2))
	anyIP4 := func() netip.Addr {
		return netip.AddrFrom4([4]byte{byte(r.IntN(200) + 1), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
	}
	anyIP6 := func(prefix int) netip.Addr { // random behind so many bytes
		ip := netip.MustParseAddr("2001:db8:1:2::").As16()
		for i := prefix; i < 16; i++ {
			ip[i] = byte(r.Uint32())
		}
		return netip.AddrFrom16(ip)
	}
	for _, tc := range []struct {
		name            string
		from            func() netip.Addr
		anyHash         bool
		peers           int // most that may be held
		allow           func([20]byte) bool
		wantRateLimited bool
	}{
		{"one address, one torrent", func() netip.Addr { return netip.MustParseAddr("198.51.100.1") }, false, 50, nil, true},
		{"one address, any torrent", func() netip.Addr { return netip.MustParseAddr("198.51.100.1") }, true, 50, nil, true},
		{"one /64, one torrent", func() netip.Addr { return anyIP6(8) }, false, 50, nil, true},
		{"many addresses, one torrent", anyIP4, false, 500, nil, false},
		{"many addresses, any torrent", anyIP4, true, 3000, nil, false},
		{"a /32 of IPv6, any torrent", func() netip.Addr { return anyIP6(4) }, true, 3000, nil, false},
		{"many addresses, torrents not served", anyIP4, true, 0, func(h [20]byte) bool { return h == torrentA }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := newTest(Config{Limits: limits, Allowed: tc.allow})
			for i := range announces {
				q := &request{infohash: torrentA, peerID: id(i), port: uint16(r.Uint32()) | 1, from: tc.from(), numWant: 50,
					seed: i%3 == 0, event: event(i % 3)}
				if tc.anyHash {
					for j := range q.infohash {
						q.infohash[j] = byte(r.Uint32())
					}
				}
				// As the protocols do it; the rate is not waited for, so that the
				// tables are hit by all.
				s.admit(q.from)
				if a, err := s.announce(q); err == nil && len(a.peers) > q.numWant {
					t.Fatalf("%d peers", len(a.peers))
				}
			}
			check(t, s)
			st := s.Stats()
			if st.Peers > tc.peers || tc.peers > 0 && st.Peers < min(tc.peers, limits.Swarms)/2 {
				t.Errorf("%d peers held, want at most %d", st.Peers, tc.peers)
			}
			if (st.RateLimited > announces/2) != tc.wantRateLimited {
				t.Errorf("%d of %d were too fast", st.RateLimited, announces)
			}
			if tc.allow != nil && (st.Swarms != 0 || st.Refused != announces) {
				t.Errorf("%+v", st)
			}
		})
	}
}

// TestFullSwarmForgetsTheSilent fills a swarm again and again around a few peers
// that go on announcing.
func TestFullSwarmForgetsTheSilent(t *testing.T) {
	s, clock := newTest(Config{Limits: Limits{PeersPerSwarm: 100}})
	for round := range 30 {
		for i := range 10 {
			ask(t, s, join(i, fmt.Sprintf("198.51.%d.1:1", i)))
		}
		clock.advance(time.Second)
		for i := range 20 {
			ask(t, s, join(1000*round+i+100, fmt.Sprintf("203.%d.%d.1:1", round, i)))
		}
	}
	check(t, s)
	if st := s.Stats(); st.Peers != 100 || st.Evicted < 500 {
		t.Errorf("%+v", st)
	}
	q := join(5555, "192.0.2.1:1")
	q.numWant, q.port = 200, 0
	loyal := 0
	for _, a := range ask(t, s, q) {
		var n int
		if c, _ := fmt.Sscanf(a, "198.51.%d.1:1", &n); c == 1 {
			loyal++
		}
	}
	if loyal < 8 {
		t.Errorf("%d of 10 peers that announce every second are known", loyal)
	}
}

func TestRateTableForgetsTheUnused(t *testing.T) {
	l := Limits{Rate: 1, Burst: 2, RatedIPs: 2}
	b, now := newBuckets(l), newClock().now()
	a := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
	step := func(i int, want bool) {
		t.Helper()
		if got := b.take(a(i), now); got != want {
			t.Errorf("address %d: %v, want %v", i, got, want)
		}
	}
	step(1, true)
	step(1, true)
	step(1, false)
	step(2, true)
	step(1, false) // used later than 2
	step(3, true)  // takes the place of 2
	step(1, false)
	step(2, true) // a new bucket, in the place of 3
	now = now.Add(-time.Hour)
	step(1, false) // a clock set back gives nothing
	now = now.Add(time.Second)
	step(1, true)
	step(1, false)
	if len(b.byAddr) != 2 || b.used.Len() != 2 {
		t.Errorf("%d buckets", len(b.byAddr))
	}
}

func TestExpiry(t *testing.T) {
	s, clock := newTest(Config{Interval: time.Minute, Allowed: func([20]byte) bool { return true }})
	const life = 2*time.Minute + expirySlack
	ask(t, s, join(1, "198.51.100.1:1"))
	ask(t, s, joinSeed(2, "198.51.100.2:1"))
	clock.advance(life - time.Second)
	ask(t, s, join(1, "198.51.100.1:1")) // it lives on
	if st := s.Stats(); st.Peers != 2 || st.Expired != 0 {
		t.Errorf("before their time: %+v", st)
	}
	clock.advance(time.Second)
	if c, _ := s.Counts(torrentA); c != (Counts{Incomplete: 1}) {
		t.Errorf("after the seed's time: %+v", c)
	}
	if got := ask(t, s, join(3, "198.51.100.3:1")); len(got) != 1 || got[0] != "198.51.100.1:1" {
		t.Errorf("handed out %v", got)
	}
	clock.advance(life)
	if st := s.Stats(); st.Peers != 0 || st.Seeds != 0 || st.Swarms != 0 || st.Expired != 3 {
		t.Errorf("after all: %+v", st)
	}
	check(t, s)
}

func TestCompletedCountsOnce(t *testing.T) {
	s, clock := newTest(Config{})
	done := joinSeed(1, "198.51.100.1:1")
	done.event = eventCompleted
	ask(t, s, join(1, "198.51.100.1:1"))
	ask(t, s, done)
	ask(t, s, done)
	if c, _ := s.Counts(torrentA); c != (Counts{Complete: 1, Downloaded: 1}) {
		t.Errorf("%+v", c)
	}
	clock.advance(24 * time.Hour)
	if c, _ := s.Counts(torrentA); c != (Counts{Downloaded: 1}) {
		t.Errorf("a day later %+v", c)
	}
	check(t, s)
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	s, clock := newTest(Config{
		Limits: Limits{Peers: 200, PeersPerSwarm: 50, Swarms: 8},
		Self: func([20]byte, netip.Addr) []netip.AddrPort {
			return []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:1")}
		},
		IsOrigin: func(a netip.AddrPort) bool { return a.Port() == 77 },
	})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for i := range 500 {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(3)), byte(r.IntN(99))}), uint16(r.IntN(99)))
				get(t, s, from.String(), "/announce", announceQ(i, int(from.Port()), "event", []string{"", "stopped", "completed"}[r.IntN(3)], "ip", "10.0.0.9"))
				get(t, s, from.String(), "/scrape", query("info_hash", string(torrentA[:])))
				connection := be.AppendUint64(nil, s.connectionID(from.Addr(), clock.now().Unix()/connectionWindow))
				q := join(i, from.String())
				q.infohash[0] = byte(r.IntN(12))
				s.handlePacket(appendAnnounce(nil, connection, q), from, netip.Addr{})
				s.Stats()
				if i%100 == 0 {
					clock.advance(time.Minute)
				}
			}
		})
	}
	wg.Wait()
	check(t, s)
}
