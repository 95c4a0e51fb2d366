package channel

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"

	"handful/manifest/bencode"
	"handful/signing"
	"handful/swarm/discover/mainline"
)

// RootSalt is the salt of the item that has the channel's newest root document, under the
// channel's DHT key; the item of a writer of that name stands under another key.
const RootSalt = "root"

// pointerBytes is what the pointer of BEP 46 takes in a value.
const pointerBytes = len("2:ih20:") + 20

// ItemValue makes the value of a writer's item in the DHT: an update for strangers with as
// many of the newest entries as fit, else the head alone. within makes an update of at most
// so many bytes, as far as it can. pointer is the infohash that BEP 46 clients are to fetch;
// nil: none. ok is false when not even the head fits.
func ItemValue(within func(limit int) (signing.Update, bool), pointer []byte) (value []byte, ok bool) {
	limit := mainline.MaxValue
	if pointer != nil {
		limit -= pointerBytes
	}
	u, ok := within(limit)
	if !ok {
		return nil, false
	}
	if len(u.Bytes()) > limit {
		u = signing.Update{Head: u.Head, Root: u.Root}
	}
	u.Infohash = pointer
	if value = u.Bytes(); len(value) > mainline.MaxValue {
		return nil, false
	}
	return value, true
}

// PackRoot makes the value of the item with a root document: a string with the document
// deflated (RFC 1951). ok is false when that is too large.
func PackRoot(raw []byte) (value []byte, ok bool) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, false
	}
	if _, err := w.Write(raw); err != nil || w.Close() != nil {
		return nil, false
	}
	value = bencode.AppendString(nil, b.Bytes())
	return value, len(value) <= mainline.MaxValue
}

// UnpackRoot reads what PackRoot made. The document is at most signing.MaxRoot bytes, and
// is not verified.
func UnpackRoot(value []byte) ([]byte, error) {
	r := bencode.NewReader(value)
	packed := r.Bytes()
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("root document in an item: %w", err)
	}
	in := bytes.NewReader(packed)
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(in), signing.MaxRoot+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("root document in an item: %w", err)
	case len(raw) > signing.MaxRoot:
		return nil, fmt.Errorf("root document in an item: more than %d bytes", signing.MaxRoot)
	case in.Len() > 0:
		return nil, errors.New("root document in an item: bytes behind it")
	}
	return raw, nil
}
