package seal

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

var (
	// ErrKey: none of the keys opens it.
	ErrKey = errors.New("no key fits")
	// ErrMalformed: what was opened is not what is sealed here.
	ErrMalformed = errors.New("malformed")
	// ErrChanged: the plaintext is not the one that was sealed first.
	ErrChanged = errors.New("it was changed since it was sealed")
)

const (
	secretPart    = "age-secret-key-"
	recipientPart = "age"
)

// Key opens and seals what a private channel publishes: an X25519 identity of age. It is
// a secret. The zero value is no key.
type Key struct {
	secret [32]byte
	public [32]byte
}

// NewKey makes a key out of 32 bytes of random.
func NewKey(random io.Reader) (Key, error) {
	var secret [32]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return Key{}, fmt.Errorf("read key: %w", err)
	}
	return keyOf(secret[:])
}

func keyOf(secret []byte) (Key, error) {
	p, err := ecdh.X25519().NewPrivateKey(secret)
	if err != nil {
		return Key{}, fmt.Errorf("read key: %w: it has %d bytes, not 32", ErrMalformed, len(secret))
	}
	return Key{secret: [32]byte(secret), public: [32]byte(p.PublicKey().Bytes())}, nil
}

// ParseKey reads what Text prints. Its errors do not quote it, and wrap ErrMalformed.
func ParseKey(s string) (Key, error) {
	if s != strings.ToUpper(s) {
		return Key{}, fmt.Errorf("read key: %w: it is written in capital letters", ErrMalformed)
	}
	secret, err := decodeBech32(secretPart, strings.ToLower(s))
	if err != nil {
		return Key{}, fmt.Errorf("read key: %w: %w", ErrMalformed, err)
	}
	return keyOf(secret)
}

// Text is the key as it stands in a link and in an identity file of age: AGE-SECRET-KEY-1
// and 58 characters.
func (k Key) Text() string { return strings.ToUpper(encodeBech32(secretPart, k.secret[:])) }

// Recipient is the public half, age1 and 58 characters: who has it can send to the key.
func (k Key) Recipient() string { return encodeBech32(recipientPart, k.public[:]) }

// String is Recipient, so that a key that is printed by accident tells nothing.
func (k Key) String() string { return k.Recipient() }

// GoString is String.
func (k Key) GoString() string { return "seal.Key(" + k.Recipient() + ")" }

// IsZero reports whether it is no key.
func (k Key) IsZero() bool { return k == Key{} }

// Identity is the key for package age.
func (k Key) Identity() (age.Identity, error) { return age.ParseX25519Identity(k.Text()) }

// Salt is what the torrent of plaintext is salted with, so that the same files in another
// channel, or under another key, are another torrent; it is as secret as the key.
func (k Key) Salt() []byte {
	b := k.derive("salt", nil, 16)
	return b
}

// derive returns n bytes that only who has the key can tell: HKDF-SHA-256 (RFC 5869) of
// the key, with the salt "handful-seal/v1" and the info label ‖ 0x00 ‖ context.
func (k Key) derive(label string, context []byte, n int) []byte {
	b, err := hkdf.Key(sha256.New, k.secret[:], []byte("handful-seal/v1"), label+"\x00"+string(context), n)
	if err != nil {
		panic(err) // n is a small constant
	}
	return b
}

// identities are the keys for package age.
func identities(keys []Key) ([]age.Identity, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: there is none", ErrKey)
	}
	ids := make([]age.Identity, len(keys))
	for i, k := range keys {
		var err error
		if ids[i], err = k.Identity(); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// openFailed tells a key that does not fit from a file that is damaged.
func openFailed(err error) error {
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return ErrKey
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}
