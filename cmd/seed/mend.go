package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/publish"
	"handful/swarm/store"
)

// servedItem is what was published before and is in the node again.
type servedItem struct {
	hash    string
	rec     store.Record
	meta    meta
	content *store.Content
}

// serveOne puts what was published before into the node. It returns nil if there is
// nothing to do.
func (r *running) serveOne(ctx context.Context, rec store.Record) (*servedItem, error) {
	hash := hex.EncodeToString(rec.InfoHash[:])
	if r.item(hash) != nil {
		return nil, nil
	}
	m, err := parseMeta(rec.Meta)
	if err != nil {
		return nil, err
	}
	if m.Channel == "" {
		// A crash between hashing and signing: it was never published.
		return nil, r.store.Forget(rec.InfoHash)
	}
	c, err := r.store.Reopen(ctx, rec)
	if err != nil {
		return nil, err
	}
	if err := r.add(hash, swarm.Spec{Content: c, Origin: true, Unlisted: r.unlisted(m.Channel)}); err != nil {
		return nil, err
	}
	return &servedItem{hash: hash, rec: rec, meta: m, content: c}, nil
}

// unlisted reports whether what a channel publishes is to be kept out of the DHT: when it
// is private, or nobody knows.
func (r *running) unlisted(channel string) bool {
	id, err := signing.ParseID(channel)
	if err != nil {
		return true
	}
	keys, err := keyfile.Open(keysDir(r.dir), id)
	return err != nil || keys.Newest().Private()
}

// mend makes the record of what is served agree with the log, which alone says what
// was published: a crash may have come between the two.
func (r *running) mend(log *publish.Log, it *servedItem) error {
	t := it.content.Torrent()
	id, err := signing.ParseID(it.meta.Channel)
	if err != nil {
		return err
	}
	if it.meta.Index < 0 { // about to be signed
		index, when, err := findEntry(log, r.sealer(id), t, anyEntry)
		if err != nil {
			return err
		}
		if index < 0 {
			return r.forget(it)
		}
		return r.place(it, index, when)
	}
	if there, err := publishes(log, it.meta.Index, t); err != nil || !there {
		return r.moved(log, r.sealer(id), it, err)
	}
	withdrawn, err := isWithdrawn(log, it.meta.Index)
	if err != nil || !withdrawn {
		return err
	}
	index, when, err := findEntry(log, r.sealer(id), t, anyEntry)
	if err != nil {
		return err
	}
	if index < 0 {
		return r.forget(it)
	}
	return r.place(it, index, when) // another entry names it
}

// publishes reports whether an entry is the one that publishes a torrent: a base may have
// taken it back.
func publishes(log *publish.Log, index int64, t *manifest.Torrent) (bool, error) {
	if index >= log.Size() {
		return false, nil
	}
	raw, err := log.Entry(index)
	if err != nil {
		return false, err
	}
	entry, err := manifest.ParseEntry(raw)
	if err != nil {
		return true, nil // of a later version
	}
	n, names := manifest.NamedBy(entry)
	switch entry.(type) {
	case manifest.Media, manifest.Post, manifest.Delete:
		return names && n.InfoSum == t.InfoSum(), nil
	}
	return true, nil
}

// moved finds the entry of what is served again, after a base took it back.
func (r *running) moved(log *publish.Log, in *sealer, it *servedItem, err error) error {
	if err != nil {
		return err
	}
	t := it.content.Torrent()
	index, when, err := findEntry(log, in, t, anyEntry)
	if err != nil {
		return err
	}
	if index < 0 {
		return errors.New("its entry was taken back by a newer root document: publish it again, or withdraw it")
	}
	return r.place(it, index, when)
}

// place remembers where the entry of what is served stands.
func (r *running) place(it *servedItem, index int64, when time.Time) error {
	it.meta.Index, it.meta.Published = index, when.Format(time.RFC3339)
	it.meta.Link = r.link(it.meta, it.content.Torrent(), nil).String()
	b, err := json.Marshal(it.meta)
	if err != nil {
		return err
	}
	return it.content.Annotate(true, b)
}

func (r *running) forget(it *servedItem) error {
	if err := r.take(it.hash); err != nil {
		return err
	}
	return r.store.Forget(it.rec.InfoHash)
}

// isWithdrawn looks for an entry that withdraws another.
func isWithdrawn(log *publish.Log, index int64) (bool, error) {
	at, err := withdrawal(log, index)
	return at >= 0, err
}

// withdrawal returns the index of the newest entry that withdraws another, -1 if there is none.
func withdrawal(log *publish.Log, index int64) (int64, error) {
	for i := log.Size() - 1; i > index; i-- {
		raw, err := log.Entry(i)
		if err != nil {
			return -1, err
		}
		entry, err := manifest.ParseEntry(raw)
		if err != nil {
			continue // of a later version
		}
		switch e := entry.(type) {
		case manifest.Delete:
			if e.Index == index {
				return i, nil
			}
		case manifest.Sealed:
			if e.Drops && e.Index == index {
				return i, nil
			}
		}
	}
	return -1, nil
}
