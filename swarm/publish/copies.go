package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
	"handful/signing/durable"
)

// Copy is another writer's log, whole, up to a head of that writer: what a mirror, a bundle
// and followers are given of it. It can be had again from the network, so nothing of it
// guards what anybody signs. Safe for concurrent use.
//
//	DIR/WRITER/entries, hashes   as in a log of one's own ([Log])
//	DIR/WRITER/head              the newest head of which all entries are there
type Copy struct {
	id     signing.ID
	writer string
	dir    string
	fs     durable.FS

	mu    sync.Mutex
	disk  *storage
	log   *signing.Log
	again bool // it was cut because it did not lead to the newest head
}

// openCopy opens a copy, or makes it, and drops what a crash left half written.
func openCopy(dir string, id signing.ID, writer string) (*Copy, error) {
	c := &Copy{id: id, writer: writer, dir: filepath.Join(dir, writer), fs: durable.OS{}}
	err := c.fs.MkdirAll(c.dir)
	if err == nil {
		c.disk, err = openStorage(c.fs, filepath.Join(c.dir, entriesFile), filepath.Join(c.dir, hashesFile))
	}
	if err == nil {
		if err = c.disk.recover(signing.Head{}); err == nil {
			err = c.reset()
		}
		if err != nil {
			err = errors.Join(err, c.disk.close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("copy of the log of writer %q in %s: %w", writer, c.dir, err)
	}
	raw, err := durable.ReadFile(c.fs, filepath.Join(c.dir, headFile), signing.MaxHead)
	if err != nil {
		return c, nil // what is not there comes again
	}
	if h, err := signing.ParseHead(raw); err == nil && h.Origin == signing.Origin(id, writer) {
		c.show(h)
	}
	return c, nil
}

// reset begins a log over what is on disk, with no head. The caller holds mu, or is alone.
func (c *Copy) reset() (err error) {
	c.log, err = signing.NewLog(c.id, c.writer, c.disk, 0)
	return err
}

// show serves the log up to a head, if that is over a beginning of it. The caller holds mu,
// or is alone.
func (c *Copy) show(h signing.Head) bool { return c.log.SetHead(h) == nil }

// take brings the copy to a verified head as far as entries, which are verified and begin at
// the index first, allow. kept is where the newest base took the log back to, which is tried
// first when the copy turns out to be of another history. It returns from where on entries
// are missing; -1: none are.
func (c *Copy) take(h signing.Head, kept, first int64, entries [][]byte) (missing int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fit(h, kept); err != nil {
		return 0, err
	}
	for c.log.Size() < h.Size {
		at := c.log.Size() - first
		if at < 0 || at >= int64(len(entries)) {
			return c.log.Size(), nil
		}
		if _, err := c.log.Append(entries[at]); err != nil {
			return 0, err
		}
	}
	if held := c.log.Head(); string(held.Raw) == string(h.Raw) {
		return -1, nil
	}
	if !c.show(h) {
		err := c.back(kept)
		return c.log.Size(), err
	}
	c.again = false
	return -1, durable.WriteFile(c.fs, filepath.Join(c.dir, headFile), h.Raw)
}

// fit drops what is not of the head's history, as far as that can be told.
func (c *Copy) fit(h signing.Head, kept int64) error {
	if c.log.Size() < h.Size {
		return nil
	}
	root, err := c.log.RootAt(h.Size)
	switch {
	case err != nil:
		return err
	case root != h.Root:
		return c.back(kept)
	case c.log.Size() > h.Size:
		return c.cut(h.Size)
	}
	return nil
}

// back goes back to the newest base, and if that does not help to the beginning.
func (c *Copy) back(kept int64) error {
	if c.again || kept >= c.log.Size() {
		kept = 0
	}
	c.again = true
	return c.cut(kept)
}

func (c *Copy) cut(size int64) error {
	if err := c.disk.cut(size); err != nil {
		return err
	}
	return c.reset()
}

// takePage takes the entries of a page towards a verified head.
func (c *Copy) takePage(h signing.Head, kept int64, p signing.Page) (missing int64, err error) {
	if err := p.Verify(h); err != nil {
		return 0, err
	}
	return c.take(h, kept, p.First, p.Entries)
}

// close closes the files.
func (c *Copy) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disk.close()
}

// Writer returns whose log it is.
func (c *Copy) Writer() string { return c.writer }

// Head returns the head up to which the log is there; its Raw is nil when there is none, and
// its Time is not set after a restart.
func (c *Copy) Head() signing.Head {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Head()
}

// Entry returns an entry.
func (c *Copy) Entry(index int64) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Entry(index)
}

// UpdateWithin makes an update of at most limit bytes; see [signing.Log.UpdateWithin].
func (c *Copy) UpdateWithin(size int64, limit int) (signing.Update, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.UpdateWithin(size, limit)
}

// ReadHashes returns hashes of the tree, numbered as by tlog.StoredHashIndex.
func (c *Copy) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.disk.ReadHashes(indexes)
}

// Page makes a page of entries; see [signing.Log.Page].
func (c *Copy) Page(first, count, size int64) (signing.Page, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Page(first, count, size)
}

// Range returns the compact range [0, size).
func (c *Copy) Range(size int64) ([][32]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if size > c.log.Head().Size {
		return nil, fmt.Errorf("copy of the log of writer %q: range of %d entries: it has %d", c.writer, size, c.log.Head().Size)
	}
	return c.log.Range(0, size)
}

// OpenCopies opens the copies in a directory, while no publisher has it open. The caller
// closes them.
func OpenCopies(dir string, id signing.ID) (all Copies, err error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("copies of logs: %w", err)
	}
	for _, n := range names {
		if !n.IsDir() || !signing.ValidWriter(n.Name()) {
			continue
		}
		c, err := openCopy(dir, id, n.Name())
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, c)
	}
	return all, nil
}

// Copies are the logs of several writers.
type Copies []*Copy

// Close closes all.
func (c Copies) Close() (err error) {
	for _, one := range c {
		err = errors.Join(err, one.close())
	}
	return err
}

// shelf holds the copies of a running publisher.
type shelf struct {
	dir string // "" keeps none
	id  signing.ID

	mu  sync.Mutex
	all map[string]*Copy
}

// get returns the copy of a writer, made if it is not there; nil when none is kept.
func (s *shelf) get(writer string) (*Copy, error) {
	if s.dir == "" {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.all[writer]; c != nil {
		return c, nil
	}
	c, err := openCopy(s.dir, s.id, writer)
	if err != nil {
		return nil, err
	}
	s.all[writer] = c
	return c, nil
}

// peek returns the copy of a writer that can be served, or nil.
func (s *shelf) peek(writer string) *Copy {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.all[writer]
	if c == nil || c.Head().Raw == nil {
		return nil
	}
	return c
}

func (s *shelf) list() (all Copies) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Copy) int { return strings.Compare(a.writer, b.writer) })
	return all
}

func (s *shelf) close() error { return s.list().Close() }
