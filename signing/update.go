package signing

import (
	"bytes"
	"fmt"
	"slices"

	"handful/manifest/bencode"
)

const (
	// MaxUpdate is the largest update in bytes, so that it fits one message of BEP 10
	// whatever stands around it.
	MaxUpdate = 56 << 10
	// MaxEntry is the largest entry in bytes.
	MaxEntry = 48 << 10
)

// Update is the one message that carries news, on every path: a head, the last
// entries under it, and what proves that they continue a log of Size entries.
//
//	d 1:c <head> 1:e l <entries, oldest first> e 1:f <hashes> 2:ih <20> 1:n i<Size>e 1:r i<Root>e e
//
// Only c must be there; what is empty or zero is left out. Whoever holds the compact
// range [0, Size) appends Hashes and the leaves of Entries to it and must arrive at
// the root hash that the head signs. Unknown keys are kept and printed back.
type Update struct {
	Head     []byte
	Entries  [][]byte   // the newest entries, oldest first, each of 1 to MaxEntry bytes
	Hashes   [][32]byte // the compact range [Size, head's size − len(Entries))
	Size     int64      // entries that the receiver is expected to have; 0 for strangers
	Root     int64      // version of the newest root document that the sender knows; 0: not said
	Infohash []byte     // 20 bytes or nil: what BEP 46 clients should fetch

	unknown []pair
}

// pair is a key of a bencoded dictionary with its encoded value.
type pair struct {
	key   string
	value []byte
}

// Bytes encodes the update.
func (u Update) Bytes() []byte {
	var m []pair
	add := func(key string, value []byte) { m = append(m, pair{key, value}) }
	add("c", bencode.AppendString(nil, u.Head))
	if len(u.Entries) > 0 {
		add("e", appendList(nil, u.Entries))
	}
	if len(u.Hashes) > 0 {
		add("f", appendHashes(nil, u.Hashes))
	}
	if u.Infohash != nil {
		add("ih", bencode.AppendString(nil, u.Infohash))
	}
	if u.Size != 0 {
		add("n", bencode.AppendInt(nil, u.Size))
	}
	if u.Root != 0 {
		add("r", bencode.AppendInt(nil, u.Root))
	}
	return appendDict(nil, append(m, u.unknown...))
}

// ParseUpdate reads an update and checks its form; nothing is verified. The result
// does not alias b.
func ParseUpdate(b []byte) (Update, error) {
	if len(b) > MaxUpdate {
		return Update{}, fmt.Errorf("update: %w: %d bytes, but at most %d are allowed", ErrMalformed, len(b), MaxUpdate)
	}
	var u Update
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		switch key {
		case "c":
			u.Head = slices.Clone(r.Bytes())
		case "e":
			u.Entries = readList(r)
		case "f":
			u.Hashes = readHashes(r)
		case "ih":
			u.Infohash = make([]byte, 20)
			r.Fixed(u.Infohash)
		case "n":
			u.Size = readPositive(r)
		case "r":
			u.Root = readPositive(r)
		default:
			u.unknown = append(u.unknown, pair{key, slices.Clone(r.Skip())})
		}
	})
	if err := r.End(); err != nil {
		return Update{}, fmt.Errorf("update: %w: %w", ErrMalformed, err)
	}
	if err := u.check(); err != nil {
		return Update{}, fmt.Errorf("update: %w", err)
	}
	return u, nil
}

// check applies the limits to an update, wherever it comes from.
func (u *Update) check() error {
	if len(u.Head) == 0 {
		return malformed("no head")
	}
	if len(u.Head) > MaxHead {
		return malformed("a head of %d bytes, but at most %d are allowed", len(u.Head), MaxHead)
	}
	if len(u.Hashes) > maxRange {
		return malformed("%d hashes, but no range has more than %d", len(u.Hashes), maxRange)
	}
	if u.Size < 0 || u.Size >= maxExact || u.Root < 0 || u.Root >= maxExact {
		return malformed("size %d or root version %d", u.Size, u.Root)
	}
	total := 0
	for i, e := range u.Entries {
		if len(e) == 0 || len(e) > MaxEntry {
			return malformed("entry %d of %d has %d bytes, but 1 to %d are possible", i+1, len(u.Entries), len(e), MaxEntry)
		}
		if total += len(e); total > MaxUpdate {
			return malformed("entries of more than %d bytes", MaxUpdate)
		}
	}
	return nil
}

func appendList(b []byte, list [][]byte) []byte {
	b = append(b, 'l')
	for _, e := range list {
		b = bencode.AppendString(b, e)
	}
	return append(b, 'e')
}

func appendHashes(b []byte, hashes [][32]byte) []byte {
	flat := make([]byte, 0, 32*len(hashes))
	for _, h := range hashes {
		flat = append(flat, h[:]...)
	}
	return bencode.AppendString(b, flat)
}

// appendDict prints a dictionary, sorting its keys.
func appendDict(b []byte, members []pair) []byte {
	slices.SortFunc(members, func(x, y pair) int { return bytes.Compare([]byte(x.key), []byte(y.key)) })
	b = append(b, 'd')
	for _, m := range members {
		b = bencode.AppendString(b, m.key)
		b = append(b, m.value...)
	}
	return append(b, 'e')
}

// readList reads a list of strings that is not empty.
func readList(r *bencode.Reader) (list [][]byte) {
	r.List(func() { list = append(list, slices.Clone(r.Bytes())) })
	if r.Err() == nil && len(list) == 0 {
		r.Fail(malformed("an empty list, which is not written"))
	}
	return list
}

// readHashes reads a string of one or more hashes.
func readHashes(r *bencode.Reader) (hashes [][32]byte) {
	b := r.Bytes()
	if r.Err() == nil && (len(b) == 0 || len(b)%32 != 0 || len(b) > maxRange*32) {
		r.Fail(malformed("%d bytes of hashes, which are 1 to %d of 32", len(b), maxRange))
		return nil
	}
	for h := range slices.Chunk(b, 32) {
		hashes = append(hashes, [32]byte(h))
	}
	return hashes
}

// readPositive reads a number from 1 to below 2^53: 0 is not written.
func readPositive(r *bencode.Reader) int64 {
	n := r.Int()
	if r.Err() == nil && (n < 1 || n >= maxExact) {
		r.Fail(malformed("number %d is not from 1 to below 2^53", n))
	}
	return n
}
