package policy

import (
	"slices"
	"time"
)

// Reason says why a piece was shown.
type Reason uint8

// The reasons, see [Sight].
const (
	Unseen   Reason = iota // not shown yet
	Nearest                // at the nearest tier that has it, and nobody there is before us
	Granted                // the origin granted it
	Delegate               // beyond our tier, as the delegate of our group
	Turn                   // beyond our tier, because those before us let their turn pass
	Spill                  // again, because the holder it was shown at did not deliver
	Stalled                // because nothing came from anybody
	Open                   // at a client that knows no turns, or with everything plain
)

var reasons = [...]string{"unseen", "nearest", "granted", "delegate", "turn", "spill", "stalled", "open"}

// String returns the reason in a word.
func (r Reason) String() string { return reasons[min(int(r), len(reasons)-1)] }

// Show lets this node see that a peer has a piece.
type Show struct {
	Peer  Peer
	Piece int
	// Whole says that it was shown nowhere before, and is not at a client that knows no
	// turns: all of it will be asked for there, unless that one lets this node wait.
	Whole bool
}

// SightConfig describes the torrent and the node.
type SightConfig struct {
	Pieces      int
	PieceLength int64 // bytes
	Self        Key
	Start       int  // where the search for pieces begins: random, so that no two nodes march in step
	Plain       bool // everything is shown as it is claimed: plain BitTorrent
}

// Limits of a holder's window.
const (
	minWindow      = 1                       // pieces
	minWindowBytes = 64 << 10                // the same in bytes, if that is more
	sightSpan      = time.Second             // of a holder's rate is shown at a time
	priorLatency   = 3000 * time.Millisecond // from showing a piece to having it, before any is known
	latencyWeight  = 0.1                     // of the newest
	turns          = 2                       // ranks that have a turn of their own; the rest share the last
	mostOffered    = 4                       // pieces that one holder may have offered and not delivered
	leastPatience  = 1500 * time.Millisecond // see Sight.patience
	hungerAfter    = 2 * time.Second         // without useful bytes
	maxHungry      = 8                       // pieces named at a time
)

// Sight is a leecher's table of what it lets itself see of whom; see the package
// documentation. Its owner is the caller's loop: it is not safe for concurrent use.
type Sight struct {
	cfg      SightConfig
	got      Set
	none     Set             // stays empty
	viewed   Set             // pieces that are shown at a member that is still there
	holders  map[Peer]*sight // by peer
	low      []*sight        // the same for small numbers, which are found sooner
	order    []*sight        // in order of arrival, so that nothing depends on map order
	hold     [tiers][]uint16 // by tier and piece: members that have it
	common   [tiers]Set      // by tier: pieces that not one member has alone
	near     [tiers]Set      // by tier: pieces that a member has that is nearer than it
	pieces   []sighting
	nearer   [tiers][]Key // by tier: incomplete members that are nearer than it
	spare    []Key
	ranks    [tiers][]int32 // by tier and piece: this node's turn among them, plus 1; 0: not drawn since they last changed
	latency  float64        // seconds from showing a piece to having it, smoothed
	spread   float64        // seconds from knowing of somebody who has a piece to having it, smoothed
	useful   time.Duration
	stalled  bool                     // everything is shown, until something comes
	asked    time.Duration            // when Hungry last named anything
	pace     int64                    // bytes/s that this node's line carries; 0: not known
	slow     bool                     // that is much less than usual
	site     uint64                   // of this node; 0: not known
	sites    map[uint64]int           // far members by their site
	gained   map[uint64]time.Duration // by site: when one of them last said that it has a piece
	complete bool
	out      []Show
}

// sight is what is known of one peer.
type sight struct {
	peer     Peer
	key      Key
	tier     Tier
	role     Role
	has      Set
	count    int // pieces in has
	shown    Set
	open     int // shown and lacking here
	window   int
	from     int           // where the search for its next piece begins
	pace     int64         // bytes/s that its line carries, by its own word; 0: not known
	slow     bool          // that is much less than usual
	site     uint64        // of a member; 0: not known
	late     bool          // kept somebody waiting for longer than a grace, and has not made up for it
	total    int64         // bytes received of it
	progress time.Duration // when that last grew
	gained   time.Duration // when it last said that it has a piece
	received int64         // at the last look
	rate     float64       // bytes/s
	at       time.Duration // of the last look at received
}

// sighting is what is known of one piece.
type sighting struct {
	first   time.Duration // when somebody was first known to have it, or the last nearest holder left
	shown   time.Duration // when it was first shown
	since   time.Duration // when it was last shown at one more
	got     time.Duration // when this node had it
	at      Peer          // whom it was last shown at
	known   time.Duration // when somebody was first known to have it, or the origin granted it
	began   Peer          // the first that it was shown at, foreign clients aside
	views   uint8         // members it is shown at
	shows   uint16        // peers of any role it is shown at
	reason  Reason
	opening Reason // why it was shown at began; Unseen before
	claimed bool
}

// NewSight returns the table of a node that knows nobody and has nothing.
func NewSight(cfg SightConfig) *Sight {
	s := &Sight{
		cfg:     cfg,
		got:     NewSet(cfg.Pieces),
		none:    NewSet(cfg.Pieces),
		viewed:  NewSet(cfg.Pieces),
		holders: make(map[Peer]*sight),
		sites:   make(map[uint64]int),
		gained:  make(map[uint64]time.Duration),
		pieces:  make([]sighting, cfg.Pieces),
		latency: priorLatency.Seconds(),
	}
	for t := range s.hold {
		s.hold[t] = make([]uint16, cfg.Pieces)
		s.near[t] = NewSet(cfg.Pieces)
		s.common[t] = NewSet(cfg.Pieces)
	}
	return s
}

// Join adds a peer of which no claim is known yet.
func (s *Sight) Join(p Peer, key Key, tier Tier, role Role, now time.Duration) {
	s.Leave(p, now)
	if len(s.order) == 0 {
		s.useful = now // nothing could come before
	}
	h := &sight{
		peer: p, key: key, tier: tier, role: role, at: now,
		has: NewSet(s.cfg.Pieces), shown: NewSet(s.cfg.Pieces), window: s.leastWindow(),
	}
	if s.cfg.Pieces > 0 {
		h.from = (s.cfg.Start + int(key%Key(s.cfg.Pieces))) % s.cfg.Pieces
	}
	s.enter(h)
	s.order = append(s.order, h)
	s.regroup()
}

func (s *Sight) leastWindow() int {
	return max(minWindow, int(minWindowBytes/max(s.cfg.PieceLength, 1)))
}

// Move changes how near a peer is.
func (s *Sight) Move(p Peer, tier Tier, now time.Duration) {
	h := s.holder(p)
	if h == nil || h.tier == tier {
		return
	}
	s.tally(h, -1)
	s.settle(h, -1)
	h.tier = tier
	s.settle(h, 1)
	s.tally(h, 1)
	s.regroup()
	s.fill(h, now)
}

// tally adds a member's pieces to the count of holders, or takes them out. Those who
// are late or slow do not count: others need not wait for them.
func (s *Sight) tally(h *sight, d int) {
	if h.role != Member || h.behind() {
		return
	}
	for i := next(h.has, s.none, s.none, s.none, s.none, 0); i >= 0; i = next(h.has, s.none, s.none, s.none, s.none, i+1) {
		s.count(h.tier, i, d)
	}
}

// count adds to the members of a tier that have a piece.
func (s *Sight) count(tier Tier, piece, d int) {
	n := int(s.hold[tier][piece]) + d
	s.hold[tier][piece] = uint16(n)
	if n > 1 {
		s.common[tier].Add(piece)
	} else {
		s.common[tier].Remove(piece)
	}
	if n > 1 || n == 1 && d < 0 {
		return
	}
	held := n > 0 || s.near[tier].Has(piece)
	for t := tier + 1; t < tiers; t++ {
		if held {
			s.near[t].Add(piece)
		} else {
			s.near[t].Remove(piece)
		}
		held = held || s.hold[t][piece] > 0
	}
}

// Leave forgets a peer. What was shown at nobody else is shown at others.
func (s *Sight) Leave(p Peer, now time.Duration) {
	h := s.holder(p)
	if h == nil {
		return
	}
	s.forget(p)
	s.order = slices.DeleteFunc(s.order, func(o *sight) bool { return o == h })
	s.tally(h, -1)
	s.settle(h, -1)
	s.regroup()
	for i := next(h.shown, s.none, s.none, s.none, s.none, 0); i >= 0; i = next(h.shown, s.none, s.none, s.none, s.none, i+1) {
		s.pieces[i].shows--
	}
	if h.role == Member {
		s.yield(h, now)
		for i := next(h.shown, s.got, s.none, s.none, s.none, 0); i >= 0; i = next(h.shown, s.got, s.none, s.none, s.none, i+1) {
			if s.pieces[i].views--; s.pieces[i].views == 0 {
				s.viewed.Remove(i)
			}
		}
	}
	if h.pace > 0 {
		s.compare(now)
	}
	s.fillAll(now)
}

// Has records a peer's claim to have a piece.
func (s *Sight) Has(p Peer, piece int, now time.Duration) {
	h := s.holder(p)
	if h == nil || piece < 0 || piece >= s.cfg.Pieces || h.has.Has(piece) {
		return
	}
	s.claim(h, piece, now)
	if h.count == s.cfg.Pieces {
		s.regroup()
	}
	s.consider(h, piece, now)
}

// HasSet records a peer's claim to have the pieces of a set, which is not kept; nil
// means all.
func (s *Sight) HasSet(p Peer, set Set, now time.Duration) {
	h := s.holder(p)
	if h == nil {
		return
	}
	for i := range s.cfg.Pieces {
		if (set == nil || set.Has(i)) && !h.has.Has(i) {
			s.claim(h, i, now)
		}
	}
	s.regroup()
	s.fill(h, now)
}

func (s *Sight) claim(h *sight, piece int, now time.Duration) {
	h.has.Add(piece)
	h.gained = now
	if h.tier == Far && h.site != 0 && !h.behind() {
		s.gained[h.site] = now
	}
	h.count++
	if h.role == Member && !h.behind() {
		s.count(h.tier, piece, 1)
	}
	if sg := &s.pieces[piece]; !sg.claimed {
		sg.claimed, sg.first = true, now
		sg.heard(now)
	}
}

// Grant shows pieces that the origin granted, whoever else has them.
func (s *Sight) Grant(p Peer, pieces []int, now time.Duration) {
	h := s.holder(p)
	if h == nil || h.role != Publisher {
		return
	}
	for _, i := range pieces {
		if i >= 0 && i < s.cfg.Pieces && !s.got.Has(i) {
			s.show(h, i, Granted, now)
		}
	}
}

// Got records that this node has a piece, from whomever.
func (s *Sight) Got(piece int, now time.Duration) {
	if piece < 0 || piece >= s.cfg.Pieces || s.got.Has(piece) {
		return
	}
	s.got.Add(piece)
	sg := &s.pieces[piece]
	sg.got = now
	took := now - sg.since
	if sg.claimed {
		s.spread += latencyWeight * ((now - sg.first).Seconds() - s.spread)
	}
	at := s.order
	if h := s.holder(sg.at); sg.shows == 1 && h != nil && h.shown.Has(piece) {
		at = []*sight{h}
	}
	for _, h := range at {
		if !h.shown.Has(piece) {
			continue
		}
		h.open--
		if sg.views == 1 && h.role == Member {
			s.latency += latencyWeight * (took.Seconds() - s.latency)
		}
		s.fill(h, now)
	}
}

// Take returns what is to be shown since the last call.
func (s *Sight) Take() []Show {
	out := s.out
	s.out = nil
	return out
}

// Shown returns what is shown at a peer; it is the table's own.
func (s *Sight) Shown(p Peer) Set {
	if h := s.holder(p); h != nil {
		return h.shown
	}
	return nil
}
