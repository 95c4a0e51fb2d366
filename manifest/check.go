package manifest

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/minio/sha256-simd"
)

// Verdict is what Check finds.
type Verdict int

const (
	// Bad: the bytes are not those of the piece.
	Bad Verdict = iota
	// SHA1Only: the v1 hash fits, but no SHA-256 is known for the piece: the
	// piece layer is missing, or the torrent has none at all.
	SHA1Only
	// Good: SHA-256 fits, and SHA-1 too where there is one.
	Good
)

func (v Verdict) String() string {
	switch v {
	case Bad:
		return "bad"
	case SHA1Only:
		return "sha1 only"
	case Good:
		return "good"
	}
	return fmt.Sprintf("verdict %d", int(v))
}

// Check compares data, the PieceSize(i) bytes of piece i, with every hash that
// is known. A v2 piece whose layer is missing and that has no v1 hash cannot be
// checked and is Bad; see MissingLayers. It allocates at most 32 bytes for each
// 16 KiB of data.
func (t *Torrent) Check(i int, data []byte) Verdict {
	if i < 0 || i >= t.pieces || int64(len(data)) != t.PieceSize(i) {
		return Bad
	}
	if t.v1 && !t.checkSHA1(i, data) {
		return Bad
	}
	switch {
	case t.v2:
		want, known, whole := t.pieceHash(i)
		if !known {
			if t.v1 {
				return SHA1Only
			}
			return Bad
		}
		leaves := appendLeaves(make([]hash256, 0, (len(data)+BlockSize-1)/BlockSize), data)
		got := hash256{}
		if whole {
			got = merkleRoot(leaves, hash256{})
		} else {
			got = pieceRoot(leaves, t.PieceLength)
		}
		if got != want {
			return Bad
		}
	case t.sha256 != nil:
		if sha256.Sum256(data) != hash256(t.sha256[32*i:]) {
			return Bad
		}
	default:
		return SHA1Only
	}
	return Good
}

// CanCheck tells whether Check can ever call piece i Good with what is known now.
func (t *Torrent) CanCheck(i int) bool {
	if i < 0 || i >= t.pieces {
		return false
	}
	if t.v2 {
		_, known, _ := t.pieceHash(i)
		return known
	}
	return t.sha256 != nil
}

func (t *Torrent) checkSHA1(i int, data []byte) bool {
	want := t.sha1[20*i : 20*i+20]
	// What a v1 client hashes goes on to the end of the piece with the zeros of
	// the pad file.
	pad := min(t.PieceLength, t.v1Length-int64(i)*t.PieceLength) - int64(len(data))
	if pad == 0 {
		got := sha1.Sum(data)
		return bytes.Equal(got[:], want)
	}
	h := sha1.New()
	h.Write(data)
	writeZeros(h, pad)
	return bytes.Equal(h.Sum(nil), want)
}

var zeros [4096]byte

func writeZeros(w io.Writer, n int64) {
	for n > 0 {
		k := min(n, int64(len(zeros)))
		w.Write(zeros[:k])
		n -= k
	}
}

// pieceHash returns the SHA-256 node of piece i, whether it is known, and whether
// it covers a file no longer than a piece, whose tree is only as high as needed.
func (t *Torrent) pieceHash(i int) (h hash256, known, whole bool) {
	f := &t.Files[t.fileOfPiece(i)]
	if f.Length <= t.PieceLength {
		return f.PiecesRoot, true, true
	}
	layer := t.Layer(f.PiecesRoot)
	if layer == nil {
		return h, false, false
	}
	return hash256(layer[32*(i-int(f.Offset/t.PieceLength)):]), true, false
}

// Layer names the piece layer of a file that is longer than a piece.
type Layer struct {
	File int      // index into Torrent.Files; the first of several with equal content
	Root [32]byte // its pieces root
	Size int      // bytes of the layer, 32 a piece
}

// MissingLayers returns the piece layers that are not known, each root once, in
// the order of the files. Without them pieces of hybrids can only be checked with
// SHA-1 and pieces of v2 torrents not at all.
func (t *Torrent) MissingLayers() []Layer {
	t.layers.mu.RLock()
	defer t.layers.mu.RUnlock()
	if len(t.layers.known) == len(t.layers.size) {
		return nil
	}
	var missing []Layer
	seen := make(map[hash256]bool)
	for _, i := range t.filled {
		f := &t.Files[i]
		if f.Length <= t.PieceLength || t.layers.known[f.PiecesRoot] != nil || seen[f.PiecesRoot] {
			continue
		}
		seen[f.PiecesRoot] = true
		missing = append(missing, Layer{File: int(i), Root: f.PiecesRoot, Size: t.layers.size[f.PiecesRoot]})
	}
	return missing
}

// Layer returns the piece layer below root, 32 bytes a piece, or nil when it is
// not known. Callers only read it.
func (t *Torrent) Layer(root [32]byte) []byte {
	t.layers.mu.RLock()
	defer t.layers.mu.RUnlock()
	return t.layers.known[root]
}

// AddLayer makes the piece layer below root known, once it is verified against
// it. The layer is copied. Errors wrap ErrMismatch.
func (t *Torrent) AddLayer(root [32]byte, layer []byte) error {
	size, ok := t.layers.size[root]
	if !ok {
		return fmt.Errorf("piece layer of %x: %w: no file of %q has that pieces root and needs a layer", root, ErrMismatch, t.Name)
	}
	if len(layer) != size {
		return fmt.Errorf("piece layer of %x: %w: %d bytes where %d were expected", root, ErrMismatch, len(layer), size)
	}
	if layerRoot(layer, t.PieceLength) != root {
		return fmt.Errorf("piece layer of %x: %w: it does not hash to the pieces root", root, ErrMismatch)
	}
	t.layers.mu.Lock()
	defer t.layers.mu.Unlock()
	if t.layers.known[root] == nil {
		t.layers.known[root] = slices.Clone(layer)
	}
	return nil
}

// CheckFile reads file i of a torrent with v2 from r and tells whether its bytes
// are those that the pieces root names: what is left to do when nobody had the
// piece layer. Fewer or more bytes than the file's length are false; any other
// failure of r is an error. Pads, symlinks and empty files have no pieces root;
// for them only the length is compared.
func (t *Torrent) CheckFile(i int, r io.Reader) (bool, error) {
	f := &t.Files[i]
	if f.Length > 0 && (f.Pad || !t.v2) {
		return false, fmt.Errorf("check %q: the torrent has no pieces root for it", f.Path)
	}
	root, err := readRoot(r, f.Length, t.PieceLength)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("check %q: %w", f.Path, err)
	}
	var more [1]byte
	switch _, err := io.ReadFull(r, more[:]); {
	case err == nil:
		return false, nil
	case err != io.EOF:
		return false, fmt.Errorf("check %q: %w", f.Path, err)
	}
	return root == f.PiecesRoot, nil
}
