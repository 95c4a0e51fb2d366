package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"handful/bench/netns"
)

func TestSiteBounds(t *testing.T) {
	o := sitesOptions{sites: 2, leechers: 8, rate: 100e6, link: 10e6, size: 32 << 20}
	for _, c := range []struct {
		name      string
		link      bitrate
		sites     int
		near, far float64 // seconds, by hand
	}{
		{"the link binds", 10e6, 2, 2.68435456, 26.8435456},
		{"four sites can pass it on", 10e6, 4, 2.68435456, 26.8435456},
		{"links faster than hosts", 1e9, 2, 2.68435456, 2.68435456},
	} {
		o.link, o.sites = c.link, c.sites
		near, far := o.bounds()
		if math.Abs(near.Seconds()-c.near) > 1e-6 || math.Abs(far.Seconds()-c.far) > 1e-6 {
			t.Errorf("%s: %v and %v, want %v and %v s", c.name, near, far, c.near, c.far)
		}
	}
	o.sites, o.leechers = 3, 2
	if got := o.siteOf(); !slices.Equal(got, []int{0, 0, 0, 1, 1, 2, 2}) {
		t.Errorf("clients are at sites %v", got)
	}
}

func TestFillSites(t *testing.T) {
	r := sitesResult{Size: 1000, Sites: 3, NearBound: 1, FarBound: 2}
	s := time.Second
	fillLast(&r, []int{0, 0, 1, 1, 2}, []time.Duration{2 * s, 1 * s, 3 * s, 4 * s, 5 * s})
	if !slices.Equal(r.Last, []float64{2, 4, 5}) || r.Makespan != 5 || r.NearRatio != 2 || r.FarRatio != 2.5 {
		t.Errorf("got %+v", r)
	}
	q := func(bytes ...int64) (all []netns.Qdisc) {
		for _, b := range bytes {
			all = append(all, netns.Qdisc{Bytes: b, Drops: b / 1000})
		}
		return all
	}
	fillLinks(&r, linkBytes{in: q(5, 5, 5), out: q(5, 5, 5), origin: netns.Qdisc{Bytes: 100}},
		linkBytes{in: q(105, 1105, 1205), out: q(1505, 505, 5), origin: netns.Qdisc{Bytes: 2100}})
	if r.LinkCopies != 1.2 || r.OriginSite != 1.5 || r.Back != 0.1 || r.OriginCopies != 2 || r.LinkDrops != 3 {
		t.Errorf("got %+v", r)
	}
	if !slices.Equal(r.LinkIn, []float64{0.1, 1.1, 1.2}) || !slices.Equal(r.LinkOut, []float64{1.5, 0.5, 0}) {
		t.Errorf("got %v in, %v out", r.LinkIn, r.LinkOut)
	}
}

func TestVerdictOnStarving(t *testing.T) {
	run := func(client string, makespan float64) sitesResult {
		return sitesResult{Client: client, Makespan: makespan}
	}
	for _, c := range []struct {
		results []sitesResult
		blind   bool
		want    string
	}{
		{[]sitesResult{run("handful", 9)}, false, ""},
		{[]sitesResult{run("handful", 9), run(blindName, 10)}, true, "holds"},
		{[]sitesResult{run("handful", 9), run("handful", 11), run(blindName, 10)}, true, "DOES NOT HOLD"},
		{[]sitesResult{run("handful", 9), {Client: blindName, Error: "failed"}}, true, "not decided"},
	} {
		m := siteMeasure{sitesOptions: sitesOptions{blind: c.blind}}
		if got := m.verdict(c.results); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%+v: %q, want %q", c.results, got, c.want)
		}
	}
}

func TestSitesFlags(t *testing.T) {
	for args, want := range map[string]string{
		"sites -sites 1":         "2 to 200 sites",
		"sites -n 0":             "1 to 250 leechers",
		"sites -link 5":          "at least 1K",
		"sites -piece 100000":    "power of two",
		"sites -clients nobody":  `no client "nobody"`,
		"sites -sites 99 -n 200": "at most 1000 in all",
	} {
		if want == `no client "nobody"` && netns.Available() != nil {
			continue // said first
		}
		var stdout, stderr bytes.Buffer
		if code := run(strings.Fields(args), &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("bench %s: %d, %q, want %q", args, code, stderr.String(), want)
		}
	}
}

// TestOneTrackerInAllSites: one URL, one server, and no byte over a site's link.
func TestOneTrackerInAllSites(t *testing.T) {
	if err := netns.Available(); err != nil {
		t.Skip(err)
	}
	f, err := sitedField(t.Context(), []int{1, 1}, line{}, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := f.listen()
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })}
	go server.Serve(l)
	defer server.Close()
	for i, h := range f.hosts {
		c, err := netns.Dial(t.Context(), h.Namespace(), netip.MustParseAddrPort(l.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		answer, err := io.ReadAll(c)
		c.Close()
		if err != nil || !strings.Contains(string(answer), "\r\n"+f.clients[i].Addr().String()+":") {
			t.Errorf("host %d was answered %q, %v", i, answer, err)
		}
	}
	in, out, err := f.carriedByLinks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for k := range in {
		if in[k].Bytes+out[k].Bytes > 0 {
			t.Errorf("site %d's link carried %d bytes in and %d out", k+1, in[k].Bytes, out[k].Bytes)
		}
	}
}

// TestSites runs two small sites of the stock engine and reads the JSON.
func TestSites(t *testing.T) {
	if err := netns.Available(); err != nil {
		t.Skip(err)
	}
	var stdout, stderr bytes.Buffer
	args := []string{"sites", "-n", "1", "-size", "512K", "-rate", "50M", "-link", "10M", "-clients", "stock-engine", "-json", "-dir", t.TempDir()}
	if code := run(args, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var r sitesResult
	if err := json.NewDecoder(&stdout).Decode(&r); err != nil { // a busy machine has several
		t.Fatalf("%v in %q", err, stdout.String())
	}
	if r.Complete != 2 || r.Error != "" || len(r.Last) != 2 || r.Last[1] < r.FarBound || r.FarRatio < 1 || r.Makespan <= 0 {
		t.Errorf("got %+v", r)
	}
	// The only leecher of the second site got it all over its link, and all came from the first.
	if r.LinkCopies < 1 || math.Abs(r.LinkCopies-r.OriginSite) > 0.1 || r.Back > r.LinkCopies/2 || r.OriginCopies < 1 {
		t.Errorf("what crossed does not add up: %+v", r)
	}
}
