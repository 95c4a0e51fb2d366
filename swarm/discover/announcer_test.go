package discover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// These tests run on virtual time: the HTTP client and the server are real, the
// wire between them is net.Pipe.

// pipes is a network of which every address is the same listener.
type pipes struct {
	conns chan net.Conn
	mu    sync.Mutex
	dials []string
	down  bool
}

func (p *pipes) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	p.dials = append(p.dials, address)
	down := p.down
	p.mu.Unlock()
	if down {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) setDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *pipes) dialled() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.dials)
}

// trackerRig is an Announcer with a tracker that answers what the test says.
type trackerRig struct {
	*Announcer
	net   *pipes
	start time.Time
	mu    sync.Mutex
	log   []string // "<seconds since start> <event> left=<n>"
	peers []netip.AddrPort
	body  string
	hang  chan struct{} // not nil: requests wait until it is closed
}

func (r *trackerRig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	event := q.Get("event")
	if event == "" {
		event = "-"
	}
	r.mu.Lock()
	hang := r.hang
	r.mu.Unlock()
	if hang != nil {
		<-hang
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf("%.0f %s left=%s", time.Since(r.start).Seconds(), event, q.Get("left")))
	io.WriteString(w, r.body)
}

func (r *trackerRig) said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

func (r *trackerRig) found() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.peers)
}

func (r *trackerRig) answer(body string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.body = body
}

// inBubble runs test on virtual time with a rig whose random source is seeded.
func inBubble(t *testing.T, change func(*AnnouncerConfig), test func(t *testing.T, r *trackerRig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &trackerRig{net: &pipes{conns: make(chan net.Conn)}, start: time.Now()}
		srv := &http.Server{Handler: r}
		go srv.Serve(r.net)
		cfg := AnnouncerConfig{
			Port:     6881,
			Transfer: func([20]byte) Transfer { return Transfer{Left: 77} },
			OnPeers: func(_ [20]byte, _ string, peers []netip.AddrPort) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.peers = append(r.peers, peers...)
			},
			Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") },
			Dial:    r.net.Dial,
			Rand:    rand.New(rand.NewPCG(1, 2)),
		}
		if change != nil {
			change(&cfg)
		}
		r.Announcer = NewAnnouncer(cfg)
		test(t, r)
		r.Close()
		synctest.Wait()
		close(r.net.conns)
		srv.Close()
	})
}

const (
	testTracker = "http://192.0.2.7:6969/announce"
	// goodBody has the peers 10.0.0.1:258, 0.0.0.0:1 and 10.0.0.2:0, of which
	// only the first can be dialled, twice.
	goodBody = "d8:completei3e10:incompletei4e8:intervali100e5:peers24:" +
		"\x0a\x00\x00\x01\x01\x02" + "\x00\x00\x00\x00\x00\x01" + "\x0a\x00\x00\x02\x00\x00" + "\x0a\x00\x00\x01\x01\x02" + "e"
)

var testHash = [20]byte{1, 2, 3}

// events strips the times from what a tracker was told.
func events(log []string) string {
	var out []string
	for _, l := range log {
		out = append(out, strings.Fields(l)[1])
	}
	return strings.Join(out, " ")
}

func TestTrackerEvents(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, r *trackerRig) {
		r.answer(goodBody)
		r.Set(testHash, []string{testTracker, testTracker})
		synctest.Wait()
		s := r.State(testHash)
		if len(s) != 1 || s[0].Err != nil || s[0].Seeds != 3 || s[0].Leechers != 4 || s[0].Peers != 1 || s[0].String() != "working" {
			t.Fatalf("state %+v", s)
		}
		if want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:258")}; !slices.Equal(r.found(), want) {
			t.Errorf("peers %v, want %v", r.found(), want)
		}
		time.Sleep(105 * time.Second)
		synctest.Wait()
		r.Completed(testHash)
		synctest.Wait()
		if got := events(r.said()); got != "started - completed" {
			t.Errorf("events %q", got)
		}
		r.Close()
		if got := events(r.said()); got != "started - completed stopped" {
			t.Errorf("events %q", got)
		}
		if first := r.said()[0]; first != "0 started left=77" {
			t.Errorf("first announcement %q", first)
		}
		r.Set(testHash, []string{testTracker})
		synctest.Wait()
		if n := len(r.said()); n != 4 {
			t.Errorf("%d announcements, some after Close", n)
		}
	})
}

func TestTrackerInterval(t *testing.T) {
	for _, tt := range []struct {
		interval int
		min, max time.Duration
	}{
		{100, 100 * time.Second, 103 * time.Second},
		{1, 30 * time.Second, 31 * time.Second},
		{0, 5 * time.Minute, 310 * time.Second},
		{-5, 5 * time.Minute, 310 * time.Second},
		{1 << 30, 2 * time.Hour, 124 * time.Minute},
	} {
		inBubble(t, nil, func(t *testing.T, r *trackerRig) {
			r.answer(fmt.Sprintf("d8:intervali%de5:peers0:e", tt.interval))
			r.Set(testHash, []string{testTracker})
			synctest.Wait()
			time.Sleep(tt.min - time.Second)
			synctest.Wait()
			if n := len(r.said()); n != 1 {
				t.Errorf("interval %d: %d announcements before %s", tt.interval, n, tt.min)
			}
			time.Sleep(tt.max - tt.min + 2*time.Second)
			synctest.Wait()
			if n := len(r.said()); n != 2 {
				t.Errorf("interval %d: %d announcements after %s", tt.interval, n, tt.max)
			}
		})
	}
}

func TestTrackerGoneAndBack(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, r *trackerRig) {
		r.answer(goodBody)
		r.net.setDown(true)
		r.Set(testHash, []string{testTracker})
		synctest.Wait()
		s := r.State(testHash)[0]
		if s.Err == nil || s.Failures != 1 || !strings.Contains(s.String(), "192.0.2.7") || !strings.Contains(s.String(), "connection refused") {
			t.Fatalf("state %+v", s)
		}
		if strings.Contains(s.String(), "info_hash") {
			t.Errorf("the whole query is shown: %s", s)
		}
		r.Completed(testHash)
		r.Again(testHash)
		time.Sleep(time.Hour)
		synctest.Wait()
		// 30 s, 1, 2, 4, 8, 10, 10, … minutes and up to half as much more.
		if n := len(r.net.dialled()); n < 7 || n > 10 {
			t.Errorf("%d attempts in an hour without answer", n)
		}
		r.net.setDown(false)
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if got := events(r.said()); !strings.HasPrefix(got, "started completed") {
			t.Errorf("back again, it was told %q", got)
		}
		if s := r.State(testHash)[0]; s.Err != nil || s.Failures != 0 {
			t.Errorf("state %+v", s)
		}
	})
}

func TestTrackerBadAnswers(t *testing.T) {
	for _, body := range []string{
		"", "hello", "d5:peers", "d14:failure reason7:go awaye", "i1e", strings.Repeat("x", maxResponse+1),
		"d5:peersd1:a1:bee", "d8:intervali99999999999999999999e5:peers0:e",
	} {
		inBubble(t, nil, func(t *testing.T, r *trackerRig) {
			r.answer(body)
			r.Set(testHash, []string{testTracker})
			synctest.Wait()
			s := r.State(testHash)[0]
			if s.Err == nil || len(s.Err.Error()) > maxErrorText+8 {
				t.Errorf("body %.40q: error %v", body, s.Err)
			}
			if len(r.found()) > 0 {
				t.Errorf("body %.40q: peers %v", body, r.found())
			}
		})
	}
}

func TestTrackerAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, r *trackerRig) {
		r.answer("d8:intervali1800e5:peers0:e")
		r.Set(testHash, []string{testTracker})
		time.Sleep(time.Second)
		for range 5 {
			r.Again(testHash)
		}
		time.Sleep(60 * time.Second)
		synctest.Wait()
		if got := r.said(); len(got) != 2 || !strings.HasPrefix(got[1], "30 -") {
			t.Errorf("asked again, it was told %q", got)
		}
	})
}

func TestTrackerHangsAtClose(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, r *trackerRig) {
		r.answer(goodBody)
		r.Set(testHash, []string{testTracker})
		synctest.Wait()
		r.mu.Lock()
		r.hang = make(chan struct{})
		r.mu.Unlock()
		begin := time.Now()
		r.Close()
		if d := time.Since(begin); d != stopTimeout {
			t.Errorf("Close took %s, want %s", d, stopTimeout)
		}
		close(r.hang)
	})
}

func TestTrackerAddresses(t *testing.T) {
	refuse := errors.New("not on this network")
	lanOnly := func(c *AnnouncerConfig) {
		c.Literal = true
		c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
			panic("looked up " + host)
		}
		c.Allow = func(a netip.Addr) error {
			if !a.IsPrivate() && !a.IsLoopback() {
				return refuse
			}
			return nil
		}
	}
	for _, tt := range []struct {
		url   string
		err   error
		dials []string
	}{
		{"http://10.1.2.3/announce", nil, []string{"10.1.2.3:80"}},
		{"http://tracker.example/announce", ErrNameRefused, nil},
		{"udp://tracker.example:1337", ErrNameRefused, nil},
		{"http://203.0.113.9:6969/announce", refuse, nil},
		{"udp://203.0.113.9:6969/announce", refuse, nil},
		{"http://localhost:99/announce", nil, []string{"127.0.0.1:99", "[::1]:99"}},
		{"http://[fd00::9]:99/announce", nil, []string{"[fd00::9]:99"}},
	} {
		inBubble(t, lanOnly, func(t *testing.T, r *trackerRig) {
			r.answer("d8:intervali1800e5:peers6:\x0a\x00\x00\x01\x01\x026:peers60:e")
			r.Set(testHash, []string{tt.url})
			synctest.Wait()
			s := r.State(testHash)[0]
			if !errors.Is(s.Err, tt.err) || tt.err == nil && s.Err != nil {
				t.Errorf("%s: error %v, want %v", tt.url, s.Err, tt.err)
			}
			dials := r.net.dialled()
			if slices.Sort(dials); !slices.Equal(dials, tt.dials) {
				t.Errorf("%s: dialled %q, want %q", tt.url, dials, tt.dials)
			}
		})
	}
}

// TestTrackerRedirect lets a tracker send us elsewhere.
func TestTrackerRedirect(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		dials    int
	}{
		{"http://203.0.113.9/announce", "http://203.0.113.10/announce", 2},
		{"http://203.0.113.9/announce", "http://127.0.0.1/announce", 1},
		{"http://203.0.113.9/announce", "http://192.168.1.1/reboot", 1},
		{"http://203.0.113.9/announce", "http://forbidden.example/", 1},
		{"http://127.0.0.1/secret", "", 0},
	} {
		inBubble(t, nil, func(t *testing.T, r *trackerRig) {
			n := 0
			r.gate.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				n++
				ours, theirs := net.Pipe()
				go func() {
					defer theirs.Close()
					buf := make([]byte, 4096)
					theirs.Read(buf)
					fmt.Fprintf(theirs, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", tt.to)
				}()
				return ours, nil
			}
			r.Set(testHash, []string{tt.from})
			time.Sleep(time.Second)
			r.Set(testHash, nil)
			synctest.Wait()
			if tt.dials == 2 && n < 2 || tt.dials < 2 && n != tt.dials {
				t.Errorf("%s to %s: %d connections, want %d", tt.from, tt.to, n, tt.dials)
			}
		})
	}
}

func TestCheckTracker(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://h/announce": true, "https://h:1/x": true, "udp://h:1": true, "udp://[::1]:80/announce": true,
		"udp://h": false, "wss://h": false, "h:80": false, "http://": false, "": false, "http://h:port/": false, "\x00": false,
	} {
		if err := CheckTracker(url); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestManyTrackers(t *testing.T) {
	inBubble(t, func(c *AnnouncerConfig) { c.Logger = slog.New(slog.DiscardHandler) }, func(t *testing.T, r *trackerRig) {
		r.answer(goodBody)
		var urls []string
		for i := range MaxTrackers + 10 {
			urls = append(urls, fmt.Sprintf("http://192.0.2.7:%d/announce", 1000+i))
		}
		r.Set(testHash, urls)
		synctest.Wait()
		if n := len(r.said()); n != MaxTrackers {
			t.Errorf("%d trackers used, want %d", n, MaxTrackers)
		}
		r.Set(testHash, urls[:1])
		synctest.Wait()
		if n := strings.Count(events(r.said()), "stopped"); n != MaxTrackers-1 {
			t.Errorf("%d trackers told stopped, want %d", n, MaxTrackers-1)
		}
	})
}
