package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"handful/manifest"
	"handful/manifest/seal"
	"handful/signing"
	"handful/signing/durable"
	"handful/swarm/console"
	"handful/swarm/follow"
	"handful/swarm/store"
)

// What opens private channels is kept in files of its own, mode 0600:
//
//	STATE/reader.key         this machine's own key, an identity file of age
//	STATE/read/<id>.keys     the read keys of a channel that were learned (seal.Ring)
const maxKeyFile = 256 << 10 // bytes

func readerKeyPath(stateDir string) string { return filepath.Join(stateDir, "reader.key") }

// readKeys open the entries of one channel: they are [follow.Keys].
type readKeys struct {
	dir string
	id  signing.ID

	mu    sync.Mutex
	known bool       // the channel is private, whatever keys there are
	ring  seal.Ring  // on disk
	given []seal.Key // by links; those that open something are kept
}

// openReadKeys reads the read keys of a channel.
func openReadKeys(stateDir string, id signing.ID) (*readKeys, error) {
	k := &readKeys{dir: stateDir, id: id}
	text, err := readSecret(k.path())
	if err != nil || text == nil {
		return k, err
	}
	if k.ring, err = seal.ParseRing(text); err != nil {
		return k, &console.Fault{Code: console.Failed, Message: k.path() + " is damaged", Err: err,
			Hint: "move it away, and fetch with the whole link of the channel, with #k="}
	}
	return k, nil
}

func (k *readKeys) path() string { return filepath.Join(k.dir, "read", k.id.String()+".keys") }

// readSecret reads a file that nobody else may read; nil when there is none.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, &console.Fault{Code: console.NoSpace, Message: fmt.Sprintf("%s is open to other users (mode %04o)", path, info.Mode().Perm()),
			Hint: "chmod 600 it, and think about who may have read it"}
	}
	return durable.ReadFile(durable.OS{}, path, maxKeyFile)
}

func writeSecret(path string, text []byte) error {
	if err := (durable.OS{}).MkdirAll(filepath.Dir(path)); err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, path, text)
}

// give takes the key of a link. One that opens nothing is forgotten.
func (k *readKeys) give(text string) error {
	if text == "" {
		return nil
	}
	key, err := seal.ParseKey(text)
	if err != nil {
		return console.Usagef("copy the link again, up to its last character", "the key behind #k= is damaged: %v", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.given = append(k.given, key)
	return nil
}

// none reports whether there is no key at all, of this channel or of this machine.
func (k *readKeys) none() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	own, err := k.own()
	return len(k.ring.Keys)+len(k.given)+len(own) == 0 && err == nil
}

// isPrivate reports whether the channel is known to be private. That keeps it out of the DHT
// before its root document has come.
func (k *readKeys) isPrivate() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known || len(k.ring.Keys)+len(k.given) > 0
}

// private notes that a channel is.
func (r *running) private(id signing.ID) error {
	k, err := r.keysOf(id)
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.known = true
	}
	return err
}

// keepKey keeps the read key of the link of a channel that is followed from now on, whatever
// it opens.
func (r *running) keepKey(l signing.Link) error {
	if l.ReadKey == "" {
		return nil
	}
	k, err := r.keysOf(l.ID)
	if err == nil {
		err = k.give(l.ReadKey)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keep(k.given[len(k.given)-1])
}

// withoutKey is a link as it may be shown and remembered.
func withoutKey(l signing.Link) signing.Link {
	l.ReadKey = ""
	return l
}

// all are the keys that may open what is published, the likeliest first.
func (k *readKeys) all() []seal.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append(append([]seal.Key{}, k.given...), k.ring.Keys...)
}

// Open implements follow.Keys. The key of a link that opens something is kept.
func (k *readKeys) Open(s manifest.Sealed) (manifest.Entry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, err := seal.OpenEntry(k.ring.Keys, s)
	for _, key := range k.given {
		if !errors.Is(err, seal.ErrKey) {
			break
		}
		if e, err = seal.OpenEntry([]seal.Key{key}, s); err == nil {
			err = k.keep(key)
		}
	}
	return e, err
}

// keep writes a key to disk. The caller holds mu.
func (k *readKeys) keep(key seal.Key) error {
	ring := k.ring
	if !ring.Add(key) {
		return nil
	}
	if err := writeSecret(k.path(), ring.Bytes()); err != nil {
		return fmt.Errorf("keep the read key of channel %s: %w", k.id, err)
	}
	k.ring = ring
	return nil
}

// Learn implements follow.Keys.
func (k *readKeys) Learn(sent manifest.Rekey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	own, err := k.own()
	if err != nil {
		return err
	}
	key, err := seal.OpenKey(sent.Box, own)
	if err != nil {
		return err
	}
	return k.keep(key)
}

// own are the identities of this machine: none before "fetch key" was run.
func (k *readKeys) own() ([]age.Identity, error) {
	text, err := readSecret(readerKeyPath(k.dir))
	if err != nil || text == nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, &console.Fault{Code: console.Failed, Message: readerKeyPath(k.dir) + " is no identity file of age", Err: err, Hint: "restore it, or remove it and run `fetch key`"}
	}
	return ids, nil
}

// keysOf returns the read keys of a channel.
func (r *running) keysOf(id signing.ID) (*readKeys, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.keys[id]; k != nil {
		return k, nil
	}
	k, err := openReadKeys(r.dir, id)
	if err == nil {
		r.keys[id] = k
	}
	return k, err
}

// locked explains why an entry of a private channel cannot be read; nil if it need not be.
func (r *running) locked(found follow.Found, req fetchRequest, k *readKeys) error {
	s, ok := found.Entry.(manifest.Sealed)
	if !ok || req.Blind && s.HasContent {
		return nil
	}
	id := req.Channel.ID
	const blind = "; --blind keeps what is encrypted and passes it on"
	switch {
	case req.Blind:
		return console.Usagef("name another entry, or leave the index out", "--blind: entry %d of channel %s is a text, and nothing but the text", found.Index, id)
	case k.none():
		return console.Usagef("use the whole link, with all that stands behind #; or send the publisher what `fetch key` prints"+blind,
			"channel %s is private, and the link has no key", id)
	}
	return &console.Fault{Code: console.Refused, Message: "no key that is here opens it", Err: found.Locked,
		Hint: "the channel may have a new key that was not sent to you: ask for a new link, or for being added as a reader (`fetch key`)" + blind}
}

// shut warns of a channel that is followed of which there is something that no key here opens.
func (r *running) shut(c *followed) (w console.Warning, shut bool) {
	k, err := r.keysOf(c.inbox.Channel())
	if err != nil {
		return console.Warning{Message: err.Error()}, true
	}
	root := c.follower.Trust().Root()
	switch n := c.inbox.Shut(); {
	case root != nil && root.Private() && k.none():
		return console.Warning{Message: fmt.Sprintf("channel %s is private, and no key of it is here: nothing that it says is shown", c.inbox.Channel()),
			Hint: "follow the whole link, with all that stands behind #; or send the publisher what `fetch key` prints"}, true
	case n > 0:
		return console.Warning{Message: fmt.Sprintf("channel %s: what no key that is here opens is not shown, %d of the entries that came", c.inbox.Channel(), n),
			Hint: "the channel may have a new key that was not sent to you: ask for a new link, or for being added as a reader (`fetch key`)"}, true
	}
	return w, false
}

// tellShut warns of that once, when all that was known has come, or later.
func (r *running) tellShut(ctx context.Context, c *followed, settled <-chan struct{}, report func(console.Line)) {
	select {
	case <-ctx.Done():
		return
	case <-settled:
	}
	for {
		news := c.follower.Changed()
		if w, shut := r.shut(c); shut {
			report(w)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
	}
}

// openSealed opens the content of a private channel: what is here in the clear already, or
// the ciphertext beside the destination.
func (r *running) openSealed(ctx context.Context, t *manifest.Torrent, req fetchRequest, o store.DownloadOptions) (*store.Content, error) {
	rec, ok, err := r.store.Record(t.InfoHash())
	if err != nil {
		return nil, err
	}
	if ok && rec.Kind == store.Sealed && rec.Dest == req.Dest {
		c, err := r.store.Reopen(ctx, rec)
		if !errors.Is(err, store.ErrChanged) {
			return c, err
		}
	}
	return r.store.Download(ctx, t, store.SealedDir(req.Dest, t.InfoHash()), o)
}

// unseal decrypts what was fetched to where it shall be.
func (r *running) unseal(ctx context.Context, f *fetching, force bool, report func(console.Progress)) error {
	id, err := signing.ParseID(f.meta.Channel)
	if err != nil {
		return err
	}
	k, err := r.keysOf(id)
	if err != nil {
		return err
	}
	f.unsealing.Lock()
	defer f.unsealing.Unlock()
	path, err := f.content.Unseal(ctx, k.all(), f.dest, store.DownloadOptions{
		Force:    force,
		Progress: func(done, total int64) { report(console.Progress{Stage: "decrypt", Done: done, Total: total}) },
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.path = path
	return nil
}

// unsealLater decrypts a download that serve goes on with, when it is complete.
func (r *running) unsealLater(ctx context.Context, f *fetching, report func(console.Line)) {
	select {
	case <-ctx.Done():
		return
	case <-f.item.Done():
	}
	err := f.item.Err()
	if err == nil {
		err = r.unseal(ctx, f, false, func(console.Progress) {})
	}
	if err != nil && ctx.Err() == nil {
		report(console.Warning{Message: fmt.Sprintf("what was fetched for %s is not decrypted: %v", f.dest, err), Hint: "fetch it again with its link: nothing is fetched twice"})
	}
}

func keyCommand(a *console.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print this machine's public key, for publishers of private channels",
		Long: `Key prints a key that begins with age1, and makes it at its first use. A publisher who
knows it ("seed reader add NAME KEY") sends this machine what opens a private channel,
and each new key of it, through the channel.

The other half is in reader.key in the state directory: an identity file of age, which
may be replaced by another one.

Exit status: 0, 1, 14.`,
		Args: a.Args(0, 0, ""),
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		stateDir, err := a.StateDir()
		if err != nil {
			return err
		}
		k := &readKeys{dir: stateDir}
		own, err := k.own()
		if err != nil {
			return err
		}
		if len(own) == 0 {
			if own, err = makeReaderKey(stateDir); err != nil {
				return err
			}
		}
		for _, id := range own {
			if public := publicOf(id); public != "" {
				a.Out().Print(console.ReaderKey{Key: public, Path: readerKeyPath(stateDir)})
			}
		}
		return nil
	}
	return cmd
}

func makeReaderKey(stateDir string) ([]age.Identity, error) {
	key, err := seal.NewKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	id, err := key.Identity()
	if err != nil {
		return nil, err
	}
	return []age.Identity{id}, writeSecret(readerKeyPath(stateDir), []byte(key.Text()+"\n"))
}

// publicOf is the other half of an identity; "" when it has none that is known.
func publicOf(id age.Identity) string {
	switch id := id.(type) {
	case *age.X25519Identity:
		return id.Recipient().String()
	case *age.HybridIdentity:
		return id.Recipient().String()
	}
	return ""
}
