package publish

import (
	"errors"
	"net/netip"

	"handful/signing"
	"handful/swarm/channel"
)

// source is what followers can ask: of the own log, of documents, and of others what is kept
// of their logs, or what is known.
type source struct{ p *Publisher }

// own reports whether a writer is this one, whose log is there.
func (s source) own(writer string) bool { return writer == s.p.writer && s.p.isOpen() }

func (s source) UpdateFor(writer string, size int64) (signing.Update, bool) {
	return s.UpdateWithin(writer, size, signing.MaxUpdate)
}

func (s source) RootBytes(version int64) []byte { return s.p.docs.rootBytes(version) }

func (s source) TargetsBytes(hash [32]byte) []byte { return s.p.docs.targetsBytes(hash) }

func (s source) Page(writer string, first, count, size int64) (signing.Page, bool) {
	if s.own(writer) {
		page, err := s.p.log.Page(first, count, size)
		return page, err == nil
	}
	if c := s.p.shelf.peek(writer); c != nil {
		if page, err := c.Page(first, count, size); err == nil {
			return page, true
		}
	}
	if s.p.known == nil {
		return signing.Page{}, false
	}
	return s.p.known.page(writer, first, count, size)
}

func (s source) Range(writer string, size int64) ([][32]byte, bool) {
	if s.own(writer) {
		r, err := s.p.log.Range(size)
		return r, err == nil
	}
	if c := s.p.shelf.peek(writer); c != nil {
		if r, err := c.Range(size); err == nil {
			return r, true
		}
	}
	if s.p.known == nil {
		return nil, false
	}
	return s.p.known.ranges(writer, size)
}

// sink hears what the network holds of this publisher's own; what is of others, and
// documents, go to whoever learns.
type sink struct{ p *Publisher }

// learner returns what takes news of others, or nil.
func (s sink) learner() *learned {
	l, _ := s.p.docs.(*learned)
	return l
}

func (s sink) Joined(peer channel.Peer, _ netip.AddrPort) {
	p := s.p
	<-p.ready // a peer may be there before Join has returned; this is the first that is heard of it
	p.change(func() { p.peers[peer] = true })
	if p.isOpen() {
		p.ask([]channel.Peer{peer})
	}
	if s.learner() != nil {
		s.ask(peer, signing.MainWriter, s.learner().needs())
	}
	if p.known == nil {
		return
	}
	for _, w := range p.known.others(p.writer) {
		p.channel.AskUpdateWithin(peer, w, p.known.size(w), channel.Introduction)
	}
}

func (s sink) Left(peer channel.Peer) { s.p.change(func() { delete(s.p.peers, peer) }) }

func (s sink) Update(peer channel.Peer, writer string, u signing.Update) {
	p := s.p
	if !(source{p}).own(writer) {
		if p.known == nil || writer == p.writer {
			return
		}
		var changed bool
		s.learn(peer, writer, func() (need signing.Need, err error) {
			changed, need, err = p.known.update(writer, u, p.cfg.Now())
			return need, err
		})
		p.heardOf(peer, writer, u, changed)
		return
	}
	s.newer(peer, u.Root)
	switch err := p.log.ObserveHead(u.Head); {
	case err == nil:
		p.heard()
	case errors.Is(err, ErrBehind):
		p.heard()
		p.channel.AskPage(peer, writer, p.log.CatchUpFrom(), p.log.Network().Size)
	case errors.Is(err, signing.ErrFork):
		p.fail(err)
	default:
		p.cfg.Logger.Debug("update refused", "channel", p.ID(), "err", err)
	}
}

func (s sink) Page(peer channel.Peer, writer string, page signing.Page) {
	p := s.p
	if !(source{p}).own(writer) {
		if l := s.learner(); l != nil && writer == signing.MainWriter {
			s.learn(peer, writer, func() (signing.Need, error) { return l.grant(page) })
		}
		if p.known != nil && writer != p.writer {
			p.pageOf(writer, page)
		}
		return
	}
	if p.log.Network().Raw == nil {
		return
	}
	displaced, err := p.log.CatchUp(page)
	for _, e := range displaced {
		// Never signed, so nobody has seen it: it goes behind what was published.
		p.cfg.Logger.Warn("an entry that was never signed is in the way and is published again", "channel", p.ID())
		defer func() {
			if _, err := p.append(e); err != nil {
				p.change(func() { p.failed = err })
			}
		}()
	}
	switch {
	case err != nil && errors.Is(err, signing.ErrFork):
		p.fail(err)
	case err == nil && p.log.Network().Raw != nil:
		p.channel.AskPage(peer, writer, p.log.CatchUpFrom(), p.log.Network().Size)
	case err == nil:
		p.heard()
	}
}

// newer asks for the next root document when a peer knows of one.
func (s sink) newer(peer channel.Peer, version int64) {
	if s.learner() == nil && s.p.cfg.Newer != nil && version > s.p.Root().Version() {
		s.p.channel.AskRoot(peer, s.p.Root().Version()+1)
	}
}

func (s sink) Root(peer channel.Peer, _ int64, raw []byte) {
	if l := s.learner(); l != nil {
		s.learn(peer, signing.MainWriter, func() (signing.Need, error) { return l.root(raw) })
		return
	}
	if s.p.cfg.Newer == nil {
		return
	}
	if _, err := s.p.Root().Next(raw); err != nil {
		s.p.cfg.Logger.Debug("root document refused", "channel", s.p.ID(), "err", err)
		return
	}
	go s.p.cfg.Newer(raw)
}

func (s sink) Targets(peer channel.Peer, _ [32]byte, raw []byte) {
	if l := s.learner(); l != nil {
		s.learn(peer, signing.MainWriter, func() (signing.Need, error) { return l.targets(raw) })
	}
}

func (s sink) Range(peer channel.Peer, writer string, size int64, hashes [][32]byte) {
	p := s.p
	if p.known == nil || writer == p.writer {
		return
	}
	s.learn(peer, writer, func() (signing.Need, error) { return p.known.rangeOf(writer, size, hashes, p.cfg.Now()) })
	p.copyOf(peer, writer)
}

// Fork takes the proof that this writer has signed two histories.
func (s sink) Fork(_ channel.Peer, writer string, f signing.Fork) {
	p := s.p
	if !(source{p}).own(writer) {
		return
	}
	for _, raw := range [][]byte{f.A, f.B} {
		if err := p.log.ObserveHead(raw); errors.Is(err, signing.ErrFork) {
			p.fail(err)
		}
	}
}

// learn runs what takes news of a writer, asks for what they need, and follows the documents
// if these have changed.
func (s sink) learn(peer channel.Peer, writer string, take func() (signing.Need, error)) {
	p, l := s.p, s.p.known
	was := l.version()
	need, err := take()
	if err != nil {
		p.cfg.Logger.Debug("news of the channel refused", "channel", p.ID(), "writer", writer, "err", err)
	}
	if s.learner() != nil && l.version() != was {
		p.change(func() {})
		if p.secret() {
			p.channel.Unlist()
		}
		if p.isOpen() {
			go p.follow() // it may wait for a Publish, and this goroutine must not
		}
		if need == (signing.Need{}) {
			need = l.needs() // a document may be what made the next one known
		}
		for _, w := range l.others(p.writer) { // they may be believed now
			if w != signing.MainWriter {
				p.channel.AskUpdateWithin(peer, w, l.size(w), channel.Introduction)
			}
		}
	}
	s.ask(peer, writer, need)
}

// ask asks for what is needed to judge news of a writer: documents from everybody, the rest
// from one peer.
func (s sink) ask(peer channel.Peer, writer string, n signing.Need) {
	c := s.p.channel
	everybody := func(f func(channel.Peer)) {
		for _, q := range c.Peers() {
			f(q)
		}
	}
	switch {
	case n == signing.Need{}:
	case n.Root > 0:
		everybody(func(q channel.Peer) { c.AskRoot(q, n.Root) })
	case n.Range:
		c.AskRange(peer, writer, n.Size)
	case n.Update:
		c.AskUpdate(peer, writer, n.Size)
	case n.Grant > 0:
		size := s.p.known.size(signing.MainWriter)
		everybody(func(q channel.Peer) { c.AskPage(q, signing.MainWriter, n.Grant-1, size) })
	case n.Targets != [32]byte{}:
		everybody(func(q channel.Peer) { c.AskTargets(q, n.Targets) })
	}
}

// adopt has the log follow the newest documents. The caller holds signing.
func (p *Publisher) adopt() error {
	root, targets := p.docs.newest()
	return p.log.Adopt(root, targets, p.cfg.Guest.Key)
}

// follow goes over to newer documents that a delegated writer has learned of.
func (p *Publisher) follow() {
	p.signing.Lock()
	defer p.signing.Unlock()
	if p.Private() {
		p.unpoint()
	}
	if root, targets := p.docs.newest(); root == nil || targets == nil {
		return // after a base, until the writers are granted again
	}
	if err := p.granted(); err != nil {
		p.cfg.Logger.Error("this writer may publish no more", "channel", p.ID(), "writer", p.writer, "err", err)
		p.change(func() { p.failed = err })
		p.unpoint()
		return
	}
	p.wake()
	err := p.adopt()
	if err == nil && p.log.Size() > 0 {
		if err = p.sign(p.log.Head().Size); err == nil {
			err = p.tell()
		}
	}
	if err != nil {
		p.cfg.Logger.Error("newer documents could not be followed", "channel", p.ID(), "writer", p.writer, "err", err)
	}
}
