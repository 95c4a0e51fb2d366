package policy

import (
	"math/rand/v2"
	"testing"
	"time"
)

func order(n int) []int {
	o := make([]int, n)
	for i := range o {
		o[i] = i
	}
	return o
}

// TestOneCopy runs two leechers that trade everything at once: the origin must
// grant every piece exactly once.
func TestOneCopy(t *testing.T) {
	const pieces = 40
	g := NewGrants(Config{Pieces: pieces, PieceLength: 1 << 16, Order: order(pieces)})
	g.Join(1, Leecher{Member: true}, 0)
	g.Join(2, Leecher{Member: true}, 0)
	granted := map[int]int{}
	for step := time.Duration(0); ; step++ {
		next := g.Next(step*time.Millisecond, Uplink{Rate: 0})
		if len(next) == 0 {
			break
		}
		if g.Open() > minTransferBytes>>16 {
			t.Fatalf("%d pieces in transfer", g.Open())
		}
		for _, gr := range next {
			granted[gr.Piece]++
			g.Have(1, gr.Piece, 0)
			g.Have(2, gr.Piece, 0)
		}
	}
	if len(granted) != pieces {
		t.Fatalf("%d of %d pieces were granted", len(granted), pieces)
	}
	for p, n := range granted {
		if n != 1 {
			t.Errorf("piece %d was granted %d times", p, n)
		}
	}
}

// TestShortestQueue: the leecher that passes its pieces on is granted more.
func TestShortestQueue(t *testing.T) {
	const pieces = 100
	g := NewGrants(Config{Pieces: pieces, PieceLength: 1 << 16, Order: order(pieces)})
	for p := Peer(1); p <= 3; p++ {
		g.Join(p, Leecher{Member: true}, 0)
	}
	count := map[Peer]int{}
	for range 30 {
		for _, gr := range g.Next(0, Uplink{Rate: 0}) {
			count[gr.Peer]++
			g.Have(gr.Peer, gr.Piece, 0)
			if gr.Peer == 1 { // the fast one: everybody has its pieces at once
				for p := Peer(2); p <= 3; p++ {
					g.Have(p, gr.Piece, 0)
				}
			}
		}
	}
	if count[1] <= count[2] || count[1] <= count[3] {
		t.Fatalf("grants %v: the fast leecher should have most", count)
	}
}

func TestDeathGrantsAgain(t *testing.T) {
	g := NewGrants(Config{Pieces: 4, PieceLength: 1 << 16, Order: order(4)})
	g.Join(1, Leecher{Member: true}, 0)
	g.Join(2, Leecher{Member: true}, 0)
	for _, gr := range g.Next(0, Uplink{Rate: 0}) {
		g.Have(gr.Peer, gr.Piece, 0)
	}
	g.Leave(1) // takes two pieces that only it had with it
	again := map[int]bool{}
	for range 4 {
		for _, gr := range g.Next(time.Second, Uplink{Rate: 0}) {
			if gr.Peer != 2 {
				t.Fatalf("granted to %d, who left", gr.Peer)
			}
			again[gr.Piece] = true
			g.Have(2, gr.Piece, 0)
		}
	}
	if len(again) != 2 {
		t.Fatalf("pieces granted again: %v, want the two that left with the leecher", again)
	}
}

func TestHungryExpiryAndHandful(t *testing.T) {
	g := NewGrants(Config{Pieces: 8, PieceLength: 1 << 16, Order: order(8), Handful: 2})
	for p := Peer(1); p <= 5; p++ {
		g.Join(p, Leecher{Member: true}, 0)
	}
	to := map[Peer]bool{}
	first := g.Next(0, Uplink{Rate: 0})
	for _, gr := range first {
		to[gr.Peer] = true
	}
	if len(to) > 2 {
		t.Fatalf("%d leechers have grants open, handful is 2", len(to))
	}
	g.Hungry(5, []int{7, 7, 99, -1})
	if got := g.Next(0, Uplink{Rate: 0}); len(got) > 0 {
		t.Fatalf("%v: both places are taken", got)
	}
	got := g.Next(minLate, Uplink{Rate: 0}) // those who got grants do not take them
	if len(got) == 0 || got[0] != (Grant{Peer: 5, Piece: 7}) {
		t.Fatalf("a hungry leecher got %v", got)
	}
	// Nobody ever answers: the grants are given to others, never forgotten.
	seen := map[int]bool{}
	for now := time.Duration(0); now < 10*time.Minute; now += time.Second {
		for _, gr := range g.Next(now, Uplink{Rate: 0}) {
			seen[gr.Piece] = true
			g.Have(gr.Peer, gr.Piece, 0)
		}
	}
	for i := range 8 {
		if !seen[i] && g.spread[i] == 0 {
			t.Errorf("piece %d was lost", i)
		}
	}
}

// TestRandomChurn checks the account's invariants under arrivals, departures and
// random progress, and that everybody who stays could complete.
func TestRandomChurn(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const pieces = 64
	g := NewGrants(Config{Pieces: pieces, PieceLength: 1 << 15, Order: rng.Perm(pieces)})
	alive := map[Peer]map[int]bool{}
	next := Peer(1)
	now := time.Duration(0)
	for step := range 4000 {
		now += 50 * time.Millisecond
		if len(alive) < 6 && rng.IntN(10) == 0 && step < 3000 {
			g.Join(next, Leecher{Member: true}, 0)
			alive[next] = map[int]bool{}
			next++
		}
		if len(alive) > 1 && rng.IntN(60) == 0 && step < 3000 {
			for p := range alive {
				g.Leave(p)
				delete(alive, p)
				break
			}
		}
		for _, gr := range g.Next(now, Uplink{Rate: 1 << 20}) {
			have, ok := alive[gr.Peer]
			if !ok {
				t.Fatalf("grant to %d, who is not here", gr.Peer)
			}
			if have[gr.Piece] {
				t.Fatalf("grant of a piece that %d has", gr.Peer)
			}
			if rng.IntN(4) > 0 {
				have[gr.Piece] = true
				g.Have(gr.Peer, gr.Piece, 0)
			}
		}
		trade(rng, g, alive)
		invariants(t, g)
	}
	for p, have := range alive {
		if len(have) != pieces {
			t.Errorf("leecher %d has %d of %d pieces", p, len(have), pieces)
		}
	}
}

// trade passes one random piece between two leechers.
func trade(rng *rand.Rand, g *Grants, alive map[Peer]map[int]bool) {
	for from, a := range alive {
		for to, b := range alive {
			piece := rng.IntN(g.cfg.Pieces)
			if from != to && a[piece] && !b[piece] {
				b[piece] = true
				g.Have(to, piece, 0)
			}
		}
	}
}

func invariants(t *testing.T, g *Grants) {
	t.Helper()
	perPeer := map[Peer]int{}
	for _, f := range g.flights {
		perPeer[f.Peer]++
	}
	for i := range g.cfg.Pieces {
		n := 0
		for _, q := range g.order {
			if q.have.Has(i) {
				n++
			}
		}
		if n != g.spread[i] {
			t.Fatalf("piece %d: spread %d, counted %d", i, g.spread[i], n)
		}
	}
	ring := 0
	for _, q := range g.order {
		if q.open != perPeer[q.peer] {
			t.Fatalf("leecher %d: open %d, counted %d", q.peer, q.open, perPeer[q.peer])
		}
		if q.ring {
			ring++
		}
	}
	if ring != g.ring {
		t.Fatalf("ring of %d, counted %d", g.ring, ring)
	}
}

// TestHungerCostsNoSecondCopy: as long as there are pieces that nobody has, who is
// hungry for one that somebody has gets one of them.
func TestHungerCostsNoSecondCopy(t *testing.T) {
	const pieces = 32
	g := NewGrants(Config{Pieces: pieces, PieceLength: 1 << 16, Order: order(pieces)})
	g.Join(1, Leecher{Member: true, Group: 1}, 0)
	g.Join(2, Leecher{Member: true, Group: 2}, 0)
	g.Have(1, 31, 0)
	granted := 0
	for now := time.Duration(0); granted < pieces-1; now += 100 * time.Millisecond {
		g.Hungry(2, []int{31})
		for _, gr := range g.Next(now, Uplink{Rate: 1 << 20}) {
			if gr.Piece == 31 {
				t.Fatalf("a second copy after %d of %d pieces", granted, pieces)
			}
			granted++
			g.Have(gr.Peer, gr.Piece, now)
		}
		if now > time.Minute {
			t.Fatalf("%d of %d pieces were granted in a minute", granted, pieces)
		}
	}
	g.Hungry(2, []int{31})
	if got := g.Next(time.Hour, Uplink{Rate: 1 << 20}); len(got) != 1 || got[0] != (Grant{Peer: 2, Piece: 31}) {
		t.Fatalf("when all is out, the hungry leecher gets %v", got)
	}
}

// TestDoubtStaysInItsGroup: across a border hunger says nothing of who claims a piece,
// since it may have to wait for its turn.
func TestDoubtStaysInItsGroup(t *testing.T) {
	for _, group := range []uint64{1, 2} {
		g := NewGrants(Config{Pieces: 4, PieceLength: 1 << 16, Order: order(4)})
		g.Join(1, Leecher{Member: true, Group: 1}, 0)
		g.Join(2, Leecher{Member: true, Group: group}, 0)
		g.Join(3, Leecher{Member: true, Group: group}, 0)
		g.Have(1, 3, 0)
		g.Hungry(2, []int{3})
		g.Hungry(3, []int{3})
		if doubted := g.peers[1].doubted; doubted != (group == 1) {
			t.Errorf("askers of group %d, holder of group 1: doubted %t", group, doubted)
		}
	}
}

// TestSlowIsWhatIsUnusual: pieces that wait as long as all others are not granted again;
// one that waits for much longer is.
func TestSlowIsWhatIsUnusual(t *testing.T) {
	const pieces = 24
	g := NewGrants(Config{Pieces: pieces, PieceLength: 1 << 16, Order: order(pieces)})
	for p := Peer(1); p <= 4; p++ {
		g.Join(p, Leecher{Member: true}, 0)
	}
	due := map[int]time.Duration{}
	owner := map[int]Peer{}
	for now := time.Duration(0); now < 2*time.Minute; now += 100 * time.Millisecond {
		for _, gr := range g.Next(now, Uplink{Rate: 1 << 20}) {
			if p, again := owner[gr.Piece]; again {
				if p != 4 {
					t.Fatalf("at %v piece %d of leecher %d was granted again", now, gr.Piece, p)
				}
				return // the slow one's are taken back, nobody else's
			}
			owner[gr.Piece] = gr.Peer
			g.Have(gr.Peer, gr.Piece, now)
			due[gr.Piece] = now + 8*time.Second // the ring is far from itself
		}
		for piece, at := range due {
			if now >= at && owner[piece] != 4 {
				for p := Peer(1); p <= 4; p++ {
					g.Have(p, piece, now)
				}
				delete(due, piece)
			}
		}
	}
	t.Error("what the slow leecher alone has was never granted again")
}
