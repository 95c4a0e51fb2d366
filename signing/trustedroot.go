package signing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// What documents do to a follower: new keys, logs that go back, writers that come and go.

// UpdateRoot takes the first root document of the channel, or the one that follows the
// newest. Expiry does not keep a document out: [Trusted.State] tells of it. One that is
// held already is no error. What it says is in force at once: see [Trusted.Withdrawn].
func (t *Trusted) UpdateRoot(raw []byte) error {
	known, err := t.addRoot(raw)
	if err != nil || known {
		return err
	}
	t.apply()
	return nil
}

// addRoot verifies a root document and puts it behind the others.
func (t *Trusted) addRoot(raw []byte) (known bool, err error) {
	newest := t.Root()
	if newest == nil {
		first, err := FirstRoot(t.id, raw)
		if err != nil {
			return false, err
		}
		t.roots = []*Root{first}
		return false, nil
	}
	doc, err := ParseRoot(raw)
	if err != nil {
		return false, err
	}
	if doc.version <= newest.version && t.roots[doc.version-1].sameSigned(doc) {
		return true, nil
	}
	next, err := newest.Next(raw)
	if err != nil {
		return false, err
	}
	total := len(raw)
	for _, r := range t.roots {
		total += len(r.raw)
	}
	if total > maxRoots {
		return false, fmt.Errorf("root document of version %d: %w: the channel's root documents pass %d bytes", next.version, ErrUnsupported, maxRoots)
	}
	t.roots = append(t.roots, next)
	return false, nil
}

// apply brings the state into line with its newest documents.
func (t *Trusted) apply() {
	root := t.Root()
	t.rebaseAll(root.base, root.version)
	if t.targets != nil && t.targets.verifiedBy(root.roles[RoleTargets]) != nil {
		t.retire()
	}
	if t.targets != nil {
		t.rebaseAll(t.targets.base, t.targets.version)
	}
	for _, name := range t.names() {
		w := t.writer(name)
		if name != MainWriter && t.targets != nil {
			_, err := t.targets.Writer(name)
			w.closed = err != nil
		}
		w.stale = false
		if w.head.Raw != nil && !w.closed {
			_, err := t.openHead(name, w.head.Raw)
			w.stale = err != nil
		}
		t.writers[name] = &w
	}
	t.prune()
}

// role returns who signs the heads of a writer now. Of delegated writers that is not
// known while a newer targets document than the one that is held was granted.
func (t *Trusted) role(writer string) (Role, error) {
	if writer != MainWriter && t.Wants() != (Need{}) {
		return Role{}, fmt.Errorf("%w %.40q: a newer targets document was granted and must be had first", ErrUnknownWriter, writer)
	}
	return t.lastRole(writer)
}

// lastRole returns who signs the heads of a writer, by the newest documents that are
// held.
func (t *Trusted) lastRole(writer string) (Role, error) {
	if writer == MainWriter {
		return t.Root().WriterRole(writer)
	}
	if t.targets == nil {
		return Role{}, fmt.Errorf("%w %.40q", ErrUnknownWriter, writer)
	}
	w, err := t.targets.Writer(writer)
	return w.Role, err
}

// openHead verifies a head by the newest documents that are held.
func (t *Trusted) openHead(writer string, raw []byte) (Head, error) {
	role, err := t.lastRole(writer)
	if err != nil {
		return Head{}, fmt.Errorf("head: %w", err)
	}
	return t.Root().openHead(role, writer, raw)
}

// openAny verifies a head by any documents that were ever in force, newest first: its
// keys may have been replaced since.
func (t *Trusted) openAny(writer string, raw []byte) (Head, error) {
	return openAny(t.roots, t.allTargets(), writer, raw)
}

// allTargets returns the targets documents of the state, the one in force last.
func (t *Trusted) allTargets() []*Targets {
	if t.targets == nil {
		return t.past
	}
	return append(slices.Clone(t.past), t.targets)
}

func openAny(roots []*Root, targets []*Targets, writer string, raw []byte) (Head, error) {
	first := fmt.Errorf("head: %w %.40q", ErrUnknownWriter, writer)
	for i, r := range slices.Backward(roots) {
		if i+1 < len(roots) && sameHeads(r, roots[i+1]) {
			continue // what it says of heads has been tried
		}
		if writer == MainWriter {
			h, err := r.OpenHead(writer, raw)
			if err == nil {
				return h, nil
			}
			if errors.Is(first, ErrUnknownWriter) {
				first = err
			}
			continue
		}
		for _, doc := range slices.Backward(targets) {
			h, err := r.OpenDelegated(doc, writer, raw)
			if err == nil {
				return h, nil
			}
			if errors.Is(first, ErrUnknownWriter) {
				first = err
			}
		}
	}
	return Head{}, first
}

// sameHeads reports whether two root documents ask the same of heads.
func sameHeads(a, b *Root) bool {
	return a.quorum == b.quorum && sameRole(a.roles[RoleTimestamp], b.roles[RoleTimestamp]) &&
		slices.EqualFunc(a.witnesses, b.witnesses, func(x, y Witness) bool { return x.String() == y.String() })
}

func (t *Trusted) rebaseAll(bases map[string]Base, version int64) {
	for _, writer := range slices.Sorted(maps.Keys(bases)) {
		if _, known := t.writers[writer]; known || len(t.writers) < 2*maxWriters {
			t.rebase(writer, bases[writer], version)
		}
	}
}

// rebase takes a writer's log back to a base, unless it was the last one applied.
func (t *Trusted) rebase(writer string, b Base, version int64) {
	w := t.writer(writer)
	if w.base != nil && *w.base == b {
		return
	}
	next := followed{base: &b, next: min(w.next, b.Size), withdrawn: w.withdrawn, since: t.lastWithdrawn(writer, &w, b), closed: w.closed}
	next.head = Head{Origin: Origin(t.id, writer), Size: b.Size, Root: b.Root}
	next.first, next.rangeless = b.Size, b.Size > 0
	from := b.Size
	if mine, ok := w.prefix(b.Size); w.holds() && b.Size <= w.head.Size && ok {
		switch {
		case rootOf(mine) != b.Root:
			from, next.next = 0, 0 // all of it was another history
		case b.Size == w.head.Size:
			next.head, next.before, next.first, next.entries, next.upto, next.rangeless = w.head, w.before, w.first, w.entries, w.upto, w.rangeless
			next.leaves = w.leaves
		default:
			next.cut(&w, mine)
		}
	}
	had := w.next // of what an earlier base let stand, only that was ever seen
	if w.head.Raw != nil {
		had = w.head.Size
	}
	if had > from {
		next.withdrawn = append(slices.Clone(w.withdrawn), Withdrawn{First: from, Size: had, Version: version})
		next.withdrawn = next.withdrawn[max(0, len(next.withdrawn)-maxWithdraw):]
	}
	if writer == MainWriter && (t.grant.at > b.Size || next.rangeless) {
		// The grant was withdrawn with its entry, or may have been: the newest entries
		// will name the one that counts.
		t.grant = grant{}
		t.retire()
	}
	if writer == MainWriter {
		t.wanted = 0
	}
	t.writers[writer] = &next
}

// cut takes over as much of w as its base covers, of which mine are the nodes.
func (next *followed) cut(w *followed, mine []node) {
	next.upto, next.rangeless = compact(0, mine), false
	next.before = hashesOf(next.upto)
	if next.first > w.first { // some of the entries stay
		n := next.first - w.first
		next.first, next.before, next.entries, next.leaves = w.first, w.before, w.entries[:n], w.leaves[:n]
	}
}

// lastWithdrawn returns the time of the newest head of a writer that the base b
// contradicts and that the newest keys would confirm all the same; zero: none. The keys
// of a forked writer need not have been replaced, and nobody must be taken back to what
// they signed then.
func (t *Trusted) lastWithdrawn(writer string, w *followed, b Base) (last time.Time) {
	raws := [][]byte{w.head.Raw}
	if w.fork != nil {
		raws = append(raws, w.fork.A, w.fork.B)
	}
	last = w.since
	for _, raw := range raws {
		if raw == nil {
			continue
		}
		h, err := t.openHead(writer, raw)
		if err == nil && (h.Size > b.Size || h.Size == b.Size && h.Root != b.Root) && h.Time.After(last) {
			last = h.Time
		}
	}
	return last
}

// baseRange takes the compact range of a writer's base from anybody: it must hash to it.
func (t *Trusted) baseRange(writer string, rng [][32]byte) error {
	w := t.writer(writer)
	nodes, ok := nodesOf(0, w.base.Size, rng)
	if !ok {
		return fmt.Errorf("range of writer %q: %w: %d hashes do not cover %d entries", writer, ErrMalformed, len(rng), w.base.Size)
	}
	if rootOf(nodes) != w.base.Root {
		return fmt.Errorf("range of writer %q: %w that a document says is good", writer, ErrBogus)
	}
	w.before, w.upto, w.first, w.rangeless = rng, nodes, w.base.Size, false
	t.writers[writer] = &w
	return nil
}
