package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
)

// Key is a public key of a TUF role: Ed25519, or ECDSA on P-256 with SHA-256.
type Key struct {
	id      string // the key id of the document it stands in
	ed25519 ed25519.PublicKey
	ecdsa   *ecdsa.PublicKey
}

// NewKey returns the Key of an ed25519.PublicKey, or of an *ecdsa.PublicKey on P-256,
// with its usual TUF key id.
func NewKey(public crypto.PublicKey) (Key, error) {
	var k Key
	switch p := public.(type) {
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return Key{}, fmt.Errorf("an Ed25519 public key has %d bytes, not %d", ed25519.PublicKeySize, len(p))
		}
		k.ed25519 = p
	case *ecdsa.PublicKey:
		if p == nil || p.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("an ECDSA public key must be on the curve P-256")
		}
		k.ecdsa = p
	default:
		return Key{}, fmt.Errorf("an Ed25519 key, or an ECDSA key on P-256, is expected, not %s", kindOf(public))
	}
	doc, err := k.document()
	if err != nil {
		return Key{}, err
	}
	b, err := canonical(doc)
	if err != nil {
		return Key{}, fmt.Errorf("key id: %w", err)
	}
	sum := sha256.Sum256(b)
	k.id = hex.EncodeToString(sum[:])
	return k, nil
}

// ID returns the key id under which documents refer to the key, usually 64 hex digits.
func (k Key) ID() string { return k.id }

// Ed25519 returns the public key, or nil when the key is of another kind.
func (k Key) Ed25519() ed25519.PublicKey { return k.ed25519 }

// Public returns the public key, an ed25519.PublicKey or an *ecdsa.PublicKey; nil of
// the zero Key.
func (k Key) Public() crypto.PublicKey {
	switch {
	case k.ed25519 != nil:
		return k.ed25519
	case k.ecdsa != nil:
		return k.ecdsa
	}
	return nil
}

// String names the key for people: its kind and the first 16 digits of its key id.
func (k Key) String() string { return kindOf(k.Public()) + " key " + k.id[:min(16, len(k.id))] }

// Equal reports whether two keys are the same, whatever their key ids are.
func (k Key) Equal(other Key) bool {
	if k.ed25519 != nil {
		return k.ed25519.Equal(other.ed25519)
	}
	return k.ecdsa != nil && other.ecdsa != nil && k.ecdsa.Equal(other.ecdsa)
}

func (k Key) verify(message, sig []byte) bool {
	if k.ed25519 != nil {
		return ed25519.Verify(k.ed25519, message, sig)
	}
	sum := sha256.Sum256(message)
	return k.ecdsa != nil && ecdsa.VerifyASN1(k.ecdsa, sum[:], sig)
}

// document returns the key as TUF writes it.
func (k Key) document() (map[string]any, error) {
	if k.ed25519 != nil {
		return map[string]any{
			"keytype": "ed25519",
			"keyval":  map[string]any{"public": hex.EncodeToString(k.ed25519)},
			"scheme":  "ed25519",
		}, nil
	}
	der, err := x509.MarshalPKIXPublicKey(k.ecdsa)
	if err != nil {
		return nil, fmt.Errorf("encode ECDSA key: %w", err)
	}
	return map[string]any{
		"keytype": "ecdsa",
		"keyval":  map[string]any{"public": string(pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}))},
		"scheme":  "ecdsa-sha2-nistp256",
	}, nil
}

const pemPublic = "PUBLIC KEY" // RFC 7468, section 13

// parseKey reads a key of a document. known is false for kinds that this package
// cannot check: such a key never counts, but does not spoil the document.
func parseKey(id string, o object) (k Key, known bool, err error) {
	keytype, err := member[string](o, "keytype")
	if err != nil {
		return Key{}, false, err
	}
	scheme, err := member[string](o, "scheme")
	if err != nil {
		return Key{}, false, err
	}
	value, err := subobject(o, "keyval")
	if err != nil {
		return Key{}, false, err
	}
	switch {
	case keytype == "ed25519" && scheme == "ed25519":
		text, err := member[string](value, "public")
		if err != nil {
			return Key{}, false, err
		}
		b, err := lowerHex(text)
		if err != nil || len(b) != ed25519.PublicKeySize {
			return Key{}, false, malformed("an Ed25519 key is %d lower-case hex digits", 2*ed25519.PublicKeySize)
		}
		return Key{id: id, ed25519: b}, true, nil
	case (keytype == "ecdsa" || keytype == "ecdsa-sha2-nistp256") && scheme == "ecdsa-sha2-nistp256":
		text, err := member[string](value, "public")
		if err != nil {
			return Key{}, false, err
		}
		public, err := parseP256(text)
		if err != nil {
			return Key{}, false, err
		}
		return Key{id: id, ecdsa: public}, true, nil
	}
	return Key{}, false, nil
}

func parseP256(text string) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != pemPublic {
		return nil, malformed("an ECDSA key is a PEM block PUBLIC KEY")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	k, ok := public.(*ecdsa.PublicKey)
	if !ok || k.Curve != elliptic.P256() {
		return nil, malformed("the key in the PEM block is not an ECDSA key on P-256")
	}
	return k, nil
}

// lowerHex decodes hex digits in their one spelling.
func lowerHex(s string) ([]byte, error) {
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if hex.EncodeToString(b) != s {
		return nil, malformed("hex digits in upper case")
	}
	return b, nil
}
