package tracker

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

var be = binary.BigEndian

func appendConnect(b []byte, transaction uint32) []byte {
	return be.AppendUint32(be.AppendUint32(be.AppendUint64(b, protocolID), actionConnect), transaction)
}

// encode prints a packet that parses to q.
func (q udpRequest) encode() (b []byte) {
	b = be.AppendUint64(b, q.connection)
	b = be.AppendUint32(b, q.action)
	b = be.AppendUint32(b, q.transaction)
	switch q.action {
	case actionAnnounce:
		b = append(append(b, q.infohash[:]...), q.peerID[:]...)
		b = be.AppendUint64(b, 0)
		b = be.AppendUint64(b, q.left)
		b = be.AppendUint64(b, 0)
		b = be.AppendUint32(b, q.event)
		b = append(b, q.ip[:]...)
		b = be.AppendUint32(b, q.key)
		b = be.AppendUint32(b, uint32(q.numWant))
		b = be.AppendUint16(b, q.port)
	case actionScrape:
		for _, h := range q.hashes {
			b = append(b, h[:]...)
		}
	}
	return b
}

// appendAnnounce prints r as a client with a connection id would send it.
func appendAnnounce(b, connection []byte, r *request) []byte {
	q := udpRequest{
		connection: be.Uint64(connection), action: actionAnnounce, transaction: 8, infohash: r.infohash, peerID: r.peerID,
		left: 1, event: uint32(r.event), numWant: int32(r.numWant), port: r.port,
	}
	if r.seed {
		q.left = 0
	}
	return append(b, q.encode()...)
}

func TestConnectionID(t *testing.T) {
	s, clock := newTest(Config{})
	a, b := netip.MustParseAddrPort("198.51.100.9:5"), netip.MustParseAddrPort("198.51.100.10:5")
	connect := func() []byte {
		out := s.handlePacket(appendConnect(nil, 77), a, netip.Addr{})
		if len(out) != 16 || be.Uint32(out) != actionConnect || be.Uint32(out[4:]) != 77 {
			t.Fatalf("connect answered %x", out)
		}
		return out[8:]
	}
	works := func(from netip.AddrPort, connection []byte) bool {
		out := s.handlePacket(appendAnnounce(nil, connection, join(1, "198.51.100.9:5")), from, netip.Addr{})
		if action := be.Uint32(out); action == actionError {
			if got := string(out[8:]); got != connectionMismatch {
				t.Errorf("error %q", got)
			}
			return false
		}
		return true
	}
	for age := range 240 {
		given := connect()
		for range age {
			clock.advance(time.Second)
		}
		ok := works(a, given)
		if age <= 120 && !ok || age >= 180 && ok {
			t.Fatalf("a connection id %d s old: accepted %v", age, ok)
		}
	}
	given := connect()
	if !works(netip.AddrPortFrom(a.Addr(), 999), given) {
		t.Error("another port of the address is refused")
	}
	if works(b, given) || works(netip.MustParseAddrPort("[2001:db8::1]:5"), given) {
		t.Error("another address can use the connection id")
	}
	for bit := range 64 {
		forged := append([]byte(nil), given...)
		forged[bit/8] ^= 1 << (bit % 8)
		if works(a, forged) {
			t.Fatalf("bit %d of a connection id does not matter", bit)
		}
	}
	if other := New(Config{Now: clock.now}); other.connected(a.Addr(), be.Uint64(given), clock.now()) {
		t.Error("a tracker with another key takes the connection id")
	}
}

// TestNoAmplification sends every kind and length of packet from an address that
// has no connection id.
func TestNoAmplification(t *testing.T) {
	s, _ := newTest(Config{})
	for i := range 300 {
		ask(t, s, join(i, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i / 100), byte(i)}), 1).String()))
	}
	victim := netip.MustParseAddrPort("203.0.113.5:53")
	full := appendAnnounce(nil, make([]byte, 8), join(1, "203.0.113.5:53"))
	for _, action := range []uint32{actionConnect, actionAnnounce, actionScrape, actionError, 99} {
		for _, connection := range []uint64{0, protocolID, 1 << 63} {
			for n := range maxPacket + 2 {
				b := make([]byte, n)
				copy(b, full)
				if n >= headerLen {
					be.PutUint64(b, connection)
					be.PutUint32(b[8:], action)
				}
				if out := s.handlePacket(b, victim, netip.Addr{}); len(out) > n {
					t.Fatalf("action %d, connection %x: %d bytes in, %d out", action, connection, n, len(out))
				}
			}
		}
	}
	if st := s.Stats(); st.RatedIPs != 0 {
		t.Errorf("unproven addresses fill the rate table: %d", st.RatedIPs)
	}
}

func TestUDPAnswers(t *testing.T) {
	s, _ := newTest(Config{Allowed: func(h [20]byte) bool { return h == torrentA }, Limits: Limits{Burst: 8}})
	for i := range 500 {
		ask(t, s, join(i, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 1).String()))
		ip := netip.MustParseAddr("2001:db8::1").As16()
		ip[6], ip[7] = byte(i>>8), byte(i)
		ask(t, s, join(1000+i, netip.AddrPortFrom(netip.AddrFrom16(ip), 1).String()))
	}
	for _, tc := range []struct {
		from      string
		size, max int
	}{{"203.0.113.5:53", 6, maxNumWant}, {"[2001:db8:5::5]:53", 18, maxNumWant6}} {
		from := netip.MustParseAddrPort(tc.from)
		connection := s.handlePacket(appendConnect(nil, 1), from, netip.Addr{})[8:]
		for want, got := range map[int]int{-1: min(tc.max, defaultNumWant), 0: 0, 3: 3, 1 << 30: tc.max} {
			q := join(9999, tc.from)
			q.numWant = want
			out := s.handlePacket(appendAnnounce(nil, connection, q), from, netip.Addr{})
			if n := (len(out) - 20) / tc.size; n != got || len(out) != 20+tc.size*got || len(out) > 1400 {
				t.Errorf("%s wants %d: %d bytes, %d peers; want %d", tc.from, want, len(out), n, got)
			}
			if be.Uint32(out) != actionAnnounce || be.Uint32(out[4:]) != 8 || be.Uint32(out[8:]) != 600 {
				t.Errorf("header %x", out[:20])
			}
		}
		q := join(1, tc.from)
		q.infohash[0]++
		out := s.handlePacket(appendAnnounce(nil, connection, q), from, netip.Addr{})
		if be.Uint32(out) != actionError || string(out[8:]) != "unregistered torrent" {
			t.Errorf("an unregistered torrent: %q", out)
		}
		options := append(appendAnnounce(nil, connection, join(1, tc.from)), 2, 3, '/', 'a', 'b') // BEP 41
		if out = s.handlePacket(options, from, netip.Addr{}); be.Uint32(out) != actionAnnounce {
			t.Errorf("an announce with options: %q", out)
		}
		scrape := udpRequest{connection: be.Uint64(connection), action: actionScrape, transaction: 9, hashes: [][20]byte{{1}, torrentA}}
		out = s.handlePacket(scrape.encode(), from, netip.Addr{})
		if len(out) != 8+24 || be.Uint32(out[20:]) != 0 || be.Uint32(out[28:]) < 1000 || be.Uint64(out[8:]) != 0 {
			t.Errorf("scrape %x", out)
		}
		s.handlePacket(scrape.encode(), from, netip.Addr{})
		out = s.handlePacket(scrape.encode(), from, netip.Addr{})
		if be.Uint32(out) != actionError || !strings.Contains(string(out[8:]), "too many announces") {
			t.Errorf("the ninth request of a burst of eight: %q", out)
		}
	}
}

func FuzzPacket(f *testing.F) {
	clock := newClock()
	s := New(Config{Now: clock.now, Rand: seeded(), Limits: Limits{Rate: 1e9, Burst: 1 << 30, Swarms: 4, Peers: 64}})
	from := netip.MustParseAddrPort("198.51.100.9:5")
	good := be.AppendUint64(nil, s.connectionID(from.Addr(), clock.now().Unix()/connectionWindow))
	f.Add(appendConnect(nil, 5))
	f.Add(appendAnnounce(nil, good, join(1, "198.51.100.9:5")))
	f.Add(udpRequest{connection: be.Uint64(good), action: actionScrape, hashes: [][20]byte{torrentA, {}}}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, ok := parseUDP(b); ok {
			again, ok := parseUDP(q.encode())
			if !ok || !reflect.DeepEqual(q, again) {
				t.Fatalf("%x reads as %+v, and printed again as %+v", b, q, again)
			}
			if len(q.hashes) > maxScrape {
				t.Fatalf("%d infohashes", len(q.hashes))
			}
		}
		if out := s.handlePacket(b, from, netip.Addr{}); len(out) > 1400 {
			t.Fatalf("an answer of %d bytes", len(out))
		}
		stranger := netip.MustParseAddrPort("198.51.100.10:5")
		if out := s.handlePacket(b, stranger, netip.Addr{}); len(out) > len(b) {
			t.Fatalf("%d bytes in, %d out, without a connection id", len(b), len(out))
		}
		check(t, s)
	})
}
