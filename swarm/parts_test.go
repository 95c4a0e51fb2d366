package swarm

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
)

func addrPorts(words ...string) (out []netip.AddrPort) {
	for _, w := range words {
		out = append(out, netip.MustParseAddrPort(w))
	}
	return out
}

func nobody(netip.AddrPort) bool { return false }

func TestBookRefusesWhatCannotBeDialled(t *testing.T) {
	b := newBook()
	for _, ap := range addrPorts("192.0.2.1:0", "0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1") {
		if b.add(ap, fromUser) {
			t.Errorf("%s is taken", ap)
		}
	}
	if b.add(netip.AddrPort{}, fromUser) {
		t.Error("an address that is none is taken")
	}
	v4, mapped := addrPorts("192.0.2.1:1")[0], addrPorts("[::ffff:192.0.2.1]:1")[0]
	if !b.add(v4, fromPEX) || b.add(mapped, fromUser) || len(b.addrs) != 1 {
		t.Error("a mapped address is not the same as the IPv4 one")
	}
	if b.addrs[v4].source != fromUser {
		t.Error("what the user names later is not the user's")
	}
}

func TestBookRetries(t *testing.T) {
	b, now := newBook(), time.Unix(1e9, 0)
	ap := addrPorts("192.0.2.1:1")[0]
	b.add(ap, fromPEX)
	var waits []time.Duration
	for last := now; len(waits) < 8; now = now.Add(time.Second) {
		if len(b.due(now, 10, nobody)) == 1 {
			waits = append(waits, now.Sub(last))
			last = now
		}
	}
	want := []time.Duration{0, 2, 4, 8, 16, 32, 64, 120}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(waits, want) {
		t.Errorf("tried after %v, want %v", waits, want)
	}
	b.alive(ap)
	if len(b.due(now.Add(firstRetry), 10, nobody)) != 1 {
		t.Error("who has just spoken is not dialled")
	}
	b.snubbed(ap, now)
	b.hurry()
	if len(b.due(now, 10, nobody)) != 0 || len(b.due(now.Add(lastRetry), 10, nobody)) != 1 {
		t.Error("who answers no requests is dialled in a hurry, or never")
	}
	b.ban(ap)
	b.hurry()
	if len(b.due(now.Add(time.Hour), 10, nobody)) != 0 {
		t.Error("a liar is dialled")
	}
}

func TestBookIsBounded(t *testing.T) {
	b, now := newBook(), time.Unix(1e9, 0)
	addr := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
	}
	user := addrPorts("192.0.2.1:1")[0]
	b.add(user, fromUser)
	for i := range 2 * maxKnown {
		b.add(addr(i), fromPEX)
	}
	if len(b.addrs) != maxKnown {
		t.Fatalf("%d addresses", len(b.addrs))
	}
	for range 4 { // all fail again and again
		b.due(now, 2*maxKnown, nobody)
		now = now.Add(time.Hour)
	}
	for i := range 10 {
		if !b.add(addr(2*maxKnown+i), fromLAN) {
			t.Error("no room for a new address, though old ones never answered")
		}
	}
	if len(b.addrs) != maxKnown || b.addrs[user] == nil {
		t.Errorf("%d addresses, the user's: %v", len(b.addrs), b.addrs[user])
	}
	if n := len(b.due(now, 7, nobody)); n != 7 {
		t.Errorf("%d due of at most 7", n)
	}
	if n := len(b.due(now, 7, func(netip.AddrPort) bool { return true })); n != 0 {
		t.Errorf("%d that are connected are due", n)
	}
}

// blamed returns a blame whose pieces read as the byte that *disk holds.
func blamed(disk *byte) *blame {
	return &blame{reader: func(p []byte, _ int, _ int64) (int, error) {
		copy(p, bytes.Repeat([]byte{*disk}, len(p)))
		return len(p), nil
	}}
}

func peerLink(id byte) *link { return &link{pc: &torrent.PeerConn{PeerID: [20]byte{id}}} }

func TestBlameSingleSender(t *testing.T) {
	var disk byte
	b, bad := blamed(&disk), peerLink(1)
	b.received(3, 0, 100, bad)
	b.received(3, 100, 50, bad)
	if lost, liar := b.failed(3); lost != 150 || liar != bad {
		t.Errorf("lost %d, liar %v", lost, liar)
	}
	if lost, liar := b.failed(3); lost != 0 || liar != nil {
		t.Errorf("again: lost %d, liar %v", lost, liar)
	}
}

func TestBlameWhoSentWhatDiffers(t *testing.T) {
	disk := byte('b')
	b, bad, good := blamed(&disk), peerLink(1), peerLink(2)
	blocks := map[int64]byte{0: 'x', 100: 'g'}
	b.reader = func(p []byte, _ int, off int64) (int, error) {
		copy(p, bytes.Repeat([]byte{blocks[off]}, len(p)))
		return len(p), nil
	}
	b.received(3, 0, 100, bad)
	b.received(3, 100, 100, good)
	if lost, liar := b.failed(3); lost != 200 || liar != nil {
		t.Fatalf("lost %d, liar %v, of two senders", lost, liar)
	}
	blocks[0] = 'g'
	b.received(3, 0, 100, good)
	b.received(3, 100, 100, good)
	if liars := b.passed(3); !slices.Equal(liars, []*link{bad}) {
		t.Errorf("liars %v", liars)
	}
	if liars := b.passed(3); len(liars) != 0 || len(b.senders)+len(b.suspect) != 0 {
		t.Errorf("liars %v, %d pieces are remembered", liars, len(b.senders)+len(b.suspect))
	}
}

func TestBlameForgets(t *testing.T) {
	var disk byte
	b := blamed(&disk)
	for i := range 3000 { // two that lie in turns, so that the piece never verifies
		b.received(3, 0, 100, peerLink(byte(i)))
		b.received(3, 100, 100, peerLink(byte(i+1)))
		b.failed(3)
	}
	if n := len(b.suspect[3]); n == 0 || n > maxEvidence {
		t.Errorf("%d blocks are remembered of one piece", n)
	}
}

func TestMeter(t *testing.T) {
	var m meter
	now := time.Unix(1e9, 0)
	m.update(1e6, now)
	if m.rate != 0 {
		t.Errorf("rate %f after one look", m.rate)
	}
	m.update(2e6, now.Add(10*time.Millisecond))
	if m.rate != 0 {
		t.Error("a look after 10 ms counts")
	}
	total := int64(1e6)
	for range 40 {
		now, total = now.Add(tick), total+250
		m.update(total, now)
	}
	if math.Abs(m.rate-1000) > 10 {
		t.Errorf("rate %f, not 1000", m.rate)
	}
	m.update(total, now.Add(meterSpan))
	if math.Abs(m.rate-1000/math.E) > 20 {
		t.Errorf("rate %f after a span of silence", m.rate)
	}
}

func TestClaims(t *testing.T) {
	var c claims
	if c.add(8, 8) || c.add(-1, 8) || !c.add(7, 8) {
		t.Error("a claim of 8 pieces holds 0 to 7")
	}
	if c.add(maxClaims, 0) || !c.add(maxClaims-1, 0) {
		t.Error("before the metainfo is known, numbers are bounded all the same")
	}
	c.addAll([]bool{true, false, true, true}, 3)
	for i, want := range []bool{true, false, true, false, false, false, false, true} {
		if c.has(i) != want || c.snapshot().Has(i) != want {
			t.Errorf("piece %d: %v", i, !want)
		}
	}
	c.missed(true)
	if c.addAll(nil, 8); !c.has(5) || c.snapshot() != nil {
		t.Error("a peer that has all has any")
	}
	if c.missed(false) {
		t.Error("a snapshot is all there is to know")
	}
}

func TestMailbox(t *testing.T) {
	m := newMailbox()
	var order []int
	for i := range 3 {
		m.post(func() { order = append(order, i) })
	}
	select {
	case <-m.wake:
	default:
		t.Fatal("nobody is woken")
	}
	for _, f := range m.take() {
		f()
	}
	if fmt.Sprint(order) != "[0 1 2]" || len(m.take()) != 0 {
		t.Errorf("order %v", order)
	}
	for range floodLimit {
		m.tryPost(func() {})
	}
	if m.tryPost(func() {}) {
		t.Error("a flood is not bounded")
	}
	if !m.post(func() {}) {
		t.Error("what must not be lost is refused in a flood")
	}
	if n := len(m.close()); n != floodLimit+1 {
		t.Errorf("%d were waiting", n)
	}
	if m.post(func() {}) || m.tryPost(func() {}) {
		t.Error("a closed mailbox takes more")
	}
}
