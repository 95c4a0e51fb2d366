package policy

import (
	"math"
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
	offerAfter     = 100 * time.Millisecond  // of waiting, before a piece is seen at somebody idle too
	idleSpan       = time.Second             // for which somebody counts as idle who said so
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
	useful   time.Duration
	idle     time.Duration // when any member last said that it has nothing to send
	stalled  bool          // everything is shown, until something comes
	asked    time.Duration // when Hungry last named anything
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
	idle     time.Duration // when it last said that it has nothing to send
	late     bool          // kept somebody waiting for longer than a grace, and has not made up for it
	total    int64         // bytes received of it
	progress time.Duration // when that last grew
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

// lowPeers are the numbers that count as small.
const lowPeers = 512

func (s *Sight) holder(p Peer) *sight {
	if p < lowPeers {
		if int(p) < len(s.low) {
			return s.low[p]
		}
		return nil
	}
	return s.holders[p]
}

func (s *Sight) enter(h *sight) {
	if h.peer >= lowPeers {
		s.holders[h.peer] = h
		return
	}
	for len(s.low) <= int(h.peer) {
		s.low = append(s.low, nil)
	}
	s.low[h.peer] = h
}

func (s *Sight) forget(p Peer) {
	if p < lowPeers {
		s.low[p] = nil
	} else {
		delete(s.holders, p)
	}
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
	h.tier = tier
	s.tally(h, 1)
	s.regroup()
	s.fill(h, now)
}

// tally adds a member's pieces to the count of holders, or takes them out. Those who
// are late do not count: others need not wait for them.
func (s *Sight) tally(h *sight, d int) {
	if h.role != Member || h.late {
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

// setLate notes that a holder keeps others waiting, or no longer does.
func (s *Sight) setLate(h *sight, late bool, now time.Duration) {
	if h.role != Member || h.late == late {
		return
	}
	if late {
		s.tally(h, -1)
		h.late = true
		s.yield(h, now)
	} else {
		h.late = false
		s.tally(h, 1)
	}
	s.regroup()
}

// yield starts the turns anew for the pieces that a near holder was expected to give.
func (s *Sight) yield(h *sight, now time.Duration) {
	for i := next(h.has, s.got, s.none, s.none, s.none, 0); i >= 0; i = next(h.has, s.got, s.none, s.none, s.none, i+1) {
		s.pieces[i].first = now
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
	s.fillAll(now)
}

// regroup finds anew who is nearer than each tier. Complete members want nothing and
// have no turns; on those who are late nobody waits.
func (s *Sight) regroup() {
	for t := range s.nearer {
		keys := s.spare[:0]
		for _, h := range s.order {
			if h.role == Member && !h.late && h.tier < Tier(t) && h.count < s.cfg.Pieces {
				keys = append(keys, h.key)
			}
		}
		if s.spare = keys; !slices.Equal(keys, s.nearer[t]) {
			s.nearer[t], s.spare = keys, s.nearer[t]
			clear(s.ranks[t])
		}
	}
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

// Offer records the word of a member that has a piece and nothing to send: what
// others keep waiting may be seen there for a moment, see [Sight.Tick].
func (s *Sight) Offer(p Peer, piece int, now time.Duration) {
	s.Has(p, piece, now)
	if h := s.holder(p); h != nil && h.role == Member {
		h.idle, s.idle = now, now
		s.relieve(h, now)
	}
}

// relieve shows at an idle member what has waited elsewhere for a while, unless
// something is awaited of it already.
func (s *Sight) relieve(h *sight, now time.Duration) {
	if h.open > 0 || h.late || now-h.idle > idleSpan {
		return
	}
	best := -1
	for i := next(s.viewed, s.got, h.shown, s.none, s.none, 0); i >= 0; i = next(s.viewed, s.got, h.shown, s.none, s.none, i+1) {
		sg := &s.pieces[i]
		if h.has.Has(i) && sg.views == 1 && now-sg.since >= offerAfter &&
			(best < 0 || sg.since < s.pieces[best].since) && s.eligible(h.tier, i, now) != Unseen {
			best = i
		}
	}
	if best >= 0 {
		s.show(h, best, Spill, now)
	}
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
	h.count++
	if h.role == Member && !h.late {
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

// Lost records that this node no longer has a piece: it is looked for again.
func (s *Sight) Lost(piece int, now time.Duration) {
	if piece < 0 || piece >= s.cfg.Pieces || !s.got.Has(piece) {
		return
	}
	s.got.Remove(piece)
	for _, h := range s.order {
		if h.shown.Has(piece) {
			h.open++
		}
	}
}

// Grace is how long a holder may keep others waiting for a piece.
func (s *Sight) Grace() time.Duration {
	return min(max(time.Duration(3*s.latency*float64(time.Second)), minGrace), maxGrace)
}

// consider shows a piece at a peer if it may be seen there.
func (s *Sight) consider(h *sight, piece int, now time.Duration) {
	if s.got.Has(piece) || h.shown.Has(piece) {
		return
	}
	switch {
	case s.cfg.Plain:
		s.show(h, piece, Open, now)
	case s.stalled:
		s.show(h, piece, Stalled, now)
	case h.role == Publisher:
	case h.role == Foreign:
		if s.eligible(h.tier, piece, now) != Unseen {
			s.show(h, piece, Open, now)
		}
	case s.viewed.Has(piece):
		if o := s.holder(s.pieces[piece].at); o != nil && o.late && !h.late && s.pieces[piece].views < turns {
			s.show(h, piece, Spill, now)
		}
	case h.open < h.limit():
		if why := s.eligible(h.tier, piece, now); why != Unseen {
			s.show(h, piece, why, now)
		}
	}
}

// limit is how many pieces may be awaited of a member.
func (h *sight) limit() int {
	if h.late {
		return 1
	}
	return h.window
}

// eligible is the rule of every border: it says why a piece may be seen at a peer of
// a tier, Unseen if it may not.
func (s *Sight) eligible(t Tier, piece int, now time.Duration) Reason {
	if s.near[t].Has(piece) {
		return Unseen
	}
	if len(s.nearer[t]) == 0 {
		return Nearest
	}
	rank := s.rank(t, piece)
	if rank == 0 {
		return Delegate
	}
	if now-s.pieces[piece].first >= s.wait(rank, len(s.nearer[t])) {
		return Turn
	}
	return Unseen
}

// wait is how long somebody waits for the turn of a rank.
func (s *Sight) wait(rank, others int) time.Duration {
	return time.Duration(min(rank, turns)) * s.Grace()
}

// rank is this node's turn for a piece among those who are nearer than a tier.
func (s *Sight) rank(t Tier, piece int) int {
	if s.ranks[t] == nil {
		s.ranks[t] = make([]int32, s.cfg.Pieces)
	}
	r := &s.ranks[t][piece]
	if *r == 0 {
		*r = int32(Rank(s.cfg.Self, s.nearer[t], piece)) + 1
	}
	return int(*r) - 1
}

// fill shows what there is room for at a peer.
func (s *Sight) fill(h *sight, now time.Duration) {
	if h.count == 0 || s.complete {
		return
	}
	open := s.stalled || s.cfg.Plain
	roomy := open || h.role != Member
	if !roomy && h.open >= h.limit() {
		return
	}
	hide, near := s.viewed, s.near[h.tier]
	if roomy {
		hide = h.shown
	}
	if open {
		near = s.none
	}
	if roomy {
		s.fillFrom(h, hide, near, now)
		return
	}
	// What nobody else has comes first: it is what keeps others waiting.
	common := s.common[h.tier]
	for i := next(h.has, s.got, hide, near, common, h.from); i >= 0; i = next(h.has, s.got, hide, near, common, i+1) {
		if h.open >= h.limit() {
			return
		}
		s.consider(h, i, now)
	}
	for i := next(h.has, s.got, hide, near, common, 0); i >= 0 && i < h.from; i = next(h.has, s.got, hide, near, common, i+1) {
		if h.open >= h.limit() {
			return
		}
		s.consider(h, i, now)
	}
	s.fillFrom(h, hide, near, now)
}

// fillFrom shows what there is room for, in the order of the pieces.
func (s *Sight) fillFrom(h *sight, hide, near Set, now time.Duration) {
	roomy := h.role != Member || s.stalled || s.cfg.Plain
	for _, part := range [2][2]int{{h.from, s.cfg.Pieces}, {0, h.from}} {
		for i := next(h.has, s.got, hide, near, s.none, part[0]); i >= 0 && i < part[1]; i = next(h.has, s.got, hide, near, s.none, i+1) {
			if !roomy && h.open >= h.limit() {
				return
			}
			s.consider(h, i, now)
		}
	}
}

func (s *Sight) fillAll(now time.Duration) {
	for _, h := range s.order {
		s.fill(h, now)
	}
}

func (s *Sight) show(h *sight, piece int, why Reason, now time.Duration) {
	if h.shown.Has(piece) {
		return
	}
	h.shown.Add(piece)
	h.open++
	sg := &s.pieces[piece]
	if sg.reason == Unseen {
		sg.shown = now
	}
	sg.since, sg.at, sg.reason = now, h.peer, why
	sg.shows++
	sg.opened(h, why, now)
	if h.role == Member {
		sg.views++
		s.viewed.Add(piece)
	}
	s.out = append(s.out, Show{Peer: h.peer, Piece: piece})
}

// Received tells how many useful bytes a peer has delivered in all.
func (s *Sight) Received(p Peer, total int64, now time.Duration) {
	h := s.holder(p)
	if h == nil {
		return
	}
	if total > h.total {
		s.useful, s.stalled = now, false
		h.total, h.progress = total, now
		s.setLate(h, false, now)
	}
	if dt := (now - h.at).Seconds(); dt >= 0.1 {
		w := 1 - math.Exp(-dt/sightSpan.Seconds())
		h.rate += w * (float64(total-h.received)/dt - h.rate)
		h.received, h.at = total, now
		span := int(h.rate * sightSpan.Seconds() / float64(max(s.cfg.PieceLength, 1)))
		h.window = max(s.leastWindow(), span)
	}
}

// Fed tells that useful bytes came from elsewhere than peers.
func (s *Sight) Fed(now time.Duration) { s.useful, s.stalled = now, false }

// Tick does what is due by time; call it a few times a second. done says that the
// node lacks nothing.
func (s *Sight) Tick(now time.Duration, done bool) {
	if s.complete = done; done {
		return
	}
	grace := s.Grace()
	if now-s.useful >= 3*grace && !s.stalled {
		s.open(now)
	}
	for i := next(s.viewed, s.got, s.none, s.none, s.none, 0); i >= 0; i = next(s.viewed, s.got, s.none, s.none, s.none, i+1) {
		if s.overdue(i, now, grace) {
			s.widen(i, now)
		}
	}
	s.fillAll(now)
	if now-s.idle <= idleSpan {
		for _, h := range s.order {
			s.relieve(h, now)
		}
	}
}

// overdue reports whether a piece is to be seen at one more holder: the last one it was
// shown at delivered nothing at all for a grace, or not this piece for three. What
// waits its turn at a busy holder is not overdue.
func (s *Sight) overdue(piece int, now, grace time.Duration) bool {
	sg := &s.pieces[piece]
	last := sg.since
	if h := s.holder(sg.at); h != nil {
		last = max(last, h.progress)
	}
	return now-last >= grace || now-sg.since >= 3*grace
}

// open shows everything at everybody, after nothing came for a long time: whoever can
// serve anything may.
func (s *Sight) open(now time.Duration) {
	s.stalled = true
	for _, h := range s.order {
		if h.role != Publisher {
			continue
		}
		for i := range s.cfg.Pieces {
			if !s.got.Has(i) {
				s.show(h, i, Stalled, now)
			}
		}
	}
}

// widen shows a piece whose holder let a grace pass at one more peer, the nearest that
// is waited for least; the second time at all.
func (s *Sight) widen(piece int, now time.Duration) {
	sg := &s.pieces[piece]
	if h := s.holder(sg.at); h != nil && h.role == Member {
		s.setLate(h, true, now)
	}
	var best *sight
	for _, h := range s.order {
		if !h.has.Has(piece) || h.shown.Has(piece) || h.role == Publisher {
			continue
		}
		if sg.views >= turns {
			s.show(h, piece, Spill, now)
			continue
		}
		if best == nil || h.late != best.late && best.late || h.late == best.late &&
			(h.tier < best.tier || h.tier == best.tier && h.open < best.open) {
			best = h
		}
	}
	if best != nil && sg.views < turns {
		s.show(best, piece, Spill, now)
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

// Hungry returns pieces that this node cannot get, for it to tell the origin: those
// whose only holders keep it waiting, and, when nothing comes at all, those that
// nobody has. It names none again within two seconds.
func (s *Sight) Hungry(now time.Duration) (pieces []int) {
	if s.complete || now-s.asked < hungerAfter {
		return nil
	}
	grace := s.Grace()
	idle := now - s.useful
	for k := range s.cfg.Pieces {
		i := (s.cfg.Start + k) % s.cfg.Pieces
		stuck := s.viewed.Has(i) && s.overdue(i, now, grace)
		alone := !s.viewed.Has(i) && (idle >= grace || idle >= hungerAfter && !s.near[Origin].Has(i))
		if !s.got.Has(i) && (stuck || alone) {
			if pieces = append(pieces, i); len(pieces) == maxHungry {
				break
			}
		}
	}
	if len(pieces) > 0 {
		s.asked = now
	}
	return pieces
}
