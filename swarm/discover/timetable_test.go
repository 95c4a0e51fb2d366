package discover

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// simulate runs a timetable for d after from and returns when what was sent, in
// whole seconds since t0.
func simulate(tt *timetable[string], from time.Time, d time.Duration, link int) string {
	var out []string
	for now := from; ; {
		for _, k := range tt.take(now, link, 100) {
			out = append(out, fmt.Sprintf("%s@%.0f", k, now.Sub(t0).Seconds()))
		}
		next, ok := tt.next()
		if !ok || next.Sub(from) > d {
			return strings.Join(out, " ")
		}
		now = next
	}
}

func newTestTable(r rhythm, items ...string) *timetable[string] {
	tt := newTimetable[string](r, rand.New(rand.NewPCG(3, 4)))
	tt.set(t0, items)
	tt.begin(t0, 1)
	return tt
}

func TestTimetableRhythm(t *testing.T) {
	tt := newTestTable(searchRhythm, "a", "a")
	got := simulate(tt, t0, 11*time.Minute, 1)
	if f := strings.Fields(got); len(f) != 5 || f[0] != "a@0" || f[1] != "a@1" || f[2] != "a@4" {
		t.Errorf("announced %s, want at 0, 1, 4, about 304 and 604 s", got)
	}
	for range 1000 {
		tt = newTestTable(searchRhythm, "a")
		simulate(tt, t0, 10*time.Second, 1)
		next, _ := tt.next()
		if d := next.Sub(t0); d < 4*time.Minute+30*time.Second || d > 5*time.Minute+40*time.Second {
			t.Fatalf("the fourth announcement comes after %s", d)
		}
	}
	if n := len(strings.Fields(simulate(newTestTable(offerRhythm, "o"), t0, time.Hour, 1))); n < 58 || n > 75 {
		t.Errorf("%d offers in an hour, want about 66", n)
	}
	if got := simulate(newTestTable(queryRhythm, "q"), t0, 24*time.Hour, 1); got != "q@0 q@0 q@2" && got != "q@0 q@1 q@2" {
		t.Errorf("queries %s, want three within two seconds", got)
	}
}

func TestTimetableChanges(t *testing.T) {
	tt := newTestTable(searchRhythm, "a")
	simulate(tt, t0, time.Minute, 1)
	at := t0.Add(time.Minute)
	tt.set(at, []string{"a", "b"})
	if got := tt.take(at, 1, 100); len(got) != 1 || got[0] != "b" {
		t.Errorf("sent %v, want the new item only", got)
	}
	tt.begin(at, 2)
	if got := tt.take(at, 2, 1); len(got) != 1 || got[0] != "a" {
		t.Errorf("sent %v on a new link, want one of both", got)
	}
	if got := tt.take(at, 2, 100); len(got) != 1 || got[0] != "b" {
		t.Errorf("sent %v on a new link, want the other", got)
	}
	tt.end(2)
	tt.set(at, nil)
	if _, ok := tt.next(); ok {
		t.Error("something is due though there is nothing to send")
	}
}

func TestTimetableAnswers(t *testing.T) {
	tt := newTestTable(searchRhythm, "a")
	simulate(tt, t0, 10*time.Second, 1)
	at := t0.Add(20 * time.Second)
	for range 3 {
		tt.owe(at, 1, "a")
	}
	next, _ := tt.next()
	if d := next.Sub(at); d < 0 || d > searchRhythm.window {
		t.Errorf("the answer comes after %s", d)
	}
	if got := simulate(tt, at, 10*time.Second, 1); got != "a@20" {
		t.Errorf("three newcomers at once were answered by %q, want one announcement", got)
	}
	// The next newcomer has to wait until three seconds are over.
	at = next.Add(time.Second)
	tt.owe(at, 1, "a")
	if due, _ := tt.next(); due.Sub(next) != searchRhythm.hold {
		t.Errorf("the second answer comes %s after the first, want %s", due.Sub(next), searchRhythm.hold)
	}
	// Enough others have answered.
	for range searchRhythm.enough {
		tt.heard(1, "a")
	}
	if got := simulate(tt, at, 10*time.Second, 1); got != "" {
		t.Errorf("sent %q though others have answered", got)
	}
	tt.owe(at, 1, "unknown")
	tt.owe(at, 7, "a")
	tt.heard(7, "a")
}

func TestLimiter(t *testing.T) {
	l := limiter[int]{rate: 10, burst: 20, max: 4}
	count := func(now time.Time, from, n int) (ok int) {
		for range n {
			if l.allow(now, from) {
				ok++
			}
		}
		return ok
	}
	if got := count(t0, 1, 100); got != 20 {
		t.Errorf("%d at once, want 20", got)
	}
	if got := count(t0.Add(time.Second), 1, 100); got != 10 {
		t.Errorf("%d a second later, want 10", got)
	}
	// Time that goes backwards gives nothing away.
	if got := count(t0, 1, 100); got != 0 {
		t.Errorf("%d when the clock was set back, want 0", got)
	}
	total := 0
	for from := range 1000 {
		total += count(t0.Add(time.Second), from+100, 100)
	}
	if total != 20*4 { // three that fit, and the bucket shared by all others
		t.Errorf("%d from a thousand made-up senders, want 80", total)
	}
	if len(l.senders) != 4 {
		t.Errorf("%d senders are remembered, want 4", len(l.senders))
	}
	if got := count(t0.Add(time.Hour), 5000, 100); got != 20 {
		t.Errorf("%d from a new sender after an hour, want 20", got)
	}
}

func TestRecent(t *testing.T) {
	r := recent[int]{keep: time.Minute, max: 3}
	for i, step := range []struct {
		at    time.Duration
		k     int
		fresh bool
	}{
		{0, 1, true}, {50 * time.Second, 1, false}, {100 * time.Second, 1, false}, {161 * time.Second, 1, true},
		{162 * time.Second, 2, true}, {162 * time.Second, 3, true}, {162 * time.Second, 4, true},
		{162 * time.Second, 2, false}, {162 * time.Second, 1, true},
	} {
		if got := r.fresh(t0.Add(step.at), step.k); got != step.fresh {
			t.Errorf("step %d: fresh %v, want %v", i, got, step.fresh)
		}
		if len(r.met) > 3 || len(r.met) != len(r.ring) {
			t.Fatalf("step %d: %d and %d are remembered", i, len(r.met), len(r.ring))
		}
	}
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixes(all ...string) (out []netip.Prefix) {
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestLinks(t *testing.T) {
	l := Links{
		{Name: "lo", Index: 1, Loopback: true, Addrs: prefixes("127.0.0.1/8", "::1/128")},
		{Name: "eth0", Index: 2, Addrs: prefixes("10.1.2.3/16", "fd00::5/64", "fe80::5/64")},
		{Name: "tun0", Index: 3, Addrs: prefixes("192.0.2.1/32", "203.0.113.1/0")},
	}
	for s, want := range map[string][2]bool{ // local, own
		"127.0.0.1": {true, true}, "127.9.9.9": {true, true}, "::1": {true, true},
		"10.1.2.3": {true, true}, "10.1.255.1": {true, false}, "10.2.0.1": {false, false},
		"::ffff:10.1.9.9": {true, false}, "fd00::9": {true, false}, "fd00:0:0:1::9": {false, false},
		"fe80::9%eth0": {true, false}, "fe80::5%eth0": {true, true}, "169.254.3.3": {true, false},
		"192.0.2.1": {true, true}, "192.0.2.2": {false, false}, "8.8.8.8": {false, false},
		"0.0.0.0": {false, false}, "::": {false, false}, "224.0.0.1": {false, false}, "ff02::1": {false, false},
	} {
		a := addr(s)
		if got := [2]bool{l.Local(a), l.Own(a)}; got != want {
			t.Errorf("%s: local, own = %v, want %v", s, got, want)
		}
	}
	if got := fmt.Sprint(l.Prefixes()); got != "[10.1.0.0/16 127.0.0.0/8 192.0.2.1/32 ::1/128 fd00::/64 fe80::/64]" {
		t.Errorf("prefixes %s", got)
	}
	if got := l.Missing([]string{"eth0", "wlan0"}); len(got) != 1 || got[0] != "wlan0" {
		t.Errorf("missing %v", got)
	}
	real, err := ScanLinks(nil)
	if err != nil {
		t.Fatal(err)
	}
	if only, err := ScanLinks([]string{loopback(t)}); err != nil || len(only) != 1 || !only[0].Loopback || len(real) < 1 {
		t.Errorf("loopback alone is %v, %v; all are %v", only, err, real)
	}
}
