package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/channel"
	"handful/swarm/discover/mainline"
)

// askPointer is how long the DHT is asked at the start for the newest that was published.
const askPointer = time.Minute

// pointerDepth is how many of the newest entries are looked at for one that a BEP 46 client
// can fetch.
const pointerDepth = 16

// dht returns where the items are kept, nil for nowhere.
func (p *Publisher) dht() *mainline.Node {
	if p.Private() || p.itemKey() == nil {
		return nil
	}
	return p.cfg.Node.DHT()
}

// itemKey returns the key that signs this writer's item, nil when it is not here: the
// channel's DHT key for the main writer, and of a delegated one its own.
func (p *Publisher) itemKey() ed25519.PrivateKey {
	if o, ok := p.docs.(*owned); ok {
		return o.now().DHT
	}
	return p.cfg.Guest.Key
}

// Private reports whether the channel asks not to be announced in public, or that is not
// known yet.
func (p *Publisher) Private() bool { return p.Root() == nil || p.secret() }

// secret reports whether the channel is known to ask not to be announced in public.
func (p *Publisher) secret() bool {
	root := p.Root()
	return root != nil && root.Private()
}

// point puts the newest into the DHT. That it cannot is no error: there are other ways. The
// caller holds signing.
func (p *Publisher) point() {
	d := p.dht()
	if d == nil {
		return
	}
	head := p.log.Head()
	value, ok := channel.ItemValue(func(limit int) (signing.Update, bool) {
		u, err := p.log.UpdateWithin(0, limit)
		return u, err == nil
	}, p.pointer())
	if ok {
		// Two heads of one second: the seq of an item must be higher than that of the one
		// before, while a second more or less misleads nobody.
		p.seq = max(p.seq+1, head.Time.Unix())
		p.keep(d, p.writer, p.seq, value)
	}
	if p.writer != signing.MainWriter {
		return
	}
	root := p.Root()
	if value, ok := channel.PackRoot(root.Bytes()); ok {
		p.keep(d, channel.RootSalt, root.Version(), value)
	}
}

func (p *Publisher) keep(d *mainline.Node, salt string, seq int64, value []byte) {
	it, err := mainline.Sign(p.itemKey(), []byte(salt), seq, value)
	if err == nil {
		err = d.Keep(it)
	}
	switch {
	case err == nil:
		p.mu.Lock()
		p.kept[it.Target()] = true
		p.mu.Unlock()
	case !errors.Is(err, mainline.ErrClosed):
		p.cfg.Logger.Debug("not put into the DHT", "channel", p.ID(), "salt", salt, "err", err)
	}
}

// pointer returns the infohash of the newest entry that can be fetched, nil if there is none.
func (p *Publisher) pointer() []byte {
	gone := make(map[int64]bool)
	last := p.log.Size() - 1
	for i := last; i >= 0 && i > last-pointerDepth; i-- {
		raw, err := p.log.Entry(i)
		if err != nil {
			return nil
		}
		entry, err := manifest.ParseEntry(raw)
		if err != nil {
			continue // of a later version
		}
		switch e := entry.(type) {
		case manifest.Delete:
			gone[e.Index] = true
		case manifest.Media:
			if ih := e.InfoHash(); !gone[i] {
				return ih[:]
			}
		case manifest.Release:
			if ih := e.InfoHash(); !gone[i] {
				return ih[:]
			}
		}
	}
	return nil
}

// hear asks the DHT what was published before. An item may be an old one that somebody puts
// again, so it confirms nothing; but a head that this log does not contain stops it.
func (p *Publisher) hear(ctx context.Context) {
	d := p.dht()
	if d == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askPointer)
	defer cancel()
	_, err := d.Get(ctx, p.itemKey().Public().(ed25519.PublicKey), []byte(p.writer), func(it mainline.Item) {
		u, err := signing.ParseUpdate(it.Value)
		if err != nil {
			return
		}
		switch err := p.log.ObserveHead(u.Head); {
		case errors.Is(err, signing.ErrFork):
			p.fail(err)
		case errors.Is(err, ErrBehind):
			p.cfg.Logger.Warn("more was published than the log here has", "channel", p.ID(), "err", err)
			p.change(func() {})
		}
	})
	if err != nil {
		p.cfg.Logger.Debug("the DHT does not tell what was published before", "channel", p.ID(), "err", err)
	}
}

// unpoint ends keeping the items alive; others may go on.
func (p *Publisher) unpoint() {
	d := p.cfg.Node.DHT()
	if d == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for target := range p.kept {
		d.Drop(target)
	}
	clear(p.kept)
}
