package policy

import (
	"slices"
	"time"
)

// Peer names a leecher within one Grants. The caller chooses the numbers.
type Peer uint64

// Grant tells the origin to let a leecher see a piece.
type Grant struct {
	Peer  Peer
	Piece int
}

// Limits of the origin's window; see the package documentation.
const (
	minWindowPieces  = 8                      // in transfer in all
	minLeecherPieces = 2                      // in transfer to one leecher
	windowSpan       = 600 * time.Millisecond // of the measured rate is in transfer
	soloSpan         = time.Second            // the same, when there is one leecher only
	minGrantLife     = 10 * time.Second       // before an unanswered grant is given to another
)

// Config describes the torrent and the origin's intent.
type Config struct {
	Pieces      int   // number of pieces
	PieceLength int64 // bytes
	Handful     int   // leechers that may have grants open at a time; 0 means 8
	Order       []int // order in which ungranted pieces are handed out: a permutation of [0, Pieces)
}

// Grants is the origin's account of one torrent. Its owner is the caller's loop:
// it is not safe for concurrent use.
type Grants struct {
	cfg     Config
	spread  []int           // leechers known to hold the piece
	flight  []flight        // by piece: whom it was granted to and not yet heard from
	open    int             // pieces in flight in all
	peers   map[Peer]*queue // leechers, complete ones excluded
	pending []int           // pieces to hand out, next one last
	hungry  []Grant         // what leechers asked for, oldest first
}

type flight struct {
	to    Peer
	since time.Duration
	on    bool
}

// queue is what the origin knows of one leecher.
type queue struct {
	have  []bool
	count int   // pieces it has
	open  int   // grants in flight to it
	given []int // pieces granted by the origin that others may still lack
}

// NewGrants returns the account of a torrent that nobody has joined.
func NewGrants(cfg Config) *Grants {
	if cfg.Handful <= 0 {
		cfg.Handful = 8
	}
	g := &Grants{
		cfg:    cfg,
		spread: make([]int, cfg.Pieces),
		flight: make([]flight, cfg.Pieces),
		peers:  make(map[Peer]*queue),
	}
	g.pending = slices.Clone(cfg.Order)
	slices.Reverse(g.pending)
	return g
}

// Join adds a leecher that holds the pieces for which have is true; have may be
// shorter than the torrent and is not kept.
func (g *Grants) Join(p Peer, have []bool) {
	if _, ok := g.peers[p]; ok {
		g.Leave(p)
	}
	q := &queue{have: make([]bool, g.cfg.Pieces)}
	g.peers[p] = q
	for i, h := range have[:min(len(have), g.cfg.Pieces)] {
		if h {
			g.Have(p, i)
		}
	}
}

// Have records that a leecher holds a piece, from whomever it has it.
func (g *Grants) Have(p Peer, piece int) {
	q := g.peers[p]
	if q == nil || piece < 0 || piece >= g.cfg.Pieces || q.have[piece] {
		return
	}
	q.have[piece] = true
	q.count++
	g.spread[piece]++
	if f := g.flight[piece]; f.on && f.to == p {
		g.land(piece)
	}
}

// land takes a piece out of flight.
func (g *Grants) land(piece int) {
	f := &g.flight[piece]
	if !f.on {
		return
	}
	if q := g.peers[f.to]; q != nil {
		q.open--
	}
	f.on = false
	g.open--
}

// Leave forgets a leecher. What it alone held, and what was on the way to it, is
// handed out again.
func (g *Grants) Leave(p Peer) {
	q := g.peers[p]
	if q == nil {
		return
	}
	for i, h := range q.have {
		if h {
			g.spread[i]--
		}
		if f := g.flight[i]; f.on && f.to == p {
			g.land(i)
		} else if !h {
			continue
		}
		if g.spread[i] == 0 && !g.flight[i].on {
			g.pending = append(g.pending, i)
		}
	}
	delete(g.peers, p)
	g.hungry = slices.DeleteFunc(g.hungry, func(h Grant) bool { return h.Peer == p })
}

// Hungry records that a leecher cannot get these pieces from anybody else. At
// most eight requests of one leecher are kept.
func (g *Grants) Hungry(p Peer, pieces []int) {
	q := g.peers[p]
	if q == nil {
		return
	}
	kept := 0
	for _, h := range g.hungry {
		if h.Peer == p {
			kept++
		}
	}
	for _, i := range pieces {
		if kept >= 8 {
			return
		}
		ask := Grant{Peer: p, Piece: i}
		if i < 0 || i >= g.cfg.Pieces || q.have[i] || slices.Contains(g.hungry, ask) {
			continue
		}
		if f := g.flight[i]; f.on && f.to == p {
			continue
		}
		g.hungry = append(g.hungry, ask)
		kept++
	}
}

// Leechers returns how many incomplete leechers have joined.
func (g *Grants) Leechers() int {
	n := 0
	for _, q := range g.peers {
		if q.count < g.cfg.Pieces {
			n++
		}
	}
	return n
}

// Open returns how many pieces are in transfer.
func (g *Grants) Open() int { return g.open }

// Next returns the grants to give now. rate is the origin's measured upload rate
// in bytes a second; 0 when unknown.
func (g *Grants) Next(now time.Duration, rate float64) []Grant {
	g.expire(now, rate)
	total, each := g.window(rate)
	var out []Grant
	for len(g.hungry) > 0 && g.open < total+minWindowPieces {
		ask := g.hungry[0]
		g.hungry = g.hungry[1:]
		q := g.peers[ask.Peer]
		if q == nil || q.have[ask.Piece] {
			continue
		}
		if g.flight[ask.Piece].on {
			// On its way to somebody else: the leecher is shown it as well, and the
			// account stays with the first, since only one can be awaited.
			out = append(out, ask)
			continue
		}
		out = append(out, g.give(ask, now))
	}
	for g.open < total {
		grant, ok := g.pick(each)
		if !ok {
			break
		}
		out = append(out, g.give(grant, now))
	}
	return out
}

// window returns how many pieces may be in transfer in all and to one leecher.
func (g *Grants) window(rate float64) (total, each int) {
	pl := max(g.cfg.PieceLength, 1)
	n := g.Leechers()
	span := windowSpan
	if n <= 1 {
		span = soloSpan
	}
	total = max(minWindowPieces, int(rate*span.Seconds()/float64(pl)))
	if n <= 1 {
		return total, total
	}
	each = max(minLeecherPieces, (total+n-1)/n)
	return total, each
}

func (g *Grants) give(grant Grant, now time.Duration) Grant {
	g.flight[grant.Piece] = flight{to: grant.Peer, since: now, on: true}
	g.open++
	q := g.peers[grant.Peer]
	q.open++
	q.given = append(q.given, grant.Piece)
	return grant
}

// expire gives up grants that nobody took: the leecher may be slow, have got the
// piece elsewhere unheard, or be gone without a word.
func (g *Grants) expire(now time.Duration, rate float64) {
	if g.open == 0 {
		return
	}
	life := minGrantLife
	if rate > 0 {
		inFlight := float64(int64(g.open) * g.cfg.PieceLength)
		life = max(life, time.Duration(8*inFlight/rate*float64(time.Second)))
	}
	for i := range g.flight {
		f := g.flight[i]
		if !f.on || now-f.since < life {
			continue
		}
		g.land(i)
		if g.spread[i] == 0 {
			// Not next, but after what is already waiting: the same leecher may
			// still be at it.
			g.pending = slices.Insert(g.pending, 0, i)
		}
	}
}

// pick chooses the next ungranted piece and the leecher with the least left to
// pass on.
func (g *Grants) pick(each int) (Grant, bool) {
	p, q, ok := g.shortest(each)
	if !ok {
		return Grant{}, false
	}
	for i := len(g.pending) - 1; i >= 0; i-- {
		piece := g.pending[i]
		if g.spread[piece] > 0 || g.flight[piece].on {
			g.pending = slices.Delete(g.pending, i, i+1)
			continue
		}
		if q.have[piece] {
			continue
		}
		g.pending = slices.Delete(g.pending, i, i+1)
		return Grant{Peer: p, Piece: piece}, true
	}
	return Grant{}, false
}

// shortest returns the leecher with the shortest queue that may take one more
// grant. Ties go to the one with fewer grants open, then to the lower number, so
// that the choice does not depend on map order.
func (g *Grants) shortest(each int) (best Peer, bestQueue *queue, ok bool) {
	busy := 0
	for _, q := range g.peers {
		if q.open > 0 {
			busy++
		}
	}
	n := len(g.peers)
	bestLoad := 0
	for p, q := range g.peers {
		if q.count >= g.cfg.Pieces || q.open >= each {
			continue
		}
		if q.open == 0 && busy >= g.cfg.Handful {
			continue
		}
		load := g.load(q, n)
		better := !ok || load < bestLoad ||
			load == bestLoad && (q.open < bestQueue.open || q.open == bestQueue.open && p < best)
		if better {
			best, bestQueue, bestLoad, ok = p, q, load, true
		}
	}
	return best, bestQueue, ok
}

// load is how many copies of granted pieces the leecher has left to pass on.
func (g *Grants) load(q *queue, n int) int {
	load := 0
	kept := q.given[:0]
	for _, piece := range q.given {
		if left := n - g.spread[piece]; left > 0 {
			load += left
			kept = append(kept, piece)
		}
	}
	q.given = kept
	return load
}
