package publish

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

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
	if err := s.entries.Sync(); err != nil {
		return err
	}
	if err := s.writeHashes(s.Size(), hashes); err != nil {
		return err
	}
	if err := s.hashes.Sync(); err != nil {
		return err
	}
	s.ends = append(s.ends, at+int64(len(frame)))
	return nil
}

func (s *storage) writeHashes(index int64, hashes []tlog.Hash) error {
	var flat []byte
	for _, h := range hashes {
		flat = append(flat, h[:]...)
	}
	_, err := s.hashes.WriteAt(flat, tlog.StoredHashIndex(0, index)*tlog.HashSize)
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
	r := bufio.NewReaderSize(io.NewSectionReader(s.entries, 0, size), 1<<16)
	rewritten := false
	for s.end(s.Size()) < size {
		entry, ok := readFrame(r)
		if !ok {
			break
		}
		changed, err := s.rehash(entry, s.Size() < signed.Size)
		if err != nil {
			return err
		}
		if changed && s.Size() >= signed.Size {
			break
		}
		rewritten = rewritten || changed
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

// rehash compares the hashes of the next entry with those on disk. changed: they
// differ, and were written if write is set.
func (s *storage) rehash(entry []byte, write bool) (changed bool, err error) {
	index := s.Size()
	want, err := tlog.StoredHashes(index, entry, s)
	if err != nil {
		return false, err
	}
	var indexes []int64
	for i := range want {
		indexes = append(indexes, tlog.StoredHashIndex(0, index)+int64(i))
	}
	got, err := s.ReadHashes(indexes)
	if err == nil && slices.Equal(got, want) {
		return false, nil
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	if !write {
		return true, nil
	}
	return true, s.writeHashes(index, want)
}

// readFrame reads one entry; ok is false when none is there in full.
func readFrame(r io.Reader) (entry []byte, ok bool) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, false
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > signing.MaxEntry {
		return nil, false
	}
	entry = make([]byte, n)
	_, err := io.ReadFull(r, entry)
	return entry, err == nil
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
