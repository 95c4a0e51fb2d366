package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/console"
	"handful/swarm/discover"
	"handful/swarm/follow"
	"handful/swarm/store"
)

// Serve seeds everything that was fetched and goes on with what is not complete.
func (r *running) Serve(ctx context.Context, report func(console.Line)) error {
	records, err := r.store.Load()
	if err != nil {
		report(console.Warning{Message: err.Error()})
	}
	for _, rec := range records {
		if err := r.resume(ctx, rec); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			report(console.Warning{Message: fmt.Sprintf("%s is not seeded: %v", rec.Name, err)})
		}
	}
	r.followAll(ctx, report)
	return r.watch(ctx, report)
}

// followAll reads all channels that are followed.
func (r *running) followAll(ctx context.Context, report func(console.Line)) {
	links, err := r.linksOf(followRequest{})
	if err != nil {
		if console.Code(err) != console.Usage {
			report(console.Warning{Message: err.Error()})
		}
		return
	}
	for _, l := range links {
		c, err := r.subscribe(ctx, l, wishes{})
		if err != nil {
			report(console.Warning{Message: fmt.Sprintf("channel %s is not followed: %v", l.ID, err)})
			continue
		}
		report(console.Followed{Channel: l.ID.String(), Name: c.info.Name, Link: l.String()})
	}
}

// resume puts what the store remembers into the node, and follows its channel, so
// that others learn of it here.
func (r *running) resume(ctx context.Context, rec store.Record) error {
	hash := hex.EncodeToString(rec.InfoHash[:])
	if r.fetching(hash) != nil {
		return nil
	}
	m, err := parseMeta(rec.Meta)
	if err != nil {
		return err
	}
	t, err := r.store.Torrent(rec.InfoHash)
	if err != nil {
		return err
	}
	spec := swarm.Spec{Torrent: t, Name: rec.Name}
	var f *follow.Follower
	if link, err := signing.ParseLink(m.Link); err == nil {
		peers, _ := console.Resolve(ctx, link.Peers, r.app.Node.LANOnly)
		spec.Peers, spec.Trackers = peers, link.Trackers
		if f, err = r.follower(link, peers, link.Trackers); err != nil {
			return err
		}
		if err := withdrawnYet(ctx, f, m); err != nil {
			return err
		}
		spec.Unlisted, spec.Infohash = f.Private(), swarm.Infohash(t.InfoHash())
		addMirrors(&spec, link)
	}
	if rec.Kind == store.Finished {
		c, err := r.store.Reopen(ctx, rec)
		if err != nil {
			return err
		}
		spec.Content = c
	} else {
		spec.Open = func(*manifest.Torrent) (*store.Content, error) { return r.store.Reopen(ctx, rec) }
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	it, err := r.node.Add(spec)
	if err != nil {
		return err
	}
	r.items[hash] = &fetching{item: it, meta: m, dest: rec.Dest, began: r.app.Env.Now(), gone: make(chan error, 1)}
	if f != nil {
		r.watchWithdrawal(f, r.items[hash], rec.Name)
	}
	return nil
}

// withdrawnYet returns why an entry is gone, nil if it is not, as far as is known.
func withdrawnYet(ctx context.Context, f *follow.Follower, m meta) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return f.Withdrawn(ctx, m.Writer, m.Index, m.After)
}

// watchWithdrawal stops seeding something when its channel takes it back.
func (r *running) watchWithdrawal(f *follow.Follower, it *fetching, name string) {
	r.watching.Go(func() {
		err := f.Withdrawn(r.life, it.meta.Writer, it.meta.Index, it.meta.After)
		if err == nil || r.fetching(it.item.Infohash().String()) != it {
			return
		}
		r.app.Out().Print(console.Warning{Message: fmt.Sprintf("%s is no longer seeded: %v", name, err)})
		if err := r.take(it); err != nil {
			r.app.Log().Debug("not removed", "name", name, "err", err)
		}
		it.gone <- &console.Fault{Code: console.NotFound, Hint: "ask the publisher for another link", Err: err}
	})
}

// watch reports what moves, what is done, and what is no longer seeded.
func (r *running) watch(ctx context.Context, report func(console.Line)) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	told := make(map[swarm.Infohash]bool)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
		var sum console.Progress
		for _, s := range r.node.Snapshot().Items {
			p := console.ProgressOf(s)
			sum.Done += p.Done
			sum.Total += p.Total
			sum.UpRate += p.UpRate
			sum.DownRate += p.DownRate
			sum.Peers += p.Peers
			if s.Err != nil && !told[s.Infohash] {
				told[s.Infohash] = true
				report(console.Warning{Message: fmt.Sprintf("%s is no longer seeded: %v", s.Name, s.Err)})
			}
		}
		report(sum)
	}
}

// listeners are those who want to hear of offers. They have a lock of their own,
// which is never held for long: discovery waits for it, and whoever closes the
// node waits for discovery.
type listeners struct {
	mu   sync.Mutex
	next int
	all  map[int]func(discover.Offer, netip.AddrPort, string)
}

// add returns what takes f away again. f must return at once.
func (l *listeners) add(f func(discover.Offer, netip.AddrPort, string)) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = make(map[int]func(discover.Offer, netip.AddrPort, string))
	}
	number := l.next
	l.next++
	l.all[number] = f
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, number)
	}
}

// offered hands an offer from the local network to whoever listens. It is called
// from the node's discovery and returns at once.
func (r *running) offered(o discover.Offer, from netip.AddrPort, ifname string) {
	r.offers.mu.Lock()
	defer r.offers.mu.Unlock()
	for _, f := range r.offers.all {
		f(o, from, ifname)
	}
}

// Offers reports what is on offer on the local network, each once.
func (r *running) Offers(ctx context.Context, report func(console.Offer)) error {
	heard := make(chan console.Offer, 64)
	defer r.offers.add(func(o discover.Offer, from netip.AddrPort, ifname string) {
		if line, ok := offerOf(o, from, ifname); ok {
			select {
			case heard <- line:
			default: // a flood: it is repeated anyway
			}
		}
	})()
	r.node.Solicit()
	told := make(map[string]bool)
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-heard:
			key := line.Link + " " + line.Peer
			if !told[key] && len(told) < 10000 {
				told[key] = true
				report(line)
			}
		}
	}
}

// offerOf shows an offer. Nothing of it is verified: that is done when it is
// fetched.
func offerOf(o discover.Offer, from netip.AddrPort, ifname string) (line console.Offer, ok bool) {
	id, err := signing.ParseID(o.ID)
	if err != nil {
		return line, false
	}
	u, err := signing.ParseUpdate(o.Update)
	if err != nil {
		return line, false
	}
	head, err := signing.ParseHead(u.Head)
	if err != nil || head.Size == 0 {
		return line, false
	}
	peer := netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), o.Port)
	line = console.Offer{
		Channel: o.ID, Writer: o.Writer, Index: head.Size - 1, Peer: peer.String(), Interface: ifname,
	}
	link := signing.Link{ID: id, Writer: o.Writer, Index: -1}
	if !from.Addr().IsLinkLocalUnicast() {
		link.Peers = []string{peer.String()}
	}
	for i := len(u.Entries) - 1; i >= 0; i-- {
		e, err := manifest.ParseEntry(u.Entries[i])
		if err != nil {
			continue
		}
		line.Time = time.UnixMilli(e.Header().Time).Format(time.RFC3339)
		if m, isMedia := e.(manifest.Media); isMedia {
			line.Index = head.Size - int64(len(u.Entries)-i)
			line.Name, line.Title, line.Bytes = m.Name, m.Title, m.Size
			link.Index = line.Index
			break
		}
	}
	line.Link = link.String()
	return line, true
}
