package signing

import (
	"fmt"
	"slices"
)

// What a follower passes on of what it holds.

// VerifyPage checks a page of a writer's entries against the newest head.
func (t *Trusted) VerifyPage(writer string, p Page) error {
	h := t.Head(writer)
	if h.Raw == nil {
		return fmt.Errorf("page of writer %q: no head is known yet: %w", writer, ErrGap)
	}
	return p.Verify(h)
}

// UpdateFor makes the update that brings somebody, who has size entries, to the newest
// head. ok is false when this state does not hold what that takes: it keeps the newest
// entries, and of the rest only a compact range.
func (t *Trusted) UpdateFor(writer string, size int64) (u Update, ok bool) {
	return t.UpdateWithin(writer, size, MaxUpdate)
}

// UpdateWithin is UpdateFor for a path that carries at most limit bytes; see
// [Log.UpdateWithin].
func (t *Trusted) UpdateWithin(writer string, size int64, limit int) (u Update, ok bool) {
	w := t.writer(writer)
	if w.head.Raw == nil || size < 0 || size > w.head.Size {
		return Update{}, false
	}
	u = Update{Head: w.head.Raw, Size: size, Root: t.Root().version}
	u, err := fillUpdate(u, w.head.Size, limit, w.entry, w.rng)
	return u, err == nil
}

// Page makes a page towards the newest head of the entries that are held; ok is false
// when it would have none.
func (t *Trusted) Page(writer string, first, count int64) (p Page, ok bool) {
	w := t.writer(writer)
	p, err := fillPage(first, count, w.head.Size, w.entry, w.rng)
	return p, err == nil
}

// PageOf is Page towards an earlier tree, of size entries: for who has not heard of the
// newest head yet.
func (t *Trusted) PageOf(writer string, first, count, size int64) (p Page, ok bool) {
	w := t.writer(writer)
	if w.head.Raw == nil || size > w.head.Size {
		return Page{}, false
	}
	p, err := fillPage(first, count, size, w.entry, w.rng)
	return p, err == nil
}

// Range returns the compact range [0, size) of a writer's log, as far as it can be
// told from what is held.
func (t *Trusted) Range(writer string, size int64) (rng [][32]byte, ok bool) {
	w := t.writer(writer)
	rng, err := w.rng(0, size)
	return rng, err == nil && w.head.Raw != nil
}

// nodes returns nodes that cover exactly what is held.
func (w *followed) nodes() []node {
	before, _ := nodesOf(0, w.first, w.before)
	return slices.Concat(before, w.leaves)
}

// prefix returns nodes that cover exactly the first size entries. For who is up to date
// it needs no hashing.
func (w *followed) prefix(size int64) ([]node, bool) {
	if w.rangeless && size > 0 {
		return nil, false
	}
	if size == w.head.Size {
		return w.upto, true
	}
	return prefix(w.nodes(), size)
}

func (w *followed) entry(index int64) ([]byte, error) {
	if index < w.first || index-w.first >= int64(len(w.entries)) {
		return nil, nil
	}
	return w.entries[index-w.first], nil
}

func (w *followed) rng(a, b int64) ([][32]byte, error) {
	nodes, ok := slice(w.nodes(), a, b)
	if !ok {
		return nil, fmt.Errorf("range %d to %d is not held", a, b)
	}
	return hashesOf(nodes), nil
}

// trim forgets the oldest entries beyond MaxUpdate bytes, keeping their hashes.
func (w *followed) trim() {
	total := 0
	keep := len(w.entries)
	for keep > 0 && total+len(w.entries[keep-1]) <= MaxUpdate {
		total += len(w.entries[keep-1])
		keep--
	}
	if keep > 0 {
		before, _ := prefix(w.nodes(), w.first+int64(keep))
		w.before = hashesOf(compact(0, before))
		w.first += int64(keep)
		w.entries, w.leaves = slices.Clone(w.entries[keep:]), slices.Clone(w.leaves[keep:])
	}
}
