package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/feed"
	"handful/swarm/follow"
	"handful/swarm/store"
)

const (
	gatherJobs = 4 // entries of a channel whose files are fetched at a time
	// Files that nobody sends for gatherPatience, if nothing else is said, give way to others and
	// are asked for again after gatherRetry, twice as long each time.
	gatherPatience              = time.Minute
	gatherRetry, maxGatherRetry = 15 * time.Second, 10 * time.Minute
	// What another entry brings along too is looked for again so soon: that one comes first.
	twinRetry = 200 * time.Millisecond
)

// gatherer fetches what the entries of one channel bring along: files that are attached to
// posts, and what is published. Those of an entry are in a directory of its own,
//
//	DIR/NAME/WRITER-INDEX/
//
// so that no name of one entry meets that of another. What is there is never replaced. How far
// it is, is kept like how far a reader is: behind it everything was fetched, or cannot be.
type gatherer struct {
	rd     *reader // tells where to begin
	dir    string  // DIR/NAME
	report func(console.Line)
	moving *moving

	mu    sync.Mutex // guards what follows
	at    feed.Cursor
	wants map[place]*wanting
	gone  map[place]bool // withdrawn
	free  chan struct{}  // has room for each job that runs
	lost  int            // entries whose files were not fetched, in the end
}

// place is where an entry stands.
type place struct {
	writer string
	index  int64
}

// wanting is an entry whose files are not here yet.
type wanting struct {
	old     bool // it is from before the archive, and no cursor waits for it
	running bool
	failed  bool                    // and is not tried again in this run
	stop    context.CancelCauseFunc // of what runs
	after   time.Time               // not to be tried before
	wait    time.Duration           // between tries
	twin    *heldError              // what another entry was found to bring along too
}

var errGone = errors.New("its writer has withdrawn it")

func (r *running) gatherer(c *followed, req followRequest, m *moving, report func(console.Line)) *gatherer {
	sum := sha256.Sum256([]byte(req.Dir))
	g := &gatherer{
		dir: filepath.Join(req.Dir, c.info.Name), report: report, moving: m,
		wants: make(map[place]*wanting), gone: make(map[place]bool), free: make(chan struct{}, gatherJobs),
	}
	g.rd = &reader{r: r, c: c, req: req, name: "files-" + hex.EncodeToString(sum[:8]), past: true, again: req.Last >= 0 || !req.Since.IsZero()}
	g.rd.handle = func(_ context.Context, e feed.Entry) error {
		g.want(e, true)
		return nil
	}
	return g
}

// run goes on until ctx ends; with Once, until the files of everything that was there when
// settled was closed are fetched, or nobody sends them.
func (g *gatherer) run(ctx context.Context, settled <-chan struct{}) error {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	inbox := g.rd.c.inbox
	news, done := inbox.Subscribe()
	defer done()
	at, err := g.rd.begin(ctx, settled)
	if err != nil {
		return err
	}
	g.at = at
	if err := g.forgetFetched(); err != nil {
		g.report(console.Warning{Message: err.Error()})
	}
	ended := make(chan struct{}, gatherJobs)
	again := time.NewTicker(twinRetry)
	defer again.Stop()
	var once <-chan struct{}
	if g.rd.req.Once {
		once = settled
	}
	for {
		g.takenBack()
		// All that is known is looked at first: it may say what is withdrawn.
		entries, err := inbox.Since(g.position(), readBatch)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			if err := g.take(entries); err != nil {
				return err
			}
			continue
		}
		if !g.start(ctx, &jobs, ended) && g.rd.req.Once && once == nil {
			return g.verdict()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-g.rd.c.ended:
			return g.rd.c.err
		case <-news:
		case <-ended:
		case <-again.C:
		case <-once:
			once = nil // and look once more
		}
	}
}

func (g *gatherer) position() feed.Cursor {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at
}

// takenBack forgets what was taken back: others stand there now.
func (g *gatherer) takenBack() {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, age := g.rd.c.inbox.TakenBack(g.at, g.rd.age)
	if age == g.rd.age {
		return
	}
	for p, w := range g.wants {
		switch {
		case p.index < at[p.writer]:
		case w.running:
			w.stop(errGone)
		default:
			delete(g.wants, p)
		}
	}
	maps.DeleteFunc(g.gone, func(p place, _ bool) bool { return p.index >= at[p.writer] })
	g.at, g.rd.age = at, age
}

// take looks through entries for what they bring along.
func (g *gatherer) take(entries []feed.Entry) error {
	for _, e := range entries {
		if e.Withdrawn() {
			g.drop(place{e.Writer, e.Withdraws})
		} else {
			g.want(e, false)
		}
		g.mu.Lock()
		g.at = g.at.With(e)
		g.mu.Unlock()
	}
	return g.save()
}

// want notes that the files of an entry are to be fetched.
func (g *gatherer) want(e feed.Entry, old bool) {
	at := place{e.Writer, e.Index}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wants[at] != nil || g.gone[at] || !g.rd.wanted(e) || len(e.Brings()) == 0 {
		return
	}
	g.wants[at] = &wanting{old: old, wait: gatherRetry}
}

// drop forgets an entry that is withdrawn; what runs for it ends.
func (g *gatherer) drop(at place) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone[at] = true
	if w := g.wants[at]; w != nil && w.running {
		w.stop(errGone)
	} else {
		delete(g.wants, at)
	}
}

// save keeps how far all is fetched.
func (g *gatherer) save() error {
	g.mu.Lock()
	c := make(feed.Cursor, len(g.at))
	for w, n := range g.at {
		c[w] = n
	}
	for at, w := range g.wants {
		if !w.old {
			c[at.writer] = min(c[at.writer], at.index)
		}
	}
	age := g.rd.age
	g.mu.Unlock()
	return g.rd.c.inbox.SetCursor(g.rd.name, c, age)
}

// forgetFetched leaves out what the store has already at its place: after a kill a cursor may
// be behind.
func (g *gatherer) forgetFetched() error {
	records, err := g.rd.r.store.Load()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, rec := range records {
		m, bad := parseMeta(rec.Meta)
		if bad != nil || m.Channel != g.rd.c.inbox.Channel().String() || rec.Kind == store.Partial {
			continue
		}
		if at := (place{m.Writer, m.Index}); rec.Dest == g.dest(at) {
			g.gone[at] = true
			delete(g.wants, at)
		}
	}
	return err
}

func (g *gatherer) dest(at place) string {
	return filepath.Join(g.dir, fmt.Sprintf("%s-%d", at.writer, at.index))
}

// start begins with as many entries as there is room for, the first first, and reports
// whether there is anything left to do.
func (g *gatherer) start(ctx context.Context, jobs *sync.WaitGroup, ended chan<- struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.rd.r.app.Env.Now()
	var due []place
	busy := false
	for at, w := range g.wants {
		busy = busy || !w.failed
		if !w.running && !w.failed && !now.Before(w.after) {
			due = append(due, at)
		}
	}
	slices.SortFunc(due, func(a, b place) int { return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(a.writer, b.writer)) })
	for _, at := range due {
		select {
		case g.free <- struct{}{}:
		default:
			return true
		}
		job, stop := context.WithCancelCause(ctx)
		w := g.wants[at]
		w.running, w.stop = true, stop
		jobs.Go(func() {
			defer stop(nil)
			g.ended(job, at, g.fetch(job, at))
			<-g.free
			select {
			case ended <- struct{}{}:
			default: // it looks anyway
			}
		})
	}
	return busy
}

// fetch gets what one entry brings along.
func (g *gatherer) fetch(ctx context.Context, at place) error {
	r, req := g.rd.r, g.rd.req
	link, err := signing.ParseLink(g.rd.c.info.Link)
	if err != nil || link.ID != g.rd.c.inbox.Channel() {
		link = signing.Link{ID: g.rd.c.inbox.Channel()}
	}
	link.Writer, link.Index = at.writer, at.index
	f := fetchRequest{target: target{Channel: &link}, Dest: g.dest(at), Told: true, Timeout: req.Timeout, Peering: req.Peering}
	if f.Timeout == 0 {
		f.Timeout = gatherPatience
	}
	if err := g.release(at); err != nil {
		return err
	}
	defer g.moving.end(f.Dest)
	got, err := r.Fetch(ctx, f, func(p console.Progress) { g.report(g.moving.sum(f.Dest, p)) })
	if err == nil && got.Done != nil {
		link := signing.Link{ID: link.ID, Writer: at.writer, Index: at.index}
		got.Done.Link = link.String()
		g.report(*got.Done)
	}
	return err
}

// release has the node let go of what was fetched for another entry that brings along the
// same, so that it is put in this one's place too: it comes out of the files that are there.
func (g *gatherer) release(at place) error {
	g.mu.Lock()
	held := g.wants[at].twin
	g.wants[at].twin = nil
	waiting := false
	if held != nil {
		for other := range g.wants {
			waiting = waiting || other != at && g.dest(other) == held.dest
		}
	}
	g.mu.Unlock()
	r := g.rd.r
	if held == nil || filepath.Dir(held.dest) != g.dir {
		return nil
	}
	if waiting {
		return held
	}
	f := r.fetching(held.infohash)
	if f == nil || f.dest != held.dest {
		return nil
	}
	return r.take(f)
}

// ended judges how the fetching of one entry went.
func (g *gatherer) ended(ctx context.Context, at place, err error) {
	g.mu.Lock()
	w := g.wants[at]
	w.running = false
	gone := g.gone[at] || errors.Is(err, follow.ErrWithdrawn)
	held, twice := errors.AsType[*heldError](err)
	twin := twice && !gone && filepath.Dir(held.dest) == g.dir // it was fetched by this gatherer
	final := err == nil || gone || !twin && hopeless(err)
	switch {
	case twin:
		w.twin, w.after = held, g.rd.r.app.Env.Now().Add(twinRetry)
	case final:
		delete(g.wants, at)
	case g.rd.req.Once && ctx.Err() == nil:
		w.failed = true // the next run tries it again: the cursor stays
	default:
		w.after = g.rd.r.app.Env.Now().Add(w.wait)
		w.wait = min(2*w.wait, maxGatherRetry)
	}
	stopped := ctx.Err() != nil
	if err != nil && !gone && !stopped && !twice {
		g.lost++
	}
	g.mu.Unlock()
	if twin {
		return
	}
	if twice {
		g.report(console.Note{Message: fmt.Sprintf("what %s/%d brings along is in %s, and the node has it there already", at.writer, at.index, held.dest)})
	} else if err != nil && !gone && !stopped {
		hint := console.Hint(err)
		if !final && !g.rd.req.Once {
			hint = "it is tried again"
		}
		g.report(console.Warning{Message: fmt.Sprintf("what %s/%d brings along is not fetched: %v", at.writer, at.index, err), Hint: hint})
	}
	if final {
		if err := g.save(); err != nil {
			g.report(console.Warning{Message: err.Error()})
		}
	}
}

// hopeless reports whether another try would end in the same way.
func hopeless(err error) bool {
	for _, known := range []error{follow.ErrNoEntry, follow.ErrPath, store.ErrExists, store.ErrIsFile, store.ErrName, store.ErrElsewhere, manifest.ErrOtherFiles} {
		if errors.Is(err, known) {
			return true
		}
	}
	if _, held := errors.AsType[*heldError](err); held {
		return true
	}
	code := console.Code(err)
	return code == console.Refused || code == console.Usage
}

// verdict is nil if all was fetched that was to be.
func (g *gatherer) verdict() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lost == 0 {
		return nil
	}
	return &console.Fault{Code: console.Partly, Message: fmt.Sprintf("channel %s: of its entries %d bring along what was not fetched", g.rd.c.info.Name, g.lost), Hint: "the same command tries again what nobody sent"}
}

// moving is what several fetches have moved together.
type moving struct {
	mu  sync.Mutex
	all map[string]console.Progress // by destination
}

// sum returns that of all, after news of one.
func (m *moving) sum(dest string, p console.Progress) (sum console.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = make(map[string]console.Progress)
	}
	m.all[dest] = p
	for _, p := range m.all {
		sum.Done += p.Done
		sum.Total += p.Total
		sum.DownRate += p.DownRate
		sum.UpRate += p.UpRate
		sum.Peers += p.Peers
	}
	return sum
}

func (m *moving) end(dest string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, dest)
}
