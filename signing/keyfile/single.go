package keyfile

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"

	"handful/signing"
	"handful/signing/durable"
)

// Keys outside of a channel's directory: such that wait for a document, and those of
// delegated writers.

// Generate makes an Ed25519 key. random is the source: crypto/rand.Reader.
func Generate(random io.Reader) (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("random seed: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// WriteKey writes a private key as PKCS#8 in PEM, durably, for this user alone.
func WriteKey(path string, key ed25519.PrivateKey) error {
	text, err := encodeKey(key)
	if err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, path, text)
}

// ReadKey reads an Ed25519 private key that only this user can read. Its error is an
// fs.ErrNotExist when there is none.
func ReadKey(path string) (ed25519.PrivateKey, error) { return readKey(path) }

// ParseSigner reads a private key in PKCS#8 and PEM that can sign documents: Ed25519, or
// ECDSA on P-256.
func ParseSigner(text []byte) (crypto.Signer, error) {
	if len(text) > maxKey {
		return nil, fmt.Errorf("private key: %w: %d bytes, but at most %d are possible", ErrDamaged, len(text), maxKey)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("private key: %w: a PEM block PRIVATE KEY is needed, without a password; openssl pkcs8 -topk8 -nocrypt writes one", ErrDamaged)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("private key: %w: %w", ErrDamaged, err)
	}
	s, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key: %w: a key of kind %T cannot sign", ErrDamaged, key)
	}
	if _, err := signing.NewKey(s.Public()); err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return s, nil
}

// EncodePublic writes a public key as openssl does: a PEM block PUBLIC KEY.
func EncodePublic(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// Names reports whether a root document names a key: in a role, or for the DHT.
func Names(r *signing.Root, key ed25519.PrivateKey) bool { return placeOf(r, key) != "" }
