package follow

import (
	"context"
	"fmt"
	"slices"
	"time"

	"handful/signing"
)

// MaxOlder is how many entries Older returns at most.
const MaxOlder = 10_000

// Older returns the entries of a writer from first up to last, without last, verified: those
// that are not held are asked of peers, the newest first in time, and are not kept. It is
// for what was said before a follower came, or has been dropped since.
func (f *Follower) Older(ctx context.Context, writer string, first, last int64) ([]Told, error) {
	first, last = max(first, 0), min(last, f.trust.Size(writer))
	if last-first > MaxOlder {
		return nil, fmt.Errorf("channel %s: %d entries are more than %d", f.cfg.ID, last-first, MaxOlder)
	}
	defer f.unwant(writer, first, last)
	again := time.NewTicker(pageTime)
	defer again.Stop()
	out := make([]Told, max(last-first, 0))
	var asked time.Time
	upto := last // what was asked for begins there
	for {
		news := f.Changed()
		missing := f.older(writer, first, out)
		if missing < 0 {
			return f.revealTold(out, false), nil
		}
		if now := f.cfg.Now(); missing < upto || now.Sub(asked) >= pageTime {
			asked, upto = now, max(first, missing+1-batch)
			f.askOlder(writer, upto, missing+1)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("channel %s: entry %d of writer %q was not had from a peer: %w", f.cfg.ID, missing, writer, context.Cause(ctx))
		case <-news:
		case <-again.C:
		}
	}
}

// older fills in what is here and returns the index of the newest that is missing, -1 if
// none is.
func (f *Follower) older(writer string, first int64, out []Told) int64 {
	missing := int64(-1)
	held, entries := f.trust.Held(writer)
	state := f.trust.State(writer, f.cfg.Now())
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range out {
		at := place{writer, first + int64(i)}
		raw := out[i].Raw
		if n := at.index - held; raw == nil && n >= 0 && n < int64(len(entries)) {
			raw = entries[n]
		}
		if raw == nil {
			raw = f.pages[at]
		}
		if raw == nil {
			f.wanted[at] = true
			missing = at.index
			continue
		}
		out[i] = Told{Writer: writer, Index: at.index, Raw: raw, State: state}
	}
	return missing
}

// askOlder asks two peers for a run of entries: the answer of one may not come.
func (f *Follower) askOlder(writer string, from, last int64) {
	peers := f.wire.Holders(writer, from)
	if len(peers) == 0 {
		peers = f.channel.Peers()
	}
	size := f.trust.Size(writer)
	for _, p := range peers[:min(len(peers), 2)] {
		f.wire.AskPages(p, writer, from, last-from, size)
	}
}

func (f *Follower) unwant(writer string, first, last int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := first; i < last; i++ {
		delete(f.wanted, place{writer, i})
		delete(f.pages, place{writer, i})
	}
}

// Caught waits until all that is known to have been said was handed on by Read: enough
// peers have told what they hold, or some have and no more came for a while. It returns why
// ctx ended.
func (f *Follower) Caught(ctx context.Context) error {
	listen := time.NewTimer(listenTime)
	defer listen.Stop()
	listened := false
	writers := f.Writers()
	for {
		news := f.Changed()
		if now := f.Writers(); !slices.Equal(now, writers) { // of whom peers are asked from now on
			writers, listened = now, false
			listen.Reset(listenTime)
		}
		if f.caught(listened) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		case <-listen.C:
			listened = true
		}
	}
}

func (f *Follower) caught(listened bool) bool {
	f.mu.Lock()
	sources := len(f.told[signing.MainWriter])
	f.mu.Unlock()
	if sources < enoughSources && (sources == 0 || !listened) || f.trust.Head(signing.MainWriter).Raw == nil || f.trust.Wants() != (signing.Need{}) {
		return false
	}
	for _, w := range f.Writers() {
		size := f.trust.Size(w)
		f.mu.Lock()
		win := f.windows[w]
		behind := size > 0 && (win == nil || win.next < size)
		if c := f.contacts[w]; size == 0 && !f.trust.Closed(w) {
			behind = !listened || c != nil && !c.over // who was granted just now may have said something
		}
		f.mu.Unlock()
		if behind || f.channel.Behind(w) {
			return false
		}
	}
	return true
}
