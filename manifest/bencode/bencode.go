// Package bencode reads and writes the one spelling of bencode (BEP 3) that
// Handful accepts: integers without leading zeros, strings with minimal length
// prefixes, dictionaries with unique keys in ascending byte order, nothing after
// the value. What the [Reader] accepts, the append functions print back byte for
// byte; what they would not print is refused.
//
// A value is written by appending to a byte slice:
//
//	b = append(b, 'd')
//	b = AppendString(b, "n")
//	b = AppendInt(b, 3)
//	b = append(b, 'e')            // d1:ni3ee
//
// and read with a cursor, which allocates nothing of its own, so that a hostile
// length prefix can never cost more memory than the input itself:
//
//	r := NewReader(b)
//	r.Dict(func(key string) {
//		switch key {
//		case "n":
//			n = r.Int()
//		default:
//			r.Skip()
//		}
//	})
//	err := r.End()
//
// The first error sticks: every later call returns a zero value and End, or Err,
// returns that error.
package bencode

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// MaxDepth is how many dictionaries and lists may stand within each other.
const MaxDepth = 64

// ErrSyntax is wrapped by every error of a Reader that comes from the input.
var ErrSyntax = errors.New("malformed bencode")

// AppendInt appends n as i…e.
func AppendInt(b []byte, n int64) []byte {
	b = append(b, 'i')
	b = strconv.AppendInt(b, n, 10)
	return append(b, 'e')
}

// AppendString appends s with its length prefix.
func AppendString[S ~string | ~[]byte](b []byte, s S) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ':')
	return append(b, s...)
}

// Reader is a cursor over one encoded value. The zero value is not useful; see
// [NewReader]. It is not safe for use by several goroutines.
type Reader struct {
	b     []byte
	pos   int
	depth int
	err   error
}

// NewReader returns a Reader at the start of b, which it keeps and never changes.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err returns the first error met, or nil.
func (r *Reader) Err() error { return r.err }

// Fail records err, unless an earlier one is recorded, and stops the reader: a
// caller reports what it finds wrong in a value through the same channel.
func (r *Reader) Fail(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

func (r *Reader) syntax(what string) {
	r.Fail(fmt.Errorf("%w at byte %d: %s", ErrSyntax, r.pos, what))
}

// End returns the first error met, or an error if input is left over.
func (r *Reader) End() error {
	if r.err == nil && r.pos != len(r.b) {
		r.syntax("bytes after the value")
	}
	return r.err
}

// Pos returns the offset of the next unread byte.
func (r *Reader) Pos() int { return r.pos }

// Rest returns what has not been read. It aliases the input. It is how a payload
// behind a dictionary is reached, as in BEP 9.
func (r *Reader) Rest() []byte { return r.b[r.pos:] }

// Kind tells what stands next: 'i', 's', 'l', 'd', or 0 at the end of the input,
// at the end of a list or dictionary, and after an error.
func (r *Reader) Kind() byte {
	if r.err != nil || r.pos >= len(r.b) {
		return 0
	}
	switch c := r.b[r.pos]; {
	case c == 'i' || c == 'l' || c == 'd':
		return c
	case '0' <= c && c <= '9':
		return 's'
	}
	return 0
}

// Int reads an integer that fits 64 bits.
func (r *Reader) Int() int64 {
	if r.err != nil {
		return 0
	}
	if r.Kind() != 'i' {
		r.syntax("an integer was expected")
		return 0
	}
	// 20 digits and a sign are the most an int64 can have.
	window := r.b[r.pos+1 : min(len(r.b), r.pos+24)]
	end := bytes.IndexByte(window, 'e')
	if end < 0 {
		r.syntax("integer without end")
		return 0
	}
	text := string(window[:end])
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		r.syntax("integer " + strconv.Quote(text) + " is not in its shortest form or too large")
		return 0
	}
	r.pos += 1 + end + 1
	return n
}

// Bytes reads a string. The result aliases the input.
func (r *Reader) Bytes() []byte {
	if r.err != nil {
		return nil
	}
	if r.Kind() != 's' {
		r.syntax("a string was expected")
		return nil
	}
	window := r.b[r.pos:min(len(r.b), r.pos+12)]
	colon := bytes.IndexByte(window, ':')
	if colon < 0 {
		r.syntax("string length without colon")
		return nil
	}
	text := string(window[:colon])
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || strconv.Itoa(n) != text {
		r.syntax("string length " + strconv.Quote(text) + " is not in its shortest form")
		return nil
	}
	start := r.pos + colon + 1
	if n > len(r.b)-start {
		r.syntax("string is longer than the input")
		return nil
	}
	r.pos = start + n
	return r.b[start:r.pos:r.pos]
}

// String reads a string and copies it.
func (r *Reader) String() string { return string(r.Bytes()) }

// Fixed reads a string of exactly len(dst) bytes into dst.
func (r *Reader) Fixed(dst []byte) {
	b := r.Bytes()
	if r.err != nil {
		return
	}
	if len(b) != len(dst) {
		r.Fail(fmt.Errorf("%w at byte %d: string of %d bytes where %d were expected", ErrSyntax, r.pos, len(b), len(dst)))
		return
	}
	copy(dst, b)
}

// Dict reads a dictionary. each is called once a key, in order, and must read or
// skip exactly the value.
func (r *Reader) Dict(each func(key string)) {
	if !r.open('d', "a dictionary was expected") {
		return
	}
	var last []byte
	for first := true; !r.closed(); first = false {
		key := r.Bytes()
		if r.err != nil {
			return
		}
		if !first && bytes.Compare(last, key) >= 0 {
			r.syntax("dictionary keys are not unique and ascending")
			return
		}
		last = key
		r.value(func() { each(string(key)) })
		if r.err != nil {
			return
		}
	}
}

// List reads a list. each is called once an element and must read or skip
// exactly that element.
func (r *Reader) List(each func()) {
	if !r.open('l', "a list was expected") {
		return
	}
	for !r.closed() {
		r.value(each)
		if r.err != nil {
			return
		}
	}
}

// value runs read and checks that it consumed something: a callback that reads
// nothing would otherwise loop for ever, one that reads too much is a bug which
// the next key or end would reveal as a syntax error.
func (r *Reader) value(read func()) {
	if r.Kind() == 0 {
		r.syntax("a value was expected")
		return
	}
	before := r.pos
	read()
	if r.err == nil && r.pos == before {
		r.Fail(errors.New("bencode: a value was neither read nor skipped"))
	}
}

func (r *Reader) open(kind byte, complaint string) bool {
	if r.err != nil {
		return false
	}
	if r.Kind() != kind {
		r.syntax(complaint)
		return false
	}
	if r.depth++; r.depth > MaxDepth {
		r.syntax("nested too deeply")
		return false
	}
	r.pos++
	return true
}

// closed reports whether the current list or dictionary ends here and steps over
// its end.
func (r *Reader) closed() bool {
	if r.err != nil {
		return true
	}
	if r.pos < len(r.b) && r.b[r.pos] == 'e' {
		r.pos++
		r.depth--
		return true
	}
	return false
}

// Skip reads any one value, checking its spelling, and returns its encoding,
// which aliases the input.
func (r *Reader) Skip() []byte {
	start := r.pos
	switch r.Kind() {
	case 'i':
		r.Int()
	case 's':
		r.Bytes()
	case 'l':
		r.List(func() { r.Skip() })
	case 'd':
		r.Dict(func(string) { r.Skip() })
	default:
		if r.err == nil {
			r.syntax("a value was expected")
		}
	}
	if r.err != nil {
		return nil
	}
	return r.b[start:r.pos:r.pos]
}
