package swarm

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"handful/manifest"
)

func TestStatusPage(t *testing.T) {
	root := tree(t, t.TempDir(), 200_000)
	origin := startNode(t, "origin", func(c *Config) { c.Tracker = true })
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr())
	await(t, it)
	for _, n := range []*testNode{origin, leech} {
		resp, err := http.Get("http://" + n.addr().String() + "/status")
		if err != nil {
			t.Fatal(err)
		}
		var got statusJSON
		err = json.NewDecoder(resp.Body).Decode(&got)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%v, %v", resp.Status, err)
		}
		if len(got.Listen) != 1 || got.Listen[0] != n.addr().String() || len(got.Items) != 1 {
			t.Fatalf("%+v", got)
		}
		s := got.Items[0]
		if s.Infohash != it.Infohash().String() || s.Name != "tree" || s.State != StateSeeding || s.Bytes != tor.Length() || s.Done != s.Bytes {
			t.Errorf("%+v", s)
		}
		if n == leech && (s.Received["origin"] != s.Bytes || s.Granted != nil || s.Wasted != 0) {
			t.Errorf("the leecher says %+v", s)
		}
		if n == origin && (s.Received["origin"] != 0 || s.Received["reused"] != s.Bytes || s.Granted == nil || s.Granted.Times[0] != 0 || s.Granted.Ever != 1) {
			t.Errorf("the origin says %+v, %+v", s, s.Granted)
		}
	}
}

// Only programs of this machine are told, and no page that a browser shows.
func TestStatusPageIsForThisMachine(t *testing.T) {
	n := startNode(t, "node", nil)
	for _, c := range []struct {
		from, host string
		want       int
	}{
		{"127.0.0.1:5", "127.0.0.1:6881", 200},
		{"127.8.9.1:5", "localhost", 200},
		{"[::1]:5", "[::1]:6881", 200},
		{"[::1]:5", "[::1]", 200},
		{"[::ffff:127.0.0.1]:5", "LOCALHOST:6881", 200},
		{"192.0.2.1:5", "127.0.0.1:6881", 404},
		{"10.0.0.1:5", "localhost", 404},
		{"[fe80::1]:5", "localhost", 404},
		{"pipe", "localhost", 404},
		{"127.0.0.1:5", "evil.example:6881", 403},
		{"127.0.0.1:5", "127.0.0.1.evil.example", 403},
		{"127.0.0.1:5", "192.0.2.1:6881", 403},
		{"127.0.0.1:5", "", 403},
	} {
		r := httptest.NewRequest(http.MethodGet, "/status", nil)
		r.RemoteAddr, r.Host = c.from, c.host
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		w := httptest.NewRecorder()
		n.serveStatus(w, r)
		if w.Code != c.want {
			t.Errorf("from %s for %q: %d, want %d", c.from, c.host, w.Code, c.want)
		}
	}
}

// What the page tells has nothing in it that opens anything.
func TestStatusPageKeepsSecrets(t *testing.T) {
	s := statusOf(Snapshot{Items: []ItemSnapshot{
		{Infohash: Infohash{0xab}, Private: true, Path: "/home/ann/secret", Peers: []PeerSnapshot{{Addr: "192.0.2.1:5", ID: "-HF0100-xyz"}}},
	}})
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"ab0000", "/home", "HF0100"} {
		if strings.Contains(string(b), word) {
			t.Errorf("%s tells %q", b, word)
		}
	}
}
