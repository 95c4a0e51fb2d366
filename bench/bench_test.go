package main

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestFluidBound(t *testing.T) {
	same := func(n int, rate int64) []int64 {
		u := make([]int64, n)
		for i := range u {
			u[i] = rate
		}
		return u
	}
	mixed := append(same(8, 5e6), same(8, 20e6)...)
	for _, c := range []struct {
		name    string
		size    int64
		us      int64
		uplinks []int64
		dmin    int64
		want    float64 // seconds, by hand
	}{
		{"origin's uplink", 32 << 20, 10e6, same(16, 10e6), 0, 26.8435456},
		{"same at 32", 32 << 20, 10e6, same(32, 10e6), 0, 26.8435456},
		{"one leecher", 1e6, 8e6, same(1, 8e6), 0, 1},
		{"slowest downlink", 1e6, 8e6, same(4, 8e6), 2e6, 4},
		{"all uplinks together", 1e6, 80e6, same(9, 8e6/8), 0, 9 * 8e6 / 89e6},
		{"unequal uplinks", 32 << 20, 10e6, mixed, 0, 26.8435456},
		{"leechers that send nothing", 1e6, 8e6, same(4, 0), 0, 4},
	} {
		if got := fluidBound(c.size, c.us, c.uplinks, c.dmin).Seconds(); math.Abs(got-c.want) > 1e-6 {
			t.Errorf("%s: %.7f s, want %.7f", c.name, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := medianFloat(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
	field := func(v float64) float64 { return v }
	if got := medianOf([]float64{-1, 4, -1}, field); got != 4 {
		t.Errorf("unmeasured values count: %v", got)
	}
	if got := medianOf([]float64{-1}, field); got != -1 {
		t.Errorf("of nothing measured: %v", got)
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		text        string
		bytes, bits int64
		print       string // of bytes
	}{
		{"32M", 32 << 20, 32e6, "32M"}, {"1.5k", 1536, 1500, "1536"}, {"2G", 2 << 30, 2e9, "2G"}, {"0", 0, 0, "0"},
		{"1000", 1000, 1000, "1000"},
	} {
		var s size
		var b bitrate
		if err := errors.Join(s.Set(c.text), b.Set(c.text)); err != nil || int64(s) != c.bytes || int64(b) != c.bits {
			t.Errorf("%q: %d bytes, %d bit/s, %v", c.text, s, b, err)
		}
		if s.String() != c.print {
			t.Errorf("%q prints as %q, want %q", c.text, s.String(), c.print)
		}
	}
	for _, bad := range []string{"", "M", "-1", "NaN", "1e30G", "1MM", "12 M", "0x10"} {
		if _, err := parseUnits(bad, 1024); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestTable(t *testing.T) {
	tab := table{head: []string{"client", "s", "copies"}}
	tab.add("ours", number(1.0849, 2), number(-1, 3))
	tab.missing("théirs", "missing: not installed")
	const want = "| client |    s | copies |\n" +
		"| ------ | ---: | -----: |\n" +
		"| ours   | 1.08 |      – |\n" +
		"| théirs | missing: not installed |\n"
	if got := tab.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMachineTime(t *testing.T) {
	before, err := parseMachineTime("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2\n")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parseMachineTime("cpu  160 0 60 820 60 0 0 0 0 0\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := after.busySince(before); got != 0.7 {
		t.Errorf("busy %v, want 0.7", got)
	}
	if got := before.busySince(before); got != -1 {
		t.Errorf("of no time at all: %v", got)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8 9", "cpu a b c d e f g h i"} {
		if _, err := parseMachineTime(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestContent(t *testing.T) {
	one, err := makeContent(t.Context(), t.TempDir(), 1<<20+17, 1)
	if err != nil {
		t.Fatal(err)
	}
	again, err := makeContent(t.Context(), t.TempDir(), 1<<20+17, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameContent(one, again); err != nil {
		t.Errorf("same seed: %v", err)
	}
	other, err := makeContent(t.Context(), t.TempDir(), 1<<20+17, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameContent(one, other); err == nil {
		t.Error("another seed gives the same bytes")
	}
	for name, change := range map[string]func(b []byte) []byte{
		"one byte":  func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"shorter":   func(b []byte) []byte { return b[:len(b)-1] },
		"longer":    func(b []byte) []byte { return append(b, 0) },
		"a MiB off": func(b []byte) []byte { return b[:1<<20] },
	} {
		b, err := os.ReadFile(one)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "copy")
		if err := os.WriteFile(path, change(bytes.Clone(b)), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := sameContent(one, path); err == nil {
			t.Errorf("%s: taken for the same", name)
		}
	}
	if err := sameContent(one, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing copy is the same")
	}
}

func TestExitCodesAndHelp(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		out  string // in standard output
		err  string // in standard error
	}{
		{"", 0, "usage: bench QUESTION", ""},
		{"help", 0, "crowd", ""},
		{"packages", 0, "transmission-daemon", ""},
		{"crowd -h", 0, "", "uplink of every host"},
		{"guess", 2, "", `no question "guess"`},
		{"crowd -n 0", 2, "", "1 to 500 leechers"},
		{"crowd -piece 100000", 2, "", "power of two"},
		{"crowd -rates 5M,500", 2, "", `"500" is not a rate`},
		{"crowd -every -1s", 2, "", "not below 0"},
		{"crowd -mix libtorrent", 2, "", "CLIENT=NUMBER"},
		{"crowd -n 4 -mix libtorrent=4", 2, "", "at least one of 4 leechers"},
		{"crowd -mix libtorrent=4 -clients aria2", 2, "", "name handful"},
		{"crowd -mix libtorrent=4 -static", 2, "", "leave -static out"},
		{"crowd -clients aria2,handful -mix nginx+curl=1", 2, "", "cannot be a guest"},
		{"crowd -n 2 more", 2, "", `"more" is not a flag`},
		{"pair -size many", 2, "", "not a number"},
		{"hash -runs 0", 2, "", "at least 1"},
		{"pair -dir /no/such/directory", 1, "", "working directory"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(strings.Fields(c.args), &stdout, &stderr); code != c.code {
			t.Errorf("bench %s: exit code %d, want %d: %s", c.args, code, c.code, stderr.String())
		}
		if !strings.Contains(stdout.String(), c.out) || !strings.Contains(stderr.String(), c.err) {
			t.Errorf("bench %s: printed %q and %q, want %q and %q", c.args, stdout.String(), stderr.String(), c.out, c.err)
		}
	}
}

func TestRivalPiece(t *testing.T) {
	for _, c := range []struct{ size, want int64 }{{1, 16 << 10}, {32 << 20, 128 << 10}, {33 << 20, 256 << 10}, {1 << 40, 16 << 20}} {
		if got := (crowdOptions{size: size(c.size)}).rivalPiece(); got != c.want {
			t.Errorf("%d bytes: pieces of %d, want %d", c.size, got, c.want)
		}
	}
}

func TestLeftoversOfDeadRunsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	living := filepath.Join(dir, workPrefix+strconv.Itoa(os.Getpid())+"-1")
	dead := filepath.Join(dir, workPrefix+"2147480000-1") // above what any system gives
	foreign := filepath.Join(dir, "precious-2147480000-1")
	for _, d := range []string{living, dead, foreign} {
		if err := os.MkdirAll(filepath.Join(d, "run"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	made, err := workDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{living, foreign, made} {
		if _, err := os.Stat(d); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead run's directory is still there: %v", err)
	}
}
