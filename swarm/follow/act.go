package follow

import (
	"context"
	"maps"
	"slices"
	"time"

	"handful/signing"
	"handful/swarm/channel"
)

// maxAsked is how many writers a peer is asked about in one go: it answers no more than so
// many questions in a moment.
const maxAsked = 64

// confidence is how many sources are asked for news before others are taken at their word that
// they have none.
const confidence = 16

// standing is what of the state makes a follower act when it changes.
type standing struct {
	root    int64
	wants   signing.Need
	writers []string
	forks   map[string]bool
	gone    map[string]int64 // by writer: version of the document that last took entries back
}

func (f *Follower) standing() standing {
	s := standing{wants: f.trust.Wants(), writers: f.Writers(), forks: map[string]bool{}, gone: map[string]int64{}}
	if root := f.trust.Root(); root != nil {
		s.root = root.Version()
	}
	for _, w := range s.writers {
		if f.trust.Fork(w) != nil {
			s.forks[w] = true
		}
		s.gone[w] = lastVersion(f.trust.Withdrawn(w))
	}
	return s
}

func lastVersion(all []signing.Withdrawn) int64 {
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Version
}

// Writers returns whose news are wanted: the main writer and all whom the targets document
// in force names, and those of whom something is held. Sorted.
func (f *Follower) Writers() []string {
	writers := append(f.trust.Writers(), signing.MainWriter)
	if targets := f.trust.Targets(); targets != nil {
		writers = append(writers, targets.Writers()...)
	}
	slices.Sort(writers)
	return slices.Compact(writers)
}

// open returns the writers whose logs can still grow.
func (f *Follower) open() []string {
	return slices.DeleteFunc(f.Writers(), f.trust.Closed)
}

// act compares the state with what was acted on last, and does what follows from the
// difference. It may be called at any time, and more than once.
func (f *Follower) act() {
	now := f.standing()
	f.mu.Lock()
	documents := now.root != f.acted.root || now.wants != f.acted.wants
	f.mu.Unlock()
	if documents {
		f.judgeForks()
		now = f.standing()
	}
	f.mu.Lock()
	before := f.acted
	f.acted = now
	f.mu.Unlock()
	if now.root > before.root {
		f.actOnRoot(before.root)
	}
	var gone []string
	for w, version := range now.gone {
		if version != before.gone[w] {
			gone = append(gone, w)
		}
	}
	if len(gone) > 0 {
		f.forget(gone)
	}
	for _, w := range slices.Sorted(maps.Keys(now.forks)) {
		if fork := f.trust.Fork(w); fork != nil && !before.forks[w] {
			f.cfg.Logger.Warn("a writer has signed two histories", "channel", f.cfg.ID, "writer", w)
			f.wire.SendFork(nobody, w, *fork)
		}
	}
	if now.wants != before.wants && now.wants != (signing.Need{}) {
		f.each(nobody, f.askDocuments)
	}
	if now.root > before.root || now.wants != before.wants || !slices.Equal(now.writers, before.writers) || len(gone) > 0 {
		// What was refused before may be believed now.
		f.each(nobody, f.askNews)
		select {
		case f.rekeyed <- struct{}{}:
		default: // it is due anyway
		}
	}
	f.change(func() {})
}

// actOnRoot goes over to a newer root document.
func (f *Follower) actOnRoot(before int64) {
	if f.Private() {
		f.wire.Unlist()
	}
	f.each(nobody, f.askNextRoot)
	if before == 0 {
		return
	}
	// Who has not heard of it learns it from the version in an update. Peers that have the
	// same head, or a longer one that was taken back, would not be told by Push.
	u, ok := f.trust.UpdateFor(signing.MainWriter, f.trust.Size(signing.MainWriter))
	f.change(func() { f.loud[signing.MainWriter] = true })
	if ok {
		f.each(nobody, func(p channel.Peer) { f.wire.SendUpdate(p, signing.MainWriter, u) })
	}
}

// forget drops what was verified in a history that is withdrawn.
func (f *Follower) forget(writers []string) {
	f.change(func() {
		for at := range f.pages {
			if slices.Contains(writers, at.writer) {
				delete(f.pages, at)
			}
		}
		for _, w := range writers {
			delete(f.told, w)
			f.loud[w] = true
			f.wire.Forget(w)
			f.cfg.Logger.Warn("entries were withdrawn by a document of the channel", "channel", f.cfg.ID, "writer", w)
		}
		for c := range f.helped {
			if slices.Contains(writers, c.writer) {
				delete(f.helped, c)
			}
		}
	})
}

// greet asks a peer for all that it may know better, and tells it of forks.
func (f *Follower) greet(p channel.Peer) {
	f.askNextRoot(p)
	for _, w := range f.Writers() {
		if fork := f.trust.Fork(w); fork != nil {
			f.wire.SendFork(p, w, *fork)
		}
	}
	f.askDocuments(p)
	if !f.confident() {
		f.askNews(p)
	}
	for _, at := range f.places() {
		f.wire.AskPage(p, at.writer, at.index, f.trust.Size(at.writer))
	}
}

// confident reports whether so many sources have shown nothing newer than what is believed
// that another need not be asked, in a swarm of hundreds, what it tells in fewer bytes
// anyway: what each peer holds is told when it joins (package channel), and asked for if it is
// missing here.
func (f *Follower) confident() bool {
	writers := f.open()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range writers {
		if len(f.told[w]) < confidence {
			return false
		}
	}
	return true
}

// places returns where the entries stand that nobody has brought.
func (f *Follower) places() []place {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Collect(maps.Keys(f.wanted))
	for at, proof := range f.proofs {
		if proof == nil {
			all = append(all, at)
		}
	}
	return all
}

// askNextRoot asks for the root document behind the newest. Who does not have it does not
// answer.
func (f *Follower) askNextRoot(p channel.Peer) {
	next := int64(1)
	if root := f.trust.Root(); root != nil {
		next = root.Version() + 1
	}
	f.each(p, func(q channel.Peer) { f.wire.AskRoot(q, next) })
}

// askDocuments asks a peer for what is known to be missing.
func (f *Follower) askDocuments(p channel.Peer) {
	n := f.trust.Wants()
	if n.Grant > 0 {
		f.wire.AskPage(p, signing.MainWriter, n.Grant-1, f.trust.Size(signing.MainWriter))
	}
	if n.Targets != ([32]byte{}) {
		f.wire.AskTargets(p, n.Targets)
	}
}

// askNews asks a peer for the newest heads of the writers that are followed, of the first
// ones if there are many. What is missing then is asked of one peer.
func (f *Follower) askNews(p channel.Peer) {
	writers := f.open()
	for _, w := range writers[:min(len(writers), maxAsked)] {
		f.wire.AskUpdateWithin(p, w, f.trust.Size(w), channel.Introduction)
	}
}

// askAgainAndAgain asks anew for what was not answered, until ctx ends.
func (f *Follower) askAgainAndAgain(ctx context.Context) {
	t := time.NewTicker(askAgainTime)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f.askAgain()
		}
	}
}

// askAgain asks everybody for pages and documents that nobody has brought: a peer proves
// pages against its own newest head only, which may have been another then than ours.
// And for the news of some writers, when there are too many for one go.
func (f *Follower) askAgain() {
	if f.trust.Root() == nil {
		f.each(nobody, f.askNextRoot)
		return
	}
	if f.trust.Wants() != (signing.Need{}) {
		f.each(nobody, f.askDocuments)
	}
	writers := f.open()
	var some []string
	f.mu.Lock()
	if len(writers) > maxAsked {
		for range maxAsked / 2 {
			f.turn = (f.turn + 1) % len(writers)
			some = append(some, writers[f.turn])
		}
	}
	f.mu.Unlock()
	places := f.places()
	f.each(nobody, func(p channel.Peer) {
		for _, at := range places {
			f.wire.AskPage(p, at.writer, at.index, f.trust.Size(at.writer))
		}
		for _, w := range some {
			f.wire.AskUpdateWithin(p, w, f.trust.Size(w), channel.Introduction)
		}
	})
}
