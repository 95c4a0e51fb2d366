package signing

import (
	"fmt"
	"slices"

	"handful/manifest/bencode"
)

// Page is a run of entries from anywhere in a log, with what proves that they stand
// there in the tree of Size entries.
//
//	d 1:e l <entries> e 1:f <left> 1:g <right> 1:i i<First>e 1:n i<Size>e e
//
// What is empty or zero is left out, but for e and n.
type Page struct {
	First   int64      // index of the first entry
	Entries [][]byte   // at least one
	Left    [][32]byte // the compact range [0, First)
	Right   [][32]byte // the compact range [First+len(Entries), Size)
	Size    int64      // entries in the tree that the proof leads to
}

// Bytes encodes the page.
func (p Page) Bytes() []byte {
	m := []pair{{"e", appendList(nil, p.Entries)}, {"n", bencode.AppendInt(nil, p.Size)}}
	if len(p.Left) > 0 {
		m = append(m, pair{"f", appendHashes(nil, p.Left)})
	}
	if len(p.Right) > 0 {
		m = append(m, pair{"g", appendHashes(nil, p.Right)})
	}
	if p.First != 0 {
		m = append(m, pair{"i", bencode.AppendInt(nil, p.First)})
	}
	return appendDict(nil, m)
}

// ParsePage reads a page and checks its form; nothing is verified. The result does not
// alias b.
func ParsePage(b []byte) (Page, error) {
	if len(b) > MaxUpdate {
		return Page{}, fmt.Errorf("page: %w: %d bytes, but at most %d are allowed", ErrMalformed, len(b), MaxUpdate)
	}
	var p Page
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		switch key {
		case "e":
			p.Entries = readList(r)
		case "f":
			p.Left = readHashes(r)
		case "g":
			p.Right = readHashes(r)
		case "i":
			p.First = readPositive(r)
		case "n":
			p.Size = readPositive(r)
		default:
			r.Fail(malformed("unknown key %.20q", key))
		}
	})
	if err := r.End(); err != nil {
		return Page{}, fmt.Errorf("page: %w: %w", ErrMalformed, err)
	}
	if _, err := p.nodes(); err != nil {
		return Page{}, fmt.Errorf("page: %w", err)
	}
	return p, nil
}

// nodes checks the page's form and returns the nodes of its whole tree.
func (p *Page) nodes() ([]node, error) {
	last := p.First + int64(len(p.Entries))
	if len(p.Entries) == 0 || p.First < 0 || p.Size >= maxExact || last > p.Size {
		return nil, malformed("%d entries from %d on in a log of %d", len(p.Entries), p.First, p.Size)
	}
	for i, e := range p.Entries {
		if len(e) == 0 || len(e) > MaxEntry {
			return nil, malformed("entry %d has %d bytes, but 1 to %d are possible", p.First+int64(i), len(e), MaxEntry)
		}
	}
	left, ok := nodesOf(0, p.First, p.Left)
	if !ok {
		return nil, malformed("%d hashes do not cover the entries 0 to %d", len(p.Left), p.First)
	}
	right, ok := nodesOf(last, p.Size, p.Right)
	if !ok {
		return nil, malformed("%d hashes do not cover the entries %d to %d", len(p.Right), last, p.Size)
	}
	return slices.Concat(left, leavesOf(p.Entries), right), nil
}

// Verify checks that the entries stand where the page says, in the tree of a head
// that has been verified. The head must be over exactly Size entries.
func (p Page) Verify(h Head) error {
	if p.Size != h.Size {
		return fmt.Errorf("page: %w: it is of a tree of %d entries, the head of %d", ErrBogus, p.Size, h.Size)
	}
	nodes, err := p.nodes()
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if rootOf(nodes) != h.Root {
		return fmt.Errorf("page of the entries from %d on: %w", p.First, ErrBogus)
	}
	return nil
}
