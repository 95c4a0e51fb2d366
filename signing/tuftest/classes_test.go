package tuftest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"handful/signing"
)

// class is a known difference. strict: Handful refuses what go-tuf accepts; else the
// other way. is looks at nothing but the document and, in above, the one that says who
// signs it.
type class struct {
	name   string
	strict bool
	is     func(kind, raw, above string) bool
}

// classes, the most telling first: the first that fits counts.
var classes = []class{
	{"strict: another spelling of the same JSON", true, func(_, raw, _ string) bool { return !oneSpelling(raw) }},
	{"strict: a number of 2^53 or more", true, func(_, raw, _ string) bool { return bigNumber(parsed(raw)) }},
	{"strict: spec_version is not 1.x", true, func(_, raw, _ string) bool {
		v, ok := signedOf(raw)["spec_version"].(string)
		return !ok || !strings.HasPrefix(v, "1.")
	}},
	{"strict: expires is not like 2030-01-01T00:00:00Z", true, func(_, raw, _ string) bool {
		v, ok := signedOf(raw)["expires"].(string)
		at, err := time.Parse("2006-01-02T15:04:05Z", v)
		return !ok || err != nil || at.Format("2006-01-02T15:04:05Z") != v
	}},
	{"strict: version below 1", true, func(_, raw, _ string) bool {
		v, ok := signedOf(raw)["version"].(json.Number)
		n, err := v.Int64()
		return !ok || err != nil || n < 1
	}},
	{"strict: consistent_snapshot is not true", true, func(kind, raw, _ string) bool { return kind == "root" && signedOf(raw)["consistent_snapshot"] != true }},
	{"strict: a signature is not lower-case hex, or has no key id", true, badSignature},
	{"strict: one of the four roles is missing, or not a role", true, func(kind, raw, _ string) bool { return kind == "root" && badRoles(raw) }},
	{"strict: no delegations", true, func(kind, raw, _ string) bool {
		list, ok := at(signedOf(raw), "delegations")["roles"].([]any)
		return kind == "targets" && (!ok || list == nil)
	}},
	{"strict: a key that does not fit its kind", true, func(kind, raw, _ string) bool { return badKey(kind, raw) }},
	{"strict: a key id twice in one role", true, func(kind, raw, _ string) bool { return slices.ContainsFunc(rolesOf(kind, raw), twice) }},
	{"strict: x-handful says what cannot be", true, func(_, raw, _ string) bool { return badHandful(raw) }},
	{"strict: targets that are files", true, func(kind, raw, _ string) bool {
		m, ok := signedOf(raw)["targets"].(obj)
		return kind == "targets" && (!ok || len(m) > 0)
	}},
	{"strict: a delegation that is no writer", true, func(kind, raw, _ string) bool { return kind == "targets" && badDelegation(raw) }},
	{"strict: a key with a scheme that is not its kind's, which does not count", true, unusableKeys},

	{"tolerant: a signature by one key id twice, which counts once", false, func(_, raw, _ string) bool { return signedTwice(raw) }},
	{"tolerant: a role with a key that is missing or of a kind that cannot be used, which does not count", false, unusableKeys},
}

var (
	when      = time.Unix(1766400000, 0)
	emptyRoot = sha256.Sum256(nil)
)

func lastLine(head []byte) []byte {
	lines := bytes.SplitAfter(bytes.TrimSuffix(head, []byte("\n")), []byte("\n"))
	return append(lines[len(lines)-1], '\n')
}

func parsed(raw string) (out any) {
	dec := json.NewDecoder(strings.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&out) != nil {
		return nil
	}
	return out
}

func signedOf(raw string) obj { return at(parsed(raw), "signed") }

func oneSpelling(raw string) bool { return spell(parsed(raw)) == raw && !oddNumber(parsed(raw)) }

// walk visits every value.
func walk(v any, visit func(any) bool) bool {
	if visit(v) {
		return true
	}
	switch v := v.(type) {
	case obj:
		for _, e := range v {
			if walk(e, visit) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return walk(e, visit) })
	}
	return false
}

func oddNumber(v any) bool {
	return walk(v, func(e any) bool {
		n, ok := e.(json.Number)
		i, err := strconv.ParseInt(string(n), 10, 64)
		return ok && (err != nil || strconv.FormatInt(i, 10) != string(n))
	})
}

func bigNumber(v any) bool {
	return walk(v, func(e any) bool {
		n, ok := e.(json.Number)
		i, err := n.Int64()
		return ok && err == nil && (i >= 1<<53 || i <= -1<<53)
	})
}

func badSignature(_, raw, _ string) bool {
	list, ok := at(parsed(raw))["signatures"].([]any)
	if !ok {
		return true
	}
	return slices.ContainsFunc(list, func(v any) bool {
		m, ok := v.(obj)
		sig, isText := m["sig"].(string)
		_, hasID := m["keyid"].(string)
		b, err := hex.DecodeString(sig)
		return !ok || !isText || !hasID || err != nil || hex.EncodeToString(b) != sig
	})
}

func signedTwice(raw string) bool {
	list, _ := at(parsed(raw))["signatures"].([]any)
	seen := map[any]bool{}
	for _, v := range list {
		id := at(v)["keyid"]
		if seen[id] {
			return true
		}
		seen[id] = true
	}
	return false
}

func badRoles(raw string) bool {
	roles := at(signedOf(raw), "roles")
	for _, name := range []string{"root", "targets", "timestamp", "snapshot"} {
		m, ok := roles[name].(obj)
		if !ok || badRole(m) {
			return true
		}
	}
	return false
}

func badRole(m obj) bool {
	threshold, ok := m["threshold"].(json.Number)
	n, err := threshold.Int64()
	list, isList := m["keyids"].([]any)
	return !ok || err != nil || n < 1 || !isList || slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok })
}

// rolesOf returns the roles of a document.
func rolesOf(kind, raw string) (out []obj) {
	if kind == "root" {
		for _, v := range at(signedOf(raw), "roles") {
			out = append(out, at(v))
		}
		return out
	}
	list, _ := at(signedOf(raw), "delegations")["roles"].([]any)
	for _, v := range list {
		out = append(out, at(v))
	}
	return out
}

func twice(role obj) bool {
	list, _ := role["keyids"].([]any)
	seen := map[any]bool{}
	for _, id := range list {
		if seen[id] {
			return true
		}
		seen[id] = true
	}
	return false
}

func tableOf(kind, raw string) obj {
	if kind == "root" {
		return at(signedOf(raw), "keys")
	}
	return at(signedOf(raw), "delegations", "keys")
}

// usable tells whether a key is of a kind that Handful checks signatures of; and fits
// whether what must be there is there.
func usable(v any) (usable, fits bool) {
	m, ok := v.(obj)
	kind, isKind := m["keytype"].(string)
	scheme, isScheme := m["scheme"].(string)
	value, isValue := m["keyval"].(obj)
	if !ok || !isKind || !isScheme || !isValue {
		return false, false
	}
	text, isText := value["public"].(string)
	switch {
	case kind == "ed25519" && scheme == "ed25519":
		b, err := hex.DecodeString(text)
		return true, isText && err == nil && len(b) == 32 && hex.EncodeToString(b) == text
	case strings.HasPrefix(kind, "ecdsa") && scheme == "ecdsa-sha2-nistp256":
		block, _ := pem.Decode([]byte(text))
		return true, isText && block != nil
	}
	return false, true
}

func badKey(kind, raw string) bool {
	table, ok := tableOf(kind, raw), true
	if kind == "root" {
		_, ok = signedOf(raw)["keys"].(obj)
	} else {
		_, ok = at(signedOf(raw), "delegations")["keys"].(obj)
	}
	if !ok {
		return true
	}
	for _, v := range table {
		if _, fits := usable(v); !fits {
			return true
		}
	}
	return false
}

// unusable: a role names a key id that has no key, or a key of a kind that Handful does
// not know. go-tuf then refuses the role, whoever else signed.
func unusable(kind, raw string) bool {
	table := tableOf(kind, raw)
	for _, role := range rolesOf(kind, raw) {
		list, _ := role["keyids"].([]any)
		for _, v := range list {
			id, _ := v.(string)
			k, ok := table[id]
			if u, _ := usable(k); !ok || !u {
				return true
			}
		}
	}
	return false
}

func unusableKeys(kind, raw, above string) bool {
	return kind == "root" && unusable(kind, raw) || above != "" && unusable("root", above)
}

// badHandful: the member that TUF does not know has values that Handful does, and that
// are wrong. Here are those that the mutations make.
func badHandful(raw string) bool {
	v, ok := signedOf(raw)["x-handful"]
	if !ok {
		return false
	}
	x, isObj := v.(obj)
	title, _ := x["title"].(string)
	_, hasAge := at(x, "max_age")["m"]
	age, _ := at(x, "max_age")["m"].(json.Number)
	need, _ := at(x, "witness")["need"].(json.Number)
	size, _ := at(x, "base", "m")["size"].(string)
	return !isObj || strings.ContainsFunc(title, func(r rune) bool { return r < ' ' }) || hasAge && age == "0" || need == "-1" || size == "00"
}

var pattern = regexp.MustCompile(`^(\*|([^*?\[\\/]+/)+\*|([^*?\[\\/]+/)*[^*?\[\\/]+)$`)

func badDelegation(raw string) bool {
	seen := map[any]bool{}
	for _, m := range rolesOf("targets", raw) {
		name, _ := m["name"].(string)
		_, hashed := m["path_hash_prefixes"]
		paths, isList := m["paths"].([]any)
		odd := slices.ContainsFunc(paths, func(v any) bool {
			p, ok := v.(string)
			return !ok || !pattern.MatchString(p) || slices.Contains(strings.Split(p, "/"), "..")
		})
		if badRole(m) || !signing.ValidDelegate(name) || m["terminating"] != true || hashed || !isList || odd || seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}
