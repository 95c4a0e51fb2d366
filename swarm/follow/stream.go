package follow

import (
	"context"
	"errors"
	"slices"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/channel"
)

// Told is an entry of the stream of a channel: verified, and not read.
type Told struct {
	Writer string
	Index  int64
	Raw    []byte
	State  signing.State // of the writer

	inside manifest.Entry // of a sealed one that a key opens
	gone   int64          // version of the document that had taken entries of the writer back last
}

// Entry reads it: of one that is sealed, what is inside, if a key opens it.
func (t Told) Entry() (manifest.Entry, error) {
	if t.inside != nil {
		return t.inside, nil
	}
	return manifest.ParseEntry(t.Raw)
}

const (
	batch        = 256     // entries of a writer that are handed on at a time
	maxAhead     = 4096    // entries of a writer that are asked for at a time
	maxAheadSize = 8 << 20 // bytes of them
	maxLefts     = 32      // ranges of a window that are remembered
	maxHeads     = 8       // of a writer, that pages may be proven against
	// pageTime is how long a page is waited for before another peer is asked.
	pageTime = 1500 * time.Millisecond
)

// window is what of a writer's log is being read.
type window struct {
	next  int64 // to be handed on
	raw   map[int64][]byte
	size  int                   // bytes in raw
	heads []signing.Head        // that were verified, the newest last
	upto  int64                 // entries before it were asked for
	moved time.Time             // when something was asked for or came
	tried map[channel.Peer]bool // since something came
	left  map[int64][][32]byte  // compact ranges [0, i) that came with pages from i on; about maxLefts
	gone  int64                 // version of the document that took entries back last
}

// Read hands on all entries of all writers, of each in order, until ctx ends or take fails,
// and returns why. from says where to begin with a writer whose log has size entries; it is
// called once for each. What is not held is asked of peers in pages, of those that hold it
// and of the writers' own nodes last. take gets what is there at the time; when it has
// returned nil the entries count as handed on and are not kept any more; over a restart
// (Trust.Next) too, but for those of the last second before a crash. When a document takes
// entries back, take is called, with none if none are there, and it goes on with those that
// stand in their place. One Read at a time.
func (f *Follower) Read(ctx context.Context, from func(writer string, size int64) int64, take func([]Told) error) (err error) {
	f.mu.Lock()
	if f.windows != nil {
		f.mu.Unlock()
		return errors.New("the channel is read already")
	}
	f.windows = make(map[string]*window)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.windows = nil
		f.mu.Unlock()
	}()
	done := &handed{f: f, next: make(map[string]int64)}
	defer func() { err = errors.Join(err, done.save()) }()
	listen := time.NewTimer(listenTime)
	defer listen.Stop()
	again := time.NewTicker(pageTime)
	defer again.Stop()
	for {
		news := f.Changed()
		told, back := f.collectTold(from)
		for _, w := range back {
			delete(done.next, w) // it was of what is gone
		}
		told = f.revealTold(told, true)
		if len(told) > 0 || len(back) > 0 {
			if err := take(told); err != nil {
				return err
			}
			f.handedOn(told, done)
		}
		if err := done.saveDue(f.cfg.Now()); err != nil {
			return err
		}
		if len(told) > 0 {
			continue
		}
		f.askMissing()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		case <-again.C:
		case <-listen.C:
			for _, w := range f.Writers() {
				f.decide(w)
			}
		}
	}
}

// collectTold returns what comes next of each writer and is here, and the writers of whom
// entries were taken back since it was called last.
func (f *Follower) collectTold(from func(string, int64) int64) (told []Told, back []string) {
	now := f.cfg.Now()
	for _, w := range f.Writers() {
		head := f.trust.Head(w)
		if head.Raw == nil {
			if f.tookBack(w) {
				back = append(back, w)
			}
			continue
		}
		first, held := f.trust.Held(w)
		state := f.trust.State(w, now)
		f.mu.Lock()
		win := f.windows[w]
		if win == nil {
			f.mu.Unlock()
			next := min(max(from(w, head.Size), 0), head.Size) // it may ask this follower
			win = &window{next: next, raw: make(map[int64][]byte), tried: make(map[channel.Peer]bool), gone: lastVersion(f.trust.Withdrawn(w))}
			f.change(func() { f.windows[w] = win }) // a page may wait for it
			f.mu.Lock()
		}
		f.mu.Unlock()
		if f.tookBack(w) { // others have taken the place of some
			back = append(back, w)
		}
		f.mu.Lock()
		win.verified(head)
		for i := win.next; i < min(head.Size, win.next+batch); i++ {
			raw := win.raw[i]
			if i >= first && i < first+int64(len(held)) {
				raw = held[i-first]
			}
			if raw == nil {
				break
			}
			told = append(told, Told{Writer: w, Index: i, Raw: raw, State: state, gone: win.gone})
		}
		f.mu.Unlock()
	}
	return told, back
}

// tookBack reports whether entries of a writer were taken back, whose log has no head since,
// and begins the window anew.
func (f *Follower) tookBack(writer string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	win := f.windows[writer]
	gone := lastVersion(f.trust.Withdrawn(writer))
	if win == nil || gone == win.gone {
		return false
	}
	*win = window{next: min(win.next, f.trust.Next(writer)), raw: make(map[int64][]byte), tried: make(map[channel.Peer]bool), gone: gone}
	return true
}

// verified takes a head that pages may be proven against.
func (w *window) verified(h signing.Head) {
	if n := len(w.heads); n > 0 && w.heads[n-1].Size == h.Size && w.heads[n-1].Root == h.Root {
		return
	}
	w.heads = append(w.heads, h)
	if len(w.heads) > maxHeads {
		w.heads = slices.Delete(w.heads, 0, 1)
	}
}

// handed is what was handed on and is not in the state yet: it is written once a second, and
// after a crash the last second is read again.
type handed struct {
	f    *Follower
	next map[string]int64
	at   time.Time // when it was written
}

func (h *handed) saveDue(now time.Time) error {
	if len(h.next) == 0 || now.Sub(h.at) < time.Second {
		return nil
	}
	h.at = now
	return h.save()
}

func (h *handed) save() error {
	if len(h.next) == 0 {
		return nil
	}
	next := h.next
	h.next = make(map[string]int64)
	return h.f.trust.Do(func(s *signing.Trusted) error {
		for w, n := range next {
			s.HandedOn(w, n)
		}
		return nil
	})
}

// handedOn notes that entries were taken.
func (f *Follower) handedOn(told []Told, done *handed) {
	f.change(func() {
		for _, t := range told {
			w := f.windows[t.Writer]
			w.next = t.Index + 1
			w.size -= len(w.raw[t.Index])
			delete(w.raw, t.Index)
			delete(w.left, t.Index)
			done.next[t.Writer] = w.next
		}
	})
}

// askMissing asks for what comes next of each writer and is not here.
func (f *Follower) askMissing() {
	now := f.cfg.Now()
	for _, w := range f.Writers() {
		head := f.trust.Head(w)
		if head.Raw == nil {
			continue
		}
		first, held := f.trust.Held(w)
		f.mu.Lock()
		win := f.windows[w]
		if win == nil || win.next >= head.Size || win.next < win.upto && now.Sub(win.moved) < pageTime {
			f.mu.Unlock()
			continue
		}
		upto := min(head.Size, win.next+maxAhead)
		if len(held) > 0 && first > win.next {
			upto = min(upto, first)
		}
		next := win.next
		f.mu.Unlock()
		if p, ok := f.whomToAsk(w, next); ok {
			f.mu.Lock()
			win.upto, win.moved, win.tried[p] = upto, now, true
			f.mu.Unlock()
			f.wire.AskPages(p, w, next, upto-next, head.Size)
		}
	}
}

// whomToAsk returns a peer that has an entry, or may have it. Who was asked and gave nothing
// is asked again when nobody else is left.
func (f *Follower) whomToAsk(writer string, index int64) (channel.Peer, bool) {
	peers := f.wire.Holders(writer, index)
	if len(peers) == 0 {
		peers = f.channel.Peers()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	tried := f.windows[writer].tried
	for _, p := range peers {
		if !tried[p] {
			return p, true
		}
	}
	clear(tried)
	if len(peers) == 0 {
		return 0, false
	}
	return peers[0], true
}

// keepPage takes a page of what is being read, and reports whether it was that.
func (f *Follower) keepPage(writer string, page signing.Page) bool {
	f.mu.Lock()
	win := f.windows[writer]
	if win == nil || page.First > win.next+maxAhead || page.First+int64(len(page.Entries)) <= win.next {
		f.mu.Unlock()
		return false
	}
	heads := slices.Clone(win.heads)
	f.mu.Unlock()
	i := slices.IndexFunc(heads, func(h signing.Head) bool { return h.Size == page.Size })
	if i < 0 || page.Verify(heads[i]) != nil {
		return false
	}
	f.change(func() {
		if f.windows[writer] != win {
			return // it is not read any more
		}
		win.moved = f.cfg.Now()
		clear(win.tried)
		if win.left == nil {
			win.left = make(map[int64][][32]byte)
		}
		if len(win.left) < maxLefts || page.First == win.next {
			win.left[page.First] = page.Left
		}
		for n, raw := range page.Entries {
			at := page.First + int64(n)
			if at < win.next || win.raw[at] != nil || win.size+len(raw) > maxAheadSize {
				continue
			}
			win.raw[at] = raw
			win.size += len(raw)
		}
	})
	return len(f.unasked(writer, page)) == 0
}

// unasked returns which entries of a page somebody waits for beside the reader.
func (f *Follower) unasked(writer string, page signing.Page) (out []place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range page.Entries {
		if at := (place{writer, page.First + int64(n)}); f.wanted[at] {
			out = append(out, at)
		}
	}
	return out
}

// border returns the compact range [0, at) of a writer's log, if it is known.
func (f *Follower) border(writer string, at int64) ([][32]byte, bool) {
	if left, ok := f.trust.Range(writer, at); ok {
		return left, true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if win := f.windows[writer]; win != nil {
		left, ok := win.left[at]
		return left, ok
	}
	return nil, false
}
