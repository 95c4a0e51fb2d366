package netns

import (
	"bytes"
	"net/netip"
	"testing"
)

// frame is an Ethernet frame with IPv4 (24 bytes of header) and TCP (32), padded by two bytes.
func frame(payload string) []byte {
	ip := []byte{0x46, 0, 0, byte(24 + 32 + len(payload)), 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 1}
	tcp := append([]byte{0x1a, 0xe1, 0x1a, 0xe2, 1, 2, 3, 4, 0, 0, 0, 0, 0x80, 0x18, 0, 0, 0, 0, 0, 0}, make([]byte, 12)...)
	f := append(make([]byte, 12), 8, 0)
	return append(append(append(append(f, ip...), tcp...), payload...), 0xff, 0xff)
}

func TestParseSegment(t *testing.T) {
	s, ok := parseSegment(frame("hello"))
	if !ok || string(s.Payload) != "hello" || s.Seq != 0x01020304 ||
		s.From != netip.MustParseAddrPort("10.0.0.1:6881") || s.To != netip.MustParseAddrPort("10.0.0.2:6882") {
		t.Errorf("got %+v, %v", s, ok)
	}
	for name, change := range map[string]func(f []byte) []byte{
		"no payload":          func([]byte) []byte { return frame("") },
		"ARP":                 func(f []byte) []byte { f[12], f[13] = 8, 6; return f },
		"IPv6":                func(f []byte) []byte { f[14] = 0x66; return f },
		"UDP":                 func(f []byte) []byte { f[23] = 17; return f },
		"second fragment":     func(f []byte) []byte { f[21] = 1; return f },
		"first fragment":      func(f []byte) []byte { f[20] |= 0x20; return f },
		"short IP header":     func(f []byte) []byte { f[14] = 0x44; return f },
		"short TCP header":    func(f []byte) []byte { f[14+24+12] = 0x40; return f },
		"TCP header too long": func(f []byte) []byte { f[14+24+12] = 0xf0; return f },
		"cut short":           func(f []byte) []byte { return f[:len(f)-4] },
		"nothing":             func([]byte) []byte { return nil },
	} {
		if s, ok := parseSegment(change(frame("hello"))); ok {
			t.Errorf("%s was taken: %+v", name, s)
		}
	}
}

func FuzzParseSegment(f *testing.F) {
	f.Add(frame("hello"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := parseSegment(b); ok && (len(s.Payload) == 0 || !bytes.Contains(b, s.Payload)) {
			t.Errorf("payload %x of %x", s.Payload, b)
		}
	})
}
