package mainline

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha1"
	"errors"
	"fmt"
	"strconv"

	"handful/manifest/bencode"
)

// Bounds of BEP 44.
const (
	// MaxValue is the largest value of an item in bytes, encoded.
	MaxValue = 1000
	maxSalt  = 64 // bytes
)

// ErrForged is wrapped by errors about items whose signature does not verify.
var ErrForged = errors.New("the signature does not verify")

// Item is a mutable item of BEP 44: a value that the holder of a key replaces by
// signing another one with a higher Seq. Under one key there is an item for each salt.
// Slices in it must not be changed.
type Item struct {
	Key   [32]byte // Ed25519, public
	Salt  []byte   // at most 64 bytes, or nil
	Seq   int64
	Value []byte // one bencoded value of at most [MaxValue] bytes
	Sig   [64]byte
}

// SignedBytes returns what the key of an item signs (BEP 44):
//
//	4:salt<salt, bencoded>3:seqi<seq>e1:v<value>
//
// without the first part where there is no salt.
func SignedBytes(salt []byte, seq int64, value []byte) []byte {
	var b []byte
	if len(salt) > 0 {
		b = bencode.AppendString(append(b, "4:salt"...), salt)
	}
	b = append(b, "3:seqi"...)
	b = strconv.AppendInt(b, seq, 10)
	b = append(b, "e1:v"...)
	return append(b, value...)
}

// Sign makes an item. It fails when salt or value break the bounds of BEP 44, or the
// value is not one value in the one spelling of bencode.
func Sign(key ed25519.PrivateKey, salt []byte, seq int64, value []byte) (Item, error) {
	it := Item{Salt: bytes.Clone(salt), Seq: seq, Value: bytes.Clone(value)}
	copy(it.Key[:], key.Public().(ed25519.PublicKey))
	copy(it.Sig[:], ed25519.Sign(key, SignedBytes(salt, seq, value)))
	return it, it.Check()
}

// Check verifies the item: its bounds, the spelling of its value, and its signature.
func (it Item) Check() error {
	switch {
	case len(it.Salt) > maxSalt:
		return fmt.Errorf("item: %w: a salt of %d bytes, at most %d", ErrMalformed, len(it.Salt), maxSalt)
	case len(it.Value) > MaxValue:
		return fmt.Errorf("item: %w: a value of %d bytes, at most %d", ErrMalformed, len(it.Value), MaxValue)
	}
	r := bencode.NewReader(it.Value)
	r.Skip()
	if err := r.End(); err != nil {
		return fmt.Errorf("item: %w: value: %w", ErrMalformed, err)
	}
	if !ed25519.Verify(it.Key[:], SignedBytes(it.Salt, it.Seq, it.Value), it.Sig[:]) {
		return fmt.Errorf("item of seq %d: %w", it.Seq, ErrForged)
	}
	return nil
}

// Target returns where in the network the item is kept: SHA-1 of key and salt.
func (it Item) Target() [20]byte { return Target(it.Key, it.Salt) }

// Target returns where the item of a key and a salt is kept.
func Target(key [32]byte, salt []byte) [20]byte {
	return sha1.Sum(append(bytes.Clone(key[:]), salt...))
}

// same reports whether two items of one target say the same.
func (it Item) same(other Item) bool {
	return it.Seq == other.Seq && bytes.Equal(it.Value, other.Value)
}

// Pointer returns the infohash that an item's value points to (BEP 46): the key ih of
// a dictionary. ok is false when there is none.
func Pointer(value []byte) (infohash [20]byte, ok bool) {
	if len(value) > MaxValue {
		return infohash, false
	}
	r := bencode.NewReader(value)
	r.Dict(func(key string) {
		if key == "ih" {
			r.Fixed(infohash[:])
			ok = true
			return
		}
		r.Skip()
	})
	if r.End() != nil || !ok {
		return [20]byte{}, false
	}
	return infohash, true
}

// item takes the item out of a reply, for somebody who asked for key and salt. ok is
// false when there is none, or none that verifies.
func (o body) item(key [32]byte, salt []byte) (it Item, ok bool) {
	if o.value == nil || o.seq == nil || o.sig == nil || o.key == nil || *o.key != key {
		return it, false
	}
	it = Item{Key: key, Salt: salt, Seq: *o.seq, Value: o.value, Sig: *o.sig}
	return it, it.Check() == nil
}
