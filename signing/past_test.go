package signing

import (
	"fmt"
	"slices"
	"testing"
)

// TestPast makes pages of every kind of run, towards trees of many sizes, which must verify
// against the log's heads.
func TestPast(t *testing.T) {
	root := testRoot(t)
	var texts []string
	for i := range 900 {
		texts = append(texts, fmt.Sprint("entry ", i))
	}
	log := testLog(t, root, testTime, texts...)
	entry := func(i int64) []byte {
		e, err := log.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	head := func(size int64) Head {
		root, err := log.RootAt(size)
		if err != nil {
			t.Fatal(err)
		}
		return Head{Size: size, Root: root}
	}
	for _, first := range []int64{0, 1, 255, 256, 300, 511, 640, 899} {
		left, err := log.Range(0, first)
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPast(first, left)
		if err != nil {
			t.Fatal(err)
		}
		for i := first; i < 900; i++ {
			p.Append(entry(i))
		}
		load := func(bundle int64) (out [][]byte, err error) {
			for i := max(p.First(), bundle*BundleSize); i < min(900, (bundle+1)*BundleSize); i++ {
				out = append(out, entry(i))
			}
			return out, nil
		}
		check := func() {
			t.Helper()
			if want, err := log.Range(0, 900); err != nil || !slices.Equal(p.Range(), want) {
				t.Errorf("from %d on: the range differs: %v", p.First(), err)
			}
			for _, at := range []int64{p.First(), p.First() + 1, 255, 256, 257, 511, 600, 767, 768, 899} {
				for _, size := range []int64{at + 1, 512, 700, 768, 899, 900} {
					page, err := p.Page(at, 256, size, load)
					if at < p.First() || at >= size || size > 900 {
						if err == nil {
							t.Errorf("from %d on: a page from %d on in a tree of %d was made", p.First(), at, size)
						}
						continue
					}
					if err != nil {
						t.Errorf("from %d on: the page from %d on in a tree of %d: %v", p.First(), at, size, err)
						continue
					}
					again, err := ParsePage(page.Bytes())
					if err == nil {
						err = again.Verify(head(size))
					}
					if err != nil || again.First != at || int64(len(again.Entries)) != min(256, size-at) {
						t.Errorf("from %d on: the page from %d on in a tree of %d has %d entries: %v", p.First(), at, size, len(again.Entries), err)
					}
				}
			}
			if _, err := p.Page(p.First(), 1, 901, load); err == nil {
				t.Error("a page of a tree that is not held was made")
			}
		}
		check()
		for p.First() < 768 {
			p.Drop()
			check()
		}
	}
}

// What was stored wrongly is not proven.
func TestPastOfOthers(t *testing.T) {
	log := testLog(t, testRoot(t), testTime, "a", "b", "c")
	entry := func(i int64) []byte {
		e, err := log.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if _, err := NewPast(5, nil); err == nil {
		t.Error("a past without its range was begun")
	}
	root, err := log.RootAt(2)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPast(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Append(entry(0))
	p.Append(entry(2))
	page, err := p.Page(0, 2, 2, func(int64) ([][]byte, error) { return [][]byte{entry(0), entry(2)}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if page.Verify(Head{Size: 2, Root: root}) == nil {
		t.Error("a page of other entries verifies")
	}
}
