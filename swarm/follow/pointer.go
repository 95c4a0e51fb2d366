package follow

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"time"

	"handful/signing"
	"handful/swarm/channel"
	"handful/swarm/discover/mainline"
)

// How often the DHT is asked for news: it is where a channel is found, not where it lives.
const (
	firstLook = 2 * time.Minute
	lastLook  = 30 * time.Minute
	lookTime  = time.Minute // for each item
)

// nobody is the peer that news from the DHT come from: none that can be asked.
const nobody channel.Peer = 0

// Private reports whether the channel asks not to be announced in public, as far as that
// is known.
func (f *Follower) Private() bool {
	if root := f.trust.Root(); root != nil {
		return root.Private()
	}
	return f.cfg.Private
}

// itemKey returns the key of the channel's items in the DHT, nil when it is not known, or
// when nobody may be asked. The root document knows better than a link.
func (f *Follower) itemKey() ed25519.PublicKey {
	switch root := f.trust.Root(); {
	case f.Private():
		return nil
	case root != nil:
		return root.DHTKey()
	default:
		return f.cfg.DHTKey
	}
}

// watchItems asks the DHT for the channel's items again and again, until ctx ends.
func (f *Follower) watchItems(ctx context.Context, d *mainline.Node) {
	var kept [][20]byte
	defer func() {
		for _, target := range kept {
			d.Drop(target)
		}
	}()
	wait, rooted := firstLook, f.rooted
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(wait)
			wait = min(2*wait, lastLook)
		case <-rooted:
			rooted = nil // once
		}
		if f.Private() {
			return
		}
		key := f.itemKey()
		if len(key) != ed25519.PublicKeySize {
			continue
		}
		for _, target := range f.lookOnce(ctx, d, key) {
			if !slices.Contains(kept, target) {
				kept = append(kept, target)
			}
		}
	}
}

// lookOnce asks for the item of each writer, and before that for the root document if it is
// missing. It returns what is kept alive from now on: what was found to be the newest.
func (f *Follower) lookOnce(ctx context.Context, d *mainline.Node, key ed25519.PublicKey) (kept [][20]byte) {
	keep := func(it mainline.Item) {
		if d.Keep(it) == nil {
			kept = append(kept, it.Target())
		}
	}
	if it, ok := f.get(ctx, d, key, channel.RootSalt, f.rootItem); ok {
		if raw, err := channel.UnpackRoot(it.Value); err == nil && f.newestRoot(raw) {
			keep(it)
		}
	}
	for _, w := range f.Writers() {
		if w == channel.RootSalt {
			continue
		}
		it, ok := f.get(ctx, d, key, w, func(it mainline.Item) { f.writerItem(w, it) })
		if !ok {
			continue
		}
		if u, err := signing.ParseUpdate(it.Value); err == nil && bytes.Equal(f.trust.Head(w).Raw, u.Head) {
			keep(it)
		}
	}
	return kept
}

func (f *Follower) get(ctx context.Context, d *mainline.Node, key ed25519.PublicKey, salt string, better func(mainline.Item)) (mainline.Item, bool) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	found, err := d.Get(ctx, key, []byte(salt), better)
	if err != nil && !errors.Is(err, mainline.ErrNotFound) && ctx.Err() == nil {
		f.cfg.Logger.Debug("the DHT was not asked", "channel", f.cfg.ID, "salt", salt, "err", err)
	}
	return found.Item, err == nil
}

// rootItem takes the root document of an item.
func (f *Follower) rootItem(it mainline.Item) {
	raw, err := channel.UnpackRoot(it.Value)
	if err != nil || f.newestRoot(raw) {
		return
	}
	ears{f}.Root(nobody, 0, raw)
}

func (f *Follower) newestRoot(raw []byte) bool {
	root := f.trust.Root()
	return root != nil && bytes.Equal(root.Bytes(), raw)
}

// writerItem takes the update of an item.
func (f *Follower) writerItem(writer string, it mainline.Item) {
	if u, err := signing.ParseUpdate(it.Value); err == nil {
		ears{f}.Update(nobody, writer, u)
	}
}
