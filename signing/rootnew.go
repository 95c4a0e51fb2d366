package signing

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// RoleParams is a role of a new root document.
type RoleParams struct {
	Keys      []ed25519.PublicKey
	Threshold int // 0 means all of Keys
}

// RootParams is what a new root document says.
type RootParams struct {
	Version   int64 // 0 means 1
	Title     string
	Expires   time.Time // of this document; rounded down to the second
	Root      RoleParams
	Targets   RoleParams
	Timestamp RoleParams // who signs the heads of the main writer
	Snapshot  RoleParams // signs nothing; empty means as Timestamp
	DHT       ed25519.PublicKey
	MaxAge    map[string]time.Duration // by writer, whole seconds
	Private   bool
	Witnesses []Witness // who may cosign heads
	Quorum    int       // how many of them must
}

// NewRoot makes a root document without signatures. What it says does not change any
// more, so its ID is final before the first signature.
func NewRoot(p RootParams) (*Root, error) {
	if len(p.Snapshot.Keys) == 0 {
		p.Snapshot = p.Timestamp
	}
	keys, roles := map[string]any{}, map[string]any{}
	for name, role := range map[string]RoleParams{RoleRoot: p.Root, RoleTargets: p.Targets, RoleTimestamp: p.Timestamp, RoleSnapshot: p.Snapshot} {
		ids, err := roleKeys(role, keys)
		if err != nil {
			return nil, fmt.Errorf("new root: role %s: %w", name, err)
		}
		threshold := role.Threshold
		if threshold == 0 {
			threshold = len(ids)
		}
		roles[name] = map[string]any{"keyids": ids, "threshold": number(int64(threshold))}
	}
	x, err := handfulField(p)
	if err != nil {
		return nil, fmt.Errorf("new root: %w", err)
	}
	r := &Root{signed: object{
		"_type": "root", "consistent_snapshot": true, "expires": p.Expires.UTC().Format(timeFormat),
		"keys": keys, "roles": roles, "spec_version": specVersion, "version": number(max(p.Version, 1)), "x-handful": x,
	}}
	return r, r.print()
}

func roleKeys(role RoleParams, keys map[string]any) ([]any, error) {
	var ids []any
	for _, public := range role.Keys {
		k, err := NewKey(public)
		if err != nil {
			return nil, err
		}
		if slices.Contains(ids, any(k.id)) {
			return nil, fmt.Errorf("key %s stands there twice", k.id)
		}
		ids = append(ids, k.id)
		keys[k.id] = k.document()
	}
	if len(ids) == 0 || role.Threshold < 0 || role.Threshold > len(ids) {
		return nil, fmt.Errorf("a threshold of %d with %d keys", role.Threshold, len(ids))
	}
	return ids, nil
}

func handfulField(p RootParams) (map[string]any, error) {
	x := map[string]any{}
	if p.Title != "" {
		x["title"] = p.Title
	}
	if p.DHT != nil {
		if len(p.DHT) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("the DHT key has %d bytes, not %d", len(p.DHT), ed25519.PublicKeySize)
		}
		x["dht"] = base64.StdEncoding.EncodeToString(p.DHT)
	}
	if p.Private {
		x["private"] = true
	}
	if len(p.Witnesses) > 0 || p.Quorum != 0 {
		if p.Quorum < 0 || p.Quorum > len(p.Witnesses) {
			return nil, fmt.Errorf("a quorum of %d with %d witnesses", p.Quorum, len(p.Witnesses))
		}
		keys := []any{}
		for _, w := range p.Witnesses {
			keys = append(keys, w.String())
		}
		x["witness"] = map[string]any{"keys": keys, "need": number(int64(p.Quorum))}
	}
	if len(p.MaxAge) > 0 {
		ages := map[string]any{}
		for writer, age := range p.MaxAge {
			ages[writer] = number(int64(age / time.Second))
		}
		x["max_age"] = ages
	}
	return x, nil
}

// print spells the document out and reads it back, so that nothing is ever made that
// would not be accepted.
func (r *Root) print() error {
	sigs := []any{}
	for _, s := range r.signatures {
		sigs = append(sigs, map[string]any{"keyid": s.keyID, "sig": hex.EncodeToString(s.sig)})
	}
	raw, err := printDocument(map[string]any{"signatures": sigs, "signed": map[string]any(r.signed)})
	if err != nil {
		return fmt.Errorf("print root document: %w", err)
	}
	again, err := ParseRoot(raw)
	if err != nil {
		return err
	}
	if r.id != (ID{}) {
		again.id = r.id
	}
	*r = *again
	return nil
}

// Sign adds the signature of a root key, Ed25519.
func (r *Root) Sign(key crypto.Signer) error {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return fmt.Errorf("sign root: an Ed25519 key is expected, not %T", key.Public())
	}
	var noRand io.Reader // Ed25519 is deterministic
	sig, err := key.Sign(noRand, r.payload, crypto.Hash(0))
	if err != nil {
		return fmt.Errorf("sign root: %w", err)
	}
	return r.AddSignature(public, sig)
}

// AddSignature adds a signature over [Root.Payload] that was made elsewhere, once it
// verifies. An earlier one by the same key is replaced.
func (r *Root) AddSignature(public ed25519.PublicKey, sig []byte) error {
	if !ed25519.Verify(public, r.payload, sig) {
		return fmt.Errorf("add signature to root: %w: it does not verify", ErrForged)
	}
	var id string
	for keyID, k := range r.keys {
		if k.ed25519.Equal(public) {
			id = keyID
		}
	}
	if id == "" {
		// A key of the version before signs too, although this one does not name it.
		k, err := NewKey(public)
		if err != nil {
			return err
		}
		id = k.id
	}
	r.signatures = slices.DeleteFunc(r.signatures, func(s signature) bool { return s.keyID == id })
	r.signatures = append(r.signatures, signature{id, slices.Clone(sig)})
	slices.SortFunc(r.signatures, func(a, b signature) int { return slices.Compare([]byte(a.keyID), []byte(b.keyID)) })
	return r.print()
}

func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
