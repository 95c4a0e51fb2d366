package manifest

import (
	"bytes"
	"math/bits"
	"testing"
)

// layered makes a torrent of one file with so many pieces of 16 KiB.
func layered(t *testing.T, pieces int) (*Torrent, [32]byte, []byte) {
	t.Helper()
	layer := make([]byte, 0, 32*pieces)
	for i := range pieces {
		layer = append(layer, bytes.Repeat([]byte{byte(i), byte(i>>8) + 1}, 16)...)
	}
	root := layerRoot(layer, BlockSize)
	tor := &Torrent{PieceLength: BlockSize, layers: &layerSet{known: map[[32]byte][]byte{}, size: map[[32]byte]int{root: len(layer)}}}
	if err := tor.AddLayer(root, layer); err != nil {
		t.Fatal(err)
	}
	return tor, root, layer
}

// climb computes the root from an answer, as its receiver does.
func climb(hashes [][32]byte, index, length int) [32]byte {
	node := merkleRoot(append([]hash256(nil), hashes[:length]...), hash256{})
	at := index / length
	for _, uncle := range hashes[length:] {
		if at%2 == 0 {
			node = join(node, uncle)
		} else {
			node = join(uncle, node)
		}
		at /= 2
	}
	return node
}

func TestHashesProveThemselves(t *testing.T) {
	for _, pieces := range []int{2, 3, 4, 5, 512, 513, 600, 1024, 1300} {
		tor, root, layer := layered(t, pieces)
		width := 1 << bits.Len(uint(pieces-1))
		height := bits.Len(uint(width)) - 1
		for length := 2; length <= width; length *= 2 {
			for index := 0; index < width; index += length {
				got, ok := tor.Hashes(root, index, length, height)
				if !ok {
					t.Fatalf("%d pieces: no answer for %d+%d", pieces, index, length)
				}
				if climb(got, index, length) != root {
					t.Fatalf("%d pieces: the proof of %d+%d does not lead to the root", pieces, index, length)
				}
				for i := range length {
					if p := index + i; p < pieces && !bytes.Equal(got[i][:], layer[32*p:32*p+32]) {
						t.Fatalf("%d pieces: hash %d of %d+%d is wrong", pieces, i, index, length)
					}
				}
			}
		}
	}
}

func TestHashesRefuse(t *testing.T) {
	tor, root, _ := layered(t, 600)
	for _, ask := range []struct {
		root                  [32]byte
		index, length, proofs int
	}{
		{[32]byte{1}, 0, 512, 0}, {root, 0, 1, 0}, {root, 0, 3, 0}, {root, 1, 2, 0}, {root, -2, 2, 0},
		{root, 1024, 2, 0}, {root, 512, 1024, 0}, {root, 0, 2, 11}, {root, 0, 2, -1}, {root, 0, 1 << 40, 0},
	} {
		if got, ok := tor.Hashes(ask.root, ask.index, ask.length, ask.proofs); ok {
			t.Errorf("%+v was answered with %d hashes", ask, len(got))
		}
	}
}
