package discover

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// offline returns an LSD without sockets, on lo and eth0, that wants testHash.
func offline(cfg LSDConfig) *LSD {
	l := newLSD(cfg)
	l.links = Links{
		{Name: "lo", Index: 1, Loopback: true, Addrs: prefixes("127.0.0.1/8")},
		{Name: "eth0", Index: 2, Multicast: true, Addrs: prefixes("10.1.2.3/24", "fd00::5/64", "fe80::5/64")},
	}
	for _, k := range l.links {
		l.searches.begin(t0, k.Index)
		l.offers.begin(t0, k.Index)
		l.queries.begin(t0, k.Index)
	}
	l.Announce([][20]byte{testHash}, 6881)
	l.apply(t0)
	return l
}

func TestArrival(t *testing.T) {
	l := offline(LSDConfig{})
	for _, tt := range []struct {
		from  string
		index int
		want  string // interface; empty: dropped
	}{
		{"10.1.2.9:5", 2, "eth0"}, {"10.1.2.3:5", 2, "eth0"}, {"[fd00::9]:5", 2, "eth0"}, {"[fe80::9%eth0]:5", 2, "eth0"},
		{"127.0.0.1:5", 1, "lo"}, {"10.1.2.3:5", 1, "lo"}, // another client on loopback
		{"8.8.8.8:5", 2, ""}, {"10.1.3.1:5", 2, ""}, {"[2001:db8::1]:5", 2, ""}, {"127.0.0.1:5", 2, ""}, {"10.1.2.9:5", 1, ""},
		{"10.1.2.9:5", 7, ""}, // an interface that is not in use
		// Where the system does not tell the interface:
		{"10.1.2.9:5", 0, "eth0"}, {"127.0.0.1:5", 0, "lo"}, {"[fe80::9%eth0]:5", 0, "eth0"},
		{"[fe80::9%eth9]:5", 0, ""}, {"[fe80::9]:5", 0, ""}, {"8.8.8.8:5", 0, ""},
	} {
		link, ok := l.arrival(datagram{from: netip.MustParseAddrPort(tt.from), index: tt.index})
		if ok != (tt.want != "") || ok && link.Name != tt.want {
			t.Errorf("from %s on %d: %s, %v, want %q", tt.from, tt.index, link.Name, ok, tt.want)
		}
	}
}

// TestFlood sends as one machine, then as all of a link, much more than is
// listened to.
func TestFlood(t *testing.T) {
	peers, offers := 0, 0
	l := offline(LSDConfig{
		OnPeer:  func([20]byte, netip.AddrPort, string) { peers++ },
		OnOffer: func([]byte, netip.AddrPort, string) { offers++ },
	})
	send := func(from string, port int) {
		ap := netip.AddrPortFrom(addr(from), uint16(port))
		s := search{Port: uint16(port), Infohashes: [][20]byte{testHash, {7}}}
		l.receive(t0, datagram{group: searchGroup, data: s.append(nil, searchGroup.addr(false)), from: ap, index: 2})
		l.receive(t0, datagram{group: offerGroup, data: []byte("an offer"), from: ap, index: 2})
	}
	for i := range 10000 {
		send("10.1.2.9", 1000+i)
	}
	if peers != 128 || offers != 128 {
		t.Errorf("one machine's flood: %d peers and %d offers were reported, want 128 of each", peers, offers)
	}
	for i := range 60000 {
		send(fmt.Sprintf("fd00::%x:%x", 1+i/1000, i%1000), 1000)
	}
	if peers > maxNewPeers || len(l.heard.met) > maxHeard {
		t.Errorf("a flood of made-up machines: %d new peers were reported, %d remembered", peers, len(l.heard.met))
	}
	// One answer is owed to all of them.
	at := t0.Add(searchRhythm.window)
	if due := l.searches.take(at, 2, 100); len(due) != 1 {
		t.Errorf("%d announcements are due, want 1", len(due))
	}
	// Nodes on our own machine are counted one by one.
	peers = 0
	for port := range 50 {
		for range 10 {
			s := search{Port: uint16(port + 1), Infohashes: [][20]byte{testHash}}
			l.receive(t0.Add(time.Minute), datagram{group: searchGroup, data: s.append(nil, searchGroup.addr(false)),
				from: netip.AddrPortFrom(addr("127.0.0.1"), uint16(port+1)), index: 1})
		}
	}
	if peers != 500 {
		t.Errorf("%d announcements of 50 nodes on this machine were reported, want 500", peers)
	}
}
