package signing

import (
	"errors"
	"fmt"
)

// outcome names what a call led to in one word, and the size that is held then.
func outcome(acc Accepted, err error, f *Trusted, writer string) string {
	for _, e := range []struct {
		err  error
		word string
	}{
		{ErrRollback, "rollback"}, {ErrFork, "fork"}, {ErrForged, "forged"}, {ErrMalformed, "malformed"},
		{ErrOtherChannel, "other channel"}, {ErrOtherWriter, "other writer"}, {ErrUnknownWriter, "unknown writer"},
		{ErrFuture, "future"}, {ErrBogus, "bogus"}, {ErrGap, "gap"}, {ErrUnsupported, "unsupported"}, {ErrWitness, "witness"},
		{ErrWithdrawn, "withdrawn"}, {ErrNotGranted, "not granted"}, {ErrNotConfirmed, "refused"},
	} {
		if errors.Is(err, e.err) {
			return e.word
		}
	}
	switch {
	case err != nil:
		return "error: " + err.Error()
	case !acc.Changed:
		return "nothing new"
	case f == nil:
		return "accepted"
	}
	return fmt.Sprintf("accepted, holds %d", f.Size(writer))
}
