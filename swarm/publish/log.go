package publish

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"handful/signing"
	"handful/signing/durable"
)

// Files of a writer's log, in its directory.
const (
	entriesFile     = "entries"       // each entry behind its length, 4 bytes, big-endian
	hashesFile      = "hashes"        // the hashes of the tree, 32 bytes each, in the order of tlog.StoredHashIndex
	intentFile      = "about-to-sign" // the text of the head that is signed next, or was signed last
	headFile        = "head"          // the last signed head
	networkFile     = "network"       // a head of ours that came from the network and is ahead of the log
	unconfirmedFile = "unconfirmed"   // there: the log was missing, so the network must be asked before anything is signed
	baseFile        = "base"          // the last base that a document took the log back to
	withdrawnFile   = "withdrawn"     // begins the names of files with entries that were taken back, as in entriesFile
)

var (
	// ErrBehind: the network holds a head of this writer over entries that the log does
	// not have, so it is an old backup. Catch up before publishing: see [Log.CatchUp].
	ErrBehind = errors.New("the log is behind what was published")
	// ErrUnconfirmed: the log was missing, so nobody here knows what was published. Ask
	// the network, then call [Log.Confirm].
	ErrUnconfirmed = errors.New("it is not known what was published before")
	// ErrNoKey: the key that signs heads is not on this machine.
	ErrNoKey = errors.New("it is not on this machine")
	// ErrDamaged: a file of the log is not what was written.
	ErrDamaged = errors.New("damaged")
)

// LogConfig says whose log it is.
type LogConfig struct {
	Root    *signing.Root    // the newest root document of the channel
	Targets *signing.Targets // the targets document in force, of a writer that it names; else nil
	Writer  string           // "" means the main writer
	Key     crypto.Signer    // signs heads: Ed25519, one of the writer's role
	// New: the channel was made just now, so a missing log is an empty one. Without it
	// a log that is missing was lost or is elsewhere, and nothing is signed before
	// [Log.Confirm].
	New bool
	FS  durable.FS // nil means the operating system's
}

// Log is a writer's log on disk. What it signs never contradicts what it signed
// before, whenever it is interrupted:
//
//	Append  entry → entries, fsync; its hashes → hashes, fsync (of AppendAll: all of them at once)
//	Sign    size and root → about-to-sign (replaced durably); sign; head (replaced durably)
//
// and only then does the head leave the house. A tree is signed only if it begins with
// the one in about-to-sign and with every head of its own that the network has shown.
//
// A document with a base ([signing.Base]) takes it back, when it is opened or [Log.Adopt]
// brings the document. Nothing is lost: the entries that go are kept in a file.
//
//	base and its date → base, not done yet; entries → withdrawn-…; the base → about-to-sign;
//	heads removed; entries and hashes cut off; → base, done
//
// A thief of the directory learns what was published, and what was about to be. Who can
// write to it can make the log refuse to sign, or, with the files taken back to an older
// state, make it sign a fork, unless [Log.ObserveHead] was told of the newer head.
//
// All methods are safe for concurrent use. The directory belongs to one Log at a time:
// the caller holds the lock of the state directory.
type Log struct {
	dir string
	fs  durable.FS
	cfg LogConfig

	mu          sync.Mutex // guards what follows
	disk        *storage
	log         *signing.Log
	intent      signing.Head // the text of intentFile; Origin is "" when there is none
	signed      signing.Head // headFile as it is on disk; Raw is nil when there is none that verifies
	network     signing.Head // verified; Raw is nil when there is none
	caughtUp    int64        // the log is known to be the network's tree up to this entry
	unconfirmed bool
	applied     appliedBase
	grant       int64 // index + 1 of the newest entry that grants writers; 0: there is none
	broken      error // a step failed: memory and disk are brought together before the next
}

// OpenLog opens the log in a directory, or makes it, and recovers what a crash left.
func OpenLog(dir string, c LogConfig) (*Log, error) {
	if c.Writer == "" {
		c.Writer = signing.MainWriter
	}
	l := &Log{dir: dir, fs: c.FS, cfg: c}
	if l.fs == nil {
		l.fs = durable.OS{}
	}
	if err := l.open(); err != nil {
		l.close()
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return l, nil
}

func (l *Log) open() error {
	if err := l.cfg.check(); err != nil {
		return err
	}
	var err error
	if err = l.fs.MkdirAll(l.dir); err != nil {
		return fmt.Errorf("make the log's directory: %w", err)
	}
	if f, err := l.fs.Open(l.path(entriesFile)); err == nil {
		if err := f.Close(); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if !l.cfg.New {
		if err := durable.WriteFile(l.fs, l.path(unconfirmedFile), []byte("the log was missing\n")); err != nil {
			return err
		}
	}
	if l.disk, err = openStorage(l.fs, l.path(entriesFile), l.path(hashesFile)); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("sync the log's directory: %w", err)
	}
	if err := l.load(); err != nil {
		return err
	}
	return l.rebase()
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// load reads the state from disk and repairs what an interrupted append left.
func (l *Log) load() error {
	var err error
	if l.intent, err = l.readIntent(); err != nil {
		return err
	}
	if err := l.disk.recover(l.intent); err != nil {
		return err
	}
	return l.loadHeads()
}

// loadHeads reads what was signed, and what the network has shown.
func (l *Log) loadHeads() error {
	var err error
	if l.log, err = signing.NewLog(l.cfg.Root.ID(), l.cfg.Writer, l.disk, l.cfg.Root.Version()); err != nil {
		return err
	}
	// A head that does not verify was signed by a key of an older root, or is damaged:
	// about-to-sign still guards what it said, so it is left aside and signed anew. One
	// that the log contradicts is not served, but goes on guarding.
	if l.signed, err = l.readHead(headFile); err != nil {
		return err
	}
	if l.signed.Raw != nil {
		if err := l.log.SetHead(l.signed); err != nil && !errors.Is(err, signing.ErrFork) {
			return err
		}
	}
	if l.network, err = l.readHead(networkFile); err != nil {
		return err
	}
	_, err = durable.ReadFile(l.fs, l.path(unconfirmedFile), 1<<10)
	if l.unconfirmed = err == nil; err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if l.applied, err = l.readBase(); err != nil {
		return err
	}
	if err := l.findGrant(); err != nil {
		return err
	}
	l.caughtUp = 0
	l.broken = nil
	return nil
}

// readIntent reads the text that was about to be signed. It has the form of a head
// without signatures, so one is made up to read it.
func (l *Log) readIntent() (signing.Head, error) {
	b, err := durable.ReadFile(l.fs, l.path(intentFile), signing.MaxHead)
	if errors.Is(err, fs.ErrNotExist) {
		return signing.Head{}, nil
	}
	if err != nil {
		return signing.Head{}, err
	}
	h, err := signing.ParseHeadText(string(b))
	if err == nil && h.Origin != l.origin() {
		err = fmt.Errorf("it is of %q", h.Origin)
	}
	if err != nil {
		return signing.Head{}, fmt.Errorf("%s: %w: %w; restore it from a backup, or remove it and let the network be asked for the newest head before publishing", l.path(intentFile), ErrDamaged, err)
	}
	return h, nil
}

func (l *Log) origin() string { return signing.Origin(l.cfg.Root.ID(), l.cfg.Writer) }

// readHead reads and verifies a head; its Raw is nil when there is none that verifies.
func (l *Log) readHead(name string) (signing.Head, error) {
	b, err := durable.ReadFile(l.fs, l.path(name), signing.MaxHead)
	if errors.Is(err, fs.ErrNotExist) {
		return signing.Head{}, nil
	}
	if err != nil {
		return signing.Head{}, err
	}
	h, err := l.cfg.openHead(b)
	if err != nil {
		return signing.Head{}, nil
	}
	return h, nil
}

// begin makes sure that memory and disk agree. After a failed step what it left behind
// the last entry is cut off: reading it again could take for written what the system
// only remembers. What was to be signed may have landed, so it is read again.
func (l *Log) begin() error {
	if l.broken == nil {
		return nil
	}
	err := l.disk.cut(l.disk.Size())
	if err == nil {
		l.intent, err = l.readIntent()
	}
	if err == nil {
		err = l.loadHeads()
	}
	if err == nil {
		err = l.rebase()
	}
	if err != nil {
		return fmt.Errorf("recover log %s after %w: %w", l.dir, l.broken, err)
	}
	return nil
}

// fails notes that a step failed, so that memory may not agree with the disk.
func (l *Log) fails(err error) error {
	l.broken = err
	return err
}

// ready returns nil when the log may be continued and signed.
func (l *Log) ready() error {
	size := l.log.Size()
	if l.unconfirmed {
		return fmt.Errorf("log %s: %w: it was missing; ask the network for the newest head first", l.dir, ErrUnconfirmed)
	}
	if l.intent.Size > size {
		return fmt.Errorf("log %s: %w: it has %d entries, but %d were signed", l.dir, ErrBehind, size, l.intent.Size)
	}
	for _, h := range []signing.Head{l.intent, l.signed, l.network} {
		if h.Origin == "" {
			continue
		}
		if err := l.contradicts(h); err != nil {
			return err
		}
	}
	return nil
}

// contradicts returns nil if the log begins with the tree of h.
func (l *Log) contradicts(h signing.Head) error {
	size := l.log.Size()
	if h.Size <= size {
		root, err := l.log.RootAt(h.Size)
		if err != nil {
			return err
		}
		if root == h.Root {
			return nil
		}
		if h.Size <= l.floor() {
			return fmt.Errorf("log %s: %w: a head over %d other entries carries the writer's signature; repair the channel with its root key", l.dir, signing.ErrFork, h.Size)
		}
	}
	return fmt.Errorf("log %s: %w: it has %d entries, %d of them signed, but the network holds a head over %d", l.dir, ErrBehind, size, l.floor(), h.Size)
}

// floor is how many entries have, perhaps, been signed.
func (l *Log) floor() int64 { return max(l.intent.Size, l.signed.Size) }

// Append adds an entry, as far as a crash cannot take it away, and returns its index.
// Followers see it once [Log.Sign] has signed it. After an error it is not there, and can
// be appended again; only if the program ends instead, it may be there at the next start.
func (l *Log) Append(entry []byte) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return 0, err
	}
	if err := l.ready(); err != nil {
		return 0, fmt.Errorf("append: %w", err)
	}
	return l.append(entry)
}

// AppendAll is Append for several entries, which share what a disk takes longest for: it
// returns the index of the first. After an error none is there; if the program ends
// instead, the first few may be.
func (l *Log) AppendAll(entries [][]byte) (first int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return 0, err
	}
	if err := l.ready(); err != nil {
		return 0, fmt.Errorf("append %d entries: %w", len(entries), err)
	}
	first = l.log.Size()
	grant := l.grant
	err = l.disk.together(func() error {
		for _, entry := range entries {
			if _, err := l.append(entry); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.grant = grant
		return 0, l.fails(fmt.Errorf("log %s: append %d entries: %w", l.dir, len(entries), err))
	}
	return first, nil
}

func (l *Log) append(entry []byte) (int64, error) {
	index, err := l.log.Append(entry)
	if errors.Is(err, signing.ErrMalformed) {
		return 0, err // nothing was written
	}
	if err != nil {
		return 0, l.fails(fmt.Errorf("log %s: %w", l.dir, err))
	}
	l.noteGrant(index, entry)
	return index, nil
}

// Sign signs a head over all entries, at the time now. When it returns without error,
// the head is on disk and may be published. Where more signatures are needed than the own,
// use [Log.Propose] and [Log.Accept].
func (l *Log) Sign(now time.Time) (signing.Head, error) {
	raw, err := l.Propose(now)
	if err != nil {
		return signing.Head{}, err
	}
	return l.Accept(raw)
}

// Propose is the first half of Sign: what is about to be signed is on disk, and the head
// carries this machine's signature. Others may add theirs before [Log.Accept]; until then
// it must not be published.
func (l *Log) Propose(now time.Time) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return nil, err
	}
	if err := l.ready(); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if err := l.intend(); err != nil {
		return nil, l.fails(err)
	}
	root, err := l.log.RootAt(l.log.Size())
	if err != nil {
		return nil, err
	}
	if since := l.applied.since; !now.After(since) {
		now = since.Add(time.Second) // what was signed until then is withdrawn
	}
	raw, err := signing.SignHead(l.cfg.Root.ID(), l.cfg.Writer, l.log.Size(), root, l.cfg.Key, now)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", l.dir, err)
	}
	return raw, nil
}

// Accept is the second half of Sign: a head over what is about to be signed, with all the
// signatures that it needs, is kept and served.
func (l *Log) Accept(raw []byte) (signing.Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.begin(); err != nil {
		return signing.Head{}, err
	}
	h, err := l.cfg.openHead(raw)
	if err != nil {
		return signing.Head{}, fmt.Errorf("log %s: the new head: %w", l.dir, err)
	}
	if l.intent.Origin == "" || h.Size > l.intent.Size || h.Size < l.signed.Size {
		return signing.Head{}, fmt.Errorf("log %s: a head over %d entries is not what was about to be signed (%d)", l.dir, h.Size, l.intent.Size)
	}
	if err := l.contradicts(h); err != nil {
		return signing.Head{}, err
	}
	if err := l.keep(raw); err != nil {
		return signing.Head{}, err
	}
	return l.signed, nil
}

// keep writes a head to disk and only then serves it.
func (l *Log) keep(raw []byte) error {
	h, err := l.cfg.openHead(raw)
	if err != nil {
		return fmt.Errorf("log %s: the new head: %w", l.dir, err)
	}
	if err := durable.WriteFile(l.fs, l.path(headFile), raw); err != nil {
		return l.fails(fmt.Errorf("log %s: keep the new head: %w", l.dir, err))
	}
	l.signed = h
	return l.log.SetHead(h)
}

// intend writes down what is about to be signed, unless that is written already.
func (l *Log) intend() error {
	size := l.log.Size()
	if l.intent.Origin != "" && l.intent.Size == size {
		return nil // ready has compared the root
	}
	root, err := l.log.RootAt(size)
	if err != nil {
		return err
	}
	h := signing.Head{Origin: l.origin(), Size: size, Root: root}
	if err := durable.WriteFile(l.fs, l.path(intentFile), []byte(h.Text())); err != nil {
		return fmt.Errorf("log %s: note what is about to be signed: %w", l.dir, err)
	}
	l.intent = h
	return nil
}

// Unsigned reports whether entries wait for [Log.Sign], as after a crash between the
// two.
func (l *Log) Unsigned() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Size() > l.signed.Size || l.signed.Raw == nil && l.intent.Origin != ""
}

// Close closes the files.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.close()
}

func (l *Log) close() error {
	if l.disk == nil {
		return nil
	}
	return l.disk.close()
}
