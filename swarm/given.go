package swarm

import (
	"encoding/binary"
	"sync"
)

// blockLen is how many bytes peers ask for at a time.
const blockLen = 16 << 10

// given counts for one torrent how much of each piece this node has sent, to anybody, so
// that what nobody else can pass on yet leaves soon. Connections
// share it; the nil given counts nothing.
type given struct {
	mu     sync.Mutex
	whole  uint32   // blocks of a piece; 0: not known yet
	blocks []uint32 // by piece, as long as it must be
}

// setPiece tells how long a piece is, in bytes.
func (g *given) setPiece(length int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.whole = uint32(max(1, length/blockLen))
}

func (g *given) add(piece uint32) {
	if g == nil || piece >= maxClaims {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if need := int(piece) + 1; need > len(g.blocks) {
		g.blocks = append(g.blocks, make([]uint32, need-len(g.blocks))...)
	}
	g.blocks[piece]++
}

// addAll counts the blocks in whole messages.
func (g *given) addAll(b []byte) {
	for g != nil && len(b) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(b))
		if n > len(b) {
			return
		}
		if isBlock(b[:n]) {
			g.add(binary.BigEndian.Uint32(b[5:]))
		}
		b = b[n:]
	}
}

// fresh reports whether less than a whole copy of a piece was sent: nobody can pass it on
// yet.
func (g *given) fresh(piece uint32) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return int(piece) >= len(g.blocks) || g.blocks[piece] < max(1, g.whole)
}
