package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/console"
	"handful/swarm/publish"
	"handful/swarm/store"
)

// withdrawPost withdraws an entry of a channel, which a link or an index names, and of which
// nothing is remembered as its own: a post, or what another entry publishes too. The entry
// stays in the log: that it was withdrawn is for everyone to see.
func (r *running) withdrawPost(ctx context.Context, channel, which, reason string) (out console.Withdrawn, err error) {
	nothing := fmt.Errorf("withdraw %q: nothing like that was published: %w", which, store.ErrNotFound)
	index, err := strconv.ParseInt(which, 10, 64)
	var id signing.ID
	if l, linked := signing.ParseLink(which); linked == nil {
		id, index = l.ID, l.Index
		if l.Writer != signing.MainWriter {
			return out, nothing
		}
	} else if err != nil {
		return out, nothing
	} else if id, err = findChannel(r.dir, channel); errors.Is(err, keyfile.ErrNotFound) {
		return out, nothing
	} else if err != nil {
		return out, err
	}
	r.publishing.Lock()
	defer r.publishing.Unlock()
	p, err := r.publisher(ctx, id, console.Peering{}, false)
	if errors.Is(err, keyfile.ErrNotFound) || err == nil && (index < 0 || index >= p.Log().Size()) {
		return out, nothing
	}
	if err != nil {
		return out, err
	}
	raw, err := p.Log().Entry(index)
	if err != nil {
		return out, err
	}
	entry, err := r.sealer(id).open(raw)
	if err != nil {
		return out, fmt.Errorf("entry %d: %w", index, err)
	}
	name := ""
	switch e := entry.(type) {
	case manifest.Post:
		name = firstLine(e.Title, e.Body)
	case manifest.Media:
		name = e.Name
	default:
		return out, fmt.Errorf("withdraw %q: entry %d is no post but %q: %w", which, index, entry.Kind(), store.ErrNotFound)
	}
	if err := notWithdrawn(p.Log(), index); err != nil {
		return out, err
	}
	del := manifest.Delete{Head: manifest.Header{Time: r.app.Env.Now().UnixMilli()}, Index: index, Reason: reason}
	by, err := p.Publish(del.Bytes())
	if err != nil {
		return out, err
	}
	if n, ok := manifest.NamedBy(entry); ok {
		if err := r.releaseNamed(ctx, p, n); err != nil {
			return out, err
		}
	}
	link := signing.Link{ID: id, Writer: signing.MainWriter, Index: index}
	return console.Withdrawn{Link: link.String(), Name: name, Index: by, Reason: reason}, nil
}

// notWithdrawn returns nil unless an entry is withdrawn already.
func notWithdrawn(log *publish.Log, index int64) error {
	gone, err := isWithdrawn(log, index)
	if err == nil && gone {
		err = fmt.Errorf("withdraw entry %d: it is withdrawn already: %w", index, store.ErrNotFound)
	}
	return err
}

// releaseNamed stops seeding what a withdrawn entry named, unless another one names it: what
// is remembered of it may be of that one.
func (r *running) releaseNamed(ctx context.Context, p *publish.Publisher, n manifest.Named) error {
	rec, ok, err := r.store.Record(n.InfoHash())
	if !ok || err != nil || rec.InfoSum != n.InfoSum {
		return err
	}
	return r.release(ctx, p, rec)
}
