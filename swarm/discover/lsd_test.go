package discover

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for an event; what is waited for takes milliseconds.
const patience = 20 * time.Second

// loopback returns the name of the loopback interface. In the namespace that a
// test was started in, nothing else may be multicast on.
func loopback(t *testing.T) string {
	t.Helper()
	ifis, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, ifi := range ifis {
		if ifi.Flags&net.FlagLoopback != 0 && ifi.Flags&net.FlagUp != 0 {
			return ifi.Name
		}
	}
	t.Skip("no loopback interface is up")
	return ""
}

type heardPeer struct {
	infohash [20]byte
	peer     netip.AddrPort
	ifname   string
}

type heardOffer struct {
	payload string
	ifname  string
}

// ear is an LSD whose callbacks end in lists that a test can wait on.
type ear struct {
	*LSD
	mu      sync.Mutex
	peers   []heardPeer
	offers  []heardOffer
	changed chan struct{} // closed and replaced at each arrival
}

func newEar(t *testing.T, ifnames ...string) *ear {
	t.Helper()
	e := &ear{changed: make(chan struct{})}
	note := func(f func()) {
		e.mu.Lock()
		defer e.mu.Unlock()
		f()
		close(e.changed)
		e.changed = make(chan struct{})
	}
	var err error
	e.LSD, err = NewLSD(LSDConfig{
		Interfaces: ifnames,
		OnPeer: func(ih [20]byte, peer netip.AddrPort, ifname string) {
			note(func() { e.peers = append(e.peers, heardPeer{ih, peer, ifname}) })
		},
		OnOffer: func(payload []byte, _ netip.AddrPort, ifname string) {
			note(func() { e.offers = append(e.offers, heardOffer{string(payload), ifname}) })
		},
		rescan: time.Second,
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

// until waits until ok is true of what e has heard.
func (e *ear) until(t *testing.T, what string, ok func(*ear) bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		e.mu.Lock()
		done, changed := ok(e), e.changed
		e.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			e.mu.Lock()
			defer e.mu.Unlock()
			t.Fatalf("waited %s for %s; peers %v, offers %.200q, state %+v", patience, what, e.peers, e.offers, e.State())
		}
	}
}

func hears(ih [20]byte, peer netip.AddrPort) func(*ear) bool {
	return func(e *ear) bool {
		return slices.ContainsFunc(e.peers, func(p heardPeer) bool { return p.infohash == ih && p.peer == peer })
	}
}

// hearsPort is hears for a sender whose address does not matter.
func hearsPort(ih [20]byte, port uint16) func(*ear) bool {
	return func(e *ear) bool {
		return slices.ContainsFunc(e.peers, func(p heardPeer) bool { return p.infohash == ih && p.peer.Port() == port })
	}
}

func hearsOffer(payload string) func(*ear) bool {
	return func(e *ear) bool {
		return slices.ContainsFunc(e.offers, func(o heardOffer) bool { return o.payload == payload })
	}
}

// infohash makes an infohash that no other test, and no other program that shares
// the multicast ports of this machine, announces at the same time.
func infohash(t *testing.T, n byte) [20]byte {
	var ih [20]byte
	copy(ih[:], fmt.Sprintf("%d %s", os.Getpid(), t.Name()))
	ih[19] = n
	return ih
}

func announce(t *testing.T, e *ear, port uint16, hashes ...[20]byte) {
	t.Helper()
	if err := e.Announce(hashes, port); err != nil {
		t.Fatal(err)
	}
}

func TestLoopbackPeersFindEachOther(t *testing.T) {
	lo := loopback(t)
	a, b := newEar(t, lo), newEar(t, lo)
	ih, other := infohash(t, 1), infohash(t, 2)
	announce(t, a, 7001, ih, other)
	announce(t, b, 7002, ih)
	host := netip.MustParseAddr("127.0.0.1")
	a.until(t, "b's announcement", hears(ih, netip.AddrPortFrom(host, 7002)))
	b.until(t, "a's announcement", hears(ih, netip.AddrPortFrom(host, 7001)))
	for _, e := range []*ear{a, b} {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, p := range e.peers {
			if e == a && p.peer.Port() == 7001 || e == b && p.peer.Port() == 7002 {
				t.Errorf("heard itself: %v", p)
			}
			if e == b && p.infohash == other {
				t.Errorf("told of an infohash that it did not announce: %v", p)
			}
			if p.ifname != lo {
				t.Errorf("heard on %s, want %s only", p.ifname, lo)
			}
		}
	}
}

func TestNewcomerIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	lo := loopback(t)
	old, ih := newEar(t, lo), infohash(t, 1)
	announce(t, old, 7003, ih)
	// Its quick repetitions done, the old one would speak again in five minutes.
	state := func() uint64 { return old.State()[0].Sent }
	waitFor(t, "three announcements", func() bool { return state() >= 3 })
	newcomer := newEar(t, lo)
	announce(t, newcomer, 7004, ih)
	newcomer.until(t, "the answer", hearsPort(ih, 7003))
	// Sent is counted after the datagram has left, so the newcomer may be first.
	waitFor(t, "the answer to be counted", func() bool { return state() == 4 })
}

// waitFor polls for a state that no event tells of.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestOffersAndSolicitation(t *testing.T) {
	lo := loopback(t)
	a, b := newEar(t, lo), newEar(t, lo)
	mine := fmt.Sprintf("offer of %d", os.Getpid())
	if err := a.Offer([]byte(mine)); err != nil {
		t.Fatal(err)
	}
	b.until(t, "the offer", hearsOffer(mine))
	late := newEar(t, lo)
	late.Solicit()
	late.until(t, "the answer to its query", hearsOffer(mine))
	late.mu.Lock()
	defer late.mu.Unlock()
	for _, o := range late.offers {
		if o.payload == solicitation {
			t.Error("a query was handed on as an offer")
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.ContainsFunc(a.offers, func(o heardOffer) bool { return o.payload == mine }) {
		t.Error("a was told of its own offer")
	}
}

func TestOfferBounds(t *testing.T) {
	e := newEar(t, loopback(t))
	for _, payload := range [][]byte{nil, make([]byte, MaxOffer+1), []byte(solicitation)} {
		if err := e.Offer(payload); err == nil {
			t.Errorf("an offer of %d bytes was accepted", len(payload))
		}
	}
	if err := e.Offer(make([][]byte, MaxOffers+1)...); err == nil {
		t.Error("too many offers were accepted")
	}
	if err := e.Announce(make([][20]byte, MaxInfohashes+1), 1); err == nil {
		t.Error("too many infohashes were accepted")
	}
}
