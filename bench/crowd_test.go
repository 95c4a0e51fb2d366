package main

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

func TestArrivalBound(t *testing.T) {
	same := func(n int, rate int64) (up []int64) {
		for range n {
			up = append(up, rate)
		}
		return up
	}
	every := func(n int, gap time.Duration) (at []time.Duration) {
		for i := range n {
			at = append(at, time.Duration(i)*gap)
		}
		return at
	}
	for _, c := range []struct {
		name     string
		size     int64
		us       int64
		uplinks  []int64
		dmin     int64
		arrivals []time.Duration
		want     float64 // seconds, by hand
	}{
		// 10 Mbit/s times 2 s times (2 + … + 16) are 2700 Mbit by 30 s, when the last comes; then 170 Mbit/s
		{"one each 2 s", 32 << 20, 10e6, same(16, 10e6), 0, every(16, 2*time.Second), 30 + (16*268.435456-2700)/170},
		// 4 Mbit each: the first needs 1 s of the origin's 4, and the last can have it at 4 + 4 at the earliest
		{"far apart", 500_000, 4e6, same(2, 0), 0, []time.Duration{0, 4 * time.Second}, 5},
		{"far apart, slow downlinks", 500_000, 4e6, same(2, 0), 1e6, []time.Duration{0, 4 * time.Second}, 8},
		{"the first two fill the gap", 500_000, 4e6, same(3, 4e6), 0, []time.Duration{0, 0, time.Second}, 1.25},
		{"all at once", 32 << 20, 10e6, same(16, 5e6), 0, every(16, 0), 16 * 268.435456 / 90},
		{"one copy first", 1e6, 1e6, same(2, 1e9), 0, every(2, time.Second), 8},
	} {
		if got := arrivalBound(c.size, c.us, c.uplinks, c.dmin, c.arrivals).Seconds(); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s: %.7f s, want %.7f", c.name, got, c.want)
		}
	}
}

func TestUnequalUplinks(t *testing.T) {
	o, err := crowdFlags([]string{"-n", "5", "-rates", "5M,20M", "-origin-rate", "8M", "-down", "50M"}, report{})
	if err != nil {
		t.Fatal(err)
	}
	want := []line{{8e6, 50e6}, {5e6, 50e6}, {20e6, 50e6}, {5e6, 50e6}, {20e6, 50e6}, {5e6, 50e6}}
	if got := o.lines(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if o.rates.String() != "5M,20M" {
		t.Errorf("printed as %q", o.rates.String())
	}
}

func TestGuestsTakeTheLastSeats(t *testing.T) {
	c := crowd{crowdOptions: crowdOptions{leechers: 5, mix: guestList{{"libtorrent", 2}}}}
	c.guests = []entrant{{Client: rival.Libtorrent()}, {Client: rival.Libtorrent()}}
	seats := c.seats(entrant{Client: rival.Handful(rival.Tools{})})
	if len(seats) != 2 || seats[4].Client == nil || seats[5].Client == nil {
		t.Errorf("got %v", seats)
	}
	if seats := c.seats(entrant{Client: rival.Aria2()}); len(seats) != 0 {
		t.Errorf("a crowd of others has guests: %v", seats)
	}
}

func TestProcessorModel(t *testing.T) {
	if got := processorModel("processor\t: 0\nmodel\t\t: 1\nmodel name\t: A: fast one\n"); got != "A: fast one" {
		t.Errorf("got %q", got)
	}
	if got := processorModel("Hardware: none\n"); got != "" {
		t.Errorf("got %q", got)
	}
}

// crowdOf runs `bench crowd -json` with the arguments and returns its results.
func crowdOf(t *testing.T, args ...string) []crowdResult {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(append([]string{"crowd", "-json", "-dir", t.TempDir()}, args...), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var all []crowdResult
	for text := range strings.Lines(stdout.String()) {
		var r crowdResult
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		all = append(all, r)
	}
	return all
}

// TestCrowd runs a small flash crowd of the stock engine, on links where they can be made, and reads its JSON.
func TestCrowd(t *testing.T) {
	shaped := netns.Available() == nil
	if !shaped {
		t.Logf("unshaped, since %v", netns.Available())
	}
	all := crowdOf(t, "-n", "2", "-size", "512K", "-rates", "20M,40M", "-origin-rate", "20M", "-clients", "stock-engine")
	r := all[len(all)-1] // those before it did not count
	if r.Complete != 2 || r.Error != "" || r.Missing != "" || r.Shaped != shaped || r.Piece != 16<<10 || r.Machine == "" {
		t.Errorf("got %+v", r)
	}
	if bound := 8 * 512 * 1024 / 20e6; math.Abs(r.Bound-bound) > 1e-6 {
		t.Errorf("T* %v, want %v", r.Bound, bound)
	}
	if r.First <= 0 || r.First > r.Mean || r.Mean > r.Makespan || r.CPU <= 0 {
		t.Errorf("times do not add up: %+v", r)
	}
	if r.Duplicates < 0 || r.Duplicates > 1 {
		t.Errorf("duplicates %v", r.Duplicates)
	}
	// The origin alone had it: at least one whole copy left it, and each leecher got one whole copy.
	if shaped && (r.OriginCopies <= r.OriginData || r.OriginData < 1 || r.WireUseful < 1 || r.Makespan < r.Bound) {
		t.Errorf("less crossed the links than was received: %+v", r)
	}
	if shaped && (r.Handful < 1 || r.Handful > r.Served || r.Served > 2 || r.PeerData < 0 || r.PeerData > 1) {
		t.Errorf("what the origin's link showed does not add up: %+v", r)
	}
}

func TestFillWire(t *testing.T) {
	r := crowdResult{Size: 1000, N: 2}
	zero := []netns.Qdisc{{Bytes: 100}, {Bytes: 5}, {Bytes: 5}}
	fillWire(&r, zero, []netns.Qdisc{{Bytes: 1600, Drops: 3}, {Bytes: 305}, {Bytes: 505}})
	if r.OriginCopies != 1.5 || r.PeerCopies != 0.4 || r.WireUseful != 1.15 || r.OriginDrops != 3 {
		t.Errorf("got %+v", r)
	}
	fillWire(&r, nil, nil)
	if r.OriginCopies != -1 || r.WireUseful != -1 {
		t.Errorf("without links: %+v", r)
	}
}

func TestFillOrigin(t *testing.T) {
	r := crowdResult{Size: 1000, N: 2}
	fillOrigin(&r, handfulFigures{most: 3, served: 5, payload: 1100, unread: 1})
	if r.Handful != 3 || r.Served != 5 || r.OriginData != 1.1 || r.Unread != 1 {
		t.Errorf("got %+v", r)
	}
	var none *originWatch
	f, err := none.close()
	fillOrigin(&r, f)
	if err != nil || r.Handful != -1 || r.Served != -1 || r.OriginData != -1 {
		t.Errorf("without a watch: %+v, %v", r, err)
	}
}

func TestCrowdTable(t *testing.T) {
	missing := entrant{Client: rival.Aria2(), missing: rival.ErrMissing}
	there := entrant{Client: rival.Rtorrent(), version: "0.9.8"}
	broken := entrant{Client: rival.Libtorrent(), version: "2.0"}
	busy := entrant{Client: rival.LibtorrentSuper(), version: "2.0"}
	c := crowd{crowdOptions: crowdOptions{leechers: 4, rate: 10e6, originRate: 10e6, size: 4 << 20}, shaped: true}
	result := func(client string, ratio float64) crowdResult {
		return crowdResult{Client: client, Ratio: ratio, OriginCopies: ratio / 2, Duplicates: -1, N: 4, Complete: 4, Handful: 2}
	}
	failed := result("rtorrent", 0)
	failed.Error, failed.Complete = "not complete", 3
	always := result("libtorrent", 0)
	always.Error = "it fell over\nlog"
	hot := result("libtorrent-super", 9)
	hot.Overloaded = true
	discounted := result("rtorrent", 50)
	discounted.Overloaded = true
	one, two := result("rtorrent", 2), result("rtorrent", 3)
	two.Handful = 4
	for _, k := range []struct {
		results []crowdResult
		want    []string
	}{
		{[]crowdResult{{Client: "aria2", Missing: "missing: no aria2c (Debian: aria2)"}}, []string{"| missing: no aria2c (Debian: aria2) |"}},
		{[]crowdResult{one, two, discounted}, []string{"| rtorrent 0.9.8 |  2/2 |      8/8 |       2.500 | 3.000 |", "|         1.250 |", "|       4 |"}},
		{[]crowdResult{one, failed, two}, []string{"| rtorrent 0.9.8 |  2/3 |    11/12 |       2.500 | failed |"}},
		{[]crowdResult{always}, []string{"| failed: it fell over |"}},
		{[]crowdResult{hot}, []string{"| libtorrent-super 2.0 * |", "9.000", "* The machine was more than 0.85 busy in every run"}},
	} {
		e := missing
		for _, of := range []entrant{there, broken, busy} {
			if of.Name() == k.results[0].Client {
				e = of
			}
		}
		got := c.table([]entrant{e}, k.results)
		for _, want := range k.want {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	}
	if bound := c.bound().Round(time.Millisecond); bound != 3355*time.Millisecond {
		t.Errorf("T* %v", bound)
	}
}
