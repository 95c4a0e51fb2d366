package signing

import (
	"fmt"
	"slices"
)

// grant is an entry of the main writer that puts a targets document into force.
type grant struct {
	at      int64    // index + 1; 0: none is known
	hash    [32]byte // SHA-256 of the document
	version int64    // of the document
}

// Targets returns the targets document in force, or nil when there is none, or it has
// not been received.
func (t *Trusted) Targets() *Targets { return t.targets }

// TargetsBytes returns the targets document of a SHA-256, to pass it on; nil if it is
// not the one in force.
func (t *Trusted) TargetsBytes(hash [32]byte) []byte {
	if t.targets == nil || t.targets.Hash() != hash {
		return nil
	}
	return t.targets.raw
}

// Allows reports whether the entries of a writer may name a file; see [Writer.Allows].
// The main writer's may name any.
func (t *Trusted) Allows(writer, name string) bool {
	return t.allows(writer, name, Writer.Allows)
}

// AllowsTorrent reports whether the entries of a writer may name a torrent; see
// [Writer.AllowsTorrent]. The main writer's may name any.
func (t *Trusted) AllowsTorrent(writer, name string) bool {
	return t.allows(writer, name, Writer.AllowsTorrent)
}

func (t *Trusted) allows(writer, name string, rule func(Writer, string) bool) bool {
	if writer == MainWriter {
		return validPath(name)
	}
	if t.targets == nil {
		return false
	}
	w, err := t.targets.Writer(writer)
	return err == nil && rule(w, name)
}

// Wants returns what documents are known to be missing, also after a restart.
func (t *Trusted) Wants() Need {
	n := Need{Grant: t.wanted}
	if t.wanted == 0 && t.grant.at > 0 && (t.targets == nil || t.targets.Hash() != t.grant.hash) {
		n.Targets = t.grant.hash
	}
	return n
}

// UpdateGrant takes a page of the main writer with the entry that [Need.Grant] named.
// What to ask for next is in [Trusted.Wants].
func (t *Trusted) UpdateGrant(p Page) error {
	if err := t.VerifyPage(MainWriter, p); err != nil {
		return err
	}
	t.noteGrants(p.First, p.Entries)
	if at := t.wanted - 1; at >= p.First && at < p.First+int64(len(p.Entries)) {
		t.wanted = 0 // the entry is no grant: its writer was wrong
		return fmt.Errorf("entry %d of the main writer: %w: it was said to be a grant", at, ErrMalformed)
	}
	return nil
}

// noteGrants reads what entries of the main writer, which have been verified, say about
// targets documents. An entry that cannot be read is its writer's fault; the log goes on
// all the same.
func (t *Trusted) noteGrants(first int64, entries [][]byte) {
	for i, e := range entries {
		p, err := readPointers(e)
		if err != nil {
			continue
		}
		at := first + int64(i) + 1
		if p.grant < at && p.grant > max(t.grant.at, t.wanted) {
			t.wanted = p.grant
		}
		if p.version > 0 && at > t.grant.at {
			t.take(grant{at, p.hash, p.version})
		}
	}
}

// take goes over to a newer grant. One that falls behind the version in force, or names
// another document of the same version, is passed over: nobody is brought back by
// granting an old document again.
func (t *Trusted) take(g grant) {
	if g.version < t.grant.version || g.version == t.grant.version && g.hash != t.grant.hash {
		g.hash, g.version = t.grant.hash, t.grant.version
	}
	t.grant = g
	if t.wanted <= g.at {
		t.wanted = 0
	}
}

// UpdateTargets takes the targets document that the newest grant names. Writers that it
// does not list any more are closed where they are.
func (t *Trusted) UpdateTargets(raw []byte) error {
	if err := t.setTargets(raw); err != nil {
		return err
	}
	t.apply()
	return nil
}

func (t *Trusted) setTargets(raw []byte) error {
	if t.Root() == nil || t.grant.at == 0 {
		return fmt.Errorf("targets document: no grant is known: %w", ErrGap)
	}
	doc, err := ParseTargets(raw)
	if err != nil {
		return err
	}
	if doc.Hash() != t.grant.hash {
		return fmt.Errorf("targets document of version %d: %w", doc.version, ErrNotGranted)
	}
	if err := doc.verifiedBy(t.Root().roles[RoleTargets]); err != nil {
		return err
	}
	if doc.version != t.grant.version {
		return fmt.Errorf("targets document of version %d: %w: it was granted as version %d", doc.version, ErrMalformed, t.grant.version)
	}
	t.retire()
	t.targets = doc
	return nil
}

// retire puts the targets document aside.
func (t *Trusted) retire() {
	if t.targets != nil {
		t.past = append(slices.Clone(t.past), t.targets)
		t.targets = nil
	}
}

// prune forgets the documents aside by which nothing that is held was verified.
func (t *Trusted) prune() {
	kept := make([]bool, len(t.past))
	keep := func(writer string, raw []byte) {
		if raw == nil || t.targets != nil && opens(t.roots, t.targets, writer, raw) {
			return
		}
		for i, doc := range slices.Backward(t.past) {
			if opens(t.roots, doc, writer, raw) {
				kept[i] = true
				return
			}
		}
	}
	for name, w := range t.writers {
		if name == MainWriter {
			continue
		}
		keep(name, w.head.Raw)
		if w.fork != nil {
			keep(name, w.fork.A)
			keep(name, w.fork.B)
		}
	}
	var past []*Targets
	for i, doc := range t.past {
		if kept[i] {
			past = append(past, doc)
		}
	}
	t.past = past
}

func opens(roots []*Root, doc *Targets, writer string, raw []byte) bool {
	_, err := openAny(roots, []*Targets{doc}, writer, raw)
	return err == nil
}
