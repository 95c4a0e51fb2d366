package signing

import (
	"fmt"

	"handful/manifest/bencode"
)

// pointers are what an entry says about documents: the only keys of an entry that
// trust depends on. What else an entry says is package manifest's.
type pointers struct {
	root int64 // newest root version that its writer knew; 0: not said
}

// readPointers reads the keys y and ^ of an entry, and checks that the whole of it is
// a dictionary in the one spelling of bencode.
func readPointers(entry []byte) (p pointers, err error) {
	kind := ""
	r := bencode.NewReader(entry)
	r.Dict(func(key string) {
		switch key {
		case "y":
			kind = r.String()
		case "^":
			r.Dict(func(key string) {
				if key == "p" {
					p.root = r.Int()
				} else {
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
	if p.root < 0 || p.root >= maxExact {
		return pointers{}, fmt.Errorf("entry: %w: root version %d", ErrMalformed, p.root)
	}
	return p, nil
}
