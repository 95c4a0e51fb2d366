package signing

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Trusted is what a follower knows of one channel: its root documents, and for each
// writer the newest head with enough of the log to check what continues it. It decides;
// it does no IO and knows no time but what it is given. Its owner keeps [Trusted.Bytes]
// on disk before acting on anything that a call returned, be it an error: a fork is
// kept too. It is not safe for concurrent use.
type Trusted struct {
	id      ID
	roots   []*Root // version 1, 2, …; each verified
	writers map[string]*followed
}

// followed is the state of one writer.
type followed struct {
	head    Head       // verified; Raw is nil when only a fork is known
	before  [][32]byte // the compact range [0, first)
	first   int64      // index of entries[0]; head.Size when there are none
	entries [][]byte   // the newest entries, at most MaxUpdate bytes of them
	upto    []node     // the compact range [0, head.Size): before and the leaves of entries
	next    int64      // first index that has not been handed on
	fork    *Fork      // frozen since this was found
}

// Accepted is what an update led to.
type Accepted struct {
	// Changed: the state holds something new, which must be kept before it is acted on.
	Changed bool
	// First is the index of Entries[0]. When it is above the size that was held before,
	// the entries in between were proven but not sent: see [Trusted.VerifyPage].
	First   int64
	Entries [][]byte // new and verified, oldest first
	Needs   Need     // what to ask for next
}

// Need is what a follower lacks. The zero value is: nothing.
type Need struct {
	// Root is the version of the root document to ask all sources for; 0: none.
	Root int64
	// Update: ask the sender for the update from the size that is held, Size.
	Update bool
	// Range: the update contradicts what is held, or its sender lies. Ask the sender
	// for its compact range [0, Size) and call [Trusted.UpdateRange].
	Range bool
	Size  int64
}

// State is how much the newest of a writer is worth.
type State int

const (
	StateUnknown     State = iota // nothing has been verified yet
	StateFresh                    // not older than the root allows, or it says nothing about age
	StateLate                     // older than the root's max_age: news may be withheld, or the publisher is away
	StateUnconfirmed              // the root document has expired: what was verified stays usable
	StateForked                   // the writer signed two histories; frozen
)

var stateNames = []string{"unknown", "fresh", "late", "unconfirmed", "forked"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// NewTrusted returns the state of somebody who knows a channel's id and nothing else.
func NewTrusted(id ID) *Trusted { return &Trusted{id: id, writers: map[string]*followed{}} }

// ID returns the channel.
func (t *Trusted) ID() ID { return t.id }

// Root returns the newest root document, or nil.
func (t *Trusted) Root() *Root {
	if len(t.roots) == 0 {
		return nil
	}
	return t.roots[len(t.roots)-1]
}

// RootBytes returns the root document of a version, to pass it on; nil if not held.
func (t *Trusted) RootBytes(version int64) []byte {
	if version < 1 || version > int64(len(t.roots)) {
		return nil
	}
	return t.roots[version-1].raw
}

// Writers returns the names of the writers of which a head is held, sorted.
func (t *Trusted) Writers() []string {
	var names []string
	for name, w := range t.writers {
		if w.head.Raw != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Size returns the number of entries of a writer's log that are proven.
func (t *Trusted) Size(writer string) int64 { return t.writer(writer).head.Size }

// Head returns the newest head of a writer; its Raw is nil when there is none.
func (t *Trusted) Head(writer string) Head { return t.writer(writer).head }

// Fork returns the proof that a writer has forked, or nil.
func (t *Trusted) Fork(writer string) *Fork { return t.writer(writer).fork }

func (t *Trusted) writer(name string) followed {
	if w := t.writers[name]; w != nil {
		return *w
	}
	return followed{}
}

// Held returns the newest entries that the state keeps, and the index of the first.
// They must not be changed.
func (t *Trusted) Held(writer string) (first int64, entries [][]byte) {
	w := t.writer(writer)
	return w.first, slices.Clone(w.entries)
}

// Next returns the index of the first entry of a writer that has not been handed on:
// where to go on after a restart. What [Trusted.Held] does not have of it is asked for
// as pages.
func (t *Trusted) Next(writer string) int64 { return t.writer(writer).next }

// HandedOn notes that all entries of a writer before next need no further handling. It
// never goes back, nor past the newest.
func (t *Trusted) HandedOn(writer string, next int64) {
	if w := t.writers[writer]; w != nil {
		w.next = max(w.next, min(next, w.head.Size))
	}
}

// State tells how much a writer's newest head is worth at the time now.
func (t *Trusted) State(writer string, now time.Time) State {
	w, root := t.writer(writer), t.Root()
	switch {
	case w.fork != nil:
		return StateForked
	case root == nil || w.head.Raw == nil:
		return StateUnknown
	case !now.Before(root.expires):
		return StateUnconfirmed
	case root.MaxAge(writer) > 0 && now.Sub(w.head.Time) > root.MaxAge(writer):
		return StateLate
	}
	return StateFresh
}

// UpdateRoot takes the first root document of the channel, or the one that follows the
// newest. Expiry does not keep a document out: [Trusted.State] tells of it. One that is
// held already is no error.
func (t *Trusted) UpdateRoot(raw []byte) error {
	newest := t.Root()
	if newest == nil {
		first, err := FirstRoot(t.id, raw)
		if err != nil {
			return err
		}
		t.roots = []*Root{first}
		return nil
	}
	doc, err := ParseRoot(raw)
	if err != nil {
		return err
	}
	if doc.version <= newest.version && t.roots[doc.version-1].sameSigned(doc) {
		return nil
	}
	next, err := newest.Next(raw)
	if err != nil {
		return err
	}
	total := len(raw)
	for _, r := range t.roots {
		total += len(r.raw)
	}
	if total > maxRoots {
		return fmt.Errorf("root document of version %d: %w: the channel's root documents pass %d bytes", next.version, ErrUnsupported, maxRoots)
	}
	t.roots = append(t.roots, next)
	return nil
}

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
		return acc, err
	}
	w := t.writer(writer)
	switch {
	case w.fork != nil:
		return acc, &ForkError{Writer: writer, Fork: *w.fork}
	case w.head.Raw == nil || h.Size > w.head.Size:
		return t.extend(writer, w, h, u, acc)
	case h.Size == w.head.Size && h.Root != w.head.Root:
		return acc, t.freeze(writer, Fork{A: w.head.Raw, B: h.Raw})
	case h.Size == w.head.Size:
		if h.Time.After(w.head.Time) {
			w.head = h
			t.writers[writer] = &w
			acc.Changed = true
		}
		return acc, nil
	}
	// Smaller: somebody is behind, or was shown another history.
	if seen, ok := prefix(w.nodes(), h.Size); ok && rootOf(seen) != h.Root {
		rest, ok := slice(w.nodes(), h.Size, w.head.Size)
		if ok {
			return acc, t.freeze(writer, Fork{A: h.Raw, B: w.head.Raw, Seen: hashesOf(compact(0, seen)), Rest: hashesOf(rest)})
		}
	}
	return acc, &RollbackError{Writer: writer, Held: w.head.Size, Offered: h.Size}
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
	h, err = root.OpenHead(writer, u.Head)
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
	if w.head.Raw != nil && rootOf(seen) != w.head.Root {
		return acc, t.freeze(writer, forkOf(w.head, h, all))
	}
	first := h.Size - int64(len(u.Entries))
	next := w
	next.head = h
	if len(w.entries) == 0 || first < w.first || first > held {
		before, _ := prefix(all, first) // entries are leaves of all, so first is a border
		next.first, next.before = first, hashesOf(compact(0, before))
		next.entries = slices.Clone(u.Entries)
	} else {
		next.entries = slices.Concat(w.entries[:first-w.first], u.Entries)
	}
	next.upto = compact(0, all)
	next.trim()
	t.writers[writer] = &next
	acc.Changed = true
	acc.First = max(first, held)
	acc.Entries = slices.Clone(u.Entries[acc.First-first:])
	if n := len(u.Entries); n > 0 {
		// An entry that cannot be read is its writer's fault; the log goes on all the same.
		if p, err := readPointers(u.Entries[n-1]); err == nil && p.root > t.Root().version {
			acc.Needs.Root = t.Root().version + 1
		}
	}
	return acc, nil
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
	w := t.writer(writer)
	if w.head.Raw == nil || h.Size < w.head.Size {
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
	return acc, t.freeze(writer, forkOf(w.head, h, all))
}

// UpdateFork takes the proof of a fork from anybody. The result is a [ForkError] when
// the proof holds, which freezes the writer.
func (t *Trusted) UpdateFork(writer string, f Fork) error {
	root := t.Root()
	if root == nil {
		return fmt.Errorf("fork of writer %q: no root document is known yet: %w", writer, ErrGap)
	}
	if err := root.VerifyFork(writer, f); err != nil {
		return err
	}
	return t.freeze(writer, f)
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
		if got.Changed && !acc.Changed {
			acc.Changed, acc.First, acc.Entries = true, got.First, got.Entries
		}
	}
	if more {
		// A larger head came without what continues the one that was taken.
		acc.Needs.Update, acc.Needs.Size = true, t.Size(writer)
	}
	if acc.Changed {
		return acc, nil
	}
	return acc, firstErr
}

// names returns the writers of the state, sorted.
func (t *Trusted) names() []string { return slices.Sorted(maps.Keys(t.writers)) }
