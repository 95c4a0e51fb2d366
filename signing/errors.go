package signing

import (
	"errors"
	"fmt"
)

// What can be wrong. Every error of this package wraps at most one of them.
var (
	// ErrLink: the text is not a link or an id; the message says which part.
	ErrLink = errors.New("not a valid link")
	// ErrMalformed: the bytes are not in the one spelling of their format, or are
	// larger than it allows. Who sent them is to blame.
	ErrMalformed = errors.New("malformed")
	// ErrForged: the signatures that are needed are not there.
	ErrForged = errors.New("not signed as needed")
	// ErrOtherChannel: correctly formed, but of another channel.
	ErrOtherChannel = errors.New("of another channel")
	// ErrOtherWriter: of this channel, but of another writer than was asked for.
	ErrOtherWriter = errors.New("of another writer")
	// ErrUnknownWriter: the channel's documents name no such writer.
	ErrUnknownWriter = errors.New("unknown writer")
	// ErrRollback: older than what is held. Nobody is to blame: a peer may simply be
	// behind, and the answer to it is what is held. See [RollbackError].
	ErrRollback = errors.New("older than what is held")
	// ErrGap: a root document that does not follow the newest one directly.
	ErrGap = errors.New("a root document is missing in between")
	// ErrFuture: signed more than [MaxAhead] after now, or the own clock is wrong.
	ErrFuture = errors.New("signed in the future")
	// ErrBogus: well signed, but what came with it does not rebuild what was signed.
	// The relay that sent it is to blame, the writer is not.
	ErrBogus = errors.New("does not rebuild the signed tree")
	// ErrFork: the writer signed two trees of which neither continues the other. See
	// [ForkError].
	ErrFork = errors.New("the writer signed two histories")
	// ErrWithdrawn: of a history that a root document or targets document has taken back.
	// Who sent it may simply not know yet.
	ErrWithdrawn = errors.New("of a history that was withdrawn")
	// ErrNotGranted: a targets document that the newest grant of the main writer does not
	// name: an older one, or one that is not in force yet.
	ErrNotGranted = errors.New("not what the main writer granted")
	// ErrUnsupported: correct, but of a kind that this version cannot honour.
	ErrUnsupported = errors.New("not supported by this version")
	// ErrWitness: fewer witnesses have cosigned a head than the root demands.
	ErrWitness = errors.New("not cosigned by enough witnesses")
)

// RollbackError is an [ErrRollback] of a writer's head.
type RollbackError struct {
	Writer  string
	Held    int64 // entries in the head that is held
	Offered int64 // entries in the head that was offered: what its sender should be helped on from
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("head of writer %q over %d entries: %v (%d entries)", e.Writer, e.Offered, ErrRollback, e.Held)
}

// Is makes errors.Is(err, ErrRollback) true.
func (e *RollbackError) Is(target error) bool { return target == ErrRollback }

// ForkError is an [ErrFork] with the proof, which anyone who has the channel's root
// can check without further help.
type ForkError struct {
	Writer string
	Fork   Fork
	New    bool // found by this call; else the writer was frozen already
}

func (e *ForkError) Error() string {
	found := "is frozen since a fork was found"
	if e.New {
		found = "has forked"
	}
	return fmt.Sprintf("writer %q %s: %v; what was verified before stays usable, the publisher must repair the channel", e.Writer, found, ErrFork)
}

// Is makes errors.Is(err, ErrFork) true.
func (e *ForkError) Is(target error) bool { return target == ErrFork }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
