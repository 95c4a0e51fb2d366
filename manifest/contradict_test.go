package manifest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// twoFaced builds a torrent with the SHA-1 hashes of one file and the SHA-256
// hashes of another of the same name and size.
func twoFaced(t *testing.T, format Format) (tor *Torrent, one, two []byte) {
	t.Helper()
	one, two = bytes.Repeat([]byte("one "), 10000), bytes.Repeat([]byte("two "), 10000)
	var made [2]*Torrent
	for i, content := range [][]byte{one, two} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
		var err error
		if made[i], _, err = Build(t.Context(), []string{path}, BuildOptions{Format: format, PieceLength: BlockSize}); err != nil {
			t.Fatal(err)
		}
	}
	made[1].sha1 = made[0].sha1
	return made[1], one, two
}

func TestContradicts(t *testing.T) {
	for _, format := range []Format{FormatHybrid, FormatV1} {
		tor, one, two := twoFaced(t, format)
		for i := range tor.NumPieces() {
			from, size := int64(i)*tor.PieceLength, tor.PieceSize(i)
			if !tor.Contradicts(i, one[from:from+size]) {
				t.Errorf("%s: piece %d of what SHA-1 names is no contradiction", format, i)
			}
			for name, other := range map[string][]byte{
				"what SHA-256 names": two[from : from+size], "garbage": make([]byte, size), "nothing": nil,
			} {
				if tor.Contradicts(i, other) {
					t.Errorf("%s: piece %d: %s is a contradiction", format, i, name)
				}
			}
		}
		if tor.Contradicts(-1, nil) || tor.Contradicts(tor.NumPieces(), nil) {
			t.Errorf("%s: pieces that do not exist contradict", format)
		}
	}
}
