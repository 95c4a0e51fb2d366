package console

import (
	"strings"
	"testing"
)

// Pieces with the same answer stand in one row, which names the runs that they make.
func TestExplainTable(t *testing.T) {
	var pieces []Piece
	for i := range 40 {
		p := Piece{Index: i, State: "received", From: "192.0.2.1:1", Client: "Handful", Tier: "origin", Reason: "granted", Waited: 0.5}
		switch {
		case i%2 == 1:
			p.From, p.Tier, p.Reason, p.Waited = "192.0.2.2:2", "link", "nearest", float64(i)
		case i >= 36:
			p = Piece{Index: i, State: "reused", Tier: "reused"}
		case i >= 4 && i < 8:
			p = Piece{Index: i, State: "expected", From: "192.0.2.3:3", Tier: "far", Reason: "spill", KeptBy: "192.0.2.2:2", Waited: 3}
		}
		pieces = append(pieces, p)
	}
	pieces = append(pieces, Piece{Index: 40, State: "received", Tier: "far", Reason: "turn", Waited: 1}, Piece{Index: 41, Last: 49, Pieces: 8, State: "missing", Reason: "waits", Waited: 2})
	got := strings.Split(strings.TrimSpace(ExplainTable(pieces)), "\n")
	want := [][]string{
		{"pieces", "tier", "waited", "from", "why not nearer", "which"},
		{"16", "origin", "0.5 s", "192.0.2.1:1 (Handful)", "the origin granted it to this node", "0, 2, 8, 10, 12, 14 and 10 more runs"},
		{"20", "link", "1.0 s to 39 s", "192.0.2.2:2 (Handful)", "nobody nearer had it", "1, 3, 5, 7, 9, 11 and 14 more runs"},
		{"2", "far, awaited", "3.0 s", "192.0.2.3:3", "192.0.2.2:2 kept it waiting", "4, 6"},
		{"2", "reused", "-", "-", "it was on disk", "36, 38"},
		{"1", "far", "1.0 s", "a peer that has left", "nobody nearer had it, and those before this node let their turn pass", "40"},
		{"8", "-", "2.0 s", "-", "somebody has it, and this node waits for its turn or for room", "41-49"},
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i, cells := range want {
		rest := got[i]
		for k, cell := range cells {
			if !strings.HasPrefix(rest, cell) {
				t.Fatalf("row %d, cell %d is %q, want %q", i, k, rest, cell)
			}
			rest = strings.TrimLeft(rest[len(cell):], " ")
		}
		if rest != "" {
			t.Errorf("row %d ends with %q", i, rest)
		}
	}
	if table := ExplainTable(pieces[8:9]); !strings.Contains(table, "  8\n") {
		t.Errorf("a run of one:\n%s", table)
	}
}
