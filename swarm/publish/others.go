package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"handful/signing"
	"handful/swarm/channel"
)

// catchUpTime is how often entries of other writers that nobody has sent are asked for again.
const catchUpTime = 3 * time.Second

// pagesAtOnce is how many entries of other writers are asked for at a time.
const pagesAtOnce = 4096

// teach tells what this node knows of others what it publishes itself: who may write stands in
// the documents, and the grant of them in the log. The caller holds signing, or is alone.
func (p *Publisher) teach() {
	o, ok := p.docs.(*owned)
	if !ok || p.known == nil || p.log.Head().Raw == nil {
		return
	}
	_, err := p.known.do(func(t *signing.Trusted) (signing.Need, error) {
		for v := int64(1); v <= int64(len(o.now().Roots)); v++ {
			if root := t.Root(); root != nil && root.Version() >= v {
				continue
			}
			if err := t.UpdateRoot(o.rootBytes(v)); err != nil {
				return signing.Need{}, err
			}
		}
		u, err := p.log.UpdateFor(min(t.Size(signing.MainWriter), p.log.Head().Size))
		if err != nil {
			return signing.Need{}, err
		}
		if _, err := t.UpdateHead(signing.MainWriter, u, p.cfg.Now()); err != nil && !errors.Is(err, signing.ErrRollback) {
			return signing.Need{}, err
		}
		if n := t.Wants(); n.Grant > 0 {
			page, err := p.log.Page(n.Grant-1, 1, t.Size(signing.MainWriter))
			if err == nil {
				err = t.UpdateGrant(page)
			}
			if err != nil {
				return signing.Need{}, err
			}
		}
		if n := t.Wants(); n.Targets != [32]byte{} {
			return signing.Need{}, t.UpdateTargets(o.targetsBytes(n.Targets))
		}
		return signing.Need{}, nil
	})
	if err != nil {
		p.cfg.Logger.Warn("what others may write is not known here, and their logs are not kept", "channel", p.ID(), "err", err)
	}
}

// restock opens the copies that are here.
func (p *Publisher) restock() {
	if p.known == nil {
		return
	}
	for _, w := range p.known.others(p.writer) {
		if h, kept, first, entries := p.known.newestOf(w); h.Raw != nil {
			c, err := p.shelf.get(w)
			if c != nil && err == nil {
				_, err = c.take(h, kept, first, entries)
			}
			if err != nil {
				p.cfg.Logger.Warn("the log of another writer is not kept", "channel", p.ID(), "writer", w, "err", err)
			}
		}
	}
}

// writers returns those whose news this node tells and wants.
func (p *Publisher) writers() []string {
	if p.known == nil {
		return []string{signing.MainWriter, p.writer}
	}
	return append(p.known.others(p.writer), p.writer)
}

// Copies returns the logs of other writers that are kept here.
func (p *Publisher) Copies() Copies { return p.shelf.list() }

// CopyOf returns the log of another writer, nil if none of it is here.
func (p *Publisher) CopyOf(writer string) *Copy { return p.shelf.peek(writer) }

// AwaitCopy waits until another writer's log is here up to the newest head that is known of it.
func (p *Publisher) AwaitCopy(ctx context.Context, writer string) (*Copy, error) {
	late := time.NewTimer(grantWait)
	defer late.Stop()
	for {
		p.mu.Lock()
		news := p.news
		p.mu.Unlock()
		c := p.shelf.peek(writer)
		if c != nil && p.known != nil && c.Head().Size == p.known.size(writer) {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-late.C:
			return nil, fmt.Errorf("channel %s: the newest of writer %s did not come: %w", p.ID(), writer, ErrUnheard)
		case <-news:
		}
	}
}

// heardOf takes news of another writer: the copy goes on, and peers are told.
func (p *Publisher) heardOf(peer channel.Peer, writer string, u signing.Update, changed bool) {
	p.copyOf(peer, writer)
	if changed {
		p.channel.Push(writer, u, peer)
	}
}

// copyOf brings the copy of a log to the newest head; what is missing is asked of a peer, 0:
// of one that says that it has it.
func (p *Publisher) copyOf(peer channel.Peer, writer string) {
	h, kept, first, entries := p.known.newestOf(writer)
	if h.Raw == nil {
		return
	}
	c, err := p.shelf.get(writer)
	if c == nil && err == nil {
		return
	}
	var missing int64
	if err == nil {
		missing, err = c.take(h, kept, first, entries)
	}
	p.copied(peer, writer, h, missing, err)
}

// copied asks for what a copy lacks.
func (p *Publisher) copied(peer channel.Peer, writer string, h signing.Head, missing int64, err error) {
	switch {
	case err != nil:
		p.cfg.Logger.Warn("the log of another writer is not kept", "channel", p.ID(), "writer", writer, "err", err)
		return
	case missing < 0:
		p.change(func() {})
		return
	}
	if peer == 0 {
		holders := p.channel.Holders(writer, missing)
		if len(holders) == 0 {
			return
		}
		peer = holders[0]
	}
	p.channel.AskPages(peer, writer, missing, min(h.Size-missing, pagesAtOnce), h.Size)
}

// pageOf takes a page of another writer's log.
func (p *Publisher) pageOf(writer string, page signing.Page) {
	h, kept, _, _ := p.known.newestOf(writer)
	c, err := p.shelf.get(writer)
	if c == nil || err != nil || h.Raw == nil || page.Size != h.Size {
		return
	}
	switch missing, err := c.takePage(h, kept, page); {
	case err != nil:
		p.cfg.Logger.Debug("page refused", "channel", p.ID(), "writer", writer, "err", err)
	case missing < 0:
		p.change(func() {})
	}
}

// catchUp asks again for what nobody has sent, until ctx ends.
func (p *Publisher) catchUp(ctx context.Context) {
	t := time.NewTicker(catchUpTime)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, w := range p.known.others(p.writer) {
			p.copyOf(0, w)
		}
	}
}
