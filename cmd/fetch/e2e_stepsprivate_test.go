package main_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"testing"

	"filippo.io/age"

	"handful/manifest"
	"handful/manifest/seal"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/publish"
)

// openLog is a publisher's log, with what opens the entries of a private channel.
type openLog struct {
	*publish.Log
	keys []seal.Key // none: the channel is public
}

// Entry returns what an entry says to who may read it.
func (l *openLog) Entry(index int64) ([]byte, error) {
	raw, err := l.Log.Entry(index)
	if err != nil {
		return nil, err
	}
	return opened(raw, l.keys)
}

// opened opens an entry if it is sealed.
func opened(raw []byte, keys []seal.Key) ([]byte, error) {
	e, err := manifest.ParseEntry(raw)
	if sealed, ok := e.(manifest.Sealed); ok && err == nil {
		if e, err = seal.OpenEntry(keys, sealed); err == nil {
			return e.Bytes(), nil
		}
	}
	return raw, err
}

// readKeys returns the read keys that a publisher has on disk, nil if the channel is public.
func readKeys(t *testing.T, dir string, id signing.ID) []seal.Key {
	t.Helper()
	text, err := keyfile.ReadKeys(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	if text == nil {
		return nil
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		t.Fatal(err)
	}
	return ring.Keys
}

// readerFile keeps the secret key of the reader that privatePosts adds.
const readerFile = "ann.secret"

// privateSteps are commands that sign in a private channel.
func privateSteps() []stepCase {
	return []stepCase{{
		name: "private, the first post", program: "seed", args: []string{"post", "--private", "--no-wait", "one"}, least: 60,
		prepare: func(*testing.T, *side) []string { return nil },
		killed:  sealedAcknowledged, again: sealedOnce("one"),
	}, {
		name: "private post", program: "seed", args: []string{"post", "--no-wait", "four"}, least: 25,
		prepare: privatePosts, killed: sealedAcknowledged, again: sealedOnce("four"),
	}, {
		name: "private publish", program: "seed", args: []string{"publish", "--no-wait", "tree"}, least: 30,
		prepare: func(t *testing.T, base *side) []string {
			writeFile(t, base.path("tree", "a.bin"), 300_001)
			return privatePosts(t, base)
		}, killed: sealedAcknowledged, again: sealedOnce("tree"),
	}, {
		name: "rekey", program: "seed", args: []string{"rekey", "--no-wait"}, least: 25,
		prepare: privatePosts, killed: sealedAcknowledged,
		again: func(t *testing.T, base, s *side, _ *process) {
			w, l := sealedOn(t, s)
			if len(l.keys) < 2 || opens(t, l, readKeys(t, base.path("state", "seed", "keys"), w.keys.ID), "and on it goes") {
				t.Errorf("of %d keys the old one opens what is said after it", len(l.keys))
			}
			if !opens(t, l, sentTo(t, s, l), "and on it goes") {
				t.Error("who was sent the new key does not open what is said after it")
			}
		},
	}, {
		name: "reader remove", program: "seed", args: []string{"reader", "remove", "--no-wait", "ann"}, least: 25,
		prepare: privatePosts, killed: sealedAcknowledged,
		codes: []int{10}, // she is no reader any more
		again: func(t *testing.T, base, s *side, _ *process) {
			w, l := sealedOn(t, s)
			if opens(t, l, readKeys(t, base.path("state", "seed", "keys"), w.keys.ID), "and on it goes") {
				t.Error("the old key opens what is said after it")
			}
			if opens(t, l, sentTo(t, s, l), "and on it goes") {
				t.Error("who was removed opens what is said later")
			}
		},
	}}
}

// privatePosts says something in a private channel that has one reader.
func privatePosts(t *testing.T, base *side) []string {
	t.Helper()
	reader, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	writeBytes(t, base.path(readerFile), []byte(reader.String()))
	for _, text := range []string{"one", "two", "three"} {
		base.ended(0, "seed", "post", "--private", "--no-wait", text)
	}
	base.ended(0, "seed", "reader", "add", "--no-wait", "ann", reader.Recipient().String())
	base.ended(0, "seed", "post", "--no-wait", "to ann as well")
	_, l, _ := look(t, base)
	if !opens(t, l, sentTo(t, base, l), "to ann as well") || opens(t, l, []seal.Key{strangersKey(t)}, "to ann as well") {
		t.Fatal("the reader does not read, or a stranger does")
	}
	return nil
}

func strangersKey(t *testing.T) seal.Key {
	t.Helper()
	k, err := seal.NewKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sealedAcknowledged: what was said to be published is there, no text is in the log in the clear, and what is sealed opens
// with a key that is on disk.
func sealedAcknowledged(t *testing.T, base, s *side, p *process) {
	t.Helper()
	acknowledged(t, base, s, p)
	if _, l, ok := look(t, s); ok {
		allSealed(t, l)
	}
}

func allSealed(t *testing.T, l *openLog) {
	t.Helper()
	for i := range l.Size() {
		raw, err := l.Log.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		e, err := manifest.ParseEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		if kind := e.Kind(); kind != manifest.KindSealed && kind != manifest.KindRekey {
			t.Errorf("entry %d stands in the clear: %q", i, raw)
		}
		if _, err := l.Entry(i); err != nil {
			t.Errorf("nobody reads entry %d: %v", i, err)
		}
	}
}

// sealedOn is goesOn in a private channel.
func sealedOn(t *testing.T, s *side) (*witnessed, *openLog) {
	t.Helper()
	w, l := goesOn(t, s)
	allSealed(t, l)
	return w, l
}

// sealedOnce is once in a private channel; its reader reads it.
func sealedOnce(text string) func(*testing.T, *side, *side, *process) {
	return func(t *testing.T, base, s *side, p *process) {
		t.Helper()
		_, l := sealedOn(t, s)
		if n := len(texts(t, l, text)); n < 1 || n > 2 {
			t.Errorf("%q stands there %d times", text, n)
		}
		if keys := sentTo(t, s, l); len(keys) > 0 && !opens(t, l, keys, text) {
			t.Errorf("the reader does not read %q", text)
		}
	}
}

// sentTo returns the read keys that the log has brought to the reader of privatePosts, none if there is none.
func sentTo(t *testing.T, s *side, l *openLog) (keys []seal.Key) {
	t.Helper()
	secret, err := os.ReadFile(s.path(readerFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	reader, err := age.ParseX25519Identity(string(secret))
	if err != nil {
		t.Fatal(err)
	}
	for i := range l.Size() {
		raw, err := l.Log.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		e, err := manifest.ParseEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		rekey, ok := e.(manifest.Rekey)
		if !ok {
			continue
		}
		k, err := seal.OpenKey(rekey.Box, []age.Identity{reader})
		if err == nil {
			keys = append(keys, k)
		} else if !errors.Is(err, seal.ErrKey) {
			t.Error(err)
		}
	}
	return keys
}

// opens reports whether who has some keys reads the newest entry that says something.
func opens(t *testing.T, l *openLog, keys []seal.Key, text string) bool {
	t.Helper()
	for i := l.Size() - 1; i >= 0; i-- {
		raw, err := l.Log.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := opened(raw, l.keys); err == nil && bytes.Contains(e, []byte(text)) {
			_, err := opened(raw, keys)
			return err == nil
		}
	}
	t.Fatalf("nothing says %q", text)
	return false
}
