package bundle

import (
	"errors"
	"fmt"
	"io"

	"handful/manifest/bencode"
	"handful/signing"
)

// Writer writes a bundle. The caller keeps to the order of the package documentation. It is
// not safe for concurrent use.
type Writer struct {
	out     io.Writer
	records int64
	written int64
}

// errBody: what was to be the body of a record has another length.
var errBody = errors.New("a body of another length than its record says")

// NewWriter begins a bundle of a channel. The caller buffers out.
func NewWriter(out io.Writer, id signing.ID) (*Writer, error) {
	w := &Writer{out: out}
	if err := w.write([]byte(magic)); err != nil {
		return nil, err
	}
	return w, w.Put(Record{Kind: Channel, ID: id}, nil)
}

func (w *Writer) write(b []byte) error {
	n, err := w.out.Write(b)
	w.written += int64(n)
	return err
}

// Put writes a record; body must have as many bytes as a record with a body says.
func (w *Writer) Put(r Record, body io.Reader) error {
	if err := r.check(); err != nil {
		return err
	}
	if err := w.write(bencode.AppendString(nil, r.header())); err != nil {
		return err
	}
	w.records++
	if !r.Kind.hasBody() {
		return nil
	}
	n, err := io.CopyN(w.out, body, r.Size)
	w.written += n
	if err == io.EOF {
		return fmt.Errorf("%w: %d bytes of %d", errBody, n, r.Size)
	}
	return err
}

// Close ends the bundle; the caller flushes and closes what it was written to.
func (w *Writer) Close() error { return w.Put(Record{Kind: End, Size: w.records}, nil) }

// Written is how many bytes were written.
func (w *Writer) Written() int64 { return w.written }
