package manifest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"handful/manifest/bencode"
)

// MaxEntry is how many bytes an entry may have. 600 or fewer let it ride in the
// message that carries the news.
const MaxEntry = 48 << 10

// maxMillis bounds times and sizes: integers that every language can hold.
const maxMillis = 1<<53 - 1

// Pointers say what of a channel was newest when an entry was written. Zero: none.
type Pointers struct {
	Root    int64 // p: the newest root version
	Grant   int64 // g: index+1 of the newest grant
	Archive int64 // a: index+1 of the newest archive
	Rekey   int64 // k: index+1 of the newest rekey
}

// Header is what every entry has. The zero value has the time 0.
type Header struct {
	Time     int64 // t: Unix milliseconds, as the writer's clock says
	Pointers Pointers

	extra    members // keys of the entry that are not known
	extraPtr members // keys of the pointers that are not known
}

// Entry is one entry of a channel: a [Post], [Media], [Release], [Delete],
// [Sealed], [Rekey] or [Unknown], always the value and never a pointer to it.
type Entry interface {
	Kind() string   // y
	Header() Header // t and ^
	// Bytes returns the encoding. Of an entry that ParseEntry returned it is
	// what was parsed; for one that was filled in, see EncodeEntry.
	Bytes() []byte
}

// EncodeEntry returns e.Bytes() if ParseEntry accepts them, and says what is
// wrong with e otherwise.
func EncodeEntry(e Entry) ([]byte, error) {
	b := e.Bytes()
	_, err := ParseEntry(b)
	return b, err
}

// ParseEntry reads an entry. Kinds that are not known are returned as Unknown,
// keys that are not known are kept: both print back. What would print back
// differently is refused. Errors wrap ErrMalformed, ErrTooLarge,
// ErrUnsafePath or bencode.ErrSyntax.
func ParseEntry(b []byte) (Entry, error) {
	if len(b) > MaxEntry {
		return nil, fmt.Errorf("entry: %w: %d bytes, more than %d", ErrTooLarge, len(b), MaxEntry)
	}
	d := &entryDict{members: make(members), seen: make(map[string]bool)}
	r := bencode.NewReader(b)
	r.Dict(func(key string) { d.members[key] = bytes.Clone(r.Skip()) })
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	kind := d.text("y", true)
	if d.err == nil && (kind == "" || len(kind) > 32) {
		d.fail("y", "a kind has 1 to 32 bytes")
	}
	h := d.header()
	var e Entry
	switch kind {
	case KindPost:
		e = d.post(h)
	case KindMedia:
		e = d.media(h)
	case KindRelease:
		e = d.release(h)
	case KindDelete:
		e = d.delete(h)
	case KindSealed:
		e = d.sealed(h)
	case KindRekey:
		e = d.rekey(h)
	default:
		e = Unknown{kind: kind, header: h, raw: bytes.Clone(b)}
	}
	if d.err != nil {
		return nil, fmt.Errorf("entry of kind %q: %w", kind, d.err)
	}
	if !bytes.Equal(e.Bytes(), b) {
		return nil, fmt.Errorf("entry of kind %q: %w: a key has the value that it has when it is left out", kind, ErrMalformed)
	}
	return e, nil
}

// Unknown is an entry of a kind that this version does not know.
type Unknown struct {
	kind   string
	header Header
	raw    []byte
}

// Kind returns y.
func (u Unknown) Kind() string { return u.kind }

// Header returns what every entry has.
func (u Unknown) Header() Header { return u.header }

// Bytes returns the entry as it was read.
func (u Unknown) Bytes() []byte { return bytes.Clone(u.raw) }

// members are the keys of a dictionary, each with its encoded value.
type members map[string][]byte

func (m members) setInt(key string, n int64) { m[key] = bencode.AppendInt(nil, n) }

func (m members) setString(key, s string) { m[key] = bencode.AppendString(nil, s) }

// encode returns the dictionary.
func (m members) encode() []byte {
	b := []byte{'d'}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		b = append(bencode.AppendString(b, key), m[key]...)
	}
	return append(b, 'e')
}

// members returns the keys that every entry has, and those that are not known.
func (h Header) members(kind string) members {
	m := make(members, len(h.extra)+8)
	maps.Copy(m, h.extra)
	m.setString("y", kind)
	m.setInt("t", h.Time)
	p := make(members, len(h.extraPtr)+4)
	maps.Copy(p, h.extraPtr)
	for _, ptr := range h.Pointers.keys() {
		if *ptr.n != 0 {
			p.setInt(ptr.key, *ptr.n)
		}
	}
	if len(p) > 0 {
		m["^"] = p.encode()
	}
	return m
}

type pointerKey struct {
	key string
	n   *int64
}

// keys pairs the pointers with their keys.
func (p *Pointers) keys() []pointerKey {
	return []pointerKey{{"a", &p.Archive}, {"g", &p.Grant}, {"k", &p.Rekey}, {"p", &p.Root}}
}

// entryDict is an entry on its way in. The first error sticks.
type entryDict struct {
	members members
	seen    map[string]bool // keys that were asked for
	err     error
}

func (d *entryDict) fail(key, format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: key %q: %w", ErrMalformed, key, fmt.Errorf(format, args...))
	}
}

// reader returns a reader of key's value, or nil when it is absent or anything
// failed before.
func (d *entryDict) reader(key string, needed bool) *bencode.Reader {
	d.seen[key] = true
	value, ok := d.members[key]
	if !ok && needed {
		d.fail(key, "it is missing")
	}
	if !ok || d.err != nil {
		return nil
	}
	return bencode.NewReader(value)
}

// end checks that the value was what was read.
func (d *entryDict) end(key string, r *bencode.Reader) bool {
	if err := r.End(); err != nil {
		d.fail(key, "%w", err)
		return false
	}
	return true
}

// text reads valid UTF-8.
func (d *entryDict) text(key string, needed bool) string {
	r := d.reader(key, needed)
	if r == nil {
		return ""
	}
	s := r.String()
	if d.end(key, r) && !utf8.ValidString(s) {
		d.fail(key, "it is not valid UTF-8")
	}
	return s
}

// integer reads a number from 0 to most.
func (d *entryDict) integer(key string, needed bool, most, absent int64) int64 {
	r := d.reader(key, needed)
	if r == nil {
		return absent
	}
	n := r.Int()
	if d.end(key, r) && (n < 0 || n > most) {
		d.fail(key, "%d is not within 0 and %d", n, most)
	}
	return n
}

// fixed reads a string of len(dst) bytes and tells whether it was there.
func (d *entryDict) fixed(key string, needed bool, dst []byte) bool {
	r := d.reader(key, needed)
	if r == nil {
		return false
	}
	r.Fixed(dst)
	return d.end(key, r)
}

// header reads what every entry has.
func (d *entryDict) header() (h Header) {
	h.Time = d.integer("t", true, maxMillis, 0)
	r := d.reader("^", false)
	if r == nil {
		return h
	}
	keys := h.Pointers.keys()
	r.Dict(func(key string) {
		for _, ptr := range keys {
			if ptr.key != key {
				continue
			}
			if *ptr.n = r.Int(); r.Err() == nil && (*ptr.n < 1 || *ptr.n > maxMillis) {
				r.Fail(fmt.Errorf("pointer %q is %d", key, *ptr.n))
			}
			return
		}
		if h.extraPtr == nil {
			h.extraPtr = make(members)
		}
		h.extraPtr[key] = bytes.Clone(r.Skip())
	})
	d.end("^", r)
	return h
}

// rest adds the keys that nobody asked for to h.
func (d *entryDict) rest(h Header) Header {
	for key, value := range d.members {
		if d.seen[key] {
			continue
		}
		if h.extra == nil {
			h.extra = make(members)
		}
		h.extra[key] = value
	}
	return h
}
