package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"handful/manifest"
)

// phase is what may be done with a content.
type phase int

const (
	growing   phase = iota // in staging: read and written
	finishing              // in staging: read
	served                 // in source or final place: read, stamps compared
	closed
)

// Content is the bytes of one torrent in one place. All methods are safe for use
// by several goroutines.
type Content struct {
	s     *Store
	t     *manifest.Torrent
	ih    [20]byte
	dest  string // the directory that holds Name or will; empty in place
	force bool   // what is at the destination may be replaced

	// io is held shared over every read and write of the content's files, and
	// exclusively by whoever changes what stands below.
	io     sync.RWMutex
	phase  phase
	place  place
	stamps []stamp // of each file when it was hashed; served only

	// lenient content is only looked at: a file that changed fails its reads and
	// no others.
	lenient bool

	mu     sync.Mutex // guards what follows
	pieces *pieces
	reused int64 // payload bytes of pieces.reused

	dirty []atomic.Bool // files written since they were last synced

	writing stripes // held shared over a write to a piece, exclusively by adopt; between io and mu

	broken  atomic.Pointer[Error] // why reads fail for good
	changes chan error            // receives broken once

	rowMu    sync.Mutex // guards row and the record on disk
	row      row
	cleared  atomic.Bool // no bitmap of an earlier run is on disk
	uploaded atomic.Int64

	finishMu sync.Mutex // one Finish or Close at a time
	staging  *staging   // of a download until it is recorded as finished; guarded by finishMu
}

func (s *Store) newContent(t *manifest.Torrent, w row) *Content {
	return &Content{s: s, t: t, ih: t.InfoHash(), dest: w.Dest, force: w.Force, row: w, pieces: newPieces(t.NumPieces()),
		dirty: make([]atomic.Bool, len(t.Files)), changes: make(chan error, 1)}
}

// Torrent is what the content is of. Layers that are added to it are kept.
func (c *Content) Torrent() *manifest.Torrent { return c.t }

// Record is what the store remembers about the content at this moment.
func (c *Content) Record() Record {
	c.rowMu.Lock()
	defer c.rowMu.Unlock()
	r := c.row.record(c.ih)
	r.Uploaded += c.uploaded.Load()
	return r
}

// Annotate durably stores whether this node is the content's origin, and a small
// value of the caller's.
func (c *Content) Annotate(origin bool, meta []byte) error {
	c.rowMu.Lock()
	defer c.rowMu.Unlock()
	w := c.row
	w.Origin, w.Meta = origin, meta
	if err := c.s.put(c.ih, change{row: &w}); err != nil {
		return err
	}
	c.row = w
	return nil
}

// AddUploaded counts bytes sent to others. The sum becomes durable when the
// content is finished or closed.
func (c *Content) AddUploaded(n int64) { c.uploaded.Add(n) }

// Changed delivers one error, matching ErrChanged and naming the file, when
// content that is served no longer is what was hashed. All reads fail from then on.
func (c *Content) Changed() <-chan error { return c.changes }

// State tells whether a piece is complete, and whether that is known; when it is
// not, Verify and SetComplete settle it.
func (c *Content) State(piece int) (complete, known bool) {
	if piece < 0 || piece >= c.t.NumPieces() {
		return false, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pieces.complete.get(piece), c.pieces.known.get(piece)
}

// Complete tells whether every piece is.
func (c *Content) Complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pieces.missing == 0
}

// Reused is the number of payload bytes that were found valid and have not been
// written through WritePiece in this run. It grows as unknown pieces are settled.
func (c *Content) Reused() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reused
}

// SetComplete settles a piece. It is kept in memory; Close makes it durable.
func (c *Content) SetComplete(piece int, complete bool) error {
	_, err := c.Settle(piece, complete)
	return err
}

// Settle is SetComplete, and tells whether the piece was not so before: of several
// goroutines that complete a piece, one is told so.
func (c *Content) Settle(piece int, complete bool) (changed bool, err error) {
	if err := c.checkPiece(piece); err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pieces
	if was := p.complete.get(piece); was != complete {
		changed = true
		if complete {
			p.missing--
		} else {
			p.missing++
		}
	}
	p.complete.set(piece, complete)
	p.known.set(piece, true)
	if !complete {
		p.strong.set(piece, false)
	}
	if reused := complete && !p.written.get(piece); reused != p.reused.get(piece) {
		p.reused.set(piece, reused)
		if reused {
			c.reused += c.payload(piece)
		} else {
			c.reused -= c.payload(piece)
		}
	}
	return changed, nil
}

// payload is the number of bytes of a piece that are no pads.
func (c *Content) payload(piece int) (n int64) {
	for span := range c.t.Spans(piece, 0, c.t.PieceLength) {
		if !c.t.Files[span.File].Pad {
			n += span.Length
		}
	}
	return n
}

func (c *Content) checkPiece(piece int) error {
	if piece < 0 || piece >= c.t.NumPieces() {
		return &Error{Kind: ErrOutOfRange, Path: c.t.Name, Detail: fmt.Sprintf("piece %d of %d", piece, c.t.NumPieces())}
	}
	return nil
}

func (c *Content) checkRange(piece int, off int64) error {
	if err := c.checkPiece(piece); err != nil {
		return err
	}
	if off < 0 || off > c.t.PieceSize(piece) {
		return &Error{Kind: ErrOutOfRange, Path: c.t.Name, Detail: fmt.Sprintf("offset %d of piece %d", off, piece)}
	}
	return nil
}

// ReadPiece reads from off on of a piece, like io.ReaderAt: fewer bytes than
// len(p) come with an error, io.EOF at the end of the piece (Torrent.PieceSize).
// Bytes that were never written are an error too, or zeros.
func (c *Content) ReadPiece(p []byte, piece int, off int64) (int, error) {
	if err := c.checkRange(piece, off); err != nil {
		return 0, err
	}
	c.io.RLock()
	defer c.io.RUnlock()
	if c.phase == closed {
		return 0, &Error{Kind: ErrClosed, Path: c.t.Name}
	}
	return c.read(p, piece, off)
}

// read is ReadPiece for those who hold io.
func (c *Content) read(p []byte, piece int, off int64) (n int, err error) {
	if e := c.broken.Load(); e != nil {
		return 0, e
	}
	want := min(int64(len(p)), c.t.PieceSize(piece)-off)
	for span := range c.t.Spans(piece, off, want) {
		b := p[n : n+int(span.Length)]
		if c.t.Files[span.File].Pad {
			clear(b)
		} else if err := c.readFile(span.File, b, span.Offset); err != nil {
			return n, err
		}
		n += len(b)
	}
	if int64(n) < want {
		return n, fmt.Errorf("read %s: piece %d: %w", c.t.Name, piece, io.ErrUnexpectedEOF)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readFile fills b from a file. What is served is compared with its stamp after
// the read, so that bytes which passed were there before any later change.
func (c *Content) readFile(file int, b []byte, off int64) error {
	if p, ok := c.place.(*sealed); ok {
		return c.readSealed(p, b, off)
	}
	h, err := c.s.files.get(c, file, false)
	if err != nil {
		return c.openFailed(file, err)
	}
	defer c.s.files.put(h)
	_, err = h.f.ReadAt(b, off)
	if c.phase == served {
		now, gone, serr := statHandle(h.f, h.fd)
		switch was := c.stamps[file]; {
		case serr != nil:
			return serr
		case !was.same(now):
			return c.change(file, was.differs(now), nil)
		case gone:
			if err := c.lookAgain(file); err != nil {
				return err
			}
		}
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("read %s at %d: %w", c.place.path(file), off, err)
	}
	return nil
}

// lookAgain is for an open file that no name seems to lead to. Some file systems
// say so of every file.
func (c *Content) lookAgain(file int) error {
	now, detail, err := c.look(file)
	if err == nil && detail == "" && c.stamps[file].same(now) {
		return nil
	}
	return c.change(file, "it was removed or replaced after it was hashed", err)
}

// openFailed tells a file that is no longer there from a failure to open it.
func (c *Content) openFailed(file int, err error) error {
	if c.phase == served {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return c.change(file, "it is gone", err)
		case errors.Is(err, errNotRegular):
			return c.change(file, "it is no file", err)
		case errors.Is(err, fs.ErrPermission):
			return c.change(file, "it may no longer be read", err)
		}
	}
	return fmt.Errorf("open %s: %w", c.place.path(file), err)
}

const changedHint = "publish it again: what is there now is other content"

// change makes the first such report the end of the content.
func (c *Content) change(file int, detail string, err error) error {
	return c.end(&Error{Kind: ErrChanged, Path: c.place.path(file), Detail: detail, Hint: changedHint, Err: err})
}

func (c *Content) end(e *Error) error {
	if !c.lenient && c.broken.CompareAndSwap(nil, e) {
		c.changes <- e
	}
	return e
}

// WritePiece writes from off on of a piece, like io.WriterAt. Pads are dropped,
// and so is everything for a piece that is complete. Errors match ErrDiskFull or
// ErrPermission where these are the reason, and ErrReadOnly once the content is
// finished.
func (c *Content) WritePiece(p []byte, piece int, off int64) (int, error) {
	if err := c.checkRange(piece, off); err != nil {
		return 0, err
	}
	if off+int64(len(p)) > c.t.PieceSize(piece) {
		return 0, &Error{Kind: ErrOutOfRange, Path: c.t.Name, Detail: fmt.Sprintf("%d bytes at %d of piece %d", len(p), off, piece)}
	}
	c.io.RLock()
	defer c.io.RUnlock()
	if err := c.writable(piece); err != nil {
		return 0, err
	}
	if err := c.withdrawClean(); err != nil {
		return 0, err
	}
	lock := c.writing.of(piece)
	lock.RLock()
	defer lock.RUnlock()
	c.mu.Lock()
	if c.pieces.complete.get(piece) {
		c.mu.Unlock()
		return len(p), nil
	}
	c.pieces.written.set(piece, true)
	c.pieces.strong.set(piece, false)
	c.mu.Unlock()
	return c.write(p, piece, off)
}

// writable tells whether bytes of a piece may be written. The caller holds io.
func (c *Content) writable(piece int) error {
	switch c.phase {
	case growing:
		return nil
	case closed:
		return &Error{Kind: ErrClosed, Path: c.t.Name}
	}
	return &Error{Kind: ErrReadOnly, Path: c.t.Name, Detail: fmt.Sprintf("write of piece %d", piece)}
}

// stripes are locks of pieces; some pieces share one.
type stripes [16]sync.RWMutex

func (s *stripes) of(piece int) *sync.RWMutex { return &s[piece%len(s)] }

// write is the part of WritePiece that touches files.
func (c *Content) write(p []byte, piece int, off int64) (n int, err error) {
	for span := range c.t.Spans(piece, off, int64(len(p))) {
		b := p[n : n+int(span.Length)]
		if !c.t.Files[span.File].Pad {
			if err := c.writeFile(span.File, b, span.Offset); err != nil {
				return n, err
			}
		}
		n += len(b)
	}
	return n, nil
}

func (c *Content) writeFile(file int, b []byte, off int64) error {
	h, err := c.s.files.get(c, file, true)
	if err != nil {
		return diskError("create", c.place.path(file), err)
	}
	defer c.s.files.put(h)
	if !c.dirty[file].Load() {
		c.dirty[file].Store(true)
	}
	if _, err := h.f.WriteAt(b, off); err != nil {
		return diskError("write", c.place.path(file), err)
	}
	return nil
}

// openFile is called by the cache, on behalf of someone who holds io.
func (c *Content) openFile(file int, create bool) (*os.File, error) {
	return c.place.open(file, create)
}

// Verify reads a piece from disk and checks it. What is not there is Bad. A piece
// of served content that is Bad ends the content as changed. The error of a piece
// that fits its SHA-1 and not its SHA-256 matches ErrMismatch: it came as it was
// asked for, and the torrent can never be complete.
func (c *Content) Verify(piece int) (manifest.Verdict, error) {
	if err := c.checkPiece(piece); err != nil {
		return manifest.Bad, err
	}
	c.io.RLock()
	defer c.io.RUnlock()
	if c.phase == closed {
		return manifest.Bad, &Error{Kind: ErrClosed, Path: c.t.Name}
	}
	v, err := c.verify(context.Background(), piece)
	if err == nil && v == manifest.Bad && c.phase == served && (c.t.HasV1() || c.t.CanCheck(piece)) {
		return v, c.change(c.fileOf(piece), fmt.Sprintf("piece %d has other bytes than when it was hashed", piece), nil)
	}
	return v, err
}

// verify is Verify for those who hold io; it says nothing about changes by hash.
func (c *Content) verify(ctx context.Context, piece int) (manifest.Verdict, error) {
	buf, free, err := c.s.buffer(ctx, c.t.PieceSize(piece))
	if err != nil {
		return manifest.Bad, err
	}
	defer free()
	_, err = c.read(buf, piece, 0)
	if c.phase != served && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF)) {
		return manifest.Bad, nil
	}
	if err != nil {
		return manifest.Bad, err
	}
	v := c.t.Check(piece, buf)
	if v == manifest.Bad && c.phase != served && c.t.Contradicts(piece, buf) {
		return v, c.mismatch(c.fileOf(piece))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pieces.strong.set(piece, v == manifest.Good)
	return v, nil
}

// fileOf is the first file with bytes in the piece.
func (c *Content) fileOf(piece int) int {
	for span := range c.t.Spans(piece, 0, c.t.PieceLength) {
		if !c.t.Files[span.File].Pad {
			return span.File
		}
	}
	return 0
}

// buffer lends memory for n bytes, within the bound of all verifications.
func (s *Store) buffer(ctx context.Context, n int64) (b []byte, free func(), err error) {
	weight := min(n, verifyMemory)
	if err := s.memory.Acquire(ctx, weight); err != nil {
		return nil, nil, err
	}
	v, _ := s.buffers.Get().(*[]byte)
	if v == nil || int64(cap(*v)) < n {
		fresh := make([]byte, n)
		v = &fresh
	}
	return (*v)[:n], func() {
		s.buffers.Put(v)
		s.memory.Release(weight)
	}, nil
}

// withdrawClean takes the bitmap of the run before back, before anything is
// written that it does not know of.
func (c *Content) withdrawClean() error {
	if c.cleared.Load() {
		return nil
	}
	c.rowMu.Lock()
	defer c.rowMu.Unlock()
	if c.cleared.Load() {
		return nil
	}
	if err := c.s.put(c.ih, change{clean: []byte{}}); err != nil {
		return err
	}
	c.cleared.Store(true)
	return nil
}
