package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/console"
	"handful/swarm/discover"
	"handful/swarm/follow"
	"handful/swarm/mirror"
	"handful/swarm/store"
)

// running is the node of this process and the holder of its state directory.
type running struct {
	offline
	app    *console.App
	node   *swarm.Node
	since  time.Time
	offers listeners

	life     context.Context // ends, by end, when the node closes
	end      context.CancelFunc
	watching sync.WaitGroup

	mu        sync.Mutex
	followers map[signing.ID]*follow.Follower
	channels  map[signing.ID]*followed // of those that are read
	keys      map[signing.ID]*readKeys
	items     map[string]*fetching // by infohash, hex

	subscribing sync.Mutex // one at a time: names are unique
}

// fetching is one torrent in the node.
type fetching struct {
	item  *swarm.Item
	meta  meta // where it was published
	dest  string
	began time.Time
	gone  chan error // has room for why it is no longer seeded

	content   *store.Content // set before item is done
	unsealing sync.Mutex     // one at a time
	path      string         // of what was decrypted; guarded by running.mu
}

// openNode starts a node that holds the state directory, with the options of
// a.Node and the log a.Log.
func openNode(ctx context.Context, a *console.App, stateDir string) (node, error) {
	cfg, err := a.Node.Config(a)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(stateDir, store.Options{Logger: a.Log()})
	if err != nil {
		return nil, err
	}
	r := &running{
		offline: offline{dir: stateDir, store: s}, app: a, since: a.Env.Now(),
		followers: make(map[signing.ID]*follow.Follower),
		keys:      make(map[signing.ID]*readKeys),
		channels:  make(map[signing.ID]*followed),
		items:     make(map[string]*fetching),
	}
	r.life, r.end = context.WithCancel(context.WithoutCancel(ctx))
	cfg.Known = console.LoadKnown(s, cfg.Logger)
	cfg.DHTFile = filepath.Join(stateDir, console.DHTFile)
	cfg.OnOffer = r.offered
	cfg.OnEvent = r.happened
	if r.node, err = swarm.Start(ctx, cfg); err != nil {
		r.end()
		return nil, errors.Join(err, s.Close())
	}
	return r, nil
}

// happened tells the user what a node met. It is called from the node's loop.
func (r *running) happened(ev swarm.Event) {
	if ev.Kind == swarm.EventBanned {
		r.app.Out().Print(console.Warning{Message: fmt.Sprintf("%s sent wrong bytes of piece %d of %s and was dropped", ev.Peer, ev.Piece, ev.Infohash)})
	}
}

// Close stops the node; everything is kept for the next one.
func (r *running) Close() error {
	r.end()
	r.watching.Wait()
	r.silence()
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	for _, f := range r.followers {
		err = errors.Join(err, f.Close())
	}
	return errors.Join(err, console.SaveKnown(r.store, r.node), r.node.Close(), r.store.Close())
}

func (r *running) Listening() console.Listening { return console.ListeningOf(r.node, false) }

// Status adds to what the store remembers what the node moves.
func (r *running) Status(ctx context.Context) (console.Status, []console.Item, error) {
	status, items, err := r.offline.Status(ctx)
	status.Node, status.PID = cmp.Or(r.app.Verb(), "fetch"), os.Getpid()
	status.Addr, status.Since = r.Listening().Addr, r.since.Format(time.RFC3339)
	for i := range items {
		f := r.fetching(items[i].Infohash)
		if f == nil {
			continue
		}
		s := f.item.Snapshot()
		items[i].Moving(s)
		items[i].Uploaded += s.Uploaded
		status.Uploaded += s.Uploaded
		status.Downloaded += s.Received.Total()
		status.Peers += len(s.Peers)
		status.DownRate += int64(s.DownRate)
		status.UpRate += int64(s.UpRate)
	}
	return status, items, err
}

func (r *running) fetching(infohash string) *fetching {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.items[infohash]
}

// Seed waits while a torrent is seeded.
func (r *running) Seed(ctx context.Context, infohash string, stay console.Stay, report func(console.Progress)) error {
	f := r.fetching(infohash)
	if f == nil {
		return fmt.Errorf("%s: %w", infohash, store.ErrNotFound)
	}
	return console.AwaitSeeding(ctx, f.item, stay, f.gone, report)
}

// Fetch returns when everything is verified and under its final name.
func (r *running) Fetch(ctx context.Context, req fetchRequest, report func(console.Progress)) (out fetched, err error) {
	peers, err := console.Resolve(ctx, r.hints(req), r.app.Node.LANOnly)
	if err != nil {
		r.app.Out().Print(console.Warning{Message: err.Error()})
	}
	what, err := r.spec(ctx, req, peers)
	if err != nil || what.entry != nil {
		return fetched{Entry: what.entry}, err
	}
	spec, m := what.spec, what.meta
	r.recall(&spec)
	spec.Peers = append(spec.Peers, peers...)
	spec.Trackers = append(spec.Trackers, req.Trackers...)
	b, err := json.Marshal(m)
	if err != nil {
		return out, err
	}
	spec.Open = func(t *manifest.Torrent) (*store.Content, error) {
		if req.DryRun {
			return nil, &planned{t}
		}
		o := store.DownloadOptions{
			Force: req.Force, Meta: b,
			Progress: func(done, total int64) { report(console.Progress{Stage: "check", Done: done, Total: total}) },
		}
		if m.Sealed && !req.Blind {
			return r.openSealed(ctx, t, req, o)
		}
		if what.attached != nil && !m.Sealed {
			if err := what.attached.Check(t); err != nil {
				return nil, &console.Fault{Code: console.Unverified, Hint: "tell its writer", Err: err}
			}
		}
		return r.store.Download(ctx, t, req.Dest, o)
	}
	f, err := r.start(spec, req, m)
	if err != nil {
		return out, err
	}
	if err := r.await(ctx, f, m, req, report); err != nil {
		if p, ok := errors.AsType[*planned](err); ok {
			return fetched{Plan: p.plan(req)}, errors.Join(ctx.Err(), r.take(f))
		}
		return out, errors.Join(err, r.take(f))
	}
	if m.Sealed && !req.Blind {
		if err := r.unseal(ctx, f, req.Force, report); err != nil {
			return out, errors.Join(err, r.take(f))
		}
	}
	if req.Channel != nil {
		r.mu.Lock()
		channel := r.followers[req.Channel.ID]
		r.mu.Unlock()
		r.watchWithdrawal(channel, f, spec.Name)
	}
	return r.done(f), nil
}

// recall takes the metainfo from the store, where it is that which was signed: what was
// fetched before needs nobody to send it.
func (r *running) recall(spec *swarm.Spec) {
	if spec.Torrent != nil || spec.InfoSum == nil {
		return
	}
	if t, err := r.store.Torrent([20]byte(spec.Infohash)); err == nil && t.InfoSum() == *spec.InfoSum {
		spec.Torrent = t
	}
}

// planned is the error that ends a dry run.
type planned struct{ t *manifest.Torrent }

func (p *planned) Error() string { return "dry run" }

func (p *planned) plan(req fetchRequest) *console.Plan {
	plan := console.PlanOf("fetch", p.t)
	plan.Path = filepath.Join(req.Dest, p.t.Name)
	return &plan
}

// hints returns the peers that the user and the link name.
func (r *running) hints(req fetchRequest) []string {
	words := req.Peers
	switch {
	case req.Channel != nil:
		words = append(words, req.Channel.Peers...)
	case req.Magnet != nil:
		words = append(words, req.Magnet.Peers...)
	}
	return words
}

// resolved is what a link names.
type resolved struct {
	spec     swarm.Spec
	meta     meta
	entry    *console.Entry     // set when it has no content
	attached *manifest.Attached // of a post: what its content must be
}

// spec finds out which torrent a link means.
func (r *running) spec(ctx context.Context, req fetchRequest, peers []netip.AddrPort) (resolved, error) {
	var spec swarm.Spec
	switch {
	case req.Channel != nil:
		return r.resolve(ctx, req, peers)
	case req.Magnet != nil:
		mg := req.Magnet
		spec = swarm.Spec{Infohash: swarm.Infohash(mg.WireHash()), Name: mg.Name, Trackers: mg.Trackers, WebSeeds: slices.Concat(mg.WebSeeds, req.WebSeeds)}
		if mg.HasV2 {
			sum := mg.InfoHashV2
			spec.InfoSum = &sum
		}
	case req.Torrent != nil:
		spec = swarm.Spec{Torrent: req.Torrent, Name: req.Torrent.Name, WebSeeds: slices.Concat(req.Torrent.WebSeeds, req.WebSeeds)}
	}
	r.app.Out().Print(console.Note{Message: "unsigned: nobody vouches for this torrent, it is checked against its own hashes only"})
	return resolved{spec: spec}, nil
}

// resolve asks a channel what its entry is. The text of a post with files is reported.
func (r *running) resolve(ctx context.Context, req fetchRequest, peers []netip.AddrPort) (out resolved, err error) {
	l := req.Channel
	if req.Blind {
		if err := r.private(l.ID); err != nil {
			return out, err
		}
	}
	link := withWeb(*l, req.Peering)
	f, err := r.follower(link, peers, slices.Concat(l.Trackers, req.Trackers))
	if err != nil {
		return out, err
	}
	found, err := r.find(ctx, f, req)
	if err != nil {
		return out, err
	}
	if found.Sealed != nil {
		k, err := r.keysOf(l.ID)
		if err == nil {
			err = r.locked(found, req, k)
		}
		if err != nil {
			return out, err
		}
	}
	if found.State != signing.StateFresh && !req.Told {
		r.app.Out().Print(console.Warning{Message: fmt.Sprintf("channel %s is %s: its newest news was signed %s", l.ID, found.State, found.Signed.Format(time.RFC3339))})
	}
	spec, ok := found.Spec()
	if !ok {
		out.entry = entryOf(l.ID, found)
		return out, nil
	}
	if p, isPost := found.Entry.(manifest.Post); isPost {
		out.attached = p.Attached
		if !req.Told && !req.DryRun {
			r.app.Out().Print(*entryOf(l.ID, found))
		}
	}
	spec.Trackers = l.Trackers
	spec.Peers = f.Addrs()
	addMirrors(&spec, link)
	link.Writer, link.Index = found.Writer, found.Index
	link.ReadKey = "" // it is kept elsewhere
	out.spec = spec
	out.meta = meta{Channel: l.ID.String(), Writer: found.Writer, Index: found.Index, After: found.After, Link: link.String(), Sealed: found.Sealed != nil}
	return out, nil
}

// find waits for the entry that a link names.
func (r *running) find(ctx context.Context, f *follow.Follower, req fetchRequest) (follow.Found, error) {
	ctx, cancel := patient(ctx, req.Timeout)
	defer cancel()
	found, err := f.Find(ctx, req.Channel.Writer, req.Channel.Index)
	switch {
	case errors.Is(err, follow.ErrWithdrawn), errors.Is(err, follow.ErrNoEntry):
		return found, &console.Fault{Code: console.NotFound, Hint: "ask the publisher for another link", Err: err}
	}
	return found, err
}

// patient returns a context that ends when nothing has come for so long; 0: never.
func patient(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, &console.Fault{
		Code: console.NotFound,
		Hint: "name a peer with --peer HOST:PORT, check that the publisher runs, or wait longer with --timeout",
		Err:  fmt.Errorf("nothing after %s: %w", console.Span(timeout), console.ErrNoProgress),
	})
}

// follower returns the running follower of a channel.
func (r *running) follower(l signing.Link, peers []netip.AddrPort, trackers []string) (*follow.Follower, error) {
	id := l.ID
	keys, err := r.keysOf(id)
	if err == nil {
		err = keys.give(l.ReadKey)
	}
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.followers[id]; f != nil {
		f.AddPeers(peers...)
		if err := f.AddMirrors(l.WebSeeds...); err != nil {
			r.app.Out().Print(console.Warning{Message: err.Error()})
		}
		return f, nil
	}
	f, err := follow.Open(follow.Config{
		Node: r.node, Dir: filepath.Join(r.dir, "trust"), ID: id, Peers: peers, Trackers: trackers,
		DHTKey: l.ItemKey(), Private: keys.isPrivate(), Keys: keys, Mirrors: l.WebSeeds,
		Logger: r.app.Log(), Now: r.app.Env.Now,
	})
	if err != nil {
		return nil, err
	}
	r.followers[id] = f
	r.offers.add(func(o discover.Offer, from netip.AddrPort, _ string) { f.Hear(o, from) })
	return f, nil
}

// withWeb returns a link that names the web servers of a command too.
func withWeb(l signing.Link, with console.Peering) signing.Link {
	l.WebSeeds = slices.Concat(l.WebSeeds, with.WebSeeds)
	return l
}

// addMirrors lets a torrent of a channel come from the web servers of its link: from a
// mirror's files, or, where there is no mirror, from files that stand right there.
func addMirrors(spec *swarm.Spec, l signing.Link) {
	for _, s := range l.WebSeeds {
		base, err := mirror.ParseBase(s)
		if err != nil {
			continue // the follower has said so
		}
		spec.WebTorrents = append(spec.WebTorrents, base+mirror.TorrentPath(l.ID, spec.Infohash))
		spec.WebSeeds = append(spec.WebSeeds, base+mirror.FilesPath(l.ID, spec.Infohash), base)
	}
}

// entryOf shows an entry that is no torrent.
func entryOf(id signing.ID, f follow.Found) *console.Entry {
	e := &console.Entry{
		Channel: id.String(), Writer: f.Writer, Index: f.Index, Kind: f.Entry.Kind(),
		Time: time.UnixMilli(f.Entry.Header().Time).Format(time.RFC3339), State: f.State.String(),
	}
	if p, ok := f.Entry.(manifest.Post); ok {
		e.Title, e.Text = p.Title, p.Body
	}
	return e
}

// heldError: the node has the torrent for another directory.
type heldError struct{ infohash, dest string }

func (e *heldError) Error() string {
	return fmt.Sprintf("%s is already being fetched or seeded in %s", e.infohash, e.dest)
}

// start puts the torrent into the node, or joins the one that is there.
func (r *running) start(spec swarm.Spec, req fetchRequest, m meta) (*fetching, error) {
	if spec.Torrent != nil {
		spec.Infohash = swarm.Infohash(spec.Torrent.InfoHash())
	}
	hash := spec.Infohash.String()
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.items[hash]; f != nil {
		if !samePath(f.dest, req.Dest) {
			return nil, &console.Fault{Code: console.Failed, Err: &heldError{hash, f.dest}, Hint: "copy it from there, or use another --state-dir"}
		}
		f.item.AddPeers(spec.Peers...)
		return f, nil
	}
	f := &fetching{meta: m, dest: req.Dest, began: r.app.Env.Now(), gone: make(chan error, 1)}
	open := spec.Open
	spec.Open = func(t *manifest.Torrent) (c *store.Content, err error) {
		c, err = open(t)
		f.content = c
		return c, err
	}
	var err error
	if f.item, err = r.node.Add(spec); err != nil {
		return nil, err
	}
	r.items[hash] = f
	return f, nil
}

// await waits for the content, and stops when the publisher withdraws it.
func (r *running) await(ctx context.Context, f *fetching, m meta, req fetchRequest, report func(console.Progress)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if req.Channel != nil {
		r.mu.Lock()
		channel := r.followers[req.Channel.ID]
		r.mu.Unlock()
		go func() {
			if err := channel.Withdrawn(ctx, m.Writer, m.Index, m.After); err != nil {
				cancel(&console.Fault{Code: console.NotFound, Hint: "ask the publisher for another link", Err: err})
			}
		}()
	}
	return console.AwaitItem(ctx, f.item, req.Timeout, r.app.Env.Now, report)
}

// take removes a torrent that failed or was given up; what is on disk stays.
func (r *running) take(f *fetching) error {
	r.mu.Lock()
	delete(r.items, f.item.Infohash().String())
	r.mu.Unlock()
	return f.item.Remove()
}

func (r *running) done(f *fetching) fetched {
	s := f.item.Snapshot()
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.path != "" {
		s.Path = f.path
	}
	return fetched{
		Infohash: s.Infohash.String(),
		Done: &console.Done{
			Path: s.Path, Bytes: s.Bytes, Seconds: r.app.Env.Now().Sub(f.began).Seconds(), Verified: true,
			Received: console.ReceivedOf(s), Wasted: s.Wasted, Uploaded: s.Uploaded,
		},
	}
}
