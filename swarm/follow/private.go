package follow

import (
	"errors"
	"fmt"

	"handful/manifest"
	"handful/manifest/seal"
	"handful/signing"
)

// Keys open what a private channel publishes. They are asked from several goroutines.
type Keys interface {
	// Open returns the entry inside. The error wraps seal.ErrKey when no key fits.
	Open(manifest.Sealed) (manifest.Entry, error)
	// Learn takes the read key that was sent to readers, and keeps it. The error wraps
	// seal.ErrKey when it was not sent to this one.
	Learn(manifest.Rekey) error
}

// revealTold looks into what is sealed. wait leaves out, with all that its writer said later,
// what has to wait for its read key.
func (f *Follower) revealTold(told []Told, wait bool) (out []Told) {
	if f.cfg.Keys == nil {
		return told
	}
	waits := make(map[string]bool)
	for _, t := range told {
		e, err := manifest.ParseEntry(t.Raw)
		if _, sealed := e.(manifest.Sealed); err != nil || !sealed {
			if !waits[t.Writer] {
				out = append(out, t)
			}
			continue
		}
		inside, ok, err := f.Reveal(e)
		if err == nil && ok {
			t.inside = inside
		}
		if waits[t.Writer] = waits[t.Writer] || !ok && wait; !waits[t.Writer] {
			out = append(out, t)
		}
	}
	return out
}

// Reveal returns the entry inside a sealed one, and others as they are. Without Keys nobody
// can look inside, and the sealed entry is what is returned. When a read key has to be asked
// for, ok is false: try again when something has [Follower.Changed]. The error wraps
// seal.ErrKey when the entry is for others.
func (f *Follower) Reveal(entry manifest.Entry) (inside manifest.Entry, ok bool, err error) {
	s, isSealed := entry.(manifest.Sealed)
	if !isSealed || f.cfg.Keys == nil {
		return entry, true, nil
	}
	inside, err = f.cfg.Keys.Open(s)
	if !errors.Is(err, seal.ErrKey) || s.Head.Pointers.Rekey == 0 {
		return inside, true, err
	}
	raw := f.Entry(signing.MainWriter, s.Head.Pointers.Rekey-1)
	if raw == nil {
		return nil, false, nil
	}
	sent, parseErr := manifest.ParseEntry(raw)
	rekey, isRekey := sent.(manifest.Rekey)
	if parseErr != nil || !isRekey {
		return nil, true, fmt.Errorf("the entry that it names for its key is none of kind %q: %w", manifest.KindRekey, err)
	}
	if err := f.cfg.Keys.Learn(rekey); err != nil {
		return nil, true, err
	}
	inside, err = f.cfg.Keys.Open(s)
	return inside, true, err
}
