package mainline

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// When a kept item is put.
const (
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

// Keep puts an item now, but not within a minute of the last time, and again after 2
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
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	wait := firstPut
	for {
		n.mu.Lock()
		it := k.item
		k.fresh = false
		n.mu.Unlock()
		s, err := n.Put(ctx, it, PutOptions{})
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
	sleep:
		for {
			n.mu.Lock()
			fresh := k.fresh
			n.mu.Unlock()
			if fresh {
				wait = firstPut
				timer.Reset(max(0, minPut-n.now().Sub(put)))
			}
			select {
			case <-ctx.Done():
				return
			case <-k.wake:
			case <-timer.C:
				break sleep
			}
		}
	}
}
