package discover

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	hexA = "0123456789abcdef0123456789abcdef01234567"
	hexB = "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
)

func TestSearchForm(t *testing.T) {
	s := search{Port: 6881, Infohashes: [][20]byte{{0: 0xab}, {19: 1}}, Cookie: "5f3a9c01"}
	want := "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n" +
		"Infohash: ab00000000000000000000000000000000000000\r\n" +
		"Infohash: 0000000000000000000000000000000000000001\r\n" +
		"cookie: 5f3a9c01\r\n\r\n\r\n"
	if got := string(s.append(nil, searchGroup.addr(false))); got != want {
		t.Errorf("printed\n%q, want\n%q", got, want)
	}
	if got := string(s.append(nil, searchGroup.addr(true))); !strings.Contains(got, "\r\nHost: [ff15::efc0:988f]:6771\r\n") {
		t.Errorf("printed %q", got)
	}
	full := search{Port: 65535, Infohashes: make([][20]byte, searchHashes), Cookie: "5f3a9c01"}
	if n := len(full.append(nil, searchGroup.addr(true))); n > 1200 {
		t.Errorf("a full datagram has %d bytes", n)
	}
}

func TestParseSearch(t *testing.T) {
	head := "BT-SEARCH * HTTP/1.1\r\n"
	for in, ok := range map[string]bool{
		head + "Host: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: " + hexA + "\r\n\r\n\r\n":   true,
		head + "INFOHASH:" + hexB + "\r\nx: y\r\nport:1\r\ncookie: a b\r\n\r\n":                   true,
		strings.ReplaceAll(head, "\r", "") + "Port: 6881\nInfohash: " + hexA + "\n":               true,
		head + "Port: 6881\r\nInfohash: " + hexA + "\r\n\r\nInfohash: zz":                         true, // behind the end
		head + "Port: 0\r\nInfohash: " + hexA + "\r\n\r\n":                                        false,
		head + "Port: 65536\r\nInfohash: " + hexA + "\r\n\r\n":                                    false,
		head + "Port: +1\r\nInfohash: " + hexA + "\r\n\r\n":                                       false,
		head + "Port: 1\r\nPort: 2\r\nInfohash: " + hexA + "\r\n\r\n":                             false,
		head + "Infohash: " + hexA + "\r\n\r\n":                                                   false,
		head + "Port: 1\r\n\r\n":                                                                  false,
		head + "Port: 1\r\nInfohash: " + hexA[1:] + "\r\n\r\n":                                    false,
		head + "Port: 1\r\nInfohash: " + hexA[1:] + "g\r\n\r\n":                                   false,
		head + "Port: 1\r\nInfohash: " + hexA + "\r\ncookie: \x1b[2J\r\n\r\n":                     false,
		head + "Port: 1\r\nInfohash: " + hexA + "\r\ncookie: " + strings.Repeat("a", 65) + "\r\n": false,
		head + "Port: 1\r\nInfohash: " + hexA + "\r\nrubbish\r\n\r\n":                             false,
		"M-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: " + hexA + "\r\n\r\n":                        false,
		"": false,
		head + "Port: 1\r\nInfohash: " + hexA + "\r\nx: " + strings.Repeat("a", maxSearch) + "\r\n": false,
	} {
		if _, err := parseSearch([]byte(in)); (err == nil) != ok || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%.120q: %v, want ok = %v", in, err, ok)
		}
	}
}

func FuzzSearch(f *testing.F) {
	f.Add([]byte("BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: " + hexA + "\r\ncookie: ab\r\n\r\n\r\n"))
	f.Add([]byte("BT-SEARCH * HTTP/1.1\nport:1\ninfohash:\t" + hexB + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSearch(b)
		if err != nil {
			return
		}
		if len(s.Infohashes) > maxSearch/50 {
			t.Fatalf("%d infohashes from %d bytes", len(s.Infohashes), len(b))
		}
		printed := s.append(nil, searchGroup.addr(false))
		if len(printed) > maxSearch {
			return // another spelling of a datagram that was nearly too long
		}
		again, err := parseSearch(printed)
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v came back as %+v, %v", s, again, err)
		}
	})
}

var anID = strings.Repeat("k", idLen)

func TestOfferForm(t *testing.T) {
	o := Offer{ID: anID, Port: 6881, Writer: "m", Update: []byte("news")}
	b, err := o.Marshal()
	if want := "d1:i40:" + anID + "1:pi6881e1:u4:news1:w1:me"; err != nil || string(b) != want {
		t.Fatalf("%q, %v, want %q", b, err, want)
	}
	back, err := ParseOffer(b)
	if err != nil || !reflect.DeepEqual(o, back) {
		t.Errorf("came back as %+v, %v", back, err)
	}
	for name, bad := range map[string]Offer{
		"id too short":  {ID: anID[1:], Port: 1, Writer: "m"},
		"id with space": {ID: anID[1:] + " ", Port: 1, Writer: "m"},
		"no port":       {ID: anID, Writer: "m"},
		"no writer":     {ID: anID, Port: 1},
		"long writer":   {ID: anID, Port: 1, Writer: strings.Repeat("w", MaxWriter+1)},
		"escape":        {ID: anID, Port: 1, Writer: "\x1b[2J"},
		"long update":   {ID: anID, Port: 1, Writer: "m", Update: make([]byte, MaxOffer)},
	} {
		if _, err := bad.Marshal(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, in := range []string{
		"", "de", solicitation, string(b) + "x", string(b[:len(b)-1]),
		"d1:i40:" + anID + "1:pi0e1:u0:1:w1:me", "d1:i40:" + anID + "1:pi65536e1:u0:1:w1:me", "d1:i40:" + anID + "1:pi-1e1:u0:1:w1:me",
		"d1:i40:" + anID + "1:pi1e1:w1:me", "d1:i40:" + anID + "1:pi1e1:u0:1:w1:m1:x0:e", "d1:i39:" + anID[1:] + "1:pi1e1:u0:1:w1:me",
		"d1:pi1e1:i40:" + anID + "1:u0:1:w1:me", "d1:i40:" + anID + "1:pi1e1:u9999:1:w1:me",
		"d1:i40:" + anID + "1:pi1e1:u1200:" + strings.Repeat("u", 1200) + "1:w1:me",
	} {
		if o, err := ParseOffer([]byte(in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.80q was read as %+v, %v", in, o, err)
		}
	}
}

func FuzzOffer(f *testing.F) {
	f.Add([]byte("d1:i40:" + anID + "1:pi6881e1:u4:news1:w1:me"))
	f.Add([]byte("d1:i40:" + anID + "1:pi1e1:u0:1:w1:me"))
	f.Add([]byte(solicitation))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseOffer(b)
		if err != nil {
			return
		}
		again, err := o.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q was printed back as %q, %v", b, again, err)
		}
	})
}

func TestKnown(t *testing.T) {
	var k Known
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	for _, s := range []string{"[fe80::1]:1", "[fe80::1%eth0]:1", "0.0.0.0:1", "224.0.0.1:1", "10.0.0.1:0", "169.254.1.1:9"} {
		k.Heard(at(s), now)
	}
	k.Failed(at("10.0.0.9:1"))
	if k.Len() != 0 {
		t.Fatalf("remembered %v", k.All())
	}
	k.Useful(at("[::ffff:10.0.0.1]:1"), now)
	k.Heard(at("10.0.0.2:1"), now.Add(time.Hour))
	k.Heard(at("[2001:db8::1]:1"), now.Add(-time.Hour))
	k.Useful(at("10.0.0.3:1"), now.Add(time.Minute))
	k.Failed(at("10.0.0.3:1"))
	var order []string
	for _, p := range k.All() {
		order = append(order, p.Addr.String())
	}
	if got, want := strings.Join(order, " "), "10.0.0.1:1 10.0.0.2:1 [2001:db8::1]:1 10.0.0.3:1"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	b := k.Bytes()
	back, err := ParseKnown(b)
	if err != nil || !reflect.DeepEqual(back.All(), k.All()) || !bytes.Equal(back.Bytes(), b) {
		t.Errorf("%q came back as %v, %v", b, back, err)
	}
	for i := range MaxKnown * 2 {
		k.Heard(netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), 1), now.Add(time.Duration(i)*time.Hour))
	}
	if k.Len() != MaxKnown {
		t.Errorf("%d peers remembered", k.Len())
	}
	if _, ok := k.peers[at("10.0.0.3:1")]; !ok {
		t.Error("a useful peer was pushed out by others that were only named")
	}
	if n := len(k.Bytes()); n > maxKnownBytes {
		t.Errorf("stored form of %d bytes cannot be read back", n)
	}
	for range maxFailures {
		k.Failed(at("10.0.0.1:1"))
	}
	if _, ok := k.peers[at("10.0.0.1:1")]; ok {
		t.Error("a dead peer is remembered")
	}
	k.Prune(now.Add(5 * 365 * 24 * time.Hour))
	if k.Len() != 0 {
		t.Errorf("%d peers remembered after five years", k.Len())
	}
	if back, err := ParseKnown(k.Bytes()); err != nil || back.Len() != 0 {
		t.Errorf("an empty one came back as %v, %v", back, err)
	}
}

func TestParseKnownRefuses(t *testing.T) {
	for _, in := range []string{
		"", "de", "d1:vi1ee", "d1:ple1:vi2ee", "d1:ple1:vi1e1:xlee", "d1:pll6:\x0a\x00\x00\x01\x00\x00i1ei0ei0eee1:vi1ee",
		"d1:pll6:\x0a\x00\x00\x01\x00\x01i1ei0eee1:vi1ee", "d1:pll6:\x0a\x00\x00\x01\x00\x01i1ei0ei0ei0eee1:vi1ee",
		"d1:pll6:\x0a\x00\x00\x01\x00\x01i-1ei0ei0eee1:vi1ee", "d1:pll6:\x0a\x00\x00\x01\x00\x01i1ei0ei10eee1:vi1ee",
		"d1:pll6:\x0a\x00\x00\x01\x00\x01i1ei0ei0eel6:\x0a\x00\x00\x01\x00\x01i1ei0ei0eee1:vi1ee",
		"d1:pll5:\x0a\x00\x00\x01\x00i1ei0ei0eee1:vi1ee",
		"d1:pll18:\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x01\x00\x01i1ei0ei0eee1:vi1ee",
		"d1:pl" + strings.Repeat("l", maxKnownBytes) + "e",
	} {
		if k, err := ParseKnown([]byte(in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.80q was read as %v, %v", in, k, err)
		}
	}
}

func FuzzKnown(f *testing.F) {
	var k Known
	k.Useful(netip.MustParseAddrPort("10.0.0.1:6881"), time.Unix(1e9, 0))
	k.Heard(netip.MustParseAddrPort("[2001:db8::1]:6881"), time.Unix(2e9, 0))
	f.Add(k.Bytes())
	f.Add(new(Known).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKnown(b)
		if err != nil {
			return
		}
		if again := k.Bytes(); !bytes.Equal(again, b) {
			t.Fatalf("%q was printed back as %q", b, again)
		}
	})
}
