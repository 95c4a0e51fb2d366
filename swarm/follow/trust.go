package follow

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"handful/signing"
	"handful/signing/durable"
)

// ErrCorrupt: a trust file is not what was written. The message names the file and
// what mends it.
var ErrCorrupt = errors.New("the trust file is corrupt")

// Trust is what a follower knows of one channel, kept in one file. Whatever a call
// changes is on disk before the call returns, so that nobody acts on what a crash could
// take back: an older head is refused after a restart as before. When it cannot be
// written, the call returns an error, no result, and nothing has changed.
//
// The file is DIR/<id>.trust: the state of [signing.Trusted.Bytes] and its SHA-256. A
// thief of it learns what is followed. Who can write to it can take the follower back
// to an older state, but not make it believe what the channel's keys never signed.
//
// All methods are safe for concurrent use. The file belongs to one Trust at a time: the
// caller holds the lock of the state directory.
type Trust struct {
	fs   durable.FS
	path string

	mu      sync.Mutex // guards what follows
	state   *signing.Trusted
	written []byte // state.Bytes() as it is on disk
	room    []byte // for the next, so that a state that grows slowly makes no garbage
}

// OpenTrust reads the trust file of a channel in a directory. Without a file it is a
// stranger's: nothing but the id is known, and nothing is written.
func OpenTrust(dir string, id signing.ID) (*Trust, error) { return OpenTrustFS(durable.OS{}, dir, id) }

// OpenTrustFS is OpenTrust on another filesystem than the operating system's.
func OpenTrustFS(files durable.FS, dir string, id signing.ID) (*Trust, error) {
	t := &Trust{fs: files, path: filepath.Join(dir, id.String()+".trust")}
	if err := files.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open trust of channel %s: %w", id, err)
	}
	b, err := durable.ReadFile(files, t.path, signing.MaxState+sha256.Size)
	if errors.Is(err, fs.ErrNotExist) {
		t.state = signing.NewTrusted(id)
		t.written = t.state.Bytes()
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open trust of channel %s: %w", id, err)
	}
	if err := t.read(b, id); err != nil {
		return nil, fmt.Errorf("%w: %s: %w; restore it from a backup, or remove it to meet the channel as a stranger again, "+
			"which forgets what protected against older news", ErrCorrupt, t.path, err)
	}
	return t, nil
}

func (t *Trust) read(b []byte, id signing.ID) error {
	end := len(b) - sha256.Size
	if end < 0 {
		return fmt.Errorf("it has only %d bytes", len(b))
	}
	if sha256.Sum256(b[:end]) != [32]byte(b[end:]) {
		return errors.New("its checksum fails")
	}
	state, err := signing.ParseTrusted(b[:end])
	if err != nil {
		return err
	}
	if state.ID() != id {
		return fmt.Errorf("it is of channel %s", state.ID())
	}
	t.state, t.written = state, slices.Clone(b[:end])
	return nil
}

// Do runs change, which may call any method of the state and must not keep it, and
// writes what it changed in one go, even if it returns an error: so several updates
// share one write. The error is change's, or tells that the state could not be written
// and is as before.
func (t *Trust) Do(change func(*signing.Trusted) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := change(t.state)
	if werr := t.write(); werr != nil {
		return werr
	}
	return err
}

func (t *Trust) write() error {
	b := t.state.AppendBytes(t.room[:0])
	t.room = b
	if bytes.Equal(b, t.written) {
		return nil
	}
	sum := sha256.Sum256(b)
	t.room = append(b, sum[:]...)
	err := durable.WriteFile(t.fs, t.path, t.room)
	if err == nil {
		t.written, t.room = b, t.written
		return nil
	}
	err = fmt.Errorf("keep trust of channel %s: %w", t.state.ID(), err)
	before, perr := signing.ParseTrusted(slices.Clone(t.written)) // whose room is used again
	if perr != nil {
		return errors.Join(err, perr)
	}
	t.state = before
	return err
}

// UpdateRoot is [signing.Trusted.UpdateRoot], kept.
func (t *Trust) UpdateRoot(raw []byte) error {
	return t.Do(func(s *signing.Trusted) error { return s.UpdateRoot(raw) })
}

// UpdateHead is [signing.Trusted.UpdateHead], kept. Its entries wait in the state until
// [Trust.HandedOn].
func (t *Trust) UpdateHead(writer string, u signing.Update, now time.Time) (signing.Accepted, error) {
	return t.accept(func(s *signing.Trusted) (signing.Accepted, error) { return s.UpdateHead(writer, u, now) })
}

// UpdateRange is [signing.Trusted.UpdateRange], kept.
func (t *Trust) UpdateRange(writer string, u signing.Update, rng [][32]byte, now time.Time) (signing.Accepted, error) {
	return t.accept(func(s *signing.Trusted) (signing.Accepted, error) { return s.UpdateRange(writer, u, rng, now) })
}

// FirstContact is [signing.Trusted.FirstContact], kept.
func (t *Trust) FirstContact(writer string, updates []signing.Update, now time.Time) (signing.Accepted, error) {
	return t.accept(func(s *signing.Trusted) (signing.Accepted, error) { return s.FirstContact(writer, updates, now) })
}

func (t *Trust) accept(change func(*signing.Trusted) (signing.Accepted, error)) (signing.Accepted, error) {
	var acc signing.Accepted
	var verdict error
	err := t.Do(func(s *signing.Trusted) error {
		acc, verdict = change(s)
		return nil
	})
	if err != nil {
		return signing.Accepted{}, err
	}
	return acc, verdict
}

// UpdateFork is [signing.Trusted.UpdateFork], kept.
func (t *Trust) UpdateFork(writer string, f signing.Fork) error {
	return t.Do(func(s *signing.Trusted) error { return s.UpdateFork(writer, f) })
}

// HandedOn is [signing.Trusted.HandedOn], kept.
func (t *Trust) HandedOn(writer string, next int64) error {
	return t.Do(func(s *signing.Trusted) error {
		s.HandedOn(writer, next)
		return nil
	})
}

// UpdateGrant is [signing.Trusted.UpdateGrant], kept.
func (t *Trust) UpdateGrant(p signing.Page) error {
	return t.Do(func(s *signing.Trusted) error { return s.UpdateGrant(p) })
}

// UpdateTargets is [signing.Trusted.UpdateTargets], kept.
func (t *Trust) UpdateTargets(raw []byte) error {
	return t.Do(func(s *signing.Trusted) error { return s.UpdateTargets(raw) })
}
