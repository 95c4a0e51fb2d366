package mainline

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func putBody(it Item, cas *int64) body {
	return body{key: &it.Key, salt: it.Salt, seq: &it.Seq, sig: &it.Sig, value: it.Value, cas: cas}
}

func TestShelfItems(t *testing.T) {
	s := newShelf()
	from := netip.MustParseAddr("203.0.113.1")
	now := epochTime
	it := signed(t, "m", 5, "1:a")
	forged := it
	forged.Seq = 9
	steps := []struct {
		what string
		body body
		want int64
	}{
		{"new", putBody(it, nil), 0},
		{"again", putBody(it, nil), 0},
		{"older", putBody(signed(t, "m", 4, "1:a"), nil), errorSeqTooLow},
		{"same seq, other value", putBody(signed(t, "m", 5, "1:b"), nil), errorSeqTooLow},
		{"cas of another seq", putBody(signed(t, "m", 6, "1:b"), new(int64(4))), errorCasMismatch},
		{"cas", putBody(signed(t, "m", 6, "1:b"), new(int64(5))), 0},
		{"cas 0 says 0", putBody(signed(t, "m", 7, "1:b"), new(int64(0))), errorCasMismatch},
		{"forged", putBody(forged, nil), errorBadSignature},
		{"no signature", body{key: &it.Key, seq: &it.Seq, value: it.Value}, errorProtocol},
		{"no seq", body{key: &it.Key, sig: &it.Sig, value: it.Value}, errorProtocol},
		{"no value", body{key: &it.Key, sig: &it.Sig, seq: &it.Seq}, errorProtocol},
		{"immutable", body{value: []byte("12:Hello World!")}, 0},
	}
	for _, st := range steps {
		if got := s.put(st.body, from, now); got.code != st.want {
			t.Errorf("%s: %d %q, want %d", st.what, got.code, got.text, st.want)
		}
	}
	if got := s.item(it.Target(), now); got == nil || *got.seq != 6 {
		t.Errorf("kept is %+v", got)
	}
	if got := s.item([20]byte(unhex(t, "e5f96f6f38320f0f33959cb4d3d656452117aadb")), now); got == nil || got.key != nil {
		t.Errorf("the immutable item is %+v", got)
	}
	if got := s.item(it.Target(), now.Add(itemLife+time.Second)); got != nil {
		t.Errorf("after its life: %+v", got)
	}
}

// TestShelfBounds floods a shelf.
func TestShelfBounds(t *testing.T) {
	s := newShelf()
	now := epochTime
	refused := 0
	for i := range maxItems + 500 {
		now = now.Add(time.Millisecond)
		seed := make([]byte, ed25519.SeedSize)
		binary.BigEndian.PutUint32(seed, uint32(i/50))
		it, err := Sign(ed25519.NewKeyFromSeed(seed), fmt.Append(nil, i), 1, []byte("le"))
		if err != nil {
			t.Fatal(err)
		}
		from := netip.AddrFrom4([4]byte{203, 0, 113, byte(i % 10)})
		if i >= maxItems {
			from = netip.AddrFrom4([4]byte{198, 51, 100, byte(i % 250)})
		}
		if s.put(putBody(it, nil), from, now).code != 0 {
			refused++
		}
	}
	if len(s.items) != maxItems || refused != 0 {
		t.Errorf("%d items, %d refused", len(s.items), refused)
	}
	it := signed(t, "x", 1, "le")
	s = newShelf()
	for i := range maxItemsPerHost + 1 {
		it := signed(t, fmt.Sprint(i), 1, "le")
		if got := s.put(putBody(it, nil), netip.MustParseAddr("203.0.113.1"), now).code != 0; got != (i >= maxItemsPerHost) {
			t.Errorf("item %d of one host: refused is %v", i, got)
		}
	}
	if s.put(putBody(it, nil), netip.MustParseAddr("203.0.113.2"), now).code != 0 {
		t.Error("another host is refused")
	}
}

func TestShelfPeers(t *testing.T) {
	s := newShelf()
	now := epochTime
	both := want{true, true}
	var h [20]byte
	for i := range 200 {
		now = now.Add(time.Second)
		s.announce(h, netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), uint16(1000+i)), now)
		s.announce(h, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(1+i%30)), now)
	}
	got := s.swarm(h, both, now)
	public := 0
	for _, p := range got {
		if !inner(p.Addr()) {
			public++
		}
	}
	if public != maxPeersPerHost || len(got) != 30+maxPeersPerHost {
		t.Errorf("%d peers, %d of one public address", len(got), public)
	}
	if got[1].Port() != 1199 && got[0].Port() != 1199 {
		t.Errorf("the newest are not first: %v", got[:2])
	}
	for i := range 500 {
		now = now.Add(time.Second / 10)
		s.announce(h, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i%250 + 1)}), 1), now)
	}
	if got := s.swarm(h, both, now); len(got) != maxPeersPerSwarm {
		t.Errorf("%d peers", len(got))
	}
	if got := s.swarm(h, want{v6: true}, now); len(got) != 0 {
		t.Errorf("of IPv6: %v", got)
	}
	if got := s.swarm(h, both, now.Add(peerLife+time.Second)); len(got) != 0 || len(s.peers) != 0 {
		t.Errorf("after their life: %v", got)
	}
	for i := range maxSwarms + 100 {
		var h [20]byte
		binary.BigEndian.PutUint32(h[:], uint32(i))
		now = now.Add(time.Millisecond)
		s.announce(h, netip.MustParseAddrPort("10.0.0.1:1"), now)
	}
	if len(s.peers) != maxSwarms || len(s.swarm([20]byte{}, both, now)) != 0 {
		t.Errorf("%d swarms", len(s.peers))
	}
}
