package seal

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"

	"filippo.io/age"

	"handful/manifest"
)

// minEntry is what the shortest entries are padded to, in bytes.
const minEntry = 128

// SealEntry encrypts an entry, which must be one that ParseEntry accepts and not a sealed
// one. The pointers stand in the clear. The error of one that has become too long wraps
// manifest.ErrTooLarge.
func (k Key) SealEntry(entry []byte, at manifest.Pointers) (manifest.Sealed, error) {
	e, err := manifest.ParseEntry(entry)
	if err != nil {
		return manifest.Sealed{}, err
	}
	out, err := outside(e)
	if err != nil {
		return out, err
	}
	out.Head.Pointers = at
	plain := make([]byte, padded(int64(max(minEntry, len(entry)))))
	copy(plain, entry)
	s, err := k.stream("entry", sha256.Sum256(plain), int64(len(plain)))
	if err != nil {
		return out, err
	}
	r := newReader(s, bytes.NewReader(plain), nil)
	out.Box = make([]byte, r.Size())
	if _, err := r.ReadAt(out.Box, 0); err != nil {
		return out, err
	}
	_, err = manifest.EncodeEntry(out)
	return out, err
}

// outside is what stands beside the box of an entry.
func outside(e manifest.Entry) (out manifest.Sealed, err error) {
	out.Head.Time = e.Header().Time
	switch e := e.(type) {
	case manifest.Delete:
		out.Drops, out.Index = true, e.Index
	case manifest.Sealed, manifest.Rekey:
		return out, fmt.Errorf("seal an entry: %w: one of kind %q stands as it is", ErrMalformed, e.Kind())
	}
	if n, ok := manifest.NamedBy(e); ok {
		out.HasContent, out.InfoSum, out.InfoHashV1, out.HasV1, out.Size = true, n.InfoSum, n.InfoHashV1, n.HasV1, n.Size
	}
	return out, nil
}

// OpenEntry returns the entry inside. Errors wrap ErrKey or ErrMalformed; the second means
// that whoever made it did not make it as this package does, or contradicts inside what
// everybody sees outside.
func OpenEntry(keys []Key, s manifest.Sealed) (manifest.Entry, error) {
	ids, err := identities(keys)
	if err != nil {
		return nil, err
	}
	plain, err := openBox(s.Box, manifest.MaxEntry, ids)
	if err != nil {
		return nil, fmt.Errorf("open an entry: %w", err)
	}
	entry := bytes.TrimRight(plain, "\x00")
	if int64(len(plain)) != padded(int64(max(minEntry, len(entry)))) {
		return nil, fmt.Errorf("open an entry: %w: it is padded to %d bytes", ErrMalformed, len(plain))
	}
	e, err := manifest.ParseEntry(entry)
	if err != nil {
		return nil, fmt.Errorf("open an entry: %w: %w", ErrMalformed, err)
	}
	want, err := outside(e)
	if err != nil {
		return nil, err
	}
	if want.Head.Time != s.Head.Time || want.HasContent != s.HasContent || want.InfoSum != s.InfoSum || want.InfoHashV1 != s.InfoHashV1 ||
		want.HasV1 != s.HasV1 || want.Size != s.Size || want.Drops != s.Drops || want.Index != s.Index {
		return nil, fmt.Errorf("open an entry: %w: inside is another torrent, index or time than outside", ErrMalformed)
	}
	return e, nil
}

// openBox decrypts an age file of at most limit bytes.
func openBox(box []byte, limit int64, ids []age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(box), ids...)
	if err != nil {
		return nil, openFailed(err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, openFailed(err)
	}
	if int64(len(plain)) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrMalformed, limit)
	}
	return plain, nil
}
