package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"handful/bench/netns"
	"handful/bench/rival"
)

func TestChurnBounds(t *testing.T) {
	o, err := churnFlags(nil, report{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"cable": 26.8435456,
		// 16 · 268.435456 Mbit = 10 Mbit/s · (17 t − (0+2+…+30) s)
		caseStagger: (16*26.8435456 + 240) / 17,
	} {
		if got := o.boundOf(disturbance{name: name}).Seconds(); math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: %.7f s, want %.7f", name, got, want)
		}
	}
}

func TestHoldings(t *testing.T) {
	dir := t.TempDir()
	source, err := makeContent(t.Context(), dir, 5*32<<10+100, 1) // 6 pieces of 2 blocks, the last of 100 bytes
	if err != nil {
		t.Fatal(err)
	}
	truth, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHoldings(source, 32<<10)
	if err != nil {
		t.Fatal(err)
	}
	sparse := func(ranges ...int) []byte { // pairs of from, to in blocks
		b := make([]byte, len(truth))
		for i := 0; i < len(ranges); i += 2 {
			from, to := min(ranges[i]*blockSize, len(b)), min(ranges[i+1]*blockSize, len(b))
			copy(b[from:to], truth[from:to])
		}
		return b
	}
	for _, c := range []struct {
		name string
		file []byte
		want string // 1 for each piece that is whole
	}{
		{"nothing", nil, "000000"},
		{"all", truth, "111111"},
		{"holes only", sparse(), "000000"},
		{"first and last piece", sparse(0, 2, 10, 11), "100001"},
		{"blocks 1 to 4: piece 1 alone is whole", sparse(1, 5), "010000"},
		{"cut off within piece 2", truth[:2*32<<10+20000], "110000"},
		{"cut off one byte early", truth[:len(truth)-1], "111110"},
	} {
		place := filepath.Join(t.TempDir(), ".growing", "deep")
		if err := os.MkdirAll(place, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(place, "lock"), []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
		if c.file != nil {
			if err := os.WriteFile(filepath.Join(place, "new"), c.file, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := h.held(filepath.Dir(place))
		if err != nil {
			t.Fatal(err)
		}
		if s := digits(got); s != c.want {
			t.Errorf("%s: holds %s, want %s", c.name, s, c.want)
		}
	}
	if got, err := h.held(filepath.Join(dir, "none")); err != nil || digits(got) != "000000" {
		t.Errorf("no directory yet: %v, %v", got, err)
	}
	if _, err := newHoldings(source, 10000); err == nil {
		t.Error("pieces of 10000 bytes were taken")
	}
}

func digits(held []bool) string {
	var b strings.Builder
	for _, h := range held {
		if h {
			b.WriteByte('1')
		} else {
			b.WriteByte('0')
		}
	}
	return b.String()
}

func TestDelegateAmong(t *testing.T) {
	parse := func(texts ...string) map[int][]bool {
		all := map[int][]bool{}
		for i, s := range texts {
			for _, c := range s {
				all[i+1] = append(all[i+1], c == '1')
			}
		}
		return all
	}
	for _, c := range []struct {
		name string
		all  map[int][]bool
		want int
	}{
		{"holds two alone", parse("1100", "1011", "1100"), 2},
		{"nobody alone: the most", parse("1100", "1110", "0110"), 2},
		{"alone counts more than many", parse("11110", "11110", "00001"), 3},
		{"nothing yet", parse("00", "00"), 1},
	} {
		if got := delegateAmong(c.all, len(c.all[1])); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestChosenCases(t *testing.T) {
	for _, c := range []struct{ list, want string }{
		{"all", "clean stagger delegate-killed cable liar slow throttled origin-killed origin-restart churn"},
		{"churn, cable", "clean cable churn"},
		{"stagger", "stagger"},
	} {
		chosen, err := chosenCases(c.list)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, d := range chosen {
			names = append(names, d.name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.list, got, c.want)
		}
	}
	if _, err := chosenCases("quake"); err == nil || !strings.Contains(err.Error(), `no case "quake"`) {
		t.Errorf("got %v", err)
	}
}

func TestChurnVerdict(t *testing.T) {
	ok := func(name string, seconds float64) churnResult {
		return churnResult{Case: name, Client: ours, Must: 4, Complete: 4, Makespan: seconds, Bound: 8, Others: seconds}
	}
	busy := ok(caseClean, 100)
	busy.Overloaded, busy.Repeated = true, true
	late := ok("cable", 12)
	late.Overloaded = true
	lost := churnResult{Case: "churn", Client: ours, Must: 4, Complete: 3, Incomplete: "3 of 4"}
	wrong := churnResult{Case: "liar", Client: ours, Must: 4, Complete: 4, Error: "copy differs"}
	foreign := ok(caseClean, 1)
	foreign.Client = "other"
	results := []churnResult{busy, foreign, ok(caseClean, 9), ok(caseClean, 10), ok(caseClean, 11), ok("cable", 11), late,
		ok("cable", 11.4), ok("slow", 12), ok("churn", 10), lost, ok("liar", 10), wrong, ok(caseStagger, 9)}
	for _, c := range []struct {
		name            string
		runs, whole     int
		slowdown, worst float64
		holds           bool
		verdict         string
	}{
		{caseClean, 3, 3, 1, 1.1, true, "holds"},
		{"cable", 3, 3, 1.14, 1.2, true, "holds (1 overloaded)"},
		{"slow", 1, 1, 1.2, 1.2, false, "fails: 20 % slower"},
		{"churn", 2, 1, 1, 1, false, "fails: 1 of 2 incomplete"},
		{"liar", 2, 1, 1, 1, false, "fails: 1 of 2 incomplete"},
		{caseStagger, 1, 1, 1.125, 1.125, true, "holds"},
		{"throttled", 0, 0, -1, -1, false, "not run"},
	} {
		v := verdictOf(c.name, ours, results)
		if v.Runs != c.runs || v.Whole != c.whole || math.Abs(v.Slowdown-c.slowdown) > 1e-9 || math.Abs(v.Worst-c.worst) > 1e-9 ||
			v.Holds != c.holds || v.Verdict != c.verdict {
			t.Errorf("%s: %+v, want %+v", c.name, v, c)
		}
	}
}

func TestChurnUsage(t *testing.T) {
	for _, c := range []struct{ args, err string }{
		{"churn -n 3", "4 to 500 leechers"},
		{"churn -case quake", `no case "quake"; there are clean, stagger`},
		{"churn -piece 20000", "power of two"},
		{"churn -every 0", "-every more than 0"},
		{"churn -rate 1", "at least 100K"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(strings.Fields(c.args), &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), c.err) {
			t.Errorf("bench %s: exit code %d: %s", c.args, code, stderr.String())
		}
	}
}

// TestChurn disturbs a small crowd of the stock engine, of which it is not asked that everybody completes in time: what is
// tested is that the disturbances happen, to whom they should, and are told.
func TestChurn(t *testing.T) {
	if err := netns.Available(); err != nil {
		t.Skip(err)
	}
	var stdout, stderr bytes.Buffer
	keep := t.TempDir()
	args := []string{"churn", "-n", "4", "-size", "1M", "-rate", "20M", "-case", "liar,cable,origin-killed,origin-restart,churn",
		"-clients", "stock-engine", "-away", "100ms", "-json", "-dir", t.TempDir(), "-keep", keep, "-timeout", "3s", "-repeats", "0"}
	if code := run(args, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	last := map[string]churnResult{}
	verdicts := map[string]churnVerdict{}
	for text := range strings.Lines(stdout.String()) {
		var r churnResult
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if r.Type == "churn" {
			last[r.Case] = r
			continue
		}
		var v churnVerdict
		if err := json.Unmarshal([]byte(text), &v); err != nil || v.Type != "churn-case" {
			t.Fatalf("%v in %q", err, text)
		}
		verdicts[v.Case] = v
	}
	for name, must := range map[string]int{caseClean: 4, caseLiar: 3, "cable": 3, "origin-killed": 4, "origin-restart": 4, "churn": 4} {
		r := last[name]
		if r.Must != must || r.Error != "" || verdicts[name].Runs != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		if lost := name == "cable" || name == caseLiar || name == "churn"; lost != (len(r.Victims) == 1) {
			t.Errorf("%s: victims %v", name, r.Victims)
		}
		if struck := name != caseClean && name != caseLiar; struck != (r.StruckAt > 0) {
			t.Errorf("%s: struck at %v", name, r.StruckAt)
		}
		if r.Incomplete != "" {
			if log, err := os.ReadFile(filepath.Join(r.Kept, "client1.log")); err != nil || len(log) == 0 {
				t.Errorf("%s is incomplete, and no log is kept: %v", name, err)
			}
		}
	}
	if r := last["origin-killed"]; r.StruckCopy < 1 {
		t.Errorf("the origin was killed after %v copies", r.StruckCopy)
	}
	if r := last["origin-restart"]; r.Away != 0.1 || r.OriginCopies <= r.StruckCopy {
		t.Errorf("the origin did not come back: %+v", r)
	}
}

func TestLiarIsNotAmongRivals(t *testing.T) {
	if byName(rival.All(rival.Tools{}), "liar") != nil {
		t.Error("the liar can be chosen as a client")
	}
}
