package manifest

import (
	"errors"
	"iter"
	"slices"
	"sort"
	"sync"
)

// Errors that callers tell apart; every error of the package that has one of
// these reasons wraps it.
var (
	// ErrChanged: a file was changed while it was hashed.
	ErrChanged = errors.New("the file changed while it was hashed")
	// ErrUnsafePath: a name that may not become a path on disk.
	ErrUnsafePath = errors.New("unsafe path")
	// ErrCollision: two paths that cannot both exist in one tree.
	ErrCollision = errors.New("colliding paths")
	// ErrUnsupported: something that is neither file, directory nor symlink.
	ErrUnsupported = errors.New("not a file, directory or symlink")
	// ErrMalformed: bytes that are not what they should be.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge: more than the formats or the engine can carry.
	ErrTooLarge = errors.New("too large")
	// ErrMismatch: bytes that are not those which were hashed.
	ErrMismatch = errors.New("hash mismatch")
)

// Limits, all of them checked when a torrent is parsed as well as when it is built.
const (
	// BlockSize is the length of a leaf of a v2 merkle tree, in bytes.
	BlockSize = 16 << 10
	// MaxInfo is how many bytes an info dict may have: what BEP 9 can carry here.
	MaxInfo = 16 << 20
	// MaxPieces is how many pieces a torrent may have.
	MaxPieces = 1 << 24
	// MaxPieceLength is the largest piece, in bytes.
	MaxPieceLength = 128 << 20
	// MaxMetainfo is how many bytes Parse accepts: the info dict, the piece layers
	// of the most pieces, and room for the rest.
	MaxMetainfo = MaxInfo + 32*MaxPieces + 1<<20
)

// Torrent is the content of one info dict, and what is known beside it. It is
// made by [Build], [Parse] or [ParseInfo] and does not change afterwards, except
// that [Torrent.AddLayer] adds what was not known; all methods are safe for use
// by several goroutines. The slices belong to the Torrent: callers only read.
type Torrent struct {
	InfoBytes   []byte     // the info dict as it is hashed
	Name        string     // of the file or of the directory that holds Files
	PieceLength int64      // bytes
	Files       []File     // in the order of their bytes
	EmptyDirs   [][]string // below Name, ascending
	Trackers    []string   // URLs, in the order in which they are tried
	WebSeeds    []string   // URLs (BEP 19)
	Private     bool       // BEP 27

	salt        []byte     // goes into the info dict that is built
	writtenName string     // Name in another spelling; "" when it has none
	written     []spelling // each file, symlink and directory whose own name has another one, ascending by path

	single   bool
	v1, v2   bool
	length   int64 // payload bytes
	v1Length int64 // bytes of the v1 piece space, pads included
	pieces   int
	sha1     []byte  // 20 a piece, aliases InfoBytes; nil without v1
	sha256   []byte  // 32 a piece, our own list, aliases InfoBytes; or nil
	filled   []int32 // files that have bytes and are no pads, ascending
	infoSHA1 [20]byte
	infoSum  [32]byte
	layers   *layerSet // shared by all copies made with WithSources
	outer    []member  // keys of the metainfo as they were read, info and piece layers excepted
	// printLayers: the metainfo has the key piece layers even if none is known.
	printLayers bool
}

// File is one entry of a torrent.
type File struct {
	// Path is below Name. The file of a Single torrent has one element, Name; a
	// pad has no path.
	Path   []string
	Length int64 // bytes
	// Offset of the first byte in the piece space: piece i starts at
	// i*PieceLength. The pads of hybrids and the gaps of v2 are counted.
	Offset int64
	Pad    bool // zeros that align the next file (BEP 47): never on disk
	Exec   bool // executable (BEP 47)
	// Symlink, when not nil, makes this a symbolic link; it is the path of its
	// target from the torrent's root, ["."] being the root itself. A file may
	// not lie below a link. The target need not exist.
	Symlink []string
	// PiecesRoot is the root of the file's merkle tree (BEP 52); zero when the
	// torrent has no v2 part and for empty files.
	PiecesRoot [32]byte
}

// Span is a part of a file.
type Span struct {
	File   int   // index into Torrent.Files
	Offset int64 // bytes, in the file
	Length int64 // bytes
}

// member is one key of a dictionary with its encoded value.
type member struct {
	key   string
	value []byte
}

// layerSet holds the piece layers that are known. Shared between copies of a
// Torrent; mu guards known.
type layerSet struct {
	mu    sync.RWMutex
	known map[[32]byte][]byte
	size  map[[32]byte]int // bytes of the layer of each root that has one; immutable
}

// Length returns the payload in bytes: without pads.
func (t *Torrent) Length() int64 { return t.length }

// Single tells whether the torrent is one file and not a directory.
func (t *Torrent) Single() bool { return t.single }

// NumPieces returns how many pieces there are.
func (t *Torrent) NumPieces() int { return t.pieces }

// HasV1 tells whether the torrent has SHA-1 pieces (BEP 3).
func (t *Torrent) HasV1() bool { return t.v1 }

// HasV2 tells whether the torrent has a file tree (BEP 52).
func (t *Torrent) HasV2() bool { return t.v2 }

// HasSHA256 tells whether every piece can be checked with SHA-256 from the info
// dict alone or with piece layers; it is false for v1 torrents of others.
func (t *Torrent) HasSHA256() bool { return t.v2 || t.sha256 != nil || t.pieces == 0 }

// InfoHash returns what names the torrent on the wire, at trackers and in LSD:
// the v1 infohash, or the first 20 bytes of the v2 infohash without v1.
func (t *Torrent) InfoHash() [20]byte {
	if t.v1 {
		return t.infoSHA1
	}
	return [20]byte(t.infoSum[:20])
}

// InfoHashV1 returns the SHA-1 of the info dict, and whether it names a v1 torrent.
func (t *Torrent) InfoHashV1() ([20]byte, bool) {
	if !t.v1 {
		return [20]byte{}, false
	}
	return t.infoSHA1, true
}

// InfoHashV2 returns the SHA-256 of the info dict, and whether it names a v2 torrent.
func (t *Torrent) InfoHashV2() ([32]byte, bool) {
	if !t.v2 {
		return [32]byte{}, false
	}
	return t.infoSum, true
}

// InfoSum returns the SHA-256 of the info dict, which pins everything in it
// whatever the format; it is the v2 infohash where there is one.
func (t *Torrent) InfoSum() [32]byte { return t.infoSum }

// PieceSize returns the bytes that are moved and stored for piece i. In hybrids
// and v2 a piece ends with its file, in plain v1 only with the torrent. It panics
// unless 0 <= i < NumPieces.
func (t *Torrent) PieceSize(i int) int64 {
	if i < 0 || i >= t.pieces {
		panic("manifest: piece index out of range")
	}
	start := int64(i) * t.PieceLength
	if t.v2 {
		f := &t.Files[t.fileOfPiece(i)]
		return min(t.PieceLength, f.Offset+f.Length-start)
	}
	return min(t.PieceLength, t.v1Length-start)
}

// fileOfPiece returns the file that piece i of a v2 torrent belongs to.
func (t *Torrent) fileOfPiece(i int) int {
	start := int64(i) * t.PieceLength
	n := sort.Search(len(t.filled), func(k int) bool { return t.Files[t.filled[k]].Offset > start })
	return int(t.filled[n-1])
}

// Spans yields where the n bytes from off on of piece i lie, in order; what is
// beyond PieceSize(i) is left out. Pads of plain v1 torrents appear as their
// files (File.Pad), since their zeros are part of the piece.
func (t *Torrent) Spans(i int, off, n int64) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		if i < 0 || i >= t.pieces || off < 0 {
			return
		}
		start := int64(i)*t.PieceLength + off
		end := start + min(n, t.PieceSize(i)-off)
		// The first file that ends behind start.
		k := sort.Search(len(t.Files), func(k int) bool { return t.Files[k].Offset+t.Files[k].Length > start })
		for ; k < len(t.Files) && start < end; k++ {
			f := &t.Files[k]
			if f.Length == 0 {
				continue
			}
			s := Span{File: k, Offset: start - f.Offset, Length: min(end, f.Offset+f.Length) - start}
			if s.Offset < 0 || s.Length <= 0 || !yield(s) {
				return
			}
			start += s.Length
		}
	}
}

// SparseTree tells whether a v2 torrent has a file without bytes, empty or a
// symlink, behind one that has some. That is good BEP 52, but a client that finds
// the one file of a piece by counting may stumble over it, so FormatAuto does not
// make such torrents, and who hands one to such a client must ask first.
func (t *Torrent) SparseTree() bool {
	if !t.v2 {
		return false
	}
	bytes := false
	for i := range t.Files {
		f := &t.Files[i]
		if f.Pad {
			continue
		}
		if bytes && f.Length == 0 {
			return true
		}
		bytes = bytes || f.Length > 0
	}
	return false
}

// WithSources returns a copy of t that names other trackers and web seeds. The
// copy shares everything else, later layers included.
func (t *Torrent) WithSources(trackers, webSeeds []string) *Torrent {
	c := *t
	c.Trackers, c.WebSeeds = slices.Clone(trackers), slices.Clone(webSeeds)
	return &c
}
