package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"handful/manifest"
	"handful/manifest/seal"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/channel"
)

var (
	// ErrWithdrawn: the publisher has asked to drop the entry, or a document of the channel
	// has taken it back.
	ErrWithdrawn = errors.New("withdrawn by the publisher")
	// ErrNoEntry: the channel has no such entry.
	ErrNoEntry = errors.New("no such entry in the channel")
	// ErrPath: the writer may not publish under that name.
	ErrPath = errors.New("outside the paths that were granted to its writer")
)

// Found is an entry that was verified.
type Found struct {
	Writer string
	Index  int64
	Raw    []byte
	Entry  manifest.Entry
	// Sealed is what stands in the log of a private channel. Without a key Entry is the same.
	Sealed *manifest.Sealed
	// Locked is why the inside of a sealed entry is not known, although there are Keys.
	Locked error
	State  signing.State
	// Private channels have content that is not announced in public.
	Private bool
	Signed  time.Time // of the newest head
	// Sources is how many sources told nothing else about the writer.
	Sources int
	// After is the version of the document that took entries of the writer back last; 0:
	// none did. See [Follower.Withdrawn].
	After int64
}

// Find waits for an entry of a writer, verified. A negative index means the newest
// that content can be fetched for; then peers are listened to for a while first,
// so that one of them that is behind does not decide. Of a writer who has forked nothing is
// found: the error is a signing.ForkError. The error when ctx ends says what is missing, and
// wraps the reason why the last news was refused, if any.
func (f *Follower) Find(ctx context.Context, writer string, index int64) (Found, error) {
	timer := time.NewTimer(listenTime)
	defer timer.Stop()
	if index >= 0 {
		f.mu.Lock()
		f.eager = true
		f.mu.Unlock()
		f.decide(writer)
	}
	for {
		news := f.Changed()
		if fork := f.trust.Fork(writer); fork != nil {
			return Found{}, fmt.Errorf("channel %s: %w", f.cfg.ID, &signing.ForkError{Writer: writer, Fork: *fork})
		}
		found, ok, err := f.look(writer, index)
		if ok || err != nil {
			return found, err
		}
		select {
		case <-ctx.Done():
			return Found{}, f.missing(ctx, writer, index)
		case <-news:
		case <-timer.C:
			f.decide(writer)
			f.change(func() { f.listened = true })
		}
	}
}

// Settle waits until enough sources have shown nothing newer than what is believed of each
// writer, or nothing new has come for a while. The error when ctx ends before anything is
// known says what is missing.
func (f *Follower) Settle(ctx context.Context) error {
	timer := time.NewTimer(listenTime)
	defer timer.Stop()
	heard, asked := 0, false // asked: a second time, for documents
	for {
		news := f.Changed()
		if now := f.heard(); now != heard {
			heard, asked = now, false
			timer.Reset(listenTime)
		}
		if f.agreed() {
			return nil
		}
		select {
		case <-ctx.Done():
			if heard == 0 {
				return f.missing(ctx, signing.MainWriter, -1)
			}
			return nil
		case <-news:
		case <-timer.C:
			for _, w := range f.Writers() {
				f.decide(w)
			}
			lacking := f.trust.Wants() != (signing.Need{})
			if heard > 0 && f.heard() == heard && (asked || !lacking) {
				return nil
			}
			if lacking {
				f.each(nobody, f.askDocuments) // who was asked may have got it itself since
				asked = true
			}
			timer.Reset(listenTime)
		}
	}
}

// heard counts what is known: documents, writers, and who told something of them.
func (f *Follower) heard() int {
	root := f.trust.Root()
	if root == nil {
		return 0
	}
	n := int(root.Version())
	if targets := f.trust.Targets(); targets != nil {
		n += int(targets.Version())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, told := range f.told {
		n += 1 + len(told)
	}
	return n
}

// agreed reports whether enough sources agree on each writer.
func (f *Follower) agreed() bool {
	if f.trust.Root() == nil || f.trust.Wants() != (signing.Need{}) {
		return false
	}
	writers := f.open()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range writers {
		if len(f.told[w]) < enoughSources && f.trust.Fork(w) == nil {
			return false
		}
	}
	return true
}

// missing explains why nothing was found in time.
func (f *Follower) missing(ctx context.Context, writer string, index int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := context.Cause(ctx)
	what := "its newest entry"
	if index >= 0 {
		what = fmt.Sprintf("entry %d of writer %q", index, writer)
	}
	if f.refused != nil {
		return fmt.Errorf("channel %s: %s: what peers say was refused: %w", f.cfg.ID, what, f.refused)
	}
	return fmt.Errorf("channel %s: %s was not found, %d sources were asked: %w", f.cfg.ID, what, len(f.met), err)
}

// look tries to answer Find from what is known.
func (f *Follower) look(writer string, index int64) (Found, bool, error) {
	head := f.trust.Head(writer)
	if head.Raw == nil {
		return Found{}, false, nil
	}
	if index < 0 {
		f.mu.Lock()
		settled := f.listened || len(f.told[writer]) >= enoughSources
		f.mu.Unlock()
		if !settled {
			return Found{}, false, nil
		}
		return f.newest(writer, head)
	}
	if index >= head.Size {
		f.mu.Lock()
		asked := f.listened && len(f.told[writer]) > 0
		f.mu.Unlock()
		switch err := f.takenBack(writer, index, 0); {
		case asked && err != nil:
			return Found{}, false, err
		case asked:
			return Found{}, false, fmt.Errorf("channel %s: writer %q has %d entries, index %d is not among them: %w", f.cfg.ID, writer, head.Size, index, ErrNoEntry)
		}
		return Found{}, false, nil
	}
	raw := f.Entry(writer, index)
	if raw == nil {
		return Found{}, false, nil
	}
	return f.judge(writer, index, raw, head)
}

// Entry returns an entry that was verified. When it is not at hand it is asked for, and nil
// is returned: try again when something has [Follower.Changed]. The caller must not change it.
func (f *Follower) Entry(writer string, index int64) []byte {
	first, entries := f.trust.Held(writer)
	if index >= first && index < first+int64(len(entries)) {
		return entries[index-first]
	}
	if index < 0 || index >= f.trust.Size(writer) {
		return nil
	}
	at := place{writer, index}
	f.mu.Lock()
	raw, asked := f.pages[at], f.wanted[at]
	if raw == nil && !asked {
		f.wanted[at] = true
	}
	f.mu.Unlock()
	if raw == nil && !asked {
		f.askPage(at)
	}
	return raw
}

// askPage asks everybody for an entry.
func (f *Follower) askPage(at place) {
	size := f.trust.Size(at.writer)
	f.each(nobody, func(p channel.Peer) { f.wire.AskPage(p, at.writer, at.index, size) })
}

// errNotYet: the proof of an entry has been asked for.
var errNotYet = errors.New("nobody has sent the page that proves the entry")

// Prove waits for the proof that a writer published an entry.
func (f *Follower) Prove(ctx context.Context, writer string, index int64) (signing.Proof, error) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.proofs, place{writer, index})
	}()
	for {
		news := f.Changed()
		p, err := f.prove(writer, index)
		if !errors.Is(err, errNotYet) {
			return p, err
		}
		select {
		case <-ctx.Done():
			return signing.Proof{}, fmt.Errorf("channel %s: entry %d of writer %q: %w: %w", f.cfg.ID, index, writer, err, context.Cause(ctx))
		case <-news:
		}
	}
}

func (f *Follower) prove(writer string, index int64) (signing.Proof, error) {
	if page, ok := f.trust.Page(writer, index, 1); ok {
		return f.trust.Prove(writer, page, index)
	}
	at := place{writer, index}
	f.mu.Lock()
	proof, asked := f.proofs[at]
	if !asked {
		f.proofs[at] = nil
	}
	f.mu.Unlock()
	if proof != nil {
		return *proof, nil
	}
	if !asked {
		f.askPage(at)
	}
	return signing.Proof{}, errNotYet
}

// Withdrawn waits until the publisher asks to drop an entry, or a document that is newer
// than the version after takes it back (see [Found]; of the root for the main writer, of
// targets for others). It returns an error that wraps ErrWithdrawn and gives the reason, or
// nil when ctx ends.
func (f *Follower) Withdrawn(ctx context.Context, writer string, index, after int64) error {
	for {
		news := f.Changed()
		if err := f.takenBack(writer, index, after); err != nil {
			return err
		}
		if err := f.dropped(writer, index); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		}
	}
}

// takenBack looks whether a document that is newer than after took an entry back.
func (f *Follower) takenBack(writer string, index, after int64) error {
	for _, w := range f.trust.Withdrawn(writer) {
		if w.Version > after && index >= w.First && index < w.Size {
			kind := "root"
			if writer != signing.MainWriter {
				kind = "targets"
			}
			return fmt.Errorf("channel %s: entry %d of writer %q: %w: version %d of the %s document took it back",
				f.cfg.ID, index, writer, ErrWithdrawn, w.Version, kind)
		}
	}
	return nil
}

// newest walks back from the newest entry to one that has content.
func (f *Follower) newest(writer string, head signing.Head) (Found, bool, error) {
	for i := head.Size - 1; i >= 0; i-- {
		raw := f.Entry(writer, i)
		if raw == nil {
			return Found{}, false, nil
		}
		found, ok, err := f.judge(writer, i, raw, head)
		if errors.Is(err, ErrWithdrawn) || errors.Is(err, ErrPath) {
			continue
		}
		if err != nil {
			return Found{}, false, err
		}
		if !ok {
			return found, false, nil
		}
		switch e := found.Entry.(type) {
		case manifest.Media, manifest.Release:
			return found, ok, nil
		case manifest.Sealed:
			if e.HasContent {
				return found, ok, nil
			}
		}
	}
	return Found{}, false, fmt.Errorf("channel %s has %d entries, and none with content to fetch: %w", f.cfg.ID, head.Size, ErrNoEntry)
}

// judge parses a verified entry and looks whether it was withdrawn since.
func (f *Follower) judge(writer string, index int64, raw []byte, head signing.Head) (Found, bool, error) {
	entry, err := manifest.ParseEntry(raw)
	if err != nil {
		return Found{}, false, fmt.Errorf("channel %s: entry %d: %w", f.cfg.ID, index, err)
	}
	outside := entry
	entry, known, err := f.Reveal(outside)
	var locked error
	if errors.Is(err, seal.ErrKey) {
		entry, locked, err = outside, fmt.Errorf("channel %s: entry %d: %w", f.cfg.ID, index, err), nil
	}
	if err != nil {
		return Found{}, false, fmt.Errorf("channel %s: entry %d: %w", f.cfg.ID, index, err)
	}
	if !known {
		return Found{}, false, f.dropped(writer, index)
	}
	if name, ok := named(entry); ok && !f.trust.AllowsTorrent(writer, name) {
		return Found{}, false, fmt.Errorf("channel %s: entry %d of writer %q: %q is %w", f.cfg.ID, index, writer, name, ErrPath)
	}
	if err := f.dropped(writer, index); err != nil {
		return Found{}, false, err
	}
	f.mu.Lock()
	sources := len(f.told[writer])
	f.mu.Unlock()
	var sealed *manifest.Sealed
	if s, ok := outside.(manifest.Sealed); ok {
		sealed = &s
	}
	return Found{
		Writer: writer, Index: index, Raw: raw, Entry: entry, Sealed: sealed, Locked: locked, Signed: head.Time, Sources: sources,
		State: f.trust.State(writer, f.cfg.Now()), Private: f.Private(), After: lastVersion(f.trust.Withdrawn(writer)),
	}, true, nil
}

// dropped looks among the newest entries for one that withdraws an earlier one.
func (f *Follower) dropped(writer string, index int64) error {
	first, entries := f.trust.Held(writer)
	for i, later := range entries {
		if first+int64(i) <= index {
			continue
		}
		e, err := manifest.ParseEntry(later)
		if err != nil {
			continue
		}
		if s, ok := e.(manifest.Sealed); ok && s.Drops && s.Index == index {
			e = manifest.Delete{Index: index}
			if inside, ok, err := f.Reveal(s); ok && err == nil && f.cfg.Keys != nil {
				e = inside
			}
		}
		if d, ok := e.(manifest.Delete); ok && d.Index == index {
			return fmt.Errorf("channel %s: entry %d: %w: %s", f.cfg.ID, index, ErrWithdrawn, reason(d))
		}
	}
	return nil
}

func reason(d manifest.Delete) string {
	if d.Reason == "" {
		return "no reason is given"
	}
	return fmt.Sprintf("%q", d.Reason)
}

// Spec returns what fetches the content of the entry; ok is false when it has
// none. Open is left to the caller.
func (f Found) Spec() (spec swarm.Spec, ok bool) {
	n, ok := manifest.NamedBy(f.Entry)
	if !ok {
		return spec, false
	}
	spec.Infohash, spec.Name = swarm.Infohash(n.InfoHash()), n.Name
	if f.Sealed != nil {
		spec.Name = "" // who asks this machine for its status need not know it
	}
	spec.InfoSum, spec.Unlisted = &n.InfoSum, f.Private
	return spec, true
}

// named returns the name under which an entry publishes files.
func named(e manifest.Entry) (string, bool) {
	switch e := e.(type) {
	case manifest.Media:
		return e.Name, true
	case manifest.Post:
		if e.Attached != nil {
			return e.Attached.Name, true
		}
	}
	return "", false
}
