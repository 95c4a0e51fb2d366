package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// document is what root.json and targets.json have in common: a signed part of one
// spelling, and signatures over its canonical JSON.
type document struct {
	kind       string // the member _type
	raw        []byte
	signed     object
	payload    []byte
	signatures []signature

	version int64
	expires time.Time
	keys    map[string]Key // by key id; unknown kinds are absent
}

type signature struct {
	keyID string
	sig   []byte
}

// Bytes returns the document as it is stored and sent. The caller must not change it.
func (d *document) Bytes() []byte { return d.raw }

// Payload returns the exact bytes that keys sign: the canonical JSON of the signed
// part. The caller must not change them.
func (d *document) Payload() []byte { return d.payload }

// Version counts from 1.
func (d *document) Version() int64 { return d.version }

// Expires is when new heads stop being confirmed by this document.
func (d *document) Expires() time.Time { return d.expires }

// readDocument reads the form of a document, and what all kinds say.
func readDocument(raw []byte, limit int, kind string) (document, error) {
	top, err := parseDocument(raw, limit)
	if err != nil {
		return document{}, err
	}
	d := document{kind: kind, raw: slices.Clone(raw), keys: map[string]Key{}}
	if d.signatures, err = parseSignatures(top); err != nil {
		return document{}, err
	}
	if d.signed, err = subobject(top, "signed"); err != nil {
		return document{}, err
	}
	if d.payload, err = canonical(map[string]any(d.signed)); err != nil {
		return document{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return d, d.readHeader()
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

func (d *document) readHeader() error {
	kind, err := member[string](d.signed, "_type")
	if err != nil {
		return err
	}
	if kind != d.kind {
		return malformed("_type is %.40q, not %s", kind, d.kind)
	}
	spec, err := member[string](d.signed, "spec_version")
	if err != nil {
		return err
	}
	if !strings.HasPrefix(spec, "1.") {
		return malformed("spec_version is %.40q, but only 1.x is known", spec)
	}
	if d.version, err = integer(d.signed, "version"); err != nil {
		return err
	}
	if d.version < 1 {
		return malformed("version %d", d.version)
	}
	text, err := member[string](d.signed, "expires")
	if err != nil {
		return err
	}
	if d.expires, err = time.Parse(timeFormat, text); err != nil || d.expires.Format(timeFormat) != text {
		return malformed("expires is %.40q, which is not like %s", text, timeFormat)
	}
	return nil
}

// readKeys reads a table of keys by their key ids.
func (d *document) readKeys(in object) error {
	keys, err := subobject(in, "keys")
	if err != nil {
		return err
	}
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
			d.keys[id] = k
		}
	}
	return nil
}

// parseRole reads a role, whose keys have been read.
func (d *document) parseRole(o object) (Role, error) {
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
	role := Role{Threshold: int(min(threshold, MaxTargets))}
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
		if k, ok := d.keys[id]; ok {
			role.Keys = append(role.Keys, k)
		} else {
			role.unusable++
		}
	}
	return role, nil
}

// signedBy returns which distinct keys of a role signed the document. Signatures of
// others, and of kinds that are not known, do not count and do no harm.
func (d *document) signedBy(role Role) (counted []Key) {
	for _, s := range d.signatures {
		for _, k := range role.Keys {
			if k.id == s.keyID && !slices.ContainsFunc(counted, k.Equal) && k.verify(d.payload, s.sig) {
				counted = append(counted, k)
			}
		}
	}
	return counted
}

// verifiedBy checks that enough distinct keys of role signed the document.
func (d *document) verifiedBy(role Role) error {
	if n := len(d.signedBy(role)); n < role.Threshold {
		return fmt.Errorf("%s document of version %d: %w: %d of %d needed signatures verify", d.kind, d.version, ErrForged, n, role.Threshold)
	}
	return nil
}

// print spells the document out.
func (d *document) print() ([]byte, error) {
	sigs := []any{}
	for _, s := range d.signatures {
		sigs = append(sigs, map[string]any{"keyid": s.keyID, "sig": hex.EncodeToString(s.sig)})
	}
	raw, err := printDocument(map[string]any{"signatures": sigs, "signed": map[string]any(d.signed)})
	if err != nil {
		return nil, fmt.Errorf("print %s document: %w", d.kind, err)
	}
	return raw, nil
}

// sign makes the signature of a key over the document.
func (d *document) sign(key crypto.Signer) (k Key, sig []byte, err error) {
	if k, err = NewKey(key.Public()); err != nil {
		return Key{}, nil, fmt.Errorf("sign %s document: %w", d.kind, err)
	}
	message, hash := d.payload, crypto.Hash(0)
	if k.ecdsa != nil {
		sum := sha256.Sum256(d.payload)
		message, hash = sum[:], crypto.SHA256
	}
	var noRand io.Reader // Ed25519 is deterministic, and so is package ecdsa without randomness (RFC 6979)
	if sig, err = key.Sign(noRand, message, hash); err != nil {
		return Key{}, nil, fmt.Errorf("sign %s document: %w", d.kind, err)
	}
	return k, sig, nil
}

// add puts a signature into the document, once it verifies, in place of an earlier one
// by the same key.
func (d *document) add(k Key, sig []byte) error {
	if !k.verify(d.payload, sig) {
		return fmt.Errorf("add signature to %s document: %w: it does not verify", d.kind, ErrForged)
	}
	id := k.id
	for keyID, own := range d.keys {
		if own.Equal(k) {
			id = keyID // as the document calls it
		}
	}
	d.signatures = slices.DeleteFunc(slices.Clone(d.signatures), func(s signature) bool { return s.keyID == id })
	d.signatures = append(d.signatures, signature{id, slices.Clone(sig)})
	slices.SortFunc(d.signatures, func(a, b signature) int { return strings.Compare(a.keyID, b.keyID) })
	return nil
}

// tableOf makes the members keyids and threshold of a role, and puts its keys into a
// table. A threshold of 0 means all of the keys.
func tableOf(role RoleParams, keys map[string]any) (map[string]any, error) {
	ids := []any{}
	for _, public := range role.Keys {
		k, err := NewKey(public)
		if err != nil {
			return nil, err
		}
		if slices.Contains(ids, any(k.id)) {
			return nil, fmt.Errorf("key %s stands there twice", k.id)
		}
		ids = append(ids, k.id)
		if keys[k.id], err = k.document(); err != nil {
			return nil, err
		}
	}
	threshold := role.Threshold
	if threshold == 0 {
		threshold = len(ids)
	}
	if threshold < 1 || threshold > len(ids) {
		return nil, fmt.Errorf("a threshold of %d with %d keys", threshold, len(ids))
	}
	return map[string]any{"keyids": ids, "threshold": number(int64(threshold))}, nil
}

// kindOf names the kind of a key in words.
func kindOf(public crypto.PublicKey) string {
	switch public.(type) {
	case ed25519.PublicKey:
		return "Ed25519"
	case *ecdsa.PublicKey:
		return "ECDSA"
	}
	return fmt.Sprintf("%T", public)
}
