package manifest

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"slices"

	"handful/manifest/bencode"

	"github.com/minio/sha256-simd"
)

// ParseInfo reads an info dict: v1, v2 or hybrid, ours or of others. It copies
// info. What is hostile about it is refused: see the package doc. Errors wrap
// ErrMalformed, ErrUnsafePath, ErrCollision, ErrTooLarge or bencode.ErrSyntax.
func ParseInfo(info []byte) (*Torrent, error) {
	t, err := parseInfo(bytes.Clone(info))
	if err != nil {
		return nil, fmt.Errorf("info dict: %w", err)
	}
	return t, nil
}

// infoDict is an info dict as it was read, before its parts are held against
// each other.
type infoDict struct {
	name, nameUTF8 string
	pieceLength    int64
	pieces         []byte
	hasPieces      bool
	length         int64
	hasLength      bool
	files          []File // v1
	hasFiles       bool
	attr           string
	metaVersion    int64
	tree           []File // v2, in order
	hasTree        bool
	sha256         []byte
	emptyDirs      [][]string
	private        bool
	writtenName    *string
	writtenPaths   [][]string
}

func parseInfo(info []byte) (*Torrent, error) {
	if len(info) > MaxInfo {
		return nil, fmt.Errorf("%w: %d bytes, more than the %d that peers can exchange", ErrTooLarge, len(info), MaxInfo)
	}
	d, err := readInfo(info)
	if err != nil {
		return nil, err
	}
	t := &Torrent{InfoBytes: info, Name: d.name, PieceLength: d.pieceLength, EmptyDirs: d.emptyDirs, Private: d.private}
	if d.nameUTF8 != "" {
		t.Name = d.nameUTF8
	}
	if err := checkElement(t.Name); err != nil {
		return nil, err
	}
	t.v2 = d.hasTree
	t.v1 = d.hasPieces || d.hasFiles || d.hasLength || !d.hasTree
	if err := t.checkVersion(d); err != nil {
		return nil, err
	}
	if t.v1 {
		err = t.layoutV1(d)
	}
	if err == nil && t.v2 {
		err = t.layoutV2(d)
	}
	if err != nil {
		return nil, err
	}
	if err := checkTree(t.Files, t.EmptyDirs, nfc); err != nil {
		return nil, err
	}
	if t.single && len(t.EmptyDirs) > 0 {
		return nil, fmt.Errorf("%w: a single file with empty directories", ErrMalformed)
	}
	if err := t.readWritten(d.writtenName, d.writtenPaths); err != nil {
		return nil, err
	}
	t.infoSHA1, t.infoSum = sha1.Sum(info), sha256.Sum256(info)
	return t, t.index()
}

// readInfo reads the keys that matter and skips the others, checking only their
// spelling.
func readInfo(info []byte) (*infoDict, error) {
	d := new(infoDict)
	r := bencode.NewReader(info)
	p := newPathReader(r)
	r.Dict(func(key string) {
		switch key {
		case "attr":
			d.attr = r.String()
		case "empty directories":
			d.emptyDirs = p.paths(key)
		case "file tree":
			d.tree, d.hasTree = p.tree(), true
		case "files":
			d.files, d.hasFiles = p.list(), true
		case "length":
			d.length, d.hasLength = p.length(), true
		case "meta version":
			d.metaVersion = r.Int()
		case "name":
			d.name = r.String()
		case "name.utf-8":
			d.nameUTF8 = r.String()
		case "piece length":
			d.pieceLength = r.Int()
		case "pieces":
			d.pieces, d.hasPieces = r.Bytes(), true
		case "private":
			if r.Kind() == 'i' {
				d.private = r.Int() == 1
			} else {
				r.Skip()
			}
		case "sha256 pieces":
			d.sha256 = r.Bytes()
		case "written name":
			d.writtenName = new(r.String())
		case "written paths":
			d.writtenPaths = p.paths(key)
		default:
			r.Skip()
		}
	})
	return d, r.End()
}

// checkVersion holds the keys against the versions of the format that they make.
func (t *Torrent) checkVersion(d *infoDict) error {
	bad := func(what string, args ...any) error {
		return fmt.Errorf("%w: "+what, append([]any{ErrMalformed}, args...)...)
	}
	switch n := d.pieceLength; {
	case d.metaVersion < 0 || d.metaVersion > 2:
		return bad("meta version %d is not known; a newer program may be needed", d.metaVersion)
	case (d.metaVersion == 2) != d.hasTree:
		return bad("meta version %d and file tree: %t contradict each other", d.metaVersion, d.hasTree)
	case n < 1 || n > MaxPieceLength:
		return bad("piece length %d is not within 1 and %d", n, MaxPieceLength)
	case t.v2 && (n < BlockSize || n&(n-1) != 0):
		return bad("piece length %d is no power of two of at least %d", n, BlockSize)
	case t.v1 && !d.hasPieces:
		return bad("no pieces")
	case t.v1 && d.hasFiles == d.hasLength:
		return bad("one of files and length is needed, not both")
	case slices.Contains([]byte(d.attr), 'l'):
		return bad("a single file that is a symlink")
	case d.sha256 != nil && t.v2:
		return bad("sha256 pieces beside a file tree, which has SHA-256 of its own")
	case len(d.pieces)%20 != 0 || len(d.pieces)/20 > MaxPieces:
		return bad("pieces of %d bytes: not 20 for each of at most %d", len(d.pieces), MaxPieces)
	}
	return nil
}

// layoutV1 places the files of the v1 list one behind the other.
func (t *Torrent) layoutV1(d *infoDict) error {
	t.Files, t.single = d.files, d.hasLength
	if t.single {
		t.Files = []File{{Path: []string{t.Name}, Length: d.length, Exec: slices.Contains([]byte(d.attr), 'x')}}
	}
	t.pieces, t.sha1 = len(d.pieces)/20, d.pieces
	// What the hashes cover bounds every sum below: 2^24 pieces of 2^27 bytes.
	most := int64(t.pieces) * t.PieceLength
	for i := range t.Files {
		f := &t.Files[i]
		f.Offset = t.v1Length
		if f.Length > most-t.v1Length {
			return fmt.Errorf("%w: the files are longer than their %d pieces", ErrMalformed, t.pieces)
		}
		t.v1Length += f.Length
		if !f.Pad {
			t.length += f.Length
		}
	}
	if t.v1Length <= most-t.PieceLength {
		return fmt.Errorf("%w: %d bytes of files and %d pieces of %d bytes", ErrMalformed, t.v1Length, t.pieces, t.PieceLength)
	}
	if d.sha256 != nil {
		if len(d.sha256) != 32*t.pieces {
			return fmt.Errorf("%w: sha256 pieces of %d bytes for %d pieces", ErrMalformed, len(d.sha256), t.pieces)
		}
		t.sha256 = d.sha256
	}
	return nil
}

// layoutV2 places the files of the file tree, each at the start of a piece. In a
// hybrid it holds them against the v1 list, which stays, with its pads.
func (t *Torrent) layoutV2(d *infoDict) error {
	var offset int64
	most := int64(MaxPieces) * t.PieceLength
	for i := range d.tree {
		f := &d.tree[i]
		f.Offset = offset
		if f.Length > most-offset {
			return fmt.Errorf("%w: the file tree has more than %d pieces", ErrTooLarge, MaxPieces)
		}
		offset += (f.Length + t.PieceLength - 1) / t.PieceLength * t.PieceLength
	}
	pieces := int(offset / t.PieceLength)
	if !t.v1 {
		t.Files, t.pieces = d.tree, pieces
		for i := range t.Files {
			t.length += t.Files[i].Length
		}
		t.single = len(t.Files) == 1 && len(t.Files[0].Path) == 1 && t.Files[0].Path[0] == t.Name && t.Files[0].Symlink == nil
		return nil
	}
	if pieces != t.pieces {
		return fmt.Errorf("%w: %d v1 pieces and %d v2 pieces", ErrMalformed, t.pieces, pieces)
	}
	return t.mergeTree(d.tree)
}

// mergeTree gives the files of the v1 list what the file tree says of them, and
// refuses a tree that does not say the same of names, order, lengths and places.
func (t *Torrent) mergeTree(tree []File) error {
	differ := func(i int, what string) error {
		return fmt.Errorf("%w: the v1 files and the v2 file tree disagree at %q: %s", ErrMalformed, t.Files[i].Path, what)
	}
	k := 0
	for i := range t.Files {
		f := &t.Files[i]
		if f.Pad {
			continue
		}
		if k == len(tree) {
			return differ(i, "the tree ends before it")
		}
		g := &tree[k]
		k++
		switch {
		case !slices.Equal(f.Path, g.Path):
			return differ(i, fmt.Sprintf("the tree has %q", g.Path))
		case f.Length != g.Length:
			return differ(i, fmt.Sprintf("%d and %d bytes", f.Length, g.Length))
		case f.Length > 0 && f.Offset != g.Offset:
			return differ(i, fmt.Sprintf("it starts at byte %d of the v1 pieces and at %d of the v2 pieces", f.Offset, g.Offset))
		case !slices.Equal(f.Symlink, g.Symlink) || (f.Symlink == nil) != (g.Symlink == nil):
			return differ(i, "the targets of the symlink")
		}
		f.PiecesRoot, f.Exec = g.PiecesRoot, g.Exec
	}
	if k != len(tree) {
		return fmt.Errorf("%w: the v1 files and the v2 file tree disagree: only the tree has %q", ErrMalformed, tree[k].Path)
	}
	return nil
}

// index prepares the look-ups of a torrent that is otherwise complete.
func (t *Torrent) index() error {
	t.layers = &layerSet{known: make(map[hash256][]byte), size: make(map[hash256]int)}
	if !t.v2 {
		return nil
	}
	t.printLayers = true
	t.indexFilled()
	for _, i := range t.filled {
		f := &t.Files[i]
		if f.Length <= t.PieceLength {
			continue
		}
		size := int((f.Length + t.PieceLength - 1) / t.PieceLength * 32)
		if have, ok := t.layers.size[f.PiecesRoot]; ok && have != size {
			return fmt.Errorf("%w: files of different lengths have the pieces root %x", ErrMalformed, f.PiecesRoot)
		}
		t.layers.size[f.PiecesRoot] = size
	}
	return nil
}

// indexFilled lists the files of a v2 torrent that have pieces.
func (t *Torrent) indexFilled() {
	t.filled = nil
	if !t.v2 {
		return
	}
	for i := range t.Files {
		if f := &t.Files[i]; f.Length > 0 && !f.Pad {
			t.filled = append(t.filled, int32(i))
		}
	}
	t.filled = slices.Clip(t.filled)
}
