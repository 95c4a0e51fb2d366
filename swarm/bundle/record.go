package bundle

import (
	"bytes"
	"errors"
	"fmt"

	"handful/manifest/bencode"
	"handful/signing"
)

// magic begins a bundle.
const magic = "handful-bundle/1\n"

// Bounds of what is read.
const (
	maxNumber  = 1 << 53
	maxRecords = 1 << 40
	// MaxMetainfo is the largest metainfo of an item, in bytes.
	MaxMetainfo = 64 << 20
	maxSmall    = 320 << 10              // bytes of a header without metainfo: a targets document is the largest
	maxHeader   = MaxMetainfo + 64<<10   // with
	maxPage     = signing.MaxUpdate      // bytes
	hashSize    = 32                     // bytes of a leaf's hash
	maxLength   = len("67108864:") + 100 // of a header's length and its colon: far more than any
)

var (
	// ErrMalformed: it is no bundle, or not spelled as one is.
	ErrMalformed = errors.New("not a bundle, or a damaged one")
	// ErrTruncated: the bundle ends before its end.
	ErrTruncated = errors.New("the bundle is cut off")
)

// Kind says what a record is.
type Kind string

// The kinds of records; see the package documentation.
const (
	Channel Kind = "chan"
	Root    Kind = "root"
	Update  Kind = "upd"
	Leaves  Kind = "leaf"
	Page    Kind = "page"
	Targets Kind = "tgt"
	Item    Kind = "item"
	End     Kind = "end"
)

// Record is one record. Which fields it has depends on its kind.
type Record struct {
	Kind   Kind
	ID     signing.ID // of Channel
	Writer string     // of Update, Leaves, Page and Item
	Index  int64      // of Leaves: of the first; of Item: of its entry
	Value  []byte     // the document, update, page or metainfo
	Proof  []byte     // of Item: a signing.Page with its entry
	Size   int64      // bytes of the body of Leaves and Item; of End: how many records there were
}

// fields are the keys of each kind, in their order.
var fields = map[Kind]string{
	Channel: "id y", Root: "v y", Update: "v w y", Leaves: "i n w y", Page: "v w y", Targets: "v y", Item: "i n p v w y", End: "n y",
}

// header spells a record without its body.
func (r Record) header() []byte {
	b := []byte{'d'}
	bytesOf := func(key string, v []byte) {
		b = bencode.AppendString(b, key)
		b = bencode.AppendString(b, v)
	}
	number := func(key string, n int64) {
		b = bencode.AppendString(b, key)
		b = bencode.AppendInt(b, n)
	}
	for key := range bytes.FieldsSeq([]byte(fields[r.Kind])) {
		switch string(key) {
		case "id":
			bytesOf("id", r.ID[:])
		case "i":
			number("i", r.Index)
		case "n":
			number("n", r.Size)
		case "p":
			bytesOf("p", r.Proof)
		case "v":
			bytesOf("v", r.Value)
		case "w":
			bytesOf("w", []byte(r.Writer))
		case "y":
			bytesOf("y", []byte(r.Kind))
		}
	}
	return append(b, 'e')
}

// parseRecord reads a header. The result aliases it.
func parseRecord(b []byte) (r Record, err error) {
	in := bencode.NewReader(b)
	in.Dict(func(key string) {
		switch key {
		case "id":
			in.Fixed(r.ID[:])
		case "i":
			r.Index = in.Int()
		case "n":
			r.Size = in.Int()
		case "p":
			r.Proof = in.Bytes()
		case "v":
			r.Value = in.Bytes()
		case "w":
			r.Writer = string(in.Bytes())
		case "y":
			r.Kind = Kind(in.Bytes())
		default:
			in.Fail(fmt.Errorf("%w: unknown key %.20q", ErrMalformed, key))
		}
	})
	if err := in.End(); err != nil {
		return r, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if fields[r.Kind] == "" {
		return r, fmt.Errorf("%w: kind %.20q of a later version", ErrMalformed, r.Kind)
	}
	if err := r.check(); err != nil {
		return r, err
	}
	if !bytes.Equal(r.header(), b) {
		return r, fmt.Errorf("%w: a record %q has other keys than it should", ErrMalformed, r.Kind)
	}
	return r, nil
}

// check looks whether the fields of a record can be what they are for.
func (r Record) check() error {
	most := map[Kind]int{Root: signing.MaxRoot, Update: signing.MaxUpdate, Page: maxPage, Targets: signing.MaxTargets, Item: MaxMetainfo}[r.Kind]
	switch {
	case len(r.Value) > most || most > 0 && len(r.Value) == 0:
		return fmt.Errorf("%w: a record %q with %d bytes", ErrMalformed, r.Kind, len(r.Value))
	case r.Kind == Item && (len(r.Proof) == 0 || len(r.Proof) > maxPage):
		return fmt.Errorf("%w: an item with a proof of %d bytes", ErrMalformed, len(r.Proof))
	case r.Index < 0 || r.Index >= maxNumber || r.Size < 0 || r.Size >= maxNumber:
		return fmt.Errorf("%w: a record %q with a number out of bounds", ErrMalformed, r.Kind)
	case r.Kind == Leaves && (r.Size%hashSize != 0 || r.Index+r.Size/hashSize >= maxNumber):
		return fmt.Errorf("%w: %d bytes of hashes", ErrMalformed, r.Size)
	}
	switch r.Kind {
	case Update, Leaves, Page, Item:
		if !signing.ValidWriter(r.Writer) {
			return fmt.Errorf("%w: writer %.40q", ErrMalformed, r.Writer)
		}
	case Channel:
		if id, err := signing.ParseID(r.ID.String()); err != nil || id != r.ID {
			return fmt.Errorf("%w: its channel's id is none", ErrMalformed)
		}
	}
	return nil
}

// hasBody tells whether bytes follow the header.
func (k Kind) hasBody() bool { return k == Leaves || k == Item }
