package seal

import (
	"fmt"
	"slices"
	"strings"
)

const (
	ringTitle  = "# Read keys of a private channel, oldest first: who has them can read it."
	nextMark   = "# sent to nobody yet:"
	readerMark = "# reader "
	maxRing    = 1 << 20 // bytes
)

// Ring is the read keys of one private channel: those of its publisher, with the readers
// who get new ones, or those that a reader has learned. As text it is an identity file of
// age.
type Ring struct {
	Keys []Key // oldest first, each once
	// Pending: the newest key was made, and it is not certain that it was sent. It seals
	// nothing yet.
	Pending bool
	Members []Member // ascending by name
}

// Current is the key that seals; the zero Key when there is none.
func (r Ring) Current() Key {
	n := len(r.Keys)
	if r.Pending {
		n--
	}
	if n < 1 {
		return Key{}
	}
	return r.Keys[n-1]
}

// Add adds a key, and reports whether it was not there.
func (r *Ring) Add(k Key) bool {
	if k.IsZero() || slices.Contains(r.Keys, k) {
		return false
	}
	r.Keys = append(slices.Clone(r.Keys), k)
	return true
}

// Join adds a member, or gives one another key.
func (r *Ring) Join(m Member) {
	r.Leave(m.Name)
	r.Members = append(r.Members, m)
	slices.SortFunc(r.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
}

// Leave takes out the member with a name, and reports whether there was one.
func (r *Ring) Leave(name string) bool {
	n := len(r.Members)
	r.Members = slices.DeleteFunc(slices.Clone(r.Members), func(m Member) bool { return m.Name == name })
	return len(r.Members) < n
}

// Bytes is the ring as text.
func (r Ring) Bytes() []byte {
	var b strings.Builder
	b.WriteString(ringTitle + "\n")
	for i, k := range r.Keys {
		if r.Pending && i == len(r.Keys)-1 {
			b.WriteString(nextMark + "\n")
		}
		b.WriteString(k.Text() + "\n")
	}
	for _, m := range r.Members {
		b.WriteString(readerMark + m.Name + " " + m.Recipient + "\n")
	}
	return []byte(b.String())
}

// ParseRing reads what Bytes writes, and refuses anything else. Its errors wrap
// ErrMalformed and quote no key.
func ParseRing(text []byte) (r Ring, err error) {
	if len(text) > maxRing {
		return r, fmt.Errorf("read keys: %w: %d bytes", ErrMalformed, len(text))
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		rest, isReader := strings.CutPrefix(line, readerMark)
		switch {
		case i == 0:
		case line == nextMark:
			r.Pending = true
		case isReader:
			name, recipient, _ := strings.Cut(rest, " ")
			m, err := NewMember(name, recipient)
			if err != nil {
				return r, fmt.Errorf("read keys: line %d: %w", i+1, err)
			}
			r.Join(m)
		default:
			k, err := ParseKey(line)
			if err != nil {
				return r, fmt.Errorf("read keys: line %d: %w", i+1, err)
			}
			r.Add(k)
		}
	}
	if string(r.Bytes()) != string(text) {
		return r, fmt.Errorf("read keys: %w: they are not as they were written", ErrMalformed)
	}
	return r, nil
}
