package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// object is a JSON object whose members are looked up by their exact names:
// encoding/json fills structs regardless of case, which would be a second spelling.
type object map[string]any

// parseDocument reads the one spelling of a JSON document: keys sorted and unique, no
// spaces, no HTML escapes, integers only, of less than 2^53.
func parseDocument(raw []byte, limit int) (object, error) {
	if len(raw) > limit {
		return nil, malformed("%d bytes, but at most %d are allowed", len(raw), limit)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("empty")
		}
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := checkNumbers(doc); err != nil {
		return nil, err
	}
	again, err := printDocument(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !bytes.Equal(again, raw) {
		return nil, malformed("not in the one spelling of JSON (sorted unique keys, no spaces, no needless escapes), from byte %d on", firstDifference(again, raw))
	}
	top, ok := doc.(map[string]any)
	if !ok {
		return nil, malformed("not a JSON object")
	}
	return top, nil
}

// printDocument prints the one spelling of a JSON value.
func printDocument(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// canonical returns the bytes that are signed, in the canonical JSON of TUF. It
// differs from the stored spelling in how it escapes strings.
func canonical(v any) ([]byte, error) {
	return cjson.EncodeCanonical(v)
}

func checkNumbers(v any) error {
	switch v := v.(type) {
	case json.Number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != string(v) || n >= maxExact || n <= -maxExact {
			return malformed("number %.40q is not an integer of less than 2^53 in its shortest form", string(v))
		}
	case []any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// member returns a member of the type T, or an error that names it.
func member[T any](o object, name string) (T, error) {
	v, ok := o[name]
	if !ok {
		var zero T
		return zero, malformed("%q is missing", name)
	}
	t, ok := v.(T)
	if !ok {
		return t, malformed("%q is of the wrong type", name)
	}
	return t, nil
}

// optional is member, for what may be absent.
func optional[T any](o object, name string) (T, error) {
	if _, ok := o[name]; !ok {
		var zero T
		return zero, nil
	}
	return member[T](o, name)
}

func integer(o object, name string) (int64, error) {
	n, err := member[json.Number](o, name)
	if err != nil {
		return 0, err
	}
	return n.Int64()
}

func subobject(o object, name string) (object, error) {
	m, err := member[map[string]any](o, name)
	return object(m), err
}
