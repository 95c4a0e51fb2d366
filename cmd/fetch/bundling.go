package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"handful/manifest"
	"handful/manifest/seal"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/bundle"
	"handful/swarm/console"
	"handful/swarm/follow"
	"handful/swarm/store"
)

// taken is what a bundle led to.
type taken struct {
	infohashes []string // hex, of what is complete
	line       *console.Taken
}

// TakeBundle takes in a bundle.
func (r *running) TakeBundle(ctx context.Context, req bundleRequest, report func(console.Line)) (out taken, err error) {
	file, err := os.Open(req.Path)
	if err != nil {
		return out, fmt.Errorf("open the bundle: %w", err)
	}
	defer file.Close()
	in, err := bundle.NewReader(file)
	if err != nil {
		return out, fmt.Errorf("%s: %w", req.Path, err)
	}
	id := in.ID()
	switch _, err := os.Stat(filepath.Join(r.dir, "trust", id.String()+".trust")); {
	case req.Link != nil && req.Link.ID != id:
		return out, fmt.Errorf("%s is of channel %s: %w", req.Path, id, signing.ErrOtherChannel)
	case req.Link == nil && errors.Is(err, fs.ErrNotExist):
		return out, strangeBundle(req.Path, id)
	}
	link := signing.Link{ID: id, Index: -1}
	if req.Link != nil {
		link.ReadKey = req.Link.ReadKey
	}
	f, err := r.follower(link, nil, nil)
	if err != nil {
		return out, err
	}
	keys, err := r.keysOf(id)
	if err != nil {
		return out, err
	}
	s := &bundleSink{r: r, f: f, keys: keys, req: req, report: report, before: make(map[string]int64)}
	for _, w := range f.Trust().Writers() {
		s.before[w] = f.Trust().Size(w)
	}
	err = f.TakeBundle(ctx, in, s)
	if err != nil {
		err = fmt.Errorf("%s: %w", req.Path, err)
	}
	if s.lost != nil {
		if s.done == nil {
			err = errors.Join(err, s.lost)
		} else if err == nil {
			err = &console.Fault{Code: console.Partly, Message: "some files were not taken", Hint: console.Hint(s.lost), Err: s.lost}
		}
	}
	head := f.Trust().Head(signing.MainWriter)
	if head.Raw != nil {
		out.line = &console.Taken{Channel: id.String(), Title: f.Trust().Root().Title(), Entries: s.entries, Items: len(s.done),
			State: f.Trust().State(signing.MainWriter, r.app.Env.Now()).String(), Signed: head.Time.UTC().Format(time.RFC3339)}
	}
	out.infohashes = s.done
	return out, err
}

// bundleSink puts what a bundle has where it belongs.
type bundleSink struct {
	r       *running
	f       *follow.Follower
	keys    *readKeys
	req     bundleRequest
	report  func(console.Line)
	before  map[string]int64 // entries of each writer that were known
	entries int64
	done    []string // infohashes of what is complete
	lost    error    // what could not be taken
}

// maxShown is how many of the newest texts are shown of a writer who is new here.
const maxShown = 20

// Entries shows the texts that are new here.
func (s *bundleSink) Entries(_ context.Context, writer string, first int64, entries [][]byte) error {
	s.entries += int64(len(entries))
	trust := s.f.Trust()
	from := s.before[writer]
	if from == 0 {
		from = trust.Size(writer) - maxShown
	}
	for i, raw := range entries {
		index := first + int64(i)
		entry, err := manifest.ParseEntry(raw)
		switch e := entry.(type) {
		case manifest.Rekey:
			// Nobody can be asked for it again. Who is no reader has got none.
			if err := s.keys.Learn(e); err != nil && !errors.Is(err, seal.ErrKey) {
				return err
			}
		case manifest.Sealed:
			if inside, err := s.keys.Open(e); err == nil {
				entry = inside
			}
		}
		if post, ok := entry.(manifest.Post); err == nil && ok && index >= from {
			s.report(*entryOf(s.f.ID(), follow.Found{Writer: writer, Index: index, Entry: post, State: trust.State(writer, s.r.app.Env.Now())}))
		}
	}
	return nil
}

// Item writes the files of an entry, piece by piece, and seeds them. What hinders only this
// one is kept for the end.
func (s *bundleSink) Item(ctx context.Context, found follow.Found, t *manifest.Torrent, pieces io.Reader, size int64) error {
	began := s.r.app.Env.Now()
	if s.req.DryRun {
		plan := console.PlanOf("fetch", t)
		plan.Path = filepath.Join(s.req.Dest, t.Name)
		s.report(plan)
		return nil
	}
	ih := t.InfoHash()
	hash := hex.EncodeToString(ih[:])
	if f := s.r.fetching(hash); f != nil {
		if f.item.Snapshot().State == swarm.StateSeeding {
			s.done = append(s.done, hash)
			return nil
		}
		s.lose(found, t, &console.Fault{Code: console.Failed, Message: hash + " is being fetched", Hint: "wait for that, or stop it first"})
		return nil
	}
	c, path, taken, err := s.write(ctx, found, t, pieces, size)
	if err != nil {
		if errors.Is(err, bundle.ErrTruncated) || ctx.Err() != nil {
			return err
		}
		s.lose(found, t, err)
		return nil
	}
	f := &fetching{meta: s.meta(found), dest: s.req.Dest, began: began, gone: make(chan error, 1), content: c}
	if s.opens(found) {
		if err := s.r.unseal(ctx, f, s.req.Force, func(p console.Progress) { s.report(p) }); err != nil {
			s.lose(found, t, err)
			return c.Close()
		}
		path = f.path
	}
	s.r.mu.Lock()
	f.item, err = s.r.node.Add(swarm.Spec{Content: c, Unlisted: found.Private})
	if err == nil {
		s.r.items[hash] = f
		s.r.watchWithdrawal(s.f, f, t.Name)
	}
	s.r.mu.Unlock()
	if err != nil {
		return errors.Join(err, c.Close())
	}
	s.done = append(s.done, hash)
	s.report(console.Done{Path: path, Bytes: t.Length(), Seconds: s.r.app.Env.Now().Sub(began).Seconds(), Verified: true,
		Received: console.Received{Reused: t.Length() - taken}})
	return nil
}

func (s *bundleSink) lose(found follow.Found, t *manifest.Torrent, err error) {
	s.lost = errors.Join(s.lost, fmt.Errorf("entry %s/%d (%s): %w", found.Writer, found.Index, t.Name, err))
}

func (s *bundleSink) meta(found follow.Found) meta {
	id := s.f.ID()
	return meta{Channel: id.String(), Writer: found.Writer, Index: found.Index, After: found.After, Sealed: found.Sealed != nil,
		Link: signing.Link{ID: id, Writer: found.Writer, Index: found.Index}.String()}
}

// opens reports whether the content of an entry is encrypted, and a key to it is here.
func (s *bundleSink) opens(found follow.Found) bool {
	_, shut := found.Entry.(manifest.Sealed)
	return found.Sealed != nil && !shut
}

// write fills a download with the pieces of a bundle and puts it into place. What was
// verified before is only read past.
func (s *bundleSink) write(ctx context.Context, found follow.Found, t *manifest.Torrent, pieces io.Reader, size int64) (c *store.Content, path string, taken int64, err error) {
	b, err := json.Marshal(s.meta(found))
	if err != nil {
		return nil, "", 0, err
	}
	o := store.DownloadOptions{Force: s.req.Force, Meta: b}
	if s.opens(found) {
		c, err = s.r.openSealed(ctx, t, fetchRequest{Dest: s.req.Dest}, o)
	} else {
		c, err = s.r.store.Download(ctx, t, s.req.Dest, o)
	}
	if err != nil {
		return nil, "", 0, err
	}
	fail := func(err error) (*store.Content, string, int64, error) { return nil, "", 0, errors.Join(err, c.Close()) }
	var done int64
	err = bundle.EachPiece(t, pieces, size, func(piece int, data []byte) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		complete, known := c.State(piece)
		if !known {
			v, err := c.Verify(piece)
			if err != nil {
				return err
			}
			if complete = v != manifest.Bad; complete {
				if err := c.SetComplete(piece, true); err != nil {
					return err
				}
			}
		}
		if !complete {
			n, _, err := c.PutPiece(piece, data)
			if err != nil {
				return err
			}
			taken += n
		}
		done += int64(len(data))
		s.report(console.Progress{Stage: "copy", Done: min(done, t.Length()), Total: t.Length(), Name: t.Name})
		return nil
	})
	if err != nil {
		return fail(err)
	}
	if path, err = c.Finish(ctx); err != nil {
		return fail(err)
	}
	if path == "" {
		path = filepath.Join(s.req.Dest, t.WrittenName())
	}
	return c, path, taken, nil
}

// MakeBundle puts what is held of a channel into a file. Files whose entries can no longer
// be proven from what is held are left out, and named in the error.
func (r *running) MakeBundle(ctx context.Context, req bundleRequest, report func(console.Line)) (*console.Bundled, error) {
	id := req.Link.ID
	f, err := r.follower(signing.Link{ID: id, Index: -1}, nil, nil)
	if err != nil {
		return nil, err
	}
	trust := f.Trust()
	if trust.Root() == nil || trust.Head(signing.MainWriter).Raw == nil {
		return nil, &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("nothing is known here of channel %s", id), Hint: "fetch something of it first"}
	}
	news := bundle.News{Writers: make(map[string]bundle.Log)}
	for v := int64(1); v <= trust.Root().Version(); v++ {
		news.Roots = append(news.Roots, trust.RootBytes(v))
	}
	if t := trust.Targets(); t != nil {
		news.Targets = [][]byte{t.Bytes()}
		news.Grants = grantsOf(trust)
	}
	out := &console.Bundled{Channel: id.String(), Path: req.Path, Link: signing.Link{ID: id, Index: -1}.String()}
	for _, w := range trust.Writers() {
		l := heldLog{trust, w, trust.Size(w)}
		news.Writers[w] = l
		out.Entries += l.size - l.First()
	}
	items, lost := r.bundleItems(id, trust)
	if req.DryRun {
		plan := console.Plan{Action: "export", Name: id.String(), Path: req.Path}
		for _, it := range items {
			plan.Bytes += it.t.Length()
			plan.Files += countFiles(it.t)
		}
		report(plan)
		return nil, nil
	}
	out.Items = len(items)
	out.Bytes, err = console.WriteBundle(req.Path, req.Force, id, func(w *bundle.Writer) error {
		if err := w.PutNews(news); err != nil {
			return err
		}
		for _, it := range items {
			err := w.PutItem(it.meta.Writer, it.meta.Index, it.proof, it.t, it.content, func(n int64) error {
				report(console.Progress{Stage: "copy", Done: n, Total: it.t.Length(), Name: it.t.Name})
				return context.Cause(ctx)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, it := range items {
		err = errors.Join(err, it.close())
	}
	if err != nil {
		return nil, err
	}
	if lost != nil {
		return out, &console.Fault{Code: console.Partly, Message: "some files were left out", Hint: "export while peers or a mirror of the channel can be reached, or ask the publisher for a bundle", Err: lost}
	}
	return out, nil
}

// bundleItem is something that was fetched and can be put into a bundle.
type bundleItem struct {
	meta    meta
	t       *manifest.Torrent
	proof   signing.Page
	content bundle.Content
	close   func() error
}

// bundleItems opens what was fetched of a channel and is complete. lost names the rest.
func (r *running) bundleItems(id signing.ID, trust *follow.Trust) (items []bundleItem, lost error) {
	records, err := r.store.Load()
	lost = err
	for _, rec := range records {
		m, err := parseMeta(rec.Meta)
		if err != nil || m.Channel != id.String() || rec.Kind == store.Partial {
			continue
		}
		it := bundleItem{meta: m, close: func() error { return nil }}
		name := fmt.Sprintf("entry %s/%d (%s)", m.Writer, m.Index, rec.Name)
		var ok bool
		if it.proof, ok = trust.Page(m.Writer, m.Index, 1); !ok {
			lost = errors.Join(lost, fmt.Errorf("%s: its entry is older than those that are kept here", name))
			continue
		}
		if it.t, err = r.store.Torrent(rec.InfoHash); err == nil {
			err = r.openItem(&it, rec)
		}
		if err != nil {
			lost = errors.Join(lost, fmt.Errorf("%s: %w", name, err))
			continue
		}
		items = append(items, it)
	}
	return items, lost
}

func (r *running) openItem(it *bundleItem, rec store.Record) error {
	if f := r.fetching(hex.EncodeToString(rec.InfoHash[:])); f != nil {
		if c := f.item.Content(); c != nil && c.Complete() {
			it.content = c
			return nil
		}
		return store.ErrIncomplete
	}
	c, err := r.store.Reopen(context.Background(), rec)
	if err != nil {
		return err
	}
	it.content, it.close = c, c.Close
	return nil
}

// heldLog is what a follower holds of a writer's log, as a bundle needs it.
type heldLog struct {
	trust  *follow.Trust
	writer string
	size   int64
}

func (l heldLog) News() (signing.Update, bool) { return l.trust.UpdateFor(l.writer, 0) }
func (l heldLog) Size() int64                  { return l.size }

func (l heldLog) First() int64 {
	first, entries := l.trust.Held(l.writer)
	if len(entries) == 0 {
		return l.size
	}
	return first
}

func (l heldLog) Leaves(first, count int64) ([][32]byte, error) {
	from, entries := l.trust.Held(l.writer)
	if first < from || first+count > from+int64(len(entries)) {
		return nil, fmt.Errorf("entries %d to %d of writer %q are no longer held", first, first+count, l.writer)
	}
	return follow.LeafHashes(entries[first-from : first-from+count]), nil
}

func (l heldLog) Page(first, count int64) (signing.Page, error) {
	p, ok := l.trust.Page(l.writer, first, count)
	if !ok || p.Size != l.size {
		return p, fmt.Errorf("entry %d of writer %q is no longer held", first, l.writer)
	}
	return p, nil
}

// grantsOf returns the entries that are held and grant the documents in force.
func grantsOf(trust *follow.Trust) (at []int64) {
	first, entries := trust.Held(signing.MainWriter)
	for i := len(entries) - 1; i >= 0; i-- {
		if e, err := manifest.ParseEntry(entries[i]); err == nil && e.Kind() == kindGrant {
			return []int64{first + int64(i)}
		}
	}
	return nil
}

// kindGrant is the kind of entries that grant writers; see package signing.
const kindGrant = "grant"
