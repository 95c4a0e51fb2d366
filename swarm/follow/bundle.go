package follow

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/bundle"
)

var (
	// ErrOtherTorrent: a torrent in a bundle is not the one that its entry names.
	ErrOtherTorrent = errors.New("not the torrent that the entry names")
	// ErrUnconnected: a bundle does not have what leads from what is held to its head.
	ErrUnconnected = errors.New("the bundle does not continue what is known here")
)

// A BundleSink takes what is verified in a bundle. Its errors end the reading.
type BundleSink interface {
	// Entries takes entries of a writer that are proven, from the index first on, in the
	// order of the bundle.
	Entries(ctx context.Context, writer string, first int64, entries [][]byte) error
	// Item takes the torrent of an entry, and size bytes, which are to be its pieces: they
	// are not verified.
	Item(ctx context.Context, found Found, t *manifest.Torrent, pieces io.Reader, size int64) error
}

// intake is one bundle being read.
type intake struct {
	f       *Follower
	in      *bundle.Reader
	sink    BundleSink
	pending map[string]unsettled    // by writer
	older   map[string]signing.Head // by writer: heads that are behind, and of the same history
}

// unsettled is an update that needs hashes to be judged.
type unsettled struct {
	update signing.Update
	head   signing.Head
	needs  signing.Need
}

// TakeBundle reads a bundle of the channel to its end. What it says is judged like the words
// of a peer, and kept before it is acted on; what was taken before an error stays. A bundle
// that is behind is no error. Errors are those of package signing for what was refused, of
// package bundle for the file, ErrUnconnected, ErrOtherTorrent, and those of the sink.
func (f *Follower) TakeBundle(ctx context.Context, in *bundle.Reader, sink BundleSink) error {
	if in.ID() != f.cfg.ID {
		return fmt.Errorf("bundle of channel %s: %w: %s is followed", in.ID(), signing.ErrOtherChannel, f.cfg.ID)
	}
	f.change(func() { f.asked(bundleSource) })
	t := &intake{f: f, in: in, sink: sink, pending: make(map[string]unsettled), older: make(map[string]signing.Head)}
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		r, err := in.Next()
		if err == io.EOF {
			return t.end()
		}
		if err == nil {
			err = t.take(ctx, r)
		}
		if err != nil {
			return err
		}
	}
}

func (t *intake) take(ctx context.Context, r bundle.Record) error {
	switch r.Kind {
	case bundle.Root:
		err := t.f.trust.UpdateRoot(r.Value)
		if errors.Is(err, signing.ErrRollback) {
			err = nil // one before the newest
		}
		t.f.act()
		return t.refused("a root document", err)
	case bundle.Targets:
		if t.f.trust.Wants().Targets != sha256.Sum256(r.Value) {
			return nil // known, or not in force
		}
		err := t.f.trust.UpdateTargets(r.Value)
		t.f.act()
		return t.refused("a targets document", err)
	case bundle.Update:
		return t.update(r)
	case bundle.Leaves:
		return t.leaves(r)
	case bundle.Page:
		return t.page(ctx, r)
	case bundle.Item:
		return t.item(ctx, r)
	}
	return nil
}

func (t *intake) refused(what string, err error) error {
	if err == nil {
		return nil
	}
	t.f.change(func() { t.f.note(err) })
	return fmt.Errorf("bundle of channel %s: %s: %w", t.f.cfg.ID, what, err)
}

// update judges the newest of a writer.
func (t *intake) update(r bundle.Record) error {
	u, err := signing.ParseUpdate(r.Value)
	if err != nil {
		return t.refused("an update", err)
	}
	head, err := signing.ParseHead(u.Head)
	if err != nil {
		return t.refused("an update", err)
	}
	acc, err := t.f.trust.UpdateHead(r.Writer, u, t.f.cfg.Now())
	if _, older := errors.AsType[*signing.RollbackError](err); older {
		if rng, ok := t.f.trust.Range(r.Writer, head.Size); ok && rootOf(rng) == head.Root {
			t.older[r.Writer] = head
		}
		err = nil
	}
	return t.judged(r.Writer, head, u, acc, err)
}

// judged acts on what trust made of an update.
func (t *intake) judged(writer string, head signing.Head, u signing.Update, acc signing.Accepted, err error) error {
	f := t.f
	delete(t.pending, writer)
	switch n := acc.Needs; {
	case err != nil:
	case n.Root == 1 && f.trust.Root() == nil:
		err = fmt.Errorf("no root document comes before it: %w", signing.ErrGap)
	case n.Update || n.Range:
		t.pending[writer] = unsettled{u, head, n}
	default:
		f.change(func() {
			if f.told[writer] == nil {
				f.told[writer] = make(map[string]bool)
			}
			f.told[writer][bundleSource] = true
		})
	}
	if acc.Changed {
		f.wire.Push(writer, u, nobody)
		f.offer()
	}
	f.act()
	return t.refused(fmt.Sprintf("the news of writer %q", writer), err)
}

// leaves settles an update with the hashes of all entries, which lead from any size that
// may be held here to the head.
func (t *intake) leaves(r bundle.Record) error {
	p, ok := t.pending[r.Writer]
	if !ok {
		return nil
	}
	size := p.needs.Size
	first := p.head.Size - int64(len(p.update.Entries))
	if first < size { // only when both are wrong: see Trusted.extend
		p.update.Entries = p.update.Entries[min(size-first, int64(len(p.update.Entries))):]
		first = size
	}
	if r.Index > size {
		return nil // it says more at the end
	}
	var before, between compactRange
	before.next, between.next = r.Index, size
	in := bufio.NewReader(t.in)
	for i := r.Index; i < r.Index+r.Size/tlog.HashSize && i < first; i++ {
		var h tlog.Hash
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return err
		}
		if i < size {
			before.add(h)
		} else {
			between.add(h)
		}
	}
	u := p.update
	if p.needs.Update {
		u = signing.Update{Head: u.Head, Entries: u.Entries, Hashes: between.hashes(), Size: size, Root: u.Root}
		acc, err := t.f.trust.UpdateHead(r.Writer, u, t.f.cfg.Now())
		if err != nil || !acc.Needs.Range || r.Index > 0 {
			return t.judged(r.Writer, p.head, u, acc, err)
		}
	}
	acc, err := t.f.trust.UpdateRange(r.Writer, u, before.hashes(), t.f.cfg.Now())
	return t.judged(r.Writer, p.head, u, acc, err)
}

// page takes entries, which may grant writers.
func (t *intake) page(ctx context.Context, r bundle.Record) error {
	p, err := t.proven(r.Writer, r.Value)
	if err != nil || p == nil {
		return err
	}
	if r.Writer == signing.MainWriter && t.f.trust.Wants().Grant > 0 {
		if err := t.f.trust.UpdateGrant(*p); err == nil {
			t.f.act()
		}
	}
	t.f.feed(ctx, r.Writer, *p)
	return t.sink.Entries(ctx, r.Writer, p.First, p.Entries)
}

// feedTime is how long a page waits for who reads the channel.
const feedTime = 2 * time.Second

// feed hands a verified page to whoever reads the channel: nobody can be asked for it again.
func (f *Follower) feed(ctx context.Context, writer string, page signing.Page) {
	ctx, cancel := context.WithTimeout(ctx, feedTime)
	defer cancel()
	for {
		news := f.Changed()
		f.mu.Lock()
		win := f.windows[writer]
		reading := f.windows != nil
		passed := win != nil && win.next >= page.First+int64(len(page.Entries))
		ready := win != nil && win.size < maxAheadSize/2 && page.First <= win.next+maxAhead
		f.mu.Unlock()
		if !reading || passed {
			return
		}
		if ready {
			f.keepPage(writer, page)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
	}
}

// proven parses and verifies a page; it is nil when it is of an older head that cannot be
// compared with what is held.
func (t *intake) proven(writer string, b []byte) (*signing.Page, error) {
	p, err := signing.ParsePage(b)
	if err != nil {
		return nil, t.refused("a page", err)
	}
	if _, waits := t.pending[writer]; waits {
		return nil, t.unconnected(writer)
	}
	if p.Size < t.f.trust.Size(writer) {
		h, ok := t.older[writer]
		if !ok || h.Size != p.Size {
			return nil, nil
		}
		return &p, t.refused(fmt.Sprintf("entries of writer %q", writer), p.Verify(h))
	}
	return &p, t.refused(fmt.Sprintf("entries of writer %q", writer), t.f.trust.VerifyPage(writer, p))
}

// item hands on a torrent whose entry is proven.
func (t *intake) item(ctx context.Context, r bundle.Record) error {
	name := fmt.Sprintf("entry %s/%d", r.Writer, r.Index)
	p, err := t.proven(r.Writer, r.Proof)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case p == nil:
		return fmt.Errorf("bundle of channel %s: %s: it is proven in an older head than is held, with which it cannot be compared: %w", t.f.cfg.ID, name, ErrUnconnected)
	case r.Index < p.First || r.Index-p.First >= int64(len(p.Entries)):
		return t.refused(name, fmt.Errorf("%w: its page has other entries", signing.ErrMalformed))
	}
	found, ok, err := t.f.judge(r.Writer, r.Index, p.Entries[r.Index-p.First], t.f.trust.Head(r.Writer))
	if errors.Is(err, ErrWithdrawn) {
		return nil
	}
	if err != nil || !ok {
		return t.refused(name, err)
	}
	m, err := manifest.Parse(r.Value)
	if err != nil {
		return t.refused(name, err)
	}
	spec, ok := found.Spec()
	if !ok || m.InfoSum() != *spec.InfoSum || m.InfoHash() != [20]byte(spec.Infohash) {
		return t.refused(name, fmt.Errorf("torrent %q: %w", m.Name, ErrOtherTorrent))
	}
	if err := t.sink.Item(ctx, found, m, t.in, r.Size); err != nil {
		return fmt.Errorf("%s (%s): %w", name, m.Name, err)
	}
	return nil
}

// end says what could not be judged.
func (t *intake) end() error {
	for writer := range t.pending {
		return t.unconnected(writer)
	}
	return nil
}

func (t *intake) unconnected(writer string) error {
	return t.refused(fmt.Sprintf("the news of writer %q", writer),
		fmt.Errorf("%w: it lacks hashes from entry %d on", ErrUnconnected, t.pending[writer].needs.Size))
}

// compactRange is built leaf by leaf from any index on.
type compactRange struct {
	next  int64 // index of the next leaf
	nodes []rangeNode
}

type rangeNode struct {
	level int
	hash  tlog.Hash
}

func (c *compactRange) add(h tlog.Hash) {
	level := 0
	for n := len(c.nodes); n > 0 && c.nodes[n-1].level == level && c.next>>level&1 == 1; n-- {
		h = tlog.NodeHash(c.nodes[n-1].hash, h)
		c.nodes = c.nodes[:n-1]
		level++
	}
	c.nodes = append(c.nodes, rangeNode{level, h})
	c.next++
}

func (c *compactRange) hashes() (out [][32]byte) {
	for _, n := range c.nodes {
		out = append(out, n.hash)
	}
	return out
}

// rootOf returns the root hash of the tree of a compact range [0, n).
func rootOf(rng [][32]byte) [32]byte {
	if len(rng) == 0 {
		return sha256.Sum256(nil)
	}
	h := tlog.Hash(rng[len(rng)-1])
	for i := len(rng) - 2; i >= 0; i-- {
		h = tlog.NodeHash(rng[i], h)
	}
	return h
}

// LeafHashes returns the hashes of entries as leaves of their writer's tree (RFC 6962).
func LeafHashes(entries [][]byte) (out [][32]byte) {
	for _, e := range entries {
		out = append(out, tlog.RecordHash(e))
	}
	return out
}
