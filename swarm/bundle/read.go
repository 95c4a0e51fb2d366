package bundle

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"handful/signing"
)

// Reader reads a bundle from its beginning to its end. It is not safe for concurrent use.
type Reader struct {
	in      *bufio.Reader
	id      signing.ID
	records int64 // that were read
	body    int64 // bytes left of the record before
	done    bool
	err     error
}

// NewReader reads the beginning of a bundle.
func NewReader(r io.Reader) (*Reader, error) {
	b := &Reader{in: bufio.NewReaderSize(r, 64<<10)}
	head := make([]byte, len(magic))
	if n, err := io.ReadFull(b.in, head); err != nil || string(head) != magic {
		if err != nil && !cut(err) {
			return nil, fmt.Errorf("read the bundle: %w", err)
		}
		if n > 0 && n < len(magic) && string(head[:n]) == magic[:n] {
			return nil, fmt.Errorf("%w after %d bytes", ErrTruncated, n)
		}
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrMalformed, magic[:len(magic)-1])
	}
	first, err := b.next()
	if err != nil {
		return nil, err
	}
	if first.Kind != Channel {
		return nil, fmt.Errorf("%w: it begins with a record %q", ErrMalformed, first.Kind)
	}
	b.id = first.ID
	return b, nil
}

// ID returns the channel that the bundle says it is of.
func (b *Reader) ID() signing.ID { return b.id }

// Next returns the next record; what is left of the body of the one before is passed over.
// Behind the last one it returns io.EOF. After another error nothing more can be read.
func (b *Reader) Next() (Record, error) {
	switch {
	case b.err != nil:
		return Record{}, b.err
	case b.done:
		return Record{}, io.EOF
	}
	r, err := b.advance()
	if err != nil {
		b.err = err
	}
	return r, err
}

func (b *Reader) advance() (Record, error) {
	if err := b.Skip(); err != nil {
		return Record{}, err
	}
	r, err := b.next()
	switch {
	case err != nil:
		return Record{}, err
	case r.Kind == Channel:
		return Record{}, fmt.Errorf("%w: a second channel", ErrMalformed)
	case r.Kind == End && r.Size != b.records-1:
		return Record{}, fmt.Errorf("%w: it says that it had %d records, and has %d", ErrMalformed, r.Size, b.records-1)
	case r.Kind == End:
		b.done = true
		if _, err := b.in.ReadByte(); err != io.EOF {
			if err != nil {
				return Record{}, fmt.Errorf("read the bundle: %w", err)
			}
			return Record{}, fmt.Errorf("%w: there is something behind its end", ErrMalformed)
		}
		return Record{}, io.EOF
	}
	return r, nil
}

// next reads a header.
func (b *Reader) next() (Record, error) {
	n, err := b.length()
	if err != nil {
		return Record{}, err
	}
	// What a length claims is believed only as it comes.
	var buf bytes.Buffer
	if _, err := io.CopyN(&buf, b.in, n); err != nil {
		return Record{}, b.failed(err)
	}
	r, err := parseRecord(buf.Bytes())
	switch {
	case err != nil:
		return r, err
	case n > maxSmall && r.Kind != Item:
		return r, fmt.Errorf("%w: a record %q of %d bytes", ErrMalformed, r.Kind, n)
	case b.records >= maxRecords:
		return r, fmt.Errorf("%w: more than %d records", ErrMalformed, int64(maxRecords))
	}
	b.records++
	if r.Kind.hasBody() {
		b.body = r.Size
	}
	return r, nil
}

// length reads the length before a header.
func (b *Reader) length() (int64, error) {
	var digits []byte
	for {
		c, err := b.in.ReadByte()
		if err != nil {
			return 0, b.failed(err)
		}
		if c == ':' {
			break
		}
		if digits = append(digits, c); len(digits) > maxLength {
			return 0, fmt.Errorf("%w: a record without a length", ErrMalformed)
		}
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != string(digits) || n > maxHeader {
		return 0, fmt.Errorf("%w: a record with the length %.20q", ErrMalformed, digits)
	}
	return n, nil
}

// Read reads the body of the record that Next returned last, up to io.EOF.
func (b *Reader) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.body == 0 {
		return 0, io.EOF
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.body)])
	b.body -= int64(n)
	if err != nil && b.body > 0 {
		b.err = b.failed(err)
		return n, b.err
	}
	return n, nil
}

// Skip passes over what is left of the body.
func (b *Reader) Skip() error {
	n, err := io.CopyN(io.Discard, b.in, b.body)
	b.body -= n
	if err != nil {
		return b.failed(err)
	}
	return nil
}

func (b *Reader) failed(err error) error {
	if cut(err) {
		return fmt.Errorf("%w after %d records", ErrTruncated, b.records)
	}
	return fmt.Errorf("read the bundle: %w", err)
}

func cut(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
