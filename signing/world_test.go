package signing

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"maps"
	"testing"
	"time"

	"handful/manifest/bencode"
)

// The world of the tests: keys from fixed seeds, one channel, and a clock that stands.

func seedKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

var (
	rootKey, onlineKey, dhtKey = seedKey(1), seedKey(2), seedKey(3)
	testTime                   = time.Unix(1766400000, 0).UTC()
	testExpiry                 = time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
)

func oneKey(keys ...ed25519.PrivateKey) RoleParams {
	var p RoleParams
	for _, k := range keys {
		p.Keys = append(p.Keys, k.Public())
	}
	return p
}

func testParams() RootParams {
	return RootParams{
		Title: "Demo", Expires: testExpiry,
		Root: oneKey(rootKey), Targets: oneKey(onlineKey), Timestamp: oneKey(onlineKey),
		DHT: public(dhtKey), MaxAge: map[string]time.Duration{MainWriter: 24 * time.Hour},
	}
}

func newRoot(t testing.TB, p RootParams, signers ...ed25519.PrivateKey) *Root {
	t.Helper()
	r, err := NewRoot(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range signers {
		if err := r.Sign(k); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func testRoot(t testing.TB) *Root { return newRoot(t, testParams(), rootKey) }

// post is a small entry.
func post(text string) []byte {
	b := []byte("d")
	b = bencode.AppendString(b, "t")
	b = bencode.AppendInt(b, testTime.UnixMilli())
	b = bencode.AppendString(b, "x")
	b = bencode.AppendString(b, text)
	b = bencode.AppendString(b, "y")
	b = bencode.AppendString(b, "post")
	return append(b, 'e')
}

// testLog is a log of the main writer with posts of these texts, signed at now.
func testLog(t testing.TB, root *Root, now time.Time, texts ...string) *Log {
	t.Helper()
	l, err := NewLog(root.ID(), MainWriter, &Memory{}, root.Version())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, err := l.Append(post(text)); err != nil {
			t.Fatal(err)
		}
	}
	signLog(t, l, now)
	return l
}

func signLog(t testing.TB, l *Log, now time.Time) {
	t.Helper()
	if _, err := l.SignHead(onlineKey, now); err != nil {
		t.Fatal(err)
	}
}

func updateFor(t testing.TB, l *Log, size int64) Update {
	t.Helper()
	u, err := l.UpdateFor(size)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseUpdate(u.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// follower knows the channel's root and nothing else.
func follower(t testing.TB, root *Root) *Trusted {
	t.Helper()
	f := NewTrusted(root.ID())
	if err := f.UpdateRoot(root.Bytes()); err != nil {
		t.Fatal(err)
	}
	return f
}

// fataler is a test, or a check of a property that shrinks what fails.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// restart takes a state through its bytes.
func restart(t fataler, f *Trusted) *Trusted {
	t.Helper()
	again, err := ParseTrusted(f.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Bytes(), f.Bytes()) {
		t.Fatal("the state does not print back what it was parsed from")
	}
	return again
}

func numbered(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("post %d", i))
	}
	return out
}

// copyOf is a state that may be changed without changing f.
func copyOf(f *Trusted) *Trusted {
	c := *f
	c.writers = maps.Clone(f.writers)
	return &c
}
