package signing

import (
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// TestTreeAgainstTlog compares roots, ranges and pages with the arithmetic of package
// tlog, for every range of small logs.
func TestTreeAgainstTlog(t *testing.T) {
	const most = 40
	root := testRoot(t)
	l := testLog(t, root, testTime, numbered(most)...)
	var entries [][]byte
	for i := range int64(most) {
		e, err := l.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	for b := int64(0); b <= most; b++ {
		want, err := l.RootAt(b)
		if err != nil {
			t.Fatal(err)
		}
		if got := rootOf(leavesOf(entries[:b])); got != want {
			t.Fatalf("root of %d leaves differs", b)
		}
		for a := int64(0); a <= b; a++ {
			left, errL := l.Range(0, a)
			right, errR := l.Range(a, b)
			l0, ok0 := nodesOf(0, a, left)
			l1, ok1 := nodesOf(a, b, right)
			if errL != nil || errR != nil || !ok0 || !ok1 || rootOf(slices.Concat(l0, l1)) != want {
				t.Fatalf("ranges [0,%d) and [%d,%d) do not make the root", a, a, b)
			}
			if !slices.Equal(compact(a, leavesOf(entries[a:b])), l1) {
				t.Fatalf("[%d,%d) made of leaves is another compact range", a, b)
			}
			if cut, ok := slice(leavesOf(entries), a, b); !ok || !slices.Equal(cut, l1) {
				t.Fatalf("[%d,%d) cut from leaves is another compact range", a, b)
			}
		}
	}
	for _, size := range []int64{1, 7, 8, 21, most} {
		proofOfOne(t, l, size)
	}
}

// proofOfOne checks the proof of tlog and the page of one entry against each other.
func proofOfOne(t *testing.T, l *Log, size int64) {
	t.Helper()
	h := Head{Size: size}
	var err error
	if h.Root, err = l.RootAt(size); err != nil {
		t.Fatal(err)
	}
	for i := range size {
		p, err := l.Page(i, 1, size)
		if err != nil {
			t.Fatal(err)
		}
		if p, err = ParsePage(p.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := p.Verify(h); err != nil {
			t.Fatalf("entry %d of %d: %v", i, size, err)
		}
		proof, err := tlog.ProveRecord(size, i, l.storage)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(proof, size, h.Root, i, tlog.RecordHash(p.Entries[0])); err != nil {
			t.Fatalf("tlog refuses entry %d of %d: %v", i, size, err)
		}
		p.Entries[0] = post("another")
		if p.Verify(h) == nil {
			t.Fatalf("another entry at %d of %d is accepted", i, size)
		}
	}
}

func TestPrefixWithinNode(t *testing.T) {
	nodes := []node{{level: 3}, {level: 1}, {level: 0}}
	for size, want := range map[int64]bool{0: true, 8: true, 10: true, 11: true, 1: false, 7: false, 9: false, 12: false} {
		if _, ok := prefix(nodes, size); ok != want {
			t.Errorf("prefix of %d: %v", size, ok)
		}
	}
}

func TestLevelsOfLargeRanges(t *testing.T) {
	for _, r := range [][2]int64{{0, maxExact - 1}, {1, maxExact - 1}, {maxExact/2 - 1, maxExact/2 + 1}, {5, 5}} {
		at := r[0]
		ls := levels(r[0], r[1])
		for _, l := range ls {
			if at&(1<<l-1) != 0 {
				t.Fatalf("a node of level %d begins at %d", l, at)
			}
			at += 1 << l
		}
		if at != r[1] || len(ls) > maxRange {
			t.Errorf("%v ends at %d with %d nodes", r, at, len(ls))
		}
	}
}
