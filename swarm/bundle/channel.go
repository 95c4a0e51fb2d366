package bundle

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"handful/manifest"
	"handful/signing"
)

// pageEntries is how many entries a page of a bundle has at most.
const pageEntries = 256

// leavesAtOnce is how many hashes are asked for at a time.
const leavesAtOnce = 1024

// Log is what a bundle needs of a writer's log, as far as somebody holds it.
type Log interface {
	// News returns the update for strangers; ok is false when there is none.
	News() (u signing.Update, ok bool)
	// First is the index of the first entry that is held.
	First() int64
	// Size is how many entries the head of News covers.
	Size() int64
	// Leaves returns the hashes of count entries from an index on.
	Leaves(first, count int64) ([][32]byte, error)
	// Page makes a page of at most count entries from an index on, towards the head.
	Page(first, count int64) (signing.Page, error)
}

// News is what a bundle says of a channel.
type News struct {
	Roots   [][]byte // version 1, 2, …
	Targets [][]byte // documents that grants name
	Grants  []int64  // entries of the main writer that name them
	Writers map[string]Log
	// Since returns the first entry of a writer that pages are to have; nil: from the
	// first that is held.
	Since func(writer string) int64
}

// PutNews writes everything but items.
func (w *Writer) PutNews(n News) error {
	for _, raw := range n.Roots {
		if err := w.Put(Record{Kind: Root, Value: raw}, nil); err != nil {
			return err
		}
	}
	var names []string
	for name := range n.Writers {
		if name != signing.MainWriter {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if m := n.Writers[signing.MainWriter]; m != nil {
		names = slices.Insert(names, 0, signing.MainWriter)
	}
	for _, name := range names {
		if err := w.putHead(name, n.Writers[name]); err != nil {
			return fmt.Errorf("news of writer %q: %w", name, err)
		}
		if name == signing.MainWriter {
			if err := w.putGrants(n); err != nil {
				return fmt.Errorf("grants: %w", err)
			}
		}
	}
	for _, name := range names {
		since := n.Writers[name].First()
		if n.Since != nil {
			since = max(since, n.Since(name))
		}
		if err := w.putPages(name, n.Writers[name], since); err != nil {
			return fmt.Errorf("entries of writer %q: %w", name, err)
		}
	}
	return nil
}

func (w *Writer) putHead(name string, l Log) error {
	u, ok := l.News()
	if !ok {
		return nil
	}
	if err := w.Put(Record{Kind: Update, Writer: name, Value: u.Bytes()}, nil); err != nil {
		return err
	}
	r := &leafReader{l: l, next: l.First()}
	return w.Put(Record{Kind: Leaves, Writer: name, Index: l.First(), Size: (l.Size() - l.First()) * hashSize}, r)
}

// leafReader is the hashes of a log's entries as a stream.
type leafReader struct {
	l    Log
	next int64
	buf  bytes.Reader
}

func (r *leafReader) Read(p []byte) (int, error) {
	if r.buf.Len() == 0 {
		count := min(leavesAtOnce, r.l.Size()-r.next)
		if count <= 0 {
			return 0, io.EOF
		}
		hashes, err := r.l.Leaves(r.next, count)
		if err != nil {
			return 0, err
		}
		r.next += count
		var b []byte
		for _, h := range hashes {
			b = append(b, h[:]...)
		}
		r.buf.Reset(b)
	}
	return r.buf.Read(p)
}

func (w *Writer) putGrants(n News) error {
	m := n.Writers[signing.MainWriter]
	for _, at := range n.Grants {
		if at < m.First() {
			continue // who needs it asks elsewhere
		}
		p, err := m.Page(at, 1)
		if err != nil {
			return err
		}
		if err := w.Put(Record{Kind: Page, Writer: signing.MainWriter, Value: p.Bytes()}, nil); err != nil {
			return err
		}
	}
	for _, raw := range n.Targets {
		if err := w.Put(Record{Kind: Targets, Value: raw}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) putPages(name string, l Log, since int64) error {
	for at := since; at < l.Size(); {
		p, err := l.Page(at, pageEntries)
		if err != nil {
			return err
		}
		if err := w.Put(Record{Kind: Page, Writer: name, Value: p.Bytes()}, nil); err != nil {
			return err
		}
		at += int64(len(p.Entries))
	}
	return nil
}

// Content is the bytes of a torrent.
type Content interface {
	ReadPiece(p []byte, piece int, off int64) (int, error)
}

// PutItem writes a torrent with its content, whose pieces are verified on the way, and the
// page that proves the entry which names it. An error in the middle of it leaves a bundle
// that cannot be gone on with. progress is told the bytes so far, when it is not nil; its
// error ends the writing.
func (w *Writer) PutItem(writer string, index int64, proof signing.Page, t *manifest.Torrent, c Content, progress func(done int64) error) error {
	r := &pieceReader{t: t, c: c, progress: progress}
	return w.Put(Record{Kind: Item, Writer: writer, Index: index, Proof: proof.Bytes(), Value: t.Bytes(), Size: PayloadSize(t)}, r)
}

// PayloadSize is the length of an item's body: all pieces of a torrent.
func PayloadSize(t *manifest.Torrent) (n int64) {
	for i := range t.NumPieces() {
		n += t.PieceSize(i)
	}
	return n
}

// pieceReader is the pieces of a torrent as a stream.
type pieceReader struct {
	t        *manifest.Torrent
	c        Content
	progress func(int64) error
	piece    int
	done     int64
	data     []byte
	buf      bytes.Reader
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if r.buf.Len() == 0 {
		if r.piece == r.t.NumPieces() {
			return 0, io.EOF
		}
		size := r.t.PieceSize(r.piece)
		if int64(cap(r.data)) < size {
			r.data = make([]byte, size)
		}
		data := r.data[:size]
		if n, err := r.c.ReadPiece(data, r.piece, 0); int64(n) < size {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, fmt.Errorf("piece %d of %s: %w", r.piece, r.t.Name, err)
		}
		if r.t.Check(r.piece, data) == manifest.Bad {
			return 0, fmt.Errorf("piece %d of %s: %w", r.piece, r.t.Name, manifest.ErrMismatch)
		}
		r.piece++
		r.done += size
		if r.progress != nil {
			if err := r.progress(r.done); err != nil {
				return 0, err
			}
		}
		r.buf.Reset(data)
	}
	return r.buf.Read(p)
}

// EachPiece reads the body of an item, of size bytes, and hands over one piece after the
// other; data is overwritten with the next. What is shorter than the torrent's pieces, or
// longer, is ErrMalformed.
func EachPiece(t *manifest.Torrent, body io.Reader, size int64, use func(piece int, data []byte) error) error {
	if want := PayloadSize(t); size != want {
		return fmt.Errorf("%w: %d bytes for a torrent of %d", ErrMalformed, size, want)
	}
	var data []byte
	for i := range t.NumPieces() {
		if n := t.PieceSize(i); int64(cap(data)) < n {
			data = make([]byte, n)
		}
		b := data[:t.PieceSize(i)]
		if _, err := io.ReadFull(body, b); err != nil {
			return err
		}
		if err := use(i, b); err != nil {
			return err
		}
	}
	return nil
}
