package signing

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"handful/manifest/bencode"
)

// ParseTrusted reads a state and verifies all of it again: every root document from
// the id on, the targets documents, every head, every range, every fork. So a damaged
// state is refused, and nobody who can write the file can make a follower believe what
// was never signed; such a person can still take it back to an older state.
func ParseTrusted(b []byte) (*Trusted, error) {
	if len(b) > MaxState {
		return nil, fmt.Errorf("trust state: %w: %d bytes, but at most %d are possible", ErrMalformed, len(b), MaxState)
	}
	t := NewTrusted(ID{})
	var f stateFile
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		switch key {
		case "grant":
			t.readGrant(r)
		case "id":
			r.Fixed(t.id[:])
		case "past":
			f.past = readList(r)
		case "roots":
			f.roots = readList(r)
		case "targets":
			f.targets = r.Bytes()
		case "v":
			if f.version = r.Int(); f.version != stateVersion {
				r.Fail(fmt.Errorf("%w: state version %d", ErrUnsupported, f.version))
			}
		case "want":
			t.wanted = readPositive(r)
		case "writers":
			t.readWriters(r)
		default:
			// A newer program may keep here what it must not forget.
			r.Fail(fmt.Errorf("%w: unknown key %.20q", ErrUnsupported, key))
		}
	})
	err := r.End()
	if err == nil {
		err = t.verify(f)
	}
	if err == nil && !bytes.Equal(t.Bytes(), b) {
		err = malformed("what it says of writers is not what its documents say")
	}
	if err != nil {
		return nil, fmt.Errorf("trust state: %w", err)
	}
	return t, nil
}

// stateFile is what a state has beside writers, before it is verified.
type stateFile struct {
	version     int64
	roots, past [][]byte
	targets     []byte
}

func (t *Trusted) readGrant(r *bencode.Reader) {
	r.Dict(func(key string) {
		switch key {
		case "a":
			t.grant.at = readPositive(r)
		case "h":
			r.Fixed(t.grant.hash[:])
		case "v":
			t.grant.version = readPositive(r)
		default:
			r.Fail(fmt.Errorf("%w: unknown key %.20q", ErrUnsupported, key))
		}
	})
}

func (t *Trusted) readWriters(r *bencode.Reader) {
	r.Dict(func(name string) {
		w := &followed{}
		t.writers[name] = w
		r.Dict(func(key string) { w.read(r, key) })
		if len(t.writers) > 2*maxWriters {
			r.Fail(malformed("more than %d writers", 2*maxWriters))
		}
	})
	if r.Err() == nil && len(t.writers) == 0 {
		r.Fail(malformed("an empty table, which is not written"))
	}
}

func (w *followed) read(r *bencode.Reader, key string) {
	switch key {
	case "b":
		w.base = &Base{}
		w.base.read(r)
	case "c":
		w.head.Raw = slices.Clone(r.Bytes())
	case "e":
		w.entries = readList(r)
	case "f":
		w.before = readHashes(r)
	case "gone":
		var n [3]int64
		i := 0
		r.List(func() {
			n[i%3] = r.Int()
			if i++; i%3 == 0 {
				w.withdrawn = append(w.withdrawn, Withdrawn{n[0], n[1], n[2]})
			}
		})
		if i%3 != 0 || i > 3*maxWithdraw {
			r.Fail(malformed("%d numbers about what was withdrawn", i))
		}
	case "next":
		w.next = readPositive(r)
	case "open":
		w.rangeless = readPositive(r) == 1
	case "shut":
		w.closed = readPositive(r) == 1
	case "since":
		w.since = time.Unix(readPositive(r), 0).UTC()
	case "x":
		f := readFork(r)
		w.fork = &f
	default:
		r.Fail(fmt.Errorf("%w: unknown key %.20q", ErrUnsupported, key))
	}
}

func (b *Base) read(r *bencode.Reader) {
	r.Dict(func(key string) {
		switch key {
		case "again":
			b.Again = readPositive(r)
		case "root":
			r.Fixed(b.Root[:])
		case "size":
			b.Size = r.Int()
		default:
			r.Fail(fmt.Errorf("%w: unknown key %.20q", ErrUnsupported, key))
		}
	})
	if r.Err() == nil {
		r.Fail(b.check())
	}
}

func (t *Trusted) verify(f stateFile) error {
	if f.version == 0 || t.id.checksum() != [2]byte(t.id[1+idHash:]) || t.id[0] != idVersion {
		return malformed("no version, or no channel id")
	}
	for i, raw := range f.roots {
		if _, err := t.addRoot(raw); err != nil {
			return err
		}
		if len(t.roots) != i+1 {
			return malformed("root document %d stands there twice", i)
		}
	}
	if len(t.roots) == 0 {
		if len(t.writers) > 0 || len(f.past) > 0 || f.targets != nil || t.grant != (grant{}) || t.wanted > 0 {
			return malformed("heads or targets documents without a root document")
		}
		return nil
	}
	if err := t.verifyTargets(f); err != nil {
		return err
	}
	for name, w := range t.writers {
		if err := t.verifyWriter(name, w); err != nil {
			return fmt.Errorf("writer %.40q: %w", name, err)
		}
	}
	size := t.Size(MainWriter)
	if t.grant.at > size || t.wanted > size {
		return malformed("a grant beyond the head of the main writer")
	}
	t.apply()
	return nil
}

func (t *Trusted) verifyTargets(f stateFile) error {
	for _, raw := range f.past {
		doc, err := ParseTargets(raw)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(t.roots, func(r *Root) bool { return doc.verifiedBy(r.roles[RoleTargets]) == nil }) {
			return fmt.Errorf("targets document of version %d: %w", doc.version, ErrForged)
		}
		t.past = append(t.past, doc)
	}
	if g := t.grant; g != (grant{}) && (g.at == 0 || g.version == 0) {
		return malformed("half a grant")
	}
	if f.targets == nil {
		return nil
	}
	doc, err := t.Root().OpenTargets(f.targets)
	if err != nil {
		return err
	}
	// It is what the newest grant names, or an older one, as long as that has not come.
	if doc.version > t.grant.version || doc.version == t.grant.version && doc.Hash() != t.grant.hash {
		return fmt.Errorf("targets document of version %d: %w", doc.version, ErrNotGranted)
	}
	t.targets = doc
	return nil
}

func (t *Trusted) verifyWriter(name string, w *followed) error {
	if name != MainWriter && !ValidDelegate(name) {
		return malformed("this is no name of a writer")
	}
	if w.fork != nil {
		if _, _, err := verifyFork(*w.fork, func(raw []byte) (Head, error) { return t.openAny(name, raw) }); err != nil {
			return err
		}
	}
	for _, g := range w.withdrawn {
		if g.First < 0 || g.First >= g.Size || g.Size >= maxExact || g.Version < 1 || w.base == nil {
			return malformed("withdrawn entries %d to %d", g.First, g.Size)
		}
	}
	if w.rangeless && (w.base == nil || w.head.Raw != nil || w.base.Size == 0 || len(w.entries)+len(w.before) > 0) {
		return malformed("a range is missing that is not needed")
	}
	switch {
	case w.head.Raw != nil:
		h, err := t.openAny(name, w.head.Raw)
		if err != nil {
			return err
		}
		w.head = h
	case w.base != nil:
		w.head = Head{Origin: Origin(t.id, name), Size: w.base.Size, Root: w.base.Root}
	default:
		if w.fork == nil || len(w.entries)+len(w.before) > 0 || w.next > 0 {
			return malformed("no head")
		}
		return nil
	}
	if w.next > w.head.Size {
		return malformed("entries beyond the head were handed on")
	}
	if w.rangeless {
		w.first = w.head.Size
		return nil
	}
	return w.verifyRange()
}

// verifyRange checks that the range and the entries make the tree of the head.
func (w *followed) verifyRange() error {
	u := Update{Head: []byte("-"), Entries: w.entries, Hashes: w.before}
	if err := u.check(); err != nil {
		return err
	}
	nodes, err := newsOf(w.head, u)
	if err != nil {
		return err
	}
	if rootOf(nodes) != w.head.Root {
		return ErrBogus
	}
	w.first, w.upto = w.head.Size-int64(len(w.entries)), compact(0, nodes)
	w.leaves = nodes[len(nodes)-len(w.entries):]
	return nil
}
