package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"handful/swarm/console"
)

const (
	defaultJobs = 4
	maxJobs     = 1000
)

// many is several links being fetched by one command.
type many struct {
	app   *console.App
	node  node
	links []string
	all   []fetchRequest // one a link

	mu     sync.Mutex // guards what follows
	moving []console.Progress
	hashes []string // of what was fetched
	first  error    // first failure
	failed int
}

// fetchMany fetches all links, at most jobs at a time, in their order, and seeds what it fetched as long as it should. A
// link that fails is a warning, and the others go on.
func fetchMany(ctx context.Context, a *console.App, n node, links []string, all []fetchRequest, jobs int, stay console.Stay) error {
	m := &many{app: a, node: n, links: links, all: all, moving: make([]console.Progress, len(all))}
	out := a.Out()
	out.Print(n.Listening())
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(jobs, len(all)) {
		workers.Go(func() {
			for i := range next {
				m.fetch(ctx, i)
			}
		})
	}
	for i := 0; i < len(all) && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(m.seed(ctx, stay), m.verdict())
}

// fetch one of the links.
func (m *many) fetch(ctx context.Context, i int) {
	out := m.app.Out()
	got, err := m.node.Fetch(ctx, m.all[i], func(p console.Progress) { out.Print(m.progress(i, p)) })
	if ctx.Err() != nil {
		return // whoever stopped it knows why
	}
	m.ended(i, got, err)
	if err != nil {
		// What follows # is a secret.
		link, _, _ := strings.Cut(m.links[i], "#")
		out.Print(console.Warning{Message: fmt.Sprintf("%s was not fetched: %v", link, err), Hint: console.Hint(err)})
		return
	}
	out.Print(got.line())
}

// ended keeps how one of the links ended.
func (m *many) ended(i int, got fetched, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &m.moving[i]
	p.DownRate, p.UpRate, p.Peers = 0, 0, 0
	switch {
	case err != nil:
		m.failed++
		if m.first == nil {
			m.first = err
		}
	case got.Done != nil:
		p.Done, p.Total = got.Done.Bytes, got.Done.Bytes
		m.hashes = append(m.hashes, got.Infohash)
	}
}

// progress returns that of all together, after news of one.
func (m *many) progress(i int, p console.Progress) console.Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.moving[i] = p
	var sum console.Progress
	for _, p := range m.moving {
		sum.Done += p.Done
		sum.Total += p.Total
		sum.DownRate += p.DownRate
		sum.UpRate += p.UpRate
		sum.Peers += p.Peers
	}
	return sum
}

// seed stays as long as it should, for each of what was fetched.
func (m *many) seed(ctx context.Context, stay console.Stay) error {
	out := m.app.Out()
	switch {
	case len(m.hashes) == 0:
		return nil
	case m.app.Env.Held != nil && m.app.Env.Held.Verb == "serve":
		out.Print(console.Seeding{Node: true})
		return nil
	case stay.For == 0:
		return nil
	}
	out.Print(console.Seeding{Until: m.app.Until(stay.For), Ratio: stay.Ratio})
	if stay.Ratio == 0 { // nothing to watch, of however many
		select {
		case <-time.After(stay.For):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	errs := make([]error, len(m.hashes))
	var all sync.WaitGroup
	for i, hash := range m.hashes {
		all.Go(func() { errs[i] = m.node.Seed(ctx, hash, stay, func(console.Progress) {}) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(errs...)
}

// verdict is nil if all links were fetched.
func (m *many) verdict() error {
	switch m.failed {
	case 0:
		return nil
	case len(m.all):
		return &console.Fault{Code: console.Code(m.first), Message: fmt.Sprintf("none of %d links was fetched; the first", m.failed), Hint: console.Hint(m.first), Err: m.first}
	}
	return &console.Fault{Code: console.Partly, Message: fmt.Sprintf("%d of %d links were not fetched", m.failed, len(m.all)),
		Hint: "the same command tries them again; what is there already is not fetched twice"}
}
