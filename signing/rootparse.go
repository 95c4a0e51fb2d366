package signing

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func parseRoot(raw []byte) (*Root, error) {
	doc, err := parseDocument(raw, MaxRoot)
	if err != nil {
		return nil, err
	}
	r := &Root{raw: slices.Clone(raw)}
	if r.signatures, err = parseSignatures(doc); err != nil {
		return nil, err
	}
	if r.signed, err = subobject(doc, "signed"); err != nil {
		return nil, err
	}
	if r.payload, err = canonical(map[string]any(r.signed)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	for _, read := range []func(*Root) error{(*Root).readHeader, (*Root).readKeys, (*Root).readRoles, (*Root).readHandful} {
		if err := read(r); err != nil {
			return nil, err
		}
	}
	if r.version == 1 {
		r.id = idOf(r.payload)
	}
	return r, nil
}

func parseSignatures(doc object) ([]signature, error) {
	list, err := member[[]any](doc, "signatures")
	if err != nil {
		return nil, err
	}
	var sigs []signature
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, malformed("signature %d is not an object", i)
		}
		id, err := member[string](m, "keyid")
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", i, err)
		}
		text, err := member[string](m, "sig")
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", i, err)
		}
		sig, err := lowerHex(text)
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", i, err)
		}
		sigs = append(sigs, signature{id, sig})
	}
	return sigs, nil
}

func (r *Root) readHeader() error {
	kind, err := member[string](r.signed, "_type")
	if err != nil {
		return err
	}
	if kind != "root" {
		return malformed("_type is %.40q, not root", kind)
	}
	spec, err := member[string](r.signed, "spec_version")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(spec, "1.") {
		return malformed("spec_version is %.40q, but only 1.x is known", spec)
	}
	consistent, err := member[bool](r.signed, "consistent_snapshot")
	if err != nil {
		return err
	}
	if !consistent {
		return malformed("consistent_snapshot is false")
	}
	if r.version, err = integer(r.signed, "version"); err != nil {
		return err
	}
	if r.version < 1 {
		return malformed("version %d", r.version)
	}
	text, err := member[string](r.signed, "expires")
	if err != nil {
		return err
	}
	if r.expires, err = time.Parse(timeFormat, text); err != nil || r.expires.Format(timeFormat) != text {
		return malformed("expires is %.40q, which is not like %s", text, timeFormat)
	}
	return nil
}

func (r *Root) readKeys() error {
	keys, err := subobject(r.signed, "keys")
	if err != nil {
		return err
	}
	r.keys = map[string]Key{}
	for id, v := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return malformed("key %.70q is not an object", id)
		}
		k, known, err := parseKey(id, m)
		if err != nil {
			return fmt.Errorf("key %.70q: %w", id, err)
		}
		if known {
			r.keys[id] = k
		}
	}
	return nil
}

func (r *Root) readRoles() error {
	roles, err := subobject(r.signed, "roles")
	if err != nil {
		return err
	}
	r.roles = map[string]Role{}
	for _, name := range roleNames {
		o, err := subobject(roles, name)
		if err != nil {
			return fmt.Errorf("roles: %w", err)
		}
		if r.roles[name], err = r.parseRole(o); err != nil {
			return fmt.Errorf("role %s: %w", name, err)
		}
	}
	return nil
}

func (r *Root) parseRole(o object) (Role, error) {
	threshold, err := integer(o, "threshold")
	if err != nil {
		return Role{}, err
	}
	if threshold < 1 {
		return Role{}, malformed("threshold %d", threshold)
	}
	ids, err := member[[]any](o, "keyids")
	if err != nil {
		return Role{}, err
	}
	role := Role{Threshold: int(min(threshold, MaxRoot))}
	seen := map[string]bool{}
	for _, v := range ids {
		id, ok := v.(string)
		if !ok {
			return Role{}, malformed("a key id is not a string")
		}
		if seen[id] {
			return Role{}, malformed("key id %.70q stands there twice", id)
		}
		seen[id] = true
		if k, ok := r.keys[id]; ok {
			role.Keys = append(role.Keys, k)
		}
	}
	return role, nil
}

func (r *Root) readHandful() error {
	if _, ok := r.signed["x-handful"]; !ok {
		return nil
	}
	x, err := subobject(r.signed, "x-handful")
	if err != nil {
		return err
	}
	for _, read := range []func(object) error{r.readTitle, r.readMaxAge, r.readWitness, r.readBase} {
		if err := read(x); err != nil {
			return fmt.Errorf("x-handful: %w", err)
		}
	}
	return nil
}

func (r *Root) readTitle(x object) (err error) {
	if r.title, err = optional[string](x, "title"); err != nil {
		return err
	}
	if r.title != "" && !printable(r.title, maxTitle) {
		return malformed("title is longer than %d bytes or has control characters", maxTitle)
	}
	if r.private, err = optional[bool](x, "private"); err != nil {
		return err
	}
	if _, ok := x["dht"]; ok {
		text, err := member[string](x, "dht")
		if err != nil {
			return err
		}
		key, err := parseHash(text)
		if err != nil {
			return fmt.Errorf("dht: %w", err)
		}
		r.dht = key[:]
	}
	return nil
}

func (r *Root) readMaxAge(x object) error {
	ages, err := optional[map[string]any](x, "max_age")
	if err != nil {
		return err
	}
	r.maxAge = map[string]time.Duration{}
	for writer, v := range ages {
		n, ok := v.(json.Number)
		if !ok || !ValidWriter(writer) {
			return malformed("max_age is not a table of writers and seconds")
		}
		seconds, err := n.Int64()
		if err != nil || seconds < 1 || seconds > 1<<31 {
			return malformed("max_age of writer %s is %s seconds", writer, n)
		}
		r.maxAge[writer] = time.Duration(seconds) * time.Second
	}
	return nil
}

func (r *Root) readWitness(x object) error {
	if _, ok := x["witness"]; !ok {
		return nil
	}
	o, err := subobject(x, "witness")
	if err != nil {
		return err
	}
	need, err := integer(o, "need")
	if err != nil {
		return err
	}
	keys, err := member[[]any](o, "keys")
	if err != nil {
		return err
	}
	if need < 0 {
		return malformed("witness need is %d", need)
	}
	r.quorum = int(min(need, MaxRoot))
	for _, v := range keys {
		text, ok := v.(string)
		if !ok {
			return malformed("a witness key is not a string")
		}
		w, known, err := parseWitness(text)
		if err != nil {
			return err
		}
		if known {
			r.witnesses = append(r.witnesses, w)
		}
	}
	return nil
}

// readBase checks the form of the field that resets writers' logs, and notes that it
// is there.
func (r *Root) readBase(x object) error {
	bases, err := optional[map[string]any](x, "base")
	if err != nil {
		return err
	}
	for writer, v := range bases {
		m, ok := v.(map[string]any)
		if !ok || !ValidWriter(writer) {
			return malformed("base is not a table of writers and trees")
		}
		size, err := member[string](m, "size")
		if err != nil {
			return fmt.Errorf("base of %s: %w", writer, err)
		}
		if _, err := parseSize(size); err != nil {
			return fmt.Errorf("base of %s: %w", writer, err)
		}
		root, err := member[string](m, "root")
		if err != nil {
			return fmt.Errorf("base of %s: %w", writer, err)
		}
		if _, err := parseHash(root); err != nil {
			return fmt.Errorf("base of %s: %w", writer, err)
		}
		r.base = true
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
