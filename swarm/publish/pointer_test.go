package publish

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/channel"
	"handful/swarm/discover/mainline"
)

func dhtNode(t *testing.T, bootstrap ...string) *swarm.Node {
	t.Helper()
	n, err := swarm.Start(t.Context(), swarm.Config{Listen: "127.0.0.1:0", Isolated: true, DHT: true, DHTBootstrap: bootstrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func postOf(t *testing.T, title string) []byte {
	t.Helper()
	return manifest.Post{Head: manifest.Header{Time: time.Now().UnixMilli()}, Title: title}.Bytes()
}

// TestOldBackupAgainstDHT: a publisher whose log was taken back to an older state finds in the
// DHT alone that more was published, and signs nothing over it.
func TestOldBackupAgainstDHT(t *testing.T) {
	keys, err := keyfile.Create(t.TempDir(), keyfile.Options{Title: "x", Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	other := dhtNode(t)
	node := dhtNode(t, other.DHT().Addr().String())
	dir := filepath.Join(t.TempDir(), "log")
	open := func(fresh bool) (*Publisher, error) {
		return Open(t.Context(), Config{Node: node, Keys: keys, Dir: dir, New: fresh})
	}
	p, err := open(true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(postOf(t, "one")); err != nil {
		t.Fatal(err)
	}
	backup := t.TempDir()
	if err := os.CopyFS(filepath.Join(backup, "log"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(postOf(t, "two")); err != nil {
		t.Fatal(err)
	}
	awaitSize(t, other.DHT(), keys.Newest().DHTKey(), signing.MainWriter, 2)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(backup, "log"))); err != nil {
		t.Fatal(err)
	}
	p, err = open(false)
	if err == nil { // the DHT was slower than a publisher waits; it is heard all the same
		defer p.Close()
		for p.log.Network().Raw == nil {
			select {
			case <-t.Context().Done():
				t.Fatal("the DHT's item was never heard")
			case <-time.After(50 * time.Millisecond):
			}
		}
		_, err = p.Publish(postOf(t, "instead of two"))
	}
	if !errors.Is(err, ErrBehind) {
		t.Errorf("over an old backup: %v", err)
	}
}

// awaitSize asks until the DHT has a head over so many entries: it is put in the background.
func awaitSize(t *testing.T, d *mainline.Node, key []byte, writer string, size int64) {
	t.Helper()
	for {
		found, err := d.Get(t.Context(), key, []byte(writer), nil)
		if err == nil {
			u, err := signing.ParseUpdate(found.Item.Value)
			if err != nil || int64(len(u.Entries)) != size {
				t.Fatalf("the item has %d entries, want %d: %v", len(u.Entries), size, err)
			}
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// sealedAs stands for package seal: it is in the way of an entry in the clear.
func sealedAs(entry []byte) ([]byte, error) {
	return manifest.EncodeEntry(manifest.Sealed{Box: entry})
}

// TestUnsealed: nothing gets into a private channel in the clear, whoever asks for it.
func TestUnsealed(t *testing.T) {
	keys, err := keyfile.Create(t.TempDir(), keyfile.Options{Private: true, Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(t.Context(), Config{Node: dhtNode(t), Keys: keys, Dir: filepath.Join(t.TempDir(), "log"), New: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Publish(postOf(t, "one")); !errors.Is(err, ErrUnsealed) || p.Log().Size() != 0 {
		t.Errorf("%d entries, %v", p.Log().Size(), err)
	}
	rekey := manifest.Rekey{Box: []byte("for readers")}
	if _, err := p.Publish(rekey.Bytes()); err != nil {
		t.Error(err)
	}
}

// TestPrivateChannel: nothing of a private channel is in the DHT.
func TestPrivateChannel(t *testing.T) {
	for _, private := range []bool{false, true} {
		keys, err := keyfile.Create(t.TempDir(), keyfile.Options{Title: "x", Private: private, Now: time.Now(), Rand: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		node := dhtNode(t)
		p, err := Open(t.Context(), Config{Node: node, Keys: keys, Dir: filepath.Join(t.TempDir(), "log"), New: true, Seal: sealedAs})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := p.Publish(postOf(t, "one")); err != nil {
			t.Fatal(err)
		}
		d := node.DHT()
		swarm, item := d.Announces(keys.ID.Swarm()), 0
		for _, salt := range []string{signing.MainWriter, channel.RootSalt} {
			if d.Keeps(mainline.Target([32]byte(keys.Newest().DHTKey()), []byte(salt))) {
				item++
			}
		}
		if swarm == private || private && item > 0 || !private && item != 2 {
			t.Errorf("private is %v: announced is %v, %d items", private, swarm, item)
		}
	}
}

// board is a channel with a writer, each on a node of its own, and a DHT between them.
type board struct {
	t            *testing.T
	keysDir, dir string // of the owner's keys, and the writer's log
	owner        *Publisher
	node         *swarm.Node // the writer's
	guest        Guest
	at           netip.AddrPort // the owner's
}

func newBoard(t *testing.T) *board {
	t.Helper()
	b := &board{t: t, keysDir: t.TempDir(), dir: filepath.Join(t.TempDir(), "log")}
	keys, err := keyfile.Create(b.keysDir, keyfile.Options{Title: "x", Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	_, alice, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b.guest = Guest{ID: keys.ID, Writer: "alice", Key: alice, File: filepath.Join(t.TempDir(), "known")}
	keys = b.grant(keys, signing.WriterParams{Name: "alice", Role: signing.RoleParams{Keys: []crypto.PublicKey{alice.Public()}}})
	node := dhtNode(t)
	b.at = node.Addrs()[0]
	b.owner, err = Open(t.Context(), Config{Node: node, Keys: keys, Dir: filepath.Join(t.TempDir(), "log"), New: true})
	if err != nil {
		t.Fatal(err)
	}
	b.node = dhtNode(t, node.DHT().Addr().String())
	return b
}

func (b *board) grant(keys *keyfile.Keys, writers ...signing.WriterParams) *keyfile.Keys {
	b.t.Helper()
	doc, err := signing.NewTargets(signing.TargetsParams{Expires: time.Now().AddDate(1, 0, 0), Writers: writers, Before: keys.Document()})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := doc.Sign(keys.Granter()); err != nil {
		b.t.Fatal(err)
	}
	if keys, err = keys.Grant(b.keysDir, doc.Bytes()); err != nil {
		b.t.Fatal(err)
	}
	return keys
}

func (b *board) open(fresh bool, peers ...netip.AddrPort) *Publisher {
	b.t.Helper()
	p, err := Open(b.t.Context(), Config{Node: b.node, Guest: &b.guest, Dir: b.dir, New: fresh, Peers: peers})
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// key is under which the writer's item stands.
func (b *board) key() ed25519.PublicKey { return b.guest.Key.Public().(ed25519.PublicKey) }

// kept reports whether the writer's node keeps its item alive.
func (b *board) kept() bool {
	return b.node.DHT().Keeps(mainline.Target([32]byte(b.key()), []byte("alice")))
}

// TestWritersItem: a granted writer keeps its newest in the DHT under its own key, and finds
// there, with nobody else to ask, that its log was taken back.
func TestWritersItem(t *testing.T) {
	b := newBoard(t)
	p := b.open(true, b.at)
	if _, err := p.Publish(postOf(t, "one")); err != nil {
		t.Fatal(err)
	}
	if !b.kept() {
		t.Error("the writer's item is not kept")
	}
	other := b.owner.cfg.Node.DHT()
	awaitSize(t, other, b.key(), "alice", 1)
	if err := p.Close(); err != nil || b.kept() {
		t.Errorf("after the end it is kept: %v", err)
	}
	if err := errors.Join(b.owner.Close(), os.RemoveAll(b.dir)); err != nil {
		t.Fatal(err)
	}
	p = b.open(false)
	defer p.Close()
	for p.log.Network().Raw == nil {
		select {
		case <-t.Context().Done():
			t.Fatal("the DHT's item was never heard")
		case <-time.After(50 * time.Millisecond):
		}
	}
	if _, err := p.Publish(postOf(t, "instead of one")); err == nil {
		t.Error("it signs a second history")
	}
}

// TestRevokedItem: who may publish no more keeps no item alive.
func TestRevokedItem(t *testing.T) {
	b := newBoard(t)
	defer b.owner.Close()
	p := b.open(true, b.at)
	defer p.Close()
	if _, err := p.Publish(postOf(t, "one")); err != nil || !b.kept() {
		t.Fatalf("the item is kept: %v; %v", b.kept(), err)
	}
	if err := b.owner.Reload(b.grant(b.owner.docs.(*owned).now())); err != nil {
		t.Fatal(err)
	}
	for b.kept() {
		select {
		case <-t.Context().Done():
			t.Fatal("the item of who was revoked is kept")
		case <-time.After(50 * time.Millisecond):
		}
	}
}
