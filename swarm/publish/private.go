package publish

import (
	"errors"
	"fmt"

	"handful/manifest"
)

// ErrUnsealed: an entry was to be published in a private channel without being encrypted.
var ErrUnsealed = errors.New("the read key of the private channel is not here")

// sealed returns an entry as it may stand in the log: in a private channel nothing stands
// there for everybody to read, whoever publishes it, but keys for readers and grants.
func (p *Publisher) sealed(entry []byte) ([]byte, error) {
	if !p.Private() {
		return entry, nil
	}
	e, err := manifest.ParseEntry(entry)
	if err != nil {
		return nil, err
	}
	switch e.(type) {
	case manifest.Sealed, manifest.Rekey:
		return entry, nil
	}
	if p.cfg.Seal == nil {
		return nil, fmt.Errorf("publish in channel %s: %w", p.ID(), ErrUnsealed)
	}
	return p.cfg.Seal(entry)
}
