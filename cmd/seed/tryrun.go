package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/console"
	"handful/swarm/follow"
	"handful/swarm/store"
)

// tryRun is one run of `seed try`.
type tryRun struct {
	app    *console.App
	dir    string
	stay   console.Stay
	report func(console.Line)
	origin *running
	link   signing.Link
	began  time.Time

	mu    sync.Mutex // guards what follows, and report
	items []*swarm.Item
	down  []*tryPeer
	total int64
}

// tryPeer is one peer of the run: a node with a store of its own.
type tryPeer struct {
	number   int
	node     *swarm.Node
	store    *store.Store
	follower *follow.Follower
}

func (p *tryPeer) close() error {
	var err error
	if p.follower != nil {
		err = p.follower.Close()
	}
	return errors.Join(err, p.node.Close(), p.store.Close())
}

// runTry publishes path from a node of its own and fetches it with peers others,
// all on loopback, each with a state directory below dir and host sharing off: as
// on machines of their own, by their machine ids. It reports progress, and a
// TryPeer for every peer that has verified everything, and returns when all have,
// with Bytes, Origin and Seconds set.
func runTry(ctx context.Context, a *console.App, dir, path string, peers int, stay console.Stay, report func(console.Line)) (out console.TryTotal, err error) {
	r := &tryRun{app: a, dir: dir, stay: stay, report: report}
	if err := r.publish(ctx, path); err != nil {
		return out, err
	}
	defer func() {
		for _, p := range r.down {
			err = errors.Join(err, p.close())
		}
		err = errors.Join(err, r.origin.Close())
	}()
	r.began = a.Env.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range peers {
		wg.Go(func() {
			if err := r.peer(ctx, i+1); err != nil {
				cancel(fmt.Errorf("peer %d: %w", i+1, err))
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return out, err
	}
	out.Bytes, out.Seconds = r.total, a.Env.Now().Sub(r.began).Seconds()
	for _, it := range r.origin.items {
		out.Origin += it.Snapshot().Uploaded
	}
	return out, nil
}

func (r *tryRun) config(name string) swarm.Config {
	return swarm.Config{
		Listen: "127.0.0.1:0", Isolated: true, MachineID: name,
		Logger: r.app.Log(), Now: r.app.Env.Now,
	}
}

// publish starts the origin and publishes path there, as `seed publish` does.
func (r *tryRun) publish(ctx context.Context, path string) error {
	dir := filepath.Join(r.dir, "origin")
	s, err := store.Open(dir, store.Options{Logger: r.app.Log()})
	if err != nil {
		return err
	}
	n, err := swarm.Start(ctx, r.config("origin"))
	if err != nil {
		return errors.Join(err, s.Close())
	}
	r.origin = newRunning(r.app, dir, s, n)
	out, err := r.origin.Publish(ctx, publishRequest{Paths: []string{path}, Channel: defaultChannel}, func(p console.Progress) { r.report(p) })
	if err == nil {
		r.total = out.Bytes
		r.link, err = signing.ParseLink(out.Link)
	}
	if err != nil {
		return errors.Join(err, r.origin.Close())
	}
	return nil
}

// peer starts a peer that knows the link alone, and waits until it has verified
// everything.
func (r *tryRun) peer(ctx context.Context, number int) error {
	name := fmt.Sprintf("peer-%d", number)
	p, err := r.start(ctx, number, name)
	if err != nil {
		return err
	}
	var hints []netip.AddrPort
	for _, s := range r.link.Peers {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			hints = append(hints, ap)
		}
	}
	p.follower, err = follow.Open(follow.Config{
		Node: p.node, Dir: filepath.Join(r.dir, name, "trust"), ID: r.link.ID, Peers: hints,
		Logger: r.app.Log(), Now: r.app.Env.Now,
	})
	if err != nil {
		return err
	}
	found, err := r.find(ctx, p)
	if err != nil {
		return err
	}
	spec, ok := found.Spec()
	if !ok {
		return fmt.Errorf("entry %d has no content", found.Index)
	}
	spec.Peers = hints
	spec.Open = func(t *manifest.Torrent) (*store.Content, error) {
		return p.store.Download(ctx, t, filepath.Join(r.dir, name, "got"), store.DownloadOptions{})
	}
	it, err := p.node.Add(spec)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.items = append(r.items, it)
	r.mu.Unlock()
	if err := console.AwaitItem(ctx, it, r.stay.Timeout, r.app.Env.Now, func(console.Progress) { r.progress() }); err != nil {
		return err
	}
	r.row(number, it.Snapshot())
	return nil
}

func (r *tryRun) find(ctx context.Context, p *tryPeer) (follow.Found, error) {
	if r.stay.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.stay.Timeout)
		defer cancel()
	}
	return p.follower.Find(ctx, r.link.Writer, r.link.Index)
}

func (r *tryRun) start(ctx context.Context, number int, name string) (*tryPeer, error) {
	s, err := store.Open(filepath.Join(r.dir, name), store.Options{Logger: r.app.Log()})
	if err != nil {
		return nil, err
	}
	n, err := swarm.Start(ctx, r.config(name))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	p := &tryPeer{number: number, node: n, store: s}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = append(r.down, p)
	return p, nil
}

// progress reports how far all peers are together.
func (r *tryRun) progress() {
	r.mu.Lock()
	items := append([]*swarm.Item(nil), r.items...)
	r.mu.Unlock()
	var sum console.Progress
	for _, it := range items {
		p := console.ProgressOf(it.Snapshot())
		sum.Done += p.Done
		sum.Total += r.total
		sum.DownRate += p.DownRate
		sum.UpRate += p.UpRate
		sum.Peers++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report(sum)
}

func (r *tryRun) row(number int, s swarm.ItemSnapshot) {
	row := console.TryPeer{
		Peer: number, Bytes: s.Bytes, Seconds: r.app.Env.Now().Sub(r.began).Seconds(),
		Verified: s.State == swarm.StateSeeding && s.Err == nil,
		Received: console.ReceivedOf(s), Wasted: s.Wasted, Uploaded: s.Uploaded,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report(row)
}
