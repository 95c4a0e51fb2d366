package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm/console"
)

// pending are the documents of a channel that are not signed by enough keys yet, with the
// private keys that were made for them:
//
//	STATE/next/<id>/root.json, targets.json, *.pem, new
//
// A thief of it has keys that no document names yet. It is removed when the documents are
// in force.
type pending struct {
	dir     string
	root    *signing.Root    // nil when none is proposed
	targets *signing.Targets // nil when none is proposed
	keys    map[string]ed25519.PrivateKey
	fresh   bool // nobody has published in the channel yet: it was made here
}

const (
	pendingNew     = "new" // there: fresh
	pendingRoot    = "root.json"
	pendingTargets = "targets.json"
)

func pendingDir(stateDir string, id signing.ID) string {
	return filepath.Join(stateDir, "next", id.String())
}

// readPending reads what waits for signatures. Documents that are not newer than those in
// force, keys, are passed over: a crash came between the two.
func readPending(stateDir string, id signing.ID, keys *keyfile.Keys) (*pending, error) {
	p := &pending{dir: pendingDir(stateDir, id), keys: make(map[string]ed25519.PrivateKey)}
	names, err := os.ReadDir(p.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, n := range names {
		path := filepath.Join(p.dir, n.Name())
		switch {
		case n.Name() == pendingRoot:
			var raw []byte
			if raw, err = durable.ReadFile(durable.OS{}, path, signing.MaxRoot); err == nil {
				p.root, err = signing.ParseRoot(raw)
			}
		case n.Name() == pendingTargets:
			var raw []byte
			if raw, err = durable.ReadFile(durable.OS{}, path, signing.MaxTargets); err == nil {
				p.targets, err = signing.ParseTargets(raw)
			}
		case n.Name() == pendingNew:
			p.fresh = true
		case strings.HasSuffix(n.Name(), ".pem"):
			p.keys[strings.TrimSuffix(n.Name(), ".pem")], err = keyfile.ReadKey(path)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if keys != nil {
		if p.root != nil && p.root.Version() <= keys.Newest().Version() {
			p.root = nil
		}
		if doc := keys.Document(); p.targets != nil && doc != nil && p.targets.Version() <= doc.Version() {
			p.targets = nil
		}
	}
	return p, nil
}

// write keeps a document or a key.
func (p *pending) write(name string, data []byte) error {
	if err := (durable.OS{}).MkdirAll(p.dir); err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, filepath.Join(p.dir, name), data)
}

// newKey makes a private key that a document is to name, or returns the one that was made
// for it before.
func (p *pending) newKey(name string) (ed25519.PrivateKey, error) {
	if k := p.keys[name]; k != nil {
		return k, nil
	}
	k, err := keyfile.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	return k, p.keepKey(name, k)
}

// keepKey keeps a private key that a document is to name.
func (p *pending) keepKey(name string, k ed25519.PrivateKey) error {
	if err := (durable.OS{}).MkdirAll(p.dir); err != nil {
		return err
	}
	p.keys[name] = k
	return keyfile.WriteKey(filepath.Join(p.dir, name+".pem"), k)
}

// drop forgets what waits, or as much of it as the names say.
func (p *pending) drop(names ...string) error {
	if len(names) == 0 {
		return os.RemoveAll(p.dir)
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(p.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// named are the private keys that wait and that a root document names.
func (p *pending) named(r *signing.Root) (keys []ed25519.PrivateKey) {
	for _, k := range p.keys {
		if keyfile.Names(r, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// book is a channel as its owner edits it: what is in force, and what waits.
type book struct {
	stateDir string
	id       signing.ID
	keys     *keyfile.Keys // nil before the first root document is signed
	next     *pending
}

// openBook finds the channel that -c means.
func openBook(stateDir, channel string) (*book, error) {
	if err := checkChannelName(channel); err != nil {
		return nil, err
	}
	id, err := findChannel(stateDir, channel)
	if err != nil {
		return nil, err
	}
	return openBookOf(stateDir, id)
}

func openBookOf(stateDir string, id signing.ID) (*book, error) {
	b := &book{stateDir: stateDir, id: id}
	keys, err := keyfile.Open(keysDir(stateDir), id)
	if err == nil {
		b.keys = keys
	} else if !errors.Is(err, keyfile.ErrNotFound) {
		return nil, err
	}
	var perr error
	if b.next, perr = readPending(stateDir, id, b.keys); perr != nil {
		return nil, perr
	}
	if b.keys == nil && b.next.root == nil {
		return nil, err
	}
	return b, nil
}

// root returns the document in force, nil before the first.
func (b *book) root() *signing.Root {
	if b.keys == nil {
		return nil
	}
	return b.keys.Newest()
}

// needKeys refuses what can only be done once the channel exists.
func (b *book) needKeys() error {
	if b.keys != nil {
		return nil
	}
	return &console.Fault{Code: console.Failed, Message: fmt.Sprintf("channel %s does not exist yet: its first root document lacks signatures", b.id),
		Hint: "sign the payload and hand the signatures to `seed root add`"}
}

// proposeRoot signs a root document with the root key, if that is here, and puts it into
// force when that is enough; else it waits.
func (b *book) proposeRoot(doc *signing.Root) (inForce bool, err error) {
	if b.keys != nil && b.keys.Root != nil {
		if err := signIfAsked(doc, b.keys); err != nil {
			return false, err
		}
	}
	b.next.root = doc
	if err := b.next.write(pendingRoot, doc.Bytes()); err != nil {
		return false, err
	}
	return b.finishRoot()
}

// signIfAsked signs with the root key here, when this or the version before names it.
func signIfAsked(doc *signing.Root, keys *keyfile.Keys) error {
	for _, r := range []*signing.Root{doc, keys.Newest()} {
		for _, k := range r.Role(signing.RoleRoot).Keys {
			if k.Ed25519().Equal(keys.Root.Public()) {
				return doc.Sign(keys.Root)
			}
		}
	}
	return nil
}

// finishRoot puts the proposed root document into force, if nothing is lacking.
func (b *book) finishRoot() (inForce bool, err error) {
	doc := b.next.root
	if own, old := doc.Lacking(b.root()); own+old > 0 {
		return false, nil
	}
	dir := keysDir(b.stateDir)
	if b.keys == nil {
		b.keys, err = keyfile.Assemble(dir, b.id, [][]byte{doc.Bytes()}, b.next.named(doc), b.next.fresh)
	} else {
		b.keys, err = b.keys.Next(dir, doc.Bytes(), b.next.named(doc)...)
	}
	if err != nil {
		return false, err
	}
	b.next.root = nil
	if err := b.next.drop(pendingRoot, pendingNew, "head.pem", "dht.pem", "targets.pem", "root.pem"); err != nil {
		return true, err
	}
	return true, b.regrant(false, time.Time{})
}

// When documents are renewed by themselves, where their keys are here: the root document at
// half of two years, the targets document at half of one. One that is to live for less than
// a month was meant to end.
const (
	renewRoot    = 365 * 24 * time.Hour
	renewTargets = 182 * 24 * time.Hour
	meantToEnd   = 30 * 24 * time.Hour
)

// renew makes documents last longer that the keys here alone can sign.
func (b *book) renew(now time.Time) error {
	root := b.keys.Newest()
	if b.keys.Root != nil && root.Role(signing.RoleRoot).Threshold == 1 && b.next.root == nil && root.Expires().Sub(now) < renewRoot {
		doc, err := root.Edit(signing.RootEdit{Expires: now.AddDate(2, 0, 0)})
		if err != nil {
			return err
		}
		if _, err := b.proposeRoot(doc); err != nil {
			return err
		}
	}
	doc := b.keys.Document()
	if doc == nil || b.next.targets != nil || b.keys.Newest().Role(signing.RoleTargets).Threshold > 1 {
		return nil
	}
	left := doc.Expires().Sub(now)
	return b.regrant(left < renewTargets && left > meantToEnd, now.AddDate(1, 0, 0))
}

// regrant makes the targets document anew when the keys in force have not signed it,
// or always, with another end then. It needs the targets key here, and does
// nothing without.
func (b *book) regrant(always bool, expires time.Time) error {
	doc := b.keys.Document()
	if doc == nil || b.keys.Granter() == nil {
		return nil
	}
	if _, err := b.keys.Newest().OpenTargets(doc.Bytes()); err == nil && !always {
		return nil
	}
	if !always {
		expires = doc.Expires()
	}
	next, err := signing.NewTargets(signing.TargetsParams{Expires: expires, Writers: doc.Params(), Before: doc})
	if err != nil {
		return err
	}
	_, err = b.proposeTargets(next)
	return err
}

// proposeTargets signs a targets document with the key that is here, and puts it into
// force when that is enough; else it waits.
func (b *book) proposeTargets(doc *signing.Targets) (inForce bool, err error) {
	if k := b.keys.Granter(); k != nil {
		if err := doc.Sign(k); err != nil {
			return false, err
		}
	}
	b.next.targets = doc
	if err := b.next.write(pendingTargets, doc.Bytes()); err != nil {
		return false, err
	}
	return b.finishTargets()
}

func (b *book) finishTargets() (inForce bool, err error) {
	doc := b.next.targets
	if doc.Lacking(b.keys.Newest().Role(signing.RoleTargets)) > 0 {
		return false, nil
	}
	if b.keys, err = b.keys.Grant(keysDir(b.stateDir), doc.Bytes()); err != nil {
		return false, err
	}
	b.next.targets = nil
	return true, b.next.drop(pendingTargets)
}

// writersOf are the writers of the targets document in force, as parameters.
func (b *book) writersOf() []signing.WriterParams {
	if doc := b.keys.Document(); doc != nil {
		return doc.Params()
	}
	return nil
}

// lackingRoot are the signatures that the proposed root document lacks.
func (b *book) lackingRoot() (own, old int) { return b.next.root.Lacking(b.root()) }

// here are the roles of the private keys on this machine.
func (b *book) here() (names []string) {
	if b.keys == nil {
		return slices.Sorted(func(yield func(string) bool) {
			for name := range b.next.keys {
				if !yield(name) {
					return
				}
			}
		})
	}
	return keysHere(b.keys)
}

// keysHere names the roles whose private keys are there.
func keysHere(keys *keyfile.Keys) (names []string) {
	for _, k := range []struct {
		name string
		key  ed25519.PrivateKey
	}{{"root", keys.Root}, {"head", keys.Online}, {"targets", keys.Granter()}, {"dht", keys.DHT}} {
		if k.key != nil {
			names = append(names, k.name)
		}
	}
	return names
}
