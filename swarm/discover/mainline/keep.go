package mainline

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// When a kept item is put.
const (
	gather   = time.Second // after which several that came in a row are one
	minPut   = time.Minute // between two puts of one item
	firstPut = 2 * time.Minute
	lastPut  = time.Hour // items are forgotten after two
	maxKept  = 256
)

// ErrTooMany means that the node keeps or announces as much as it can.
var ErrTooMany = errors.New("too many")

// keeping is an item that is put again and again. Its fields are guarded by Node.mu.
type keeping struct {
	item   Item
	fresh  bool // not put yet
	cancel context.CancelFunc
	wake   chan struct{}
}

// Keep puts an item in a second, but not within a minute of the last time, and again after 2
// minutes, 4, 8, and so on up to an hour, whoever signed it. It takes the place of an
// older one under the same key and salt; when the network has a newer one, that is kept
// instead. An item that is not newer than the one that is kept is passed over.
func (n *Node) Keep(it Item) error {
	if err := it.Check(); err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	target := it.Target()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	if k := n.kept[target]; k != nil {
		if it.Seq <= k.item.Seq {
			return nil
		}
		k.item, k.fresh = it, true
		select {
		case k.wake <- struct{}{}:
		default:
		}
		return nil
	}
	if len(n.kept) >= maxKept {
		return fmt.Errorf("keep an item in the DHT: %w: %d are kept", ErrTooMany, maxKept)
	}
	ctx, cancel := context.WithCancel(n.ctx)
	k := &keeping{item: it, fresh: true, cancel: cancel, wake: make(chan struct{}, 1)}
	n.kept[target] = k
	n.work.Go(func() { n.keep(ctx, k) })
	return nil
}

// Keeps reports whether an item of that target is kept.
func (n *Node) Keeps(target [20]byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.kept[target] != nil
}

// Drop ends what Keep began. The network forgets the item after two hours, unless others
// keep it.
func (n *Node) Drop(target [20]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k := n.kept[target]; k != nil {
		k.cancel()
		delete(n.kept, target)
	}
}

func (n *Node) keep(ctx context.Context, k *keeping) {
	defer k.cancel()
	timer := time.NewTimer(gather)
	defer timer.Stop()
	wait := firstPut
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		done, err := n.start(ctx, n.spare)
		if err != nil {
			return
		}
		n.mu.Lock()
		it := k.item // the newest, however long the network was not reached
		k.fresh = false
		n.mu.Unlock()
		s, err := n.put(ctx, it, PutOptions{})
		done()
		put := n.now()
		if ctx.Err() != nil {
			return
		}
		switch {
		case s.Newer != nil:
			n.mu.Lock()
			if s.Newer.Seq > k.item.Seq {
				k.item = *s.Newer
			}
			n.mu.Unlock()
		case err != nil:
			n.log.Debug("item not put into the DHT", "target", name(it.Target()), "seq", it.Seq, "err", err)
		}
		timer.Reset(n.spread(wait))
		wait = min(2*wait, lastPut)
		if !n.rest(ctx, k, timer) {
			wait = firstPut
			timer.Reset(max(gather, minPut-n.now().Sub(put)))
		}
	}
}

// rest waits until the timer is about to fire, or reports false when another item has come
// before.
func (n *Node) rest(ctx context.Context, k *keeping, timer *time.Timer) bool {
	for {
		n.mu.Lock()
		fresh := k.fresh
		n.mu.Unlock()
		if fresh {
			return false
		}
		select {
		case <-ctx.Done():
			return true
		case <-k.wake:
		case <-timer.C:
			timer.Reset(0)
			return true
		}
	}
}
