package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"handful/signing"
	"handful/swarm/channel"
)

// How long a publisher waits for the network's word on what it published before:
// for a first peer, and for the answer of one that is there.
const (
	askAlone    = time.Second
	askAnswered = 3 * time.Second
)

var (
	// ErrUnheard: nobody could be asked what was published before, and the log does
	// not know it itself.
	ErrUnheard = errors.New("no peer of the channel could be asked what was published before")
	// ErrNotGranted: the documents of the channel, as far as they are known here, do not
	// name this writer with this key.
	ErrNotGranted = errors.New("the channel's documents do not name this writer's key")
)

// granted tells whether the documents name this writer and its key.
func (p *Publisher) granted() error {
	if p.cfg.Guest == nil {
		return nil
	}
	root, targets := p.docs.newest()
	if root == nil || targets == nil {
		return fmt.Errorf("channel %s: writer %s: %w: they are not known here yet", p.ID(), p.writer, ErrNotGranted)
	}
	c := LogConfig{Root: root, Targets: targets, Writer: p.writer, Key: p.cfg.Guest.Key}
	if err := c.check(); err != nil {
		return fmt.Errorf("channel %s: writer %s: %w (version %d)", p.ID(), p.writer, ErrNotGranted, targets.Version())
	}
	return nil
}

// await waits for the documents that name this writer.
func (p *Publisher) await(ctx context.Context) error {
	late := time.NewTimer(grantWait)
	defer late.Stop()
	for {
		p.mu.Lock()
		news := p.news
		p.mu.Unlock()
		err := p.granted()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-late.C:
			return err
		case <-news:
		}
	}
}

// grantWait is how long a delegated writer waits for documents that name it.
const grantWait = 10 * time.Second

// ask asks peers for the newest head of this writer that they know. Who holds less than the
// log here must answer too, since it may be something else: so it asks as a stranger.
func (p *Publisher) ask(peers []channel.Peer) {
	for _, peer := range peers {
		p.channel.AskUpdateWithin(peer, p.writer, 0, channel.Introduction)
	}
}

// settle asks the network what it holds, so that an old backup never signs over
// what was published since. What it cannot mend here and now, a fork, or entries that nobody
// gives, is left to [Publisher.Failed] and keeps Publish from signing.
func (p *Publisher) settle(ctx context.Context) error {
	if p.cfg.New {
		return p.settled()
	}
	p.mu.Lock()
	peers := slices.Collect(maps.Keys(p.peers)) // those that came before the log was open
	p.mu.Unlock()
	p.ask(peers)
	alone := time.NewTimer(askAlone)
	defer alone.Stop()
	late := time.NewTimer(askAnswered)
	defer late.Stop()
	asking := true
	for asking {
		p.mu.Lock()
		answered, peers, failed, news := p.answered, len(p.peers), p.failed, p.news
		p.mu.Unlock()
		if failed != nil {
			return nil // known, and said to whoever wants to publish
		}
		if answered && p.log.Network().Raw == nil {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		case <-alone.C:
			asking = peers > 0
		case <-late.C:
			asking = false
		}
	}
	return p.settled()
}

func (p *Publisher) settled() error {
	p.mu.Lock()
	answered := p.answered
	p.mu.Unlock()
	if n := p.log.Network(); n.Raw != nil {
		p.fail(fmt.Errorf("channel %s: %d entries were published, the log here has %d: %w", p.ID(), n.Size, p.log.Size(), ErrBehind))
		return nil
	}
	if !answered && p.log.Unconfirmed() {
		p.fail(fmt.Errorf("channel %s: %w: %w", p.ID(), ErrUnheard, ErrUnconfirmed))
		return nil
	}
	p.signing.Lock()
	defer p.signing.Unlock()
	before := p.log.Head().Size
	err := p.regrant()
	switch {
	case err != nil:
	case !p.log.Unsigned() && p.log.Head().Raw != nil:
		p.offer()
		p.point()
	case p.log.Size() > 0:
		err = p.sign(before)
	}
	if errors.Is(err, ErrCosign) {
		p.cfg.Logger.Warn("the newest is not published yet", "channel", p.ID(), "err", err)
		return nil // it is tried again
	}
	return err
}

// Confirm takes the owner's word that nothing but what the log here has stands, since a base
// that was made just now has withdrawn all else: nobody needs to be asked.
func (p *Publisher) Confirm() error {
	if b, ok := p.log.Base(); !ok || p.log.Size() != b.Size {
		return nil // there is more, or a base that the log has to be caught up with
	}
	if err := p.log.Confirm(); err != nil {
		return err
	}
	p.change(func() { p.failed = nil })
	return nil
}

// heard notes that a peer has said what it holds of this writer. When all of it is in the log,
// what kept this writer from publishing is over.
func (p *Publisher) heard() {
	if p.log.Network().Raw != nil {
		p.change(func() { p.answered = true })
		return
	}
	if err := p.log.Confirm(); err != nil {
		p.fail(err)
		return
	}
	p.change(func() {
		p.answered = true
		if !errors.Is(p.failed, signing.ErrFork) {
			p.failed = nil
		}
	})
}

func (p *Publisher) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.news)
	p.news = make(chan struct{})
}

// Answered reports whether a peer has said what it holds of this writer.
func (p *Publisher) Answered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answered
}

// Failed returns why this writer can publish no more, or nil.
func (p *Publisher) Failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// fail notes that this writer can publish no more.
func (p *Publisher) fail(err error) {
	if errors.Is(err, signing.ErrFork) {
		p.cfg.Logger.Error("this writer has signed two histories", "channel", p.ID(), "err", err)
	}
	p.change(func() { p.failed = err })
}
