package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"handful/signing"
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

// settle asks the network what it holds, so that an old backup never signs over
// what was published since.
func (p *Publisher) settle(ctx context.Context) error {
	if p.cfg.New {
		return p.settled()
	}
	p.mu.Lock()
	for peer := range p.peers { // those that came before the log was open
		p.channel.AskUpdate(peer, p.writer, p.log.Size())
	}
	p.mu.Unlock()
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
			return failed
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
		return fmt.Errorf("channel %s: %d entries were published, the log here has %d: %w", p.ID(), n.Size, p.log.Size(), ErrBehind)
	}
	if answered {
		if err := p.log.Confirm(); err != nil {
			return err
		}
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
	if errors.Is(err, ErrUnconfirmed) && !answered {
		return fmt.Errorf("channel %s: %w: %w", p.ID(), ErrUnheard, err)
	}
	return err
}

func (p *Publisher) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.news)
	p.news = make(chan struct{})
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
