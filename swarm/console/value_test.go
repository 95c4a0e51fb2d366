package console

import (
	"strings"
	"testing"
	"time"

	"github.com/cheggaaa/pb/v3"
	"github.com/spf13/pflag"

	"handful/swarm/policy"
)

func cells(s string) int { return pb.CellCount(s) }

func TestRates(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "17": 17, "500K": 500 << 10, "5M": 5 << 20, "1G": 1 << 30, "5MiB": 5 << 20, "5MiB/s": 5 << 20, "5m": 5 << 20, "1.5M": 3 << 19, "20B": 20, "5MB": 5 << 20,
	} {
		var r Rate
		if err := r.Set(in); err != nil || int64(r) != want {
			t.Errorf("%q: %d, %v; want %d", in, r, err, want)
		}
		var again Rate
		if err := again.Set(r.String()); err != nil || again != r {
			t.Errorf("%q prints as %q, which reads as %d, %v", in, r, again, err)
		}
	}
	for _, in := range []string{"", "K", "-1", "5Q", "1e9", "5 M", "9999999999G", "0x10", "5Mi", "5iB", "1.2.3", ".", "NaN", "+5", "5i"} {
		var r Rate
		if err := r.Set(in); err == nil {
			t.Errorf("%q is taken as %d", in, r)
		}
	}
}

// A limit is a rate or a timetable, and prints as something that reads as the same.
func TestLimits(t *testing.T) {
	morning, night := time.Date(2025, 2, 3, 9, 0, 0, 0, time.UTC), time.Date(2025, 2, 3, 23, 0, 0, 0, time.UTC)
	for in, want := range map[string][2]int64{
		"0": {0, 0}, "off": {0, 0}, "5M": {5 << 20, 5 << 20}, "1.5MiB/s": {3 << 19, 3 << 19},
		"08:00,1M 19:00,off": {1 << 20, 0}, "19:00,500K 08:00,1M/s": {1 << 20, 500 << 10}, "sat-sun 00:00,off mon-fri 08:00,1M 19:00,2M": {1 << 20, 2 << 20},
	} {
		var l, again Limit
		if err := l.Set(in); err != nil || l.At(morning) != want[0] || l.At(night) != want[1] {
			t.Errorf("%q: %d and %d, %v; want %v", in, l.At(morning), l.At(night), err, want)
		}
		if err := again.Set(l.String()); err != nil || again.String() != l.String() {
			t.Errorf("%q prints as %q, which reads as %q, %v", in, &l, &again, err)
		}
	}
	for _, in := range []string{"", "fast", "-1M", "08:00", "8,1M", "25:00,1M", "08:00,1M 08:00,2M", "08:00,1M; 19:00,off", "mon"} {
		l := Limit{policy.Steady(7)}
		if err := l.Set(in); err == nil || l.At(morning) != 7 || !strings.Contains(err.Error(), "08:00,1M 19:00,off") && in != "08:00,1M 08:00,2M" {
			t.Errorf("%q is taken as %q, %v", in, &l, err)
		}
	}
}

func TestSpans(t *testing.T) {
	for in, want := range map[string]time.Duration{"0": 0, "60": time.Minute, "90s": 90 * time.Second, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour} {
		if d, err := parseSpan(in); err != nil || d != want {
			t.Errorf("%q: %v, %v; want %v", in, d, err, want)
		}
	}
	for _, in := range []string{"", "-5", "-5s", "5x", "d", "1e3", "99999999999999999999", "99999d9"} {
		if d, err := parseSpan(in); err == nil {
			t.Errorf("%q is taken as %v", in, d)
		}
	}
	for d, want := range map[time.Duration]string{0: "0.0 s", 1400 * time.Millisecond: "1.4 s", 14 * time.Second: "14 s", 59600 * time.Millisecond: "1m",
		200 * time.Second: "3m20s", 10 * time.Minute: "10m", 2*time.Hour + 5*time.Minute: "2h05m", 76 * time.Hour: "3d04h", -time.Second: "0.0 s"} {
		if got := Span(d); got != want {
			t.Errorf("%v prints as %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB", 3 << 29: "1.5 GiB", 1 << 62: "4.0 EiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d prints as %q, want %q", n, got, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		check func(string) error
		ok    bool
		in    string
	}{
		{checkHostPort(true), true, "127.0.0.1:0"}, {checkHostPort(true), true, ":6881"}, {checkHostPort(true), true, "[::1]:0"}, {checkHostPort(true), true, "localhost:0"},
		{checkHostPort(true), false, "example.org:1"}, {checkHostPort(true), false, "6881"}, {checkHostPort(true), false, "127.0.0.1:65536"}, {checkHostPort(true), false, "::1:80"},
		{checkHostPort(false), true, "example.org:6881"}, {checkHostPort(false), true, "[fe80::1%eth0]:6881"},
		{checkHostPort(false), false, ":6881"}, {checkHostPort(false), false, "x:0"}, {checkHostPort(false), false, "a b:1"}, {checkHostPort(false), false, "x:http"},
		{checkTracker, true, "http://t.example/announce"}, {checkTracker, true, "udp://t.example:80"}, {checkTracker, true, "https://[::1]:1/a?k=1"},
		{checkTracker, false, "udp://t.example"}, {checkTracker, false, "ftp://t.example"}, {checkTracker, false, "t.example"}, {checkTracker, false, "http://u:p@t.example/"},
		{policy.CheckSite, true, "berlin-2"}, {policy.CheckSite, false, "Berlin 2"}, {policy.CheckSite, false, ""}, {policy.CheckSite, false, strings.Repeat("x", 65)},
	} {
		if err := c.check(c.in); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.in, err)
		}
	}
	if err := checkTracker("http://u:geheim@t.example/"); strings.Contains(err.Error(), "geheim") {
		t.Errorf("%v tells the password", err)
	}
}

// The flag wins over the variable, the variable over the default, and a bad one
// is named.
func TestEnvironmentTwins(t *testing.T) {
	env := newTestEnv(t)
	flags := func() (*pflag.FlagSet, *Node, *Peering, *Common) {
		var n Node
		var p Peering
		var c Common
		f := pflag.NewFlagSet("x", pflag.ContinueOnError)
		n.AddFlags(f, true)
		p.AddFlags(f)
		c.addFlags(f)
		return f, &n, &p, &c
	}
	env.vars = map[string]string{"HANDFUL_LIMIT_UP": "5M", "HANDFUL_SITE": "berlin", "HANDFUL_PEER": "a:1, b:2", "HANDFUL_JSON": "true", "HANDFUL_VERBOSE": "2", "HANDFUL_BLIND_TIERS": "true", "HANDFUL_HANDFUL": ""}
	f, n, p, c := flags()
	if err := f.Parse([]string{"--site", "paris", "--peer", "c:3", "-v"}); err != nil {
		t.Fatal(err)
	}
	if err := applyEnv(env.Env, f); err != nil {
		t.Fatal(err)
	}
	if n.LimitUp.At(env.Now()) != 5<<20 || n.Site != "paris" || strings.Join(p.Peers, " ") != "c:3" || !c.JSON || c.Verbose != 1 || !n.Blind || n.Handful != defaultHandful {
		t.Errorf("%+v %+v %+v", n, p, c)
	}
	f, _, p, c = flags()
	if err := applyEnv(env.Env, f); err != nil || strings.Join(p.Peers, " ") != "a:1 b:2" || c.Verbose != 2 {
		t.Errorf("%+v %+v %v", p, c, err)
	}
	for name, value := range map[string]string{"HANDFUL_LIMIT_UP": "fast", "HANDFUL_LISTEN": "nowhere", "HANDFUL_JSON": "maybe", "HANDFUL_PEER": "a:1,b", "HANDFUL_HANDFUL": "0"} {
		env.vars = map[string]string{name: value}
		f, _, _, _ := flags()
		err := applyEnv(env.Env, f)
		if Code(err) != Usage || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
