package swarm

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// openFront listens on loopback.
func openFront(t *testing.T, allow func(netip.Addr) bool) *front {
	t.Helper()
	f, err := listen(t.Context(), "127.0.0.1:0", http.NotFoundHandler(), false)
	if err != nil {
		t.Fatal(err)
	}
	f.serve(allow)
	t.Cleanup(f.close)
	return f
}

// knock opens a connection from an address, says something, and reports the first
// byte of the answer, 0 if the other side hangs up.
func knock(t *testing.T, f *front, from, words string) (net.Conn, byte) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", f.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, words)
	var first [1]byte
	io.ReadFull(c, first[:])
	return c, first[0]
}

const getRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func TestFrontServesOnlyTheAllowed(t *testing.T) {
	f := openFront(t, func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") })
	if _, got := knock(t, f, "127.0.0.1", getRequest); got != 'H' {
		t.Errorf("who is allowed hears %q", got)
	}
	if _, got := knock(t, f, "127.0.0.2", getRequest); got != 0 {
		t.Errorf("who is not allowed hears %q", got)
	}
}

func TestFrontBoundsWebConnections(t *testing.T) {
	f := openFront(t, func(netip.Addr) bool { return true })
	var open []net.Conn
	for range maxWebPerPeer {
		c, got := knock(t, f, "127.0.0.1", getRequest)
		if got != 'H' {
			t.Fatalf("connection %d hears %q", len(open), got)
		}
		open = append(open, c)
	}
	if _, got := knock(t, f, "127.0.0.1", getRequest); got != 0 {
		t.Error("one address has no bound")
	}
	if _, got := knock(t, f, "127.0.0.2", getRequest); got != 'H' {
		t.Error("another address is refused too")
	}
	for _, c := range open {
		c.Close()
	}
	until(t, "closed connections are forgotten", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.guests[netip.MustParseAddr("127.0.0.1")] == 0
	})
	if _, got := knock(t, f, "127.0.0.1", getRequest); got != 'H' {
		t.Error("there is room again, and the address is refused")
	}
}

// TestDialsFromWhereItListens: peers see a node come from the address where they can find it, unless that could
// not reach them.
func TestDialsFromWhereItListens(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"127.0.0.9", "127.0.0.1", "127.0.0.9"},
		{"10.0.0.9", "192.0.2.1", "10.0.0.9"},
		{"10.0.0.9", "127.0.0.1", ""},
		{"127.0.0.9", "10.0.0.1", ""},
		{"10.0.0.9", "2001:db8::1", ""},
		{"0.0.0.0", "10.0.0.1", ""},
		{"::", "10.0.0.1", ""},
		{"::ffff:10.0.0.9", "10.0.0.1", "10.0.0.9"},
	} {
		d := (&peerDialer{from: netip.MustParseAddr(c.from)}).dialer(netip.MustParseAddr(c.to))
		got := ""
		if a, ok := d.LocalAddr.(*net.TCPAddr); ok {
			got = a.IP.String()
		}
		if got != c.want {
			t.Errorf("listening at %s, %s is dialled from %q, want %q", c.from, c.to, got, c.want)
		}
	}
}
