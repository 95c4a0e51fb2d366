package signing

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// What a follower makes of updates.

// UpdateHead takes an update of a writer from anybody. An error says who is to blame:
// see the variables of this package. Without error and without Changed, the update was
// old news, or more is needed to judge it: see Needs.
func (t *Trusted) UpdateHead(writer string, u Update, now time.Time) (Accepted, error) {
	var acc Accepted
	root := t.Root()
	if root == nil {
		acc.Needs.Root = 1
		return acc, nil
	}
	h, needs, err := t.open(writer, &u, now)
	acc.Needs.Root = needs
	if err != nil {
		t.want(&acc.Needs)
		return acc, err
	}
	w := t.writer(writer)
	switch {
	case w.fork != nil:
		return acc, &ForkError{Writer: writer, Fork: *w.fork}
	case !w.since.IsZero() && !h.Time.After(w.since):
		return acc, fmt.Errorf("head of writer %q, signed at %s: %w", writer, h.Time.Format(time.RFC3339), ErrWithdrawn)
	case w.rangeless:
		return t.resume(writer, h, u, acc)
	case !w.holds() || h.Size > w.head.Size:
		return t.extend(writer, w, h, u, acc)
	case h.Size == w.head.Size && h.Root != w.head.Root:
		return acc, t.contradict(writer, h, Fork{A: w.head.Raw, B: h.Raw})
	case h.Size == w.head.Size:
		if w.head.Raw == nil || w.stale || h.Time.After(w.head.Time) {
			w.head, w.stale = h, false
			t.hold(writer, &w)
			acc.Changed = true
		}
		return acc, nil
	}
	// Smaller: somebody is behind, or was shown another history.
	if seen, ok := prefix(w.nodes(), h.Size); ok && rootOf(seen) != h.Root {
		rest, ok := slice(w.nodes(), h.Size, w.head.Size)
		if ok {
			return acc, t.contradict(writer, h, Fork{A: h.Raw, B: w.head.Raw, Seen: hashesOf(compact(0, seen)), Rest: hashesOf(rest)})
		}
	}
	return acc, &RollbackError{Writer: writer, Held: w.head.Size, Offered: h.Size}
}

// contradict judges a head that cannot be reconciled with what is held: a fork, if
// that is a head too, else a history that a base has withdrawn.
func (t *Trusted) contradict(writer string, h Head, f Fork) error {
	if f.A == nil || f.B == nil {
		return fmt.Errorf("head of writer %q over %d entries: %w", writer, h.Size, ErrWithdrawn)
	}
	return t.freeze(writer, f)
}

// resume goes on from a base of which only the root hash is known. An update for
// strangers may tell its range on the way; else anybody is asked for it.
func (t *Trusted) resume(writer string, h Head, u Update, acc Accepted) (Accepted, error) {
	w := t.writer(writer)
	if h.Size < w.base.Size {
		return acc, &RollbackError{Writer: writer, Held: w.base.Size, Offered: h.Size}
	}
	acc.Needs.Range, acc.Needs.Size = true, w.base.Size
	if u.Size > 0 {
		return acc, nil
	}
	news, err := newsOf(h, u)
	if err != nil {
		return acc, err
	}
	if rootOf(news) != h.Root {
		return Accepted{Needs: Need{Root: acc.Needs.Root}}, fmt.Errorf("update of writer %q: %w", writer, ErrBogus)
	}
	seen, ok := prefix(news, w.base.Size)
	if !ok {
		return acc, nil
	}
	acc.Needs.Range, acc.Needs.Size = false, 0
	if err := t.baseRange(writer, hashesOf(compact(0, seen))); err != nil {
		return acc, fmt.Errorf("head of writer %q over %d entries: %w", writer, h.Size, ErrWithdrawn)
	}
	root := acc.Needs.Root
	acc, err = t.extendOrConfirm(writer, h, u)
	acc.Changed, acc.Needs.Root = true, max(acc.Needs.Root, root)
	return acc, err
}

// extendOrConfirm goes on from a base whose range has just become known.
func (t *Trusted) extendOrConfirm(writer string, h Head, u Update) (Accepted, error) {
	w := t.writer(writer)
	if h.Size > w.head.Size {
		return t.extend(writer, w, h, u, Accepted{})
	}
	w.head = h
	t.hold(writer, &w)
	return Accepted{Changed: true}, nil
}

// hold keeps a writer with another head. The one that goes may be the last that a targets
// document aside verifies: it goes with it.
func (t *Trusted) hold(writer string, w *followed) {
	t.writers[writer] = w
	if writer != MainWriter && len(t.past) > 0 {
		t.prune()
	}
}

// open checks the form, signatures and time of an update's head. needs is the version
// of the root document that may be missing, or 0.
func (t *Trusted) open(writer string, u *Update, now time.Time) (h Head, needs int64, err error) {
	root := t.Root()
	if err := u.check(); err != nil {
		return Head{}, 0, fmt.Errorf("update: %w", err)
	}
	if u.Root > root.version {
		needs = root.version + 1
	}
	role, err := t.role(writer)
	if err == nil {
		h, err = root.openHead(role, writer, u.Head)
	}
	if err != nil {
		if errors.Is(err, ErrForged) || errors.Is(err, ErrUnknownWriter) {
			needs = root.version + 1
		}
		return Head{}, needs, err
	}
	if h.Time.After(now.Add(MaxAhead)) {
		return Head{}, needs, fmt.Errorf("head of writer %q: %w: at %s, while the clock here says %s", writer, ErrFuture,
			h.Time.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return h, needs, nil
}

// extend goes on from w, which may be empty, to the head h, if the update proves that
// it continues what is held.
func (t *Trusted) extend(writer string, w followed, h Head, u Update, acc Accepted) (Accepted, error) {
	held := w.head.Size
	alone := len(u.Entries) == 0 && len(u.Hashes) == 0 && h.Size > 0
	mine, ok := w.prefix(u.Size)
	if alone || !ok {
		acc.Needs.Update, acc.Needs.Size = true, held
		return acc, nil
	}
	news, err := newsOf(h, u)
	if err != nil {
		return acc, err
	}
	all := slices.Concat(mine, news)
	if rootOf(all) != h.Root {
		if u.Size == 0 {
			return acc, fmt.Errorf("update of writer %q: %w", writer, ErrBogus)
		}
		acc.Needs.Range, acc.Needs.Size = true, u.Size
		return acc, nil
	}
	seen, ok := prefix(all, held)
	if !ok {
		acc.Needs.Update, acc.Needs.Size = true, held
		return acc, nil
	}
	if w.holds() && rootOf(seen) != w.head.Root {
		return acc, t.contradict(writer, h, forkOf(w.head, h, all))
	}
	first := h.Size - int64(len(u.Entries))
	if w.head.Raw == nil && w.base == nil && len(t.writers) >= maxWriters && !t.evict() {
		return acc, fmt.Errorf("update of writer %q: %w: %d writers are followed already", writer, ErrUnsupported, maxWriters)
	}
	leaves := all[len(all)-len(u.Entries):]
	next := w
	next.head, next.stale = h, false
	if len(w.entries) == 0 || first < w.first || first > held {
		before, _ := prefix(all, first) // entries are leaves of all, so first is a border
		next.first, next.before = first, hashesOf(compact(0, before))
		next.entries, next.leaves = slices.Clone(u.Entries), slices.Clone(leaves)
	} else {
		next.entries = slices.Concat(w.entries[:first-w.first], u.Entries)
		next.leaves = slices.Concat(w.leaves[:first-w.first], leaves)
	}
	next.upto = compact(0, all)
	next.trim()
	t.hold(writer, &next)
	acc.Changed = true
	acc.First = max(first, held)
	acc.Entries = slices.Clone(u.Entries[acc.First-first:])
	if n := len(u.Entries); n > 0 {
		// An entry that cannot be read is its writer's fault; the log goes on all the same.
		if p, err := readPointers(u.Entries[n-1]); err == nil && p.root > t.Root().version {
			acc.Needs.Root = t.Root().version + 1
		}
	}
	if writer == MainWriter {
		t.noteGrants(acc.First, acc.Entries)
		t.want(&acc.Needs)
	}
	return acc, nil
}

// want adds what documents are missing.
func (t *Trusted) want(n *Need) {
	w := t.Wants()
	n.Grant, n.Targets = w.Grant, w.Targets
}

// evict forgets a closed writer, to make room for another.
func (t *Trusted) evict() bool {
	for _, name := range t.names() {
		if t.writers[name].closed {
			delete(t.writers, name)
			t.prune()
			return true
		}
	}
	return false
}

// newsOf returns the nodes of an update, which cover [u.Size, h.Size).
func newsOf(h Head, u Update) ([]node, error) {
	first := h.Size - int64(len(u.Entries))
	if first < u.Size {
		return nil, fmt.Errorf("update: %w: %d entries from %d on do not end at %d", ErrMalformed, len(u.Entries), u.Size, h.Size)
	}
	nodes, ok := nodesOf(u.Size, first, u.Hashes)
	if !ok {
		return nil, fmt.Errorf("update: %w: %d hashes do not cover the entries %d to %d", ErrMalformed, len(u.Hashes), u.Size, first)
	}
	return append(nodes, leavesOf(u.Entries)...), nil
}

// forkOf makes the proof that b, whose tree has the nodes all, does not continue a.
// The size of a is a border of all.
func forkOf(a, b Head, all []node) Fork {
	if a.Size == b.Size {
		return Fork{A: a.Raw, B: b.Raw}
	}
	seen, _ := prefix(all, a.Size)
	rest, _ := slice(all, a.Size, b.Size)
	return Fork{A: a.Raw, B: b.Raw, Seen: hashesOf(compact(0, seen)), Rest: hashesOf(rest)}
}

// UpdateRange settles an update that needed a range: rng is what its sender claims to
// be the compact range [0, u.Size) of the tree that the update's head signs. The result
// is a [ForkError], or [ErrBogus] and the sender lied, or a further need.
func (t *Trusted) UpdateRange(writer string, u Update, rng [][32]byte, now time.Time) (Accepted, error) {
	var acc Accepted
	if t.Root() == nil {
		acc.Needs.Root = 1
		return acc, nil
	}
	h, needs, err := t.open(writer, &u, now)
	acc.Needs.Root = needs
	if err != nil {
		return acc, err
	}
	w := t.writer(writer)
	if w.rangeless && w.fork == nil {
		if err := t.baseRange(writer, rng); err != nil {
			return acc, err
		}
		acc, err = t.UpdateHead(writer, u, now)
		acc.Changed = true
		return acc, err
	}
	claimed, ok := nodesOf(0, u.Size, rng)
	if !ok {
		return acc, fmt.Errorf("range of writer %q: %w: %d hashes do not cover %d entries", writer, ErrMalformed, len(rng), u.Size)
	}
	news, err := newsOf(h, u)
	if err != nil {
		return acc, err
	}
	all := slices.Concat(claimed, news)
	if rootOf(all) != h.Root {
		return acc, fmt.Errorf("range of writer %q: %w", writer, ErrBogus)
	}
	if !w.holds() || h.Size < w.head.Size || !h.Time.After(w.since) {
		return t.UpdateHead(writer, u, now)
	}
	seen, ok := prefix(all, w.head.Size)
	if !ok {
		acc.Needs.Update, acc.Needs.Size = true, w.head.Size
		return acc, nil
	}
	if rootOf(seen) == w.head.Root {
		return t.UpdateHead(writer, u, now)
	}
	return acc, t.contradict(writer, h, forkOf(w.head, h, all))
}

// UpdateFork takes the proof of a fork from anybody. The result is a [ForkError] when
// the proof holds, which freezes the writer.
func (t *Trusted) UpdateFork(writer string, f Fork) error {
	if t.Root() == nil {
		return fmt.Errorf("fork of writer %q: no root document is known yet: %w", writer, ErrGap)
	}
	a, b, err := verifyFork(f, func(raw []byte) (Head, error) { return t.openNow(writer, raw) })
	if err != nil {
		return err
	}
	if w := t.writer(writer); !w.since.IsZero() && !(a.Time.After(w.since) && b.Time.After(w.since)) {
		return fmt.Errorf("fork of writer %q: %w", writer, ErrWithdrawn)
	}
	return t.freeze(writer, f)
}

// openNow verifies a head by the documents in force: a thief of a key that was replaced
// freezes nobody.
func (t *Trusted) openNow(writer string, raw []byte) (Head, error) {
	role, err := t.role(writer)
	if err != nil {
		return Head{}, err
	}
	return t.Root().openHead(role, writer, raw)
}

func (t *Trusted) freeze(writer string, f Fork) error {
	w := t.writer(writer)
	found := w.fork == nil
	if found {
		w.fork = &f
		t.writers[writer] = &w
	}
	return &ForkError{Writer: writer, Fork: *w.fork, New: found}
}

// FirstContact chooses among the updates that several sources sent to somebody who
// holds nothing of a writer yet: the largest that verifies is taken, and the others are
// held against it. The error is nil if any was taken and no fork came to light.
func (t *Trusted) FirstContact(writer string, updates []Update, now time.Time) (Accepted, error) {
	type offer struct {
		u Update
		h Head
	}
	var offers []offer
	var firstErr error
	var acc Accepted
	for _, u := range updates {
		if t.Root() == nil {
			return Accepted{Needs: Need{Root: 1}}, nil
		}
		h, needs, err := t.open(writer, &u, now)
		acc.Needs.Root = max(acc.Needs.Root, needs)
		if err != nil {
			firstErr = errors.Join(firstErr, err)
			continue
		}
		offers = append(offers, offer{u, h})
	}
	slices.SortStableFunc(offers, func(a, b offer) int {
		if a.h.Size != b.h.Size {
			return int(min(max(b.h.Size-a.h.Size, -1), 1))
		}
		return b.h.Time.Compare(a.h.Time)
	})
	more := false
	for _, o := range offers {
		got, err := t.UpdateHead(writer, o.u, now)
		if errors.Is(err, ErrFork) {
			return acc, err
		}
		if err != nil && !errors.Is(err, ErrRollback) {
			firstErr = errors.Join(firstErr, err)
		}
		more = more || got.Needs.Update
		acc.Needs.Root = max(acc.Needs.Root, got.Needs.Root)
		if got.Needs.Range && !acc.Needs.Range {
			acc.Needs.Range, acc.Needs.Size = true, got.Needs.Size
		}
		if got.Changed && !acc.Changed {
			acc.Changed, acc.First, acc.Entries = true, got.First, got.Entries
		}
	}
	if more {
		// A larger head came without what continues the one that was taken.
		acc.Needs.Update, acc.Needs.Size = true, t.Size(writer)
	}
	if writer == MainWriter {
		t.want(&acc.Needs)
	}
	if acc.Changed || acc.Needs.Range {
		return acc, nil
	}
	return acc, firstErr
}
