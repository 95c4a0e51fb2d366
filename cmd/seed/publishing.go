package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/console"
	"handful/swarm/mirror"
	"handful/swarm/publish"
	"handful/swarm/store"
)

// maxHints is how many of this node's addresses a link names.
const maxHints = 4

// channel returns the channel that a name means, made at its first use, as a private one if
// it is to be.
func (r *running) channel(name string, private bool) (id signing.ID, fresh bool, err error) {
	id, err = findChannel(r.dir, name)
	if err == nil || !errors.Is(err, keyfile.ErrNotFound) {
		return id, false, err
	}
	if _, notName := signing.ParseID(name); notName == nil {
		return id, false, err // an id whose keys are not here
	}
	title := name
	if private {
		title = "" // everybody who knows the id can read it
	}
	keys, err := keyfile.Create(keysDir(r.dir), keyfile.Options{Title: title, Private: private, Now: r.app.Env.Now(), Rand: rand.Reader})
	if err != nil {
		return id, false, err
	}
	return keys.ID, true, nameChannel(r.dir, name, keys.ID)
}

// Publish hashes, remembers, seeds, and signs, in this order: a crash on the way
// leaves nothing published, or everything.
func (r *running) Publish(ctx context.Context, req publishRequest, report func(console.Progress)) (out console.Published, err error) {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	private, err := r.isPrivate(req.Channel, req.Private)
	if err != nil {
		return out, err
	}
	if private {
		return r.publishSealed(ctx, req, report)
	}
	t, src, err := manifest.Build(ctx, req.Paths, manifest.BuildOptions{
		Format: req.Format, PieceLength: req.PieceLength,
		Progress: hashing(report),
	})
	if err != nil {
		return out, err
	}
	id, fresh, err := r.channel(req.Channel, false)
	if err != nil {
		return out, err
	}
	p, err := r.publisher(ctx, id, req.Peering, fresh)
	if err != nil {
		return out, err
	}
	m, err := r.seedAndSign(ctx, p, t, src, req, asMedia(t, req.Title, ""))
	if err != nil {
		return out, err
	}
	return r.published(t, m, req)
}

// seedAndSign puts the torrent into the node and the entry into the log, unless
// both were done before.
func (r *running) seedAndSign(ctx context.Context, p *publish.Publisher, t *manifest.Torrent, src []manifest.Source, req publishRequest, say announcement) (m meta, err error) {
	ih := t.InfoHash()
	hash := hex.EncodeToString(ih[:])
	if !p.AllowsTorrent(t.Name) {
		return m, notAllowed(p, t.Name)
	}
	if p.Private() { // the link with which this writer has joined had no key
		return m, errNoReadKey
	}
	m = meta{Channel: p.ID().String(), Writer: p.Writer(), Index: -1, Title: req.Title, Path: req.Paths[0]}
	if it := r.item(hash); it != nil {
		if it.Snapshot().State != swarm.StateFailed {
			return r.sign(p, t, m, it, nil, say)
		}
		if err := r.take(hash); err != nil { // its source had changed, and is hashed anew
			return m, err
		}
	}
	c, err := r.store.Seed(t, src, store.SeedOptions{Origin: true})
	if err != nil {
		return m, err
	}
	peers, err := r.resolve(ctx, req.Peering)
	if err != nil {
		return m, errors.Join(err, c.Close())
	}
	if err := r.add(hash, swarm.Spec{Content: c, Origin: true, Peers: peers, Trackers: req.Trackers, Unlisted: p.Private()}); err != nil {
		return m, err
	}
	return r.sign(p, t, m, r.item(hash), c, say)
}

var errNoReadKey = &console.Fault{Code: console.Refused, Message: "the channel is private, and its read key is not here",
	Hint: "run `seed writer join` again with the whole link, with what stands behind #k="}

// notAllowed is the error of a name that followers would refuse.
func notAllowed(p *publish.Publisher, name string) error {
	return &console.Fault{Code: console.Refused, Message: fmt.Sprintf("writer %s may not publish %q: followers would refuse it", p.Writer(), name),
		Hint: "give it a name that the channel's owner has granted, or ask for another path"}
}

// announcement is the entry that will name a torrent.
type announcement struct {
	entry func(now time.Time) ([]byte, error)
	said  func(manifest.Entry) bool // reports whether an entry says the same; nil: it is said in any case
}

// asMedia publishes a torrent under a title, not twice under the same one. name is what it is
// called where it is sealed, else "".
func asMedia(t *manifest.Torrent, title, name string) announcement {
	return announcement{
		entry: func(now time.Time) ([]byte, error) {
			e := manifest.Media{Head: manifest.Header{Time: now.UnixMilli()}, InfoSum: t.InfoSum(), Name: cmp.Or(name, t.Name), Size: t.Length(), Title: title}
			e.InfoHashV1, e.HasV1 = t.InfoHashV1()
			return e.Bytes(), nil
		},
		said: func(e manifest.Entry) bool {
			m, ok := e.(manifest.Media)
			return ok && m.Title == title
		},
	}
}

// sign appends the entry and remembers where it stands, unless it was said before; c is nil
// when what is remembered of the content stands already.
func (r *running) sign(p *publish.Publisher, t *manifest.Torrent, m meta, it *swarm.Item, c *store.Content, say announcement) (meta, error) {
	select {
	case <-it.Done():
	case <-r.node.Closed():
		return m, swarm.ErrClosed
	}
	if err := it.Err(); err != nil {
		return m, err
	}
	index, when := int64(-1), r.app.Env.Now()
	if say.said != nil {
		before, at, err := findEntry(p.Log(), r.sealer(p.ID()), t, say.said)
		if err != nil {
			return m, err
		}
		if before >= 0 {
			index, when = before, at
		}
	}
	if index < 0 {
		// From here on a crash may leave an entry behind, which serve finds by this.
		if err := note(c, m); err != nil {
			return m, err
		}
		entry, err := say.entry(when)
		if err != nil {
			return m, err
		}
		if index, err = p.Publish(entry); err != nil {
			return m, err
		}
	}
	m.Index, m.Published = index, when.Format(time.RFC3339)
	m.Link = r.link(m, t, nil).String()
	return m, note(c, m)
}

// note remembers what is known about published content; c is nil when that stands
// already.
func note(c *store.Content, m meta) error {
	if c == nil {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return c.Annotate(true, b)
}

// findEntry looks for the newest entry that names a torrent, was not withdrawn and is one of
// those that are meant; the index is -1 if there is none.
func findEntry(log *publish.Log, s *sealer, t *manifest.Torrent, meant func(manifest.Entry) bool) (int64, time.Time, error) {
	withdrawn := make(map[int64]bool)
	for i := log.Size() - 1; i >= 0; i-- {
		raw, err := log.Entry(i)
		if err != nil {
			return -1, time.Time{}, err
		}
		entry, err := s.open(raw)
		if err != nil {
			continue // of a later version
		}
		if del, ok := entry.(manifest.Delete); ok {
			withdrawn[del.Index] = true
		}
		if n, ok := manifest.NamedBy(entry); ok && n.InfoSum == t.InfoSum() && meant(entry) && !withdrawn[i] {
			return i, time.UnixMilli(entry.Header().Time), nil
		}
	}
	return -1, time.Time{}, nil
}

// anyEntry means all that name a torrent.
func anyEntry(manifest.Entry) bool { return true }

// link makes the link of an entry. Hints name where this node is reached.
func (r *running) link(m meta, t *manifest.Torrent, trackers []string) signing.Link {
	id, _ := signing.ParseID(m.Channel)
	l := signing.Link{ID: id, Writer: m.Writer, Index: m.Index, Name: t.Name, Trackers: trackers}
	if m.Name != "" {
		l.Name = "" // of ciphertext: it says nothing
	}
	for _, a := range r.node.Addrs()[:min(maxHints, len(r.node.Addrs()))] {
		l.Peers = append(l.Peers, a.String())
	}
	return l
}

// published writes the torrent file and says what was published.
func (r *running) published(t *manifest.Torrent, m meta, req publishRequest) (out console.Published, err error) {
	link := r.link(m, t, req.Trackers)
	if link, err = r.withKey(link); err != nil {
		return out, err
	}
	link.WebSeeds = req.WebSeeds
	ih := t.InfoHash()
	out = console.Published{
		Channel: m.Channel, Writer: m.Writer, Index: m.Index, Link: link.String(),
		Infohash: hex.EncodeToString(ih[:]), Bytes: t.Length(), Files: countFiles(t),
	}
	if v2, ok := t.InfoHashV2(); ok {
		out.InfohashV2 = hex.EncodeToString(v2[:])
	}
	var trackers []string
	for _, a := range link.Peers {
		trackers = append(trackers, "http://"+a+"/announce")
	}
	trackers = append(trackers, req.Trackers...)
	t.Trackers, t.WebSeeds = trackers, webSeeds(link, ih)
	out.Magnet = t.Magnet(trackers, link.Peers)
	dir := filepath.Join(r.dir, "torrents")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return out, fmt.Errorf("torrent file: %w", err)
	}
	out.Torrent = filepath.Join(dir, out.Infohash+".torrent")
	if err := os.WriteFile(out.Torrent, t.Bytes(), 0o666); err != nil {
		return out, fmt.Errorf("torrent file: %w", err)
	}
	return out, nil
}

// webSeeds are where other clients find the files in the mirrors that a link names.
func webSeeds(l signing.Link, infohash [20]byte) (urls []string) {
	for _, s := range l.WebSeeds {
		if base, err := mirror.ParseBase(s); err == nil {
			urls = append(urls, base+mirror.FilesPath(l.ID, infohash))
		}
	}
	return urls
}

// take removes an item from the node; its record stays.
func (r *running) take(hash string) error {
	r.mu.Lock()
	it := r.items[hash]
	delete(r.items, hash)
	delete(r.contents, hash)
	r.mu.Unlock()
	if it == nil {
		return nil
	}
	return it.Remove()
}

// Withdraw signs that an entry is withdrawn, and stops seeding it.
func (r *running) Withdraw(ctx context.Context, channel, which, reason string) (out console.Withdrawn, err error) {
	records, err := r.store.Load()
	if err != nil && len(records) == 0 {
		return out, err
	}
	want, _ := findChannel(r.dir, channel)
	for _, rec := range records {
		item, err := r.offline.item(rec)
		if err != nil {
			return out, err
		}
		if !matches(item, which, r.app.Env.Path(which)) && !sameEntry(item, which) {
			continue
		}
		if item.Channel != want.String() && which != item.Infohash && !sameEntry(item, which) {
			continue
		}
		return r.withdraw(ctx, rec, item, reason)
	}
	return r.withdrawPost(ctx, channel, which, reason)
}

// sameEntry tells whether a link, whatever its hints, names the item.
func sameEntry(item console.Item, which string) bool {
	l, err := signing.ParseLink(which)
	return err == nil && l.ID.String() == item.Channel && l.Writer == item.Writer && l.Index == item.Index
}

func (r *running) withdraw(ctx context.Context, rec store.Record, item console.Item, reason string) (out console.Withdrawn, err error) {
	id, err := signing.ParseID(item.Channel)
	if err != nil {
		return out, err
	}
	p, err := r.publisher(ctx, id, console.Peering{}, false)
	if err != nil {
		return out, err
	}
	// What is withdrawn and remembered all the same was left by a crash between the two: the rest is done now.
	index, err := withdrawal(p.Log(), item.Index)
	if err == nil && index < 0 {
		entry := manifest.Delete{Head: manifest.Header{Time: r.app.Env.Now().UnixMilli()}, Index: item.Index, Reason: reason}
		index, err = p.Publish(entry.Bytes())
	}
	if err != nil {
		return out, err
	}
	if err := r.release(ctx, p, rec); err != nil {
		return out, err
	}
	return console.Withdrawn{Link: item.Link, Name: item.Name, Index: index, Reason: reason}, nil
}

// release stops seeding a torrent that no entry names any more. Where another one does, the
// torrent is remembered as of that one.
func (r *running) release(ctx context.Context, p *publish.Publisher, rec store.Record) error {
	t, err := r.store.Torrent(rec.InfoHash)
	if err != nil {
		return err
	}
	hash := hex.EncodeToString(rec.InfoHash[:])
	other, when, err := findEntry(p.Log(), r.sealer(p.ID()), t, anyEntry)
	if err != nil {
		return err
	}
	if other < 0 {
		if err := r.take(hash); err != nil {
			return err
		}
		return r.store.Forget(rec.InfoHash)
	}
	m, err := parseMeta(rec.Meta)
	if err != nil {
		return err
	}
	r.mu.Lock()
	c := r.contents[hash]
	r.mu.Unlock()
	if c == nil {
		if c, err = r.store.Reopen(ctx, rec); err != nil {
			return err
		}
		defer c.Close()
	}
	return r.place(&servedItem{hash: hash, rec: rec, meta: m, content: c}, other, when)
}
