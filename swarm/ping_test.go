package swarm

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"handful/manifest"
	"handful/swarm/policy"
)

// cable is a way to a node that can be cut without anybody being told: connections stay open and carry nothing.
type cable struct {
	to   netip.AddrPort
	rate int // bytes/s in each direction; 0: as fast as it goes
	cut  chan struct{}
	ln   net.Listener
	once sync.Once
}

func newCable(t *testing.T, to netip.AddrPort, rate int) *cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{to: to, rate: rate, cut: make(chan struct{}), ln: ln}
	ctx := t.Context()
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to.String())
			if err != nil {
				near.Close()
				continue
			}
			go c.carry(far, near, ctx.Done())
			go c.carry(near, far, ctx.Done())
		}
	}()
	return c
}

func (c *cable) addr() netip.AddrPort { return netip.MustParseAddrPort(c.ln.Addr().String()) }

// pull cuts the cable.
func (c *cable) pull() { c.once.Do(func() { close(c.cut) }) }

func (c *cable) carry(to, from net.Conn, end <-chan struct{}) {
	defer to.Close()
	defer from.Close()
	size := 32 << 10
	if c.rate > 0 {
		size = max(1, c.rate/20)
	}
	b := make([]byte, size)
	for {
		n, err := from.Read(b)
		select {
		case <-c.cut:
			<-end // what has been read is lost, and nobody hears of it
			return
		default:
		}
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
		if c.rate > 0 {
			select {
			case <-time.After(time.Second * time.Duration(n) / time.Duration(c.rate)):
			case <-end:
				return
			}
		}
	}
}

// hurried runs a node's clock several times as fast, so that its silences are short.
func hurried(c *Config) {
	const times = 4
	begun := time.Now()
	c.Now = func() time.Time { return begun.Add(times * time.Since(begun)) }
}

// impatient tells to how many addresses a node has lost the way.
func (n *testNode) impatient() (count int) {
	n.call(func() { count = len(n.patience) })
	return count
}

// TestSilentPeerIsGivenUp: the cable of the peer that everything comes from is pulled in the middle; the connection is
// closed by its silence, and the rest comes from another.
func TestSilentPeerIsGivenUp(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 2<<20)
	origin := startNode(t, "origin", func(c *Config) { hurried(c); c.LimitUp = policy.Steady(512 << 10) })
	tor, _ := origin.publish(t, root, manifest.BuildOptions{PieceLength: 32 << 10})
	line := newCable(t, origin.addr(), 0)
	leech := startNode(t, "leech", hurried)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, line.addr())
	until(t, "a part is there", func() bool { return it.Snapshot().Done > 100<<10 })
	line.pull()
	until(t, "the connection is given up for its silence", func() bool { return leech.impatient() == 1 })
	leech.call(func() {
		if got := leech.patience.allowed(line.addr()); got != 2*lostAfter {
			t.Errorf("the next silence may last %v, want %v", got, 2*lostAfter)
		}
		if a := it.book.addrs[line.addr()]; a == nil || a.banned {
			t.Errorf("the address is forgotten or banned: %+v", a)
		}
	})
	it.AddPeers(origin.addr())
	await(t, it)
	sameTree(t, root, it.Snapshot().Path)
	adds(t, it.Snapshot())
}

// TestOriginGivesUpSilentLeecher: what was granted to a leecher that cannot be reached any more is granted again.
func TestOriginGivesUpSilentLeecher(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 1<<20)
	origin := startNode(t, "origin", func(c *Config) { hurried(c); c.LimitUp = policy.Steady(256 << 10) })
	tor, seed := origin.publish(t, root, manifest.BuildOptions{PieceLength: 32 << 10})
	line := newCable(t, origin.addr(), 0)
	lost := startNode(t, "lost", nil)
	gone := lost.fetch(t, Infohash(tor.InfoHash()), nil, line.addr())
	until(t, "a part is there", func() bool { return gone.Snapshot().Done > 100<<10 })
	line.pull()
	until(t, "the leecher is given up", func() bool { return origin.impatient() == 1 && len(seed.Snapshot().Peers) == 0 })
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, it)
	adds(t, it.Snapshot())
}

// TestBusySlowPeerIsKept: on a slow line with long queues pings take longer than a silence may last; the data that
// comes, and the word that it does, are signs of life enough.
func TestBusySlowPeerIsKept(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 80<<10)
	origin := startNode(t, "origin", hurried)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{PieceLength: 128 << 10})
	line := newCable(t, origin.addr(), 16<<10)
	leech := startNode(t, "leech", hurried)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, line.addr())
	await(t, it)
	if a, b := origin.impatient(), leech.impatient(); a+b > 0 {
		t.Errorf("the origin gave up %d connections, the leecher %d", a, b)
	}
	if id := leech.newestLink(it); id != 1 {
		t.Errorf("it took %d connections", id)
	}
}

// TestOwnStandstillIsNobodysSilence: a node that has stood still, as in a suspended machine, starts to count anew.
func TestOwnStandstillIsNobodysSilence(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 1<<20)
	origin := startNode(t, "origin", func(c *Config) { c.LimitUp = policy.Steady(1000) })
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	var ahead atomic.Int64
	leech := startNode(t, "leech", func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	heard := func() (h time.Time) {
		leech.call(func() {
			for _, l := range it.links {
				h = l.life.heardAt
			}
		})
		return h
	}
	until(t, "they have spoken", func() bool { return !heard().IsZero() })
	for range 3 {
		before := heard()
		ahead.Add(int64(9 * time.Second)) // the watchdog of downloads waits longer than all three
		until(t, "the peer is listened to anew", func() bool { return heard().Sub(before) >= 9*time.Second })
	}
	if n := leech.impatient(); n != 0 || leech.newestLink(it) != 1 {
		t.Errorf("%d peers were given up, and there were %d connections", n, leech.newestLink(it))
	}
}

func TestPatience(t *testing.T) {
	p := make(patience)
	ap := addrPorts("192.0.2.1:1")[0]
	for _, want := range []time.Duration{7, 14, 28, 56, 60, 60} {
		if got := p.allowed(ap); got != want*time.Second {
			t.Errorf("%v are allowed, want %v", got, want*time.Second)
		}
		p.lost(ap)
	}
	for i := range 2 * maxKnown {
		p.lost(netip.AddrPortFrom(ap.Addr(), uint16(i+2)))
	}
	if len(p) != maxKnown {
		t.Errorf("%d addresses are remembered", len(p))
	}
}

// TestRoundTripsTellTheSite: from round trips of a real connection that are made to look short or long. A peer becomes
// a neighbour when it is quick, and stays one until it is slow; never where labels contradict, and no origin.
func TestRoundTripsTellTheSite(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 100_000)
	origin := startNode(t, "origin", nil)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	leech := startNode(t, "leech", func(c *Config) { c.Interfaces = loopback(t) })
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, it)
	until(t, "round trips are measured", func() bool {
		s := it.Snapshot()
		return len(s.Peers) == 1 && s.Peers[0].RTT > 0
	})
	leech.call(func() {
		for _, l := range it.links {
			answers := func(want Tier, rtts ...time.Duration) {
				t.Helper()
				for _, rtt := range rtts {
					l.life.left = 0
					l.life.probe = probe{token: 5, at: leech.cfg.Now(), payload: l.moved()}
					if err := leech.ponged(l, binary.BigEndian.AppendUint64(nil, 5), l.life.probe.at.Add(rtt)); err != nil {
						t.Error(err)
					}
				}
				if got := Tier(l.tier.Load()); got != want {
					t.Errorf("with round trips of %v, median %v, it is %v, want %v", rtts, l.rtt, got, want)
				}
			}
			const ms = time.Millisecond
			l.remote = addrPorts("192.0.2.9:1")[0] // the same, from elsewhere
			l.origin.Store(false)
			leech.retier(l)
			answers(TierFar, 9*ms, 9*ms, 9*ms, 9*ms, 9*ms)
			answers(TierFar, ms, ms)
			answers(TierSite, ms)
			answers(TierSite, 3*ms, 3*ms, 3*ms, 3*ms, 3*ms)
			answers(TierFar, 5*ms, 5*ms, 5*ms)
			answers(TierFar, 3*ms, 3*ms, 3*ms, 3*ms, 3*ms)
			answers(TierSite, ms, ms, ms)
			leech.site, l.hello = "berlin", &hello{Site: "paris"}
			leech.retier(l)
			answers(TierFar, ms)
			l.hello = &hello{}
			leech.retier(l)
			answers(TierSite, ms)
			l.origin.Store(true)
			leech.retier(l)
			answers(TierOrigin, ms)
			l.origin.Store(false)

			// What was not asked for, or is no answer, changes nothing.
			before := l.rtt
			l.life.probe = probe{token: 5, at: leech.cfg.Now(), payload: l.moved()}
			for _, body := range [][]byte{make([]byte, 8), make([]byte, 7), nil, binary.BigEndian.AppendUint64(nil, 6)} {
				leech.ponged(l, body, l.life.probe.at)
			}
			l.life.probe.payload-- // data has moved since
			leech.ponged(l, binary.BigEndian.AppendUint64(nil, 5), l.life.probe.at)
			if l.rtt != before || len(l.life.samples) != rttSamples {
				t.Errorf("median %v of %d, want %v", l.rtt, len(l.life.samples), before)
			}
		}
	})
}

// TestPingsAreAnsweredWithinBounds: a flood of pings gets a burst of answers and no more.
func TestPingsAreAnsweredWithinBounds(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 100_000)
	origin := startNode(t, "origin", nil)
	tor, seed := origin.publish(t, root, manifest.BuildOptions{})
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, it)
	answered := 0
	origin.call(func() {
		for _, l := range seed.links {
			l.pingIn = nil
			for range 1000 {
				before := l.debt.owed
				if err := origin.pinged(l, make([]byte, tokenSize)); err != nil {
					t.Error(err)
				}
				if l.debt.owed != before {
					answered++
				}
			}
			if origin.pinged(l, nil) == nil || origin.pinged(l, make([]byte, 9)) == nil {
				t.Error("a ping of a wrong length is taken")
			}
		}
	})
	if answered == 0 || answered > 2*pingBurst {
		t.Errorf("%d of 1000 pings were answered", answered)
	}
}

// TestVitalCountsParts: bytes of a message that is not whole are a sign of life, and who does not read cannot tell.
func TestVitalCountsParts(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	v := &vital{rw: here}
	if v.reading.Load() {
		t.Error("nobody reads yet")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.ReadFull(v, make([]byte, 3))
	}()
	until(t, "it listens", v.reading.Load)
	there.Write([]byte{0, 0})
	until(t, "two bytes are seen", func() bool { return v.in.Load() == 2 && v.reading.Load() })
	there.Write([]byte{1})
	<-done
	if v.reading.Load() || v.in.Load() != 3 {
		t.Errorf("reading %v, %d bytes", v.reading.Load(), v.in.Load())
	}
}

// TestWhoOnlyHearsSaysSo: a node to which bytes come and which has nothing to say gives a sign of life unasked, once;
// one to which nothing comes does not.
func TestWhoOnlyHearsSaysSo(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 100_000)
	origin := startNode(t, "origin", nil)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, it)
	until(t, "all is said", func() (quiet bool) {
		leech.call(func() {
			for _, l := range it.links {
				quiet = l.life.left == 0 && l.life.begun && !l.life.owes
			}
		})
		return quiet
	})
	leech.call(func() {
		for _, l := range it.links {
			looks := func(after time.Duration, more int64) bool {
				l.life.in = l.tap.vital.in.Load() - more
				l.life.out = l.tap.vital.out.Load()
				before := l.debt.owed + l.debt.written
				leech.live(l, l.life.saidAt.Add(after), false)
				return l.debt.owed+l.debt.written > before
			}
			l.life.nextRTT = leech.cfg.Now().Add(time.Hour)
			for i, c := range []struct {
				after time.Duration
				more  int64
				want  bool
			}{
				{quietAfter, 0, false}, {quietAfter - 1, 100, false}, {quietAfter, 0, true}, {quietAfter, 0, false}, {quietAfter, 1, true},
			} {
				if got := looks(c.after, c.more); got != c.want {
					t.Errorf("look %d: a word is sent: %v, want %v", i, got, c.want)
				}
			}
		}
	})
}
