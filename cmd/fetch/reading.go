package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/feed"
	"handful/swarm/follow"
)

const (
	// shownReader is the cursor of what was printed.
	shownReader = "shown"
	readBatch   = 256 // entries: at most 12 MiB
	shownBatch  = 64  // that are printed before that is remembered
	// A hook that fails is run again after so long, twice as long each time.
	hookRetry, maxHookRetry = time.Second, 5 * time.Minute
	// oldPatience is how long peers are asked for what was said before.
	oldPatience = 20 * time.Second
	// So many bytes of that are held, each entry with oldWeight beside what it says.
	oldRoom, oldWeight = 32 << 20, 512
)

// Follow prints what channels say until ctx ends, or, with Once, until all was printed.
func (r *running) Follow(ctx context.Context, req followRequest, report func(console.Line)) error {
	links, err := r.linksOf(req)
	if err != nil {
		return err
	}
	channels := make([]*followed, len(links))
	for i, l := range links {
		if channels[i], err = r.subscribe(ctx, l, req.wishes); err != nil {
			return err
		}
		report(console.Followed{Channel: l.ID.String(), Name: channels[i].info.Name, Link: withoutKey(l).String()})
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var files moving
	errs := make([]error, len(channels))
	for i, c := range channels {
		wg.Go(func() {
			if errs[i] = r.readChannel(ctx, c, req, &files, report); errs[i] != nil && !req.Once {
				cancel(errs[i]) // one that cannot be kept any more ends all: it must not go unseen
			}
		})
	}
	wg.Wait()
	return cmp.Or(context.Cause(ctx), errors.Join(errs...))
}

// linksOf returns what is to be followed.
func (r *running) linksOf(req followRequest) ([]signing.Link, error) {
	if len(req.Links) > 0 {
		return req.Links, nil
	}
	ids, all, err := subscriptions(r.dir)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, &console.Fault{Code: console.Usage, Message: "no channel is followed yet", Hint: "give the link of one"}
	}
	var links []signing.Link
	for _, id := range ids {
		l, err := signing.ParseLink(all[id].Link)
		if err != nil || l.ID != id {
			l = signing.Link{ID: id, Index: -1}
		}
		links = append(links, l)
	}
	return links, nil
}

// readChannel runs the readers of a channel: one that prints, the hook, and one that fetches
// files.
func (r *running) readChannel(ctx context.Context, c *followed, req followRequest, files *moving, report func(console.Line)) error {
	var caught error
	settled := make(chan struct{})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(settled)
		caught = r.catchUp(ctx, c, req)
	})
	var printed, hooked, gathered error
	run := func(out *error, rd interface {
		run(ctx context.Context, settled <-chan struct{}) error
	}) {
		wg.Go(func() {
			if *out = rd.run(ctx, settled); *out != nil && console.Code(*out) != console.Partly {
				cancel(*out)
			}
		})
	}
	print := &reader{r: r, c: c, req: req, name: shownReader, past: true, again: req.Last >= 0 || !req.Since.IsZero()}
	var shown atomic.Int64
	print.handle = func(_ context.Context, e feed.Entry) error {
		shown.Add(1)
		report(console.Told{Entry: e, Name: c.info.Name, Width: req.Width})
		return nil
	}
	run(&printed, print)
	if !req.Once {
		wg.Go(func() { r.tellShut(ctx, c, settled, report) })
	}
	if req.Who {
		wg.Go(func() { r.tellAround(ctx, c, req, settled, report) })
	}
	if req.Hook != nil {
		hook := &reader{r: r, c: c, req: req, name: req.Reader}
		hook.handle = func(ctx context.Context, e feed.Entry) error {
			shown.Add(1)
			return r.runHook(ctx, req, e)
		}
		run(&hooked, hook)
	}
	if req.Dir != "" {
		run(&gathered, r.gatherer(c, req, files, report))
	}
	wg.Wait()
	if w, shut := r.shut(c); shut && req.Once {
		report(w)
	}
	if errors.Is(caught, console.ErrNoProgress) && shown.Load() > 0 && c.follower.Standing(signing.MainWriter).Sources == 0 {
		report(r.unheard(c, req.Timeout))
		caught = nil
	}
	return cmp.Or(hooked, printed, caught, gathered)
}

// unheard says how old the newest is that was shown, where nobody could be asked for newer.
func (r *running) unheard(c *followed, waited time.Duration) console.Warning {
	message := fmt.Sprintf("channel %s: nobody told its newest for %s; what was shown is what was known here", c.inbox.Channel(), console.Span(waited))
	if head := c.follower.Trust().Head(signing.MainWriter); head.Raw != nil {
		message += ", signed " + console.Span(r.app.Env.Now().Sub(head.Time)) + " ago"
	}
	return console.Warning{Message: message}
}

// catchUp waits until all that is known was taken.
func (r *running) catchUp(ctx context.Context, c *followed, req followRequest) error {
	if req.Once && req.Timeout > 0 {
		late := &console.Fault{
			Code: console.NotFound,
			Hint: "name a peer with --peer HOST:PORT, check that the publisher runs, or wait longer with --timeout",
			Err:  fmt.Errorf("channel %s: nobody told its newest for %s: %w", c.inbox.Channel(), console.Span(req.Timeout), console.ErrNoProgress),
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, req.Timeout, late)
		defer cancel()
	}
	return c.follower.Caught(ctx)
}

// runHook runs the hook for an entry until it succeeds.
func (r *running) runHook(ctx context.Context, req followRequest, e feed.Entry) error {
	for wait := hookRetry; ; wait = min(2*wait, maxHookRetry) {
		_, err := req.Hook.Run(ctx, e)
		if err == nil || ctx.Err() != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		fault := &console.Fault{Code: console.RolledBack, Hint: "it gets the same entry again: mend it, or leave it out", Err: err}
		if failed, ok := errors.AsType[*feed.HookError](err); ok && len(failed.Output) > 0 {
			fault.Message = "it wrote: " + feed.Sanitize(string(failed.Output[max(0, len(failed.Output)-400):]), feed.Layout{OneLine: true})
		}
		if req.Once {
			return fault
		}
		r.app.Out().Print(console.Warning{Message: fault.Error(), Hint: "again in " + console.Span(wait)})
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

// reader hands the entries of a channel on, in order, and remembers how far it is.
type reader struct {
	r      *running
	c      *followed
	req    followRequest
	name   string // of its cursor
	past   bool   // at first it gets what was said before, not only what is said from now on
	again  bool   // what --last and --since name is handed on again
	handle func(context.Context, feed.Entry) error

	age int // of where it is: see follow.Inbox.TakenBack
}

// run goes on until ctx ends; with Once, until everything that was there when settled was
// closed is handed on.
func (rd *reader) run(ctx context.Context, settled <-chan struct{}) error {
	inbox := rd.c.inbox
	news, cancel := inbox.Subscribe()
	defer cancel()
	at, err := rd.begin(ctx, settled)
	if err != nil {
		return err
	}
	var once <-chan struct{}
	if rd.req.Once {
		once = settled
	}
	for {
		at, rd.age = inbox.TakenBack(at, rd.age)
		entries, err := inbox.Since(at, readBatch)
		if err != nil {
			return err
		}
		if len(entries) > 0 {
			if at, err = rd.take(ctx, at, follow.InOrder(entries)); err != nil {
				return err
			}
			continue
		}
		if once == nil && rd.req.Once {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-rd.c.ended:
			return rd.c.err
		case <-news:
		case <-once:
			once = nil // and look once more
		}
	}
}

// take hands entries on, and remembers each batch.
func (rd *reader) take(ctx context.Context, at feed.Cursor, entries []feed.Entry) (feed.Cursor, error) {
	next := at
	var failed error
	for i, e := range entries {
		if rd.wanted(e) {
			if failed = cmp.Or(rd.handle(ctx, e), context.Cause(ctx)); failed != nil {
				break // whoever is told may be gone, and is told again
			}
			if rd.name != shownReader || i%shownBatch == shownBatch-1 { // a program may take long for each
				if err := rd.c.inbox.SetCursor(rd.name, next.With(e), rd.age); err != nil {
					return next, err
				}
			}
		}
		next = next.With(e)
	}
	if len(entries) > 0 && next.String() != at.String() {
		if err := rd.c.inbox.SetCursor(rd.name, next, rd.age); err != nil {
			return next, cmp.Or(failed, err)
		}
	}
	return next, failed
}

func (rd *reader) wanted(e feed.Entry) bool {
	tags := rd.req.Tags
	return len(tags) == 0 || slices.ContainsFunc(e.Post.Tags, func(tag string) bool { return slices.Contains(tags, tag) })
}

// begin returns where to begin. What was said before the archive begins is handed on here.
func (rd *reader) begin(ctx context.Context, settled <-chan struct{}) (feed.Cursor, error) {
	inbox := rd.c.inbox
	_, rd.age = inbox.TakenBack(nil, 0)
	at, known, err := inbox.Cursor(rd.name)
	if err != nil {
		return nil, err
	}
	// Of a stranger the newest is not known yet; and what is shown at once is in order.
	if rd.req.Once || len(inbox.Position()) == 0 {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-rd.c.ended:
			return nil, rd.c.err
		case <-settled:
		}
	}
	at, rd.age = inbox.TakenBack(at, rd.age) // while it waited
	if known && !rd.again {
		return at, nil
	}
	last, since := rd.req.Last, rd.req.Since
	if last < 0 && since.IsZero() && rd.past {
		last = follow.FirstEntries
	}
	tail, err := inbox.Tail(last, since, rd.wanted, !rd.past || len(rd.req.Tags) > 0)
	if err != nil {
		return nil, err
	}
	var older []feed.Entry
	if rd.past {
		if older, err = rd.older(ctx, last, since, tail); err != nil {
			rd.r.app.Out().Print(console.Warning{Message: "what was said before is not shown: " + err.Error()})
			if tail, err = inbox.Tail(last, since, rd.wanted, true); err != nil {
				return nil, err
			}
		}
	}
	from := tail.From
	if known { // what was missed must not be lost behind what was asked for
		for w, n := range at {
			from[w] = min(from[w], n)
		}
	}
	if err := inbox.SetCursor(rd.name, from, rd.age); err != nil {
		return nil, err
	}
	for _, e := range older {
		if rd.wanted(e) {
			if err := rd.handle(ctx, e); err != nil {
				return nil, err
			}
		}
	}
	return from, nil
}

// older gets what was asked for and is not in the archive from peers, oldest first.
func (rd *reader) older(ctx context.Context, last int, since time.Time, kept feed.Tail) ([]feed.Entry, error) {
	missing := last - kept.Held
	if missing <= 0 && since.IsZero() {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, oldPatience)
	defer cancel()
	var all []feed.Entry
	room := oldRoom
	for _, w := range slices.Sorted(maps.Keys(kept.Lowest)) {
		got, err := rd.before(ctx, w, kept.Lowest[w], missing, since, &room)
		if err != nil {
			return nil, err
		}
		all = append(all, got...)
	}
	if room <= 0 {
		rd.r.app.Out().Print(console.Warning{Message: "what was said before is not all shown: there is more than " + console.Bytes(oldRoom), Hint: "it stays with the peers"})
	}
	slices.SortStableFunc(all, func(a, b feed.Entry) int { return a.Said().Compare(b.Said()) })
	if since.IsZero() {
		all = all[max(0, len(all)-max(missing, 0)):]
	}
	return all, nil
}

// before gets entries of a writer that come before an index: the last missing ones, or all
// since a time, whichever are more; as many as there is room for, in bytes.
func (rd *reader) before(ctx context.Context, writer string, end int64, missing int, since time.Time, room *int) ([]feed.Entry, error) {
	const run = 256         // entries
	var runs [][]feed.Entry // the newest first
	got := 0
	for first := end; first > 0 && *room > 0; {
		enough := got >= missing
		if n := len(runs); enough && (since.IsZero() || n > 0 && len(runs[n-1]) > 0 && runs[n-1][0].Said().Before(since)) {
			break
		}
		next := max(0, first-run)
		told, err := rd.c.follower.Older(ctx, writer, next, first)
		if err != nil {
			return nil, err
		}
		var part []feed.Entry
		for _, t := range told {
			*room -= len(t.Raw) + oldWeight
			said, err := t.Entry()
			if err != nil {
				continue
			}
			if e, ok := feed.EntryOf(rd.c.inbox.Channel(), writer, t.Index, t.State.String(), said); ok {
				part = append(part, e)
			}
		}
		runs, first = append(runs, part), next
		got += len(part)
	}
	slices.Reverse(runs)
	out := slices.Concat(runs...)
	old := slices.IndexFunc(out, func(e feed.Entry) bool { return !since.IsZero() && !e.Said().Before(since) })
	keep := max(0, len(out)-max(missing, 0))
	if old >= 0 {
		keep = min(keep, old)
	}
	return out[keep:], nil
}
