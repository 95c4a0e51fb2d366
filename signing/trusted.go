package signing

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Trusted is what a follower knows of one channel: its root documents, who may write
// beside the main writer, and for each writer the newest head with enough of the log to
// check what continues it. It decides; it does no IO and knows no time but what it is
// given. Its owner keeps [Trusted.Bytes] on disk before acting on anything that a call
// returned, be it an error: a fork is kept too. It is not safe for concurrent use.
type Trusted struct {
	id      ID
	roots   []*Root              // version 1, 2, …; each verified
	grant   grant                // the newest of the main writer
	wanted  int64                // index + 1 of a newer one, which has not been read; 0: none
	targets *Targets             // what grant names, verified by the newest root; nil: not known
	past    []*Targets           // earlier ones, by which heads that are held were verified
	writers map[string]*followed // the values are replaced, never changed, while they stand here
}

// followed is the state of one writer.
type followed struct {
	head    Head       // verified; Raw is nil when only a base or a fork is known
	before  [][32]byte // the compact range [0, first)
	first   int64      // index of entries[0]; head.Size when there are none
	entries [][]byte   // the newest entries, at most MaxUpdate bytes of them
	leaves  []node     // of entries, each
	upto    []node     // the compact range [0, head.Size): before and the leaves of entries
	next    int64      // first index that has not been handed on
	fork    *Fork      // frozen since this was found

	stale     bool        // the newest documents do not confirm head: its keys were replaced
	base      *Base       // the last that was applied; head.Size and head.Root begin with it
	rangeless bool        // base was applied, but its range is not known yet
	since     time.Time   // no head that is not newer: by keys that still sign, but withdrawn
	withdrawn []Withdrawn // what bases took back, oldest first
	closed    bool        // the targets document has dropped the writer
}

// holds reports whether a tree of the writer is known, by a head or a base.
func (w *followed) holds() bool { return w.head.Raw != nil || w.base != nil }

// Withdrawn is a run of entries that were proven once and that a document has taken
// back: what has their indexes now are other entries.
type Withdrawn struct {
	First, Size int64 // indexes First to Size-1
	Version     int64 // of the root document (main writer) or targets document (others)
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
	// Grant is one more than the index of an entry of the main writer that puts a
	// targets document into force: ask for it as a page, and call [Trusted.UpdateGrant].
	Grant int64
	// Targets is the SHA-256 of the targets document to ask all sources for; zero: none.
	Targets [32]byte
}

// State is how much the newest of a writer is worth.
type State int

const (
	StateUnknown     State = iota // nothing has been verified yet
	StateFresh                    // not older than the root allows, or it says nothing about age
	StateLate                     // older than the root's max_age: news may be withheld, or the publisher is away
	StateUnconfirmed              // a document has expired, or names other keys than signed the head: what was verified stays usable
	StateForked                   // the writer signed two histories; frozen
	StateWithdrawn                // a document took back the newest entries, and nothing newer has come; or it dropped the writer
)

var stateNames = []string{"unknown", "fresh", "late", "unconfirmed", "forked", "withdrawn"}

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
	if w := t.writer(writer); w.holds() && next > w.next {
		w.next = max(w.next, min(next, w.head.Size))
		t.writers[writer] = &w
	}
}

// Withdrawn returns which entries of a writer documents have taken back.
func (t *Trusted) Withdrawn(writer string) []Withdrawn {
	return slices.Clone(t.writer(writer).withdrawn)
}

// Closed reports whether a writer was dropped from the targets document: its log ends
// where it is.
func (t *Trusted) Closed(writer string) bool { return t.writer(writer).closed }

// State tells how much a writer's newest head is worth at the time now.
func (t *Trusted) State(writer string, now time.Time) State {
	w, root := t.writer(writer), t.Root()
	expired := root != nil && !now.Before(root.expires)
	if writer != MainWriter {
		expired = expired || t.targets == nil || t.Wants() != (Need{}) || !now.Before(t.targets.expires)
	}
	switch {
	case w.fork != nil:
		return StateForked
	case w.closed || w.base != nil && len(w.withdrawn) > 0 && w.head.Raw == nil:
		return StateWithdrawn
	case root == nil || w.head.Raw == nil:
		return StateUnknown
	case expired || w.stale:
		return StateUnconfirmed
	case root.MaxAge(writer) > 0 && now.Sub(w.head.Time) > root.MaxAge(writer):
		return StateLate
	}
	return StateFresh
}

// names returns the writers of the state, sorted.
func (t *Trusted) names() []string { return slices.Sorted(maps.Keys(t.writers)) }
