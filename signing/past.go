package signing

import (
	"fmt"
	"slices"
)

// BundleSize is how many entries of a log lie together: bundle n has those from n×256 on, as
// tlog-tiles has it.
const BundleSize = 256

// Past is what proves where entries stand that lie elsewhere: the run [First, Size) of a
// log. It holds a few hashes for each bundle, and makes pages of what is loaded. It is not
// safe for concurrent use. What its caller appends is not verified: whoever gets a page does
// that.
type Past struct {
	first, size int64
	before      []node   // the compact range [0, first)
	bundles     [][]node // from the one of first on: what is held of it, as a compact range
}

// NewPast begins a run with nothing, behind a compact range [0, first).
func NewPast(first int64, before [][32]byte) (*Past, error) {
	if first < 0 || first >= maxExact {
		return nil, malformed("a past from entry %d on", first)
	}
	nodes, ok := nodesOf(0, first, before)
	if !ok {
		return nil, malformed("%d hashes do not cover the entries 0 to %d", len(before), first)
	}
	return &Past{first: first, size: first, before: nodes}, nil
}

// First is the index of the first entry.
func (p *Past) First() int64 { return p.first }

// Size is the index behind the last entry.
func (p *Past) Size() int64 { return p.size }

// Before returns the compact range [0, First).
func (p *Past) Before() [][32]byte { return hashesOf(p.before) }

// Range returns the compact range [0, Size).
func (p *Past) Range() [][32]byte {
	return hashesOf(compact(0, slices.Concat(p.before, slices.Concat(p.bundles...))))
}

// Append adds the next entry.
func (p *Past) Append(entry []byte) {
	n := int(p.size/BundleSize - p.first/BundleSize)
	if n == len(p.bundles) {
		p.bundles = append(p.bundles, nil)
	}
	begin := max(p.first, p.size/BundleSize*BundleSize)
	p.bundles[n] = compact(begin, append(p.bundles[n], leavesOf([][]byte{entry})...))
	p.size++
}

// Drop forgets the first bundle.
func (p *Past) Drop() {
	if len(p.bundles) == 0 {
		return
	}
	p.before = compact(0, slices.Concat(p.before, p.bundles[0]))
	p.bundles = p.bundles[1:]
	p.first = min((p.first/BundleSize+1)*BundleSize, p.size)
}

// Page makes a page of at most count entries from an index on, fewer when they do not fit
// [MaxUpdate], with the proof towards the tree of size entries. load returns all entries
// that are held of a bundle; it is asked for few.
func (p *Past) Page(first, count, size int64, load func(bundle int64) ([][]byte, error)) (Page, error) {
	if first < p.first || size > p.size {
		return Page{}, fmt.Errorf("page from entry %d on in a tree of %d: the entries %d to %d are held", first, size, p.first, p.size)
	}
	loaded := make(map[int64][][]byte)
	bundle := func(n int64) ([][]byte, error) {
		if entries := loaded[n]; entries != nil {
			return entries, nil
		}
		entries, err := load(n)
		if err != nil {
			return nil, err
		}
		if begin, end := p.span(n); int64(len(entries)) != end-begin {
			return nil, fmt.Errorf("bundle %d has %d entries instead of %d", n, len(entries), end-begin)
		}
		loaded[n] = entries
		return entries, nil
	}
	entry := func(index int64) ([]byte, error) {
		entries, err := bundle(index / BundleSize)
		if err != nil {
			return nil, err
		}
		begin, _ := p.span(index / BundleSize)
		return entries[index-begin], nil
	}
	return fillPage(first, min(count, p.size-first), size, entry, func(a, b int64) ([][32]byte, error) {
		nodes := slices.Clone(p.before)
		for i, hashes := range p.bundles {
			n := p.first/BundleSize + int64(i)
			begin, end := p.span(n)
			if a > begin && a < end || b > begin && b < end {
				entries, err := bundle(n)
				if err != nil {
					return nil, err
				}
				hashes = leavesOf(entries)
			}
			nodes = append(nodes, hashes...)
		}
		out, ok := slice(nodes, a, b)
		if !ok {
			return nil, fmt.Errorf("range %d to %d is not held", a, b)
		}
		return hashesOf(out), nil
	})
}

// span returns which entries of a bundle are held.
func (p *Past) span(bundle int64) (begin, end int64) {
	return max(p.first, bundle*BundleSize), min(p.size, (bundle+1)*BundleSize)
}
