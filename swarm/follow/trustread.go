package follow

import (
	"time"

	"handful/signing"
)

// see returns what look tells of the state.
func see[T any](t *Trust, look func(*signing.Trusted) T) T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return look(t.state)
}

// ID returns the channel.
func (t *Trust) ID() signing.ID { return see(t, (*signing.Trusted).ID) }

// Root returns the newest root document, or nil.
func (t *Trust) Root() *signing.Root { return see(t, (*signing.Trusted).Root) }

// Roots returns all root documents, the first one first.
func (t *Trust) Roots() (all []*signing.Root) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for v := int64(1); ; v++ {
		raw := t.state.RootBytes(v)
		if raw == nil {
			return all
		}
		if r, err := signing.ParseRoot(raw); err == nil { // it was verified when it came
			all = append(all, r)
		}
	}
}

// RootBytes returns the root document of a version; nil if it is not held.
func (t *Trust) RootBytes(version int64) []byte {
	return see(t, func(s *signing.Trusted) []byte { return s.RootBytes(version) })
}

// Writers returns the writers of which a head is held, sorted.
func (t *Trust) Writers() []string { return see(t, (*signing.Trusted).Writers) }

// Size returns how many entries of a writer's log are proven.
func (t *Trust) Size(writer string) int64 {
	return see(t, func(s *signing.Trusted) int64 { return s.Size(writer) })
}

// Head returns the newest head of a writer; its Raw is nil when there is none.
func (t *Trust) Head(writer string) signing.Head {
	return see(t, func(s *signing.Trusted) signing.Head { return s.Head(writer) })
}

// State tells how much a writer's newest head is worth at the time now.
func (t *Trust) State(writer string, now time.Time) signing.State {
	return see(t, func(s *signing.Trusted) signing.State { return s.State(writer, now) })
}

// Fork returns the proof that a writer has forked, or nil.
func (t *Trust) Fork(writer string) *signing.Fork {
	return see(t, func(s *signing.Trusted) *signing.Fork { return s.Fork(writer) })
}

// Next returns the index of the first entry of a writer that has not been handed on.
func (t *Trust) Next(writer string) int64 {
	return see(t, func(s *signing.Trusted) int64 { return s.Next(writer) })
}

// Held returns the newest entries of a writer that are kept, and the index of the
// first. They must not be changed.
func (t *Trust) Held(writer string) (first int64, entries [][]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Held(writer)
}

// UpdateFor makes the update for somebody who has size entries; see
// [signing.Trusted.UpdateFor].
func (t *Trust) UpdateFor(writer string, size int64) (u signing.Update, ok bool) {
	return t.UpdateWithin(writer, size, signing.MaxUpdate)
}

// UpdateWithin is UpdateFor for at most limit bytes.
func (t *Trust) UpdateWithin(writer string, size int64, limit int) (u signing.Update, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.UpdateWithin(writer, size, limit)
}

// Page makes a page of entries that are held; see [signing.Trusted.Page].
func (t *Trust) Page(writer string, first, count int64) (p signing.Page, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Page(writer, first, count)
}

// PageOf makes a page towards an earlier tree; see [signing.Trusted.PageOf].
func (t *Trust) PageOf(writer string, first, count, size int64) (p signing.Page, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.PageOf(writer, first, count, size)
}

// Range returns the compact range [0, size) of a writer's log, as far as it is held.
func (t *Trust) Range(writer string, size int64) (rng [][32]byte, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Range(writer, size)
}

// VerifyPage checks a page of a writer's entries against the newest head.
func (t *Trust) VerifyPage(writer string, p signing.Page) error {
	return see(t, func(s *signing.Trusted) error { return s.VerifyPage(writer, p) })
}

// Targets returns the targets document in force, or nil when there is none, or it has not
// been received.
func (t *Trust) Targets() *signing.Targets { return see(t, (*signing.Trusted).Targets) }

// TargetsBytes returns the targets document of a SHA-256; nil if it is not the one in force.
func (t *Trust) TargetsBytes(hash [32]byte) []byte {
	return see(t, func(s *signing.Trusted) []byte { return s.TargetsBytes(hash) })
}

// Wants returns what documents are known to be missing.
func (t *Trust) Wants() signing.Need { return see(t, (*signing.Trusted).Wants) }

// Withdrawn returns which entries of a writer documents have taken back.
func (t *Trust) Withdrawn(writer string) []signing.Withdrawn {
	return see(t, func(s *signing.Trusted) []signing.Withdrawn { return s.Withdrawn(writer) })
}

// Closed reports whether a writer was dropped from the targets document.
func (t *Trust) Closed(writer string) bool {
	return see(t, func(s *signing.Trusted) bool { return s.Closed(writer) })
}

// AllowsTorrent reports whether the entries of a writer may name a torrent; see
// [signing.Writer.AllowsTorrent].
func (t *Trust) AllowsTorrent(writer, name string) bool {
	return see(t, func(s *signing.Trusted) bool { return s.AllowsTorrent(writer, name) })
}

// Standing returns what is to be shown about a writer; see [signing.Trusted.Standing].
func (t *Trust) Standing(writer string, now time.Time, sources, asked int) signing.Standing {
	return see(t, func(s *signing.Trusted) signing.Standing { return s.Standing(writer, now, sources, asked) })
}

// VerifyPresence checks that a writer's key has signed a presence.
func (t *Trust) VerifyPresence(p signing.Presence, now time.Time) error {
	return see(t, func(s *signing.Trusted) error { return s.VerifyPresence(p, now) })
}

// Evidence returns the proof that a writer has forked; ok is false if it has not.
func (t *Trust) Evidence(writer string) (e signing.Evidence, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Evidence(writer)
}

// Prove makes the proof of an entry from a page that has it.
func (t *Trust) Prove(writer string, p signing.Page, index int64) (signing.Proof, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state.Prove(writer, p, index)
}
