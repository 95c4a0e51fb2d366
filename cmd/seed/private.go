package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"handful/manifest"
	"handful/manifest/seal"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/console"
	"handful/swarm/publish"
	"handful/swarm/store"
)

// sealer seals what is published in one private channel, and opens it again.
type sealer struct {
	dir string // of keys
	id  signing.ID

	guest *guest // of a delegated writer; nil: of the channel's owner

	mu        sync.Mutex
	publisher *publish.Publisher // nil until it is open
	scanned   int64              // entries of the main writer's log that were looked at
	newest    int64              // the newest rekey entry among them that brought a key here, index + 1
	locked    int64              // the newest one that did not, if it is newer, index + 1
}

// sealerOf returns the sealer of a private channel, and makes the first read key of one in
// which nothing was published yet; nil when the channel is public.
func (r *running) sealerOf(keys *keyfile.Keys) (*sealer, error) {
	if keys == nil || !keys.Newest().Private() {
		return nil, nil
	}
	r.mu.Lock()
	s := r.sealers[keys.ID]
	if s == nil {
		s = &sealer{dir: keysDir(r.dir), id: keys.ID}
		r.sealers[keys.ID] = s
	}
	r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.ring()
	if !errors.Is(err, errNoRing) || !keys.New {
		return s, err
	}
	k, err := seal.NewKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return s, s.write(seal.Ring{Keys: []seal.Key{k}})
}

var errNoRing = &console.Fault{Code: console.Failed, Message: "the read keys of this private channel are missing",
	Hint: "restore its read.keys from a backup, or import an export of the channel with `seed key import`"}

// ring reads the read keys.
func (s *sealer) ring() (seal.Ring, error) {
	text, err := keyfile.ReadKeys(s.dir, s.id)
	if err != nil {
		return seal.Ring{}, err
	}
	if text == nil {
		return seal.Ring{}, errNoRing
	}
	return seal.ParseRing(text)
}

func (s *sealer) write(ring seal.Ring) error {
	return keyfile.WriteReadKeys(s.dir, s.id, ring.Bytes())
}

// maxSealedPost is how long a post of a feed becomes in a private channel, where it is padded
// and has room for less.
const maxSealedPost = 40 << 10

// privateUsage is the help of --private.
const privateUsage = "the channel is private: what is in it is encrypted, and the link has the key; say it at its first use"

// sealing is seal as a publisher takes it; nil for a public channel.
func (s *sealer) sealing() func([]byte) ([]byte, error) {
	if s == nil {
		return nil
	}
	return s.seal
}

// use tells the sealer who publishes.
func (s *sealer) use(p *publish.Publisher) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publisher, s.scanned, s.newest, s.locked = p, 0, 0, 0
}

// seal encrypts an entry with the key that is current.
func (s *sealer) seal(entry []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.rekey()
	if err != nil {
		return nil, err
	}
	ring, err := s.ring()
	if err != nil {
		return nil, err
	}
	sealed, err := ring.Current().SealEntry(entry, manifest.Pointers{Rekey: at})
	if err != nil {
		return nil, err
	}
	return sealed.Bytes(), nil
}

// rekey finds the newest entry that brought a key. The caller holds mu.
func (s *sealer) rekey() (int64, error) {
	if s.guest != nil {
		err := s.learn()
		return s.newest, err
	}
	if s.publisher == nil {
		return 0, errors.New("seal: the log is not open yet")
	}
	log := s.publisher.Log()
	for size := log.Size(); s.scanned < size; s.scanned++ {
		raw, err := log.Entry(s.scanned)
		if err != nil {
			return 0, err
		}
		if e, err := manifest.ParseEntry(raw); err == nil && e.Kind() == manifest.KindRekey {
			s.newest = s.scanned + 1
		}
	}
	return s.newest, nil
}

// open parses an entry, and looks into it if it is sealed.
func (s *sealer) open(raw []byte) (manifest.Entry, error) {
	e, err := manifest.ParseEntry(raw)
	if err != nil || s == nil {
		return e, err
	}
	sealed, ok := e.(manifest.Sealed)
	if !ok {
		return e, nil
	}
	s.mu.Lock()
	ring, err := s.ring()
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return seal.OpenEntry(ring.Keys, sealed)
}

// key is the read key that opens what is published now.
func (s *sealer) key() (seal.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.rekey(); err != nil {
		return seal.Key{}, err
	}
	ring, err := s.ring()
	return ring.Current(), err
}

// withKey adds the read key to the link of a private channel.
func (r *running) withKey(l signing.Link) (signing.Link, error) {
	s := r.sealer(l.ID)
	if s == nil {
		return l, nil
	}
	k, err := s.key()
	l.ReadKey = k.Text()
	return l, err
}

// sealer returns the sealer of a channel whose publisher is open; nil: it is public.
func (r *running) sealer(id signing.ID) *sealer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sealers[id]
}

// isPrivate tells whether what is published in a channel is to be sealed. want: the
// channel must be private; it is made so if there is none yet.
func (r *running) isPrivate(name string, want bool) (bool, error) {
	id, err := findChannel(r.dir, name)
	if errors.Is(err, keyfile.ErrNotFound) {
		return want, nil
	}
	if err != nil {
		return false, err
	}
	keys, err := keyfile.Open(keysDir(r.dir), id)
	if errors.Is(err, keyfile.ErrNotFound) {
		if g, err := openGuest(r.dir, id); err == nil {
			return want || g.private(), nil
		}
		return want, nil // whoever opens it says so
	}
	if err != nil {
		return false, err
	}
	if want && !keys.Newest().Private() {
		return false, &console.Fault{Code: console.Usage, Message: fmt.Sprintf("--private: channel %q is public, and what is in it stays so", name),
			Hint: "name a channel that is not there yet with -c"}
	}
	return keys.Newest().Private(), nil
}

// publishSealed is Publish for a private channel.
func (r *running) publishSealed(ctx context.Context, req publishRequest, report func(console.Progress)) (out console.Published, err error) {
	id, fresh, err := r.channel(req.Channel, true)
	if err != nil {
		return out, err
	}
	p, err := r.publisher(ctx, id, req.Peering, fresh)
	if err != nil {
		return out, err
	}
	s, err := r.sealContent(ctx, id, req, report)
	if err != nil {
		return out, err
	}
	if !p.AllowsTorrent(s.inner.Name) {
		return out, notAllowed(p, s.inner.Name)
	}
	m := meta{Channel: id.String(), Writer: p.Writer(), Index: -1, Title: req.Title, Path: req.Paths[0], Name: s.inner.Name}
	if m, err = r.sign(p, s.t, m, s.it, s.c, asMedia(s.t, req.Title, s.inner.Name)); err != nil {
		return out, err
	}
	out, err = r.published(s.t, m, req)
	out.Files = countFiles(s.inner)
	return out, err
}

// sealedContent is what is published in a private channel, in the node.
type sealedContent struct {
	inner, t *manifest.Torrent // of the plaintext and the ciphertext
	it       *swarm.Item
	c        *store.Content // nil: it was there
}

// sealContent hashes a tree twice: as it is, for readers, and as the ciphertext that
// everybody sees, which is nowhere.
func (r *running) sealContent(ctx context.Context, id signing.ID, req publishRequest, report func(console.Progress)) (s sealedContent, err error) {
	with := r.sealer(id)
	if with == nil {
		return s, errNoRing
	}
	k, err := with.key()
	if err != nil {
		return s, err
	}
	inner, src, err := manifest.Build(ctx, req.Paths, manifest.BuildOptions{Name: req.Name, Format: manifest.FormatV1, Salt: k.Salt(), Progress: hashing(report)})
	if err != nil {
		return s, err
	}
	s.inner = inner
	if s.t, s.it, err = r.sealedBefore(inner); err != nil || s.it != nil {
		return s, err
	}
	if s.t, s.c, err = r.sealTree(ctx, k, inner, src, req, report); err != nil {
		return s, err
	}
	s.it, err = r.addSealed(ctx, s.c, req)
	return s, err
}

// sealedBefore finds the item of a tree that is seeded already.
func (r *running) sealedBefore(inner *manifest.Torrent) (*manifest.Torrent, *swarm.Item, error) {
	rec, ok, err := r.store.SealedOf(inner.InfoHash())
	if !ok || err != nil {
		return nil, nil, err
	}
	hash := hex.EncodeToString(rec.InfoHash[:])
	it := r.item(hash)
	if it == nil {
		return nil, nil, nil
	}
	if it.Snapshot().State == swarm.StateFailed { // its source had changed, and is as it was
		return nil, nil, r.take(hash)
	}
	t, err := r.store.Torrent(rec.InfoHash)
	return t, it, err
}

// sealTree makes the torrent of the ciphertext, and its content.
func (r *running) sealTree(ctx context.Context, k seal.Key, inner *manifest.Torrent, src []manifest.Source, req publishRequest, report func(console.Progress)) (*manifest.Torrent, *store.Content, error) {
	plain, err := r.store.Seed(inner, src, store.SeedOptions{Hidden: true})
	if err != nil {
		return nil, nil, err
	}
	sealed, err := k.Seal(inner, plain.ReadFile)
	if err != nil {
		return nil, nil, errors.Join(err, plain.Close())
	}
	t, err := manifest.BuildStream(ctx, sealed.Name(), sealed.Size(), sealed, manifest.BuildOptions{Format: req.Format, PieceLength: req.PieceLength, Progress: hashing(report)})
	if err != nil {
		return nil, nil, errors.Join(err, plain.Close())
	}
	c, err := r.store.SeedSealed(t, plain, sealed, store.SeedOptions{Origin: true})
	if err != nil {
		return nil, nil, errors.Join(err, plain.Close())
	}
	return t, c, nil
}

func (r *running) addSealed(ctx context.Context, c *store.Content, req publishRequest) (*swarm.Item, error) {
	peers, err := r.resolve(ctx, req.Peering)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	ih := c.Torrent().InfoHash()
	hash := hex.EncodeToString(ih[:])
	if err := r.add(hash, swarm.Spec{Content: c, Origin: true, Peers: peers, Trackers: req.Trackers, Unlisted: true}); err != nil {
		return nil, err
	}
	return r.item(hash), nil
}

// hashing reports how far hashing is.
func hashing(report func(console.Progress)) func(done, total int64) {
	return func(done, total int64) { report(console.Progress{Stage: "hash", Done: done, Total: total}) }
}
