package store

import (
	"fmt"
	"io/fs"

	"errors"
)

// survey finds out what is true of the pieces of a staging tree before any is
// read, and how many bytes are still to be written.
func (c *Content) survey() (need int64, err error) {
	files, trusted, err := c.lastClose()
	if err != nil {
		return 0, err
	}
	unknown := newBitmap(c.t.NumPieces())
	for i := range c.t.NumPieces() {
		unknown.set(i, true)
	}
	fits := make([]bool, len(c.t.Files))
	for i := range c.t.Files {
		f := &c.t.Files[i]
		if !c.onDisk(i) {
			fits[i] = true
			continue
		}
		fi, err := c.place.stat(i)
		if errors.Is(err, fs.ErrNotExist) {
			c.absent(unknown, i, 0)
			need += f.Length
			fits[i] = files != nil && files.stamps[i] == noFile
			continue
		}
		if err == nil && !fi.Mode().IsRegular() {
			err = errNotRegular
		}
		if err != nil {
			return 0, diskError("look at", c.place.path(i), err)
		}
		now := stampOf(fi)
		need += max(0, f.Length-allocated(fi))
		fits[i] = files != nil
		if fits[i] {
			continue
		}
		c.dirty[i].Store(true) // nobody knows whether it was ever synced
		c.absent(unknown, i, now.size)
		if allocated(fi) < now.size {
			if err := c.holes(unknown, i, now.size); err != nil {
				return 0, err
			}
		}
	}
	c.cleared.Store(files == nil)
	c.settlePieces(unknown, fits, trusted)
	return need, nil
}

// lastClose is what a proper close left behind, or nil.
func (c *Content) lastClose() (*fileState, *pieces, error) {
	b, err := c.s.get(bucketClean, c.ih)
	if b == nil && !errors.Is(err, ErrCorrupt) {
		return nil, nil, err
	}
	if err == nil {
		files, p, derr := decodeClean(b, len(c.t.Files), c.t.NumPieces())
		if derr == nil {
			return files, p, nil
		}
		err = derr
	}
	c.s.log.Warn("what the last run knew about its pieces cannot be read; they are checked again", "torrent", c.t.Name, "error", err)
	return nil, nil, nil
}

// absent takes the pieces that need bytes of a file from off on out of unknown.
func (c *Content) absent(unknown bitmap, file int, off int64) {
	f := &c.t.Files[file]
	if off >= f.Length {
		return
	}
	for i := (f.Offset + off) / c.t.PieceLength; i <= (f.Offset+f.Length-1)/c.t.PieceLength; i++ {
		unknown.set(int(i), false)
	}
}

// holes takes the pieces that lie in a hole of the file with all their bytes out
// of unknown: they were never written.
func (c *Content) holes(unknown bitmap, file int, size int64) error {
	h, err := c.s.files.get(c, file, false)
	if err != nil {
		return fmt.Errorf("open %s: %w", c.place.path(file), err)
	}
	defer c.s.files.put(h)
	f := &c.t.Files[file]
	next := int64(-1)
	for _, i := range c.piecesOf(file) {
		start := int64(i)*c.t.PieceLength - f.Offset
		end := start + c.t.PieceSize(i)
		if start < 0 || end > min(size, f.Length) {
			continue
		}
		if next < start {
			var ok bool
			if next, ok = dataAt(h.f, start); !ok {
				return nil
			}
		}
		if next >= end {
			unknown.set(i, false)
		}
	}
	return nil
}

// settlePieces believes the last close about pieces all of whose files are as it
// left them, and the files themselves about all others.
func (c *Content) settlePieces(unknown bitmap, fits []bool, trusted *pieces) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pieces
	for i := range c.t.NumPieces() {
		believe := trusted != nil
		for span := range c.t.Spans(i, 0, c.t.PieceLength) {
			believe = believe && fits[span.File]
		}
		if !believe {
			p.known.set(i, !unknown.get(i))
			continue
		}
		p.known.set(i, trusted.known.get(i))
		if !trusted.known.get(i) || !trusted.complete.get(i) {
			continue
		}
		p.complete.set(i, true)
		p.strong.set(i, trusted.strong.get(i))
		p.reused.set(i, true)
		p.missing--
		c.reused += c.payload(i)
	}
}
