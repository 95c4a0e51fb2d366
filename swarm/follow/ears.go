package follow

import (
	"bytes"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"handful/signing"
	"handful/swarm/channel"
)

// held is what a follower can tell others.
type held struct {
	t    *Trust
	past *atomic.Pointer[past] // nil: there is none
}

// kept returns what is kept beside the newest, nil if nobody reads the channel.
func (h held) kept() *past {
	if h.past == nil {
		return nil
	}
	return h.past.Load()
}

func (h held) UpdateFor(writer string, size int64) (signing.Update, bool) {
	return h.t.UpdateFor(writer, size)
}
func (h held) RootBytes(version int64) []byte    { return h.t.RootBytes(version) }
func (h held) TargetsBytes(hash [32]byte) []byte { return h.t.TargetsBytes(hash) }

func (h held) Page(writer string, first, count, size int64) (signing.Page, bool) {
	if p, ok := h.t.PageOf(writer, first, count, size); ok {
		return p, true
	}
	if past := h.kept(); past != nil {
		return past.page(writer, first, count, size)
	}
	return signing.Page{}, false
}

func (h held) Range(writer string, size int64) ([][32]byte, bool) { return h.t.Range(writer, size) }

// ears hears what peers say.
type ears struct{ f *Follower }

func (e ears) Joined(p channel.Peer, addr netip.AddrPort) {
	f := e.f
	<-f.ready // a peer may be there before Join has returned; this is the first that is heard of it
	f.join(p, sourceOf(addr.Addr()))
}

// join enters a peer who is called name as a source, and asks it for what is missing.
func (f *Follower) join(p channel.Peer, name string) {
	f.change(func() {
		f.peers[p] = name
		f.asked(name)
	})
	if f.trust.Root() == nil {
		f.wire.AskRoot(p, 1)
		return // the news can be judged only with it
	}
	f.greet(p)
}

func (e ears) Left(p channel.Peer) {
	f := e.f
	f.change(func() {
		delete(f.peers, p)
		mine := func(c conversation) bool { return c.peer == p }
		for c := range f.ranges {
			if mine(c) {
				delete(f.ranges, c)
			}
		}
		for c := range f.helped {
			if mine(c) {
				delete(f.helped, c)
			}
		}
	})
}

func (e ears) Root(p channel.Peer, _ int64, raw []byte) {
	f := e.f
	if err := f.trust.UpdateRoot(raw); err != nil {
		f.change(func() { f.note(err) })
		f.cfg.Logger.Debug("root document refused", "channel", f.cfg.ID, "err", err)
		return
	}
	f.act()
}

func (e ears) Documents(p channel.Peer, _ int64) {
	e.f.askNextRoot(p)
	e.f.askDocuments(p)
}

func (e ears) Targets(p channel.Peer, hash [32]byte, raw []byte) {
	f := e.f
	if f.trust.Wants().Targets != hash {
		return // not asked for, or known by now
	}
	err := f.trust.UpdateTargets(raw)
	if err != nil {
		f.change(func() { f.note(err) })
		f.cfg.Logger.Debug("targets document refused", "channel", f.cfg.ID, "err", err)
	}
	if errors.Is(err, signing.ErrForged) {
		f.askNextRoot(p)
	}
	f.act()
}

func (e ears) Fork(p channel.Peer, writer string, fork signing.Fork) {
	f := e.f
	if f.trust.Fork(writer) != nil {
		return
	}
	if f.trust.Root() == nil {
		f.keepFork(p, writer, fork)
		return
	}
	err := f.trust.UpdateFork(writer, fork)
	if errors.Is(err, signing.ErrForged) || errors.Is(err, signing.ErrUnknownWriter) {
		f.keepFork(p, writer, fork) // by keys that are not known yet
		f.askNextRoot(p)
	}
	f.change(func() { f.note(err) })
	f.act()
}

// keepFork keeps a proof for when newer documents are there.
func (f *Follower) keepFork(p channel.Peer, writer string, fork signing.Fork) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := conversation{p, writer}
	if _, known := f.early[at]; known || len(f.early) < maxEarly {
		f.early[at] = fork
	}
}

// judgeForks judges the proofs that came before the documents.
func (f *Follower) judgeForks() {
	f.mu.Lock()
	early := f.early
	f.early = make(map[conversation]signing.Fork)
	f.mu.Unlock()
	for at, fork := range early {
		if f.trust.Fork(at.writer) == nil {
			err := f.trust.UpdateFork(at.writer, fork)
			f.change(func() { f.note(err) })
		}
	}
}

func (e ears) Update(p channel.Peer, writer string, u signing.Update) {
	f := e.f
	switch {
	case f.knows(writer, u): // most news come from several peers
		f.mu.Lock()
		heard := f.told[writer][f.source(p)]
		f.mu.Unlock()
		if !heard {
			f.change(func() { f.agree(p, writer) })
		}
	case f.trust.Root() == nil:
		f.each(p, func(q channel.Peer) { f.wire.AskRoot(q, 1) })
	case !f.collect(p, writer, u):
		f.take(p, writer, u)
	}
}

func (e ears) Range(p channel.Peer, writer string, _ int64, hashes [][32]byte) {
	f := e.f
	at := conversation{p, writer}
	f.mu.Lock()
	u, ok := f.ranges[at]
	delete(f.ranges, at)
	f.mu.Unlock()
	if !ok {
		return
	}
	acc, err := f.trust.UpdateRange(writer, u, hashes, f.cfg.Now())
	acc.Needs.Range = false // it had its chance
	f.after(p, writer, u, acc, err)
}

func (e ears) Page(p channel.Peer, writer string, page signing.Page) {
	f := e.f
	if f.keepPage(writer, page) || f.trust.VerifyPage(writer, page) != nil {
		return
	}
	if writer == signing.MainWriter && f.trust.Wants().Grant > 0 {
		if err := f.trust.UpdateGrant(page); err != nil {
			f.cfg.Logger.Debug("grant refused", "channel", f.cfg.ID, "err", err)
		}
		f.act()
	}
	f.change(func() {
		if len(f.pages)+len(page.Entries) > maxPages {
			clear(f.pages) // who still needs them asks again
		}
		for i, raw := range page.Entries {
			at := place{writer, page.First + int64(i)}
			if f.wanted[at] {
				f.pages[at] = raw
				delete(f.wanted, at)
			}
			if proof, asked := f.proofs[at]; asked && proof == nil {
				if made, err := f.trust.Prove(writer, page, at.index); err == nil {
					f.proofs[at] = &made
				}
			}
		}
	})
}

// knows reports whether an update says nothing that is not believed.
func (f *Follower) knows(writer string, u signing.Update) bool {
	head, root := f.trust.Head(writer), f.trust.Root()
	return root != nil && head.Raw != nil && bytes.Equal(head.Raw, u.Head) && u.Root <= root.Version()
}

// take lets trust judge an update.
func (f *Follower) take(p channel.Peer, writer string, u signing.Update) {
	acc, err := f.trust.UpdateHead(writer, u, f.cfg.Now())
	f.after(p, writer, u, acc, err)
}

// after acts on trust's judgement of an update.
func (f *Follower) after(p channel.Peer, writer string, u signing.Update, acc signing.Accepted, err error) {
	if err != nil {
		f.cfg.Logger.Debug("update refused", "channel", f.cfg.ID, "writer", writer, "err", err)
	}
	at := conversation{p, writer}
	behind, older := errors.AsType[*signing.RollbackError](err)
	f.change(func() {
		f.note(err)
		n := acc.Needs
		if err == nil && n.Root == 0 && !n.Update && !n.Range || older {
			f.agree(p, writer)
		}
		if n.Range && p != nobody {
			f.ranges[at] = u
		}
	})
	if older {
		f.help(p, writer, behind.Offered)
	}
	f.ask(p, writer, acc.Needs)
	if acc.Changed {
		f.pass(p, writer, u)
		f.offer()
	}
	f.act()
}

// pass passes on what was accepted: to a few, who tell the others, and after a document has
// changed what counts to all.
func (f *Follower) pass(from channel.Peer, writer string, u signing.Update) {
	f.mu.Lock()
	loud := f.loud[writer]
	delete(f.loud, writer)
	f.mu.Unlock()
	if !loud {
		f.wire.Push(writer, u, from)
		return
	}
	f.each(nobody, func(p channel.Peer) {
		if p != from {
			f.wire.SendUpdate(p, writer, u)
		}
	})
}

// agree notes that a source shows what is believed. The caller holds mu.
func (f *Follower) agree(p channel.Peer, writer string) {
	if f.told[writer] == nil {
		f.told[writer] = make(map[string]bool)
	}
	if name := f.source(p); name != "" && len(f.told[writer]) < maxTold {
		f.told[writer][name] = true
		f.asked(name)
	}
}

const (
	maxTold  = 256  // sources of a writer that are counted
	maxEarly = 16   // proofs of forks that cannot be judged yet
	maxPages = 4096 // entries out of pages that are kept
)

// help brings a peer that is behind to what is held, once for each size.
func (f *Follower) help(p channel.Peer, writer string, size int64) {
	if p == nobody {
		return
	}
	mine := f.trust.Size(writer)
	at := conversation{p, writer}
	f.mu.Lock()
	done := f.helped[at] >= mine
	f.helped[at] = mine
	f.mu.Unlock()
	if u, ok := f.trust.UpdateFor(writer, size); ok && !done {
		f.wire.SendUpdate(p, writer, u)
	}
}

// ask asks for what trust needs to judge an update.
func (f *Follower) ask(p channel.Peer, writer string, n signing.Need) {
	if n.Root > 0 {
		f.each(p, func(q channel.Peer) { f.wire.AskRoot(q, n.Root) })
	}
	switch {
	case n.Range && p != nobody:
		f.wire.AskRange(p, writer, n.Size)
	case n.Update && p != nobody:
		f.wire.Missing(p, writer)
	case n.Range, n.Update:
		f.each(nobody, func(q channel.Peer) { f.wire.AskUpdate(q, writer, f.trust.Size(writer)) })
	}
}

// each calls ask for a peer that can be asked about news: whoever brought them, or all, if
// nobody did.
func (f *Follower) each(p channel.Peer, ask func(channel.Peer)) {
	peers := []channel.Peer{p}
	if p == nobody {
		f.mu.Lock()
		peers = slices.Sorted(maps.Keys(f.peers))
		f.mu.Unlock()
	}
	for _, q := range peers {
		ask(q)
	}
}

// note keeps what was refused. The caller holds mu.
func (f *Follower) note(err error) {
	if err != nil && !errors.Is(err, signing.ErrRollback) {
		f.refused = err
	}
}
