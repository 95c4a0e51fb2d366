package publish

import (
	"errors"
	"net/netip"

	"handful/signing"
	"handful/swarm/channel"
)

// source is what followers can ask: of the own log, and of documents, and of others what a
// delegated writer has learned.
type source struct{ p *Publisher }

// own reports whether a writer is this one, whose log is there.
func (s source) own(writer string) bool { return writer == s.p.writer && s.p.isOpen() }

func (s source) UpdateFor(writer string, size int64) (signing.Update, bool) {
	if !s.own(writer) {
		return s.p.docs.updateFor(writer, size)
	}
	u, err := s.p.log.UpdateFor(size)
	return u, err == nil
}

func (s source) RootBytes(version int64) []byte { return s.p.docs.rootBytes(version) }

func (s source) TargetsBytes(hash [32]byte) []byte { return s.p.docs.targetsBytes(hash) }

func (s source) Page(writer string, first, count, size int64) (signing.Page, bool) {
	if !s.own(writer) {
		return s.p.docs.page(writer, first, count, size)
	}
	page, err := s.p.log.Page(first, count, size)
	return page, err == nil
}

func (s source) Range(writer string, size int64) ([][32]byte, bool) {
	if !s.own(writer) {
		return s.p.docs.ranges(writer, size)
	}
	r, err := s.p.log.Range(size)
	return r, err == nil
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
		s.ask(peer, s.learner().needs())
	}
}

func (s sink) Left(peer channel.Peer) { s.p.change(func() { delete(s.p.peers, peer) }) }

func (s sink) Update(peer channel.Peer, writer string, u signing.Update) {
	p := s.p
	if !(source{p}).own(writer) {
		if l := s.learner(); l != nil {
			s.learn(peer, func() (signing.Need, error) { return l.update(writer, u, p.cfg.Now()) })
		}
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
			s.learn(peer, func() (signing.Need, error) { return l.grant(page) })
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
		s.learn(peer, func() (signing.Need, error) { return l.root(raw) })
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
		s.learn(peer, func() (signing.Need, error) { return l.targets(raw) })
	}
}

func (s sink) Range(peer channel.Peer, writer string, size int64, hashes [][32]byte) {
	if l := s.learner(); l != nil && writer != s.p.writer {
		s.learn(peer, func() (signing.Need, error) { return l.rangeOf(writer, size, hashes, s.p.cfg.Now()) })
	}
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

// learn runs what takes news of others, asks for what they need, and follows the documents
// if these have changed.
func (s sink) learn(peer channel.Peer, take func() (signing.Need, error)) {
	p, l := s.p, s.learner()
	was := l.version()
	need, err := take()
	if err != nil {
		p.cfg.Logger.Debug("news of the channel refused", "channel", p.ID(), "err", err)
	}
	if l.version() != was {
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
	}
	s.ask(peer, need)
}

// ask asks for what is needed: documents from everybody, the rest from one peer.
func (s sink) ask(peer channel.Peer, n signing.Need) {
	c := s.p.channel
	everybody := func(f func(channel.Peer)) {
		for _, q := range c.Peers() {
			f(q)
		}
	}
	size := s.p.docs.size(signing.MainWriter)
	switch {
	case n.Root > 0:
		everybody(func(q channel.Peer) { c.AskRoot(q, n.Root) })
	case n.Range:
		c.AskRange(peer, signing.MainWriter, n.Size)
	case n.Update:
		c.AskUpdate(peer, signing.MainWriter, n.Size)
	case n.Grant > 0:
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
	if root, targets := p.docs.newest(); root == nil || targets == nil {
		return // after a base, until the writers are granted again
	}
	if err := p.granted(); err != nil {
		p.cfg.Logger.Error("this writer may publish no more", "channel", p.ID(), "writer", p.writer, "err", err)
		p.change(func() { p.failed = err })
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
