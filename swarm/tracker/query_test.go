package tracker

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// encode prints a query that parses to q.
func (q announceQuery) encode() string {
	kv := []string{"info_hash", string(q.infohash[:]), "peer_id", string(q.peerID[:]), "port", fmt.Sprint(q.port),
		"numwant", fmt.Sprint(q.numWant), "event", [...]string{"", "completed", "started", "stopped"}[q.event]}
	if q.seed {
		kv = append(kv, "left", "0")
	}
	if q.key != "" {
		kv = append(kv, "key", q.key)
	}
	if q.full {
		kv = append(kv, "compact", "0")
	}
	if q.noPeerID {
		kv = append(kv, "no_peer_id", "1")
	}
	for _, c := range q.claims {
		kv = append(kv, "ip", c.String())
	}
	return query(kv...)
}

func TestParseAnnounce(t *testing.T) {
	base := announceQuery{infohash: torrentA, peerID: id(1), port: 6881, numWant: defaultNumWant}
	with := func(f func(*announceQuery)) announceQuery {
		q := base
		f(&q)
		return q
	}
	for name, tc := range map[string]struct {
		extra string
		want  announceQuery
	}{
		"nothing more":     {"", base},
		"unknown keys":     {"&corrupt=0&supportcrypto=1&trackerid=x&a&&=&b=%00", base},
		"seed":             {"&left=0", with(func(q *announceQuery) { q.seed = true })},
		"left unknown":     {"&left=-1", base},
		"left huge":        {"&left=18446744073709551615", base},
		"events":           {"&event=stopped", with(func(q *announceQuery) { q.event = eventStopped })},
		"completed":        {"&event=completed&event=started", with(func(q *announceQuery) { q.event = eventCompleted })},
		"paused":           {"&event=paused", base},
		"numwant":          {"&numwant=7", with(func(q *announceQuery) { q.numWant = 7 })},
		"numwant zero":     {"&numwant=0", with(func(q *announceQuery) { q.numWant = 0 })},
		"numwant too many": {"&numwant=100000", with(func(q *announceQuery) { q.numWant = maxNumWant })},
		"numwant negative": {"&numwant=-1", base},
		"numwant words":    {"&numwant=lots", base},
		"compact":          {"&compact=1", base},
		"dictionaries":     {"&compact=0&no_peer_id=1", with(func(q *announceQuery) { q.full, q.noPeerID = true, true })},
		"key":              {"&key=%41+b", with(func(q *announceQuery) { q.key = "A b" })},
		"claims": {"&ip=10.0.0.9&ipv6=%5Bfd00::9%5D:99&ipv4=::ffff:10.0.0.8&ip=example.com&ipv6=fe80::1%25eth0&ip=1.2.3.4", with(func(q *announceQuery) {
			for _, a := range []string{"10.0.0.9:6881", "[fd00::9]:99", "10.0.0.8:6881", "[fe80::1]:6881"} {
				q.claims = append(q.claims, netip.MustParseAddrPort(a))
			}
		})},
	} {
		first := "info_hash=" + strings.Repeat("%61", 20) + "&peer_id=" + query("x", string(base.peerID[:]))[2:] + "&port=6881"
		got, err := parseAnnounce(first + tc.extra)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, tc.want)
		}
	}
}

func TestParseAnnounceRefuses(t *testing.T) {
	good := announceQ(1, 6881)
	for bad, want := range map[string]string{
		"":                                      "info_hash is missing",
		strings.Replace(good, "port=", "p=", 1): "port is missing",
		strings.Replace(good, "peer_id=", "peer=", 1):           "peer_id is missing",
		strings.Replace(good, "info_hash=aa", "info_hash=a", 1): "info_hash has 19 bytes",
		strings.Replace(good, "peer_id=", "peer_id=x", 1):       "peer_id has 21 bytes",
		strings.Replace(good, "port=6881", "port=65536", 1):     `port "65536" is not`,
		strings.Replace(good, "port=6881", "port=-1", 1):        `port "-1" is not`,
		good + "&x=%4":  "malformed %-escape",
		good + "&%zz=1": "malformed %-escape",
		good + "&x=%":   "malformed %-escape",
		good + "&x=" + strings.Repeat("a", maxQuery): "longer than 8192 bytes",
	} {
		_, err := parseAnnounce(bad)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: error %v, want %q", bad, err, want)
		}
	}
}

func TestParseScrape(t *testing.T) {
	a, b := strings.Repeat("a", 20), strings.Repeat("b", 20)
	got, err := parseScrape("info_hash=" + b + "&x=1&info_hash=" + a + "&info_hash=" + b)
	if err != nil || !slices.Equal(got, [][20]byte{[20]byte([]byte(b)), [20]byte([]byte(a))}) {
		t.Errorf("%v, %v", got, err)
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "&info_hash=%020d", i)
	}
	if got, err := parseScrape(many.String()); err != nil || len(got) != maxScrape {
		t.Errorf("%d infohashes, %v; want %d", len(got), err, maxScrape)
	}
	for _, bad := range []string{"", "x=1", "info_hash=short", "info_hash=" + a + "&info_hash="} {
		if _, err := parseScrape(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzQuery(f *testing.F) {
	f.Add(announceQ(1, 6881))
	f.Add(announceQ(1, 0, "event", "stopped", "left", "0", "numwant", "500", "key", "x", "compact", "0", "no_peer_id", "1", "ip", "10.0.0.1"))
	f.Add("info_hash=%61aaaaaaaaaaaaaaaaaaa&info_hash=aaaaaaaaaaaaaaaaaaab")
	f.Add("ip=::1%25x&ipv6=[::1]:5&%=&+&=;")
	f.Fuzz(func(t *testing.T, raw string) {
		if q, err := parseAnnounce(raw); err == nil {
			again, err := parseAnnounce(q.encode())
			if err != nil || !reflect.DeepEqual(q, again) {
				t.Fatalf("%q reads as %+v, and printed again as %+v (%v)", raw, q, again, err)
			}
			if q.numWant < 0 || q.numWant > maxNumWant || len(q.claims) > maxClaims || len(q.key) > maxKeyLen {
				t.Fatalf("beyond its bounds: %+v", q)
			}
		} else if len(err.Error()) > 200 {
			t.Fatalf("a failure of %d bytes: %q", len(err.Error()), err)
		}
		if hashes, err := parseScrape(raw); err == nil && (len(hashes) == 0 || len(hashes) > maxScrape) {
			t.Fatalf("%d infohashes", len(hashes))
		}
	})
}
