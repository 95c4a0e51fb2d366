package signing

import (
	"encoding/json"
	"fmt"
	"time"
)

func parseRoot(raw []byte) (*Root, error) {
	d, err := readDocument(raw, MaxRoot, "root")
	if err != nil {
		return nil, err
	}
	r := &Root{document: d}
	consistent, err := member[bool](r.signed, "consistent_snapshot")
	if err != nil {
		return nil, err
	}
	if !consistent {
		return nil, malformed("consistent_snapshot is false")
	}
	if err := r.readKeys(r.signed); err != nil {
		return nil, err
	}
	for _, read := range []func(*Root) error{(*Root).readRoles, (*Root).readHandful} {
		if err := read(r); err != nil {
			return nil, err
		}
	}
	if r.version == 1 {
		r.id = idOf(r.payload)
	}
	return r, nil
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

func (r *Root) readHandful() error {
	if _, ok := r.signed["x-handful"]; !ok {
		return nil
	}
	x, err := subobject(r.signed, "x-handful")
	if err != nil {
		return err
	}
	for _, read := range []func(object) error{r.readTitle, r.readMaxAge, r.readWitness} {
		if err := read(x); err != nil {
			return fmt.Errorf("x-handful: %w", err)
		}
	}
	r.base, err = parseBases(x, func(writer string) bool { return writer == MainWriter })
	if err != nil {
		return fmt.Errorf("x-handful: %w", err)
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
