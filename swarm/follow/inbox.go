package follow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/durable"
	"handful/swarm/feed"
)

const (
	// FirstEntries is how many entries of each writer a first meeting takes, the newest.
	FirstEntries = 50

	recentEntries = 1024 // that are kept in memory
	recentSize    = 4 << 20
	pruneEvery    = 1000 // entries, or a tenth of how many are kept
	pruneAfter    = time.Hour
	maxCursor     = 16 << 10 // bytes of a cursor's file
)

// InboxConfig says what an Inbox keeps, and where.
type InboxConfig struct {
	Channel signing.ID
	// Dir is the channel's own directory; its caller holds the lock of the state directory.
	Dir string
	FS  durable.FS // nil: the operating system's
	// First is how many entries of each writer the first meeting takes, the newest; 0:
	// FirstEntries.
	First  int
	Keep   feed.Keep // what of the archive is kept; zero: all
	Pin    []string  // entries with one of these tags are kept whatever Keep says
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Inbox is what a follower has of one channel to read: an archive on disk, the newest of it
// in memory, and for each reader how far it is.
//
//	DIR/archive/…       feed.Archive
//	DIR/past/…          the same as it stands in the logs, for others: see past
//	DIR/cursors/<name>  a feed.Cursor: what the reader of that name has; and in a second line,
//	                    if it is not 0, how many lines of DIR/back it takes account of
//	DIR/back            what documents have taken back: a writer, the version of the document,
//	                    and the index from which on, a line each
//
// Entries are in the archive before anybody is told of them, and a reader's cursor is
// written when it has taken them: so over a crash nobody misses one, and somebody may get
// those again that he took just before it. All methods are safe for concurrent use.
type Inbox struct {
	cfg     InboxConfig
	fs      durable.FS
	archive *feed.Archive
	past    *past
	shut    atomic.Int64

	mu     sync.Mutex // guards what follows
	recent []feed.Entry
	size   int         // bytes of recent, about
	floor  feed.Cursor // recent has all that is archived from here on
	subs   map[chan struct{}]bool
	added  int       // since the last pruning
	pruned time.Time // when
	back   []takenBack
}

// OpenInbox opens what is kept of a channel, and makes it if it is not there.
func OpenInbox(cfg InboxConfig) (*Inbox, error) {
	if cfg.FS == nil {
		cfg.FS = durable.OS{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.First = cmp.Or(cfg.First, FirstEntries)
	a, err := feed.OpenArchive(cfg.FS, filepath.Join(cfg.Dir, "archive"), cfg.Channel)
	if err != nil {
		return nil, err
	}
	if err := cfg.FS.MkdirAll(filepath.Join(cfg.Dir, "cursors")); err != nil {
		return nil, fmt.Errorf("open inbox of channel %s: %w", cfg.Channel, err)
	}
	b := &Inbox{cfg: cfg, fs: cfg.FS, archive: a, past: newPast(cfg.FS, filepath.Join(cfg.Dir, "past")), floor: a.Position(), subs: make(map[chan struct{}]bool)}
	if b.back, err = b.readBack(); err != nil {
		return nil, err
	}
	return b, b.prune(true)
}

// Channel returns whose entries these are.
func (b *Inbox) Channel() signing.ID { return b.cfg.Channel }

// Shut returns how many entries came, since it was opened, that no key here opens.
func (b *Inbox) Shut() int64 { return b.shut.Load() }

// Run takes what a follower hears, until ctx ends or something cannot be written.
func (b *Inbox) Run(ctx context.Context, f *Follower) error {
	if _, err := b.takeBack(f); err != nil {
		return err
	}
	position := b.archive.Position()
	f.past.Store(b.past)
	defer f.past.Store(nil)
	return f.Read(ctx, func(writer string, size int64) int64 {
		if next := cmp.Or(f.Trust().Next(writer), position[writer]); next > 0 {
			// What a crash has taken from behind the past is read once more.
			if first, has, ok := b.past.holds(writer); ok && has < next && next-has <= maxAhead && has > first {
				next = has
			}
			return next
		}
		return size - int64(b.cfg.First)
	}, func(told []Told) error {
		gone, err := b.takeBack(f)
		if err != nil {
			return err
		}
		// What was taken back since it was collected is collected anew.
		told = slices.DeleteFunc(slices.Clone(told), func(t Told) bool { return t.gone != gone[t.Writer] })
		if err := b.take(told); err != nil {
			return err
		}
		return b.keepPast(f, told)
	})
}

// keepPast keeps what came as others may ask for it.
func (b *Inbox) keepPast(f *Follower, told []Told) error {
	for len(told) > 0 {
		first := told[0]
		var raws [][]byte
		for len(told) > 0 && told[0].Writer == first.Writer && told[0].Index == first.Index+int64(len(raws)) {
			raws, told = append(raws, told[0].Raw), told[1:]
		}
		border := func(at int64) ([][32]byte, bool) { return f.border(first.Writer, at) }
		if err := b.past.take(first.Writer, first.Index, raws, border); err != nil {
			return fmt.Errorf("channel %s: %w", b.cfg.Channel, err)
		}
	}
	return nil
}

// take keeps what came.
func (b *Inbox) take(told []Told) error {
	entries := b.read(told)
	if len(entries) == 0 {
		return nil
	}
	if err := b.archive.Append(b.cfg.Now(), entries...); err != nil {
		return err
	}
	b.mu.Lock()
	for _, e := range entries {
		b.recent = append(b.recent, e)
		b.size += weight(e)
	}
	drop := 0
	for ; len(b.recent)-drop > recentEntries || b.size > recentSize && drop < len(b.recent); drop++ {
		b.size -= weight(b.recent[drop])
		b.floor = b.floor.With(b.recent[drop])
	}
	b.recent = slices.Delete(b.recent, 0, drop)
	b.added += len(entries)
	for c := range b.subs {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	b.mu.Unlock()
	return b.prune(false)
}

func weight(e feed.Entry) int { return len(e.Post.Title) + len(e.Post.Body) + 512 }

// read returns the entries that are something to read, in order.
func (b *Inbox) read(told []Told) []feed.Entry {
	var all []feed.Entry
	for _, t := range told {
		said, err := t.Entry()
		if err != nil {
			b.cfg.Logger.Warn("an entry that nobody can read", "channel", b.cfg.Channel, "writer", t.Writer, "index", t.Index, "err", err)
			continue
		}
		if s, sealed := said.(manifest.Sealed); sealed && !s.Drops {
			b.shut.Add(1)
		}
		if e, ok := feed.EntryOf(b.cfg.Channel, t.Writer, t.Index, t.State.String(), said); ok {
			all = append(all, e)
		}
	}
	return InOrder(all)
}

// InOrder returns entries of several writers in the order of their times, and those of one
// in the order in which they are given, whatever its clock said.
func InOrder(entries []feed.Entry) []feed.Entry {
	type timed struct {
		at int64
		e  feed.Entry
	}
	var all []timed
	last := make(map[string]int64)
	for _, e := range entries {
		last[e.Writer] = max(last[e.Writer], e.Post.Head.Time)
		all = append(all, timed{last[e.Writer], e})
	}
	slices.SortStableFunc(all, func(a, b timed) int { return cmp.Compare(a.at, b.at) })
	var out []feed.Entry
	for _, t := range all {
		out = append(out, t.e)
	}
	return out
}

// prune drops from the archive what is not to be kept, now and then.
func (b *Inbox) prune(now bool) error {
	b.mu.Lock()
	at := b.cfg.Now()
	every := pruneEvery
	if count := b.cfg.Keep.Count; count > 0 {
		every = min(every, max(count/10, 1))
	}
	due := now || b.added >= every || at.Sub(b.pruned) >= pruneAfter
	if due {
		b.added, b.pruned = 0, at
	}
	keep, pin := b.cfg.Keep, b.cfg.Pin
	b.mu.Unlock()
	if !due || keep == (feed.Keep{}) && !now {
		return nil
	}
	dropped, err := b.archive.Prune(keep, pin, at)
	if err != nil {
		return err
	}
	if err := b.past.prune(keep, at); err != nil {
		return err
	}
	if dropped > 0 {
		b.cfg.Logger.Info("dropped from the archive", "channel", b.cfg.Channel, "entries", dropped)
	}
	return nil
}

// SetKeep changes what is kept, and drops what is not any more.
func (b *Inbox) SetKeep(keep feed.Keep, pin []string) error {
	b.mu.Lock()
	b.cfg.Keep, b.cfg.Pin = keep, pin
	b.mu.Unlock()
	return b.prune(true)
}

// Newest returns the newest n entries, in the order in which they came.
func (b *Inbox) Newest(n int) ([]feed.Entry, error) {
	b.mu.Lock()
	if len(b.recent) >= n {
		defer b.mu.Unlock()
		return slices.Clone(b.recent[len(b.recent)-n:]), nil
	}
	b.mu.Unlock()
	return b.archive.Newest(n)
}

// Since returns at most n entries that a cursor does not have, of each writer the lowest
// indices first.
func (b *Inbox) Since(from feed.Cursor, n int) ([]feed.Entry, error) {
	b.mu.Lock()
	for w, floor := range b.floor {
		if from[w] < floor {
			b.mu.Unlock()
			return b.archive.Since(from, n)
		}
	}
	defer b.mu.Unlock()
	var out []feed.Entry
	for _, e := range b.recent {
		if len(out) == n {
			break
		}
		if !from.Has(e) {
			out = append(out, e)
		}
	}
	return out, nil
}

// Position returns the cursor that has all there is.
func (b *Inbox) Position() feed.Cursor { return b.archive.Position() }

// Subscribe returns a channel that receives after entries were added; see feed.Source.
func (b *Inbox) Subscribe() (news <-chan struct{}, cancel func()) {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[c] = true
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, c)
	}
}

func (b *Inbox) cursorPath(reader string) string { return filepath.Join(b.cfg.Dir, "cursors", reader) }

// Cursor returns how far a reader is; ok is false when it has not begun. reader is a file's
// name of the caller's choice.
func (b *Inbox) Cursor(reader string) (c feed.Cursor, ok bool, err error) {
	raw, err := durable.ReadFile(b.fs, b.cursorPath(reader), maxCursor)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	text, complete := strings.CutSuffix(string(raw), "\n")
	if err == nil && !complete {
		err = errors.New("it is not complete")
	}
	text, second, more := strings.Cut(text, "\n")
	age := 0
	if err == nil && more {
		age, err = strconv.Atoi(second)
	}
	if err == nil {
		c, err = feed.ParseCursor(text)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%w: %s: %w; remove it to begin anew", ErrCorrupt, b.cursorPath(reader), err)
	}
	c, _ = b.TakenBack(c, age)
	return c, true, nil
}

// SetCursor remembers how far a reader is, of an age: see TakenBack.
func (b *Inbox) SetCursor(reader string, c feed.Cursor, age int) error {
	text := c.String() + "\n"
	if age > 0 {
		text += strconv.Itoa(age) + "\n"
	}
	return durable.WriteFile(b.fs, b.cursorPath(reader), []byte(text))
}

// Tail returns where the newest n entries that are wanted begin, and with them all of a time
// or later when since is not zero, as far as they are kept. It holds none of them. Without
// pins those that are kept for a tag alone do not count: peers have them, and what was
// between them.
func (b *Inbox) Tail(n int, since time.Time, wanted func(feed.Entry) bool, pins bool) (feed.Tail, error) {
	b.mu.Lock()
	pin := slices.Clone(b.cfg.Pin)
	b.mu.Unlock()
	o := feed.TailOptions{N: max(n, 0), Since: since, Wanted: wanted}
	if !pins {
		o.Aside = func(e feed.Entry) bool {
			return slices.ContainsFunc(e.Post.Tags, func(tag string) bool { return slices.Contains(pin, tag) })
		}
	}
	return b.archive.Tail(o)
}
