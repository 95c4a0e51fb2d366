package swarm

import (
	"sync"

	"handful/swarm/policy"
)

// maxClaims bounds the piece numbers that are believed before the metainfo is known.
const maxClaims = 1 << 21

// claims is a set of pieces about one connection: what the peer said it has, or what
// this node, an origin, lets it ask for. It is touched by engine callbacks and the
// loop, both briefly, so it has a lock of its own.
type claims struct {
	mu    sync.Mutex
	all   bool
	set   policy.Set // as long as it must be
	stale bool       // the loop has not been told of everything
}

// add enters a piece, which must be below limit; 0: the number of pieces is unknown.
func (c *claims) add(piece int, limit int64) bool {
	if limit == 0 {
		limit = maxClaims
	}
	if piece < 0 || int64(piece) >= limit {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addLocked(piece)
	return true
}

func (c *claims) addLocked(piece int) {
	if need := piece/64 + 1; need > len(c.set) {
		c.set = append(c.set, make(policy.Set, need-len(c.set))...)
	}
	c.set.Add(piece)
}

// addAll enters the pieces of a bitfield; nil means every piece.
func (c *claims) addAll(have []bool, limit int64) {
	if limit == 0 {
		limit = maxClaims
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = c.all || have == nil
	for i, h := range have[:min(int64(len(have)), limit)] {
		if h {
			c.addLocked(i)
		}
	}
}

func (c *claims) has(piece int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all || c.set.Has(piece)
}

// whole reports whether the peer has all of so many pieces.
func (c *claims) whole(pieces int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all || pieces > 0 && int64(c.set.Count()) >= pieces
}

// any reports whether the peer has anything.
func (c *claims) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all || c.set.Count() > 0
}

// peek returns the set as snapshot does, and leaves it to the loop to take notice.
func (c *claims) peek() (all bool, set policy.Set) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all, append(policy.Set{}, c.set...)
}

// snapshot returns the set; nil means every piece.
func (c *claims) snapshot() policy.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = false
	if c.all {
		return nil
	}
	return append(policy.Set{}, c.set...)
}

// missed notes that the loop was not told, and reports whether that was so.
func (c *claims) missed(now bool) (before bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before = c.stale
	c.stale = now
	return before
}

// origins remembers from how far the pieces came that this node has. It is written by
// the engine's hashers and read under the locks of engine and connections.
type origins struct {
	mu    sync.Mutex
	tiers []uint8 // by piece
}

func (o *origins) note(piece int, t Tier) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if piece >= len(o.tiers) {
		o.tiers = append(o.tiers, make([]uint8, piece+1-len(o.tiers))...)
	}
	o.tiers[piece] = uint8(t)
}

// near reports whether a piece came from the link or site. Who brought it there has told
// those who are farther.
func (o *origins) near(piece int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return piece < len(o.tiers) && (Tier(o.tiers[piece]) == TierLink || Tier(o.tiers[piece]) == TierSite)
}

// awaited reports whether a peer of tier t waits to hear that this node has a piece:
// it came from farther than that, and this node brings it there; or the peer is the
// origin that granted it.
func (o *origins) awaited(piece int, t Tier) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if piece >= len(o.tiers) {
		return false
	}
	came := Tier(o.tiers[piece])
	return came > t || came == TierOrigin
}
