package tuftest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/rand/v2"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
)

// A world of keys and documents as plain JSON values, so that they can be wrong in any way.

type obj = map[string]any

type key struct {
	signer crypto.Signer
	id     string
	doc    obj
}

func newKey(signer crypto.Signer, doc obj) key {
	b, err := cjson.EncodeCanonical(doc)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(b)
	return key{signer, hex.EncodeToString(sum[:]), doc}
}

// keys are six Ed25519 keys and four ECDSA keys, always the same.
func keys() (all []key) {
	for i := range 10 {
		seed := sha256.Sum256([]byte{byte(i)})
		if i < 6 {
			k := ed25519.NewKeyFromSeed(seed[:])
			all = append(all, newKey(k, obj{"keytype": "ed25519", "scheme": "ed25519", "keyval": obj{"public": hex.EncodeToString(k.Public().(ed25519.PublicKey))}}))
			continue
		}
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
		if err != nil {
			panic(err)
		}
		der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
		if err != nil {
			panic(err)
		}
		kind := []string{"ecdsa", "ecdsa-sha2-nistp256"}[i%2]
		text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		all = append(all, newKey(k, obj{"keytype": kind, "scheme": "ecdsa-sha2-nistp256", "keyval": obj{"public": text}}))
	}
	return all
}

func (k key) sign(payload []byte) string {
	message, hash := payload, crypto.Hash(0)
	if _, ok := k.signer.(*ecdsa.PrivateKey); ok {
		sum := sha256.Sum256(payload)
		message, hash = sum[:], crypto.SHA256
	}
	sig, err := k.signer.Sign(nil, message, hash)
	if err != nil {
		panic(err)
	}
	return hex.EncodeToString(sig)
}

// some picks n different keys.
func some(r *rand.Rand, all []key, n int) []key {
	out := make([]key, 0, n)
	for _, i := range r.Perm(len(all))[:n] {
		out = append(out, all[i])
	}
	return out
}

func ids(keys []key) []any {
	out := []any{}
	for _, k := range keys {
		out = append(out, k.id)
	}
	return out
}

// role is a role's keys and threshold.
type role struct {
	keys      []key
	threshold int
}

func (ro role) doc() obj { return obj{"keyids": ids(ro.keys), "threshold": ro.threshold} }

func randomRole(r *rand.Rand, all []key, most int) role {
	n := 1 + r.IntN(most)
	ro := role{some(r, all, n), 1 + r.IntN(n)}
	if r.IntN(20) == 0 {
		ro.threshold = n + 1
	}
	return ro
}

// draft is a document before it is signed and spelled.
type draft struct {
	signed  obj
	signers []key
}

func (d *draft) addKeys(into obj, ks []key) {
	for _, k := range ks {
		into[k.id] = clone(k.doc)
	}
}

// clone copies a JSON value.
func clone(v any) any {
	switch v := v.(type) {
	case obj:
		out := obj{}
		for k, e := range v {
			out[k] = clone(e)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, clone(e))
		}
		return out
	}
	return v
}

// rootDraft makes a root document in order, for the roles root and targets.
func rootDraft(r *rand.Rand, all []key, version int, roots, targets role) *draft {
	online := all[0]
	d := &draft{}
	table := obj{}
	d.addKeys(table, roots.keys)
	d.addKeys(table, targets.keys)
	d.addKeys(table, []key{online})
	d.signed = obj{
		"_type": "root", "consistent_snapshot": true, "expires": "2030-01-01T00:00:00Z", "spec_version": "1.0.31", "version": version,
		"keys": table, "roles": obj{
			"root": roots.doc(), "targets": targets.doc(), "timestamp": role{[]key{online}, 1}.doc(), "snapshot": role{[]key{online}, 1}.doc(),
		},
	}
	if r.IntN(3) > 0 {
		d.signed["x-handful"] = obj{"title": "Demo", "max_age": obj{"m": 86400}}
	}
	return d
}

// targetsDraft makes a targets document that delegates to a writer.
func targetsDraft(r *rand.Rand, all []key, writer role) *draft {
	d := &draft{}
	table := obj{}
	d.addKeys(table, writer.keys)
	delegation := writer.doc()
	delegation["name"], delegation["paths"], delegation["terminating"] = "alice", []any{[]string{"*", "docs/*", "a.txt"}[r.IntN(3)]}, true
	d.signed = obj{
		"_type": "targets", "expires": "2030-01-01T00:00:00Z", "spec_version": "1.0.31", "version": 1 + r.IntN(9), "targets": obj{},
		"delegations": obj{"keys": table, "roles": []any{delegation}},
	}
	return d
}

// document signs and spells a draft. A signed part that has no canonical JSON is signed
// as if it were empty.
func (d *draft) document() obj {
	payload, err := cjson.EncodeCanonical(normal(d.signed))
	if err != nil {
		payload = nil
	}
	sigs := []any{}
	for _, k := range d.signers {
		sigs = append(sigs, obj{"keyid": k.id, "sig": k.sign(payload)})
	}
	return obj{"signatures": sigs, "signed": d.signed}
}

// normal passes a value through JSON, so that numbers are of one type.
func normal(v any) (out any) {
	dec := json.NewDecoder(strings.NewReader(spell(v)))
	dec.UseNumber()
	if err := dec.Decode(&out); err != nil {
		panic(err)
	}
	return out
}

// spell prints JSON as Handful does: sorted, without spaces and needless escapes.
func spell(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
