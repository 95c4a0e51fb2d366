package signing

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
)

const (
	idVersion = 0x01
	idHash    = 22 // bytes of the id that are hash: 176 bits
	// IDLength is the length of an id's text in characters.
	IDLength = 40

	alphabet = "abcdefghijklmnopqrstuvwxyz234567"
)

var base32Lower = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// ID names a channel for ever: version byte 0x01, 22 bytes of a hash over the signed
// part of the channel's first root document, 2 bytes of checksum against typing
// errors. The zero value names nothing.
type ID [25]byte

// idOf computes the id from the canonical JSON of the first root's signed part.
func idOf(payload []byte) ID {
	h := sha256.New()
	h.Write([]byte("handful-id/v1\x00"))
	h.Write(payload)
	var id ID
	id[0] = idVersion
	copy(id[1:], h.Sum(nil)[:idHash])
	sum := id.checksum()
	copy(id[1+idHash:], sum[:])
	return id
}

func (id ID) checksum() (sum [2]byte) {
	h := sha256.Sum256(append([]byte("handful-sum/v1\x00"), id[:1+idHash]...))
	copy(sum[:], h[:])
	return sum
}

// String returns the 40 characters of the id, in lower case.
func (id ID) String() string { return base32Lower.EncodeToString(id[:]) }

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// Swarm returns the infohash under which the channel's followers and publisher meet
// (DHT, trackers, LSD). It is derived one way: it does not tell the id.
func (id ID) Swarm() [20]byte {
	h := sha256.Sum256(append([]byte("handful-swarm/v1\x00"), id[1:1+idHash]...))
	return [20]byte(h[:20])
}

// ParseID reads the text of an id. Upper case is accepted, because QR codes of upper
// case are smaller. Its errors wrap [ErrLink] and say which character is wrong, or
// how many there are, or that the checksum fails.
func ParseID(s string) (ID, error) {
	for i, r := range []rune(s[:min(len(s), 4*IDLength)]) {
		c := r
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if !strings.ContainsRune(alphabet, c) {
			return ID{}, fmt.Errorf("%w: character %d of the id is %q, but an id has only a to z and 2 to 7%s", ErrLink, i+1, r, lookAlike(r))
		}
	}
	if len(s) != IDLength {
		return ID{}, fmt.Errorf("%w: the id has %d characters, but %d are needed", ErrLink, len(s), IDLength)
	}
	var id ID
	if _, err := base32Lower.Decode(id[:], []byte(strings.ToLower(s))); err != nil {
		return ID{}, fmt.Errorf("%w: id %q: %w", ErrLink, s, err)
	}
	if [2]byte(id[1+idHash:]) != id.checksum() {
		return ID{}, fmt.Errorf("%w: the checksum of id %q fails: a character is mistyped", ErrLink, s)
	}
	if id[0] != idVersion {
		return ID{}, fmt.Errorf("%w: id %q is of version %d, this program knows version %d", ErrLink, s, id[0], idVersion)
	}
	return id, nil
}

func lookAlike(r rune) string {
	switch r {
	case '0':
		return " (perhaps the letter o was meant)"
	case '1':
		return " (perhaps the letter l or i was meant)"
	case '8':
		return " (perhaps the letter b was meant)"
	}
	return ""
}
