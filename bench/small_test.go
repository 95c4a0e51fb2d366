package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"handful/bench/netns"
)

func TestOrdersDiffer(t *testing.T) {
	var links []string
	for i := range 50 {
		links = append(links, fmt.Sprintf("link%d", i))
	}
	one := order(links, 1, 0)
	if again := order(links, 1, 0); !slices.Equal(one, again) {
		t.Error("the same node has another order in the next run")
	}
	if slices.Equal(one, order(links, 1, 1)) || slices.Equal(one, order(links, 2, 0)) || slices.Equal(one, links) {
		t.Error("another node, or another seed, gives the same order")
	}
	if sorted := slices.Sorted(slices.Values(one)); !slices.Equal(sorted, slices.Sorted(slices.Values(links))) {
		t.Errorf("an order of other links: %v", one)
	}
}

func TestSmallFlags(t *testing.T) {
	for args, want := range map[string]string{
		"small -n 0":         "1 to 500 nodes",
		"small -torrents 0":  "1 to 100000",
		"small -parallel 0":  "1 to 1000",
		"small -rate 5":      "at least 1K",
		"small -piece 70000": "power of two",
	} {
		var stdout, stderr bytes.Buffer
		if code := run(strings.Fields(args), &stdout, &stderr); code != 2 || !strings.Contains(stderr.String(), want) {
			t.Errorf("bench %s: %d, %q, want %q", args, code, stderr.String(), want)
		}
	}
	o := smallOptions{nodes: 64, torrents: 1000, size: 100 << 10, rate: 10e6}
	if got := o.bound().Seconds(); math.Abs(got-81.92) > 1e-6 {
		t.Errorf("T* %v s, want 81.92", got)
	}
}

// TestSmall lets two nodes fetch three torrents, two at a time, and reads the JSON.
func TestSmall(t *testing.T) {
	if err := netns.Available(); err != nil {
		t.Skip(err)
	}
	var stdout, stderr bytes.Buffer
	args := []string{"small", "-n", "2", "-torrents", "3", "-size", "50K", "-parallel", "2", "-rate", "50M", "-json", "-dir", t.TempDir()}
	if code := run(args, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var r smallResult
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatalf("%v in %q", err, stdout.String())
	}
	if r.Complete != 2 || r.Items != 6 || r.Error != "" || r.First <= 0 || r.First > r.Makespan || r.NodeAnon <= 0 || r.CPU <= 0 {
		t.Errorf("got %+v", r)
	}
	// The origin alone had it: one copy left it at least, and two came to nodes, with headers around each.
	got := 0.0
	for _, copies := range r.Received {
		got += copies
	}
	if r.OriginCopies <= r.OriginPayload || r.OriginPayload < 1 || got < 2 || got > 2+2*r.Duplicates+0.01 {
		t.Errorf("what crossed does not add up: %+v", r)
	}
}
