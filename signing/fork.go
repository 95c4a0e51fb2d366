package signing

import (
	"fmt"
	"slices"

	"handful/manifest/bencode"
)

// Fork proves that a writer signed two histories: two heads, of which the second has
// at least as many entries as the first and does not continue it.
//
//	d 1:a <head> 1:b <head> 1:f <hashes> 1:g <hashes> e
type Fork struct {
	A, B []byte     // heads, both signed by the writer
	Seen [][32]byte // the compact range [0, size of A) in the tree of B: not what A signed. Empty when the sizes are equal.
	Rest [][32]byte // the compact range [size of A, size of B)
}

// Bytes encodes the proof.
func (f Fork) Bytes() []byte {
	m := []pair{{"a", bencode.AppendString(nil, f.A)}, {"b", bencode.AppendString(nil, f.B)}}
	if len(f.Seen) > 0 {
		m = append(m, pair{"f", appendHashes(nil, f.Seen)})
	}
	if len(f.Rest) > 0 {
		m = append(m, pair{"g", appendHashes(nil, f.Rest)})
	}
	return appendDict(nil, m)
}

// ParseFork reads a proof and checks its form; see [Root.VerifyFork].
func ParseFork(b []byte) (Fork, error) {
	if len(b) > MaxUpdate {
		return Fork{}, fmt.Errorf("fork: %w: %d bytes, but at most %d are allowed", ErrMalformed, len(b), MaxUpdate)
	}
	r := bencode.NewReader(b)
	f := readFork(r)
	if err := r.End(); err != nil {
		return Fork{}, fmt.Errorf("fork: %w: %w", ErrMalformed, err)
	}
	return f, nil
}

func readFork(r *bencode.Reader) (f Fork) {
	r.Dict(func(key string) {
		switch key {
		case "a":
			f.A = slices.Clone(r.Bytes())
		case "b":
			f.B = slices.Clone(r.Bytes())
		case "f":
			f.Seen = readHashes(r)
		case "g":
			f.Rest = readHashes(r)
		default:
			r.Fail(malformed("unknown key %.20q of a fork", key))
		}
	})
	if r.Err() == nil && (len(f.A) == 0 || len(f.B) == 0) {
		r.Fail(malformed("a fork has two heads"))
	}
	return f
}

// VerifyFork checks a proof of a fork of the main writer against the keys of the root
// document: it needs nothing else, and no trust in who brought it. See [Evidence] for
// other writers, and for heads that were signed under several documents.
func (r *Root) VerifyFork(writer string, f Fork) error {
	_, _, err := verifyFork(f, func(raw []byte) (Head, error) { return r.OpenHead(writer, raw) })
	return err
}

// verifyFork checks a proof; open verifies its heads.
func verifyFork(f Fork, open func([]byte) (Head, error)) (a, b Head, err error) {
	if a, err = open(f.A); err != nil {
		return a, b, fmt.Errorf("fork: first %w", err)
	}
	if b, err = open(f.B); err != nil {
		return a, b, fmt.Errorf("fork: second %w", err)
	}
	if a.Size == b.Size {
		if a.Root == b.Root || len(f.Seen)+len(f.Rest) > 0 {
			return a, b, fmt.Errorf("fork: %w: both heads are over the same tree", ErrBogus)
		}
		return a, b, nil
	}
	seen, ok := nodesOf(0, a.Size, f.Seen)
	rest, ok2 := nodesOf(a.Size, b.Size, f.Rest)
	if !ok || !ok2 || a.Size > b.Size {
		return a, b, fmt.Errorf("fork: %w: ranges that do not fit the sizes %d and %d", ErrMalformed, a.Size, b.Size)
	}
	if rootOf(slices.Concat(seen, rest)) != b.Root || rootOf(seen) == a.Root {
		return a, b, fmt.Errorf("fork: %w: the heads do not contradict each other", ErrBogus)
	}
	return a, b, nil
}
