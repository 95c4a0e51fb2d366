package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/console"
	"handful/swarm/follow"
	"handful/swarm/store"
)

// offline is the state directory while no node runs. It holds the lock.
type offline struct {
	dir   string
	store *store.Store
}

func openOffline(_ context.Context, stateDir string) (state, error) {
	s, err := store.Open(stateDir, store.Options{})
	if err != nil {
		return nil, err
	}
	return &offline{dir: stateDir, store: s}, nil
}

func (o *offline) Close() error { return o.store.Close() }

// Status lists what the store remembers. A record that is damaged is an error
// beside those that are not.
func (o *offline) Status(context.Context) (console.Status, []console.Item, error) {
	records, err := o.store.Load()
	if err != nil && len(records) == 0 {
		return console.Status{}, nil, err
	}
	status := console.Status{StateDir: o.dir, Items: len(records)}
	var items []console.Item
	for _, r := range records {
		item, err := o.item(r)
		if err != nil {
			return status, items, err
		}
		status.Uploaded += r.Uploaded
		items = append(items, item)
	}
	return status, items, err
}

// Around is nobody's knowledge while no node runs.
func (o *offline) Around() []console.Around { return nil }

// item describes a record.
func (o *offline) item(r store.Record) (console.Item, error) {
	t, err := o.store.Torrent(r.InfoHash)
	if err != nil {
		return console.Item{}, err
	}
	m, err := parseMeta(r.Meta)
	if err != nil {
		return console.Item{}, fmt.Errorf("%s: %w", r.Name, err)
	}
	item := console.Item{Link: cmp.Or(m.Link, t.Magnet(nil, nil)), Channel: m.Channel, Writer: m.Writer, Index: m.Index,
		Name: r.Name, Infohash: hex.EncodeToString(r.InfoHash[:]), Bytes: r.Length,
		Files: countFiles(t), Path: r.Path(), State: "stopped", Uploaded: r.Uploaded}
	if r.Kind == store.Sealed {
		inner, err := o.store.Torrent(r.Inner)
		if err != nil {
			return console.Item{}, err
		}
		item.Files = countFiles(inner)
	}
	if r.Kind != store.Partial {
		item.Done = r.Length
	}
	return item, nil
}

// meta is what is remembered beside a torrent: where it was published.
type meta struct {
	Channel string `json:"channel,omitempty"`
	Writer  string `json:"writer,omitempty"`
	Index   int64  `json:"index"`
	After   int64  `json:"after,omitempty"` // follow.Found.After
	Link    string `json:"link,omitempty"`
	Sealed  bool   `json:"sealed,omitempty"` // of a private channel
}

func parseMeta(b []byte) (m meta, err error) {
	if len(b) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("what was remembered beside it: %w", err)
	}
	return m, nil
}

func countFiles(t *manifest.Torrent) (n int) {
	for _, f := range t.Files {
		if !f.Pad {
			n++
		}
	}
	return n
}

// Torrent finds what was fetched to a path. What was fetched there before and was replaced since is remembered as well:
// of several the one that is there now counts.
func (o *offline) Torrent(ctx context.Context, path string) (*manifest.Torrent, error) {
	records, err := o.store.Load()
	var there []store.Record
	for _, r := range records {
		if samePath(r.Path(), path) {
			there = append(there, r)
		}
	}
	if len(there) == 0 {
		return nil, cmp.Or(err, fmt.Errorf("%s: %w", path, store.ErrNotFound))
	}
	found := there[len(there)-1]
	for _, r := range there[:len(there)-1] {
		if r.Kind == store.Partial {
			continue // it is not there yet
		}
		c, err := o.store.Reopen(ctx, r)
		if err == nil {
			err = c.Close()
		}
		if !errors.Is(err, store.ErrChanged) {
			found = r
			break
		}
	}
	if found.Kind == store.Sealed {
		return o.store.Torrent(found.Inner)
	}
	return o.store.Torrent(found.InfoHash)
}

// samePath compares paths that may lead through symbolic links.
func samePath(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := filepath.EvalSymlinks(a)
	y, errY := filepath.EvalSymlinks(b)
	return errX == nil && errY == nil && x == y
}

// Known reads what is believed of a channel.
func (o *offline) Known(_ context.Context, id signing.ID) (known, error) {
	dir := filepath.Join(o.dir, "trust")
	t, err := follow.OpenTrust(dir, id)
	if err != nil {
		return known{}, err
	}
	if t.Root() == nil {
		return known{}, &console.Fault{Code: console.NotFound, Message: fmt.Sprintf("nothing is known of channel %s here", id),
			Hint: "`fetch trust` without --offline asks peers"}
	}
	return known{trust: t, writers: t.Writers(), standing: func(writer string, now time.Time) signing.Standing {
		return t.Standing(writer, now, 0, 0)
	}}, nil
}
