package signing

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"handful/manifest/bencode"
)

// Storage keeps a log's entries and the hashes of its tree. It is the caller's; a
// [Log] only appends to it.
type Storage interface {
	// Size returns the number of entries.
	Size() int64
	// Entry returns an entry. The caller does not change it.
	Entry(index int64) ([]byte, error)
	// ReadHashes returns hashes of the tree, numbered as by tlog.StoredHashIndex.
	ReadHashes(indexes []int64) ([]tlog.Hash, error)
	// Append keeps an entry and the hashes that it completes, all or nothing. When it
	// returns without error, they survive a crash.
	Append(entry []byte, hashes []tlog.Hash) error
}

// Memory is a [Storage] that forgets. The zero value is empty.
type Memory struct {
	entries [][]byte
	hashes  []tlog.Hash
}

// Size implements [Storage].
func (m *Memory) Size() int64 { return int64(len(m.entries)) }

// Entry implements [Storage].
func (m *Memory) Entry(index int64) ([]byte, error) { return m.entries[index], nil }

// ReadHashes implements [Storage].
func (m *Memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range indexes {
		out = append(out, m.hashes[i])
	}
	return out, nil
}

// Append implements [Storage].
func (m *Memory) Append(entry []byte, hashes []tlog.Hash) error {
	m.entries = append(m.entries, slices.Clone(entry))
	m.hashes = append(m.hashes, hashes...)
	return nil
}

// Log is a writer's own log: it appends entries, signs heads and makes updates of
// what is signed. It never signs a tree that contradicts the last one it signed or was
// told of. It is not safe for concurrent use.
type Log struct {
	id      ID
	writer  string
	storage Storage
	head    Head // the newest that was signed; Raw is nil when there is none
	root    int64
}

// ErrUnsigned: the log has no signed head yet.
var ErrUnsigned = errors.New("no head has been signed yet")

// NewLog returns the log of a writer over a storage. rootVersion is the version of the
// newest root document, for the updates that the log makes.
func NewLog(id ID, writer string, s Storage, rootVersion int64) (*Log, error) {
	if !ValidWriter(writer) {
		return nil, fmt.Errorf("open log: %.40q is no name of a writer", writer)
	}
	return &Log{id: id, writer: writer, storage: s, root: rootVersion}, nil
}

// Size returns the number of entries, signed or not.
func (l *Log) Size() int64 { return l.storage.Size() }

// Head returns the newest signed head; its Raw is nil when there is none.
func (l *Log) Head() Head { return l.head }

// Entry returns the entry of an index below Size. It must not be changed.
func (l *Log) Entry(index int64) ([]byte, error) {
	if index < 0 || index >= l.Size() {
		return nil, fmt.Errorf("entry %d of writer %q: the log has %d", index, l.writer, l.Size())
	}
	e, err := l.storage.Entry(index)
	if err != nil {
		return nil, fmt.Errorf("entry %d of writer %q: %w", index, l.writer, err)
	}
	return e, nil
}

// Append adds an entry and returns its index. Followers see it under the next head.
func (l *Log) Append(entry []byte) (int64, error) {
	index := l.storage.Size()
	if len(entry) > MaxEntry {
		return 0, fmt.Errorf("append entry %d: %w: %d bytes, but at most %d are possible", index, ErrMalformed, len(entry), MaxEntry)
	}
	if _, err := readPointers(entry); err != nil {
		return 0, fmt.Errorf("append entry %d: %w", index, err)
	}
	hashes, err := tlog.StoredHashes(index, entry, l.storage)
	if err != nil {
		return 0, fmt.Errorf("append entry %d: %w", index, err)
	}
	if err := l.storage.Append(entry, hashes); err != nil {
		return 0, fmt.Errorf("append entry %d: %w", index, err)
	}
	return index, nil
}

// RootAt returns the root hash of the tree of the first size entries.
func (l *Log) RootAt(size int64) ([32]byte, error) {
	if size < 0 || size > l.Size() {
		return [32]byte{}, fmt.Errorf("tree of %d entries: the log of writer %q has %d", size, l.writer, l.Size())
	}
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	h, err := tlog.TreeHash(size, l.storage)
	if err != nil {
		return [32]byte{}, fmt.Errorf("tree of %d entries: %w", size, err)
	}
	return h, nil
}

// Range returns the compact range [a, b) of the log.
func (l *Log) Range(a, b int64) ([][32]byte, error) {
	if a < 0 || a > b || b > l.Size() {
		return nil, fmt.Errorf("range %d to %d: the log of writer %q has %d entries", a, b, l.writer, l.Size())
	}
	var indexes []int64
	for _, level := range levels(a, b) {
		indexes = append(indexes, tlog.StoredHashIndex(level, a>>level))
		a += 1 << level
	}
	if len(indexes) == 0 {
		return nil, nil
	}
	stored, err := l.storage.ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("range of the log of writer %q: %w", l.writer, err)
	}
	var out [][32]byte
	for _, h := range stored {
		out = append(out, h)
	}
	return out, nil
}

// SetHead tells the log of a head that was signed before, so that it is published
// again and never contradicted. The caller has verified it. Its error is an
// [ErrFork] if the log is not what the head was signed over.
func (l *Log) SetHead(h Head) error {
	if h.Origin != Origin(l.id, l.writer) {
		return fmt.Errorf("head of %q: %w", h.Origin, ErrOtherWriter)
	}
	if err := l.covers(h); err != nil {
		return err
	}
	if l.head.Raw == nil || h.Size >= l.head.Size {
		l.head = h
	}
	return nil
}

// covers checks that the tree of a head is a beginning of the log.
func (l *Log) covers(h Head) error {
	if h.Size > l.Size() {
		return fmt.Errorf("a head over %d entries was signed, but the log of writer %q has %d: %w", h.Size, l.writer, l.Size(), ErrFork)
	}
	root, err := l.RootAt(h.Size)
	if err != nil {
		return err
	}
	if root != h.Root {
		return fmt.Errorf("a head over %d other entries than those of the log of writer %q was signed: %w", h.Size, l.writer, ErrFork)
	}
	return nil
}

// SignHead signs a head over all entries, at the time now. Over the same entries the
// same text is signed again, with a newer time. It refuses with [ErrFork] when the log
// no longer continues what was signed before.
func (l *Log) SignHead(key crypto.Signer, now time.Time) ([]byte, error) {
	if l.head.Raw != nil {
		if err := l.covers(l.head); err != nil {
			return nil, fmt.Errorf("sign head: %w", err)
		}
	}
	root, err := l.RootAt(l.Size())
	if err != nil {
		return nil, fmt.Errorf("sign head: %w", err)
	}
	raw, err := SignHead(l.id, l.writer, l.Size(), root, key, now)
	if err != nil {
		return nil, err
	}
	h, err := ParseHead(raw)
	if err != nil {
		return nil, err
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("sign head: an Ed25519 key is expected, not %T", key.Public())
	}
	times, err := h.count([]Witness{{h.Origin, public}})
	if err != nil || len(times) != 1 {
		return nil, fmt.Errorf("sign head: the key made a signature that does not verify: %w", ErrForged)
	}
	h.Time = time.Unix(times[0], 0).UTC()
	l.head = h
	return slices.Clone(raw), nil
}

// UpdateFor makes the update that brings a follower, who has size entries, to the
// signed head, with as many of the newest entries as fit [MaxUpdate].
func (l *Log) UpdateFor(size int64) (Update, error) { return l.UpdateWithin(size, MaxUpdate) }

// UpdateWithin is UpdateFor for a path that carries at most limit bytes. When not even
// one entry fits, the update has the hashes alone; its size may then pass the limit,
// which the caller checks.
func (l *Log) UpdateWithin(size int64, limit int) (Update, error) {
	if l.head.Raw == nil {
		return Update{}, fmt.Errorf("update of writer %q: %w", l.writer, ErrUnsigned)
	}
	if size < 0 || size > l.head.Size {
		return Update{}, fmt.Errorf("update from entry %d: the signed log of writer %q has %d", size, l.writer, l.head.Size)
	}
	u := Update{Head: l.head.Raw, Size: size, Root: l.root}
	return fillUpdate(u, l.head.Size, limit, l.Entry, l.Range)
}

// fillUpdate adds the newest entries that fit to an update of a log with size
// entries, and the range before them. entry returns nil for what is not held.
func fillUpdate(u Update, size int64, limit int, entry func(int64) ([]byte, error), rng func(a, b int64) ([][32]byte, error)) (Update, error) {
	limit = min(limit, MaxUpdate)
	room := limit - len(u.Bytes()) - len("1:ele")
	first := size
	for first > u.Size {
		e, err := entry(first - 1)
		if err != nil {
			return Update{}, err
		}
		if e == nil {
			break
		}
		hashes := 0
		if n := len(levels(u.Size, first-1)); n > 0 {
			hashes = len("1:f") + len(bencode.AppendString(nil, make([]byte, 32*n)))
		}
		room -= len(bencode.AppendString(nil, e))
		if room < hashes {
			break
		}
		u.Entries = append(u.Entries, e)
		first--
	}
	slices.Reverse(u.Entries)
	var err error
	u.Hashes, err = rng(u.Size, first)
	return u, err
}

// Page makes a page of at most count entries from an index on, fewer when they do not
// fit [MaxUpdate], with the proof towards the tree of size entries, which the asker has
// a head of.
func (l *Log) Page(first, count, size int64) (Page, error) {
	if l.head.Raw == nil || size > l.head.Size {
		return Page{}, fmt.Errorf("page of a tree of %d entries: the signed log of writer %q has %d", size, l.writer, l.head.Size)
	}
	return fillPage(first, count, size, l.Entry, l.Range)
}

func fillPage(first, count, size int64, entry func(int64) ([]byte, error), rng func(a, b int64) ([][32]byte, error)) (Page, error) {
	p := Page{First: first, Size: size}
	if first < 0 || first >= size || count < 1 {
		return Page{}, fmt.Errorf("page of %d entries from %d on: the log has %d", count, first, size)
	}
	var err error
	if p.Left, err = rng(0, first); err != nil {
		return Page{}, err
	}
	room := MaxUpdate - maxRange*32 - len(p.Bytes())
	last := first
	for ; last < size && last-first < count; last++ {
		e, err := entry(last)
		if err != nil {
			return Page{}, err
		}
		if room -= len(e) + 8; e == nil || room < 0 && last > first {
			break
		}
		p.Entries = append(p.Entries, e)
	}
	if last == first {
		return Page{}, fmt.Errorf("page from entry %d on: it is not held", first)
	}
	p.Right, err = rng(last, size)
	return p, err
}
