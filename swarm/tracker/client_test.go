package tracker

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	client "github.com/anacrolix/torrent/tracker"
	"github.com/anacrolix/torrent/types/infohash"
)

func dial(t *testing.T, url string) client.Client {
	t.Helper()
	c, err := client.NewClient(url, client.NewClientOpts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func announceAs(t *testing.T, c client.Client, n int, port uint16, left int64, e client.AnnounceEvent) client.AnnounceResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := c.Announce(ctx, client.AnnounceRequest{
		InfoHash: torrentA, PeerId: id(n), Port: port, Left: left, NumWant: -1, Event: e, Key: int32(n),
	}, client.AnnounceOpt{})
	if err != nil {
		t.Fatalf("peer %d announces: %v", n, err)
	}
	return r
}

func addrs(t *testing.T, r client.AnnounceResponse) (out []string) {
	t.Helper()
	for _, p := range r.Peers {
		a, ok := p.ToNetipAddrPort()
		if !ok {
			t.Fatalf("peer %v has no address", p)
		}
		out = append(out, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String())
	}
	return out
}

// TestEngineClient lets the engine's client announce and scrape over real sockets.
func TestEngineClient(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		for _, scheme := range []string{"http", "udp"} {
			t.Run(scheme+" "+ip, func(t *testing.T) {
				origin := netip.AddrPortFrom(netip.MustParseAddr(ip), 6881)
				s, _ := newTest(Config{
					Allowed: func(h [20]byte) bool { return h == torrentA },
					Self: func(_ [20]byte, local netip.Addr) []netip.AddrPort {
						return []netip.AddrPort{netip.AddrPortFrom(local, 6881)}
					},
				})
				base := map[string]string{}
				base["http"], base["udp"] = serve(t, s, ip)
				c := dial(t, base[scheme]+"/announce")
				at := func(port int) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }

				r := announceAs(t, c, 1, 1001, 10, client.Started)
				if got := addrs(t, r); !slices.Equal(got, []string{origin.String()}) {
					t.Fatalf("the first peer got %v, want the origin alone", got)
				}
				if r.Interval != int32(DefaultInterval/time.Second) || r.Seeders != 1 || r.Leechers != 1 {
					t.Fatalf("interval %d, seeders %d, leechers %d", r.Interval, r.Seeders, r.Leechers)
				}
				r = announceAs(t, c, 2, 1002, -1, client.Started)
				if got, want := addrs(t, r), []string{at(1001), origin.String()}; !slices.Equal(got, want) {
					t.Fatalf("the second peer got %v, want %v", got, want)
				}
				announceAs(t, c, 1, 1001, 0, client.Completed)
				checkScrape(t, c, [3]int32{2, 1, 1})
				r = announceAs(t, c, 3, 1003, 0, client.None)
				if got, want := addrs(t, r), []string{at(1002)}; !slices.Equal(got, want) {
					t.Fatalf("a seed got %v, want %v", got, want)
				}
				if got := addrs(t, announceAs(t, c, 2, 1002, 10, client.Stopped)); len(got) != 0 {
					t.Fatalf("a leaving peer got %v", got)
				}
				checkScrape(t, c, [3]int32{3, 1, 0})
			})
		}
	}
}

// checkScrape scrapes torrentA, want being complete, downloaded, incomplete, and an
// infohash that is not served.
func checkScrape(t *testing.T, c client.Client, want [3]int32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := c.Scrape(ctx, []infohash.T{torrentA, {1, 2, 3}})
	if err != nil || len(out) != 2 {
		t.Fatalf("scrape: %v, %v", out, err)
	}
	if got := [3]int32{out[0].Seeders, out[0].Completed, out[0].Leechers}; got != want {
		t.Errorf("scraped %v, want %v", got, want)
	}
	if o := out[1]; o.Seeders != 0 || o.Completed != 0 || o.Leechers != 0 {
		t.Errorf("an unserved infohash has %v", o)
	}
}

func TestEngineClientIsToldWhy(t *testing.T) {
	s, _ := newTest(Config{Allowed: func([20]byte) bool { return false }})
	httpURL, udpURL := serve(t, s, "127.0.0.1")
	for _, base := range []string{httpURL, udpURL} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := dial(t, base+"/announce").Announce(ctx, client.AnnounceRequest{InfoHash: torrentA, Port: 1}, client.AnnounceOpt{})
		cancel()
		if err == nil || !strings.Contains(err.Error(), "unregistered torrent") {
			t.Errorf("%s: error %v, want the reason", base, err)
		}
	}
}

// TestWildcardUDP serves a socket bound to all addresses: the answer must leave from
// the address that was asked, and Self must hear which one that is.
func TestWildcardUDP(t *testing.T) {
	for _, tc := range []struct{ network, bind, at string }{
		{"udp4", "0.0.0.0:0", "127.0.0.1"},
		{"udp4", "0.0.0.0:0", "127.0.0.9"}, // not the address that routing would choose
		{"udp6", "[::]:0", "::1"},
	} {
		t.Run(tc.at, func(t *testing.T) {
			pc, err := net.ListenPacket(tc.network, tc.bind)
			if err != nil {
				t.Skipf("no %s here: %v", tc.network, err)
			}
			defer pc.Close()
			s, _ := newTest(Config{Self: func(_ [20]byte, local netip.Addr) []netip.AddrPort {
				return []netip.AddrPort{netip.AddrPortFrom(local, 6881)}
			}})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- s.ServePacket(ctx, pc) }()
			port := pc.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			to := netip.AddrPortFrom(netip.MustParseAddr(tc.at), port)
			conn, err := net.Dial("udp", to.String()) // hears only what comes from there
			if err != nil {
				t.Skipf("%s cannot be reached here: %v", tc.at, err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			connection := exchange(t, conn, appendConnect(nil, 7))[8:16]
			out := exchange(t, conn, appendAnnounce(nil, connection, join(1, "127.0.0.1:1001")))
			ipLen := len(to.Addr().AsSlice())
			if got, want := compact(t, string(out[20:]), ipLen), netip.AddrPortFrom(to.Addr(), 6881).String(); !slices.Equal(got, []string{want}) {
				t.Errorf("got %v, want %v", got, want)
			}
			cancel()
			if err := <-done; err != context.Canceled {
				t.Errorf("ServePacket returned %v", err)
			}
		})
	}
}

func exchange(t *testing.T, conn net.Conn, packet []byte) []byte {
	t.Helper()
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, maxPacket)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func TestServePacketEndsWithItsSocket(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, _ := newTest(Config{})
	_ = pc.Close()
	if err := s.ServePacket(t.Context(), pc); err == nil || !strings.Contains(err.Error(), "reading from") {
		t.Errorf("ServePacket on a closed socket: %v", err)
	}
}

func TestAboutAndMount(t *testing.T) {
	s, _ := newTest(Config{})
	mux := http.NewServeMux()
	s.Mount(mux)
	mux.HandleFunc("GET /{$}", HandleAbout)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hs := HTTPServer(mux, nil)
	go func() { _ = hs.Serve(ln) }()
	defer hs.Close()
	for path, want := range map[string]string{
		"/":                             About,
		"/announce?" + announceQ(1, 99): "d8:complete",
		"/scrape?" + query("info_hash", string(torrentA[:])): "d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:complete",
	} {
		r, err := http.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if r.StatusCode != 200 || !strings.HasPrefix(string(b), want) {
			t.Errorf("GET %s: %d %q, want %q", path, r.StatusCode, b, want)
		}
	}
}
