package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// TestSim: a small simulation answers with a line of JSON a case, and with a table.
func TestSim(t *testing.T) {
	var out bytes.Buffer
	args := []string{"sim", "-n", "24", "-sites", "3", "-size", "2M", "-case", "flash,dead", "-json"}
	if code := run(args, &out, io.Discard); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	dec := json.NewDecoder(&out)
	for _, want := range []string{"flash", "dead"} {
		var r simResult
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.Type != "sim" || string(r.Case) != want || r.Complete != r.Peers || r.Complete == 0 || r.OriginCopies < 1 || r.Memory <= 0 {
			t.Errorf("%+v", r)
		}
	}
	out.Reset()
	if code := run([]string{"sim", "-n", "8", "-sites", "1", "-size", "1M", "-piece", "64K"}, &out, io.Discard); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if !strings.Contains(out.String(), "8 of 8") || !strings.Contains(out.String(), "| flash") {
		t.Errorf("no row in\n%s", out.String())
	}
}

// TestSimUsage: what cannot be simulated is a usage error.
func TestSimUsage(t *testing.T) {
	for _, args := range [][]string{{"-case", "flood"}, {"-sites", "7", "-n", "3"}, {"-piece", "3K"}, {"-size", "100K"}, {"more"}} {
		if code := run(append([]string{"sim"}, args...), io.Discard, io.Discard); code != 2 {
			t.Errorf("%v: exit code %d, want 2", args, code)
		}
	}
}
