package follow

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/url"
	"sync"
	"time"

	"handful/signing"
	"handful/swarm/channel"
	"handful/swarm/mirror"
)

// A mirror on a web server is a peer like any other: what it is asked it answers, after
// some requests, through the ears of the follower. Nothing is pushed there, so it is asked
// for news from time to time.

// mirrorPeer is the first number of a peer that is a mirror.
const mirrorPeer channel.Peer = 1 << 62

const (
	maxMirrors = 8
	// A mirror is asked for news firstPoll after the last, then after twice that, and so
	// on up to lastPoll.
	firstPoll = time.Minute
	lastPoll  = 8 * time.Minute
	// A mirror that fails rests, for longer each time; what it does not have it is asked
	// for again after absentTime.
	restTime       = 5 * time.Second
	restMax        = 5 * time.Minute
	absentTime     = time.Minute
	rootAbsentTime = 10 * time.Second
	maxJobs        = 256 // that wait
)

// mirrored speaks to peers over a wire, and to mirrors by itself.
type mirrored struct {
	wire
	f *Follower

	mu  sync.Mutex
	all []*webMirror
}

// webMirror is one mirror.
type webMirror struct {
	f      *Follower
	client *mirror.Client
	peer   channel.Peer
	wake   chan struct{} // of one

	mu   sync.Mutex
	jobs []job

	// Owned by run.
	sizes  map[string]int64  // of the trees of the heads that it showed, by writer
	absent map[job]time.Time // until when it is not asked again
}

// job is what a mirror is asked.
type job struct {
	topic  topic
	writer string
	number int64 // version, size, or of a page the size of the tree
	first  int64
	hash   [32]byte
}

type topic int

const (
	askUpdate topic = iota
	askRoot
	askTargets
	askPage
	askRange
)

// add enters mirrors by their base URLs. The error names those that cannot be one.
func (m *mirrored) add(ctx context.Context, bases []string) error {
	var errs []error
	for _, base := range bases {
		c, err := mirror.NewClient(base, m.f.cfg.ID, m.f.cfg.Node.Web())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if w := m.enter(c); w != nil {
			m.f.working.Go(func() { w.run(ctx) })
		}
	}
	return errors.Join(errs...)
}

func (m *mirrored) enter(c *mirror.Client) *webMirror {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.all {
		if w.client.Base() == c.Base() {
			return nil
		}
	}
	if len(m.all) >= maxMirrors {
		return nil
	}
	w := &webMirror{f: m.f, client: c, peer: mirrorPeer + channel.Peer(len(m.all)), wake: make(chan struct{}, 1),
		sizes: make(map[string]int64), absent: make(map[job]time.Time)}
	m.all = append(m.all, w)
	return w
}

// ask hands a job to the mirror that a peer is; it reports false when it is none.
func (m *mirrored) ask(p channel.Peer, j job) bool {
	if p < mirrorPeer {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := p - mirrorPeer; i < channel.Peer(len(m.all)) {
		m.all[i].ask(j)
	}
	return true
}

func (m *mirrored) AskUpdate(p channel.Peer, writer string, size int64) {
	if !m.ask(p, job{topic: askUpdate, writer: writer, number: size}) {
		m.wire.AskUpdate(p, writer, size)
	}
}

func (m *mirrored) AskUpdateWithin(p channel.Peer, writer string, size, limit int64) {
	if !m.ask(p, job{topic: askUpdate, writer: writer, number: size}) {
		m.wire.AskUpdateWithin(p, writer, size, limit)
	}
}

func (m *mirrored) Missing(p channel.Peer, writer string) {
	if !m.ask(p, job{topic: askUpdate, writer: writer, number: m.f.trust.Size(writer)}) {
		m.wire.Missing(p, writer)
	}
}

// Holders puts mirrors behind peers: they have everything, and cost somebody traffic.
func (m *mirrored) Holders(writer string, index int64) []channel.Peer {
	peers := m.wire.Holders(writer, index)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.all {
		peers = append(peers, w.peer)
	}
	return peers
}

// AskPages asks a mirror for one page: it has all that a bundle of entries has.
func (m *mirrored) AskPages(p channel.Peer, writer string, first, most, size int64) {
	if !m.ask(p, job{topic: askPage, writer: writer, number: size, first: first}) {
		m.wire.AskPages(p, writer, first, most, size)
	}
}

func (m *mirrored) AskRoot(p channel.Peer, version int64) {
	if !m.ask(p, job{topic: askRoot, number: version}) {
		m.wire.AskRoot(p, version)
	}
}

func (m *mirrored) AskTargets(p channel.Peer, hash [32]byte) {
	if !m.ask(p, job{topic: askTargets, hash: hash}) {
		m.wire.AskTargets(p, hash)
	}
}

func (m *mirrored) AskPage(p channel.Peer, writer string, first, size int64) {
	if !m.ask(p, job{topic: askPage, writer: writer, number: size, first: first}) {
		m.wire.AskPage(p, writer, first, size)
	}
}

func (m *mirrored) AskRange(p channel.Peer, writer string, size int64) {
	if !m.ask(p, job{topic: askRange, writer: writer, number: size}) {
		m.wire.AskRange(p, writer, size)
	}
}

func (m *mirrored) SendUpdate(p channel.Peer, writer string, u signing.Update) {
	if p < mirrorPeer {
		m.wire.SendUpdate(p, writer, u)
	}
}

func (m *mirrored) SendFork(p channel.Peer, writer string, f signing.Fork) {
	if p < mirrorPeer {
		m.wire.SendFork(p, writer, f)
	}
}

// ask enters a job, unless it waits already. Of the news of a writer only the last is
// asked for.
func (w *webMirror) ask(j job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, old := range w.jobs {
		if old == j || j.topic == askUpdate && old.topic == askUpdate && old.writer == j.writer {
			w.jobs[i] = j
			return
		}
	}
	if len(w.jobs) < maxJobs {
		w.jobs = append(w.jobs, j)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *webMirror) next() (j job, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.jobs) == 0 {
		return j, false
	}
	j = w.jobs[0]
	w.jobs = w.jobs[1:]
	return j, true
}

// run answers until ctx ends.
func (w *webMirror) run(ctx context.Context) {
	f := w.f
	select {
	case <-ctx.Done():
		return
	case <-f.ready:
	}
	f.join(w.peer, w.source())
	poll, rest := firstPoll, time.Duration(0)
	timer := time.NewTimer(poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			f.askNextRoot(w.peer)
			f.askNews(w.peer)
			poll = min(2*poll, lastPoll)
			timer.Reset(poll)
		case <-w.wake:
		}
		for j, ok := w.next(); ok && ctx.Err() == nil; j, ok = w.next() {
			switch news, err := w.answer(ctx, j); {
			case err == nil:
				rest = 0
				if news {
					poll = firstPoll
					timer.Reset(poll)
				}
			case errors.Is(err, mirror.ErrAbsent):
				w.noteAbsent(j)
			default:
				f.cfg.Logger.Debug("a mirror fails", "channel", f.cfg.ID, "mirror", w.client.Base(), "err", err)
				rest = min(max(2*rest, restTime), restMax)
				w.ask(j)
				if !sleep(ctx, rest) {
					return
				}
			}
		}
	}
}

// source is what the mirror is called as a source: two on one host are one.
func (w *webMirror) source() string {
	u, err := url.Parse(w.client.Base())
	if err != nil {
		return w.client.Base()
	}
	return u.Hostname()
}

func (w *webMirror) noteAbsent(j job) {
	if len(w.absent) >= maxJobs {
		clear(w.absent)
	}
	d := absentTime
	if j.topic == askRoot {
		d = rootAbsentTime
	}
	w.absent[j] = w.f.cfg.Now().Add(d)
}

// sleep waits for d, and reports false when ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// answer finds out what was asked and tells it; news: it is another head than before.
func (w *webMirror) answer(ctx context.Context, j job) (news bool, err error) {
	if until, ok := w.absent[j]; ok && w.f.cfg.Now().Before(until) {
		return false, nil
	}
	e := ears{w.f}
	switch j.topic {
	case askUpdate:
		return w.update(ctx, j.writer, j.number)
	case askRoot:
		raw, err := w.client.Root(ctx, j.number)
		if err != nil {
			return false, err // mostly there is none yet
		}
		e.Root(w.peer, j.number, raw)
	case askTargets:
		raw, err := w.client.Targets(ctx, j.hash)
		if err != nil {
			return false, err
		}
		if sha256.Sum256(raw) == j.hash {
			e.Targets(w.peer, j.hash, raw)
		}
	case askPage:
		page, err := w.client.Page(ctx, j.writer, j.first, j.number)
		if err != nil {
			return false, err
		}
		e.Page(w.peer, j.writer, page)
	case askRange:
		hashes, err := w.client.Range(ctx, j.writer, 0, j.number, max(j.number, w.sizes[j.writer]))
		if err != nil {
			return false, err
		}
		e.Range(w.peer, j.writer, j.number, hashes)
	}
	return false, nil
}

// update tells the news of a writer to somebody who has size entries: the head alone where
// nothing is missing, the mirror's update for strangers where that is enough, else what
// tiles make of it.
func (w *webMirror) update(ctx context.Context, writer string, size int64) (news bool, err error) {
	raw, news, err := w.client.Head(ctx, writer)
	if err != nil {
		return false, err
	}
	head, err := signing.ParseHead(raw)
	if err != nil {
		return false, err
	}
	u := signing.Update{Head: raw, Size: size}
	if head.Size < size {
		u.Size = 0
	}
	if head.Size > size {
		if u, err = w.client.News(ctx, writer); err != nil {
			return false, err
		}
		if head, err = signing.ParseHead(u.Head); err != nil {
			return false, err
		}
		if first := head.Size - int64(len(u.Entries)); 0 < size && size < first {
			if u, err = w.client.Bridge(ctx, writer, u, head.Size, size); err != nil {
				return false, err
			}
		}
	}
	w.sizes[writer] = head.Size
	ears{w.f}.Update(w.peer, writer, u)
	return news, nil
}
