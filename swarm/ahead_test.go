package swarm

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"handful/manifest"
	"handful/swarm/store"
)

func request(piece, begin, length int) pp.Message {
	return pp.Message{Type: pp.Request, Index: pp.Integer(piece), Begin: pp.Integer(begin), Length: pp.Integer(length)}
}

func blockOf(piece, begin, length int) pp.Message {
	return pp.Message{Type: pp.Piece, Index: pp.Integer(piece), Begin: pp.Integer(begin), Piece: make([]byte, length)}
}

// asking returns a tap to one of ours, which serves this side if it is told to.
func asking(serves bool) (*tap, *sink) {
	s := newSink()
	tap := claimedTap(nil, s)
	tap.mayAsk()
	if serves {
		tap.Write(raw(pp.Message{Type: pp.Interested}))
		tap.early(&pp.Message{Type: pp.Unchoke})
	}
	return tap, s
}

// sent takes what went out.
func (s *sink) sent(t *testing.T, tap *tap) (out []pp.Message) {
	t.Helper()
	tap.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	d := pp.Decoder{R: bufio.NewReader(bytes.NewReader(s.buf.Bytes())), MaxLength: 1 << 20}
	for {
		var m pp.Message
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	s.buf.Reset()
	return out
}

func same(t *testing.T, got []pp.Message, want ...pp.Message) {
	t.Helper()
	if !bytes.Equal(raw(got...), raw(want...)) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// TestWholePieceIsAskedForAtOnce: the engine's requests for it are not sent again, and a block that came before its
// request answers that.
func TestWholePieceIsAskedForAtOnce(t *testing.T) {
	const last = 100
	tap, s := asking(true)
	same(t, s.sent(t, tap), pp.Message{Type: pp.Interested})
	tap.askWhole(7, 2*blockLen+last)
	same(t, s.sent(t, tap), request(7, 0, blockLen), request(7, blockLen, blockLen), request(7, 2*blockLen, last))
	early := blockOf(7, 2*blockLen, last)
	if !tap.early(&early) || tap.early(&early) {
		t.Fatal("a block that the engine has not asked for was let through, or is expected twice")
	}
	mustWrite(t, tap, request(7, 0, blockLen), request(7, blockLen, blockLen), request(7, 2*blockLen, last), request(8, 0, blockLen))
	same(t, s.sent(t, tap), request(8, 0, blockLen))
	same(t, []pp.Message{nextMessage(t, tap)}, early)
	if due := blockOf(7, 0, blockLen); tap.early(&due) {
		t.Error("a block that the engine has asked for is kept from it")
	}
}

// TestWholePieceWaitsForService: a choked peer would refuse, so the rest of a piece goes with the engine's first request.
func TestWholePieceWaitsForService(t *testing.T) {
	tap, s := asking(false)
	tap.askWhole(7, 3*blockLen)
	same(t, s.sent(t, tap))
	mustWrite(t, tap, pp.Message{Type: pp.Interested}, request(7, blockLen, blockLen))
	same(t, s.sent(t, tap), pp.Message{Type: pp.Interested}, request(7, blockLen, blockLen), request(7, 0, blockLen), request(7, 2*blockLen, blockLen))
	strange, _ := asking(true)
	strange.in[27] = 0 // does not speak BEP 6
	strange.askWhole(7, blockLen)
	if len(strange.ahead.out) > 0 {
		t.Error("asked in advance, of who may leave a request without an answer")
	}
}

// TestAskingAheadIsBounded: of one peer, and of one piece.
func TestAskingAheadIsBounded(t *testing.T) {
	tap, s := asking(true)
	s.sent(t, tap)
	tap.askWhole(0, 1<<30)
	if n := len(s.sent(t, tap)); n != maxWhole {
		t.Errorf("%d blocks of one piece", n)
	}
	for i := range 1000 {
		tap.askWhole(uint32(i+1), 4*blockLen)
	}
	if n := len(s.sent(t, tap)); n != maxAhead-maxWhole {
		t.Errorf("%d blocks more", n)
	}
	for begin := range uint32(maxWhole) {
		m := blockOf(0, int(begin*blockLen), blockLen)
		tap.early(&m)
	}
	if tap.askWhole(2000, 4*blockLen); len(s.sent(t, tap)) > 0 {
		t.Error("blocks that nobody has asked for do not count")
	}
	tap.unask(0)
	if tap.askWhole(2000, 4*blockLen); len(s.sent(t, tap)) != 4 {
		t.Error("what was taken back still counts")
	}
}

// TestInterestIsNotLostBetweenPieces: the peer is told only of what lasts.
func TestInterestIsNotLostBetweenPieces(t *testing.T) {
	tap, s := asking(true)
	now := time.Unix(1, 0)
	tap.now = func() time.Time { return now }
	yes, no := pp.Message{Type: pp.Interested}, pp.Message{Type: pp.NotInterested}
	same(t, s.sent(t, tap), yes)
	mustWrite(t, tap, no)
	mustWrite(t, tap, yes)
	now = now.Add(bored)
	tap.pulse(now, true)
	same(t, s.sent(t, tap))
	mustWrite(t, tap, no)
	tap.pulse(now.Add(bored-1), true)
	same(t, s.sent(t, tap))
	tap.pulse(now.Add(bored), false)
	same(t, s.sent(t, tap), no)
	mustWrite(t, tap, yes)
	same(t, s.sent(t, tap), yes)
}

// books are the engine's, who takes an answer only to what it asked for and must get one, and the peer's, who owes one
// for each request.
type books struct {
	t    *testing.T
	seed uint64
	rng  *rand.Rand
	tap  *tap
	sink *sink
	due  map[block]bool // the engine waits for an answer
	gone map[block]bool // and has cancelled the request
	got  map[block]bool
	peak int
	owed []pp.Message // requests that the peer has not answered
}

const bookPieces, bookBlocks = 6, 5

// hear is when a message reaches the engine.
func (b *books) hear(m pp.Message) {
	key := block{uint32(m.Index), uint32(m.Begin)}
	if !b.due[key] {
		b.t.Fatalf("seed %d: the engine was given %v of %v, which it did not ask for", b.seed, m.Type, key)
	}
	if m.Type == pp.Piece {
		b.got[key] = true
	}
	delete(b.due, key)
	delete(b.gone, key)
}

// answer is the peer's, to the request at i: a block, or a Reject.
func (b *books) answer(i int, reject bool) {
	o := b.owed[i]
	b.owed = append(b.owed[:i:i], b.owed[i+1:]...)
	m := blockOf(int(o.Index), int(o.Begin), int(o.Length))
	if reject {
		m = pp.Message{Type: pp.Reject, Index: o.Index, Begin: o.Begin, Length: o.Length}
	}
	if !b.tap.early(&m) {
		b.hear(m)
	}
}

// carry brings over what went out, and lets the engine read what it is to hear.
func (b *books) carry() {
	for _, m := range b.sink.sent(b.t, b.tap) {
		i := slices.IndexFunc(b.owed, func(o pp.Message) bool { return o.Index == m.Index && o.Begin == m.Begin })
		switch {
		case m.Type == pp.Request && i >= 0:
			b.t.Fatalf("seed %d: %v is asked for twice", b.seed, m)
		case m.Type == pp.Request:
			b.owed = append(b.owed, m)
		case m.Type == pp.Cancel && i >= 0:
			b.answer(i, true)
		}
	}
	for len(b.tap.hearing) > 0 {
		b.hear(nextMessage(b.t, b.tap))
	}
}

// ask lets the engine ask for as much as it does: little, and twice as much as the last time.
func (b *books) ask() {
	var out []pp.Message
	most := max(1, 2*b.peak)
	for n := range bookPieces * bookBlocks {
		key := block{uint32(n / bookBlocks), uint32(n % bookBlocks * blockLen)}
		if len(b.due) < most && !b.due[key] && !b.got[key] {
			b.due[key] = true
			out = append(out, request(int(key.piece), int(key.begin), blockLen))
		}
	}
	if b.peak = len(out); b.peak > 0 {
		mustWrite(b.t, b.tap, out...)
	}
}

// step lets one of them do something.
func (b *books) step() {
	switch k := b.rng.IntN(20); {
	case k == 0:
		b.tap.unask(uint32(b.rng.IntN(bookPieces)))
	case k == 1:
		key := block{uint32(b.rng.IntN(bookPieces)), uint32(b.rng.IntN(bookBlocks) * blockLen)}
		if b.due[key] && !b.gone[key] {
			b.gone[key] = true
			mustWrite(b.t, b.tap, pp.Message{Type: pp.Cancel, Index: pp.Integer(key.piece), Begin: pp.Integer(key.begin), Length: blockLen})
		}
	case k < 8:
		b.ask()
	case len(b.owed) > 0:
		b.answer(b.rng.IntN(len(b.owed)), b.rng.IntN(8) == 0)
	}
}

// TestAheadKeepsTheEnginesBooks lets an engine, a peer that answers in any order or refuses, and a loop that takes
// pieces back do as they like: every request has its one answer, and the engine hears no other.
func TestAheadKeepsTheEnginesBooks(t *testing.T) {
	for seed := range uint64(300) {
		b := &books{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), due: map[block]bool{}, gone: map[block]bool{}, got: map[block]bool{}}
		if b.tap, b.sink = asking(seed%3 > 0); seed%3 == 0 {
			b.tap.Write(raw(pp.Message{Type: pp.Interested}))
		}
		for i := range bookPieces {
			if b.rng.IntN(4) > 0 {
				b.tap.askWhole(uint32(i), bookBlocks*blockLen)
			}
		}
		for steps := 0; len(b.got) < bookPieces*bookBlocks; steps++ {
			if steps > 10000 {
				t.Fatalf("seed %d: %d blocks are here, the engine waits for %v, the peer owes %d", seed, len(b.got), b.due, len(b.owed))
			}
			b.carry()
			b.step()
		}
		for i := range bookPieces {
			b.tap.unask(uint32(i))
		}
		if b.carry(); len(b.tap.ahead.here)+len(b.tap.ahead.later) > 0 {
			t.Fatalf("seed %d: blocks are kept that nobody wants", seed)
		}
	}
}

// TestMemberIsAskedForWholePieces pins what this rests on, between real nodes: the engine asks a peer that has sent
// nothing for little, all of the piece is asked for nevertheless, and it takes what comes for answers to its own
// requests.
func TestMemberIsAskedForWholePieces(t *testing.T) {
	t.Parallel()
	const blocks = 8
	root := tree(t, t.TempDir(), 3*blocks*blockLen)
	seed := startNode(t, "seed", nil)
	tor, src, err := manifest.Build(t.Context(), []string{root}, manifest.BuildOptions{PieceLength: blocks * blockLen})
	if err != nil {
		t.Fatal(err)
	}
	content, err := seed.store.Seed(tor, src, store.SeedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seed.Add(Spec{Content: content}); err != nil {
		t.Fatal(err)
	}
	line := newCable(t, seed.addr(), 256<<10)
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, line.addr())
	until(t, "a piece is asked for, and the engine knows of one block", func() bool {
		for _, l := range leech.eng.linksOf(it) {
			l.tap.mu.Lock()
			ahead := len(l.tap.ahead.out)
			l.tap.mu.Unlock()
			if ahead == blocks-1 && l.asked.Load() == 1 {
				return true
			}
		}
		return false
	})
	await(t, it)
	sameTree(t, root, it.Snapshot().Path)
	adds(t, it.Snapshot())
	if w := it.Snapshot().Wasted; w > 0 {
		t.Errorf("%d bytes came in vain", w)
	}
}
