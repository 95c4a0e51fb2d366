package signing

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"strconv"
)

// Base takes a writer's log back to a tree that was good, after a stolen key or a fork:
// what came after is withdrawn, and the log goes on from there. It stands in the
// member x-handful.base of a root document (of the main writer) or of a targets document
// (of the others):
//
//	"base":{"m":{"root":"<base64 32>","size":"1000"}}
//
// A follower applies a base once: when it differs from the last one that it applied to
// the writer. So it stays in later documents, since a follower may miss some of them, and a
// second return to the same tree is told from the first by the number again.
type Base struct {
	Size  int64    // entries that stay
	Root  [32]byte // root hash over them
	Again int64    // 0, or how many times the same tree was returned to before
}

const maxBases = 128 // in one document

func (b Base) document() map[string]any {
	m := map[string]any{"size": strconv.FormatInt(b.Size, 10), "root": base64.StdEncoding.EncodeToString(b.Root[:])}
	if b.Again > 0 {
		m["again"] = number(b.Again)
	}
	return m
}

func basesDocument(bases map[string]Base) map[string]any {
	out := map[string]any{}
	for writer, b := range bases {
		out[writer] = b.document()
	}
	return out
}

// nextBases carries bases on into the next document, with those that it adds.
func nextBases(before, add map[string]Base) map[string]Base {
	bases := map[string]Base{}
	maps.Copy(bases, before)
	for writer, b := range add {
		b.Again = 0
		if old, ok := before[writer]; ok && old.Size == b.Size && old.Root == b.Root {
			b.Again = old.Again + 1
		}
		bases[writer] = b
	}
	return bases
}

// parseBases reads the member base of x-handful. may tells which writers it may name.
func parseBases(x object, may func(writer string) bool) (map[string]Base, error) {
	table, err := optional[map[string]any](x, "base")
	if err != nil {
		return nil, err
	}
	if len(table) > maxBases {
		return nil, malformed("bases of %d writers, but at most %d are possible", len(table), maxBases)
	}
	bases := map[string]Base{}
	for writer, v := range table {
		m, ok := v.(map[string]any)
		if !ok || !ValidWriter(writer) {
			return nil, malformed("base is not a table of writers and trees")
		}
		if !may(writer) {
			return nil, malformed("base of %s, whose keys stand in another document", writer)
		}
		if bases[writer], err = parseBase(m); err != nil {
			return nil, malformed("base of %s: %v", writer, err)
		}
	}
	return bases, nil
}

func parseBase(m object) (b Base, err error) {
	size, err := member[string](m, "size")
	if err != nil {
		return Base{}, err
	}
	if b.Size, err = parseSize(size); err != nil {
		return Base{}, err
	}
	root, err := member[string](m, "root")
	if err != nil {
		return Base{}, err
	}
	if b.Root, err = parseHash(root); err != nil {
		return Base{}, err
	}
	if _, ok := m["again"]; ok {
		if b.Again, err = integer(m, "again"); err != nil {
			return Base{}, err
		}
		if b.Again < 1 {
			return Base{}, malformed("again is %d", b.Again)
		}
	}
	return b, b.check()
}

func (b Base) check() error {
	if b.Size < 0 || b.Size >= maxExact || b.Again < 0 || b.Again >= maxExact {
		return malformed("a tree of %d entries, %d times", b.Size, b.Again)
	}
	if b.Size == 0 && b.Root != sha256.Sum256(nil) {
		return malformed("the root of an empty log is the hash of nothing")
	}
	return nil
}

// parseSize reads a number of entries: decimal, no leading zero, below 2^53.
func parseSize(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n >= maxExact || strconv.FormatInt(n, 10) != s {
		return 0, malformed("size %.40q is not a number below 2^53 in its shortest form", s)
	}
	return n, nil
}

// parseHash reads 32 bytes in the one spelling of padded base64.
func parseHash(s string) (h [32]byte, err error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != len(h) || base64.StdEncoding.EncodeToString(b) != s {
		return h, malformed("%.60q is not 32 bytes in base64", s)
	}
	return [32]byte(b), nil
}
