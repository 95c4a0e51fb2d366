package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// keptChunks is how many sealed chunks a Reader remembers: those that who reads blocks of
// 16 KiB asks for again at once.
const keptChunks = 32

// Reader is an age file that is made when it is read, out of plaintext that lies
// elsewhere. Two readings of the same bytes are the same, or the second one fails. It is
// safe for concurrent use.
type Reader struct {
	s     *stream
	plain io.ReaderAt

	buffers sync.Pool // of *[chunkLength]byte

	mu   sync.Mutex // guards what follows
	tags []byte     // tagLength a chunk, of chunks that were sealed before
	seen []bool     // which; nil: all
	kept []keptChunk
	next int // of kept, to be replaced
}

type keptChunk struct {
	n int64
	b []byte
}

// newReader makes a Reader; tags is nil when nothing was sealed before.
func newReader(s *stream, plain io.ReaderAt, tags []byte) *Reader {
	r := &Reader{s: s, plain: plain, tags: tags}
	if tags == nil {
		r.tags, r.seen = make([]byte, tagLength*s.chunks()), make([]bool, s.chunks())
	}
	r.buffers.New = func() any { return new([chunkLength]byte) }
	return r
}

// Size is the bytes of the age file.
func (r *Reader) Size() int64 { return r.s.size() }

// ReadAt reads ciphertext, as io.ReaderAt says. Its errors wrap ErrChanged when the
// plaintext is not what it was at the first reading of the same chunk; what was read
// then is not given away.
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: before the beginning", off)
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= r.Size() {
			return n, io.EOF
		}
		if at < int64(len(r.s.header)) {
			n += copy(p[n:], r.s.header[at:])
			continue
		}
		at -= int64(len(r.s.header))
		chunk, skip := at/sealedLength, at%sealedLength
		length := r.s.plainLength(chunk) + tagLength
		if skip == 0 && int64(len(p)-n) >= length {
			if err := r.seal(p[n:n:n+int(length)], chunk); err != nil {
				clear(p[n : n+int(length)])
				return n, err
			}
			n += int(length)
			continue
		}
		b, err := r.chunk(chunk)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], b[skip:])
	}
	return n, nil
}

// chunk returns a sealed chunk, which nobody may change.
func (r *Reader) chunk(n int64) ([]byte, error) {
	r.mu.Lock()
	for _, k := range r.kept {
		if k.n == n {
			r.mu.Unlock()
			return k.b, nil
		}
	}
	r.mu.Unlock()
	b := make([]byte, 0, r.s.plainLength(n)+tagLength)
	if err := r.seal(b, n); err != nil {
		return nil, err
	}
	b = b[:cap(b)]
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) < keptChunks {
		r.kept = append(r.kept, keptChunk{n, b})
	} else {
		r.kept[r.next] = keptChunk{n, b}
		r.next = (r.next + 1) % keptChunks
	}
	return b, nil
}

// seal writes chunk n into the room of dst, which has exactly enough of it.
func (r *Reader) seal(dst []byte, n int64) error {
	buf := r.buffers.Get().(*[chunkLength]byte)
	defer r.buffers.Put(buf)
	plain := buf[:r.s.plainLength(n)]
	if got, err := r.plain.ReadAt(plain, n*chunkLength); got < len(plain) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("seal chunk %d: %w", n, err)
	}
	sealed := r.s.seal(dst, plain, n)
	tag := sealed[len(sealed)-tagLength:]
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.tags[n*tagLength:][:tagLength]
	switch {
	case r.seen != nil && !r.seen[n]:
		r.seen[n] = true
		copy(known, tag)
	case !bytes.Equal(known, tag):
		return fmt.Errorf("seal chunk %d: %w", n, ErrChanged)
	}
	return nil
}

// State is what Restore needs, beside the plaintext: the key of this file alone, 16
// bytes; the bytes of its header, 2, big-endian; the header with the nonce; and 16 bytes
// of each chunk. It may be asked once all of it was read. It is a secret.
func (r *Reader) State() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, seen := range r.seen {
		if !seen {
			return nil, fmt.Errorf("seal: chunk %d was not read yet", n)
		}
	}
	b := append([]byte{}, r.s.fileKey[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.s.header)))
	b = append(b, r.s.header...)
	return append(b, r.tags...), nil
}

// restore reads a State of a stream with so many bytes of plaintext.
func restore(state []byte, plain io.ReaderAt, size int64) (*Reader, error) {
	bad := func() (*Reader, error) {
		return nil, fmt.Errorf("what is remembered of sealed content: %w", ErrMalformed)
	}
	if len(state) < keyLength+2 {
		return bad()
	}
	fileKey, rest := state[:keyLength], state[keyLength+2:]
	n := int(binary.BigEndian.Uint16(state[keyLength:]))
	if n <= keyLength || n > len(rest) {
		return bad()
	}
	s, err := newStream(rest[:n:n], fileKey, size)
	if err != nil {
		return nil, err
	}
	if int64(len(rest)-n) != tagLength*s.chunks() {
		return bad()
	}
	return newReader(s, plain, rest[n:]), nil
}
