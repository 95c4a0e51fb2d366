package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"handful/manifest"
	sealing "handful/manifest/seal"
)

// sealed is the place of content of a private channel: nowhere. What is read there is
// encrypted out of the files of other content, which belongs to it and is closed with it.
type sealed struct {
	inner *Content
	r     *sealing.Reader
}

var errSealed = errors.New("it is encrypted when it is read")

func (p *sealed) path(int) string                  { return p.inner.where() }
func (p *sealed) stat(int) (os.FileInfo, error)    { return nil, errSealed }
func (p *sealed) open(int, bool) (*os.File, error) { return nil, errSealed }
func (p *sealed) close() {
	if err := p.inner.Close(); err != nil {
		p.inner.s.log.Warn("what sealed content is made of was not closed properly", "path", p.path(0), "error", err)
	}
}

// where is the place of content, for people.
func (c *Content) where() string {
	if p := c.finalPath(); p != "" {
		return p
	}
	for i := range c.t.Files {
		if c.onDisk(i) {
			return c.place.path(i)
		}
	}
	return c.t.Name
}

// ReadFile fills p from off on of a file of the torrent, by its index. It is for those
// who seal content, and reports changes like ReadPiece.
func (c *Content) ReadFile(file int, p []byte, off int64) error {
	c.io.RLock()
	defer c.io.RUnlock()
	if c.phase == closed {
		return &Error{Kind: ErrClosed, Path: c.t.Name}
	}
	if e := c.broken.Load(); e != nil {
		return e
	}
	return c.readFile(file, p, off)
}

// readSealed is readFile for sealed content.
func (c *Content) readSealed(p *sealed, b []byte, off int64) error {
	if n, err := p.r.ReadAt(b, off); n < len(b) {
		return c.sealedFailed(p, err)
	}
	return nil
}

// sealedFailed ends the content if the files behind it were changed.
func (c *Content) sealedFailed(p *sealed, err error) error {
	if errors.Is(err, sealing.ErrChanged) {
		return c.end(&Error{Kind: ErrChanged, Path: p.path(0), Detail: "its bytes are not those that were sealed", Hint: changedHint})
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == ErrChanged {
		return c.end(e)
	}
	return fmt.Errorf("read %s: %w", c.t.Name, err)
}

// SeedSealed serves ciphertext, of which t is the torrent, out of content that is open
// and complete; the new content closes it. r must have been read once, as manifest.BuildStream
// does. Both are remembered; [Store.Load] lists the ciphertext, under the name of the
// plaintext. After an error inner is still the caller's.
func (s *Store) SeedSealed(t *manifest.Torrent, inner *Content, r *sealing.Reader, o SeedOptions) (*Content, error) {
	ih := t.InfoHash()
	if err := s.reserve(ih, t.Name); err != nil {
		return nil, err
	}
	c, err := s.seedSealed(t, inner, r, o)
	return s.settle(ih, c, err)
}

func (s *Store) seedSealed(t *manifest.Torrent, inner *Content, r *sealing.Reader, o SeedOptions) (*Content, error) {
	old, err := s.row(t.InfoHash())
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	w := s.newRow(t, Sealed, "")
	w.Origin, w.Meta = o.Origin, o.Meta
	if old != nil {
		if err := sameTorrent(old, t); err != nil {
			return nil, err
		}
		w.Uploaded = old.Uploaded
	}
	c := s.newContent(t, w)
	if err := c.becomeSealed(inner, r, t.Bytes()); err != nil {
		return nil, err
	}
	c.phase = served
	c.setServed()
	if old != nil && old.Kind == Partial {
		if err := discardStaging(old.Dest, c.ih); err != nil {
			s.log.Warn("an unfinished download of content that is seeded now was left", "error", err)
		}
	}
	return c, nil
}

// becomeSealed records that the content is sealed out of inner, and makes it so. Nobody
// else has the content, or the caller holds io exclusively.
func (c *Content) becomeSealed(inner *Content, r *sealing.Reader, metainfo []byte) error {
	if n := r.Size(); n != c.t.Length() || !c.t.Single() {
		return fmt.Errorf("seal %s: %d bytes of ciphertext for a torrent of %d", c.t.Name, n, c.t.Length())
	}
	state, err := r.State()
	if err != nil {
		return err
	}
	of := inner.Record()
	c.rowMu.Lock()
	defer c.rowMu.Unlock()
	w := c.row
	w.Kind, w.Inner, w.Name, w.Written, w.Dest = Sealed, inner.ih[:], of.Name, of.Written, of.Dest
	if err := c.s.put(c.ih, change{row: &w, metainfo: metainfo, sealed: state, stamps: []byte{}, clean: []byte{}}); err != nil {
		return err
	}
	c.row = w
	c.place, c.stamps = &sealed{inner, r}, nil
	return nil
}

// ServeSealed makes content that was downloaded be sealed out of inner, which has its
// plaintext, from now on, and removes the ciphertext. inner belongs to it then.
// Reads go on meanwhile.
func (c *Content) ServeSealed(inner *Content, r *sealing.Reader) error {
	c.finishMu.Lock()
	defer c.finishMu.Unlock()
	c.io.Lock()
	old, ok := c.place.(*tree)
	if c.phase != served || !ok {
		c.io.Unlock()
		return &Error{Kind: ErrIncomplete, Path: c.t.Name, Detail: "only what was downloaded becomes sealed"}
	}
	err := c.becomeSealed(inner, r, nil)
	if err == nil {
		c.s.files.drop(c)
	}
	c.io.Unlock()
	if err != nil {
		return err
	}
	old.close()
	c.dropCipher(inner.Record().Dest)
	return nil
}

// dropCipher removes what was decrypted into dest, as far as that is left.
func (c *Content) dropCipher(dest string) {
	dir := SealedDir(dest, c.ih)
	err := os.Remove(filepath.Join(dir, c.t.WrittenName()))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.s.log.Warn("the ciphertext of what was decrypted was left", "path", dir, "error", err)
	}
}

// reopenSealed opens sealed content with what is behind it.
func (s *Store) reopenSealed(ctx context.Context, t *manifest.Torrent, w row) (*Content, error) {
	ih := t.InfoHash()
	if len(w.Inner) != len(ih) {
		return nil, s.corruptRecord(bucketRecords, ih, errors.New("sealed, and it is not said out of what"))
	}
	state, err := s.get(bucketSealed, ih)
	if err != nil {
		return nil, err
	}
	inner, err := s.Reopen(ctx, Record{InfoHash: [20]byte(w.Inner), Name: w.Name})
	if err != nil {
		return nil, err
	}
	r, err := sealing.Restore(state, inner.t, inner.ReadFile)
	if err == nil && (r.Size() != t.Length() || inner.phase != served) {
		err = errors.New("it does not fit the torrent")
	}
	if err != nil {
		return nil, errors.Join(s.corruptRecord(bucketSealed, ih, err), inner.Close())
	}
	c := s.newContent(t, w)
	c.place, c.phase = &sealed{inner, r}, served
	c.setServed()
	if w.Dest != "" {
		c.dropCipher(w.Dest)
	}
	return c, nil
}

// SealedOf is the record of the content that is sealed out of a torrent of plaintext.
func (s *Store) SealedOf(inner [20]byte) (Record, bool, error) {
	records, err := s.Load()
	for _, r := range records {
		if r.Kind == Sealed && r.Inner == inner {
			return r, true, nil
		}
	}
	return Record{}, false, err
}

// Record returns what the store remembers of a torrent; false when there is nothing.
func (s *Store) Record(infohash [20]byte) (Record, bool, error) {
	w, err := s.row(infohash)
	if w == nil || err != nil {
		return Record{}, false, err
	}
	return w.record(infohash), true, nil
}

// SealedDir is where the ciphertext of what is fetched into dest is kept until it is
// decrypted.
func SealedDir(dest string, infohash [20]byte) string {
	return filepath.Join(dest, fmt.Sprintf(".handful-%x.sealed", infohash[:8]))
}
