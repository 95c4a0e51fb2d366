package follow

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"maps"
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

// Bounds of one channel in the DHT, whatever its documents say.
const (
	itemsAtOnce  = 32 // of other writers, asked for at a time
	itemsKept    = 64 // put again; of all channels the node keeps 256
	keysOfWriter = 4  // of which any may have signed the item
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

// address is where an item stands: under whose key, and with what salt.
type address struct {
	key  [ed25519.PublicKeySize]byte
	salt string
}

// rootKey returns the channel's key in the DHT, nil when it is not known. The root document
// knows better than a link.
func (f *Follower) rootKey() ed25519.PublicKey {
	if root := f.trust.Root(); root != nil {
		return root.DHTKey()
	}
	return f.cfg.DHTKey
}

// items returns the addresses of the channel's items that can be known: of the root document,
// of the main writer, and of the others whom the targets document in force names.
func (f *Follower) items() (all []address) {
	add := func(key ed25519.PublicKey, salt string) {
		if len(key) == ed25519.PublicKeySize {
			all = append(all, address{[ed25519.PublicKeySize]byte(key), salt})
		}
	}
	add(f.rootKey(), channel.RootSalt)
	add(f.rootKey(), signing.MainWriter)
	targets := f.trust.Targets()
	if targets == nil {
		return all
	}
	for _, name := range targets.Writers() {
		w, err := targets.Writer(name)
		if err != nil || f.trust.Closed(name) {
			continue
		}
		for _, k := range w.Role.Keys[:min(len(w.Role.Keys), keysOfWriter)] {
			add(k.Ed25519(), name)
		}
	}
	return all
}

// itemWatch is what is asked of the DHT about one channel, and what is kept there. It belongs
// to the goroutine of watchItems.
type itemWatch struct {
	f      *Follower
	d      *mainline.Node
	looked map[address]bool
	turn   int
	kept   map[address]bool
	// early are items of writers of whom nothing was believed yet: whether they are the newest
	// is known after the first contact.
	early map[address]mainline.Item
}

// watchItems asks the DHT for the channel's items again and again, until ctx ends, and for
// those of newer documents at once.
func (f *Follower) watchItems(ctx context.Context, d *mainline.Node) {
	w := &itemWatch{f: f, d: d, looked: make(map[address]bool), kept: make(map[address]bool), early: make(map[address]mainline.Item)}
	defer w.drop(func(address) bool { return true })
	wait := firstLook
	timer, met := time.NewTimer(0), time.NewTimer(0)
	defer timer.Stop()
	defer met.Stop()
	for {
		var all bool
		select {
		case <-ctx.Done():
			return
		case <-met.C:
			w.settle()
			continue
		case <-timer.C:
			timer.Reset(wait)
			wait, all = min(2*wait, lastLook), true
		case <-f.rekeyed:
		}
		if f.Private() {
			return
		}
		items := f.items()
		gone := func(a address) bool { return !slices.Contains(items, a) }
		w.drop(gone)
		maps.DeleteFunc(w.looked, func(a address, _ bool) bool { return gone(a) })
		for _, a := range w.due(items, all) {
			w.look(ctx, a)
		}
		if len(w.early) > 0 {
			met.Reset(listenTime + time.Second)
		}
	}
}

// due returns what is asked for now: at its time all, but of many writers only some, and others
// the next time; else what was not asked for before.
func (w *itemWatch) due(items []address, all bool) (due []address) {
	if !all {
		items = slices.DeleteFunc(items, func(a address) bool { return w.looked[a] })
	}
	own := func(a address) bool { return bytes.Equal(a.key[:], w.f.rootKey()) }
	var others []address
	for _, a := range items {
		if own(a) {
			due = append(due, a)
		} else {
			others = append(others, a)
		}
	}
	n := min(len(others), itemsAtOnce)
	for i := range n {
		due = append(due, others[(w.turn+i)%len(others)])
	}
	w.turn += n
	return due
}

// drop ends keeping alive the items that are meant.
func (w *itemWatch) drop(meant func(address) bool) {
	for a := range w.kept {
		if meant(a) {
			w.d.Drop(mainline.Target(a.key, []byte(a.salt)))
			delete(w.kept, a)
		}
	}
}

// look asks for an item, and keeps it alive from now on if it is the newest.
func (w *itemWatch) look(ctx context.Context, a address) {
	f := w.f
	w.looked[a] = true
	take := func(it mainline.Item) { f.writerItem(a.salt, it) }
	if a.salt == channel.RootSalt && bytes.Equal(a.key[:], f.rootKey()) {
		take = f.rootItem
	}
	it, ok := f.get(ctx, w.d, a.key[:], a.salt, take)
	switch {
	case !ok:
	case f.isNewest(a, it):
		w.keep(a, it)
	case a.salt != channel.RootSalt && f.trust.Head(a.salt).Raw == nil:
		w.early[a] = it
	}
}

// settle keeps what the first contact has shown to be the newest.
func (w *itemWatch) settle() {
	for a, it := range w.early {
		if w.f.isNewest(a, it) {
			w.keep(a, it)
		}
	}
	clear(w.early)
}

// keep keeps an item alive, as far as one channel may.
func (w *itemWatch) keep(a address, it mainline.Item) {
	if (w.kept[a] || len(w.kept) < itemsKept) && w.d.Keep(it) == nil {
		w.kept[a] = true
	}
}

// isNewest reports whether an item says what is believed.
func (f *Follower) isNewest(a address, it mainline.Item) bool {
	if a.salt == channel.RootSalt && bytes.Equal(a.key[:], f.rootKey()) {
		raw, err := channel.UnpackRoot(it.Value)
		return err == nil && f.newestRoot(raw)
	}
	u, err := signing.ParseUpdate(it.Value)
	return err == nil && bytes.Equal(f.trust.Head(a.salt).Raw, u.Head)
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
