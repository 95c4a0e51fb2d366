package tuftest

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// mutation spoils a document: before it is signed (so that the signatures fit what is
// wrong), after, or in its text.
type mutation struct {
	name   string
	before func(r *rand.Rand, all []key, d *draft)
	after  func(r *rand.Rand, doc obj)
	text   func(r *rand.Rand, s string) string
}

// at follows members to an inner object.
func at(v any, path ...string) obj {
	for _, p := range path {
		m, ok := v.(obj)
		if !ok {
			return obj{}
		}
		v = m[p]
	}
	m, _ := v.(obj)
	if m == nil {
		m = obj{}
	}
	return m
}

// text is a string, or the empty one for what an earlier mutation made of it.
func text(v any) string {
	s, _ := v.(string)
	return s
}

// roleOf returns the role that matters most in a document: root, or the delegation.
func roleOf(d *draft) obj {
	if d.signed["_type"] == "root" {
		return at(d.signed, "roles", "root")
	}
	roles, _ := at(d.signed, "delegations")["roles"].([]any)
	if len(roles) == 0 {
		return obj{}
	}
	m, _ := roles[0].(obj)
	return m
}

func keysOf(d *draft) obj {
	if d.signed["_type"] == "root" {
		return at(d.signed, "keys")
	}
	return at(d.signed, "delegations", "keys")
}

func anyKey(r *rand.Rand, d *draft) obj {
	table := keysOf(d)
	list, _ := roleOf(d)["keyids"].([]any)
	if len(list) == 0 {
		return obj{}
	}
	id, _ := list[r.IntN(len(list))].(string)
	m, _ := table[id].(obj)
	if m == nil {
		m = obj{}
	}
	return m
}

func set(name string, values ...any) mutation {
	return mutation{name: name, before: func(r *rand.Rand, _ []key, d *draft) { d.signed[name] = values[r.IntN(len(values))] }}
}

func inRole(what string, values ...any) mutation {
	return mutation{name: "role " + what, before: func(r *rand.Rand, _ []key, d *draft) { roleOf(d)[what] = values[r.IntN(len(values))] }}
}

func inKey(what string, values ...any) mutation {
	return mutation{name: "key " + what, before: func(r *rand.Rand, _ []key, d *draft) { anyKey(r, d)[what] = values[r.IntN(len(values))] }}
}

func inSignature(name string, change func(r *rand.Rand, s obj)) mutation {
	return mutation{name: name, after: func(r *rand.Rand, doc obj) {
		sigs, _ := doc["signatures"].([]any)
		if len(sigs) > 0 {
			change(r, at(sigs[r.IntN(len(sigs))]))
		}
	}}
}

func drop(name string, path ...string) mutation {
	return mutation{name: "without " + name, before: func(_ *rand.Rand, _ []key, d *draft) { delete(at(d.signed, path...), name) }}
}

func mutations() []mutation {
	all := []mutation{
		set("_type", "root", "targets", "snapshot", "Root", nil, 1), set("version", 0, -1, 1, 2, 3, 1<<53, nil, "1", 1.5),
		set("spec_version", "1.0.0", "1.9", "2.0.0", "1", "", nil), set("expires", "2030-01-01T00:00:00+00:00", "2030-01-01T00:00:00.5Z", "2030-01-01", "", nil, 5),
		set("consistent_snapshot", false, nil, "true"), set("keys", nil, obj{}, []any{}), set("roles", nil, obj{}), set("extra", "x", nil, obj{"deep": []any{1, "<&>", "\n"}}),
		set("x-handful", nil, obj{"title": "a\ab"}, obj{"max_age": obj{"m": 0}}, obj{"witness": obj{"need": -1, "keys": []any{}}}, obj{"title": "<é>"},
			obj{"base": obj{"m": obj{"size": "00", "root": ""}}}, obj{"unknown": 1}),
		set("targets", obj{}, obj{"a.txt": obj{"length": 1, "hashes": obj{"sha256": "00"}}}, nil), set("delegations", nil, obj{}),
		inRole("threshold", 0, -1, 1, 2, 100, 1<<40, nil, "1"), inRole("keyids", []any{}, nil, []any{"unknown"}, []any{1}),
		inRole("name", "alice", "bert", "root", "m", "Alice", "", nil), inRole("paths", []any{}, []any{"a*b"}, []any{"../*"}, []any{"docs/?"}, nil),
		inRole("terminating", false, nil), inRole("path_hash_prefixes", []any{"00"}),
		inKey("keytype", "ed25519", "ecdsa", "rsa", "mldsa", nil), inKey("scheme", "ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "x", nil),
		inKey("keyval", nil, obj{}, obj{"public": ""}, obj{"public": "00"}, obj{"public": nil}), inKey("extra", 1, "x"),
		inSignature("sig", func(r *rand.Rand, s obj) { s["sig"] = []any{"", "00", nil, "zz", 5}[r.IntN(5)] }),
		inSignature("sig upper", func(_ *rand.Rand, s obj) { s["sig"] = strings.ToUpper(text(s["sig"])) }),
		inSignature("sig flip", func(r *rand.Rand, s obj) {
			if b, err := hex.DecodeString(text(s["sig"])); err == nil && len(b) > 0 {
				b[r.IntN(len(b))] ^= 1 << r.IntN(8)
				s["sig"] = hex.EncodeToString(b)
			}
		}),
		inSignature("keyid", func(r *rand.Rand, s obj) { s["keyid"] = []any{"", "unknown", nil, 1}[r.IntN(4)] }),
		inSignature("sig extra", func(_ *rand.Rand, s obj) { s["extra"] = "x" }),
	}
	for _, name := range []string{"_type", "version", "spec_version", "expires", "consistent_snapshot", "keys", "roles", "targets", "delegations"} {
		all = append(all, drop(name))
	}
	for _, name := range []string{"root", "targets", "timestamp", "snapshot"} {
		all = append(all, drop(name, "roles"))
	}
	return append(all, structural()...)
}

// structural mutations change several members, the list of signatures, or the text.
func structural() []mutation {
	return []mutation{
		{name: "alias", before: func(_ *rand.Rand, _ []key, d *draft) { // one key under a second key id
			ro, table := roleOf(d), keysOf(d)
			list, _ := ro["keyids"].([]any)
			if len(list) > 0 {
				table["alias"] = clone(table[text(list[0])])
				ro["keyids"] = append(list, "alias")
			}
		}, after: func(_ *rand.Rand, doc obj) {
			if sigs, _ := doc["signatures"].([]any); len(sigs) > 0 {
				doc["signatures"] = append(sigs, obj{"keyid": "alias", "sig": at(sigs[0])["sig"]})
			}
		}},
		{name: "key id twice", before: func(_ *rand.Rand, _ []key, d *draft) {
			if list, _ := roleOf(d)["keyids"].([]any); len(list) > 0 {
				roleOf(d)["keyids"] = append(list, list[0])
			}
		}},
		{name: "key missing", before: func(_ *rand.Rand, _ []key, d *draft) {
			if list, _ := roleOf(d)["keyids"].([]any); len(list) > 0 {
				delete(keysOf(d), text(list[0]))
			}
		}},
		{name: "key null", before: func(_ *rand.Rand, _ []key, d *draft) {
			if list, _ := roleOf(d)["keyids"].([]any); len(list) > 0 {
				keysOf(d)[text(list[0])] = nil
			}
		}},
		{name: "upper key", before: func(r *rand.Rand, _ []key, d *draft) {
			v := at(anyKey(r, d), "keyval")
			if hexits, ok := v["public"].(string); ok && !strings.HasPrefix(hexits, "-") {
				v["public"] = strings.ToUpper(hexits)
			}
		}},
		{name: "PEM without end", before: func(r *rand.Rand, _ []key, d *draft) {
			v := at(anyKey(r, d), "keyval")
			if block, ok := v["public"].(string); ok {
				v["public"] = strings.TrimSuffix(block, "\n")
			}
		}},
		{name: "signature twice", after: func(_ *rand.Rand, doc obj) {
			if sigs, _ := doc["signatures"].([]any); len(sigs) > 0 {
				doc["signatures"] = append(sigs, clone(sigs[0]))
			}
		}},
		{name: "no signatures", after: func(_ *rand.Rand, doc obj) { doc["signatures"] = []any{} }},
		{name: "signatures null", after: func(r *rand.Rand, doc obj) { doc["signatures"] = []any{nil, []any{nil}, obj{}}[r.IntN(3)] }},
		{name: "second delegation", before: func(_ *rand.Rand, _ []key, d *draft) {
			g := at(d.signed, "delegations")
			if roles, _ := g["roles"].([]any); len(roles) > 0 {
				g["roles"] = append(roles, clone(roles[0]))
			}
		}},
		{name: "signed changed", after: func(r *rand.Rand, doc obj) {
			m := at(clone(doc["signed"]))
			m["expires"] = "2031-01-01T00:00:00Z"
			doc["signed"] = m
		}},
		{name: "spaces", text: func(_ *rand.Rand, s string) string { return strings.Replace(s, ":", ": ", 1) }},
		{name: "line end", text: func(_ *rand.Rand, s string) string { return s + "\n" }},
		{name: "escape", text: func(_ *rand.Rand, s string) string { return strings.Replace(s, `"Demo"`, `"\u0044emo"`, 1) }},
		{name: "member twice", text: func(_ *rand.Rand, s string) string {
			return strings.Replace(s, `"spec_version":`, `"spec_version":"1.0.31","spec_version":`, 1)
		}},
		{name: "case", text: func(_ *rand.Rand, s string) string { return strings.Replace(s, `"version":`, `"Version":`, 1) }},
		{name: "tail", text: func(_ *rand.Rand, s string) string { return s + "{}" }},
		{name: "flip", text: func(r *rand.Rand, s string) string {
			b := []byte(s)
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			return string(b)
		}},
		{name: "cut", text: func(r *rand.Rand, s string) string { return s[:r.IntN(len(s))] }},
	}
}

// spoiled signs a draft and spells it, with the mutations applied at their time.
func spoiled(r *rand.Rand, all []key, d *draft, ms []mutation) string {
	for _, m := range ms {
		if m.before != nil {
			m.before(r, all, d)
		}
	}
	doc := d.document()
	for _, m := range ms {
		if m.after != nil {
			if _, ok := doc["signatures"].([]any); ok {
				m.after(r, doc)
			}
		}
	}
	raw := spell(doc)
	for _, m := range ms {
		if m.text != nil && len(raw) > 0 {
			raw = m.text(r, raw)
		}
	}
	return raw
}
