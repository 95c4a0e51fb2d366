package signing

import (
	"fmt"
	"maps"
	"slices"

	"handful/manifest/bencode"
)

const kindGrant = "grant"

// pointers are what an entry says about documents: the only keys of an entry that
// trust depends on. What else an entry says is package manifest's.
type pointers struct {
	root  int64 // newest root version that its writer knew; 0: not said
	grant int64 // index + 1 of the newest grant of the main writer; 0: not said

	// Of an entry of kind grant: the SHA-256 and the version of a targets document.
	hash    [32]byte
	version int64 // 0: the entry is no grant, or one that cannot be read
}

// readPointers reads the keys y, ^, h and v of an entry, and checks that the whole of
// it is a dictionary in the one spelling of bencode. The members h and v of other kinds
// than grant may be anything.
func readPointers(entry []byte) (p pointers, err error) {
	kind := ""
	var h, v []byte
	r := bencode.NewReader(entry)
	r.Dict(func(key string) {
		switch key {
		case "y":
			kind = r.String()
		case "h":
			h = r.Skip()
		case "v":
			v = r.Skip()
		case "^":
			r.Dict(func(key string) {
				switch key {
				case "g":
					p.grant = r.Int()
				case "p":
					p.root = r.Int()
				default:
					r.Skip()
				}
			})
		default:
			r.Skip()
		}
	})
	if err := r.End(); err != nil {
		return pointers{}, fmt.Errorf("entry: %w: %w", ErrMalformed, err)
	}
	if kind == "" {
		return pointers{}, fmt.Errorf("entry: %w: no kind (y)", ErrMalformed)
	}
	if p.root < 0 || p.root >= maxExact || p.grant < 0 || p.grant >= maxExact {
		return pointers{}, fmt.Errorf("entry: %w: root version %d, grant %d", ErrMalformed, p.root, p.grant)
	}
	if kind != kindGrant {
		return p, nil
	}
	rh, rv := bencode.NewReader(h), bencode.NewReader(v)
	rh.Fixed(p.hash[:])
	p.version = readPositive(rv)
	if rh.End() != nil || rv.End() != nil {
		return pointers{}, fmt.Errorf("entry: %w: a grant has the SHA-256 (h) and the version (v) of a targets document", ErrMalformed)
	}
	return p, nil
}

// GrantEntry makes the entry by which the main writer puts a targets document into
// force. unixMilli is its time, root the version of the newest root document, newest
// the index of the grant before it, or -1.
//
//	d 1:^ d 1:g i<newest+1>e 1:p i<root>e e 1:h 32:<SHA-256> 1:t i<unixMilli>e 1:v i<version>e 1:y 5:grant e
func GrantEntry(t *Targets, unixMilli, root, newest int64) []byte {
	at := []pair{{"p", bencode.AppendInt(nil, root)}}
	if newest >= 0 {
		at = append(at, pair{"g", bencode.AppendInt(nil, newest+1)})
	}
	hash := t.Hash()
	return appendDict(nil, []pair{
		{"^", appendDict(nil, at)}, {"h", bencode.AppendString(nil, hash[:])}, {"t", bencode.AppendInt(nil, unixMilli)},
		{"v", bencode.AppendInt(nil, t.version)}, {"y", bencode.AppendString(nil, kindGrant)},
	})
}

// ReadGrant returns the SHA-256 and the version of the targets document that an entry
// puts into force; ok is false when the entry is no grant.
func ReadGrant(entry []byte) (hash [32]byte, version int64, ok bool) {
	p, err := readPointers(entry)
	return p.hash, p.version, err == nil && p.version > 0
}

// ReadStamp returns what an entry says about documents, as [StampEntry] set it: the version
// of the newest root document, and the index + 1 of the newest grant; 0: not said.
func ReadStamp(entry []byte) (root, grant int64) {
	p, err := readPointers(entry)
	if err != nil {
		return 0, 0
	}
	return p.root, p.grant
}

// StampEntry sets what an entry says about documents: the version of the newest root
// document, and the newest grant of the main writer, as its index + 1; 0 leaves it out.
// All else that the entry says stays, in the one spelling of bencode.
func StampEntry(entry []byte, root, grant int64) ([]byte, error) {
	all, err := readDict(entry)
	if err != nil {
		return nil, fmt.Errorf("stamp entry: %w: %w", ErrMalformed, err)
	}
	at := map[string][]byte{}
	if old, ok := all["^"]; ok {
		if at, err = readDict(old); err != nil {
			return nil, fmt.Errorf("stamp entry: pointers: %w: %w", ErrMalformed, err)
		}
	}
	for key, n := range map[string]int64{"p": root, "g": grant} {
		delete(at, key)
		if n > 0 {
			at[key] = bencode.AppendInt(nil, n)
		}
	}
	delete(all, "^")
	if len(at) > 0 {
		all["^"] = printDict(at)
	}
	return printDict(all), nil
}

func readDict(b []byte) (map[string][]byte, error) {
	all := map[string][]byte{}
	r := bencode.NewReader(b)
	r.Dict(func(key string) { all[key] = r.Skip() })
	return all, r.End()
}

func printDict(all map[string][]byte) []byte {
	b := []byte{'d'}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		b = append(bencode.AppendString(b, key), all[key]...)
	}
	return append(b, 'e')
}
