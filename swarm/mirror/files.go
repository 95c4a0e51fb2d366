package mirror

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"handful/manifest"
)

// ErrContent: what is to be put into a mirror is not what the torrent names.
var ErrContent = errors.New("content does not verify")

// Item is a torrent of the channel.
type Item struct {
	Torrent *manifest.Torrent
	// Open opens its content, whose pieces are then copied and verified: the mirror is a web
	// seed. nil: the mirror has the torrent only. It is not called when the files are
	// there already.
	Open func(ctx context.Context) (Content, error)
}

// Content is the bytes of a torrent.
type Content interface {
	ReadPiece(p []byte, piece int, off int64) (int, error)
	Close() error
}

// items writes what entries name: the files, and then the torrent that names them.
func (w *writer) items(ctx context.Context, c Channel, progress func(done, total int64)) error {
	var done, total int64
	for _, it := range c.Items {
		if it.Open != nil {
			total += it.Torrent.Length()
		}
	}
	for _, it := range c.Items {
		ih := it.Torrent.InfoHash()
		if it.Open != nil {
			tell := func(n int64) {
				if progress != nil {
					progress(done+n, total)
				}
			}
			if err := w.files(ctx, it, FilesPath(c.ID, ih), tell); err != nil {
				return fmt.Errorf("files of %s (%s): %w", hex.EncodeToString(ih[:]), it.Torrent.Name, err)
			}
			done += it.Torrent.Length()
			tell(0)
		}
		if err := w.put(TorrentPath(c.ID, ih), it.Torrent.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// files copies the files of an item into a directory beside its place, and renames that
// when all are there and have been verified.
func (w *writer) files(ctx context.Context, it Item, path string, tell func(int64)) error {
	path = filepath.FromSlash(path[:len(path)-1])
	if fi, err := w.root.Stat(path); err == nil && fi.IsDir() {
		w.report.Kept += realFiles(it.Torrent)
		return nil
	}
	if err := it.Torrent.CheckDestination(runtime.GOOS); err != nil {
		return err
	}
	content, err := it.Open(ctx)
	if err != nil {
		return err
	}
	defer content.Close()
	part := path + ".part"
	if err := w.root.RemoveAll(part); err != nil { // of a run that was stopped
		return err
	}
	if err := w.root.MkdirAll(part, 0o777); err != nil {
		return err
	}
	p := planter{w: w, t: it.Torrent, dir: part, file: -1}
	err = p.pieces(ctx, content, tell)
	if err = errors.Join(err, p.close()); err == nil {
		err = p.empty()
	}
	if err == nil {
		err = w.root.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, w.root.RemoveAll(part))
	}
	w.report.Written += realFiles(it.Torrent)
	w.report.Bytes += it.Torrent.Length()
	return w.syncDir(filepath.Dir(path))
}

func realFiles(t *manifest.Torrent) (n int) {
	for _, f := range t.Files {
		if !f.Pad && f.Symlink == nil {
			n++
		}
	}
	return n
}

// planter writes the pieces of a torrent into files, one after the other.
type planter struct {
	w    *writer
	t    *manifest.Torrent
	dir  string
	file int // that is open; -1: none
	f    *os.File
}

func (p *planter) pieces(ctx context.Context, content Content, tell func(int64)) error {
	buf := make([]byte, 0, min(p.t.PieceLength, 1<<20))
	var done int64
	for i := range p.t.NumPieces() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		size := p.t.PieceSize(i)
		if int64(cap(buf)) < size {
			buf = make([]byte, 0, size)
		}
		b := buf[:size]
		if n, err := content.ReadPiece(b, i, 0); int64(n) < size {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("piece %d: %w", i, err)
		}
		if p.t.Check(i, b) == manifest.Bad {
			return fmt.Errorf("piece %d: %w", i, ErrContent)
		}
		at := int64(0)
		for span := range p.t.Spans(i, 0, size) {
			if err := p.write(span, b[at:at+span.Length]); err != nil {
				return err
			}
			at += span.Length
		}
		done += size
		tell(min(done, p.t.Length()))
	}
	return nil
}

func (p *planter) write(span manifest.Span, b []byte) error {
	if p.t.Files[span.File].Pad {
		return nil
	}
	if span.File != p.file {
		if err := p.close(); err != nil {
			return err
		}
		if err := p.open(span.File); err != nil {
			return err
		}
	}
	_, err := p.f.WriteAt(b, span.Offset)
	return err
}

func (p *planter) open(file int) (err error) {
	path := filepath.Join(p.dir, p.t.WrittenName())
	if !p.t.Single() {
		path = filepath.Join(path, filepath.Join(p.t.Written(p.t.Files[file].Path)...))
	}
	if err := p.w.root.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	p.f, err = p.w.root.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	p.file = file
	return err
}

func (p *planter) close() error {
	if p.f == nil {
		return nil
	}
	err := errors.Join(p.f.Sync(), p.f.Close())
	p.f, p.file = nil, -1
	return err
}

// empty makes the files that have no bytes.
func (p *planter) empty() error {
	for i, f := range p.t.Files {
		if f.Length > 0 || f.Pad || f.Symlink != nil {
			continue
		}
		if err := errors.Join(p.open(i), p.close()); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes the names in a directory durable, where the system can do that.
func (w *writer) syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such thing
	}
	f, err := w.root.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

// readAtMost reads to the end, and fails behind limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, limit)
	}
	return b, err
}

var errTooLarge = errors.New("too large")
