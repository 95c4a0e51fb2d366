package signing

import (
	"encoding/base64"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"handful/manifest/bencode"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	// MaxProof is the largest proof of an entry in bytes.
	MaxProof = maxRoots + MaxTargets + MaxEntry + 64<<10
)

// Proof is one entry with everything that shows, without a network and for ever, that
// its writer published it: the documents of the channel, and a proof of inclusion by
// C2SP (https://c2sp.org/tlog-proof) under a head.
//
//	d 1:e <entry> 2:id <25> 1:p <tlog-proof> 5:roots l <root 1> <root 2> … e 7:targets <document> 1:w <writer> 1:y 5:proof e
//
// targets is left out for the main writer. What a proof does not show is whether the
// channel has withdrawn the entry since.
type Proof struct {
	ID      ID
	Roots   [][]byte // version 1, 2, …
	Targets []byte   // that grants the writer; nil for the main writer
	Writer  string
	Index   int64
	Entry   []byte
	Hashes  [][32]byte // the audit path of RFC 6962, section 2.1.1, from the leaf's sibling on
	Head    []byte
}

// Prove makes the proof of an entry from a page that has it, under the head that is held.
func (t *Trusted) Prove(writer string, p Page, index int64) (Proof, error) {
	if err := t.VerifyPage(writer, p); err != nil {
		return Proof{}, fmt.Errorf("prove entry %d: %w", index, err)
	}
	if index < p.First || index-p.First >= int64(len(p.Entries)) {
		return Proof{}, fmt.Errorf("prove entry %d: the page has the entries %d to %d", index, p.First, p.First+int64(len(p.Entries))-1)
	}
	nodes, err := p.nodes()
	if err != nil {
		return Proof{}, err
	}
	proof := Proof{ID: t.id, Writer: writer, Index: index, Entry: slices.Clone(p.Entries[index-p.First]), Head: t.Head(writer).Raw}
	if proof.Hashes, err = auditPath(nodes, index, p.Size); err != nil {
		return Proof{}, err
	}
	for _, r := range t.roots {
		proof.Roots = append(proof.Roots, r.raw)
	}
	if writer != MainWriter {
		for _, doc := range t.allTargets() {
			if opens(t.roots, doc, writer, proof.Head) {
				proof.Targets = doc.raw
			}
		}
	}
	return proof, nil
}

// auditPath returns the hashes beside the way from a leaf to the root, of a tree of
// which nodes cover all, the leaf itself among them.
func auditPath(nodes []node, index, size int64) (path [][32]byte, err error) {
	for a, b := int64(0), size; b-a > 1; {
		split := a + 1<<(bits.Len64(uint64(b-a-1))-1)
		var beside []node
		var ok bool
		if index < split {
			beside, ok = slice(nodes, split, b)
			b = split
		} else {
			beside, ok = slice(nodes, a, split)
			a = split
		}
		if !ok {
			return nil, fmt.Errorf("prove entry %d: its page does not tell the way to the root", index)
		}
		path = append(path, fold(beside))
	}
	slices.Reverse(path)
	return path, nil
}

// TlogProof returns the proof of inclusion in the text format of C2SP.
func (p Proof) TlogProof() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nindex %d\n", proofHeader, p.Index)
	for _, h := range p.Hashes {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]) + "\n")
	}
	return append([]byte(b.String()+"\n"), p.Head...)
}

func (p *Proof) parseTlogProof(text string) error {
	before, head, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(before, "\n")
	if !ok || len(lines) < 2 || lines[0] != proofHeader || len(lines) > 2+maxRange {
		return malformed("no %s", proofHeader)
	}
	number, ok := strings.CutPrefix(lines[1], "index ")
	if !ok {
		return malformed("the second line is not the index of an entry")
	}
	var err error
	if p.Index, err = parseSize(number); err != nil {
		return err
	}
	for _, l := range lines[2:] {
		h, err := parseHash(l)
		if err != nil {
			return err
		}
		p.Hashes = append(p.Hashes, h)
	}
	p.Head = []byte(head)
	if strconv.FormatInt(p.Index, 10) != number || string(p.TlogProof()) != text {
		return malformed("not in the one spelling of %s", proofHeader)
	}
	return nil
}

// Bytes encodes the proof.
func (p Proof) Bytes() []byte {
	m := []pair{
		{"e", bencode.AppendString(nil, p.Entry)}, {"id", bencode.AppendString(nil, p.ID[:])}, {"p", bencode.AppendString(nil, p.TlogProof())},
		{"roots", appendList(nil, p.Roots)}, {"w", bencode.AppendString(nil, p.Writer)}, {"y", bencode.AppendString(nil, "proof")},
	}
	if p.Targets != nil {
		m = append(m, pair{"targets", bencode.AppendString(nil, p.Targets)})
	}
	return appendDict(nil, m)
}

// ParseProof reads a proof and checks its form; see [Proof.Verify].
func ParseProof(b []byte) (Proof, error) {
	if len(b) > MaxProof {
		return Proof{}, fmt.Errorf("proof: %w: %d bytes, but at most %d are possible", ErrMalformed, len(b), MaxProof)
	}
	var p Proof
	kind := ""
	r := bencode.NewReader(b)
	r.Dict(func(key string) {
		switch key {
		case "e":
			p.Entry = slices.Clone(r.Bytes())
		case "id":
			r.Fixed(p.ID[:])
		case "p":
			if text := r.String(); r.Err() == nil {
				r.Fail(p.parseTlogProof(text))
			}
		case "roots":
			p.Roots = readList(r)
		case "targets":
			p.Targets = append([]byte{}, r.Bytes()...)
		case "w":
			p.Writer = r.String()
		case "y":
			kind = r.String()
		default:
			r.Fail(malformed("unknown key %.20q", key))
		}
	})
	if err := r.End(); err != nil {
		return Proof{}, fmt.Errorf("proof: %w: %w", ErrMalformed, err)
	}
	if kind != "proof" || len(p.Roots) == 0 || p.Head == nil || len(p.Entry) == 0 || len(p.Entry) > MaxEntry || !ValidWriter(p.Writer) || (p.Targets == nil) != (p.Writer == MainWriter) {
		return Proof{}, fmt.Errorf("proof: %w: it is not the proof of an entry with its documents", ErrMalformed)
	}
	return p, nil
}

// Verify checks the proof from the channel's id on. It returns the newest root
// document of the proof, and the head, whose time says when the entry was there at the
// latest. The caller compares the id with the one that it expects.
func (p Proof) Verify() (*Root, Head, error) {
	var docs [][]byte
	if p.Targets != nil {
		docs = append(docs, p.Targets)
	}
	roots, targets, err := openDocuments(p.ID, p.Roots, docs)
	if err != nil {
		return nil, Head{}, fmt.Errorf("proof: %w", err)
	}
	h, err := openAny(roots, targets, p.Writer, p.Head)
	if err != nil {
		return nil, Head{}, fmt.Errorf("proof: %w", err)
	}
	path := make(tlog.RecordProof, 0, len(p.Hashes))
	for _, x := range p.Hashes {
		path = append(path, x)
	}
	if p.Index < 0 || p.Index >= h.Size {
		return nil, Head{}, fmt.Errorf("proof: %w: entry %d of a log of %d", ErrMalformed, p.Index, h.Size)
	}
	if err := tlog.CheckRecord(path, h.Size, h.Root, p.Index, tlog.RecordHash(p.Entry)); err != nil {
		return nil, Head{}, fmt.Errorf("proof: entry %d: %w: %w", p.Index, ErrBogus, err)
	}
	return roots[len(roots)-1], h, nil
}
