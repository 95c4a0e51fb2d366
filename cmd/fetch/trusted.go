package main

import (
	"context"

	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/follow"
)

// asked returns the follower of the channel that a request names.
func (r *running) asked(ctx context.Context, req fetchRequest) (*follow.Follower, error) {
	peers, err := console.Resolve(ctx, r.hints(req), r.app.Node.LANOnly)
	if err != nil {
		r.app.Out().Print(console.Warning{Message: err.Error()})
	}
	return r.follower(*req.Channel, peers, append(req.Channel.Trackers, req.Trackers...))
}

// Ask asks peers for what is newest in a channel. From then on this node follows it.
func (r *running) Ask(ctx context.Context, req fetchRequest) error {
	f, err := r.asked(ctx, req)
	if err != nil {
		return err
	}
	waiting, cancel := patient(ctx, req.Timeout)
	defer cancel()
	if err := f.Settle(waiting); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Prove makes the proof of an entry.
func (r *running) Prove(ctx context.Context, req fetchRequest) (signing.Proof, error) {
	f, err := r.asked(ctx, req)
	if err != nil {
		return signing.Proof{}, err
	}
	ctx, cancel := patient(ctx, req.Timeout)
	defer cancel()
	found, err := r.find(ctx, f, req)
	if err != nil {
		return signing.Proof{}, err
	}
	return f.Prove(ctx, found.Writer, found.Index)
}

// Known is what is believed of a channel, by its follower if there is one.
func (r *running) Known(ctx context.Context, id signing.ID) (known, error) {
	r.mu.Lock()
	f := r.followers[id]
	r.mu.Unlock()
	if f == nil {
		return r.offline.Known(ctx, id)
	}
	return known{trust: f.Trust(), writers: f.Writers(), standing: f.StandingAt}, nil
}
