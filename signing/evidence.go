package signing

import (
	"fmt"
	"slices"

	"handful/manifest/bencode"
)

// Evidence is the proof of a fork as a file of its own: with the documents that its
// heads were signed under it convinces anyone who knows the channel's id, without a
// network and for ever.
//
//	d 2:id <25> 5:roots l <root 1> <root 2> … e 7:targets l <documents> e 1:w <writer> 1:x <fork> 1:y 4:fork e
//
// targets is left out when it is empty.
type Evidence struct {
	ID      ID
	Roots   [][]byte // version 1, 2, …
	Targets [][]byte // signed by the targets role of one of Roots
	Writer  string
	Fork    Fork
}

// Evidence returns the proof that a writer has forked; ok is false if it has not.
func (t *Trusted) Evidence(writer string) (e Evidence, ok bool) {
	w := t.writer(writer)
	if w.fork == nil {
		return Evidence{}, false
	}
	e = Evidence{ID: t.id, Writer: writer, Fork: *w.fork}
	for _, r := range t.roots {
		e.Roots = append(e.Roots, r.raw)
	}
	if writer == MainWriter {
		return e, true
	}
	for _, doc := range t.allTargets() {
		if opens(t.roots, doc, writer, w.fork.A) || opens(t.roots, doc, writer, w.fork.B) {
			e.Targets = append(e.Targets, doc.raw)
		}
	}
	return e, true
}

// Bytes encodes the evidence.
func (e Evidence) Bytes() []byte {
	m := []pair{
		{"id", bencode.AppendString(nil, e.ID[:])}, {"roots", appendList(nil, e.Roots)}, {"w", bencode.AppendString(nil, e.Writer)},
		{"x", e.Fork.Bytes()}, {"y", bencode.AppendString(nil, "fork")},
	}
	if len(e.Targets) > 0 {
		m = append(m, pair{"targets", appendList(nil, e.Targets)})
	}
	return appendDict(nil, m)
}

// ParseEvidence reads evidence and checks its form; see [Evidence.Verify].
func ParseEvidence(b []byte) (Evidence, error) {
	if len(b) > MaxState {
		return Evidence{}, fmt.Errorf("evidence: %w: %d bytes, but at most %d are possible", ErrMalformed, len(b), MaxState)
	}
	var e Evidence
	kind := ""
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		switch key {
		case "id":
			r.Fixed(e.ID[:])
		case "roots":
			e.Roots = readList(r)
		case "targets":
			e.Targets = readList(r)
		case "w":
			e.Writer = r.String()
		case "x":
			e.Fork = readFork(r)
		case "y":
			kind = r.String()
		default:
			r.Fail(malformed("unknown key %.20q", key))
		}
	})
	if err := r.End(); err != nil {
		return Evidence{}, fmt.Errorf("evidence: %w: %w", ErrMalformed, err)
	}
	if kind != "fork" || len(e.Roots) == 0 || len(e.Fork.A) == 0 || !ValidWriter(e.Writer) {
		return Evidence{}, fmt.Errorf("evidence: %w: it is not the proof of a fork with its documents", ErrMalformed)
	}
	return e, nil
}

// Verify checks the evidence from the channel's id on, and returns the two heads, of
// which b has at least as many entries and does not continue a.
func (e Evidence) Verify() (a, b Head, err error) {
	roots, targets, err := openDocuments(e.ID, e.Roots, e.Targets)
	if err != nil {
		return a, b, fmt.Errorf("evidence: %w", err)
	}
	a, b, err = verifyFork(e.Fork, func(raw []byte) (Head, error) { return openAny(roots, targets, e.Writer, raw) })
	if err != nil {
		return a, b, fmt.Errorf("evidence: %w", err)
	}
	return a, b, nil
}

// openDocuments verifies a chain of root documents from the id on, and targets
// documents by the targets role of any of them.
func openDocuments(id ID, rawRoots, rawTargets [][]byte) (roots []*Root, targets []*Targets, err error) {
	t := NewTrusted(id)
	for i, raw := range rawRoots {
		if _, err := t.addRoot(raw); err != nil {
			return nil, nil, err
		}
		if len(t.roots) != i+1 {
			return nil, nil, malformed("root document %d stands there twice", i)
		}
	}
	if len(t.roots) == 0 {
		return nil, nil, malformed("no root document")
	}
	for _, raw := range rawTargets {
		doc, err := ParseTargets(raw)
		if err != nil {
			return nil, nil, err
		}
		if !slices.ContainsFunc(t.roots, func(r *Root) bool { return doc.verifiedBy(r.roles[RoleTargets]) == nil }) {
			return nil, nil, fmt.Errorf("targets document of version %d: %w", doc.version, ErrForged)
		}
		targets = append(targets, doc)
	}
	return t.roots, targets, nil
}
