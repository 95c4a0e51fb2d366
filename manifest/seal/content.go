package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"sort"

	"filippo.io/age"

	"handful/manifest"
)

const (
	magic       = "handful content\n" // begins the plaintext of content
	headStart   = len(magic) + 8
	maxMetainfo = 64 << 20 // bytes of metainfo in front of content
	maxHeader   = 16 << 10 // bytes of the header of an age file
)

// ReadFile fills p from off on of a file, by its index in Torrent.Files, or says why not.
type ReadFile func(file int, p []byte, off int64) error

// layout is how a tree lies in the plaintext of content.
type layout struct {
	t    *manifest.Torrent
	head []byte // all that is before the files
	end  int64  // behind the files: zeros follow
	size int64
}

// layoutOf places the tree of a plain v1 torrent with SHA-256.
func layoutOf(t *manifest.Torrent) (*layout, error) {
	if !t.HasV1() || t.HasV2() || !t.HasSHA256() {
		return nil, fmt.Errorf("content of %q: %w: it is described by another format than v1 with SHA-256", t.Name, ErrMalformed)
	}
	info := t.Bytes()
	if len(info) > maxMetainfo {
		return nil, fmt.Errorf("content of %q: %w: %d bytes of metainfo, at most %d are possible", t.Name, manifest.ErrTooLarge, len(info), maxMetainfo)
	}
	l := &layout{t: t, head: append(binary.BigEndian.AppendUint64([]byte(magic), uint64(len(info))), info...)}
	l.end = int64(len(l.head)) + t.Length()
	l.size = padded(l.end)
	return l, nil
}

// plaintext reads the whole of it, with the files from wherever they are.
type plaintext struct {
	*layout
	read ReadFile
}

func (r plaintext) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		var got int
		switch {
		case at < int64(len(r.head)):
			got = copy(p[n:], r.head[at:])
		case at >= r.end:
			got = int(min(int64(len(p)-n), r.size-at))
			clear(p[n : n+got])
		default:
			if got, err = r.file(p[n:], at-int64(len(r.head))); err != nil {
				return n, err
			}
		}
		n += got
	}
	return n, nil
}

// file fills as much of p as one file has, from an offset of the payload on.
func (r plaintext) file(p []byte, at int64) (int, error) {
	files := r.t.Files
	k := sort.Search(len(files), func(k int) bool { return files[k].Offset+files[k].Length > at })
	off := at - files[k].Offset
	p = p[:min(int64(len(p)), files[k].Length-off)]
	return len(p), r.read(k, p, off)
}

// Seal makes an age file of a tree that t, of format v1, describes. Its key is derived
// from k and the hash of t's info dict.
func (k Key) Seal(t *manifest.Torrent, read ReadFile) (*Reader, error) {
	l, err := layoutOf(t)
	if err != nil {
		return nil, err
	}
	s, err := k.stream("content", t.InfoSum(), l.size)
	if err != nil {
		return nil, err
	}
	return newReader(s, plaintext{l, read}, nil), nil
}

// Restore makes the Reader whose State it was: the same bytes come out of it, or an error.
func Restore(state []byte, t *manifest.Torrent, read ReadFile) (*Reader, error) {
	l, err := layoutOf(t)
	if err != nil {
		return nil, err
	}
	return restore(state, plaintext{l, read}, l.size)
}

// Name is what the age file is called: it says nothing about what is inside.
func (r *Reader) Name() string {
	sum := sha256.Sum256(r.s.header)
	return hex.EncodeToString(sum[:8]) + ".age"
}

// Opened is content that a key opens, read wherever one likes.
type Opened struct {
	// Torrent describes the tree inside. It was made by whoever made the ciphertext.
	Torrent *manifest.Torrent

	l     *layout
	s     *stream
	plain io.ReaderAt
	src   io.ReaderAt
}

// Open opens the content of a private channel, an age file of size bytes, with whichever
// key fits; of src it reads what it needs. Errors wrap ErrKey or ErrMalformed, or are
// those of src.
func Open(keys []Key, src io.ReaderAt, size int64) (*Opened, error) {
	ids, err := identities(keys)
	if err != nil {
		return nil, err
	}
	header, err := age.ExtractHeader(io.LimitReader(io.NewSectionReader(src, 0, size), maxHeader))
	if err != nil {
		return nil, openFailed(err)
	}
	fileKey, err := age.DecryptHeader(header, ids...)
	if err != nil {
		return nil, openFailed(err)
	}
	full := make([]byte, len(header)+keyLength)
	if n, err := src.ReadAt(full, 0); n < len(full) {
		return nil, fmt.Errorf("open content: %w: it ends in its header: %w", ErrMalformed, err)
	}
	plain, length, err := age.DecryptReaderAt(src, size, age.NewInjectedFileKeyIdentity(fileKey))
	if err != nil {
		return nil, openFailed(err)
	}
	o := &Opened{plain: plain, src: src}
	if err := o.readHead(length); err != nil {
		return nil, fmt.Errorf("open content: %w", err)
	}
	o.s, err = newStream(full, fileKey, length)
	return o, err
}

// readHead reads what stands before the files.
func (o *Opened) readHead(length int64) error {
	start := make([]byte, headStart)
	if n, err := o.plain.ReadAt(start, 0); n < len(start) {
		return fmt.Errorf("%w: %d bytes: %w", ErrMalformed, n, err)
	}
	if string(start[:len(magic)]) != magic {
		return fmt.Errorf("%w: it does not begin with %q", ErrMalformed, magic)
	}
	n := binary.BigEndian.Uint64(start[len(magic):])
	if n > maxMetainfo || int64(n) > length-int64(headStart) {
		return fmt.Errorf("%w: %d bytes of metainfo", ErrMalformed, n)
	}
	info := make([]byte, n)
	if got, err := o.plain.ReadAt(info, int64(headStart)); got < len(info) {
		return fmt.Errorf("its metainfo: %w", err)
	}
	var err error
	if o.Torrent, err = manifest.Parse(info); err != nil {
		return fmt.Errorf("its metainfo: %w: %w", ErrMalformed, err)
	}
	if o.l, err = layoutOf(o.Torrent); err != nil {
		return err
	}
	if !bytes.Equal(o.l.head[headStart:], info) || o.l.size != length {
		return fmt.Errorf("%w: %d bytes of plaintext for a tree that needs %d", ErrMalformed, length, o.l.size)
	}
	return nil
}

// ReadPiece fills p with a piece of Torrent. Of ciphertext that was changed it is an
// error; whether the piece is what Torrent says, Torrent.Check tells.
func (o *Opened) ReadPiece(p []byte, piece int) error {
	p = p[:min(int64(len(p)), o.Torrent.PieceSize(piece))]
	at := int64(len(o.l.head)) + int64(piece)*o.Torrent.PieceLength
	if n, err := o.plain.ReadAt(p, at); n < len(p) {
		return fmt.Errorf("open piece %d: %w", piece, err)
	}
	return nil
}

// ReadFileAt reads a file of Torrent, by its index, as io.ReaderAt says, wherever it lies
// in the ciphertext: of that it reads the chunks of 64 KiB that have the bytes.
func (o *Opened) ReadFileAt(file int, p []byte, off int64) (int, error) {
	f := &o.Torrent.Files[file]
	if off < 0 || off > f.Length {
		return 0, fmt.Errorf("read at %d of %d bytes", off, f.Length)
	}
	want := min(int64(len(p)), f.Length-off)
	n, err := o.plain.ReadAt(p[:want], int64(len(o.l.head))+f.Offset+off)
	if int64(n) == want {
		err = nil
		if n < len(p) {
			err = io.EOF
		}
	}
	return n, err
}

// Reader makes the ciphertext again, out of the tree where it is now. It reads 16 bytes
// of each chunk of the ciphertext, and what is behind the files.
func (o *Opened) Reader(read ReadFile) (*Reader, error) {
	tail := make([]byte, chunkLength)
	for at := o.l.end; at < o.l.size; at += int64(len(tail)) {
		tail = tail[:min(int64(len(tail)), o.l.size-at)]
		if n, err := o.plain.ReadAt(tail, at); n < len(tail) {
			return nil, fmt.Errorf("open what is behind the files: %w", err)
		}
		if len(bytes.TrimLeft(tail, "\x00")) > 0 {
			return nil, fmt.Errorf("open content: %w: something is behind the files", ErrMalformed)
		}
	}
	tags := make([]byte, tagLength*o.s.chunks())
	for n := range o.s.chunks() {
		at := int64(len(o.s.header)) + n*sealedLength + o.s.plainLength(n)
		if got, err := o.src.ReadAt(tags[n*tagLength:][:tagLength], at); got < tagLength {
			return nil, fmt.Errorf("read the ciphertext: %w", err)
		}
	}
	return newReader(o.s, plaintext{o.l, read}, tags), nil
}
