package tracker

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"handful/manifest/bencode"
)

func TestAnswerForms(t *testing.T) {
	s, _ := newTest(Config{Self: func([20]byte, netip.Addr) []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:6881")}
	}})
	get(t, s, "[2001:db8::5]:999", "/announce", announceQ(1, 1001))
	get(t, s, "[::ffff:198.51.100.7]:999", "/x/announce", announceQ(2, 1002))
	const asker = "198.51.100.9:5"

	body := get(t, s, asker, "/announce", announceQ(3, 1003))
	r := decode(t, body)
	v4, _ := r.Peers.(string)
	if got := compact(t, v4, 4); !slices.Equal(got, []string{"198.51.100.7:1002", "192.0.2.1:6881"}) {
		t.Errorf("peers %v", got)
	}
	if got := compact(t, r.Peers6, 16); !slices.Equal(got, []string{"[2001:db8::5]:1001"}) {
		t.Errorf("peers6 %v", got)
	}
	if r.Interval != 600 || r.MinInterval != 60 || r.Complete != 1 || r.Incomplete != 3 || r.Downloaded != 0 {
		t.Errorf("%+v", r)
	}
	strict(t, body)

	for _, noID := range []string{"0", "1"} {
		body = get(t, s, asker, "/announce", announceQ(3, 1003, "compact", "0", "no_peer_id", noID))
		strict(t, body)
		r = decode(t, body)
		list, _ := r.Peers.([]any)
		if len(list) != 3 {
			t.Fatalf("peers %v", r.Peers)
		}
		first, last := list[0].(map[string]any), list[2].(map[string]any)
		if first["ip"] != "198.51.100.7" || first["port"] != int64(1002) || last["ip"] != "192.0.2.1" || last["peer id"] != nil {
			t.Errorf("first %v, last %v", first, last)
		}
		want := id(2)
		if got, ok := first["peer id"].(string); ok != (noID == "0") || ok && got != string(want[:]) {
			t.Errorf("no_peer_id=%s: peer id %q", noID, got)
		}
	}
	if r = decode(t, get(t, s, asker, "/announce", announceQ(3, 1003, "numwant", "0"))); r.Peers != "" {
		t.Errorf("numwant=0: peers %v", r.Peers)
	}
}

// strict checks a body with our own reader, which wants ascending keys.
func strict(t *testing.T, body string) {
	t.Helper()
	r := bencode.NewReader([]byte(body))
	r.Skip()
	if err := r.End(); err != nil {
		t.Errorf("answer %q: %v", body, err)
	}
}

func TestFailures(t *testing.T) {
	s, clock := newTest(Config{Allowed: func(h [20]byte) bool { return h == torrentA }, Limits: Limits{Rate: 1, Burst: 4, PeersPerIP: 1}})
	other := strings.Replace(announceQ(1, 1001), "aaaa", "aaab", 1)
	for i, tc := range []struct{ path, query, want string }{
		{"/announce", "", "info_hash is missing"},
		{"/announce", other, "unregistered torrent"},
		{"/scrape", "", "a scrape must name at least one info_hash"},
		{"/scrape", "info_hash=x", "info_hash has 1 bytes"},
		{"/announce", announceQ(1, 1001), "too many announces from this address"},
	} {
		body := get(t, s, "198.51.100.9:5", tc.path, tc.query)
		strict(t, body)
		r := decode(t, body)
		if !strings.Contains(r.Failure, tc.want) || (r.RetryIn != 0) != (i == 4) {
			t.Errorf("%s?%s: %+v, want %q", tc.path, tc.query, r, tc.want)
		}
	}
	if r := decode(t, get(t, s, "198.51.100.10:5", "/announce", announceQ(1, 1001))); r.Failure != "" {
		t.Errorf("another address is refused: %q", r.Failure)
	}
	clock.advance(2 * time.Second)
	for i, warn := range []bool{false, true} {
		r := decode(t, get(t, s, "198.51.100.9:5", "/announce", announceQ(i, 1001+i)))
		if r.Failure != "" || (r.Warning != "") != warn || r.Incomplete != 2 {
			t.Errorf("peer %d of one address, which may have one: %+v", i, r)
		}
	}
	if r := decode(t, get(t, s, "198.51.100.9:5", "/announce", announceQ(0, 1001))); r.Failure == "" {
		t.Error("two seconds gave three tokens")
	}
	clock.advance(time.Second)
	if r := decode(t, get(t, s, "198.51.100.9:5", "/announce", announceQ(0, 1001))); r.Warning != "" {
		t.Errorf("the one peer of an address announces again: %q", r.Warning)
	}
	st := s.Stats()
	if st.Refused != 6 || st.RateLimited != 2 || st.Announces != 4 || st.Unregistered != 1 {
		t.Errorf("%+v", st)
	}
}

func TestScrapeAnswer(t *testing.T) {
	s, _ := newTest(Config{Allowed: func(h [20]byte) bool { return h[0] < 'c' }})
	get(t, s, "198.51.100.9:5", "/announce", announceQ(1, 1001))
	b, c := strings.Repeat("b", 20), strings.Repeat("c", 20)
	body := get(t, s, "198.51.100.9:5", "/scrape", query("info_hash", b, "info_hash", c, "info_hash", string(torrentA[:])))
	strict(t, body)
	r := decode(t, body)
	if len(r.Files) != 2 || fmt.Sprint(r.Files[b]) != "map[complete:0 downloaded:0 incomplete:0]" ||
		fmt.Sprint(r.Files[string(torrentA[:])]) != "map[complete:0 downloaded:0 incomplete:1]" {
		t.Errorf("%q", body)
	}
}

func TestOtherRequestsAreRefused(t *testing.T) {
	s, _ := newTest(Config{})
	for _, tc := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/announce", "", 405}, {"HEAD", "/scrape", "", 405}, {"PUT", "/", "", 405}, {"HEAD", "/", "", 200},
		{"GET", "/announce", "body", 413}, {"GET", "/favicon.ico", "", 404}, {"GET", "/announcement", "", 404},
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body)))
		if w.Code != tc.want {
			t.Errorf("%s %s: %d, want %d", tc.method, tc.path, w.Code, tc.want)
		}
	}
	if st := s.Stats(); st.Peers != 0 || st.RatedIPs != 0 {
		t.Errorf("they left something behind: %+v", st)
	}
}

func TestHeaderIsBounded(t *testing.T) {
	s, _ := newTest(Config{})
	base, _ := serve(t, s, "127.0.0.1")
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { // the server may stop reading before all is sent
		_, _ = fmt.Fprintf(conn, "GET /announce?x=%s HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("a", 1<<20))
	}()
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a megabyte of query got %s", r.Status)
	}
}

func TestClaims(t *testing.T) {
	const claims = "&ip=203.0.113.77&ipv6=fd00::77&ip=127.0.0.7&ip=224.0.0.1&ip=localhost"
	for _, tc := range []struct {
		from string
		want []string
	}{
		{"198.51.100.9:5", []string{"198.51.100.9:1001"}},
		{"10.0.0.9:5", []string{"10.0.0.9:1001", "203.0.113.77:1001", "[fd00::77]:1001"}},
		{"127.0.0.1:5", []string{"127.0.0.1:1001", "203.0.113.77:1001", "[fd00::77]:1001"}},
	} {
		s, _ := newTest(Config{})
		get(t, s, tc.from, "/announce", announceQ(1, 1001)+claims)
		got := ask(t, s, join(2, "127.0.0.1:9"))
		slices.Sort(got)
		slices.Sort(tc.want)
		if !slices.Equal(got, tc.want) {
			t.Errorf("announced from %s: got %v, want %v", tc.from, got, tc.want)
		}
		get(t, s, tc.from, "/announce", announceQ(1, 1001, "event", "stopped")+claims)
		if got := ask(t, s, join(2, "127.0.0.1:9")); len(got) != 0 {
			t.Errorf("announced from %s: %v stayed after stopped", tc.from, got)
		}
	}
	// Nor does a farewell reach what another address has registered.
	s, _ := newTest(Config{})
	get(t, s, "10.0.0.8:5", "/announce", announceQ(1, 1001)+"&ip=203.0.113.77")
	get(t, s, "10.0.0.9:5", "/announce", announceQ(1, 1001, "event", "stopped")+"&ip=203.0.113.77&ipv4=10.0.0.8")
	if got := ask(t, s, join(2, "10.0.0.2:9")); len(got) != 2 {
		t.Errorf("after a farewell from elsewhere: %v", got)
	}
	// A claim never takes over what its owner has announced itself.
	s, _ = newTest(Config{})
	get(t, s, "10.0.0.8:5", "/announce", announceQ(8, 1001))
	get(t, s, "10.0.0.9:5", "/announce", announceQ(9, 2002)+"&ip=10.0.0.8:1001")
	get(t, s, "10.0.0.9:5", "/announce", announceQ(9, 2002, "event", "stopped")+"&ip=10.0.0.8:1001")
	if got := ask(t, s, join(2, "10.0.0.2:9")); !slices.Equal(got, []string{"10.0.0.8:1001"}) {
		t.Errorf("after a false claim and a false farewell: %v", got)
	}
}

func TestStoppedNeedsTheIDOrTheKey(t *testing.T) {
	s, _ := newTest(Config{})
	const from = "198.51.100.9:5"
	get(t, s, from, "/announce", announceQ(1, 1001, "key", "K"))
	for i, q := range []string{announceQ(2, 1001, "event", "stopped"), announceQ(2, 1001, "event", "stopped", "key", "L"), announceQ(1, 1002, "event", "stopped")} {
		if r := decode(t, get(t, s, from, "/announce", q)); r.Incomplete != 1 {
			t.Errorf("stranger %d ended another's announce", i)
		}
	}
	if r := decode(t, get(t, s, from, "/announce", announceQ(2, 1001, "event", "stopped", "key", "K"))); r.Incomplete != 0 {
		t.Error("the same key did not end it")
	}
}
