package mainline

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"net/netip"
	"slices"
	"time"

	"handful/manifest/bencode"
)

const (
	bucketSize = 8
	// maxFailed is how many questions in a row a node leaves unanswered before it is
	// forgotten.
	maxFailed = 2
	// maxPerAddress is how many nodes of one public address are kept: whoever has one
	// address shall not fill the table.
	maxPerAddress = 2
	// maxSaved is how many nodes the file has.
	maxSaved = 200
	// MaxFile is the largest file of a routing table in bytes.
	MaxFile = 128 + maxSaved*(20+18) + sha256.Size
)

// table is the routing table (BEP 5): nodes that have answered, more of the near ones.
// It is a pure value with one owner.
type table struct {
	self    [20]byte
	buckets [160][]entry // by the number of leading bits that an id shares with self
}

type entry struct {
	contact
	seen   time.Time // answered last
	failed int       // questions since then that were not answered
}

// bucket returns where an id belongs; nil for our own.
func (t *table) bucket(id [20]byte) *[]entry {
	for i := range id {
		if x := id[i] ^ t.self[i]; x != 0 {
			return &t.buckets[8*i+bits.LeadingZeros8(x)]
		}
	}
	return nil
}

// answered enters a node that has just answered. It reports whether it is new.
func (t *table) answered(c contact, now time.Time) bool {
	b := t.bucket(c.id)
	addr, ok := canonical(c.addr)
	if b == nil || !ok || addr != c.addr {
		return false
	}
	known := slices.IndexFunc(*b, func(e entry) bool { return e.id == c.id })
	if known >= 0 && (*b)[known].addr != c.addr && (*b)[known].failed == 0 {
		return false // somebody else under a name that is taken
	}
	t.remove(func(e entry) bool { return e.id == c.id || e.addr == c.addr }) // it may have another id or address now
	if !inner(c.addr.Addr()) && t.count(func(e entry) bool { return e.addr.Addr() == c.addr.Addr() }) >= maxPerAddress {
		return false
	}
	if len(*b) >= bucketSize {
		i := t.replaceable(*b, c)
		if i < 0 {
			return false
		}
		*b = slices.Delete(*b, i, i+1)
	}
	*b = append(*b, entry{contact: c, seen: now})
	return known < 0
}

// replaceable returns whose place in a full bucket a node may take, -1 for nobody's:
// that of one that failed, or of one whose id does not fit its address where that of
// the new one does.
func (t *table) replaceable(b []entry, c contact) int {
	worst := -1
	for i, e := range b {
		if e.failed > 0 && (worst < 0 || e.failed > b[worst].failed) {
			worst = i
		}
	}
	if worst < 0 && fits(c) {
		worst = slices.IndexFunc(b, func(e entry) bool { return !fits(e.contact) })
	}
	return worst
}

// failed notes that the node at an address did not answer.
func (t *table) failed(addr netip.AddrPort) {
	for i, b := range t.buckets {
		for j := range b {
			if b[j].addr == addr {
				if b[j].failed++; b[j].failed >= maxFailed {
					t.buckets[i] = slices.Delete(b, j, j+1)
				}
				return
			}
		}
	}
}

func (t *table) remove(which func(entry) bool) {
	for i, b := range t.buckets {
		t.buckets[i] = slices.DeleteFunc(b, which)
	}
}

func (t *table) count(which func(entry) bool) (n int) {
	for _, b := range t.buckets {
		for _, e := range b {
			if which(e) {
				n++
			}
		}
	}
	return n
}

func (t *table) size() int { return t.count(func(entry) bool { return true }) }

// wants reports whether a node that is not known would be kept.
func (t *table) wants(c contact) bool {
	b := t.bucket(c.id)
	if b == nil || slices.ContainsFunc(*b, func(e entry) bool { return e.id == c.id && e.failed == 0 }) {
		return false
	}
	return len(*b) < bucketSize || t.replaceable(*b, c) >= 0
}

// stale returns nodes that have not answered since before, the oldest first.
func (t *table) stale(before time.Time, n int) (out []contact) {
	var old []entry
	for _, b := range t.buckets {
		for _, e := range b {
			if e.seen.Before(before) {
				old = append(old, e)
			}
		}
	}
	slices.SortStableFunc(old, func(a, b entry) int { return a.seen.Compare(b.seen) })
	for _, e := range old[:min(n, len(old))] {
		out = append(out, e.contact)
	}
	return out
}

// nearest returns the n nodes of the wanted families that are nearest to a target.
func (t *table) nearest(target [20]byte, n int, w want) (out []contact) {
	for _, b := range t.buckets {
		for _, e := range b {
			if v4 := e.addr.Addr().Is4(); v4 && w.v4 || !v4 && w.v6 {
				out = append(out, e.contact)
			}
		}
	}
	slices.SortFunc(out, func(a, b contact) int { return closer(target, a.id, b.id) })
	return slices.Clip(out[:min(n, len(out))])
}

// emptiest returns the bucket with the fewest nodes, up to the deepest that has any.
func (t *table) emptiest() (at int) {
	for i, b := range t.buckets[:t.depth()] {
		if len(b) < len(t.buckets[at]) {
			at = i
		}
	}
	return at
}

// depth returns how many buckets there are up to the last that has nodes.
func (t *table) depth() int {
	for i := len(t.buckets); i > 0; i-- {
		if len(t.buckets[i-1]) > 0 {
			return i
		}
	}
	return 0
}

// within returns id moved into a bucket: it shares as many leading bits with self.
func (t *table) within(id [20]byte, bucket int) [20]byte {
	for i := range bucket + 1 {
		bit := byte(0x80 >> (i % 8))
		id[i/8] = id[i/8]&^bit | t.self[i/8]&bit
	}
	id[bucket/8] ^= 0x80 >> (bucket % 8)
	return id
}

// newest returns the nodes that answered last, for the file.
func (t *table) newest(n int) (out []contact) {
	all := make([]entry, 0, bucketSize)
	for _, b := range t.buckets {
		for _, e := range b {
			if e.failed == 0 {
				all = append(all, e)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return b.seen.Compare(a.seen) })
	for _, e := range all[:min(n, len(all))] {
		out = append(out, e.contact)
	}
	return out
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fits reports whether a node's id is one that BEP 42 allows at its address. Any is
// allowed within private networks.
func fits(c contact) bool {
	a := c.addr.Addr()
	if inner(a) {
		return true
	}
	mask := []byte{0x03, 0x0f, 0x3f, 0xff}
	if a.Is6() {
		mask = []byte{0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff}
	}
	ip := a.AsSlice()[:len(mask)]
	for i := range mask {
		ip[i] &= mask[i]
	}
	ip[0] |= c.id[19] & 7 << 5
	sum := crc32.Checksum(ip, castagnoli)
	return c.id[0] == byte(sum>>24) && c.id[1] == byte(sum>>16) && c.id[2]&0xf8 == byte(sum>>8)&0xf8
}

// saved is what the file of a routing table has.
type saved struct {
	self  [20]byte
	nodes []contact // at most maxSaved, each address once
}

// bytes prints the file:
//
//	d 2:id <20> 5:nodes <26 each> 6:nodes6 <38 each> e <SHA-256 of all before>
func (s saved) bytes() []byte {
	b := bencode.AppendString([]byte{'d'}, "id")
	b = bencode.AppendString(b, s.self[:])
	b = bencode.AppendString(bencode.AppendString(b, "nodes"), compactNodes(s.nodes, true))
	b = bencode.AppendString(bencode.AppendString(b, "nodes6"), compactNodes(s.nodes, false))
	b = append(b, 'e')
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// parseSaved reads the file. Nodes in it are where to ask first, no more.
func parseSaved(b []byte) (s saved, err error) {
	end := len(b) - sha256.Size
	if len(b) > MaxFile || end < 0 {
		return s, fmt.Errorf("routing table: %w: %d bytes", ErrMalformed, len(b))
	}
	if sha256.Sum256(b[:end]) != [32]byte(b[end:]) {
		return s, fmt.Errorf("routing table: %w: its checksum fails", ErrMalformed)
	}
	seen := 0
	r := bencode.NewReader(b[:end])
	r.Dict(func(key string) {
		seen++
		switch key {
		case "id":
			r.Fixed(s.self[:])
		case "nodes":
			s.nodes = append(s.nodes, savedNodes(r, 4)...)
		case "nodes6":
			s.nodes = append(s.nodes, savedNodes(r, 16)...)
		default:
			r.Fail(fmt.Errorf("unknown key %.20q", key))
		}
	})
	if r.Err() == nil && (seen != 3 || len(s.nodes) > maxSaved) {
		r.Fail(errors.New("a key is missing, or there are too many nodes"))
	}
	if err := r.End(); err != nil {
		return saved{}, fmt.Errorf("routing table: %w: %w", ErrMalformed, err)
	}
	known := slices.SortedFunc(slices.Values(s.nodes), func(a, b contact) int { return a.addr.Compare(b.addr) })
	if len(slices.CompactFunc(known, func(a, b contact) bool { return a.addr == b.addr })) != len(s.nodes) {
		return saved{}, fmt.Errorf("routing table: %w: an address twice", ErrMalformed)
	}
	return s, nil
}

// savedNodes reads nodes, all of which must be usable.
func savedNodes(r *bencode.Reader, size int) (out []contact) {
	b := r.Bytes()
	each := 20 + size + 2
	for ; len(b) >= each; b = b[each:] {
		ap, ok := compactAddr(b[20:each])
		if !ok {
			r.Fail(errors.New("an address that no node has"))
			return nil
		}
		out = append(out, contact{[20]byte(b[:20]), ap})
	}
	if len(b) > 0 {
		r.Fail(fmt.Errorf("%d bytes behind the nodes", len(b)))
	}
	return out
}

// sortedByDistance sorts nodes by their distance to a target.
func sortedByDistance(target [20]byte, nodes []contact) []contact {
	out := slices.Clone(nodes)
	slices.SortStableFunc(out, func(a, b contact) int {
		return cmp.Or(closer(target, a.id, b.id), a.addr.Compare(b.addr))
	})
	return out
}
