package signing

import (
	"fmt"
	"slices"

	"handful/manifest/bencode"
)

const (
	stateVersion = 1
	// MaxState is the largest state of one channel in bytes.
	MaxState = 32 << 20
	maxRoots = MaxState / 2 // bytes of root documents in a state
)

// Bytes encodes the state:
//
//	d 2:id <25> 5:roots l <root 1> <root 2> … e 1:v i1e 7:writers d <writer> d
//	  1:c <head> 1:e l <entries> e 1:f <hashes> 4:next i<n>e 1:x <fork> e e e
//
// What is empty or zero is left out, but for id and v.
func (t *Trusted) Bytes() []byte {
	m := []pair{{"id", bencode.AppendString(nil, t.id[:])}, {"v", bencode.AppendInt(nil, stateVersion)}}
	if len(t.roots) > 0 {
		var docs [][]byte
		for _, r := range t.roots {
			docs = append(docs, r.raw)
		}
		m = append(m, pair{"roots", appendList(nil, docs)})
	}
	var writers []pair
	for _, name := range t.names() {
		writers = append(writers, pair{name, t.writers[name].bytes()})
	}
	if len(writers) > 0 {
		m = append(m, pair{"writers", appendDict(nil, writers)})
	}
	return appendDict(nil, m)
}

func (w *followed) bytes() []byte {
	var m []pair
	if w.head.Raw != nil {
		m = append(m, pair{"c", bencode.AppendString(nil, w.head.Raw)})
	}
	if len(w.entries) > 0 {
		m = append(m, pair{"e", appendList(nil, w.entries)})
	}
	if len(w.before) > 0 {
		m = append(m, pair{"f", appendHashes(nil, w.before)})
	}
	if w.next > 0 {
		m = append(m, pair{"next", bencode.AppendInt(nil, w.next)})
	}
	if w.fork != nil {
		m = append(m, pair{"x", w.fork.Bytes()})
	}
	return appendDict(nil, m)
}

// ParseTrusted reads a state and verifies all of it again: every root document from
// the id on, every head, every range, every fork. So a damaged state is refused, and
// nobody who can write the file can make a follower believe what was never signed; such
// a person can still take it back to an older state.
func ParseTrusted(b []byte) (*Trusted, error) {
	if len(b) > MaxState {
		return nil, fmt.Errorf("trust state: %w: %d bytes, but at most %d are possible", ErrMalformed, len(b), MaxState)
	}
	t := NewTrusted(ID{})
	var version int64
	var docs [][]byte
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		switch key {
		case "id":
			r.Fixed(t.id[:])
		case "roots":
			docs = readList(r)
		case "v":
			if version = r.Int(); version != stateVersion {
				r.Fail(fmt.Errorf("%w: state version %d", ErrUnsupported, version))
			}
		case "writers":
			t.readWriters(r)
		default:
			// A newer program may keep here what it must not forget.
			r.Fail(fmt.Errorf("%w: unknown key %.20q", ErrUnsupported, key))
		}
	})
	err := r.End()
	if err == nil {
		err = t.verify(version, docs)
	}
	if err != nil {
		return nil, fmt.Errorf("trust state: %w", err)
	}
	return t, nil
}

func (t *Trusted) readWriters(r *bencode.Reader) {
	r.Dict(func(name string) {
		w := &followed{}
		t.writers[name] = w
		r.Dict(func(key string) {
			switch key {
			case "c":
				w.head.Raw = slices.Clone(r.Bytes())
			case "e":
				w.entries = readList(r)
			case "f":
				w.before = readHashes(r)
			case "next":
				w.next = readPositive(r)
			case "x":
				f := readFork(r)
				w.fork = &f
			default:
				r.Fail(fmt.Errorf("%w: unknown key %.20q", ErrUnsupported, key))
			}
		})
	})
	if r.Err() == nil && len(t.writers) == 0 {
		r.Fail(malformed("an empty table, which is not written"))
	}
}

func (t *Trusted) verify(version int64, docs [][]byte) error {
	if version == 0 || t.id.checksum() != [2]byte(t.id[1+idHash:]) || t.id[0] != idVersion {
		return malformed("no version, or no channel id")
	}
	for i, raw := range docs {
		if err := t.UpdateRoot(raw); err != nil {
			return err
		}
		if len(t.roots) != i+1 {
			return malformed("root document %d stands there twice", i)
		}
	}
	if len(t.roots) == 0 && len(t.writers) > 0 {
		return malformed("heads without a root document")
	}
	for name, w := range t.writers {
		if err := t.verifyWriter(name, w); err != nil {
			return fmt.Errorf("writer %.40q: %w", name, err)
		}
	}
	return nil
}

func (t *Trusted) verifyWriter(name string, w *followed) error {
	if w.fork != nil {
		if err := t.anyRoot(func(r *Root) error { return r.VerifyFork(name, *w.fork) }); err != nil {
			return err
		}
	}
	if w.head.Raw == nil {
		if w.fork == nil || len(w.entries)+len(w.before) > 0 || w.next > 0 {
			return malformed("no head")
		}
		return nil
	}
	err := t.anyRoot(func(r *Root) error {
		h, err := r.OpenHead(name, w.head.Raw)
		if err == nil {
			w.head = h
		}
		return err
	})
	if err != nil {
		return err
	}
	u := Update{Head: w.head.Raw, Entries: w.entries, Hashes: w.before}
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
	if w.next > w.head.Size {
		return malformed("entries beyond the head were handed on")
	}
	w.first, w.upto = w.head.Size-int64(len(w.entries)), compact(0, nodes)
	return nil
}

// anyRoot succeeds if check does for one of the root documents, newest first: a head
// may have been signed before its key was replaced.
func (t *Trusted) anyRoot(check func(*Root) error) error {
	var err error
	for i, r := range slices.Backward(t.roots) {
		if e := check(r); e == nil {
			return nil
		} else if i == len(t.roots)-1 {
			err = e
		}
	}
	return err
}
