package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"handful/manifest"
)

// SeedOptions of content that is seeded in place.
type SeedOptions struct {
	Origin bool
	Meta   []byte // the caller's, kept in the Record
	Hidden bool   // Load does not list it: other content is sealed out of it
}

// Seed serves files where they are, complete as they were hashed, and remembers
// them. src has an entry for each of t.Files. Errors match ErrChanged when
// a file no longer is what was hashed, and ErrElsewhere or ErrOpen.
func (s *Store) Seed(t *manifest.Torrent, src []manifest.Source, o SeedOptions) (*Content, error) {
	if len(src) != len(t.Files) {
		return nil, fmt.Errorf("seed %s: %d sources for %d files", t.Name, len(src), len(t.Files))
	}
	ih := t.InfoHash()
	if err := s.reserve(ih, t.Name); err != nil {
		return nil, err
	}
	c, err := s.seed(t, src, o)
	return s.settle(ih, c, err)
}

func (s *Store) seed(t *manifest.Torrent, src []manifest.Source, o SeedOptions) (*Content, error) {
	ih := t.InfoHash()
	old, err := s.row(ih)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	if old != nil {
		if err := sameTorrent(old, t); err != nil {
			return nil, err
		}
	}
	w := s.newRow(t, InPlace, "")
	w.Origin, w.Meta, w.Hidden = o.Origin, o.Meta, o.Hidden
	if old != nil {
		w.Uploaded = old.Uploaded
	}
	c := s.newContent(t, w)
	files := &fileState{stamps: make([]stamp, len(src)), paths: make([]string, len(src))}
	for i, f := range src {
		if !c.onDisk(i) {
			files.stamps[i] = noFile
			continue
		}
		if files.paths[i], err = filepath.Abs(f.Path); err != nil {
			return nil, err
		}
		files.stamps[i] = stamp{size: f.Size, mtime: f.ModTime.UnixNano(), inode: f.Inode}
	}
	c.place, c.stamps, c.phase = sources{files.paths}, files.stamps, served
	for i := range src {
		now, detail, err := c.look(i)
		if err != nil {
			return nil, err
		}
		if detail == "" && !files.stamps[i].same(now) {
			detail = files.stamps[i].differs(now)
		}
		if detail != "" {
			return nil, c.change(i, detail, nil)
		}
		files.stamps[i] = now
	}
	c.setServed()
	err = s.put(ih, change{row: &c.row, metainfo: t.Bytes(), stamps: files.encode(), clean: []byte{}})
	if err != nil {
		return nil, err
	}
	if old != nil && old.Kind == Partial {
		if err := discardStaging(old.Dest, ih); err != nil {
			s.log.Warn("an unfinished download of content that is seeded now was left", "error", err)
		}
	}
	return c, nil
}

// look takes the stamp of a file where it is. detail says in words why there is
// none although nothing failed. Files without a place have noFile.
func (c *Content) look(i int) (now stamp, detail string, err error) {
	if !c.onDisk(i) {
		return noFile, "", nil
	}
	fi, err := c.place.stat(i)
	switch {
	case errors.Is(err, fs.ErrNotExist) || isNotDir(err):
		return noFile, "it is gone", nil
	case errors.Is(err, fs.ErrPermission):
		return noFile, "it may no longer be read", nil
	case err != nil:
		return noFile, "", fmt.Errorf("stat %s: %w", c.place.path(i), err)
	case !fi.Mode().IsRegular():
		return noFile, "it is no file", nil
	}
	return stampOf(fi), "", nil
}

// setServed marks everything complete and reused: nothing of it is fetched.
func (c *Content) setServed() {
	c.pieces.setAll(c.t.NumPieces())
	c.reused = c.t.Length()
	c.cleared.Store(true)
}

func (s *Store) newRow(t *manifest.Torrent, k Kind, dest string) row {
	sum := t.InfoSum()
	return row{Version: 1, Kind: k, InfoSum: sum[:], Name: t.Name, Written: t.WrittenName(), Dest: dest, Length: t.Length(),
		Layers: len(t.MissingLayers())}
}

// sameTorrent refuses a record of another torrent with the same infohash, which
// only a broken SHA-1 makes possible.
func sameTorrent(w *row, t *manifest.Torrent) error {
	if sum := t.InfoSum(); string(w.InfoSum) != string(sum[:]) {
		return &Error{Kind: ErrElsewhere, Path: w.Name, Detail: "another torrent with the same SHA-1 infohash is in this store: somebody made a collision",
			Hint: "withdraw that torrent first if you trust this one"}
	}
	return nil
}

// Reopen opens what Load listed: complete content is compared with its stamps, and
// files that do not fit are hashed again; a download goes on. Errors match
// ErrChanged when a file is no longer what was hashed; the record is kept then.
func (s *Store) Reopen(ctx context.Context, r Record) (*Content, error) {
	if err := s.reserve(r.InfoHash, r.Name); err != nil {
		return nil, err
	}
	c, err := s.reopen(ctx, r.InfoHash)
	return s.settle(r.InfoHash, c, err)
}

func (s *Store) reopen(ctx context.Context, ih [20]byte) (*Content, error) {
	w, err := s.row(ih)
	if err != nil {
		return nil, err
	}
	t, err := s.Torrent(ih)
	if err != nil {
		return nil, err
	}
	if t.InfoHash() != ih || w == nil || string(w.InfoSum) != string(sum(t)) {
		return nil, s.corruptRecord(bucketMetainfo, ih, errors.New("it is the metainfo of another torrent"))
	}
	if w.Kind == Partial {
		if _, err := os.Stat(w.Dest); errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{Kind: ErrNotFound, Path: w.Dest, Detail: "the destination of an unfinished download is gone", Err: err,
				Hint: "mount it again, or fetch anew"}
		}
		return s.download(ctx, t, w.Dest, DownloadOptions{Force: w.Force})
	}
	return s.reopenServed(ctx, t, *w)
}

func sum(t *manifest.Torrent) []byte { s := t.InfoSum(); return s[:] }

// reopenServed opens complete content in its source or final place.
func (s *Store) reopenServed(ctx context.Context, t *manifest.Torrent, w row) (*Content, error) {
	if w.Kind == Sealed {
		return s.reopenSealed(ctx, t, w)
	}
	c := s.newContent(t, w)
	b, err := s.get(bucketStamps, c.ih)
	if err != nil {
		return nil, err
	}
	files, err := decodeFiles(&cursor{b: b}, len(t.Files))
	if err == nil && (w.Kind == InPlace) != (files.paths != nil) {
		err = errors.New("paths where none belong, or none where they do")
	}
	if err != nil {
		return nil, s.corruptRecord(bucketStamps, c.ih, err)
	}
	if w.Kind == InPlace {
		c.place = sources{files.paths}
	} else {
		p := &tree{t: t, dest: w.Dest, prefix: t.WrittenName()}
		if err := p.hold(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, diskError("open", w.Dest, err)
		}
		defer p.close()
		c.place = p
	}
	c.stamps, c.phase = files.stamps, served
	if err := c.compare(ctx, files); err != nil {
		s.files.drop(c)
		return nil, err
	}
	c.setServed()
	return c, nil
}

// compare looks at every file. One whose stamp differs is hashed again, and keeps
// its place with the new stamp if its bytes are the same.
func (c *Content) compare(ctx context.Context, files *fileState) error {
	var touched []int
	for i := range files.stamps {
		now, detail, err := c.look(i)
		if err != nil {
			return err
		}
		was := files.stamps[i]
		if detail == "" && was.size != now.size {
			detail = was.differs(now)
		}
		if detail != "" {
			return c.change(i, detail, nil)
		}
		if !was.same(now) {
			files.stamps[i] = now
			touched = append(touched, i)
		}
	}
	if len(touched) == 0 {
		return nil
	}
	var list []int
	seen := newBitmap(c.t.NumPieces())
	for _, f := range touched {
		for _, i := range c.piecesOf(f) {
			if !seen.get(i) {
				seen.set(i, true)
				list = append(list, i)
			}
		}
	}
	err := c.vouch(ctx, list, nil)
	if b, ok := errors.AsType[*badFile](err); ok {
		return c.change(b.file, "its bytes are not those that were hashed", nil)
	}
	if err != nil {
		return err
	}
	return c.s.put(c.ih, change{stamps: files.encode()})
}

// CheckSources compares the stamp of every file of served content with what is
// at its path now, and so also finds what no reader has come across. It reports
// like a read does: with an error matching ErrChanged, and through Changed.
func (c *Content) CheckSources(ctx context.Context) error {
	c.io.RLock()
	defer c.io.RUnlock()
	if c.phase != served {
		return nil
	}
	if e := c.broken.Load(); e != nil {
		return e
	}
	if p, ok := c.place.(*sealed); ok {
		if err := p.inner.CheckSources(ctx); err != nil {
			return c.sealedFailed(p, err)
		}
		return nil
	}
	for i, was := range c.stamps {
		if err := ctx.Err(); err != nil {
			return err
		}
		now, detail, err := c.look(i)
		if err != nil {
			return err
		}
		if detail == "" && !was.same(now) {
			detail = was.differs(now)
		}
		if detail != "" {
			return c.change(i, detail, nil)
		}
	}
	return nil
}

// Close gives the content's files free. A download's bytes are synced first and
// what is known about its pieces is written down, so that the next run need not
// hash them.
func (c *Content) Close() error {
	c.finishMu.Lock()
	defer c.finishMu.Unlock()
	c.io.Lock()
	defer c.io.Unlock()
	if c.phase == closed {
		return nil
	}
	c.s.files.drop(c)
	var err error
	if c.phase == growing {
		err = c.closeGrowing()
	} else {
		err = c.saveRow(nil)
	}
	c.shut()
	return err
}

// abandon is Close without writing anything down.
func (c *Content) abandon() {
	c.finishMu.Lock()
	defer c.finishMu.Unlock()
	c.io.Lock()
	defer c.io.Unlock()
	if c.phase != closed {
		c.s.files.drop(c)
		c.shut()
	}
}

// shut is the end of a content; io is held exclusively and its files are closed.
func (c *Content) shut() {
	if c.phase == served {
		c.place.close()
	}
	c.phase = closed
	if c.staging != nil {
		c.staging.close()
		c.staging = nil
	}
	c.s.unlist(c)
}

func (c *Content) closeGrowing() error {
	err := c.sync(context.Background())
	c.s.files.drop(c)
	if err != nil {
		return err
	}
	files := &fileState{stamps: make([]stamp, len(c.t.Files))}
	for i := range files.stamps {
		now, _, err := c.look(i)
		if err != nil {
			return err
		}
		files.stamps[i] = now
	}
	c.mu.Lock()
	b := encodeClean(files, c.pieces)
	c.mu.Unlock()
	return c.saveRow(b)
}

// saveRow stores the record, with the layers and the upload that were added since
// it was stored last, and the state of a download when clean is not nil.
func (c *Content) saveRow(clean []byte) error {
	c.rowMu.Lock()
	defer c.rowMu.Unlock()
	w := c.row
	n := c.uploaded.Load()
	w.Uploaded += n
	w.Layers = len(c.t.MissingLayers())
	ch := change{row: &w, clean: clean}
	if w.Layers != c.row.Layers {
		ch.metainfo = c.t.Bytes()
	}
	if n == 0 && ch.metainfo == nil && clean == nil {
		return nil
	}
	if err := c.s.put(c.ih, ch); err != nil {
		return err
	}
	c.row = w
	c.uploaded.Add(-n)
	return nil
}
