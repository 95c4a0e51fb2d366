package policy

import (
	"encoding/binary"
	"time"
)

// Tier says how near a peer is; lower is nearer. An origin is last wherever it
// stands.
type Tier uint8

// The tiers, nearest first.
const (
	Host Tier = iota
	Link
	Site
	Far
	Origin
	tiers
)

// Role says what may be expected of a peer.
type Role uint8

// The roles.
const (
	Foreign   Role = iota // a client that knows nothing of grants and turns
	Member                // speaks our extension
	Publisher             // the publisher's own seed: shows only what it grants
)

// Key is a peer's name in the drawing of turns: the first eight bytes of a
// cryptographic hash of its peer id and the infohash.
type Key uint64

// NewKey takes the key out of such a hash.
func NewKey(sum [32]byte) Key { return Key(binary.BigEndian.Uint64(sum[:8])) }

// weight is a peer's weight for a piece in rendezvous hashing (the finisher of
// SplitMix64 over key and piece).
func (k Key) weight(piece int) uint64 {
	x := uint64(k) + uint64(piece+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// before reports whether a's turn for a piece comes before b's.
func before(a, b Key, piece int) bool {
	wa, wb := a.weight(piece), b.weight(piece)
	return wa > wb || wa == wb && a < b
}

// Rank returns which turn self has for a piece among the members of its group, of
// which self is none: 0 is the delegate. Every member that knows the same others
// finds the same order.
func Rank(self Key, others []Key, piece int) (rank int) {
	for _, k := range others {
		if k != self && before(k, self, piece) {
			rank++
		}
	}
	return rank
}

// Limits of a grace: how long somebody is waited for before another is asked.
const (
	minGrace = 6 * time.Second
	maxGrace = 30 * time.Second
)
