package feed

import (
	"path/filepath"
	"testing"

	"handful/signing/durable"
)

// Who reads a long archive bit by bit gets everything once, in order, over months, and
// whatever is added meanwhile; and does not read it from its beginning each time.
func TestSinceByBits(t *testing.T) {
	a := open(t, durable.OS{}, filepath.Join(t.TempDir(), "archive"))
	add(t, a, noon, numbered(t, 0, 5000)...)
	add(t, a, noon.AddDate(0, 1, 0), numbered(t, 5000, 3000)...)
	next := int64(0)
	var at Cursor
	for round := range 2 {
		for {
			got, err := a.Since(at, 700)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 {
				break
			}
			for _, e := range got {
				if e.Index != next {
					t.Fatalf("entry %d came instead of %d", e.Index, next)
				}
				at, next = at.With(e), next+1
			}
		}
		if want := int64(8000 + 100*round); next != want {
			t.Fatalf("%d entries were read, want %d", next, want)
		}
		add(t, a, noon.AddDate(0, 1, 0), numbered(t, 8000, 100)...)
	}
	if len(a.marks) < 6 {
		t.Errorf("%d marks were made in 8000 entries", len(a.marks))
	}
	// Somebody who is not as far gets what he lacks, and after a pruning too.
	for range 2 {
		if got, err := a.Since(Cursor{"m": 10}, 3); err != nil || indices(got) != "m/10 m/11 m/12" {
			t.Errorf("got %s, %v", indices(got), err)
		}
		if _, err := a.Prune(Keep{Count: 8095}, nil, noon); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := a.Since(Cursor{"m": 8098}, 10); err != nil || indices(got) != "m/8098 m/8099" {
		t.Errorf("got %s, %v", indices(got), err)
	}
}
