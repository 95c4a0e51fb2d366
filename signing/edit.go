package signing

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// RoleEdit changes a role: keys go and come, then the threshold is set.
type RoleEdit struct {
	Drop      []string           // key ids, or how they begin, at least 8 digits
	Add       []crypto.PublicKey // see [RoleParams]
	Threshold int                // 0 leaves it
}

// RootEdit is what the next version of a root document changes. The zero value changes
// nothing but the version.
type RootEdit struct {
	Root      RoleEdit
	Targets   RoleEdit
	Timestamp RoleEdit // who signs the heads of the main writer; the role snapshot goes with it
	Expires   time.Time
	Title     *string
	DHT       ed25519.PublicKey
	MaxAge    map[string]time.Duration // 0 removes a writer
	Private   *bool
	Witnesses []Witness // in place of those before; see Quorum
	Quorum    *int      // nil leaves witnesses and quorum
	// Base takes the log of the main writer back; see [Base]. Again is filled in.
	Base map[string]Base
}

// Edit makes the version of a root document that follows r, without signatures. What
// it does not name stays, also what this program does not know.
func (r *Root) Edit(e RootEdit) (*Root, error) {
	top, err := parseDocument(r.raw, MaxRoot)
	if err != nil {
		return nil, fmt.Errorf("edit root: %w", err)
	}
	signed, err := subobject(top, "signed")
	if err != nil {
		return nil, fmt.Errorf("edit root: %w", err)
	}
	next := &Root{document: document{kind: "root", signed: signed}, id: r.id}
	signed["version"] = number(r.version + 1)
	if !e.Expires.IsZero() {
		signed["expires"] = e.Expires.UTC().Format(timeFormat)
	}
	if err := r.editRoles(signed, e); err != nil {
		return nil, fmt.Errorf("edit root: %w", err)
	}
	x, err := optional[map[string]any](signed, "x-handful")
	if err != nil {
		return nil, fmt.Errorf("edit root: %w", err)
	}
	if x == nil {
		x = map[string]any{}
	}
	if err := r.editHandful(x, e); err != nil {
		return nil, fmt.Errorf("edit root: %w", err)
	}
	signed["x-handful"] = x
	return next, next.reprint()
}

// editRoles changes the tables roles and keys.
func (r *Root) editRoles(signed object, e RootEdit) error {
	keys, err := subobject(signed, "keys")
	if err != nil {
		return err
	}
	roles, err := subobject(signed, "roles")
	if err != nil {
		return err
	}
	follows := sameRole(r.roles[RoleSnapshot], r.roles[RoleTimestamp])
	for _, edit := range []struct {
		name string
		e    RoleEdit
	}{{RoleRoot, e.Root}, {RoleTargets, e.Targets}, {RoleTimestamp, e.Timestamp}} {
		role, err := subobject(roles, edit.name)
		if err != nil {
			return err
		}
		if err := editRole(role, keys, edit.e); err != nil {
			return fmt.Errorf("role %s: %w", edit.name, err)
		}
		if edit.name == RoleTimestamp && slices.ContainsFunc(edit.e.Add, notEd25519) {
			return fmt.Errorf("role %s: heads are signed by Ed25519 keys alone", edit.name)
		}
	}
	if follows {
		timestamp, err := subobject(roles, RoleTimestamp)
		if err != nil {
			return err
		}
		roles[RoleSnapshot] = maps.Clone(map[string]any(timestamp))
	}
	used := map[string]bool{}
	for _, name := range roleNames {
		role, err := subobject(roles, name)
		if err != nil {
			return err
		}
		ids, err := member[[]any](role, "keyids")
		if err != nil {
			return err
		}
		for _, id := range ids {
			if text, ok := id.(string); ok {
				used[text] = true
			}
		}
	}
	maps.DeleteFunc(keys, func(id string, _ any) bool { return !used[id] })
	return nil
}

func sameRole(a, b Role) bool {
	return a.Threshold == b.Threshold && len(a.Keys) == len(b.Keys) && !slices.ContainsFunc(a.Keys, func(k Key) bool { return !b.has(k) })
}

func editRole(role object, keys object, e RoleEdit) error {
	ids, err := member[[]any](role, "keyids")
	if err != nil {
		return err
	}
	for _, drop := range e.Drop {
		var left []any
		for _, v := range ids {
			if id, ok := v.(string); !ok || len(drop) < 8 || !strings.HasPrefix(id, drop) {
				left = append(left, v)
			}
		}
		if len(left) != len(ids)-1 {
			return fmt.Errorf("%d keys begin with %q, but exactly one is to be dropped", len(ids)-len(left), drop)
		}
		ids = left
	}
	for _, public := range e.Add {
		k, err := NewKey(public)
		if err != nil {
			return err
		}
		if slices.Contains(ids, any(k.id)) {
			return fmt.Errorf("%s is there already", k)
		}
		ids = append(ids, k.id)
		if keys[k.id], err = k.document(); err != nil {
			return err
		}
	}
	threshold := int64(e.Threshold)
	if threshold == 0 {
		if threshold, err = integer(role, "threshold"); err != nil {
			return err
		}
	}
	if threshold < 1 || threshold > int64(len(ids)) {
		return fmt.Errorf("%d signatures would be needed with %d keys", threshold, len(ids))
	}
	role["keyids"], role["threshold"] = ids, number(threshold)
	return nil
}

func (r *Root) editHandful(x map[string]any, e RootEdit) error {
	if e.Title != nil {
		x["title"] = *e.Title
		if *e.Title == "" {
			delete(x, "title")
		}
	}
	if e.Private != nil {
		x["private"] = *e.Private
		if !*e.Private {
			delete(x, "private")
		}
	}
	if e.DHT != nil {
		x["dht"] = base64.StdEncoding.EncodeToString(e.DHT)
	}
	if len(e.MaxAge) > 0 {
		ages, err := optional[map[string]any](x, "max_age")
		if err != nil {
			return err
		}
		if ages == nil {
			ages = map[string]any{}
		}
		for writer, age := range e.MaxAge {
			if ages[writer] = number(int64(age / time.Second)); age == 0 {
				delete(ages, writer)
			}
		}
		x["max_age"] = ages
	}
	if e.Quorum != nil {
		if *e.Quorum < 0 || *e.Quorum > len(e.Witnesses) {
			return fmt.Errorf("a quorum of %d with %d witnesses", *e.Quorum, len(e.Witnesses))
		}
		list := []any{}
		for _, w := range e.Witnesses {
			list = append(list, w.String())
		}
		x["witness"] = map[string]any{"keys": list, "need": number(int64(*e.Quorum))}
	}
	if len(e.Base) > 0 {
		x["base"] = basesDocument(nextBases(r.base, e.Base))
	}
	return nil
}

// ParseRootPayload reads what root keys sign, without signatures: the canonical JSON of
// [Root.Payload], as it comes to those who are asked to sign.
func ParseRootPayload(payload []byte) (*Root, error) {
	raw, err := unsigned(payload, MaxRoot)
	if err != nil {
		return nil, fmt.Errorf("root payload: %w", err)
	}
	r, err := ParseRoot(raw)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(r.payload, payload) {
		return nil, fmt.Errorf("root payload: %w: not in canonical JSON", ErrMalformed)
	}
	return r, nil
}

// unsigned returns the document without signatures whose payload, of at most limit bytes,
// this is.
func unsigned(payload []byte, limit int) ([]byte, error) {
	if len(payload) > limit {
		return nil, malformed("%d bytes, but at most %d are possible", len(payload), limit)
	}
	// Canonical JSON has control characters bare within strings, JSON escapes them.
	var text []byte
	for _, c := range payload {
		if c < 0x20 {
			text = fmt.Appendf(text, `\u%04x`, c)
		} else {
			text = append(text, c)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var signed map[string]any
	if err := dec.Decode(&signed); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	raw, err := printDocument(map[string]any{"signatures": []any{}, "signed": signed})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return raw, nil
}
