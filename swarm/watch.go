package swarm

import (
	"context"
	"errors"
	"time"

	"handful/swarm/store"
)

// The sources of a seed are looked at every sourceCheck, but no longer than for
// 1/sourceShare of the time: a tree of very many files, or on a slow disk, is
// looked at less often.
const (
	sourceCheck = 5 * time.Second
	sourceShare = 200
)

// watchSource waits until the content on disk is no longer what was verified. The
// store notices it when a peer asks for what changed; what nobody asks for is
// found by looking.
func (it *Item) watchSource(ctx context.Context) error {
	look := time.NewTimer(sourceCheck)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-it.content.Changed():
			return it.changed(err)
		case <-look.C:
		}
		began := it.node.cfg.Now()
		err := it.content.CheckSources(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrChanged):
			return it.changed(err)
		case err != nil:
			it.node.log.Warn("the files that are seeded cannot be looked at", "torrent", it.hash, "err", err)
		}
		look.Reset(max(sourceCheck, sourceShare*it.node.cfg.Now().Sub(began)))
	}
}

// changed withdraws the item from its peers.
func (it *Item) changed(err error) error {
	it.node.eng.drop(it)
	it.node.mail.post(func() { it.node.emit(Event{Kind: EventChanged, Infohash: it.hash, Err: err}) })
	return err
}
