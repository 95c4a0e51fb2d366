package signing

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// RoleParams is a role of a new root document.
type RoleParams struct {
	Keys      []crypto.PublicKey // ed25519.PublicKey or *ecdsa.PublicKey on P-256; heads need Ed25519
	Threshold int                // 0 means all of Keys
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
	Witnesses []Witness       // who may cosign heads
	Quorum    int             // how many of them must
	Base      map[string]Base // of the main writer; a new channel has none
}

// NewRoot makes a root document without signatures. What it says does not change any
// more, so its ID is final before the first signature.
func NewRoot(p RootParams) (*Root, error) {
	if len(p.Snapshot.Keys) == 0 {
		p.Snapshot = p.Timestamp
	}
	keys, roles := map[string]any{}, map[string]any{}
	for name, role := range map[string]RoleParams{RoleRoot: p.Root, RoleTargets: p.Targets, RoleTimestamp: p.Timestamp, RoleSnapshot: p.Snapshot} {
		table, err := tableOf(role, keys)
		if err != nil {
			return nil, fmt.Errorf("new root: role %s: %w", name, err)
		}
		if name == RoleTimestamp && slices.ContainsFunc(role.Keys, notEd25519) {
			return nil, fmt.Errorf("new root: role %s: heads are signed by Ed25519 keys alone", name)
		}
		roles[name] = table
	}
	x, err := handfulField(p)
	if err != nil {
		return nil, fmt.Errorf("new root: %w", err)
	}
	r := &Root{document: document{kind: "root", signed: object{
		"_type": "root", "consistent_snapshot": true, "expires": p.Expires.UTC().Format(timeFormat),
		"keys": keys, "roles": roles, "spec_version": specVersion, "version": number(max(p.Version, 1)), "x-handful": x,
	}}}
	return r, r.reprint()
}

func notEd25519(public crypto.PublicKey) bool {
	_, ok := public.(ed25519.PublicKey)
	return !ok
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
	if len(p.Base) > 0 {
		x["base"] = basesDocument(p.Base)
	}
	return x, nil
}

// reprint spells the document out and reads it back, so that nothing is ever made that
// would not be accepted.
func (r *Root) reprint() error {
	raw, err := r.print()
	if err != nil {
		return err
	}
	again, err := ParseRoot(raw)
	if err != nil {
		return err
	}
	if !r.id.IsZero() {
		again.id = r.id
	}
	*r = *again
	return nil
}

// Sign adds the signature of a root key: Ed25519, or ECDSA on P-256.
func (r *Root) Sign(key crypto.Signer) error {
	k, sig, err := r.sign(key)
	if err != nil {
		return err
	}
	return r.AddSignature(k, sig)
}

// AddSignature adds a signature over [Root.Payload] that was made elsewhere, once it
// verifies: 64 bytes of Ed25519, or ECDSA in DER. An earlier one by the same key is
// replaced. A key of the version before signs too, although this one does not name it.
func (r *Root) AddSignature(k Key, sig []byte) error {
	if err := r.add(k, sig); err != nil {
		return err
	}
	return r.reprint()
}

func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }
