package policy

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// grantee is a leecher in a world around a Grants.
type grantee struct {
	peer   Peer
	member bool
	lonely bool // reaches the origin alone
	have   Set
	queue  []int         // granted, not sent yet
	begun  time.Duration // when it last had a new piece, or spoke of hunger
}

// granting is a world around a Grants: the origin's uplink sends what was granted, a
// piece at a time and each leecher in turn, and the leechers trade what they have.
type granting struct {
	t      *testing.T
	rng    *rand.Rand
	g      *Grants
	cfg    Config
	peers  []*grantee
	now    time.Duration
	pieceT time.Duration // that a piece takes on the uplink
	freeAt time.Duration
	next   int
	sent   map[Peer]time.Duration // when data last left for each
	copies int
}

func newGranting(t *testing.T, seed uint64, leechers int) *granting {
	rng := rand.New(rand.NewPCG(seed, 11))
	pieces := 30 + rng.IntN(60)
	cfg := Config{Pieces: pieces, PieceLength: 1 << 16, Order: rng.Perm(pieces)}
	w := &granting{t: t, rng: rng, g: NewGrants(cfg), cfg: cfg, sent: map[Peer]time.Duration{},
		pieceT: time.Duration(20+rng.IntN(80)) * time.Millisecond}
	for i := range leechers {
		w.join(&grantee{peer: Peer(i + 1), member: true})
	}
	return w
}

func (w *granting) join(q *grantee) {
	q.have = NewSet(w.cfg.Pieces)
	w.peers = append(w.peers, q)
	w.g.Join(q.peer, Leecher{Member: q.member, Group: 1}, w.now)
}

// step lets 20 ms pass.
func (w *granting) step() {
	w.now += 20 * time.Millisecond
	rate := float64(w.cfg.PieceLength) / w.pieceT.Seconds()
	for _, gr := range w.g.Next(w.now, Uplink{Rate: rate}) {
		for _, q := range w.peers {
			if q.peer == gr.Peer {
				q.queue = append(q.queue, gr.Piece)
			}
		}
	}
	for w.freeAt <= w.now {
		if !w.send() {
			w.freeAt = w.now + 1
		}
	}
	for _, q := range w.peers {
		w.trade(q)
	}
}

// send lets the uplink send the next leecher's next piece.
func (w *granting) send() bool {
	for range w.peers {
		w.next = (w.next + 1) % len(w.peers)
		q := w.peers[w.next]
		if len(q.queue) == 0 {
			continue
		}
		piece := q.queue[0]
		q.queue = q.queue[1:]
		w.freeAt = max(w.freeAt, w.now-20*time.Millisecond) + w.pieceT
		w.g.Sent(q.peer, w.freeAt)
		w.sent[q.peer] = w.freeAt
		w.copies++
		within := 0
		for _, at := range w.sent {
			if w.freeAt-at < time.Second {
				within++
			}
		}
		if within > defaultHandful {
			w.t.Fatalf("at %v data went to %d leechers within a second", w.freeAt, within)
		}
		w.has(q, piece)
		return true
	}
	return false
}

func (w *granting) has(q *grantee, piece int) {
	if !q.have.Has(piece) {
		q.begun = w.now
		q.have.Add(piece)
		w.g.Have(q.peer, piece, w.now)
	}
}

// trade lets a leecher take pieces from others, or say that it is hungry: members do
// when nothing came for two seconds.
func (w *granting) trade(q *grantee) {
	for range 4 {
		o := w.peers[w.rng.IntN(len(w.peers))]
		if i := w.rng.IntN(w.cfg.Pieces); o != q && !o.lonely && !q.lonely && o.have.Has(i) {
			w.has(q, i)
		}
	}
	if !q.member || w.now-q.begun < hungerAfter {
		return
	}
	q.begun = w.now
	var lacks []int
	for i := 0; i < w.cfg.Pieces && len(lacks) < maxHungry; i++ {
		if !q.have.Has(i) && (q.lonely || !w.reachable(i)) {
			lacks = append(lacks, i)
		}
	}
	w.g.Hungry(q.peer, lacks)
}

// reachable reports whether anybody has a piece whom others reach.
func (w *granting) reachable(piece int) bool {
	return slices.ContainsFunc(w.peers, func(q *grantee) bool { return !q.lonely && q.have.Has(piece) })
}

func (w *granting) complete() bool {
	return !slices.ContainsFunc(w.peers, func(q *grantee) bool { return q.have.Count() < w.cfg.Pieces })
}

// run lets time pass until all are complete.
func (w *granting) run(limit time.Duration) {
	for w.now < limit && !w.complete() {
		w.step()
	}
	for _, q := range w.peers {
		if n := q.have.Count(); n < w.cfg.Pieces {
			w.t.Errorf("leecher %d (member: %t, lonely: %t) has %d of %d pieces after %v", q.peer, q.member, q.lonely, n, w.cfg.Pieces, w.now)
		}
	}
}

// TestAHandful: in no second does data go to more than a handful of leechers, and when
// nobody dies every piece leaves the origin once.
func TestAHandful(t *testing.T) {
	for seed := range uint64(30) {
		w := newGranting(t, seed, 9+int(seed)*3)
		w.run(20 * time.Minute)
		if w.copies != w.cfg.Pieces {
			t.Errorf("seed %d: %d pieces were sent %d times", seed, w.cfg.Pieces, w.copies)
		}
	}
}

// TestTheLonelyAreFed: a leecher that reaches nobody but the origin completes by its
// hunger, beside others.
func TestTheLonelyAreFed(t *testing.T) {
	for seed := range uint64(20) {
		w := newGranting(t, seed, 4+small(seed))
		w.join(&grantee{peer: 1000, member: true, lonely: true})
		w.run(time.Hour)
	}
}

func small(seed uint64) int { return int(seed % 8) }

// TestForeignComplete: foreign leechers know no hunger; alone or beside members they
// complete, though each of them reaches the origin alone.
func TestForeignComplete(t *testing.T) {
	for seed := range uint64(20) {
		w := newGranting(t, seed, small(seed))
		for i := range 1 + small(seed)/3 {
			w.join(&grantee{peer: Peer(1000 + i), lonely: true})
		}
		w.run(2 * time.Hour)
	}
}

// TestGrantsUnderChurn: leechers leave with what they alone have; all who stay complete.
func TestGrantsUnderChurn(t *testing.T) {
	for seed := range uint64(30) {
		w := newGranting(t, seed, 12)
		for k := range 25 {
			for range 25 {
				w.step()
			}
			i := w.rng.IntN(len(w.peers))
			w.g.Leave(w.peers[i].peer)
			delete(w.sent, w.peers[i].peer) // its connection is closed
			w.peers = slices.Delete(w.peers, i, i+1)
			w.join(&grantee{peer: Peer(100 + k), member: true})
			w.g.Pace(w.peers[w.rng.IntN(len(w.peers))].peer, []int64{0, 1e4, 1e6, 1e6, 2e6}[w.rng.IntN(5)])
		}
		w.run(time.Hour)
	}
}
