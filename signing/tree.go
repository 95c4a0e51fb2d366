package signing

import (
	"crypto/sha256"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// The tree is the Merkle tree of RFC 6962. A node of level l covers 2^l leaves and
// begins at a multiple of 2^l. A compact range [a, b) is the shortest list of nodes,
// left to right, that covers the leaves a to b-1 and nothing else.

// maxRange is more than the nodes that any compact range below 2^53 can have.
const maxRange = 2 * 53

type node struct {
	level int
	hash  [32]byte
}

// levels returns the levels of the nodes of the compact range [a, b).
func levels(a, b int64) []int {
	var out []int
	for a < b {
		// The largest node that begins at a (any does at 0) and ends before b.
		l := bits.Len64(uint64(b-a)) - 1
		if a != 0 {
			l = min(l, bits.TrailingZeros64(uint64(a)))
		}
		out = append(out, l)
		a += 1 << l
	}
	return out
}

// nodesOf gives the hashes of a compact range [a, b) their levels. ok is false when
// their number does not fit.
func nodesOf(a, b int64, hashes [][32]byte) (nodes []node, ok bool) {
	ls := levels(a, b)
	if len(ls) != len(hashes) {
		return nil, false
	}
	for i, l := range ls {
		nodes = append(nodes, node{l, hashes[i]})
	}
	return nodes, true
}

func hashesOf(nodes []node) [][32]byte {
	var out [][32]byte
	for _, n := range nodes {
		out = append(out, n.hash)
	}
	return out
}

// leavesOf returns the leaves of entries as nodes.
func leavesOf(entries [][]byte) []node {
	out := make([]node, 0, len(entries))
	for _, e := range entries {
		out = append(out, node{0, tlog.RecordHash(e)})
	}
	return out
}

// compact joins adjoining nodes, of which the first begins at leaf a, into the
// compact range that they cover.
func compact(a int64, nodes []node) []node {
	var out []node
	end := a
	for _, n := range nodes {
		end += 1 << n.level
		out = append(out, n)
		for len(out) > 1 {
			left, right := out[len(out)-2], out[len(out)-1]
			begin := end - 1<<right.level - 1<<left.level
			if left.level != right.level || begin&(1<<(left.level+1)-1) != 0 {
				break
			}
			out[len(out)-2] = node{left.level + 1, tlog.NodeHash(left.hash, right.hash)}
			out = out[:len(out)-1]
		}
	}
	return out
}

// prefix returns as many of the adjoining nodes, which begin at leaf 0, as cover
// exactly the first size leaves. ok is false when size is within a node.
func prefix(nodes []node, size int64) (head []node, ok bool) {
	var end int64
	for i, n := range nodes {
		if end == size {
			return nodes[:i:i], true
		}
		if end += 1 << n.level; end > size {
			return nil, false
		}
	}
	return nodes, end == size
}

// slice returns the nodes, of those beginning at leaf 0, that cover exactly [a, b), as
// a compact range.
func slice(nodes []node, a, b int64) ([]node, bool) {
	upto, ok := prefix(nodes, b)
	if !ok {
		return nil, false
	}
	before, ok := prefix(upto, a)
	if !ok {
		return nil, false
	}
	return compact(a, upto[len(before):]), true
}

// rootOf returns the root hash over nodes that begin at leaf 0.
func rootOf(nodes []node) [32]byte { return fold(compact(0, nodes)) }

// fold returns the root hash over a compact range.
func fold(c []node) [32]byte {
	if len(c) == 0 {
		return sha256.Sum256(nil)
	}
	h := c[len(c)-1].hash
	for i := len(c) - 2; i >= 0; i-- {
		h = tlog.NodeHash(c[i].hash, h)
	}
	return h
}
