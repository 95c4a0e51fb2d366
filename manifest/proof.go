package manifest

import "math/bits"

// maxHashes bounds what one answer to a hash request carries (BEP 52).
const maxHashes = 8192

// Hashes answers a hash request of BEP 52 for the piece layer below root: length
// nodes of the layer from index on, and then the uncles that proofs ancestors
// need, as far as they cannot be computed from the nodes. Past the file's end the
// layer goes on with nodes over no data. It reports false when the layer is not
// known or the request makes no sense.
func (t *Torrent) Hashes(root [32]byte, index, length, proofs int) ([][32]byte, bool) {
	layer := t.Layer(root)
	if layer == nil || length < 2 || length > maxHashes || bits.OnesCount(uint(length)) != 1 ||
		index < 0 || index%length != 0 || proofs < 0 {
		return nil, false
	}
	pieces := len(layer) / 32
	width := 1 << bits.Len(uint(pieces-1)) // of the layer, a power of two
	height := bits.Len(uint(width)) - 1    // layers between it and the root
	if index+length > width || proofs > height {
		return nil, false
	}
	nodes := make([]hash256, pieces)
	for i := range nodes {
		nodes[i] = hash256(layer[32*i:])
	}
	pad := layerPad(t.PieceLength)
	at := func(i int) hash256 {
		if i < len(nodes) {
			return nodes[i]
		}
		return pad
	}
	out := make([][32]byte, 0, length+proofs)
	for i := range length {
		out = append(out, at(index+i))
	}
	inside := bits.Len(uint(length)) - 1 // layers of the tree over the nodes asked for
	for level := 1; level <= proofs && level < height; level++ {
		for i := 0; i < len(nodes); i += 2 {
			nodes[i/2] = join(nodes[i], at(i+1))
		}
		nodes = nodes[:(len(nodes)+1)/2]
		pad = join(pad, pad)
		if level >= inside {
			out = append(out, at(index>>level^1))
		}
	}
	return out, true
}
