package signing

import (
	"crypto"
	"crypto/ed25519"
	"fmt"
	"strconv"
	"time"
)

// Presence is a writer's word that a node of it was in the channel's swarm at a time, or
// that it left then. It says nothing about entries and no head follows from it.
//
// It is an Ed25519 signature, by any one key that may sign the writer's heads, over
//
//	handful-here/v1\n
//	handful/<id>/<writer>\n
//	<Unix ms, decimal>\n
//	here\n                     or left\n
//
// which nothing else that these keys sign begins with.
type Presence struct {
	Writer string
	Time   int64 // Unix milliseconds
	Left   bool
	Sig    [ed25519.SignatureSize]byte
}

const (
	presencePrefix = "handful-here/v1\n"
	// MaxPresenceAge is how old, by the own clock, a presence may be: as far as clocks differ.
	MaxPresenceAge = MaxAhead
)

func (p *Presence) message(id ID) []byte {
	word := "here"
	if p.Left {
		word = "left"
	}
	return []byte(presencePrefix + Origin(id, p.Writer) + "\n" + strconv.FormatInt(p.Time, 10) + "\n" + word + "\n")
}

// SignPresence makes the word of a writer. key is an Ed25519 key that may sign its heads.
func SignPresence(id ID, writer string, at time.Time, left bool, key crypto.Signer) (Presence, error) {
	p := Presence{Writer: writer, Time: at.UnixMilli(), Left: left}
	if !ValidWriter(writer) || p.Time < 0 || p.Time >= maxExact {
		return Presence{}, malformed("presence of writer %.40q at %v", writer, at)
	}
	if _, ok := key.Public().(ed25519.PublicKey); !ok {
		return Presence{}, fmt.Errorf("presence of writer %q: %w: its key is a %T", writer, ErrUnsupported, key.Public())
	}
	sig, err := key.Sign(nil, p.message(id), crypto.Hash(0))
	if err != nil {
		return Presence{}, fmt.Errorf("presence of writer %q: %w", writer, err)
	}
	p.Sig = [ed25519.SignatureSize]byte(sig)
	return p, nil
}

// VerifyPresence checks that one of the role's keys has signed a presence in the channel,
// and that it is neither of the future nor old.
func (r Role) VerifyPresence(id ID, p Presence, now time.Time) error {
	at := time.UnixMilli(p.Time)
	if at.After(now.Add(MaxAhead)) {
		return fmt.Errorf("presence of writer %q: %w", p.Writer, ErrFuture)
	}
	if at.Before(now.Add(-MaxPresenceAge)) {
		return fmt.Errorf("presence of writer %q: %w: it was %v ago", p.Writer, ErrRollback, now.Sub(at).Round(time.Second))
	}
	message := p.message(id)
	for _, k := range r.Keys {
		if k.ed25519 != nil && ed25519.Verify(k.ed25519, message, p.Sig[:]) {
			return nil
		}
	}
	return fmt.Errorf("presence of writer %q: %w", p.Writer, ErrForged)
}

// VerifyPresence checks a presence against the documents in force.
func (t *Trusted) VerifyPresence(p Presence, now time.Time) error {
	if t.Root() == nil {
		return fmt.Errorf("presence of writer %q: %w: no root document is known yet", p.Writer, ErrUnknownWriter)
	}
	role, err := t.role(p.Writer)
	if err != nil {
		return fmt.Errorf("presence: %w", err)
	}
	return role.VerifyPresence(t.id, p, now)
}

// WriterRoleOf returns who signs the heads of a writer, by a root document and the targets
// document beside it, which may be nil.
func WriterRoleOf(root *Root, targets *Targets, writer string) (Role, error) {
	if writer == MainWriter {
		return root.WriterRole(writer)
	}
	if targets == nil {
		return Role{}, fmt.Errorf("%w %.40q", ErrUnknownWriter, writer)
	}
	w, err := targets.Writer(writer)
	return w.Role, err
}
