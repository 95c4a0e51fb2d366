package swarm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// asker is an ahead of pieces of four blocks, the last one of which is short, with peers who answer.
type asker struct {
	t     *testing.T
	a     *ahead
	taps  []*tap
	links []*link
	peers []*answerer
	begun map[int]bool
	got   map[block]*link // what the engine has, and from whom it came in truth
	sent  map[block]int   // by peers
}

// answerer is a peer at the other end of a tap, and what the engine awaits of it.
type answerer struct {
	wire      []pp.Message // to the peer, oldest first
	back      []pp.Message // from it
	queue     []block      // that it is about to send
	requested map[block]bool
	cancelled map[block]bool
}

func newAsker(t *testing.T, peers int) *asker {
	k := &asker{t: t, begun: map[int]bool{}, got: map[block]*link{}, sent: map[block]int{}}
	size := func(piece int) int64 {
		if piece > 7 {
			return 0
		}
		return 4*blockLen - int64(piece%2)*1000
	}
	k.a = newAhead(size, func(p int) bool { return k.begun[p] })
	for i := range peers {
		k.taps = append(k.taps, &tap{})
		k.links = append(k.links, &link{id: uint64(i)})
		k.peers = append(k.peers, &answerer{requested: map[block]bool{}, cancelled: map[block]bool{}})
	}
	return k
}

func (k *asker) index(t *tap) int { return slices.Index(k.taps, t) }

func (k *asker) message(kind pp.MessageType, key block) pp.Message {
	return pp.Message{Type: kind, Index: pp.Integer(key.piece), Begin: pp.Integer(key.begin), Length: pp.Integer(k.a.length(key))}
}

// request lets the engine ask a peer for a block.
func (k *asker) request(i int, key block) {
	p := k.peers[i]
	p.requested[key] = true
	out, data, then := k.a.request(k.taps[i], key, k.a.length(key))
	for _, b := range out {
		p.wire = append(p.wire, k.message(pp.Request, b))
	}
	if data != nil {
		k.engineHas(i, key)
	}
	k.do(then)
}

// cancel lets the engine take a request back. It waits for an answer then.
func (k *asker) cancel(i int, key block) {
	p := k.peers[i]
	delete(p.requested, key)
	p.cancelled[key] = true
	if k.a.cancelled(k.taps[i], key) {
		p.wire = append(p.wire, k.message(pp.Cancel, key))
	} else {
		delete(p.cancelled, key)
	}
}

func (k *asker) do(then []errand) {
	for _, e := range then {
		i := k.index(e.tap)
		if e.kind == pp.Piece {
			k.engineHas(i, e.key)
			continue
		}
		k.peers[i].wire = append(k.peers[i].wire, k.message(e.kind, e.key))
	}
}

// engineHas gives the engine a block as one of peer i.
func (k *asker) engineHas(i int, key block) {
	p := k.peers[i]
	if !p.requested[key] && !p.cancelled[key] {
		k.t.Fatalf("the engine sees block %v of peer %d, which it has not asked for", key, i)
	}
	delete(p.requested, key)
	delete(p.cancelled, key)
	from := k.a.sender(key, k.links[i])
	if k.got[key] != nil {
		return
	}
	k.got[key] = from
	k.begun[int(key.piece)] = true
	for next := range uint32(4) {
		if k.got[block{key.piece, next * blockLen}] == nil {
			return
		}
	}
	k.begun[int(key.piece)] = false
	k.do(k.a.done(int(key.piece)))
}

// read lets peer i read a message.
func (k *asker) read(i int) {
	p := k.peers[i]
	m := p.wire[0]
	p.wire = p.wire[1:]
	key := block{uint32(m.Index), uint32(m.Begin)}
	if m.Type == pp.Request {
		p.queue = append(p.queue, key)
	} else if at := slices.Index(p.queue, key); at >= 0 {
		p.queue = slices.Delete(p.queue, at, at+1)
		p.back = append(p.back, k.message(pp.Reject, key))
	}
}

// send lets peer i send a block.
func (k *asker) send(i int) {
	p := k.peers[i]
	key := p.queue[0]
	p.queue = p.queue[1:]
	k.sent[key]++
	p.back = append(p.back, k.message(pp.Piece, key))
}

// hear lets this node read a message of peer i.
func (k *asker) hear(i int) {
	p := k.peers[i]
	m := p.back[0]
	p.back = p.back[1:]
	key := block{uint32(m.Index), uint32(m.Begin)}
	if m.Type == pp.Piece {
		see, then := k.a.came(k.taps[i], k.links[i], key, make([]byte, k.a.length(key)))
		if see {
			k.engineHas(i, key)
		}
		k.do(then)
		return
	}
	see, then := k.a.rejected(k.taps[i], key)
	if see {
		if !p.requested[key] && !p.cancelled[key] {
			k.t.Fatalf("the engine sees a Reject of block %v by peer %d, which it has not asked for", key, i)
		}
		delete(p.requested, key)
		delete(p.cancelled, key)
	}
	k.do(then)
}

func (k *asker) asked(i int) (out []string) {
	for _, m := range k.peers[i].wire {
		out = append(out, fmt.Sprintf("%v %d+%d/%d", m.Type, m.Index, m.Begin>>14, m.Length))
	}
	return out
}

func (k *asker) want(i int, want ...string) {
	k.t.Helper()
	if got := k.asked(i); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		k.t.Fatalf("peer %d was told %q, want %q", i, got, want)
	}
	k.peers[i].wire = nil
}

func TestPiecesAreAskedForWhole(t *testing.T) {
	k := newAsker(t, 1)
	k.request(0, block{1, 0})
	k.want(0, "Request 1+0/16384", "Request 1+1/16384", "Request 1+2/16384", "Request 1+3/15384")
	k.request(0, block{1, blockLen}) // has gone out
	k.want(0)
	// A block that comes before the engine asks for it waits.
	k.peers[0].back = []pp.Message{k.message(pp.Piece, block{1, 2 * blockLen})}
	k.hear(0)
	if k.got[block{1, 2 * blockLen}] != nil {
		t.Fatal("the engine has a block that it did not ask for")
	}
	k.request(0, block{1, 2 * blockLen})
	if k.got[block{1, 2 * blockLen}] != k.links[0] {
		t.Fatal("the engine did not get a block that was here")
	}
	// Of a piece of which something is here, nothing is asked for ahead: it may be asked for elsewhere.
	k.begun[2] = true
	k.request(0, block{2, 0})
	k.want(0, "Request 2+0/16384")
	// Nor where blocks are cut in another way.
	k.a.request(k.taps[0], block{3, 0}, 100)
	k.want(0)
}

func TestWhatWasAskedForAheadMoves(t *testing.T) {
	k := newAsker(t, 2)
	k.request(0, block{0, 0})
	for len(k.peers[0].wire) > 0 {
		k.read(0)
	}
	k.request(1, block{0, blockLen})
	k.want(1) // not before the first one has refused
	k.send(0) // block 0
	k.send(0) // block 1, before it reads the Cancel
	for len(k.peers[0].wire) > 0 {
		k.read(0)
	}
	for len(k.peers[0].back) > 0 {
		k.hear(0)
	}
	if from := k.got[block{0, blockLen}]; from != k.links[0] {
		t.Errorf("block 1 is counted for %v, and the first peer sent it", from)
	}
	k.want(1, "Request 0+2/16384", "Request 0+3/16384")
	// A peer that leaves takes nothing with it that was to move.
	k.request(0, block{4, 0})
	k.peers[0].wire = nil
	k.request(1, block{4, blockLen})
	k.do(k.a.leave(k.taps[0]))
	k.want(1, "Request 4+1/16384", "Request 4+2/16384", "Request 4+3/16384")
}

func TestNoAnswerIsSeenOfWhatWasUndone(t *testing.T) {
	k := newAsker(t, 1)
	k.request(0, block{0, 0})
	k.peers[0].wire = nil
	k.do(k.a.done(0)) // it came from elsewhere
	k.want(0, "Cancel 0+1/16384", "Cancel 0+2/16384", "Cancel 0+3/16384")
	for i := range uint32(4) {
		if see, _ := k.a.came(k.taps[0], k.links[0], block{0, i * blockLen}, make([]byte, blockLen)); see != (i == 0) {
			t.Errorf("block %d: seen %v", i, see)
		}
	}
}

// TestAheadAtRandom: whatever the order in which requests, blocks and refusals cross, the engine sees answers to what it has
// asked for only, gets everything, and no block is sent twice that it has not cancelled itself.
func TestAheadAtRandom(t *testing.T) {
	for seed := range uint64(300) {
		k := newAsker(t, 3)
		rng := rand.New(rand.NewPCG(seed, 1))
		own := map[block]bool{} // cancelled by the engine
		missing := func() (all []block) {
			for p := range uint32(8) {
				for b := range uint32(4) {
					if key := (block{p, b * blockLen}); k.got[key] == nil {
						all = append(all, key)
					}
				}
			}
			return all
		}
		for step := 0; len(missing()) > 0; step++ {
			if step > 20000 {
				t.Fatalf("seed %d: %v never came", seed, missing())
			}
			i := rng.IntN(3)
			p := k.peers[i]
			switch rng.IntN(6) {
			case 0, 1:
				// The engine asks for the first block of a piece that nobody is asked for, or takes one from another peer.
				key := missing()[0]
				if all := missing(); rng.IntN(3) == 0 {
					key = all[rng.IntN(len(all))]
				}
				if p.requested[key] || p.cancelled[key] {
					continue
				}
				for j, other := range k.peers {
					if other.requested[key] {
						own[key] = true
						k.cancel(j, key)
					}
				}
				k.request(i, key)
			case 2, 3:
				if len(p.wire) > 0 {
					k.read(i)
				}
			case 4:
				if len(p.queue) > 0 {
					k.send(i)
				}
			case 5:
				if len(p.back) > 0 {
					k.hear(i)
				}
			}
		}
		for key, n := range k.sent {
			if n > 1 && !own[key] {
				t.Errorf("seed %d: block %v was sent %d times", seed, key, n)
			}
		}
	}
}
