package publish

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"handful/signing"
	"handful/signing/durable"
)

// What documents ask of a log: whose key signs it, and what it goes back to.

// check tells whether the key is one of the writer's.
func (c LogConfig) check() error {
	role, err := c.role()
	if err != nil {
		return err
	}
	if c.Key == nil {
		return fmt.Errorf("the key that signs heads of writer %q: %w", c.Writer, ErrNoKey)
	}
	public, ok := c.Key.Public().(ed25519.PublicKey)
	if !ok || !slices.ContainsFunc(role.Keys, func(k signing.Key) bool { return k.Ed25519().Equal(public) }) {
		return fmt.Errorf("the key is not one that the channel's documents name for writer %q", c.Writer)
	}
	return nil
}

func (c LogConfig) role() (signing.Role, error) {
	if c.Writer == signing.MainWriter || c.Targets == nil {
		return c.Root.WriterRole(c.Writer)
	}
	w, err := c.Targets.Writer(c.Writer)
	return w.Role, err
}

// openHead verifies a head of the writer by the documents in force.
func (c LogConfig) openHead(raw []byte) (signing.Head, error) {
	if c.Writer == signing.MainWriter || c.Targets == nil {
		return c.Root.OpenHead(c.Writer, raw)
	}
	return c.Root.OpenDelegated(c.Targets, c.Writer, raw)
}

// base returns the tree that the documents take the writer back to.
func (c LogConfig) base() (signing.Base, bool) {
	bases := c.Root.Bases()
	if c.Writer != signing.MainWriter && c.Targets != nil {
		bases = c.Targets.Bases()
	}
	b, ok := bases[c.Writer]
	return b, ok
}

// appliedBase is the content of baseFile:
//
//	<size>
//	<root hash, base64>
//	<again> <since, Unix seconds> <1 if done, else 0>
type appliedBase struct {
	base  signing.Base
	since time.Time // heads that were signed until then are withdrawn; zero: none were known
	done  bool
	known bool // there was a base at all
}

func (a appliedBase) text() string {
	since, done := int64(0), 0
	if !a.since.IsZero() {
		since = a.since.Unix()
	}
	if a.done {
		done = 1
	}
	return fmt.Sprintf("%d\n%s\n%d %d %d\n", a.base.Size, base64.StdEncoding.EncodeToString(a.base.Root[:]), a.base.Again, since, done)
}

func (l *Log) readBase() (appliedBase, error) {
	b, err := durable.ReadFile(l.fs, l.path(baseFile), 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return appliedBase{}, nil
	}
	if err != nil {
		return appliedBase{}, err
	}
	a := appliedBase{known: true}
	var root string
	var since int64
	var done int
	_, err = fmt.Sscanf(string(b), "%d\n%s\n%d %d %d\n", &a.base.Size, &root, &a.base.Again, &since, &done)
	hash, err64 := base64.StdEncoding.DecodeString(root)
	if err == nil && err64 == nil && len(hash) == len(a.base.Root) {
		a.base.Root, a.done = [32]byte(hash), done == 1
		if since > 0 {
			a.since = time.Unix(since, 0).UTC()
		}
		if a.text() == string(b) {
			return a, nil
		}
	}
	return appliedBase{}, fmt.Errorf("%s: %w; restore it from a backup", l.path(baseFile), ErrDamaged)
}

func (l *Log) writeBase(a appliedBase) error {
	if err := durable.WriteFile(l.fs, l.path(baseFile), []byte(a.text())); err != nil {
		return fmt.Errorf("log %s: note the base: %w", l.dir, err)
	}
	l.applied = a
	return nil
}

// rebase takes the log back to the base that the documents name, once. Interrupted, it
// begins again.
func (l *Log) rebase() error {
	want, ok := l.cfg.base()
	if !ok || l.applied.known && l.applied.done && l.applied.base == want {
		return nil
	}
	if err := l.goBack(want); err != nil {
		return l.fails(err)
	}
	return nil
}

func (l *Log) goBack(want signing.Base) error {
	a := appliedBase{base: want, since: l.applied.since, known: true}
	for _, h := range []signing.Head{l.signed, l.network} {
		if h.Raw != nil && h.Time.After(a.since) && l.withdraws(want, h) {
			a.since = h.Time
		}
	}
	if !l.applied.known || l.applied.done || l.applied.base != want {
		if err := l.writeBase(a); err != nil {
			return err
		}
	}
	a.since = l.applied.since
	keep := want.Size
	size := l.log.Size()
	if size < want.Size {
		keep = 0 // it has to be caught up with
	} else if root, err := l.log.RootAt(want.Size); err != nil {
		return err
	} else if root != want.Root {
		keep = 0 // all of it is another history
	}
	if err := l.putAside(keep, want); err != nil {
		return err
	}
	h := signing.Head{Origin: l.origin(), Size: keep, Root: want.Root}
	if keep == 0 {
		h.Root = sha256.Sum256(nil)
	}
	if keep < want.Size {
		if err := durable.WriteFile(l.fs, l.path(unconfirmedFile), []byte("the log was of another history\n")); err != nil {
			return err
		}
		l.unconfirmed = true
	}
	if err := durable.WriteFile(l.fs, l.path(intentFile), []byte(h.Text())); err != nil {
		return fmt.Errorf("log %s: go back to entry %d: %w", l.dir, keep, err)
	}
	l.intent = h
	for _, name := range []string{headFile, networkFile} {
		if err := l.fs.Remove(l.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("log %s: remove %s: %w", l.dir, name, err)
		}
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("log %s: %w", l.dir, err)
	}
	if err := l.disk.cut(keep); err != nil {
		return fmt.Errorf("log %s: go back to entry %d: %w", l.dir, keep, err)
	}
	a.done = true
	if err := l.writeBase(a); err != nil {
		return err
	}
	return l.loadHeads()
}

// withdraws reports whether a base takes back what a head says.
func (l *Log) withdraws(b signing.Base, h signing.Head) bool {
	if h.Size != b.Size {
		return h.Size > b.Size
	}
	return h.Root != b.Root
}

// putAside keeps the entries from an index on in a file of their own.
func (l *Log) putAside(from int64, b signing.Base) error {
	var frames []byte
	for i := from; i < l.log.Size(); i++ {
		e, err := l.log.Entry(i)
		if err != nil {
			return err
		}
		frames = append(binary.BigEndian.AppendUint32(frames, uint32(len(e))), e...)
	}
	if len(frames) == 0 {
		return nil // nothing goes, or a crash came after it went
	}
	name := fmt.Sprintf("%s-%d-%x-%d", withdrawnFile, b.Size, b.Root[:4], b.Again)
	if err := durable.WriteFile(l.fs, l.path(name), frames); err != nil {
		return fmt.Errorf("log %s: keep what is withdrawn: %w", l.dir, err)
	}
	return nil
}

// beyondBase checks that what was caught up with contains the base, and drops all of it
// otherwise: it is a history that was withdrawn.
func (l *Log) beyondBase() error {
	b := l.applied.base
	if !l.applied.known || l.log.Size() < b.Size {
		return nil
	}
	root, err := l.log.RootAt(b.Size)
	if err != nil || root == b.Root {
		return err
	}
	a, size := l.applied, l.network.Size
	a.since = l.network.Time
	if err := l.writeBase(a); err != nil {
		return l.fails(err)
	}
	if err := l.fs.Remove(l.path(networkFile)); err != nil {
		return l.fails(err)
	}
	if err := l.disk.cut(0); err != nil {
		return l.fails(err)
	}
	if err := l.loadHeads(); err != nil {
		return l.fails(err)
	}
	return fmt.Errorf("log %s: the network's head over %d entries: %w", l.dir, size, signing.ErrWithdrawn)
}

// Adopt goes over to newer documents, and to the key that they name. What was signed by
// keys that are gone is to be signed anew.
func (l *Log) Adopt(root *signing.Root, targets *signing.Targets, key crypto.Signer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return err
	}
	next := l.cfg
	next.Root, next.Targets, next.Key = root, targets, key
	if err := next.check(); err != nil {
		return fmt.Errorf("log %s: %w", l.dir, err)
	}
	l.cfg = next
	if err := l.loadHeads(); err != nil {
		return l.fails(err)
	}
	return l.rebase()
}

// Base returns the tree to which a document took the log back last; ok is false when none
// did.
func (l *Log) Base() (b signing.Base, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.applied.base, l.applied.known && l.applied.done
}

// Grant returns the newest entry that puts a targets document into force: its index, the
// document's SHA-256 and its version. The index is -1 when there is none.
func (l *Log) Grant() (index int64, hash [32]byte, version int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grant == 0 {
		return -1, hash, 0
	}
	e, err := l.log.Entry(l.grant - 1)
	if err != nil {
		return -1, hash, 0
	}
	hash, version, _ = signing.ReadGrant(e)
	return l.grant - 1, hash, version
}

func (l *Log) noteGrant(index int64, entry []byte) {
	if _, _, ok := signing.ReadGrant(entry); ok {
		l.grant = index + 1
	}
}

// findGrant looks for the newest grant, from the end. Every entry of the main writer that
// says anything about documents points to it, so one tells.
func (l *Log) findGrant() error {
	l.grant = 0
	if l.cfg.Writer != signing.MainWriter {
		return nil
	}
	for i := l.log.Size() - 1; i >= 0 && l.grant == 0; i-- {
		e, err := l.log.Entry(i)
		if err != nil {
			return err
		}
		root, grant := signing.ReadStamp(e)
		if l.noteGrant(i, e); l.grant == 0 && grant > 0 && grant <= i {
			l.grant = grant
		}
		if root > 0 {
			break
		}
	}
	return nil
}
