package signing

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	// MaxHead is the largest head in bytes.
	MaxHead = 4 << 10
	// MaxHeadLines is the largest number of signature lines of a head.
	MaxHeadLines = 16
	// MaxAhead is how far in the future a head may be signed: clocks differ.
	MaxAhead = 10 * time.Minute

	cosignatureV1 = 0x04 // C2SP signed-note: timestamped Ed25519 cosignature
	originPrefix  = "handful/"
)

// Head is a signed statement over a writer's log: so many entries, with this root
// hash. It is a C2SP checkpoint of three lines.
type Head struct {
	Origin string // handful/<id>/<writer>
	Size   int64  // entries in the log
	Root   [32]byte
	Time   time.Time // when it was signed: the k-th newest of k needed signatures. Zero until verified.
	Raw    []byte    // the head as it was received; not to be changed

	lines []headLine
}

type headLine struct {
	name string
	hash uint32
	time int64 // Unix seconds; -1 when the line is no timestamped cosignature by its length
	sig  []byte
	text string // the line itself
}

// Origin returns the first line of the heads of a writer.
func Origin(id ID, writer string) string { return originPrefix + id.String() + "/" + writer }

// Text returns the three lines that are signed.
func (h Head) Text() string {
	return h.Origin + "\n" + strconv.FormatInt(h.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(h.Root[:]) + "\n"
}

// ParseHead reads a head without verifying any signature. What it accepts is spelled
// in the only possible way.
func ParseHead(raw []byte) (Head, error) {
	h, err := parseHead(raw)
	if err != nil {
		return Head{}, fmt.Errorf("head: %w", err)
	}
	return h, nil
}

func parseHead(raw []byte) (Head, error) {
	if len(raw) > MaxHead {
		return Head{}, malformed("%d bytes, but at most %d are allowed", len(raw), MaxHead)
	}
	if i := bytes.LastIndex(raw, []byte("\n\n")); i < 0 || bytes.Count(raw[i+2:], []byte("\n")) > MaxHeadLines {
		return Head{}, malformed("no signature lines, or more than %d", MaxHeadLines)
	}
	// Without any known key, Open reads the form and reports everything as unverified.
	_, err := note.Open(raw, note.VerifierList())
	unverified, ok := errors.AsType[*note.UnverifiedNoteError](err)
	if !ok {
		return Head{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	h := Head{Raw: slices.Clone(raw)}
	if err := h.parseText(unverified.Note.Text); err != nil {
		return Head{}, err
	}
	again := bytes.NewBufferString(h.Text() + "\n")
	for _, s := range unverified.Note.UnverifiedSigs {
		line, err := parseLine(s)
		if err != nil {
			return Head{}, err
		}
		if slices.ContainsFunc(h.lines, func(l headLine) bool { return l.name == line.name && l.hash == line.hash }) {
			return Head{}, malformed("two signature lines by one key")
		}
		h.lines = append(h.lines, line)
		again.WriteString(line.text)
	}
	if !bytes.Equal(again.Bytes(), raw) {
		return Head{}, malformed("not in the one spelling of a checkpoint")
	}
	return h, nil
}

// ParseHeadText reads the three lines that a head signs, in their one spelling.
func ParseHeadText(text string) (Head, error) {
	var h Head
	if err := h.parseText(text); err != nil {
		return Head{}, fmt.Errorf("head: %w", err)
	}
	return h, nil
}

func (h *Head) parseText(text string) (err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return malformed("a checkpoint has exactly three lines before its signatures")
	}
	if h.Origin = lines[0]; h.Origin == "" {
		return malformed("the origin is empty")
	}
	if h.Size, err = parseSize(lines[1]); err != nil {
		return err
	}
	if h.Root, err = parseHash(lines[2]); err != nil {
		return err
	}
	if h.Size == 0 && h.Root != sha256.Sum256(nil) {
		return malformed("the root of an empty log is the hash of nothing")
	}
	return nil
}

func parseLine(s note.Signature) (headLine, error) {
	b, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || base64.StdEncoding.EncodeToString(b) != s.Base64 || len(b) < 5 {
		return headLine{}, malformed("the signature line of %.60q is not in the one spelling of base64", s.Name)
	}
	l := headLine{name: s.Name, hash: s.Hash, time: -1, text: "— " + s.Name + " " + s.Base64 + "\n"}
	if len(b) == 4+8+ed25519.SignatureSize {
		if t := binary.BigEndian.Uint64(b[4:12]); t < maxExact {
			l.time, l.sig = int64(t), b[12:]
		}
	}
	return l, nil
}

// cosignMessage is what a cosignature/v1 signs.
func cosignMessage(text string, unix int64) []byte {
	return []byte("cosignature/v1\ntime " + strconv.FormatInt(unix, 10) + "\n" + text)
}

// keyHash is the C2SP key id of a cosignature key under a name.
func keyHash(name string, public ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n\x04"))
	h.Write(public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// SignHead signs a head over a tree with a key of the writer, at the time now, in
// whole seconds. It signs whatever it is given: [Log.SignHead] and the publisher's
// log keep a writer from signing two histories.
func SignHead(id ID, writer string, size int64, root [32]byte, key crypto.Signer, now time.Time) ([]byte, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("sign head: an Ed25519 key is expected, not %T", key.Public())
	}
	if !ValidWriter(writer) || size < 0 || size >= maxExact || now.Unix() < 0 {
		return nil, fmt.Errorf("sign head: writer %.40q, size %d or time %s is impossible", writer, size, now)
	}
	h := Head{Origin: Origin(id, writer), Size: size, Root: root}
	line, err := cosign(h.Text(), h.Origin, public, key, now.Unix())
	if err != nil {
		return nil, err
	}
	raw := []byte(h.Text() + "\n" + line)
	if _, err := ParseHead(raw); err != nil {
		return nil, fmt.Errorf("sign head: %w", err)
	}
	return raw, nil
}

// CosignHead adds a signature line to a head, at the time now: of a further key of its
// writer, whose name is then the head's origin, or of a witness. It signs whatever it is
// given: a witness first sees to it that the head continues what it signed before.
func CosignHead(raw []byte, name string, key crypto.Signer, now time.Time) ([]byte, error) {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("cosign head: an Ed25519 key is expected, not %T", key.Public())
	}
	h, err := ParseHead(raw)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	if !validKeyName(name) || now.Unix() < 0 {
		return nil, fmt.Errorf("cosign head: name %.100q or time %s is impossible", name, now)
	}
	line, err := cosign(h.Text(), name, public, key, now.Unix())
	if err != nil {
		return nil, err
	}
	return JoinHeads(raw, []byte(h.Text()+"\n"+line))
}

// JoinHeads brings together the signature lines of two heads over the same tree, so that
// those of several machines or witnesses make the threshold. Of two lines by one key the
// newer stays.
func JoinHeads(a, b []byte) ([]byte, error) {
	x, err := ParseHead(a)
	if err != nil {
		return nil, err
	}
	y, err := ParseHead(b)
	if err != nil {
		return nil, err
	}
	if x.Text() != y.Text() {
		return nil, fmt.Errorf("join heads: %w: they are over different trees, of %d and of %d entries", ErrBogus, x.Size, y.Size)
	}
	out := x.Text() + "\n"
	at := func(lines []headLine, l headLine) int {
		return slices.IndexFunc(lines, func(o headLine) bool { return o.name == l.name && o.hash == l.hash })
	}
	for _, l := range x.lines {
		if i := at(y.lines, l); i >= 0 && y.lines[i].time > l.time {
			l = y.lines[i]
		}
		out += l.text
	}
	for _, l := range y.lines {
		if at(x.lines, l) < 0 {
			out += l.text
		}
	}
	if _, err := ParseHead([]byte(out)); err != nil {
		return nil, fmt.Errorf("join heads: %w", err)
	}
	return []byte(out), nil
}

// validKeyName reports whether C2SP's signed-note allows the name of a key.
func validKeyName(name string) bool { return printable(name, 255) && !strings.ContainsAny(name, " +") }

func cosign(text, name string, public ed25519.PublicKey, key crypto.Signer, unix int64) (string, error) {
	var noRand io.Reader // Ed25519 is deterministic
	sig, err := key.Sign(noRand, cosignMessage(text, unix), crypto.Hash(0))
	if err != nil {
		return "", fmt.Errorf("sign head: %w", err)
	}
	b := binary.BigEndian.AppendUint32(nil, keyHash(name, public))
	b = binary.BigEndian.AppendUint64(b, uint64(unix))
	b = append(b, sig...)
	return "— " + name + " " + base64.StdEncoding.EncodeToString(b) + "\n", nil
}

// OpenHead reads and verifies a head of a writer that the root names: its origin, the
// threshold of the writer's role, the quorum of witnesses. Time and place in the log are
// the follower's business.
func (r *Root) OpenHead(writer string, raw []byte) (Head, error) {
	role, err := r.WriterRole(writer)
	if err != nil {
		return Head{}, fmt.Errorf("head: %w", err)
	}
	return r.openHead(role, writer, raw)
}

// OpenDelegated is OpenHead for a writer that a targets document grants.
func (r *Root) OpenDelegated(t *Targets, writer string, raw []byte) (Head, error) {
	w, err := t.Writer(writer)
	if err != nil {
		return Head{}, fmt.Errorf("head: %w", err)
	}
	return r.openHead(w.Role, writer, raw)
}

// OpenUnfinished reads a head of a writer that a holder of another of the writer's keys has
// signed, and that lacks signatures: of own, which must be a key of the writer, and perhaps of
// others and of witnesses. t is the targets document that grants the writer, nil for the main one.
func (r *Root) OpenUnfinished(t *Targets, writer string, raw []byte, own ed25519.PublicKey) (Head, error) {
	role, err := r.WriterRole(writer)
	if t != nil {
		var w Writer
		w, err = t.Writer(writer)
		role = w.Role
	}
	if err != nil {
		return Head{}, fmt.Errorf("head: %w", err)
	}
	others := slices.DeleteFunc(slices.Clone(role.Keys), func(k Key) bool { return k.ed25519 != nil && k.ed25519.Equal(own) })
	if len(others) == len(role.Keys) {
		return Head{}, fmt.Errorf("head: %w: the key here is none of writer %q", ErrForged, writer)
	}
	part := *r
	part.quorum = 0
	return part.openHead(Role{Keys: others, Threshold: 1}, writer, raw)
}

func (r *Root) openHead(role Role, writer string, raw []byte) (Head, error) {
	h, err := ParseHead(raw)
	if err != nil {
		return Head{}, err
	}
	if want := Origin(r.id, writer); h.Origin != want {
		kind := ErrOtherChannel
		if strings.HasPrefix(h.Origin, strings.TrimSuffix(want, writer)) {
			kind = ErrOtherWriter
		}
		return Head{}, fmt.Errorf("head: %w: its origin is %.100q, not %q", kind, h.Origin, want)
	}
	var keys []Witness
	for _, k := range role.Keys {
		if k.ed25519 != nil {
			keys = append(keys, Witness{h.Origin, k.ed25519})
		}
	}
	times, err := h.count(keys)
	if err != nil {
		return Head{}, err
	}
	if role.Threshold < 1 || len(times) < role.Threshold {
		return Head{}, fmt.Errorf("head: %w: %d of %d needed signatures verify", ErrForged, len(times), role.Threshold)
	}
	h.Time = time.Unix(times[role.Threshold-1], 0).UTC()
	seen, err := h.count(r.witnesses)
	if err != nil {
		return Head{}, err
	}
	if len(seen) < r.quorum {
		return Head{}, fmt.Errorf("head: %w: %d of %d", ErrWitness, len(seen), r.quorum)
	}
	return h, nil
}

// count verifies the lines of the keys and returns their times, newest first, one for
// each distinct key. A line of a known key that does not verify spoils the head, as
// the note format demands.
func (h *Head) count(keys []Witness) ([]int64, error) {
	var times []int64
	var counted []ed25519.PublicKey
	for _, l := range h.lines {
		for _, k := range keys {
			if k.name != l.name || keyHash(k.name, k.public) != l.hash || slices.ContainsFunc(counted, func(p ed25519.PublicKey) bool { return p.Equal(k.public) }) {
				continue
			}
			if l.time < 0 || !ed25519.Verify(k.public, cosignMessage(h.Text(), l.time), l.sig) {
				return nil, fmt.Errorf("head: %w: the signature of %.100q does not verify", ErrForged, l.name)
			}
			times = append(times, l.time)
			counted = append(counted, k.public)
		}
	}
	slices.Sort(times)
	slices.Reverse(times)
	return times, nil
}

// Witness is a named key that cosigns heads.
type Witness struct {
	name   string
	public ed25519.PublicKey
}

// NewWitness returns the witness of a name without spaces or plus signs, usually one
// like example.org/witness.
func NewWitness(name string, public ed25519.PublicKey) Witness { return Witness{name, public} }

// String returns the C2SP verifier key of the witness.
func (w Witness) String() string {
	return fmt.Sprintf("%s+%08x+%s", w.name, keyHash(w.name, w.public), base64.StdEncoding.EncodeToString(append([]byte{cosignatureV1}, w.public...)))
}

// ParseWitness reads a C2SP verifier key of a witness: name+hash+base64(0x04 ‖ key).
func ParseWitness(s string) (Witness, error) {
	w, known, err := parseWitness(s)
	if err == nil && !known {
		err = fmt.Errorf("verifier key %.100q: %w: it is not of type 0x04, which cosigns", s, ErrUnsupported)
	}
	return w, err
}

// parseWitness reads a C2SP verifier key, name+hash+base64(0x04 ‖ key). known is
// false for keys of other kinds.
func parseWitness(s string) (w Witness, known bool, err error) {
	name, rest, _ := strings.Cut(s, "+")
	hash, text, ok := strings.Cut(rest, "+")
	b, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || name == "" || len(hash) != 8 || len(b) < 2 || !printable(name, 255) || strings.Contains(name, " ") {
		return Witness{}, false, malformed("%.100q is not a verifier key name+hash+key", s)
	}
	if b[0] != cosignatureV1 {
		return Witness{}, false, nil
	}
	w = Witness{name, b[1:]}
	if len(w.public) != ed25519.PublicKeySize || fmt.Sprintf("%08x", keyHash(name, w.public)) != hash {
		return Witness{}, false, malformed("%.100q is not a verifier key name+hash+key: its hash does not fit", s)
	}
	return w, true, nil
}
