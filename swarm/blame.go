package swarm

import (
	"crypto/sha256"
	"slices"
	"sync"
)

// blame finds who sent the bytes of a piece that did not verify. While a piece is
// being received it remembers the sender of each block. When the piece fails and
// one peer sent all of it, that peer is to blame. When several did, the blocks'
// hashes are kept, and compared when the piece verifies at last: whoever sent a
// block that differs is to blame then.
//
// received is called under the engine's lock, the rest from its hashers; mu is
// held briefly by all of them, except that failed reads blocks from disk.
type blame struct {
	mu      sync.Mutex
	senders map[int]map[int64]delivery // piece → offset in it → who
	suspect map[int][]evidence         // pieces that failed with several senders
	reader  func(p []byte, piece int, off int64) (int, error)
}

type delivery struct {
	from *link
	size int64
	tier Tier // that it was counted for
}

type evidence struct {
	delivery
	off int64
	sum [32]byte
}

// maxEvidence bounds the blocks that are remembered of one piece: those of some
// failures. Two who lie in turns can make it fail without end.
const maxEvidence = 4096

func (b *blame) received(piece int, off, size int64, from *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.senders == nil {
		b.senders = make(map[int]map[int64]delivery)
	}
	blocks := b.senders[piece]
	if blocks == nil {
		blocks = make(map[int64]delivery)
		b.senders[piece] = blocks
	}
	blocks[off] = delivery{from, size, from.paid}
}

// farthest returns the farthest tier that a block of a piece came from.
func (b *blame) farthest(piece int) (t Tier) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.senders[piece] {
		t = max(t, Tier(d.from.tier.Load()))
	}
	return t
}

// began tells whether something of a piece was received that is not verified yet.
func (b *blame) began(piece int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.senders[piece]) > 0
}

// passed forgets a piece that verified, and returns the peers whose earlier blocks
// of it were wrong.
func (b *blame) passed(piece int) (liars []*link) {
	b.mu.Lock()
	delete(b.senders, piece)
	old := b.suspect[piece]
	delete(b.suspect, piece)
	b.mu.Unlock()
	for _, ev := range old {
		if sum, ok := b.sum(piece, ev.off, ev.size); ok && sum != ev.sum {
			liars = append(liars, ev.from)
		}
	}
	return liars
}

// failed notes that a piece did not verify. It returns how many received bytes
// were lost with it, and the peer to blame if there is just one sender.
func (b *blame) failed(piece int) (lost int64, liar *link) {
	b.mu.Lock()
	blocks := b.senders[piece]
	delete(b.senders, piece)
	b.mu.Unlock()
	single := true
	for _, d := range blocks {
		lost += d.size
		if liar == nil {
			liar = d.from
		}
		single = single && d.from.samePeer(liar)
	}
	if len(blocks) == 0 {
		return 0, nil
	}
	if single {
		return lost, liar
	}
	var evs []evidence
	for off, d := range blocks {
		if sum, ok := b.sum(piece, off, d.size); ok {
			evs = append(evs, evidence{d, off, sum})
		}
	}
	b.mu.Lock()
	if b.suspect == nil {
		b.suspect = make(map[int][]evidence)
	}
	// The oldest goes first: whoever lies goes on, and is found by what is left.
	all := append(b.suspect[piece], evs...)
	b.suspect[piece] = slices.Clone(all[max(0, len(all)-maxEvidence):])
	b.mu.Unlock()
	return lost, nil
}

// forget drops what is known of a piece that could not be read back, and returns how
// many received bytes were lost with it. Nobody is to blame.
func (b *blame) forget(piece int) (lost int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.senders[piece] {
		lost += d.size
	}
	delete(b.senders, piece)
	return lost
}

func (b *blame) sum(piece int, off, size int64) (sum [32]byte, ok bool) {
	buf := make([]byte, min(size, 1<<20))
	n, err := b.reader(buf, piece, off)
	if err != nil || int64(n) != size {
		return sum, false
	}
	return sha256.Sum256(buf), true
}
