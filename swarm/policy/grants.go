package policy

import (
	"slices"
	"time"
)

// Peer names a peer. The caller chooses the numbers.
type Peer uint64

// Grant tells the origin to let a leecher see a piece.
type Grant struct {
	Peer  Peer
	Piece int
}

// Limits of the origin; see the package documentation.
const (
	defaultHandful   = 8
	DefaultRing      = 48                      // leechers that an origin grants pieces
	minTransfer      = 4                       // pieces in transfer in all
	minTransferBytes = 768 << 10               // the same in bytes, if that is more: a grant takes its time to be asked for
	slowTransfer     = 1280 << 10              // bytes up to which it is what the line carries in slowSpan
	slowSpan         = time.Second             // within which even a busy machine asks for what it is granted
	maxTransfers     = 4                       // times as many, when the line is idle all the same
	minEach          = 2                       // the same to one leecher
	transferSpan     = 250 * time.Millisecond  // of the rate is in transfer
	soloSpan         = time.Second             // the same, when there is one leecher only
	turnSpan         = 1200 * time.Millisecond // in which a handful have a turn each, in a crowd
	servedSpan       = 1150 * time.Millisecond // after its last byte for which a leecher counts as served: a second, and what is on its way
	minLate          = 2 * time.Second         // before an unanswered grant holds up nobody else
	minGrantLife     = 10 * time.Second        // before it is given to another
	foreignStall     = 5 * time.Second         // without a piece, before a foreign leecher is served beside members
	meterSpan        = time.Second             // between measurements of how fast leechers pass things on
	meterWeight      = 0.4                     // of the newest
	slowAfter        = 3 * time.Second         // of measurements before anybody is called slow
	passWeight       = 0.2                     // of the newest time that a piece took to be passed on
	slowFactor       = 4                       // times as long as usual a piece must wait to be rescued
	slowShare        = 8                       // slow is who has less than one in so many of the fastest one's speed
	nearShare        = 8                       // near leechers go first if they are at least one in so many
)

// Config describes the torrent and the origin's intent.
type Config struct {
	Pieces      int   // number of pieces
	PieceLength int64 // bytes
	Handful     int   // leechers that are sent data in any one second; 0 means 8
	Ring        int   // leechers that are granted pieces at all; 0 means 48
	Order       []int // order in which ungranted pieces are handed out: a permutation of [0, Pieces)
}

// Leecher is what the origin knows of a peer that joins.
type Leecher struct {
	Have   Set    // not kept; nil: nothing
	Member bool   // speaks our extension
	Near   bool   // of a tier up to Site
	Group  uint64 // peers of one site have one number
	Key    Key    // its name, to know it again when it comes back
}

// Grants is the origin's account of one torrent. Its owner is the caller's loop:
// it is not safe for concurrent use.
type Grants struct {
	cfg     Config
	spread  []int // by piece: leechers that hold it
	copies  []int // by piece: times that it was granted
	peers   map[Peer]*leecher
	order   []*leecher      // in order of arrival, so that nothing depends on map order
	ring    int             // members of the ring
	flights []flight        // granted and not yet heard of, oldest first
	owners  []*leecher      // by piece: whom it was last granted to
	landed  []time.Duration // by piece: when somebody first had it
	pass    float64         // seconds from then until a second one does, smoothed
	passed  int             // pieces that a second one ever had
	pending []int           // pieces to hand out, next one last
	rescued []int           // pieces to hand out once more, though somebody has them
	metered time.Duration
	turned  time.Duration // when a turn last ended, in a crowd
	hungry  []Grant       // what leechers asked for, oldest first
	record  record
}

type flight struct {
	Grant
	since time.Duration
}

// leecher is what the origin knows of one peer.
type leecher struct {
	peer     Peer
	key      Key
	member   bool
	near     bool
	ring     bool
	group    uint64
	have     Set
	count    int           // pieces it has
	open     int           // grants in flight to it
	oldest   time.Duration // since when the oldest of them is
	given    []int         // pieces granted that others may still lack
	sent     time.Duration // when piece data last left for it
	served   bool          // any ever did
	began    time.Duration // its turn
	turn     bool          // it is its turn: it may be granted more, though others wait
	progress time.Duration // when it last had a new piece, or joined

	pace    int64         // bytes/s that its line carries, by its own word; 0: not known
	slow    bool          // that is much less than usual
	load    int           // copies of granted pieces that it has left to pass on
	loaded  time.Duration // since when it has had any
	passed  int           // copies that it passed on since the last measurement
	speed   float64       // the same a second, smoothed; 0: not known
	doubted bool          // what it claims to have counts for nothing
	doubts  map[Peer]bool // who could not get from it what it claims to have
}

// NewGrants returns the account of a torrent that nobody has joined.
func NewGrants(cfg Config) *Grants {
	if cfg.Handful <= 0 {
		cfg.Handful = defaultHandful
	}
	if cfg.Ring <= 0 {
		cfg.Ring = max(DefaultRing, cfg.Handful)
	}
	g := &Grants{
		cfg:    cfg,
		spread: make([]int, cfg.Pieces),
		copies: make([]int, cfg.Pieces),
		owners: make([]*leecher, cfg.Pieces),
		landed: make([]time.Duration, cfg.Pieces),
		peers:  make(map[Peer]*leecher),
		record: newRecord(cfg.Pieces),
	}
	g.pending = slices.Clone(cfg.Order)
	slices.Reverse(g.pending)
	return g
}

// Join adds a leecher.
func (g *Grants) Join(p Peer, l Leecher, now time.Duration) {
	g.Leave(p)
	q := &leecher{peer: p, key: l.Key, member: l.Member, near: l.Near, group: l.Group, have: NewSet(g.cfg.Pieces), progress: now}
	g.peers[p] = q
	g.order = append(g.order, q)
	// A foreign peer that comes with everything may be a seed, and may be a liar: nobody
	// waits for it.
	q.doubted = !l.Member && l.Have.Count() >= g.cfg.Pieces
	for i := range g.cfg.Pieces {
		if l.Have.Has(i) {
			g.Have(p, i, now)
		}
	}
	g.recruit(nil)
}

// Place changes how near a leecher is and which group it belongs to.
func (g *Grants) Place(p Peer, near bool, group uint64) {
	if q := g.peers[p]; q != nil {
		q.near, q.group = near, group
	}
}

// recruit fills the ring: leechers of groups that have fewest in it first, so that a
// large swarm is entered in many places.
func (g *Grants) recruit(not *leecher) {
	for g.ring < g.cfg.Ring {
		members := make(map[uint64]int)
		for _, q := range g.order {
			if q.ring {
				members[q.group]++
			}
		}
		var best *leecher
		for _, q := range g.order {
			if !q.ring && q != not && q.count < g.cfg.Pieces && (best == nil || members[q.group] < members[best.group]) {
				best = q
			}
		}
		if best == nil {
			return
		}
		best.ring = true
		g.ring++
	}
}

// Have records that a leecher holds a piece, from whomever it has it.
func (g *Grants) Have(p Peer, piece int, now time.Duration) {
	q := g.peers[p]
	if q == nil || piece < 0 || piece >= g.cfg.Pieces || q.have.Has(piece) {
		return
	}
	q.have.Add(piece)
	q.count++
	q.progress = now
	if !q.doubted {
		g.spread[piece]++
		g.passing(piece, now)
	}
	if o := g.owners[piece]; o != nil && o != q {
		o.passed++
	}
	g.land(func(f flight) bool { return f.Peer == p && f.Piece == piece })
}

// land takes flights out, and returns them.
func (g *Grants) land(which func(flight) bool) (landed []flight) {
	g.flights = slices.DeleteFunc(g.flights, func(f flight) bool {
		if !which(f) {
			return false
		}
		landed = append(landed, f)
		return true
	})
	for _, f := range landed {
		q := g.peers[f.Peer]
		if q == nil {
			continue
		}
		q.open--
		for _, o := range g.flights {
			if o.Peer == f.Peer {
				q.oldest = o.since
				break
			}
		}
	}
	return landed
}

// Leave forgets a leecher. What it alone held, and what was on the way to it, is
// handed out again.
func (g *Grants) Leave(p Peer) {
	q := g.peers[p]
	if q == nil {
		return
	}
	for _, f := range g.land(func(f flight) bool { return f.Peer == p }) {
		g.again(f.Piece, true)
	}
	delete(g.peers, p)
	g.order = slices.DeleteFunc(g.order, func(o *leecher) bool { return o == q })
	g.hungry = slices.DeleteFunc(g.hungry, func(h Grant) bool { return h.Peer == p })
	for i := range g.cfg.Pieces {
		if q.have.Has(i) && !q.doubted {
			g.spread[i]--
			g.again(i, true)
		}
		if g.owners[i] == q {
			g.owners[i] = nil
		}
	}
	for _, o := range g.order {
		delete(o.doubts, p)
	}
	if q.pace > 0 {
		g.compare()
	}
	if q.ring {
		g.ring--
		g.recruit(nil)
	}
}

// again hands a piece out anew if nobody has it or is about to: next, or after all
// that is waiting.
func (g *Grants) again(piece int, soon bool) {
	if g.spread[piece] > 0 || g.flying(piece) || slices.Contains(g.pending, piece) {
		return
	}
	if soon {
		g.pending = append(g.pending, piece)
	} else {
		g.pending = slices.Insert(g.pending, 0, piece)
	}
}

func (g *Grants) flying(piece int) bool {
	return slices.ContainsFunc(g.flights, func(f flight) bool { return f.Piece == piece })
}

// Sent tells when piece data last left for a leecher.
func (g *Grants) Sent(p Peer, at time.Duration) {
	if q := g.peers[p]; q != nil {
		if !q.served {
			g.record.serve(q.key)
		}
		q.sent, q.served = at, true
	}
}

// Hungry records that a leecher cannot get these pieces from anybody else. At most
// eight requests of one leecher are kept.
func (g *Grants) Hungry(p Peer, pieces []int) {
	q := g.peers[p]
	if q == nil {
		return
	}
	g.hungry = slices.DeleteFunc(g.hungry, func(h Grant) bool { return h.Peer == p })
	for _, i := range pieces[:min(len(pieces), maxHungry)] {
		if i >= 0 && i < g.cfg.Pieces && !q.have.Has(i) {
			g.hungry = append(g.hungry, Grant{Peer: p, Piece: i})
			g.doubt(q, i)
		}
	}
}

// doubt notes that somebody cannot get a piece from those of its group who claim to have
// it; across a border it may have to wait for its turn. When two say so of one peer, its claims count no more, and what it alone claims to have
// is handed out.
func (g *Grants) doubt(asker *leecher, piece int) {
	for _, q := range g.order {
		if q.doubted || q.group != asker.group || !q.have.Has(piece) {
			continue
		}
		if q.doubts == nil {
			q.doubts = make(map[Peer]bool)
		}
		if q.doubts[asker.peer] = true; len(q.doubts) < 2 {
			continue
		}
		q.doubted = true
		for i := range g.cfg.Pieces {
			if q.have.Has(i) {
				g.spread[i]--
				g.again(i, false)
			}
		}
	}
}

// Leechers returns how many incomplete leechers have joined.
func (g *Grants) Leechers() (n int) {
	for _, q := range g.order {
		if q.count < g.cfg.Pieces {
			n++
		}
	}
	return n
}

// Open returns how many grants are in flight.
func (g *Grants) Open() int { return len(g.flights) }

// Copies returns how many times a piece was granted, and how many leechers have it.
func (g *Grants) Copies(piece int) (granted, held int) { return g.copies[piece], g.spread[piece] }

// InRing reports whether a leecher is one of those that are granted pieces.
func (g *Grants) InRing(p Peer) bool { return g.peers[p] != nil && g.peers[p].ring }

// Granted reports whether a piece was granted to a leecher that has not said yet that
// it has it.
func (g *Grants) Granted(p Peer, piece int) bool {
	return slices.ContainsFunc(g.flights, func(f flight) bool { return f.Piece == piece && f.Peer == p })
}
