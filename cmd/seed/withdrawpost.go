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

// withdrawPost withdraws a post of a channel, which a link or an index names. The entry
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
	post, ok := entry.(manifest.Post)
	if !ok {
		return out, fmt.Errorf("withdraw %q: entry %d is no post but %q, and nothing of it is here: %w", which, index, entry.Kind(), store.ErrNotFound)
	}
	del := manifest.Delete{Head: manifest.Header{Time: r.app.Env.Now().UnixMilli()}, Index: index, Reason: reason}
	by, err := p.Publish(del.Bytes())
	if err != nil {
		return out, err
	}
	if post.Attached != nil {
		if err := r.releaseAttached(p, post.Attached); err != nil {
			return out, err
		}
	}
	link := signing.Link{ID: id, Writer: signing.MainWriter, Index: index}
	return console.Withdrawn{Link: link.String(), Name: firstLine(post.Title, post.Body), Index: by, Reason: reason}, nil
}

// releaseAttached stops seeding what was attached to a post, unless another entry names it:
// what is remembered of it may be of that one.
func (r *running) releaseAttached(p *publish.Publisher, a *manifest.Attached) error {
	rec, ok, err := r.store.Record(a.InfoHash())
	if !ok || err != nil || rec.InfoSum != a.InfoSum {
		return err
	}
	return r.release(p, rec)
}
