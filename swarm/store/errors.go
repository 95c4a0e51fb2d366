package store

import (
	"errors"
	"fmt"
	"io/fs"
)

// The kinds of trouble a caller may want to tell apart with [errors.Is]. They
// arrive wrapped in an [*Error], which carries the path and a hint.
var (
	// ErrLocked: another process holds the state directory or the staging tree.
	ErrLocked = errors.New("in use by another process")
	// ErrCorrupt: state on disk cannot be read as what was written.
	ErrCorrupt = errors.New("corrupt state")
	// ErrExists: the destination holds something else under that name.
	ErrExists = errors.New("destination has other content")
	// ErrIsFile: a file stands where a directory is needed, or the other way round.
	ErrIsFile = errors.New("file and directory confused")
	// ErrElsewhere: the content is already known to this store at another place.
	ErrElsewhere = errors.New("already held at another place")
	// ErrDiskFull: no space or no quota left.
	ErrDiskFull = errors.New("disk full")
	// ErrPermission: the file system refuses, by mode bits or by being read-only.
	ErrPermission = errors.New("no permission")
	// ErrName: a path of the torrent cannot exist on this system.
	ErrName = errors.New("name not possible here")
	// ErrChanged: a file that is served no longer is what was hashed.
	ErrChanged = errors.New("file changed")
	// ErrMismatch: a file that had passed SHA-1 does not fit its SHA-256.
	ErrMismatch = errors.New("content does not verify")
	// ErrIncomplete: pieces are missing where all are needed.
	ErrIncomplete = errors.New("not complete")
	// ErrReadOnly: a write to content that is served from its final place or
	// from its source. It is a fault of the caller.
	ErrReadOnly = errors.New("content is not writable")
	// ErrOpen: the content is already open in this store.
	ErrOpen = errors.New("already open")
	// ErrClosed: the store or the content has been closed.
	ErrClosed = errors.New("closed")
	// ErrNotFound: the store has no record of that infohash.
	ErrNotFound = errors.New("not in this store")
	// ErrDonor: another node's files do not hold what it said.
	ErrDonor = errors.New("not to be had from another node's files")
	// ErrOutOfRange: an offset outside the piece or the torrent.
	ErrOutOfRange = errors.New("out of range")
)

// Error says what went wrong with which path. It matches its Kind and its
// cause with [errors.Is].
type Error struct {
	Kind   error  // one of the Err… values of this package
	Path   string // the file or directory at fault
	Detail string // what about it, may be empty
	Hint   string // what to do next, may be empty; not part of Error()
	PID    int    // ErrLocked: the holder, 0 when unknown
	Need   int64  // ErrDiskFull: bytes still to be written, 0 when unknown
	Free   int64  // ErrDiskFull: bytes the file system has left
	Err    error  // the cause, may be nil
}

// Error names kind, path, detail and cause.
func (e *Error) Error() string {
	s := e.Path + ": " + e.Kind.Error()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives kind and cause to [errors.Is] and [errors.As].
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// diskError turns what the file system said about path into ErrDiskFull or
// ErrPermission; everything else is wrapped with what was tried.
func diskError(what, path string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	switch {
	case isNoSpace(err):
		e := &Error{Kind: ErrDiskFull, Path: path, Detail: "cannot " + what, Err: err,
			Hint: "free space on that file system, then run the same command again: what is there is kept"}
		if free, ferr := freeSpace(path); ferr == nil {
			e.Free = free
		}
		return e
	case errors.Is(err, fs.ErrPermission) || isReadOnly(err):
		return &Error{Kind: ErrPermission, Path: path, Detail: "cannot " + what, Err: err,
			Hint: "choose a directory that you may write to, or change its permissions"}
	}
	return fmt.Errorf("%s %s: %w", what, path, err)
}
