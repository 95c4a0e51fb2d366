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

// VerifyFork checks a proof against the keys of the root document: it needs nothing
// else, and no trust in who brought it.
func (r *Root) VerifyFork(writer string, f Fork) error {
	a, err := r.OpenHead(writer, f.A)
	if err != nil {
		return fmt.Errorf("fork: first %w", err)
	}
	b, err := r.OpenHead(writer, f.B)
	if err != nil {
		return fmt.Errorf("fork: second %w", err)
	}
	if a.Size == b.Size {
		if a.Root == b.Root || len(f.Seen)+len(f.Rest) > 0 {
			return fmt.Errorf("fork: %w: both heads are over the same tree", ErrBogus)
		}
		return nil
	}
	seen, ok := nodesOf(0, a.Size, f.Seen)
	rest, ok2 := nodesOf(a.Size, b.Size, f.Rest)
	if !ok || !ok2 || a.Size > b.Size {
		return fmt.Errorf("fork: %w: ranges that do not fit the sizes %d and %d", ErrMalformed, a.Size, b.Size)
	}
	if rootOf(slices.Concat(seen, rest)) != b.Root || rootOf(seen) == a.Root {
		return fmt.Errorf("fork: %w: the heads do not contradict each other", ErrBogus)
	}
	return nil
}
