package publish

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
	"handful/signing/durable"
)

// storage is a [signing.Storage] in two files.
type storage struct {
	entriesPath string
	entries     durable.File
	hashes      durable.File
	ends        []int64 // offset behind each entry
	batch       bool    // Append leaves the syncs to flush
}

func openStorage(fs durable.FS, entries, hashes string) (*storage, error) {
	s := &storage{entriesPath: entries}
	var err error
	// The hashes first: where there are entries, the log has been made completely.
	if s.hashes, err = fs.Create(hashes); err != nil {
		return nil, err
	}
	if s.entries, err = fs.Create(entries); err != nil {
		return nil, errors.Join(err, s.hashes.Close())
	}
	return s, nil
}

func (s *storage) close() error { return errors.Join(s.entries.Close(), s.hashes.Close()) }

// Size implements [signing.Storage].
func (s *storage) Size() int64 { return int64(len(s.ends)) }

// end is the offset behind the first n entries.
func (s *storage) end(n int64) int64 {
	if n == 0 {
		return 0
	}
	return s.ends[n-1]
}

// Entry implements [signing.Storage].
func (s *storage) Entry(index int64) ([]byte, error) {
	from := s.end(index) + 4
	b := make([]byte, s.ends[index]-from)
	if err := readFull(s.entries, b, from); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.entriesPath, err)
	}
	return b, nil
}

// ReadHashes implements [signing.Storage].
func (s *storage) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if err := readFull(s.hashes, out[i][:], index*tlog.HashSize); err != nil {
			return nil, fmt.Errorf("read hash %d: %w", index, err)
		}
	}
	return out, nil
}

// readFull fills p from off on. A ReaderAt may report the end with the last bytes.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// Append implements [signing.Storage]. The hashes come last: an entry without them was
// not appended.
func (s *storage) Append(entry []byte, hashes []tlog.Hash) error {
	at := s.end(s.Size())
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(entry))), entry...)
	if _, err := s.entries.WriteAt(frame, at); err != nil {
		return err
	}
	if err := s.sync(s.entries); err != nil {
		return err
	}
	if err := s.writeHashes(s.Size(), hashes); err != nil {
		return err
	}
	if err := s.sync(s.hashes); err != nil {
		return err
	}
	s.ends = append(s.ends, at+int64(len(frame)))
	return nil
}

func (s *storage) sync(f durable.File) error {
	if s.batch {
		return nil
	}
	return f.Sync()
}

// together runs appends that become durable at once, all or none: after an error what they
// wrote counts as not there, and is to be cut off. A crash leaves a beginning of them, since
// [storage.recover] believes no entry that its hashes do not fit, in whatever order the two
// files reached the disk.
func (s *storage) together(appends func() error) error {
	before := len(s.ends)
	s.batch = true
	err := appends()
	s.batch = false
	if err == nil {
		err = s.entries.Sync()
	}
	if err == nil {
		err = s.hashes.Sync()
	}
	if err != nil {
		s.ends = s.ends[:before]
	}
	return err
}

func (s *storage) writeHashes(index int64, hashes []tlog.Hash) error {
	_, err := s.hashes.WriteAt(flat(hashes), tlog.StoredHashIndex(0, index)*tlog.HashSize)
	return err
}

// recover reads the files from the start. The entries that may have been signed must
// rebuild the tree that was about to be signed; their hashes are rewritten if need be.
// Of those behind, the ones whose append was completed are kept, and what follows is
// cut off.
func (s *storage) recover(signed signing.Head) error {
	s.ends = nil
	size, err := s.entries.Size()
	if err != nil {
		return err
	}
	hashes, err := s.hashes.Size()
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(s.entries, 0, size), 1<<16)
	stored := bufio.NewReaderSize(io.NewSectionReader(s.hashes, 0, hashes), 1<<16)
	var tree subtrees
	rewritten := false
	for s.end(s.Size()) < size {
		entry, err := readFrame(r)
		if err != nil {
			return fmt.Errorf("read %s: %w", s.entriesPath, err)
		}
		if entry == nil {
			break
		}
		want := tree.push(entry)
		got := make([]byte, len(want)*tlog.HashSize)
		if _, err := io.ReadFull(stored, got); err != nil && !atEnd(err) {
			return fmt.Errorf("read the hashes beside %s: %w", s.entriesPath, err)
		} else if err != nil || !bytes.Equal(got, flat(want)) {
			if s.Size() >= signed.Size {
				break
			}
			if err := s.writeHashes(s.Size(), want); err != nil {
				return err
			}
			rewritten = true
		}
		s.ends = append(s.ends, s.end(s.Size())+4+int64(len(entry)))
	}
	if s.Size() < signed.Size && s.end(s.Size()) < size {
		return fmt.Errorf("%s: %w: entry %d cannot be read, although %d were signed; restore the directory from a backup, or move it away and catch up with the network",
			s.entriesPath, ErrDamaged, s.Size(), signed.Size)
	}
	if signed.Size > 0 && s.Size() >= signed.Size {
		root, err := tlog.TreeHash(signed.Size, s)
		if err != nil {
			return err
		}
		if root != signed.Root {
			return fmt.Errorf("%s: %w: its first %d entries are not those that were signed; restore the directory from a backup, or move it away and catch up with the network",
				s.entriesPath, ErrDamaged, signed.Size)
		}
	}
	if rewritten {
		if err := s.hashes.Sync(); err != nil {
			return err
		}
	}
	return s.cut(s.Size())
}

// subtrees are the complete subtrees of the entries so far, largest first.
type subtrees []struct {
	level int
	hash  tlog.Hash
}

// push adds an entry and returns the hashes that it completes, in the order in which
// they are stored: as tlog.StoredHashes does, without reading back any.
func (t *subtrees) push(entry []byte) []tlog.Hash {
	level, h := 0, tlog.RecordHash(entry)
	done := []tlog.Hash{h}
	for n := len(*t); n > 0 && (*t)[n-1].level == level; n = len(*t) {
		h = tlog.NodeHash((*t)[n-1].hash, h)
		*t, level = (*t)[:n-1], level+1
		done = append(done, h)
	}
	*t = append(*t, struct {
		level int
		hash  tlog.Hash
	}{level, h})
	return done
}

func flat(hashes []tlog.Hash) []byte {
	var b []byte
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// readFrame reads one entry; it is nil when none is there in full. A failure to read is
// an error, never an end: what stands behind an end is cut off.
func readFrame(r io.Reader) (entry []byte, err error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, unlessEnd(err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > signing.MaxEntry {
		return nil, nil
	}
	entry = make([]byte, n)
	if _, err := io.ReadFull(r, entry); err != nil {
		return nil, unlessEnd(err)
	}
	return entry, nil
}

func atEnd(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

func unlessEnd(err error) error {
	if atEnd(err) {
		return nil
	}
	return err
}

// cut drops everything behind the first n entries, for good.
func (s *storage) cut(n int64) error {
	for _, c := range []struct {
		f    durable.File
		size int64
	}{{s.entries, s.end(n)}, {s.hashes, tlog.StoredHashCount(n) * tlog.HashSize}} {
		size, err := c.f.Size()
		if err != nil {
			return err
		}
		if size == c.size {
			continue
		}
		if err := c.f.Truncate(c.size); err != nil {
			return err
		}
		if err := c.f.Sync(); err != nil {
			return err
		}
	}
	s.ends = s.ends[:n]
	return nil
}
