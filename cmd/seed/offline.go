package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"handful/signing"
	"handful/swarm/channel"
	"handful/swarm/console"
	"handful/swarm/store"
)

// offline is the state directory while no node runs. It holds the lock.
type offline struct {
	dir   string
	store *store.Store
}

func openOffline(_ context.Context, stateDir string) (lister, error) {
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
			return status, nil, err
		}
		status.Uploaded += item.Uploaded
		items = append(items, item)
	}
	return status, items, err
}

func (o *offline) Granted(string) []console.Granted { return nil }

// Around is nobody's knowledge while no node runs.
func (o *offline) Around(signing.ID) (who channel.Around, ok bool) { return who, false }

// Exclusive is what the lock of the state directory sees to.
func (o *offline) Exclusive() func() { return func() {} }

// Reload tells nobody: the next node reads the documents when it starts.
func (o *offline) Reload(context.Context, signing.ID) (bool, error) { return false, nil }

// item describes a record.
func (o *offline) item(r store.Record) (console.Item, error) {
	t, err := o.store.Torrent(r.InfoHash)
	if err != nil {
		return console.Item{}, err
	}
	item := console.Item{Link: t.Magnet(nil, nil), Name: r.Name, Infohash: hex.EncodeToString(r.InfoHash[:]), Bytes: r.Length,
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
	if err := describe(&item, r.Meta); err != nil {
		return item, fmt.Errorf("what was remembered about %s: %w", item.Infohash, err)
	}
	return item, nil
}

// meta is what is remembered beside a published torrent.
type meta struct {
	Channel   string `json:"channel,omitempty"`
	Writer    string `json:"writer,omitempty"`
	Index     int64  `json:"index"`
	Link      string `json:"link,omitempty"`
	Title     string `json:"title,omitempty"`
	Published string `json:"published,omitempty"` // RFC 3339
	Path      string `json:"path,omitempty"`      // of the source
	Name      string `json:"name,omitempty"`      // of what is sealed
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

// describe adds what a record's Meta tells.
func describe(item *console.Item, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	m, err := parseMeta(b)
	if err != nil {
		return err
	}
	item.Channel, item.Writer, item.Index, item.Title, item.Published = m.Channel, m.Writer, m.Index, m.Title, m.Published
	if m.Link != "" {
		item.Link = m.Link
	}
	if m.Path != "" {
		item.Path = m.Path
	}
	return nil
}

// completeItems looks quickly, for completion: at a running node through its
// socket, or at the state.
func completeItems(ctx context.Context, a *console.App) ([]console.Item, error) {
	var out bytes.Buffer
	if err := a.Quietly(ctx, tree, &out, "ls", "--json"); err != nil {
		return nil, err
	}
	var items []console.Item
	for line := range bytes.Lines(out.Bytes()) {
		var item struct {
			Type string `json:"type"`
			console.Item
		}
		if json.Unmarshal(line, &item) == nil && item.Type == "item" {
			items = append(items, item.Item)
		}
	}
	return items, nil
}
