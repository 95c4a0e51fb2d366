package signing

import (
	"bytes"
	"crypto"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Params returns the writers of the document as parameters for the next one.
func (t *Targets) Params() []WriterParams {
	var all []WriterParams
	for _, name := range t.Writers() {
		w := t.writers[name]
		p := WriterParams{Name: name, Paths: append([]string{}, w.Paths...), Role: RoleParams{Threshold: w.Role.Threshold}}
		for _, k := range w.Role.Keys {
			p.Role.Keys = append(p.Role.Keys, k.Public())
		}
		all = append(all, p)
	}
	return all
}

// ParseTargetsPayload reads what targets keys sign, without signatures; see
// [ParseRootPayload].
func ParseTargetsPayload(payload []byte) (*Targets, error) {
	raw, err := unsigned(payload, MaxTargets)
	if err != nil {
		return nil, fmt.Errorf("targets payload: %w", err)
	}
	t, err := ParseTargets(raw)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(t.payload, payload) {
		return nil, fmt.Errorf("targets payload: %w: not in canonical JSON", ErrMalformed)
	}
	return t, nil
}

// Attach adds a signature over [Targets.Payload] that another program made; see
// [Root.Attach]. role is the targets role of the root document in force.
func (t *Targets) Attach(file []byte, role Role) (Attached, error) {
	signatures, err := parseOutside(file)
	if err != nil {
		return Attached{}, err
	}
	for _, s := range signatures {
		for _, k := range role.Keys {
			if k.verify(t.payload, s.sig) {
				return Attached{Key: k, Form: s.form, Own: true}, t.AddSignature(k, s.sig)
			}
		}
	}
	return Attached{}, fmt.Errorf("signature (%s) over version %d of the targets document: %w: no targets key made it over this payload", signatures[0].form, t.version, ErrForged)
}

// Lacking returns how many signatures of the targets role of a root document are still
// needed.
func (t *Targets) Lacking(role Role) int { return max(0, role.Threshold-len(t.signedBy(role))) }

// Explain says in plain words, a sentence a line, what a targets document says, and what
// changes since the version before, nil if there is none; see [Root.Explain].
func (t *Targets) Explain(before *Targets) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	say("This is version %d of the targets document of the channel: who may write beside the main writer.", t.version)
	if before == nil {
		before = &Targets{}
	} else if t.version <= before.version {
		say("Careful: followers refuse it after version %d.", before.version)
	}
	for _, name := range union(t.writers, before.writers) {
		w, is := t.writers[name]
		old, was := before.writers[name]
		switch {
		case !is:
			say("Writer %s may write no more; the log ends where it is.", name)
		case !was:
			say("Writer %s may publish under %s: %d of these %d must sign:", name, pathText(w.Paths), w.Role.Threshold, len(w.Role.Keys))
			out = append(out, keyLines(w.Role)...)
		case !sameRole(w.Role, old.Role) || !slices.Equal(w.Paths, old.Paths):
			say("Writer %s changes, and may publish under %s: %d of these %d must sign:", name, pathText(w.Paths), w.Role.Threshold, len(w.Role.Keys))
			out = append(out, keyLines(w.Role)...)
		default:
			say("Writer %s stays as before, under %s.", name, pathText(w.Paths))
		}
		if is && w.Role.Threshold > len(w.Role.Keys) {
			say("Careful: that can never be met.")
		}
	}
	if len(t.writers) == 0 {
		say("There is no writer but the main one.")
		say("It expires at %s.", day(t.expires))
	} else {
		say("It expires at %s; after that, what these writers sign is not confirmed.", day(t.expires))
	}
	for _, name := range union(t.base, before.base) {
		if b, ok := t.base[name]; ok && b != before.base[name] {
			say("The log of writer %s goes back to its first %d entries (root hash %s); followers mark what came after as withdrawn.", name, b.Size, hex.EncodeToString(b.Root[:]))
		}
	}
	return out
}

func keyLines(r Role) (out []string) {
	for _, k := range r.Keys {
		out = append(out, "  "+k.String())
	}
	return out
}

func pathText(paths []string) string {
	var out []string
	for _, p := range paths {
		switch {
		case p == "*":
			return "any name"
		default:
			out = append(out, fmt.Sprintf("%q", p))
		}
	}
	if len(out) == 0 {
		return "no name (posts alone)"
	}
	return strings.Join(out, ", ")
}

// SignPayload signs what document keys sign, a payload of either kind, with a key of this
// program: raw Ed25519, or ECDSA in DER.
func SignPayload(payload []byte, key crypto.Signer) ([]byte, error) {
	d := document{payload: payload}
	_, sig, err := d.sign(key)
	return sig, err
}
