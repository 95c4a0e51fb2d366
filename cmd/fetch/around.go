package main

import (
	"context"
	"slices"
	"strings"

	"handful/swarm/console"
)

// around is who is in the swarm of the channel.
func (c *followed) around() console.Around {
	who := c.follower.Around()
	return console.Around{Channel: c.follower.ID().String(), Name: c.info.Name, Writers: append([]string{}, who.Writers...), Others: who.Others}
}

// Around tells who is in the swarms of the channels that are followed, by their names.
func (r *running) Around() (all []console.Around) {
	r.mu.Lock()
	for _, c := range r.channels {
		if !c.over() {
			all = append(all, c.around())
		}
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b console.Around) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// tellAround reports who is around whenever that has changed, until ctx ends; with Once, one
// time when settled is closed.
func (r *running) tellAround(ctx context.Context, c *followed, req followRequest, settled <-chan struct{}, report func(console.Line)) {
	select {
	case <-ctx.Done():
		return
	case <-settled:
	}
	var before console.Around
	for first := true; ; first = false {
		news := c.follower.Changed()
		if now := c.around(); first || now.Others != before.Others || !slices.Equal(now.Writers, before.Writers) {
			report(now)
			before = now
		}
		if req.Once {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c.ended:
			return
		case <-news:
		}
	}
}
