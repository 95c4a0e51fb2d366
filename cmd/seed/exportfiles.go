package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/bundle"
	"handful/swarm/console"
	"handful/swarm/publish"
	"handful/swarm/store"
)

// exported is an entry whose torrent is here.
type exported struct {
	writer string
	index  int64
	t      *manifest.Torrent
	open   func(ctx context.Context) (content, error)
	proof  func() (signing.Page, error) // of the entry
}

// where names the entry.
func (e exported) where() string { return fmt.Sprintf("%s/%d (%s)", e.writer, e.index, e.t.Name) }

// borrow opens the state of fetch beside that of seed: the files of other writers are there, if
// they are on this machine. A node of fetch that runs has it to itself.
func (x *export) borrow() {
	dir := filepath.Join(filepath.Dir(x.o.dir), "fetch")
	if _, err := os.Stat(filepath.Join(dir, "state.db")); err != nil {
		return
	}
	s, err := store.Open(dir, store.Options{})
	switch {
	case errors.Is(err, store.ErrLocked):
		x.report(console.Warning{Message: "files that fetch has are left out: its node runs", Hint: "stop it (fetch serve) and export again"})
	case err != nil:
		x.report(console.Warning{Message: "files that fetch has are left out: " + err.Error()})
	default:
		x.fetched = s
	}
}

func (x *export) giveBack() {
	if x.fetched == nil {
		return
	}
	if err := x.fetched.Close(); err != nil {
		x.report(console.Warning{Message: "the state of fetch: " + err.Error()})
	}
}

// items returns what entries in force name, of the main writer's log from first on, and whose
// torrent is here. It says of which it is not.
func (x *export) items(first, size int64) (items []exported, err error) {
	held, fetched := x.held(x.o.store), map[[32]byte]store.Record{}
	if x.fetched != nil {
		fetched = x.held(x.fetched)
	}
	done := make(map[[32]byte]bool) // several entries may name one torrent
	add := func(writer string, log pager, from, size int64) error {
		named, err := namedIn(log, from, size)
		if err != nil {
			return err
		}
		var missing []int64
		for _, i := range slices.Sorted(maps.Keys(named)) {
			if done[named[i]] {
				continue
			}
			rec, at, open := held[named[i]], x.o.store, x.open
			if rec.InfoSum != named[i] {
				rec, at, open = fetched[named[i]], x.fetched, x.openFetched
			}
			if rec.InfoSum != named[i] {
				missing = append(missing, i)
				continue
			}
			t, err := at.Torrent(rec.InfoHash)
			if err != nil {
				return err
			}
			if !x.allows(writer, t) {
				continue // followers refuse it
			}
			done[named[i]] = true
			items = append(items, exported{writer: writer, index: i, t: t,
				open:  func(ctx context.Context) (content, error) { return open(ctx, rec) },
				proof: func() (signing.Page, error) { return log.Page(i, 1, size) }})
		}
		x.tellMissing(writer, missing)
		return nil
	}
	if err := add(signing.MainWriter, x.log, first, size); err != nil {
		return nil, err
	}
	for _, c := range x.others() {
		if err := add(c.Writer(), c, x.sinceIn(c), c.Head().Size); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// pager is a log.
type pager interface {
	entries
	Page(first, count, size int64) (signing.Page, error)
}

// held returns what is complete in a store, by the SHA-256 of the info dict.
func (x *export) held(s *store.Store) map[[32]byte]store.Record {
	records, err := s.Load()
	if err != nil {
		x.report(console.Warning{Message: err.Error()})
	}
	all := make(map[[32]byte]store.Record)
	for _, rec := range records {
		if rec.Kind != store.Partial {
			all[rec.InfoSum] = rec
		}
	}
	return all
}

func (x *export) openFetched(ctx context.Context, rec store.Record) (content, error) {
	return x.fetched.Reopen(ctx, rec)
}

// allows reports whether a writer's entries may name a torrent.
func (x *export) allows(writer string, t *manifest.Torrent) bool {
	if writer == signing.MainWriter || x.keys.Newest().Private() {
		return true // names are inside
	}
	doc := x.keys.Document()
	if doc == nil {
		return false
	}
	w, err := doc.Writer(writer)
	return err != nil || w.AllowsTorrent(t.Name) // of who was revoked what came before counts
}

// sinceIn is where another writer's log begins in what is exported: an index is of the main
// writer's.
func (x *export) sinceIn(c *publish.Copy) int64 {
	if x.req.Since.time.IsZero() {
		return 0
	}
	return x.req.Since.in(c, c.Head().Size)
}

// namedIn returns the torrents that entries from first on name and that were not withdrawn, by
// index: the SHA-256 of their info dicts.
func namedIn(log entries, first, size int64) (map[int64][32]byte, error) {
	gone := make(map[int64]bool)
	named := make(map[int64][32]byte)
	for i := size - 1; i >= 0; i-- {
		raw, err := log.Entry(i)
		if err != nil {
			return nil, err
		}
		entry, err := manifest.ParseEntry(raw)
		if err != nil {
			continue // of a later version
		}
		switch e := entry.(type) {
		case manifest.Delete:
			gone[e.Index] = true
		case manifest.Sealed:
			if e.Drops {
				gone[e.Index] = true
			}
		}
		if n, ok := manifest.NamedBy(entry); ok && i >= first {
			named[i] = n.InfoSum
		}
	}
	maps.DeleteFunc(named, func(i int64, _ [32]byte) bool { return gone[i] })
	return named, nil
}

// maxNamed is how many entries are named whose files are missing.
const maxNamed = 10

// tellMissing says of which entries of a writer the files are not here.
func (x *export) tellMissing(writer string, missing []int64) {
	if x.req.NoFiles || len(missing) == 0 {
		return
	}
	x.missing += len(missing)
	var words []string
	for _, i := range missing[:min(len(missing), maxNamed)] {
		words = append(words, fmt.Sprintf("%s/%d", writer, i))
	}
	if more := len(missing) - maxNamed; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	hint := "fetch them on this machine with the same --state-dir (fetch follow LINK --once -o DIR), and export again"
	if writer == signing.MainWriter {
		hint = "publish them again, or withdraw their entries"
	}
	x.report(console.Warning{Message: "files that are not here are left out, of " + strings.Join(words, ", "), Hint: hint})
}

// usable opens what can still be read; the rest is named in the error, which does not
// keep the others back.
func (x *export) usable(ctx context.Context, items []exported) (good []exported, lost error) {
	for _, it := range items {
		c, err := it.open(ctx)
		if err == nil {
			err = c.Close()
		}
		if err != nil {
			lost = errors.Join(lost, fmt.Errorf("entry %s: %w", it.where(), err))
			continue
		}
		good = append(good, it)
	}
	return good, lost
}

func (x *export) putItems(ctx context.Context, w *bundle.Writer, items []exported) error {
	var done, total int64
	for _, it := range items {
		total += it.t.Length()
	}
	for _, it := range items {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		page, err := it.proof()
		if err != nil {
			return err
		}
		c, err := it.open(ctx)
		if err != nil {
			return err
		}
		err = w.PutItem(it.writer, it.index, page, it.t, c, func(n int64) error {
			x.progress(done+n, total)
			return context.Cause(ctx)
		})
		if err = errors.Join(err, c.Close()); err != nil {
			return fmt.Errorf("entry %s: %w", it.where(), err)
		}
		done += it.t.Length()
	}
	return nil
}
