package follow

import (
	"net/netip"
	"slices"

	"handful/signing"
	"handful/swarm/channel"
)

// held is what a follower can tell others.
type held struct{ t *Trust }

func (h held) UpdateFor(writer string, size int64) (signing.Update, bool) {
	return h.t.UpdateFor(writer, size)
}
func (h held) RootBytes(version int64) []byte { return h.t.RootBytes(version) }

func (h held) Page(writer string, first, count, size int64) (signing.Page, bool) {
	p, ok := h.t.Page(writer, first, count)
	return p, ok && p.Size == size
}

func (h held) Range(writer string, size int64) ([][32]byte, bool) { return h.t.Range(writer, size) }

// ears hears what peers say.
type ears struct{ f *Follower }

func (e ears) Joined(p channel.Peer, _ netip.AddrPort) {
	f := e.f
	<-f.ready // a peer may be there before Join has returned; this is the first that is heard of it
	f.change(func() { f.peers[p] = true })
	if f.trust.Root() == nil {
		f.channel.AskRoot(p, 1)
		return // the news can be judged only with it
	}
	f.ask(p)
}

// writers returns whose news are wanted.
func (f *Follower) writers() []string {
	writers := f.trust.Writers()
	if !slices.Contains(writers, signing.MainWriter) {
		writers = append(writers, signing.MainWriter)
	}
	return writers
}

// ask asks a peer for the news of all writers that are followed, and for pages.
func (f *Follower) ask(p channel.Peer) {
	for _, w := range f.writers() {
		f.channel.AskUpdate(p, w, f.trust.Size(w))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for at := range f.wanted {
		f.channel.AskPage(p, at.writer, at.index, f.trust.Size(at.writer))
	}
}

func (e ears) Left(p channel.Peer) {
	e.f.change(func() {
		delete(e.f.peers, p)
		delete(e.f.ranges, p)
	})
}

func (e ears) Root(p channel.Peer, _ int64, raw []byte) {
	f := e.f
	known := f.trust.Root() != nil
	err := f.trust.UpdateRoot(raw)
	f.change(func() { f.note(err) })
	if err != nil {
		f.cfg.Logger.Debug("root document refused", "channel", f.cfg.ID, "err", err)
		return
	}
	if known {
		f.ask(p)
		return
	}
	f.rootOnce.Do(func() { close(f.rooted) })
	if f.Private() {
		f.channel.Unlist()
	}
	for _, q := range f.channel.Peers() {
		f.ask(q)
	}
}

func (e ears) Update(p channel.Peer, writer string, u signing.Update) {
	f := e.f
	if f.trust.Root() == nil {
		f.channel.AskRoot(p, 1)
		return
	}
	if f.collect(p, writer, u) {
		return
	}
	acc, err := f.trust.UpdateHead(writer, u, f.cfg.Now())
	e.after(p, writer, u, acc, err)
}

// collect keeps an update of the first contact for decide, and reports whether it
// did.
func (f *Follower) collect(p channel.Peer, writer string, u signing.Update) bool {
	if writer != signing.MainWriter || f.trust.Head(writer).Raw != nil {
		return false
	}
	f.mu.Lock()
	if f.eager || f.contact || f.deciding || len(f.first) >= maxCandidates {
		f.mu.Unlock()
		return false
	}
	f.first = append(f.first, u)
	f.sources[p] = true
	enough := len(f.sources) >= enoughSources
	f.mu.Unlock()
	if enough {
		f.decide(writer)
	}
	return true
}

// after acts on trust's judgement of an update.
func (e ears) after(p channel.Peer, writer string, u signing.Update, acc signing.Accepted, err error) {
	f := e.f
	if err != nil {
		f.cfg.Logger.Debug("update refused", "channel", f.cfg.ID, "err", err)
	}
	f.change(func() {
		f.note(err)
		if err == nil {
			f.sources[p] = true
		}
		if acc.Needs.Range {
			f.ranges[p] = u
		}
	})
	switch {
	case err != nil:
	case acc.Needs.Range:
		f.channel.AskRange(p, writer, acc.Needs.Size)
	case acc.Needs.Root > 0:
		f.each(p, func(q channel.Peer) { f.channel.AskRoot(q, acc.Needs.Root) })
	case acc.Needs.Update:
		f.each(p, func(q channel.Peer) { f.channel.AskUpdate(q, writer, acc.Needs.Size) })
	case acc.Changed:
		f.channel.Push(writer, u, p)
		f.offer()
	}
}

// each calls ask for a peer that can be asked about news: whoever brought them, or all, if
// nobody did.
func (f *Follower) each(p channel.Peer, ask func(channel.Peer)) {
	if p != nobody {
		ask(p)
		return
	}
	for _, q := range f.channel.Peers() {
		ask(q)
	}
}

func (e ears) Range(p channel.Peer, writer string, _ int64, hashes [][32]byte) {
	f := e.f
	f.mu.Lock()
	u, ok := f.ranges[p]
	delete(f.ranges, p)
	f.mu.Unlock()
	if !ok {
		return
	}
	acc, err := f.trust.UpdateRange(writer, u, hashes, f.cfg.Now())
	if acc.Needs.Range {
		acc.Needs.Range = false // it had its chance
	}
	e.after(p, writer, u, acc, err)
}

func (e ears) Page(_ channel.Peer, writer string, page signing.Page) {
	f := e.f
	if f.trust.VerifyPage(writer, page) != nil {
		return
	}
	f.change(func() {
		for i, raw := range page.Entries {
			if at := (place{writer, page.First + int64(i)}); f.wanted[at] {
				f.pages[at] = raw
				delete(f.wanted, at)
			}
		}
	})
}

func (e ears) Targets(channel.Peer, [32]byte, []byte)  {}
func (e ears) Fork(channel.Peer, string, signing.Fork) {}
func (h held) TargetsBytes(hash [32]byte) []byte       { return nil }
