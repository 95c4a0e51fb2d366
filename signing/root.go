package signing

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// MaxRoot is the largest root document in bytes.
	MaxRoot = 64 << 10

	specVersion = "1.0.31"
	timeFormat  = "2006-01-02T15:04:05Z"
	maxTitle    = 256 // bytes
)

// The roles of TUF. The timestamp role's keys sign the heads of the main writer; the
// snapshot role signs nothing, TUF demands that it exists.
const (
	RoleRoot      = "root"
	RoleTargets   = "targets"
	RoleTimestamp = "timestamp"
	RoleSnapshot  = "snapshot"
)

var roleNames = []string{RoleRoot, RoleSnapshot, RoleTargets, RoleTimestamp}

// Role is who may sign something: Threshold of Keys must. Only distinct keys count.
type Role struct {
	Keys      []Key
	Threshold int

	unusable int // keys that are missing or of another kind than can be checked
}

// has reports whether a key is one of the role's, whatever its key id.
func (r Role) has(k Key) bool { return slices.ContainsFunc(r.Keys, k.Equal) }

// Root is a channel's root document, N.root.json of TUF: who may sign what. It is
// immutable but for [Root.Sign], [Root.AddSignature] and [Root.Attach], and safe for
// concurrent use when those are not called.
type Root struct {
	document
	id ID // zero when it is not known yet: a later version that was only parsed

	roles     map[string]Role
	title     string
	dht       ed25519.PublicKey
	maxAge    map[string]time.Duration
	witnesses []Witness
	quorum    int // cosignatures of witnesses that a head needs
	private   bool
	base      map[string]Base
}

// ID returns the channel's id, or the zero ID for a later version that has been
// parsed but not verified.
func (r *Root) ID() ID { return r.id }

// Title is what the channel calls itself, printable, perhaps empty.
func (r *Root) Title() string { return r.title }

// DHTKey is the key of the channel's BEP 44 items, or nil.
func (r *Root) DHTKey() ed25519.PublicKey { return slices.Clone(r.dht) }

// Private reports whether the channel asks not to be announced in public.
func (r *Root) Private() bool { return r.private }

// MaxAge is how old the newest head of a writer may be before it counts as late;
// 0: no age is late.
func (r *Root) MaxAge(writer string) time.Duration { return r.maxAge[writer] }

// Witnesses returns who may cosign heads, and how many of them must.
func (r *Root) Witnesses() (known []Witness, quorum int) { return slices.Clone(r.witnesses), r.quorum }

// Bases returns the trees that the document takes writers back to, by writer.
func (r *Root) Bases() map[string]Base { return maps.Clone(r.base) }

// Role returns one of the four roles of TUF, by its name.
func (r *Root) Role(name string) Role {
	role := r.roles[name]
	return Role{Keys: slices.Clone(role.Keys), Threshold: role.Threshold}
}

// WriterRole returns who signs the heads of a writer, or [ErrUnknownWriter]. Writers
// that a targets document grants are not known to a root: see [Targets.Writer].
func (r *Root) WriterRole(writer string) (Role, error) {
	if writer != MainWriter {
		return Role{}, fmt.Errorf("%w %.40q", ErrUnknownWriter, writer)
	}
	return r.roles[RoleTimestamp], nil
}

// ParseRoot reads a root document without verifying anything. See [FirstRoot] and
// [Root.Next].
func ParseRoot(raw []byte) (*Root, error) {
	r, err := parseRoot(raw)
	if err != nil {
		return nil, fmt.Errorf("root document: %w", err)
	}
	return r, nil
}

// FirstRoot reads and verifies the first root document of a channel: it must hash to
// the id and be signed by its own root role.
func FirstRoot(id ID, raw []byte) (*Root, error) {
	r, err := ParseRoot(raw)
	if err != nil {
		return nil, err
	}
	if r.version != 1 {
		return nil, fmt.Errorf("root document: %w: version %d, but a channel begins with version 1", ErrGap, r.version)
	}
	if r.id != id {
		return nil, fmt.Errorf("root document: %w: it is of %s, not of %s", ErrOtherChannel, r.id, id)
	}
	if err := r.verifiedBy(r.roles[RoleRoot]); err != nil {
		return nil, err
	}
	return r, nil
}

// Next reads and verifies the document that follows r: its version is exactly one
// higher, and the thresholds of both root roles are met, of r's and of its own.
func (r *Root) Next(raw []byte) (*Root, error) {
	next, err := ParseRoot(raw)
	if err != nil {
		return nil, err
	}
	switch {
	case next.version <= r.version:
		return nil, fmt.Errorf("root document of version %d: %w (version %d)", next.version, ErrRollback, r.version)
	case next.version != r.version+1:
		return nil, fmt.Errorf("root document of version %d: %w: version %d is needed first", next.version, ErrGap, r.version+1)
	}
	if err := next.verifiedBy(r.roles[RoleRoot]); err != nil {
		return nil, fmt.Errorf("by the keys of version %d: %w", r.version, err)
	}
	if err := next.verifiedBy(next.roles[RoleRoot]); err != nil {
		return nil, err
	}
	next.id = r.id
	return next, nil
}

// sameSigned reports whether two documents say the same, whoever signed them.
func (r *Root) sameSigned(other *Root) bool { return bytes.Equal(r.payload, other.payload) }
