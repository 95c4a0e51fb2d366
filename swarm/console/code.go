package console

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"handful/swarm/store"
)

// ExitCode is what a binary returns to its caller. A code that is not in this
// table must be treated as failure.
type ExitCode int

// The exit codes of both binaries. They are a contract: none is ever reused.
const (
	OK              ExitCode = 0
	Failed          ExitCode = 1
	Usage           ExitCode = 2
	Partly          ExitCode = 3
	NotFound        ExitCode = 10
	Locked          ExitCode = 11
	Refused         ExitCode = 12
	Unverified      ExitCode = 13
	NoSpace         ExitCode = 14
	RolledBack      ExitCode = 15
	UpdateAvailable ExitCode = 20
	Interrupted     ExitCode = 130
	Terminated      ExitCode = 143
)

// ExitCodes is the table in the order of the codes, for help and tests.
func ExitCodes() []struct {
	Code ExitCode
	Text string
} {
	return []struct {
		Code ExitCode
		Text string
	}{
		{OK, "done"},
		{Failed, "failed"},
		{Usage, "usage: an option, argument, link or variable is wrong; nothing was done"},
		{Partly, "partly done: what could be done was done, the rest is named"},
		{NotFound, "not found: a missing path, or no peers before --timeout"},
		{Locked, "the state directory is held by another process that cannot be reached"},
		{Refused, "trust refused: a signature, a rollback, a fork, or a clock that is wrong"},
		{Unverified, "content did not verify"},
		{NoSpace, "disk full, no permission, or the destination has other content"},
		{RolledBack, "a hook or health check failed, rolled back"},
		{UpdateAvailable, "an update is available (--check)"},
		{Interrupted, "stopped by an interrupt (Ctrl-C); state is kept"},
		{Terminated, "stopped by SIGTERM; state is kept"},
	}
}

// Fault is an error that knows its exit code and what to do next.
type Fault struct {
	Code    ExitCode
	Message string // what was tried and on what; empty: Err says it
	Hint    string // the next step, without a full stop; may be empty
	Err     error  // the cause; may be nil
}

func (f *Fault) Error() string {
	switch {
	case f.Err == nil:
		return f.Message
	case f.Message == "":
		return f.Err.Error()
	}
	return f.Message + ": " + f.Err.Error()
}

func (f *Fault) Unwrap() error { return f.Err }

// Usagef returns the fault of a command line that cannot be meant.
func Usagef(hint, format string, args ...any) error {
	return &Fault{Code: Usage, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// Stop is the error of a command that a signal ended. It is the cause of the
// context that Signals returns.
type Stop struct{ Code ExitCode }

func (s *Stop) Error() string {
	if s.Code == Terminated {
		return "terminated"
	}
	return "interrupted"
}

// Is makes a Stop a cancellation for errors.Is.
func (s *Stop) Is(target error) bool { return target == context.Canceled }

// A rule gives the errors that match it a code and a hint.
type rule struct {
	match func(error) bool
	code  ExitCode
	hint  string
}

// is makes a rule for the errors that are target (errors.Is).
func is(target error, code ExitCode, hint string) rule {
	return rule{func(err error) bool { return errors.Is(err, target) }, code, hint}
}

// Code returns the exit code of an error and the hint to print under it. It is
// the only place that decides either.
func Code(err error) ExitCode {
	code, _ := explain(err)
	return code
}

// Hint returns the hint that is printed under an error, empty when there is none.
func Hint(err error) string {
	_, hint := explain(err)
	return hint
}

func explain(err error) (ExitCode, string) {
	if err == nil {
		return OK, ""
	}
	if s, ok := errors.AsType[*Stop](err); ok {
		return s.Code, "what is on disk is kept: the same command goes on from there"
	}
	if f, ok := errors.AsType[*Fault](err); ok && f.Code != OK {
		if f.Hint == "" {
			if inner, hint := explain(f.Err); inner == f.Code {
				return f.Code, hint
			}
		}
		return f.Code, f.Hint
	}
	for _, r := range rules() {
		if !r.match(err) {
			continue
		}
		if e, ok := errors.AsType[*store.Error](err); ok && e.Hint != "" {
			return r.code, e.Hint
		}
		return r.code, r.hint
	}
	return explainSystem(err)
}

// explainSystem knows the errors of the operating system.
func explainSystem(err error) (ExitCode, string) {
	switch {
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return NoSpace, "a file stands where a directory is needed, or the other way round: choose another path"
	case errors.Is(err, fs.ErrNotExist):
		return NotFound, "check the path"
	case errors.Is(err, fs.ErrPermission), isReadOnly(err):
		return NoSpace, "change the permissions, or choose another place"
	case isDiskFull(err):
		return NoSpace, "free some space and run the same command again: it goes on from what is on disk"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return NotFound, "try again, or allow more time with --timeout"
	}
	return Failed, ""
}
