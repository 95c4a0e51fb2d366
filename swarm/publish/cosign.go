package publish

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
	"handful/signing/durable"
)

// Holder has one of several keys that must all, or in part, sign each head of a writer, on
// another machine than the one that publishes. Like a C2SP tlog-witness
// (https://c2sp.org/tlog-witness) it answers POST …/add-checkpoint, and signs what continues
// the tree that it signed before; so a [Witness] whose name is the origin of the log asks it.
// It signs for whoever has another key of the writer: what that key publishes is not judged,
// but that it is one history. A base in the documents takes it back, as it does the log.
//
// What it is about to sign is in its file before it signs: the text of a head, and the base
// that was applied last,
//
//	base <size> <root hash in hex>
//
// A thief of the file learns nothing. Who takes it back to an older state can make the holder
// sign two histories, if the thief also has the key of the machine that publishes.
type Holder struct {
	// Documents returns the newest documents; targets is nil for the main writer.
	Documents func() (root *signing.Root, targets *signing.Targets, err error)
	Writer    string
	Key       ed25519.PrivateKey
	File      string
	FS        durable.FS
	Now       func() time.Time

	mu sync.Mutex // one head at a time
}

// signedBefore is what a Holder's file says.
type signedBefore struct {
	head signing.Head // Origin is "" when nothing was signed yet
	base *signing.Base
}

// refusal is an answer of the protocol.
type refusal struct {
	code int
	text string
}

func (e *refusal) Error() string { return e.text }

// maxAddCheckpoint bounds a request: a head, and a proof of at most 63 hashes.
const maxAddCheckpoint = signing.MaxHead + 64*64

// Check tells whether the key is one of the writer's, and whether the file can be read.
func (h *Holder) Check() error {
	root, targets, err := h.Documents()
	if err != nil {
		return err
	}
	c := LogConfig{Root: root, Targets: targets, Writer: h.Writer, Key: h.Key}
	if err := c.check(); err != nil {
		return err
	}
	_, err = h.read()
	return err
}

// ServeHTTP implements [http.Handler].
func (h *Holder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/add-checkpoint") || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAddCheckpoint))
	if err != nil {
		err = &refusal{http.StatusBadRequest, "cut off, or too long"}
	}
	var lines []byte
	if err == nil {
		lines, err = h.add(body)
	}
	var no *refusal
	switch {
	case err == nil:
		w.Write(lines)
	case errors.As(err, &no):
		if no.code == http.StatusConflict {
			w.Header().Set("Content-Type", "text/x.tlog.size")
		}
		w.WriteHeader(no.code)
		fmt.Fprintln(w, no.text)
	case errors.Is(err, signing.ErrForged), errors.Is(err, signing.ErrOtherChannel), errors.Is(err, signing.ErrOtherWriter):
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.Is(err, signing.ErrMalformed):
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		http.Error(w, "it cannot be signed now", http.StatusInternalServerError)
	}
}

// add judges a request and returns the signature line.
func (h *Holder) add(body []byte) ([]byte, error) {
	old, proof, raw, err := parseAddCheckpoint(body)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	root, targets, err := h.Documents()
	if err != nil {
		return nil, err
	}
	head, err := root.OpenUnfinished(targets, h.Writer, raw, h.Key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	if head.Time.After(h.Now().Add(signing.MaxAhead)) {
		return nil, &refusal{http.StatusForbidden, fmt.Sprintf("signed at %s, which is not yet", head.Time.UTC().Format(time.RFC3339))}
	}
	before, err := h.read()
	if err != nil {
		return nil, err
	}
	base, ok := root.Bases()[h.Writer]
	if targets != nil {
		base, ok = targets.Bases()[h.Writer]
	}
	if ok && (before.base == nil || *before.base != base) {
		before = signedBefore{signing.Head{Origin: head.Origin, Size: base.Size, Root: base.Root}, &base}
	}
	if err := before.continues(head, old, proof); err != nil {
		return nil, err
	}
	if err := h.keep(signedBefore{head, before.base}); err != nil {
		return nil, err
	}
	signed, err := signing.SignHead(root.ID(), h.Writer, head.Size, head.Root, h.Key, h.Now())
	if err != nil {
		return nil, err
	}
	return signed[len(head.Text())+1:], nil
}

// continues tells whether a head continues what was signed before, as the proof from old
// entries on shows.
func (b signedBefore) continues(head signing.Head, old int64, proof tlog.TreeProof) error {
	if old > head.Size {
		return &refusal{http.StatusBadRequest, "old is larger than the tree"}
	}
	if old != b.head.Size {
		return &refusal{http.StatusConflict, strconv.FormatInt(b.head.Size, 10)}
	}
	switch {
	case old == head.Size && head.Root != b.head.Root && b.head.Origin != "":
		return &refusal{http.StatusConflict, strconv.FormatInt(old, 10)}
	case old == 0, old == head.Size:
		if len(proof) > 0 {
			return &refusal{http.StatusBadRequest, "a proof where none is needed"}
		}
		return nil
	}
	if err := tlog.CheckTree(proof, head.Size, head.Root, old, b.head.Root); err != nil {
		return &refusal{http.StatusUnprocessableEntity, "the tree does not continue what was signed before"}
	}
	return nil
}

// parseAddCheckpoint reads a request: "old N", the hashes of a proof, a blank line, a head.
func parseAddCheckpoint(body []byte) (old int64, proof tlog.TreeProof, raw []byte, err error) {
	bad := &refusal{http.StatusBadRequest, "not a request to sign a checkpoint"}
	first, checkpoint, ok := strings.Cut(string(body), "\n\n")
	lines := strings.Split(first, "\n")
	text, is := strings.CutPrefix(lines[0], "old ")
	if old, err = strconv.ParseInt(text, 10, 64); !ok || !is || err != nil || old < 0 || strconv.FormatInt(old, 10) != text || len(lines) > 64 {
		return 0, nil, nil, bad
	}
	for _, line := range lines[1:] {
		b, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(b) != tlog.HashSize || base64.StdEncoding.EncodeToString(b) != line {
			return 0, nil, nil, bad
		}
		proof = append(proof, tlog.Hash(b))
	}
	return old, proof, []byte(checkpoint), nil
}

func (h *Holder) read() (b signedBefore, err error) {
	raw, err := durable.ReadFile(h.FS, h.File, signing.MaxHead)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	text, base, based := strings.Cut(string(raw), "base ")
	if b.head, err = signing.ParseHeadText(text); err == nil && based {
		b.base = &signing.Base{}
		var hash string
		if _, err = fmt.Sscanf(base, "%d %64s\n", &b.base.Size, &hash); err == nil {
			var root []byte
			if root, err = hex.DecodeString(hash); err == nil && len(root) == len(b.base.Root) {
				b.base.Root = [32]byte(root)
			}
		}
	}
	if err == nil && string(b.text()) != string(raw) {
		err = errors.New("it is not what was written")
	}
	if err != nil {
		return b, fmt.Errorf("%s: %w: %w; without it two histories could be signed", h.File, ErrDamaged, err)
	}
	return b, nil
}

func (b signedBefore) text() []byte {
	out := b.head.Text()
	if b.base != nil {
		out += fmt.Sprintf("base %d %x\n", b.base.Size, b.base.Root)
	}
	return []byte(out)
}

func (h *Holder) keep(b signedBefore) error {
	if before, err := h.read(); err == nil && before.head.Origin != "" && string(before.text()) == string(b.text()) {
		return nil
	}
	return durable.WriteFile(h.FS, h.File, b.text())
}
