package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/channel"
	"handful/swarm/console"
	"handful/swarm/publish"
	"handful/swarm/store"
)

// running is the node of this process and the holder of its state directory.
type running struct {
	offline
	app   *console.App
	node  *swarm.Node
	since time.Time

	mu         sync.Mutex
	publishers map[signing.ID]*publish.Publisher
	sealers    map[signing.ID]*sealer // of private channels whose publisher was opened
	items      map[string]*swarm.Item // by infohash, hex
	contents   map[string]*store.Content
	publishing sync.Mutex // one at a time: two of the same must not race
	editing    sync.Mutex // of documents: one command at a time
	opening    sync.Mutex // of publishers: one at a time, for the same reason
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
	cfg.Tracker = true
	cfg.Known = console.LoadKnown(s, cfg.Logger)
	cfg.DHTFile = filepath.Join(stateDir, console.DHTFile)
	n, err := swarm.Start(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return newRunning(a, stateDir, s, n), nil
}

func newRunning(a *console.App, stateDir string, s *store.Store, n *swarm.Node) *running {
	return &running{
		offline: offline{dir: stateDir, store: s}, app: a, node: n, since: a.Env.Now(),
		publishers: make(map[signing.ID]*publish.Publisher),
		sealers:    make(map[signing.ID]*sealer),
		items:      make(map[string]*swarm.Item),
		contents:   make(map[string]*store.Content),
	}
}

// Close stops the node; everything is kept for the next one.
func (r *running) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	for _, p := range r.publishers {
		err = errors.Join(err, p.Close())
	}
	return errors.Join(err, console.SaveKnown(r.store, r.node), r.node.Close(), r.store.Close())
}

func (r *running) Listening() console.Listening { return console.ListeningOf(r.node, true) }

// Status adds to what the store remembers what the node moves.
func (r *running) Status(ctx context.Context) (console.Status, []console.Item, error) {
	status, items, err := r.offline.Status(ctx)
	status.Node, status.PID = cmp.Or(r.app.Verb(), "publish"), os.Getpid()
	l := r.Listening()
	status.Addr, status.Tracker, status.Since = l.Addr, l.Tracker, r.since.Format(time.RFC3339)
	for i := range items {
		it := r.item(items[i].Infohash)
		if it == nil {
			continue
		}
		s := it.Snapshot()
		items[i].Moving(s)
		items[i].Uploaded += s.Uploaded
		status.Uploaded += s.Uploaded
		status.Peers += len(s.Peers)
		status.DownRate += int64(s.DownRate)
		status.UpRate += int64(s.UpRate)
	}
	return status, items, err
}

// Granted tells to whom the pieces of an item were granted.
func (r *running) Granted(infohash string) []console.Granted {
	it := r.item(infohash)
	if it == nil {
		return nil
	}
	return console.GrantedOf(infohash, it.Granted())
}

// Around tells who is in the swarm of a channel.
func (r *running) Around(id signing.ID) (who channel.Around, ok bool) {
	r.mu.Lock()
	p := r.publishers[id]
	r.mu.Unlock()
	if p == nil {
		return who, false
	}
	return p.Around(), true
}

func (r *running) item(infohash string) *swarm.Item {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.items[infohash]
}

// Seed waits while a torrent is seeded.
func (r *running) Seed(ctx context.Context, infohash string, stay console.Stay, report func(console.Progress)) error {
	it := r.item(infohash)
	if it == nil {
		return fmt.Errorf("%s: %w", infohash, store.ErrNotFound)
	}
	return console.AwaitSeeding(ctx, it, stay, nil, report)
}

// Serve seeds everything that was published.
func (r *running) Serve(ctx context.Context, with console.Peering, report func(console.Line)) error {
	records, err := r.store.Load()
	if err != nil {
		report(console.Warning{Message: err.Error()})
	}
	served := make(map[string][]*servedItem) // by channel
	for _, rec := range records {
		it, err := r.serveOne(ctx, rec)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			report(console.Warning{Message: fmt.Sprintf("%s is not seeded: %v", rec.Name, err)})
		}
		if it != nil {
			served[it.meta.Channel] = append(served[it.meta.Channel], it)
		}
	}
	ids, _, err := channelsHere(r.dir)
	if err != nil {
		return err
	}
	for _, id := range ids {
		p, err := r.publisher(ctx, id, with, false)
		if err != nil {
			report(console.Warning{Message: fmt.Sprintf("channel %s is not served: %v", id, err)})
			continue
		}
		if err := p.Failed(); err != nil {
			report(console.Warning{Message: fmt.Sprintf("nothing can be published in channel %s: %v", id, err), Hint: "see seed help repair"})
		}
		for _, it := range served[id.String()] {
			if err := r.mend(p.Log(), it); err != nil {
				report(console.Warning{Message: fmt.Sprintf("%s: %v", it.rec.Name, err)})
			}
		}
	}
	return r.watch(ctx, report)
}

// watch reports what moves, and what is no longer seeded.
func (r *running) watch(ctx context.Context, report func(console.Line)) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	told := make(map[string]bool)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
		var sum console.Progress
		snap := r.node.Snapshot()
		for _, s := range snap.Items {
			sum.Done += s.Done
			sum.Total += s.Bytes
			sum.UpRate += int64(s.UpRate)
			sum.DownRate += int64(s.DownRate)
			sum.Peers += len(s.Peers)
			if h := s.Infohash.String(); s.Err != nil && !told[h] {
				told[h] = true
				report(console.Warning{Message: fmt.Sprintf("%s is no longer seeded: %v", s.Name, s.Err)})
			}
		}
		report(sum)
	}
}

func (r *running) add(hash string, spec swarm.Spec) error {
	it, err := r.node.Add(spec)
	if err != nil {
		return errors.Join(err, spec.Content.Close())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items[hash], r.contents[hash] = it, spec.Content
	return nil
}

// publisher returns the running publisher of a channel.
func (r *running) publisher(ctx context.Context, id signing.ID, with console.Peering, fresh bool) (*publish.Publisher, error) {
	r.opening.Lock()
	defer r.opening.Unlock()
	r.mu.Lock()
	p := r.publishers[id]
	r.mu.Unlock()
	if p != nil {
		return p, nil
	}
	cfg := publish.Config{
		Node: r.node, Trackers: with.Trackers, Copies: copiesDir(r.dir, id), Logger: r.app.Log(), Now: r.app.Env.Now,
		Hidden: r.app.Node.Hidden,
	}
	var used func() error
	var sealer *sealer
	var err error
	b, err := openBookOf(r.dir, id)
	switch {
	case err == nil:
		if err := b.needKeys(); err != nil {
			return nil, err
		}
		if err := b.renew(r.app.Env.Now()); err != nil {
			return nil, err
		}
		cfg.Newer = func(raw []byte) { r.newer(id, raw) }
		if cfg.Cosigners, err = cosigners(r.dir, id); err != nil {
			return nil, err
		}
		cfg.Keys, cfg.Dir, cfg.New = b.keys, logDir(r.dir, id, signing.MainWriter), fresh || b.keys.New
		used = func() error {
			_, err := b.keys.Used(keysDir(r.dir))
			return err
		}
	case errors.Is(err, keyfile.ErrNotFound):
		g, gerr := openGuest(r.dir, id)
		if errors.Is(gerr, fs.ErrNotExist) {
			return nil, err
		}
		if gerr != nil {
			return nil, gerr
		}
		with.Peers = append(slices.Clone(with.Peers), g.link.Peers...)
		cfg.Trackers = append(slices.Clone(with.Trackers), g.link.Trackers...)
		cfg.Guest = &publish.Guest{ID: id, Writer: g.name, Key: g.key, File: filepath.Join(g.dir, "documents")}
		cfg.Dir, cfg.New = logDir(r.dir, id, g.name), g.new
		used, sealer = g.used, r.guestSealer(g)
	default:
		return nil, err
	}
	if cfg.Peers, err = r.resolve(ctx, with); err != nil {
		return nil, err
	}
	if cfg.Keys != nil {
		if sealer, err = r.sealerOf(cfg.Keys); err != nil {
			return nil, err
		}
	}
	cfg.Seal = sealer.sealing()
	if p, err = publish.Open(ctx, cfg); err != nil {
		return nil, err
	}
	sealer.use(p)
	if err := used(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.publishers[id] = p
	return p, nil
}

// newer takes over a root document that was made elsewhere: by who else holds root keys, or
// on another machine of the same owner.
func (r *running) newer(id signing.ID, raw []byte) {
	log := r.app.Log()
	defer r.Exclusive()()
	b, err := openBookOf(r.dir, id)
	if err == nil {
		err = b.needKeys()
	}
	if err == nil {
		var doc *signing.Root
		if doc, err = signing.ParseRoot(raw); err == nil {
			b.keys, err = b.keys.Next(keysDir(r.dir), raw, b.next.named(doc)...)
		}
	}
	if err == nil {
		_, err = r.Reload(context.Background(), id)
	}
	if err != nil {
		log.Error("a newer root document of the channel is known, and cannot be followed", "channel", id, "err", err)
		return
	}
	log.Warn("a newer root document of the channel was made elsewhere and is in force", "channel", id, "version", b.keys.Newest().Version())
}

// Exclusive lets one command at a time edit documents.
func (r *running) Exclusive() func() {
	r.editing.Lock()
	return r.editing.Unlock
}

// Reload goes over to the newer documents of a channel: followers are told at once.
func (r *running) Reload(ctx context.Context, id signing.ID) (told bool, err error) {
	keys, err := keyfile.Open(keysDir(r.dir), id)
	if err != nil || keys.Online == nil {
		return false, err
	}
	r.mu.Lock()
	p := r.publishers[id]
	r.mu.Unlock()
	if p == nil {
		// It may be opening just now, with the documents before.
		if p, err = r.publisher(ctx, id, console.Peering{}, false); err != nil {
			return false, err
		}
	}
	return true, p.Reload(keys)
}

// resolve looks up the peers that were named. What leads nowhere is a warning.
func (r *running) resolve(ctx context.Context, with console.Peering) ([]netip.AddrPort, error) {
	peers, err := console.Resolve(ctx, with.Peers, r.app.Node.LANOnly)
	if err != nil {
		r.app.Out().Print(console.Warning{Message: err.Error()})
	}
	return peers, context.Cause(ctx)
}
