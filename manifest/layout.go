package manifest

import (
	"fmt"
	"math/bits"
)

// Format chooses how a torrent is laid out. See the package doc.
type Format int

const (
	// FormatAuto is FormatHybrid when its padding costs clients that know no
	// pads at most 1/32 of the payload, the info dict stays under 8 MiB and no
	// file lacks bytes (see Torrent.SparseTree), and FormatV1 otherwise.
	FormatAuto Format = iota
	// FormatHybrid has v1 pieces with pads and a v2 file tree.
	FormatHybrid
	// FormatV2 has a file tree alone: for clients with BEP 52 only.
	FormatV2
	// FormatV1 has v1 pieces without pads, and beside them a SHA-256 of each
	// piece under our own key.
	FormatV1
)

func (f Format) String() string {
	switch f {
	case FormatAuto:
		return "auto"
	case FormatHybrid:
		return "hybrid"
	case FormatV2:
		return "v2"
	case FormatV1:
		return "v1"
	}
	return fmt.Sprintf("format %d", int(f))
}

const (
	// roomyInfo is what an info dict should stay under, half of MaxInfo.
	roomyInfo = 8 << 20
	// mostHashes is how many bytes of piece hashes the info dict may have before
	// pieces grow; the rest of roomyInfo is for names.
	mostHashes = 4 << 20
	// paddingShare: hybrids may pad 1/32 of the payload.
	paddingShare = 32

	minPieceLength = 32 << 10
	maxPieceLength = 1 << 20
	deltaLength    = 64 << 10
)

// choosePieceLength returns the piece length for a payload of size bytes. The best length x for N peers and F bytes
// makes the last piece's way through the swarm (N·x/F) as dear as the messages
// that announce pieces (140/x), so it is √(140·F).
func choosePieceLength(size int64, delta bool) int64 {
	x := int64(minPieceLength)
	if delta {
		x = deltaLength
	} else {
		for x < maxPieceLength && 4*x*x <= 140*min(size, 1<<40) {
			x *= 2
		}
	}
	// 52 bytes a piece: SHA-1 and SHA-256 in plain v1, which has the most.
	for x < MaxPieceLength && size/x*52 > mostHashes {
		x *= 2
	}
	return x
}

// checkPieceLength refuses a length that the user chose if no torrent can have it.
func checkPieceLength(n int64) error {
	if n < BlockSize || n > MaxPieceLength || bits.OnesCount64(uint64(n)) != 1 {
		return fmt.Errorf("piece length %d: it must be a power of two from %d to %d bytes", n, BlockSize, MaxPieceLength)
	}
	return nil
}

// padding returns how many bytes of pads a hybrid of files would have.
func padding(files []File, pieceLength int64) (n int64) {
	for i := range files {
		if rest := files[i].Length % pieceLength; rest != 0 && i < len(files)-1 {
			n += pieceLength - rest
		}
	}
	return n
}

// arrange lays t.Files out in the format that is asked for, or that suits, and
// makes room for the hashes.
func (t *Torrent) arrange(format Format) error {
	flat := t.Files
	// BEP 52 tells a directory with one file of its own name from that file by
	// nothing, and pads are files below .pad in clients that do not know them.
	ambiguous := !t.single && len(flat) == 1 && len(flat[0].Path) == 1 && flat[0].Path[0] == t.Name
	pads, sparse := false, false
	for i := range flat {
		pads = pads || flat[i].Path[0] == ".pad"
		sparse = sparse || flat[i].Length == 0
	}
	switch format {
	case FormatAuto:
		if !ambiguous && !pads && !sparse && padding(flat, t.PieceLength) <= t.length/paddingShare {
			t.shape(flat, true, true)
			if len(t.encodeInfo()) <= roomyInfo {
				return nil
			}
		}
		t.shape(flat, true, false)
	case FormatV1:
		t.shape(flat, true, false)
	case FormatHybrid, FormatV2:
		if ambiguous {
			return fmt.Errorf("publish %q as %s: a v2 torrent cannot tell a directory with one file of its own name from that file; choose another name or format v1", t.Name, format)
		}
		if pads && format == FormatHybrid {
			return fmt.Errorf("publish %q as %s: %w: its directory .pad would mix with the pads of other clients; rename it or choose format v1 or v2", t.Name, format, ErrCollision)
		}
		t.shape(flat, format == FormatHybrid, true)
	default:
		return fmt.Errorf("publish %q: unknown %s", t.Name, format)
	}
	if t.pieces > MaxPieces {
		return fmt.Errorf("publish %q: %w: %d pieces, more than %d; choose larger pieces", t.Name, ErrTooLarge, t.pieces, MaxPieces)
	}
	if n := len(t.encodeInfo()); n > MaxInfo {
		return fmt.Errorf("publish %q: %w: %d files make an info dict of %d bytes, and peers can exchange %d; publish parts of it, or larger pieces", t.Name, ErrTooLarge, len(flat), n, MaxInfo)
	}
	return nil
}

// shape places flat, the files without pads, in t.
func (t *Torrent) shape(flat []File, v1, v2 bool) {
	t.v1, t.v2, t.sha1, t.sha256 = v1, v2, nil, nil
	t.Files = flat
	var end int64
	switch {
	case v1 && v2:
		t.Files = withPads(flat, t.PieceLength)
		for i := range t.Files {
			end = t.Files[i].Offset + t.Files[i].Length
		}
	default:
		for i := range flat {
			flat[i].Offset = end
			end += flat[i].Length
			if v2 {
				end = (end + t.PieceLength - 1) / t.PieceLength * t.PieceLength
			}
		}
	}
	t.v1Length = end
	t.pieces = int((end + t.PieceLength - 1) / t.PieceLength)
	if t.pieces > MaxPieces {
		return // arrange refuses it
	}
	if v1 {
		t.sha1 = make([]byte, 20*t.pieces)
	}
	if v1 && !v2 {
		t.sha256 = make([]byte, 32*t.pieces)
	}
}
