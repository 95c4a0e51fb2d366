package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// stamp is what tells whether a file is still the one that was hashed.
type stamp struct {
	size  int64  // bytes; -1: no file was there
	mtime int64  // Unix ns
	inode uint64 // 0 where unknown
}

var noFile = stamp{size: -1}

// same treats an unknown inode as fitting.
func (s stamp) same(o stamp) bool {
	return s.size == o.size && s.mtime == o.mtime && (s.inode == o.inode || s.inode == 0 || o.inode == 0)
}

// differs says in words how now is not what s was.
func (s stamp) differs(now stamp) string {
	switch {
	case s.size != now.size:
		return fmt.Sprintf("it had %d bytes when it was hashed and has %d now", s.size, now.size)
	case s.mtime != now.mtime:
		return fmt.Sprintf("it was modified at %s, after it was hashed", time.Unix(0, now.mtime).UTC().Format(time.RFC3339Nano))
	}
	return "another file was put in its place"
}

// bitmap is a set of pieces or files.
type bitmap []uint64

func newBitmap(n int) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) get(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }

func (b bitmap) set(i int, v bool) {
	if v {
		b[i>>6] |= 1 << (i & 63)
	} else {
		b[i>>6] &^= 1 << (i & 63)
	}
}

// fileState is the durable knowledge about the files of one content.
type fileState struct {
	stamps []stamp
	paths  []string // of sources; nil otherwise
}

// encode writes, for each file: size, mtime and inode as varints, and where
// there are paths the number of bytes shared with the path before, and the rest.
func (f *fileState) encode() []byte {
	b := make([]byte, 0, 16+24*len(f.stamps))
	b = binary.AppendUvarint(b, uint64(len(f.stamps)))
	b = append(b, boolByte(f.paths != nil))
	prev := ""
	for i, s := range f.stamps {
		b = binary.AppendVarint(b, s.size)
		b = binary.AppendVarint(b, s.mtime)
		b = binary.AppendUvarint(b, s.inode)
		if f.paths == nil {
			continue
		}
		p := f.paths[i]
		n := 0
		for n < min(len(p), len(prev)) && p[n] == prev[n] {
			n++
		}
		b = binary.AppendUvarint(b, uint64(n))
		b = binary.AppendUvarint(b, uint64(len(p)-n))
		b = append(b, p[n:]...)
		prev = p
	}
	return b
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

var errTruncated = errors.New("ends too early")

// cursor reads what encode wrote; the first failure sticks.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) bytes(n uint64) []byte {
	if uint64(len(c.b)) < n {
		c.fail()
		return nil
	}
	v := c.b[:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) fail() { c.err, c.b = errTruncated, nil }

// decodeFiles expects the state of n files.
func decodeFiles(c *cursor, n int) (*fileState, error) {
	if got := c.uvarint(); c.err == nil && got != uint64(n) {
		return nil, fmt.Errorf("stamps of %d files where the torrent has %d", got, n)
	}
	f := &fileState{stamps: make([]stamp, n)}
	if k := c.bytes(1); len(k) == 1 && k[0] == 1 {
		f.paths = make([]string, n)
	}
	prev := ""
	for i := range n {
		f.stamps[i] = stamp{size: c.varint(), mtime: c.varint(), inode: c.uvarint()}
		if f.paths == nil || c.err != nil {
			continue
		}
		shared := c.uvarint()
		if shared > uint64(len(prev)) {
			c.fail()
			break
		}
		prev = prev[:shared] + string(c.bytes(c.uvarint()))
		f.paths[i] = prev
	}
	return f, c.err
}

// encodeClean is the state of a download that was closed properly: its files and
// what is true of its pieces.
func encodeClean(f *fileState, p *pieces) []byte {
	b := f.encode()
	for _, m := range []bitmap{p.complete, p.known, p.strong} {
		for _, w := range m {
			b = binary.BigEndian.AppendUint64(b, w)
		}
	}
	return b
}

func decodeClean(b []byte, files, n int) (*fileState, *pieces, error) {
	c := &cursor{b: b}
	f, err := decodeFiles(c, files)
	if err != nil {
		return nil, nil, err
	}
	p := newPieces(n)
	if len(c.b) != 8*(len(p.complete)+len(p.known)+len(p.strong)) {
		return nil, nil, errTruncated
	}
	for _, m := range []bitmap{p.complete, p.known, p.strong} {
		for i := range m {
			m[i] = binary.BigEndian.Uint64(c.bytes(8))
		}
	}
	return f, p, nil
}

// pieces is what is known about each piece of a content.
type pieces struct {
	complete bitmap
	known    bitmap
	strong   bitmap // complete by SHA-256, not by SHA-1 alone
	written  bitmap // in this run
	reused   bitmap // complete without having been written in this run
	missing  int    // pieces that are not complete
}

func newPieces(n int) *pieces {
	return &pieces{complete: newBitmap(n), known: newBitmap(n), strong: newBitmap(n),
		written: newBitmap(n), reused: newBitmap(n), missing: n}
}

// setAll makes the first n pieces complete and known.
func (p *pieces) setAll(n int) {
	for i := range n {
		p.complete.set(i, true)
		p.known.set(i, true)
		p.strong.set(i, true)
		p.reused.set(i, true)
	}
	p.missing = 0
}
