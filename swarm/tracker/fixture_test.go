package tracker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	enginebencode "github.com/anacrolix/torrent/bencode"
)

// fakeClock is a clock that moves when told to.
type fakeClock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *fakeClock { return &fakeClock{t: time.Unix(1_800_000_000, 0)} }

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// seeded is a Config.Rand that gives the same bytes in every run.
func seeded() io.Reader { return rand.NewChaCha8([32]byte{'t', 'r', 'a', 'c', 'k'}) }

func newTest(c Config) (*Server, *fakeClock) {
	clock := newClock()
	c.Now, c.Rand = clock.now, seeded()
	return New(c), clock
}

var torrentA = [20]byte([]byte("aaaaaaaaaaaaaaaaaaaa"))

func id(n int) (out [20]byte) {
	copy(out[:], "-TT0001-")
	binary.BigEndian.PutUint64(out[12:], uint64(n))
	return out
}

// join is a leecher's announce of torrentA from addr ("ip:port"), which wants peers.
func join(n int, addr string) *request {
	ap := netip.MustParseAddrPort(addr)
	return &request{infohash: torrentA, peerID: id(n), port: ap.Port(), from: ap.Addr(), numWant: defaultNumWant}
}

func joinSeed(n int, addr string) *request {
	q := join(n, addr)
	q.seed = true
	return q
}

// ask announces and returns the addresses handed out, in their order.
func ask(t *testing.T, s *Server, q *request) []string {
	t.Helper()
	a, err := s.announce(q)
	if err != nil {
		t.Fatalf("announce from %s: %v", q.from, err)
	}
	var out []string
	for _, h := range a.peers {
		out = append(out, h.addr.String())
	}
	return out
}

// get sends a query to the handler as if it came from remote and returns the body.
func get(t *testing.T, s *Server, remote, path, query string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.URL.RawQuery = query
	r.RemoteAddr = remote
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s?%s: status %d: %s", path, query, w.Code, w.Body)
	}
	return w.Body.String()
}

// reply is an announce's answer as the engine's decoder reads it.
type reply struct {
	Failure     string         `bencode:"failure reason"`
	RetryIn     int            `bencode:"retry in"`
	Warning     string         `bencode:"warning message"`
	Interval    int            `bencode:"interval"`
	MinInterval int            `bencode:"min interval"`
	Complete    int            `bencode:"complete"`
	Downloaded  int            `bencode:"downloaded"`
	Incomplete  int            `bencode:"incomplete"`
	Peers       any            `bencode:"peers"`
	Peers6      string         `bencode:"peers6"`
	Files       map[string]any `bencode:"files"`
}

func decode(t *testing.T, body string) (r reply) {
	t.Helper()
	if err := enginebencode.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("answer %q: %v", body, err)
	}
	return r
}

func query(kv ...string) string {
	var b strings.Builder
	for i := 0; i < len(kv); i += 2 {
		fmt.Fprintf(&b, "&%s=%s", kv[i], strings.ReplaceAll(url.QueryEscape(kv[i+1]), "+", "%20"))
	}
	return strings.TrimPrefix(b.String(), "&")
}

// announceQ is a valid query of peer n, with more parameters behind it.
func announceQ(n, port int, kv ...string) string {
	peer := id(n)
	return query(append([]string{"info_hash", string(torrentA[:]), "peer_id", string(peer[:]),
		"port", fmt.Sprint(port), "left", "5"}, kv...)...)
}

// compact reads the 6- or 18-byte addresses of an answer.
func compact(t *testing.T, b string, ipLen int) (out []string) {
	t.Helper()
	if len(b)%(ipLen+2) != 0 {
		t.Fatalf("compact peers of %d bytes", len(b))
	}
	for ; len(b) > 0; b = b[ipLen+2:] {
		ip, _ := netip.AddrFromSlice([]byte(b[:ipLen]))
		out = append(out, netip.AddrPortFrom(ip, binary.BigEndian.Uint16([]byte(b[ipLen:]))).String())
	}
	return out
}

// serve runs s on real sockets at ip and returns the base URLs "http://…" and "udp://…".
func serve(t *testing.T, s *Server, ip string) (httpURL, udpURL string) {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Skipf("no TCP on %s here: %v", ip, err)
	}
	hs := HTTPServer(s, nil)
	var wg sync.WaitGroup
	wg.Go(func() { _ = hs.Serve(ln) })
	pc, err := net.ListenPacket("udp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if err := s.ServePacket(ctx, pc); err != context.Canceled {
			t.Errorf("ServePacket returned %v after its context was cancelled", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = hs.Close()
		wg.Wait()
		_ = pc.Close()
	})
	return "http://" + ln.Addr().String(), "udp://" + pc.LocalAddr().String()
}
