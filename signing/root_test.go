package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRootSays(t *testing.T) {
	p := testParams()
	p.Private = true
	r := newRoot(t, p, rootKey)
	again, err := FirstRoot(r.ID(), r.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if again.Title() != "Demo" || !again.Expires().Equal(testExpiry) || !again.DHTKey().Equal(public(dhtKey)) || !again.Private() || again.Version() != 1 ||
		again.MaxAge(MainWriter) != 24*time.Hour || again.MaxAge("other") != 0 {
		t.Errorf("it says %q %s %x %v %d", again.Title(), again.Expires(), again.DHTKey(), again.Private(), again.Version())
	}
	for name, want := range map[string]ed25519.PrivateKey{RoleRoot: rootKey, RoleTargets: onlineKey, RoleTimestamp: onlineKey, RoleSnapshot: onlineKey} {
		role := again.Role(name)
		if role.Threshold != 1 || len(role.Keys) != 1 || !role.Keys[0].Ed25519().Equal(public(want)) {
			t.Errorf("role %s: %+v", name, role)
		}
	}
	if again.ID() != r.ID() {
		t.Error("the id depends on the signatures")
	}
}

func TestRootThreshold(t *testing.T) {
	p := testParams()
	p.Root = oneKey(seedKey(11), seedKey(12), seedKey(13))
	p.Root.Threshold = 2
	for name, tt := range map[string]struct {
		signers []ed25519.PrivateKey
		want    error
	}{
		"none":           {nil, ErrForged},
		"one of two":     {[]ed25519.PrivateKey{seedKey(11)}, ErrForged},
		"one twice":      {[]ed25519.PrivateKey{seedKey(11), seedKey(11)}, ErrForged},
		"one and alien":  {[]ed25519.PrivateKey{seedKey(11), seedKey(99)}, ErrForged},
		"two":            {[]ed25519.PrivateKey{seedKey(11), seedKey(13)}, nil},
		"two and aliens": {[]ed25519.PrivateKey{seedKey(98), seedKey(11), seedKey(13), seedKey(99)}, nil},
	} {
		r := newRoot(t, p, tt.signers...)
		if _, err := FirstRoot(r.ID(), r.Bytes()); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// TestDupSignature repeats the signature of one root key, and names one key by two ids.
func TestDupSignature(t *testing.T) {
	p := testParams()
	p.Root = oneKey(seedKey(11), seedKey(12))
	r := newRoot(t, p, seedKey(11))
	doubled := strings.Replace(string(r.Bytes()), `{"signatures":[`, `{"signatures":[`+signatureText(r)+`,`, 1)
	if _, err := FirstRoot(r.ID(), []byte(doubled)); !errors.Is(err, ErrForged) {
		t.Errorf("one signature, twice: %v", err)
	}
	one, _ := NewKey(public(seedKey(11)))
	two, _ := NewKey(public(seedKey(12)))
	text := strings.ReplaceAll(string(newRoot(t, p).Bytes()), hex.EncodeToString(public(seedKey(12))), hex.EncodeToString(public(seedKey(11))))
	alias, err := ParseRoot([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	sig := hex.EncodeToString(ed25519.Sign(seedKey(11), alias.Payload()))
	text = strings.Replace(text, `"signatures":[]`, `"signatures":[{"keyid":"`+one.ID()+`","sig":"`+sig+`"},{"keyid":"`+two.ID()+`","sig":"`+sig+`"}]`, 1)
	if _, err := FirstRoot(alias.ID(), []byte(text)); !errors.Is(err, ErrForged) {
		t.Errorf("one key under two ids: %v", err)
	}
}

func signatureText(r *Root) string {
	s := r.signatures[0]
	return `{"keyid":"` + s.keyID + `","sig":"` + hex.EncodeToString(s.sig) + `"}`
}

func TestRootChain(t *testing.T) {
	root := testRoot(t)
	p := testParams()
	p.Root = oneKey(seedKey(21))
	version := func(n int64, signers ...ed25519.PrivateKey) []byte {
		p.Version = n
		return newRoot(t, p, signers...).Bytes()
	}
	for name, tt := range map[string]struct {
		raw  []byte
		want error
	}{
		"replayed":        {root.Bytes(), nil},
		"skipped":         {version(3, rootKey, seedKey(21)), ErrGap},
		"only old keys":   {version(2, rootKey), ErrForged},
		"only new keys":   {version(2, seedKey(21)), ErrForged},
		"other version 1": {version(1, rootKey), ErrRollback},
		"both":            {version(2, rootKey, seedKey(21)), nil},
	} {
		f := follower(t, root)
		if err := f.UpdateRoot(tt.raw); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	f := follower(t, root)
	if err := f.UpdateRoot(version(2, rootKey, seedKey(21))); err != nil {
		t.Fatal(err)
	}
	f = restart(t, f)
	if f.Root().Version() != 2 || f.RootBytes(1) == nil || f.RootBytes(3) != nil || f.RootBytes(0) != nil {
		t.Error("the chain is not kept")
	}
	if err := f.UpdateRoot(version(3, rootKey, seedKey(21))); err != nil {
		t.Error("signed by more than is needed:", err)
	}
	stranger := NewTrusted(root.ID())
	if err := stranger.UpdateRoot(version(2, rootKey, seedKey(21))); !errors.Is(err, ErrGap) {
		t.Errorf("a stranger begins with version 2: %v", err)
	}
}

// TestRootWithOtherKeys has an ECDSA key that counts, and one of an unknown kind that
// does not.
func TestRootWithOtherKeys(t *testing.T) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{4}, 32))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "\n", `\n`)
	raw := string(newRoot(t, testParams()).Bytes())
	k, _ := NewKey(public(rootKey))
	old := `{"keytype":"ed25519","keyval":{"public":"` + hex.EncodeToString(public(rootKey)) + `"},"scheme":"ed25519"}`
	if !strings.Contains(raw, old) {
		t.Fatal("no such key")
	}
	raw = strings.Replace(raw, old, `{"keytype":"ecdsa","keyval":{"public":"`+text+`"},"scheme":"ecdsa-sha2-nistp256"}`, 1)
	r, err := ParseRoot([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(r.Payload())
	sig, err := key.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	signed := strings.Replace(raw, `"signatures":[]`, `"signatures":[{"keyid":"`+k.ID()+`","sig":"`+hex.EncodeToString(sig)+`"}]`, 1)
	if _, err := FirstRoot(r.ID(), []byte(signed)); err != nil {
		t.Errorf("signed by an ECDSA key: %v", err)
	}
	unknown := strings.Replace(signed, `"keytype":"ecdsa"`, `"keytype":"mldsa"`, 1)
	r, err = ParseRoot([]byte(unknown))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FirstRoot(r.ID(), []byte(unknown)); !errors.Is(err, ErrForged) {
		t.Errorf("signed by a key of an unknown kind: %v", err)
	}
}

func TestNewRootRefuses(t *testing.T) {
	for name, change := range map[string]func(*RootParams){
		"no root key":        func(p *RootParams) { p.Root.Keys = nil },
		"threshold too high": func(p *RootParams) { p.Timestamp.Threshold = 2 },
		"key twice":          func(p *RootParams) { p.Targets = oneKey(onlineKey, onlineKey) },
		"short key":          func(p *RootParams) { p.Root.Keys[0] = public(rootKey)[:31] },
		"short DHT key":      func(p *RootParams) { p.DHT = p.DHT[:31] },
		"title that beeps":   func(p *RootParams) { p.Title = "a\ab" },
		"title too long":     func(p *RootParams) { p.Title = strings.Repeat("x", maxTitle+1) },
		"age below a second": func(p *RootParams) { p.MaxAge["m"] = time.Millisecond },
		"quorum too high":    func(p *RootParams) { p.Quorum = 1 },
		"year 10000":         func(p *RootParams) { p.Expires = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		p := testParams()
		change(&p)
		if r, err := NewRoot(p); err == nil {
			t.Errorf("%s: made %s", name, r.Bytes())
		}
	}
}

// TestRootFlips flips every bit of a root document before a stranger sees it.
func TestRootFlips(t *testing.T) {
	root := testRoot(t)
	for i := range 8 * len(root.Bytes()) {
		bad := []byte(string(root.Bytes()))
		bad[i/8] ^= 1 << (i % 8)
		if _, err := FirstRoot(root.ID(), bad); err == nil {
			t.Fatalf("bit %d: accepted", i)
		}
	}
}
