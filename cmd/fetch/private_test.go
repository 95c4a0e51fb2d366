package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"handful/manifest"
	"handful/manifest/seal"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/discover/mainline"
	"handful/swarm/follow"
	"handful/swarm/publish"
)

// TestPrivateNotInDHT: neither a private channel nor its content is ever named in the DHT,
// by publisher or follower, although both are in it; and nothing is published in it in
// the clear.
func TestPrivateNotInDHT(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds")
	}
	t.Parallel()
	first := dhtNode(t, 21)
	bootstrap := first.DHT().Addr().String()
	publisher, follower := dhtNode(t, 22, bootstrap), dhtNode(t, 23, bootstrap)
	keys, err := keyfile.Create(t.TempDir(), keyfile.Options{Private: true, Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	k, err := seal.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cfg := publish.Config{Node: publisher, Keys: keys, Dir: t.TempDir(), New: true}
	p, err := publish.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := manifest.Media{Head: manifest.Header{Time: time.Now().UnixMilli()}, InfoSum: [32]byte{1}, Name: "secret", Size: 1}
	if _, err := p.Publish(e.Bytes()); !errors.Is(err, publish.ErrUnsealed) {
		t.Errorf("published in the clear: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Seal = func(entry []byte) ([]byte, error) {
		s, err := k.SealEntry(entry, manifest.Pointers{})
		return s.Bytes(), err
	}
	if p, err = publish.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if _, err := p.Publish(e.Bytes()); err != nil {
		t.Fatal(err)
	}
	raw, err := p.Log().Entry(0)
	if err != nil || bytes.Contains(raw, []byte("secret")) {
		t.Errorf("in the log stands %q, %v", raw, err)
	}

	followPrivate(t, publisher, follower, keys.ID, k)
	// A node that follows a public channel is named there within this time.
	public, err := keyfile.Create(t.TempDir(), keyfile.Options{Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	q, err := publish.Open(t.Context(), publish.Config{Node: publisher, Keys: public, Dir: t.TempDir(), New: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	publishMedia(t, q, "open")
	awaitItem(t, first.DHT(), public.Newest().DHTKey(), signing.MainWriter)

	for name, n := range map[string]*swarm.Node{"publisher": publisher, "follower": follower} {
		if n.DHT().Announces([20]byte(keys.ID.Swarm())) {
			t.Errorf("the %s announces the channel", name)
		}
		for _, salt := range []string{signing.MainWriter, "root"} {
			if n.DHT().Keeps(mainline.Target([32]byte(keys.Newest().DHTKey()), []byte(salt))) {
				t.Errorf("the %s keeps the item %s", name, salt)
			}
		}
	}
	if !publisher.DHT().Announces([20]byte(public.ID.Swarm())) {
		t.Error("a public channel is not announced either: this test proves nothing")
	}
	if _, err := first.DHT().Get(t.Context(), keys.Newest().DHTKey(), []byte(signing.MainWriter), nil); !errors.Is(err, mainline.ErrNotFound) {
		t.Errorf("the DHT has its item: %v", err)
	}
}

// followPrivate follows a channel with its key, and finds what is inside its first entry.
func followPrivate(t *testing.T, publisher, follower *swarm.Node, id signing.ID, k seal.Key) {
	t.Helper()
	read := &readKeys{dir: t.TempDir(), id: id}
	if err := read.give(k.Text()); err != nil {
		t.Fatal(err)
	}
	f, err := follow.Open(follow.Config{Node: follower, Dir: t.TempDir(), ID: id, Private: true, Keys: read,
		Peers: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.22"), uint16(publisher.Port()))}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	found, err := f.Find(t.Context(), signing.MainWriter, 0)
	if m, ok := found.Entry.(manifest.Media); err != nil || !ok || m.Name != "secret" || found.Locked != nil {
		t.Fatalf("%+v, %v", found, err)
	}
	spec, ok := found.Spec()
	if !ok || !spec.Unlisted || spec.Name != "" {
		t.Errorf("it is fetched by %+v", spec)
	}
}

// TestReadKeys: keys of links are kept when they open something, and not before; those that
// are sent are kept as well, and all are there for the next run.
func TestReadKeys(t *testing.T) {
	dir := t.TempDir()
	var id signing.ID
	key := func(b byte) seal.Key {
		k, err := seal.NewKey(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	open := func() *readKeys {
		k, err := openReadKeys(dir, id)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	entry := func(k seal.Key) manifest.Sealed {
		s, err := k.SealEntry(manifest.Post{Title: "hello"}.Bytes(), manifest.Pointers{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	k := open()
	if !k.none() {
		t.Error("there is a key in an empty directory")
	}
	for _, given := range []string{"", key(1).Text(), key(2).Text()} {
		if err := k.give(given); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.Open(entry(key(3))); !errors.Is(err, seal.ErrKey) {
		t.Errorf("%v", err)
	}
	if _, err := k.Open(entry(key(2))); err != nil {
		t.Errorf("%v", err)
	}
	if k = open(); k.none() || len(k.all()) != 1 || k.all()[0] != key(2) {
		t.Errorf("the next run has %v", k.all())
	}
	box, err := seal.SealKey(key(3), []seal.Member{{Name: "me", Recipient: key(9).Recipient()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Learn(manifest.Rekey{Box: box}); !errors.Is(err, seal.ErrKey) {
		t.Errorf("without a key of its own: %v", err)
	}
	// Who has a post-quantum key of age's puts it there.
	quantum, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintf("# mine\n%s\n%s\n", quantum, key(9).Text())
	if err := os.WriteFile(readerKeyPath(dir), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Learn(manifest.Rekey{Box: box}); err != nil {
		t.Fatal(err)
	}
	if _, err := open().Open(entry(key(3))); err != nil {
		t.Errorf("the next run: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, "read"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.path(), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openReadKeys(dir, id); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("a damaged file: %v", err)
	}
}
