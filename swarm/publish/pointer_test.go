package publish

import (
	"crypto/rand"
	"errors"
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
	awaitSize(t, other.DHT(), keys.Newest().DHTKey(), 2)
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
func awaitSize(t *testing.T, d *mainline.Node, key []byte, size int64) {
	t.Helper()
	for {
		found, err := d.Get(t.Context(), key, []byte(signing.MainWriter), nil)
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
