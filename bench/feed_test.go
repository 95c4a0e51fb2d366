package main

import (
	"errors"
	"io"
	"math"
	"path/filepath"
	"testing"
	"time"

	"handful/bench/rival"
)

func TestFeedFlags(t *testing.T) {
	out := report{stdout: io.Discard, stderr: io.Discard}
	for _, bad := range [][]string{{"-n", "0"}, {"-processes", "101"}, {"-killed", "101"}, {"-cases", "post,none"}, {"-every", "0s"}, {"-past", "10"}, {"more"}} {
		if _, err := feedFlags(bad, out); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if o, err := feedFlags([]string{"-n", "5", "-processes", "5", "-killed", "1"}, out); err != nil || o.n != 5 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		q    float64
		want float64
	}{
		{nil, 0.5, -1}, {[]float64{3}, 0.99, 3}, {[]float64{4, 1, 3, 2}, 0.5, 2}, {[]float64{4, 1, 3, 2}, 0.51, 3}, {[]float64{4, 1, 3, 2}, 1, 4},
	} {
		if got := quantile(c.all, c.q); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v of %v is %v, want %v", c.q, c.all, got, c.want)
		}
	}
}

// TestFeedFollower counts what a follower prints twice, behind later ones, or not at all.
func TestFeedFollower(t *testing.T) {
	f, err := newFollower(newBoard(), filepath.Join(t.TempDir(), "f"), nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	for _, i := range []int64{0, 1, 3, 2, 3} {
		f.print(i, at)
	}
	if f.repeated != 1 || f.disorder != 1 || !f.has(2) || f.has(4) {
		t.Errorf("%d repeated, %d in disorder", f.repeated, f.disorder)
	}
	var got []string
	l := &lines{each: func(b []byte) { got = append(got, string(b)) }}
	for _, part := range []string{"a", "b\nc", "\n\nd"} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 3 || got[0] != "ab" || got[1] != "c" || got[2] != "" {
		t.Errorf("lines are %q", got)
	}
}

// TestFeedSmall runs three followers for real.
func TestFeedSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nodes")
	}
	m := &feedMeasure{feedOptions: feedOptions{n: 3, posts: 6, every: 10 * time.Millisecond, killed: 1, timeout: time.Minute},
		out: report{stdout: io.Discard, stderr: io.Discard}, tools: rival.Tools{}, dir: t.TempDir()}
	r := feedResult{Case: "killed"}
	if err := m.once(t.Context(), &r); err != nil || r.Missed > 0 || r.Disorder > 0 || r.Posts != 6 || r.Copies <= 0 || r.P50 <= 0 {
		t.Fatalf("%+v: %v", r, err)
	}
}
