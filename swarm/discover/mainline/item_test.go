package mainline

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors has the test vectors of BEP 44.
func TestVectors(t *testing.T) {
	key := [32]byte(unhex(t, "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548"))
	value := []byte("12:Hello World!")
	for _, tt := range []struct{ salt, signed, sig, target string }{
		{"", "3:seqi1e1:v12:Hello World!",
			"305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
			"4a533d47ec9c7d95b1ad75f576cffc641853b750"},
		{"foobar", "4:salt6:foobar3:seqi1e1:v12:Hello World!",
			"6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17ddf9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08",
			"411eba73b6f087ca51a3795d9c8c938d365e32c1"},
	} {
		if got := string(SignedBytes([]byte(tt.salt), 1, value)); got != tt.signed {
			t.Errorf("salt %q: signed bytes %q, want %q", tt.salt, got, tt.signed)
		}
		it := Item{Key: key, Salt: []byte(tt.salt), Seq: 1, Value: value, Sig: [64]byte(unhex(t, tt.sig))}
		if err := it.Check(); err != nil {
			t.Errorf("salt %q: %v", tt.salt, err)
		}
		if got := it.Target(); hex.EncodeToString(got[:]) != tt.target {
			t.Errorf("salt %q: target %x, want %s", tt.salt, got, tt.target)
		}
		it.Seq++
		if err := it.Check(); !errors.Is(err, ErrForged) {
			t.Errorf("salt %q: another seq: %v", tt.salt, err)
		}
	}
	if got := sha1.Sum(value); hex.EncodeToString(got[:]) != "e5f96f6f38320f0f33959cb4d3d656452117aadb" {
		t.Errorf("immutable target %x", got)
	}
}

func testKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func publicKey(b byte) ed25519.PublicKey { return testKey(b).Public().(ed25519.PublicKey) }

func signed(t testing.TB, salt string, seq int64, value string) Item {
	t.Helper()
	it, err := Sign(testKey(1), []byte(salt), seq, []byte(value))
	if err != nil {
		t.Fatal(err)
	}
	return it
}

func TestSignRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ salt, value string }{
		"salt of 65 bytes":     {strings.Repeat("s", 65), "i1e"},
		"value of 1001 bytes":  {"", "997:" + strings.Repeat("v", 997)},
		"no value":             {"", ""},
		"two values":           {"", "i1ei2e"},
		"no bencode":           {"", "hello"},
		"another spelling":     {"", "i01e"},
		"dictionary unordered": {"", "d1:bi1e1:ai1ee"},
	} {
		if _, err := Sign(testKey(1), []byte(tt.salt), 1, []byte(tt.value)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Sign(testKey(1), []byte(strings.Repeat("s", 64)), -1, []byte("996:"+strings.Repeat("v", 996))); err != nil {
		t.Errorf("the largest: %v", err)
	}
}

func TestPointer(t *testing.T) {
	hash := strings.Repeat("h", 20)
	for value, want := range map[string]bool{
		"d2:ih20:" + hash + "e":            true,
		"d1:c1:x2:ih20:" + hash + "1:zlee": true,
		"d2:ih19:" + hash[1:] + "e":        false,
		"d2:ihi1ee":                        false,
		"d1:c1:xe":                         false,
		"20:" + hash:                       false,
		"d2:ih20:" + hash:                  false,
		"":                                 false,
	} {
		got, ok := Pointer([]byte(value))
		if ok != want || ok && string(got[:]) != hash {
			t.Errorf("%q: %x %v", value, got, ok)
		}
	}
}

func FuzzItem(f *testing.F) {
	it := signed(f, "m", 7, "d2:ih20:hhhhhhhhhhhhhhhhhhhhe")
	f.Add([]byte("m"), int64(7), it.Value, it.Sig[:])
	f.Add([]byte(""), int64(-1), []byte("le"), it.Sig[:])
	f.Fuzz(func(t *testing.T, salt []byte, seq int64, value, sig []byte) {
		if ih, ok := Pointer(value); ok && !bytes.Contains(value, append([]byte("2:ih20:"), ih[:]...)) {
			t.Fatalf("%q points to %x", value, ih)
		}
		o := body{value: value, seq: &seq, key: &it.Key, sig: new([64]byte)}
		copy(o.sig[:], sig)
		if got, ok := o.item(it.Key, salt); ok {
			if err := got.Check(); err != nil || len(got.Value) > MaxValue || len(got.Salt) > maxSalt {
				t.Fatalf("%+v: %v", got, err)
			}
		}
	})
}
