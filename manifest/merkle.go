package manifest

import (
	"io"

	"github.com/minio/sha256-simd"
)

type hash256 = [32]byte

// join returns the parent of two nodes.
func join(left, right hash256) hash256 {
	var both [64]byte
	copy(both[:32], left[:])
	copy(both[32:], right[:])
	return sha256.Sum256(both[:])
}

// merkleRoot returns the root over nodes, filled up to a power of two with pad.
// It works in place: nodes are overwritten.
func merkleRoot(nodes []hash256, pad hash256) hash256 {
	if len(nodes) == 0 {
		return hash256{}
	}
	for len(nodes) > 1 {
		half := nodes[:0]
		for i := 0; i < len(nodes); i += 2 {
			right := pad
			if i+1 < len(nodes) {
				right = nodes[i+1]
			}
			half = append(half, join(nodes[i], right))
		}
		nodes = half
		pad = join(pad, pad)
	}
	return nodes[0]
}

// pieceRoot returns the node of a piece layer over the leaves of one piece: a
// tree as high as a whole piece, missing leaves being zero. It overwrites leaves.
func pieceRoot(leaves []hash256, pieceLength int64) hash256 {
	root, pad := leaves, hash256{}
	for n := pieceLength / BlockSize; n > 1; n /= 2 {
		half := root[:0]
		for i := 0; i < len(root); i += 2 {
			right := pad
			if i+1 < len(root) {
				right = root[i+1]
			}
			half = append(half, join(root[i], right))
		}
		root = half
		pad = join(pad, pad)
	}
	return root[0]
}

// layerPad returns the node of a piece layer that stands for no data at all.
func layerPad(pieceLength int64) hash256 {
	var pad hash256
	for n := pieceLength / BlockSize; n > 1; n /= 2 {
		pad = join(pad, pad)
	}
	return pad
}

// layerRoot returns the pieces root above a piece layer of 32 bytes a piece.
func layerRoot(layer []byte, pieceLength int64) hash256 {
	nodes := make([]hash256, len(layer)/32)
	for i := range nodes {
		nodes[i] = hash256(layer[32*i:])
	}
	return merkleRoot(nodes, layerPad(pieceLength))
}

// appendLeaves appends the hash of each 16 KiB block of data, the last one as
// short as it is.
func appendLeaves(leaves []hash256, data []byte) []hash256 {
	for len(data) > 0 {
		n := min(len(data), BlockSize)
		leaves = append(leaves, sha256.Sum256(data[:n]))
		data = data[n:]
	}
	return leaves
}

// readRoot returns the pieces root of the length bytes that r gives. It holds
// one piece's leaves and the layer above, never the bytes.
func readRoot(r io.Reader, length, pieceLength int64) (hash256, error) {
	var block [BlockSize]byte
	var layer, leaves []hash256
	for done := int64(0); done < length; {
		n := min(BlockSize, length-done)
		if _, err := io.ReadFull(r, block[:n]); err != nil {
			return hash256{}, err
		}
		done += n
		leaves = append(leaves, sha256.Sum256(block[:n]))
		if length > pieceLength && (done == length || int64(len(leaves)) == pieceLength/BlockSize) {
			layer = append(layer, pieceRoot(leaves, pieceLength))
			leaves = leaves[:0]
		}
	}
	if length <= pieceLength {
		return merkleRoot(leaves, hash256{}), nil
	}
	return merkleRoot(layer, layerPad(pieceLength)), nil
}
