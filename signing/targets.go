package signing

import (
	"crypto"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// MaxTargets is the largest targets document in bytes: some 600 writers.
const MaxTargets = 256 << 10

// Targets is a channel's targets document, targets.json of TUF: which writers there are
// beside the main one. It has no targets, only delegations, one level deep, each of
// which ends the search (terminating). It is immutable but for [Targets.Sign] and
// [Targets.AddSignature].
//
// A targets document is in force when an entry of kind grant of the main writer names
// its SHA-256; see [Trusted.UpdateTargets].
type Targets struct {
	document
	writers map[string]Writer
	base    map[string]Base
}

// Writer is somebody who may write in a channel: who signs the heads, and what file
// names the entries may have.
type Writer struct {
	Name  string
	Role  Role
	Paths []string // see [Writer.Allows]
}

// Allows reports whether the entries of the writer may name a file: one of Paths is the
// name itself, or "*", or a directory and "/*" for all below it. Names are relative,
// separated by slashes, without empty, "." and ".." elements.
func (w Writer) Allows(name string) bool {
	if !validPath(name) {
		return false
	}
	for _, p := range w.Paths {
		dir, under := strings.CutSuffix(p, "*")
		if p == name || under && strings.HasPrefix(name, dir) && len(name) > len(dir) {
			return true
		}
	}
	return false
}

// AllowsTorrent reports whether the entries of the writer may name a torrent, which is a file
// of that name or a directory: Allows holds for the file, or one of Paths is the directory, or
// one above it, and "/*". So docs/* allows the torrent docs, and docs/plan.txt does not.
func (w Writer) AllowsTorrent(name string) bool {
	if w.Allows(name) {
		return true
	}
	return validPath(name) && slices.Contains(w.Paths, name+"/*")
}

// validPath reports whether a name stays below where it is put, on every system.
func validPath(name string) bool {
	if name == "" || strings.ContainsAny(name, "\\\x00") {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// validPattern reports whether a path of a delegation is of a form that [Writer.Allows]
// knows. TUF has more; what is not understood is refused rather than misread.
func validPattern(p string) bool {
	dir, under := strings.CutSuffix(p, "*")
	if strings.ContainsAny(dir, "*?[\\") {
		return false
	}
	if under {
		return dir == "" || strings.HasSuffix(dir, "/") && validPath(dir[:len(dir)-1])
	}
	return validPath(p)
}

// Writers returns the names of the delegated writers, sorted.
func (t *Targets) Writers() []string { return slices.Sorted(maps.Keys(t.writers)) }

// Writer returns a delegated writer, or [ErrUnknownWriter].
func (t *Targets) Writer(name string) (Writer, error) {
	w, ok := t.writers[name]
	if !ok {
		return Writer{}, fmt.Errorf("%w %.40q", ErrUnknownWriter, name)
	}
	return w, nil
}

// Bases returns the trees that the document takes writers back to, by writer.
func (t *Targets) Bases() map[string]Base { return maps.Clone(t.base) }

// Hash is what a grant entry names the document by: its SHA-256.
func (t *Targets) Hash() [32]byte { return sha256.Sum256(t.raw) }

// ParseTargets reads a targets document without verifying anything.
func ParseTargets(raw []byte) (*Targets, error) {
	t, err := parseTargets(raw)
	if err != nil {
		return nil, fmt.Errorf("targets document: %w", err)
	}
	return t, nil
}

// OpenTargets reads a targets document and verifies it by the targets role.
func (r *Root) OpenTargets(raw []byte) (*Targets, error) {
	t, err := ParseTargets(raw)
	if err != nil {
		return nil, err
	}
	return t, t.verifiedBy(r.roles[RoleTargets])
}

func parseTargets(raw []byte) (*Targets, error) {
	d, err := readDocument(raw, MaxTargets, "targets")
	if err != nil {
		return nil, err
	}
	t := &Targets{document: d, writers: map[string]Writer{}}
	files, err := subobject(t.signed, "targets")
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		return nil, malformed("it has targets, but only delegations are possible here")
	}
	delegations, err := subobject(t.signed, "delegations")
	if err != nil {
		return nil, err
	}
	if err := t.readKeys(delegations); err != nil {
		return nil, err
	}
	roles, err := member[[]any](delegations, "roles")
	if err != nil {
		return nil, err
	}
	for i, v := range roles {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, malformed("delegation %d is not an object", i)
		}
		w, err := t.parseWriter(m)
		if err != nil {
			return nil, fmt.Errorf("delegation %d: %w", i, err)
		}
		if _, ok := t.writers[w.Name]; ok {
			return nil, malformed("writer %s stands there twice", w.Name)
		}
		t.writers[w.Name] = w
	}
	x, err := optional[map[string]any](t.signed, "x-handful")
	if err != nil {
		return nil, err
	}
	if t.base, err = parseBases(x, ValidDelegate); err != nil {
		return nil, fmt.Errorf("x-handful: %w", err)
	}
	return t, nil
}

// ValidDelegate reports whether a writer of this name can be granted: the name of the
// main writer and those of TUF's own roles are taken.
func ValidDelegate(name string) bool {
	return ValidWriter(name) && name != MainWriter && !slices.Contains(roleNames, name)
}

func (t *Targets) parseWriter(o object) (w Writer, err error) {
	if w.Name, err = member[string](o, "name"); err != nil {
		return w, err
	}
	if !ValidDelegate(w.Name) {
		return w, malformed("%.40q cannot be the name of a delegated writer", w.Name)
	}
	last, err := member[bool](o, "terminating")
	if err != nil {
		return w, err
	}
	if !last {
		return w, malformed("writer %s: terminating is false", w.Name)
	}
	if _, ok := o["path_hash_prefixes"]; ok {
		return w, malformed("writer %s: path_hash_prefixes are not for writers", w.Name)
	}
	paths, err := member[[]any](o, "paths")
	if err != nil {
		return w, fmt.Errorf("writer %s: %w", w.Name, err)
	}
	for _, v := range paths {
		p, ok := v.(string)
		if !ok || !validPattern(p) {
			return w, malformed("writer %s: path %.100q is neither a name nor a directory and /*", w.Name, v)
		}
		w.Paths = append(w.Paths, p)
	}
	if w.Role, err = t.parseRole(o); err != nil {
		return w, fmt.Errorf("writer %s: %w", w.Name, err)
	}
	return w, nil
}

// WriterParams is a writer of a new targets document.
type WriterParams struct {
	Name  string
	Role  RoleParams // Ed25519 keys
	Paths []string   // nil means "*", all names
}

// TargetsParams is what a new targets document says.
type TargetsParams struct {
	Version int64 // 0 means 1, or one more than that of Before
	Expires time.Time
	Writers []WriterParams
	Base    map[string]Base // see [Base]; Again is filled in by means of Before
	// Before is the document granted before, or nil for the first. Its bases are carried
	// on: a follower may go from any document to any later one.
	Before *Targets
}

// NewTargets makes a targets document without signatures.
func NewTargets(p TargetsParams) (*Targets, error) {
	if p.Before != nil {
		if p.Version == 0 {
			p.Version = p.Before.version + 1
		}
		if p.Version <= p.Before.version {
			return nil, fmt.Errorf("new targets: version %d after version %d: %w", p.Version, p.Before.version, ErrRollback)
		}
		p.Base = nextBases(p.Before.base, p.Base)
	}
	keys, roles := map[string]any{}, []any{}
	for _, w := range p.Writers {
		role, err := tableOf(w.Role, keys)
		if err != nil {
			return nil, fmt.Errorf("new targets: writer %.40s: %w", w.Name, err)
		}
		if slices.ContainsFunc(w.Role.Keys, notEd25519) {
			return nil, fmt.Errorf("new targets: writer %.40s: heads are signed by Ed25519 keys alone", w.Name)
		}
		paths := []any{}
		for _, path := range w.Paths {
			paths = append(paths, path)
		}
		if w.Paths == nil {
			paths = append(paths, "*")
		}
		role["name"], role["paths"], role["terminating"] = w.Name, paths, true
		roles = append(roles, role)
	}
	signed := object{
		"_type": "targets", "delegations": map[string]any{"keys": keys, "roles": roles},
		"expires": p.Expires.UTC().Format(timeFormat), "spec_version": specVersion, "targets": map[string]any{},
		"version": number(max(p.Version, 1)),
	}
	if len(p.Base) > 0 {
		signed["x-handful"] = map[string]any{"base": basesDocument(p.Base)}
	}
	t := &Targets{document: document{kind: "targets", signed: signed}}
	return t, t.reprint()
}

func (t *Targets) reprint() error {
	raw, err := t.print()
	if err != nil {
		return err
	}
	again, err := ParseTargets(raw)
	if err != nil {
		return err
	}
	*t = *again
	return nil
}

// Sign adds the signature of a key of the targets role: Ed25519, or ECDSA on P-256.
func (t *Targets) Sign(key crypto.Signer) error {
	k, sig, err := t.sign(key)
	if err != nil {
		return err
	}
	return t.AddSignature(k, sig)
}

// AddSignature adds a signature over [Targets.Payload] that was made elsewhere, once it
// verifies.
func (t *Targets) AddSignature(k Key, sig []byte) error {
	if err := t.add(k, sig); err != nil {
		return err
	}
	return t.reprint()
}
