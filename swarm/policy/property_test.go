package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The properties of the leecher's side are tried in a world of its own: members of two
// sites, of which some hold pieces, some leave, some go silent, some come back late.
// Nobody sends anything but who serves: it delivers what it is shown at, and everybody
// hears of it.

// TestOneDelegate: everybody who knows the same others draws the same turns, so that a
// piece has exactly one delegate in a group; where views differ, nobody finds two, and
// who sees more of the others never takes a better turn.
func TestOneDelegate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		keys := make([]Key, 1+rng.IntN(60))
		for i := range keys {
			keys[i] = Key(rng.Uint64())
		}
		piece := rng.IntN(1 << 20)
		ranks := make([]bool, len(keys))
		for _, k := range keys {
			r := Rank(k, keys, piece)
			if ranks[r] {
				t.Fatalf("two of %d have turn %d", len(keys), r)
			}
			ranks[r] = true
			fewer := slices.DeleteFunc(slices.Clone(keys), func(Key) bool { return rng.IntN(3) == 0 })
			if less := Rank(k, fewer, piece); less > r {
				t.Fatalf("knowing fewer, turn %d became %d", r, less)
			}
		}
		delegates := 0
		view := keys[:1+rng.IntN(len(keys))]
		for _, k := range view {
			if Rank(k, view, piece) == 0 {
				delegates++
			}
		}
		if delegates != 1 {
			t.Fatalf("%d delegates in one view", delegates)
		}
	}
}

// TestDelegatesShareTheWork: turns are spread over the members.
func TestDelegatesShareTheWork(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	keys := make([]Key, 10)
	for i := range keys {
		keys[i] = Key(rng.Uint64())
	}
	const pieces = 10000
	for _, k := range keys {
		n := 0
		for i := range pieces {
			if Rank(k, keys, i) == 0 {
				n++
			}
		}
		if n < pieces/len(keys)*8/10 || n > pieces/len(keys)*12/10 {
			t.Errorf("a member of %d is the delegate for %d of %d pieces", len(keys), n, pieces)
		}
	}
}

// TestOneGoesBeyond: of a group that knows the same members, one sees a far piece at
// once, and nobody else before its turn.
func TestOneGoesBeyond(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		const pieces = 64
		n := 2 + rng.IntN(20)
		keys := make([]Key, n)
		for i := range keys {
			keys[i] = Key(rng.Uint64())
		}
		first := make([]int, pieces)
		for i, k := range keys {
			s := NewSight(SightConfig{Pieces: pieces, PieceLength: 1 << 10, Self: k, Start: rng.IntN(pieces)})
			for j, o := range keys {
				if i != j {
					s.Join(Peer(j), o, Site, Member, 0)
				}
			}
			s.Join(Peer(n), 99, Far, Member, 0)
			s.HasSet(Peer(n), nil, 0)
			s.Tick(s.Grace()-1, false)
			for _, show := range s.Take() {
				first[show.Piece]++
			}
		}
		for piece, n := range first {
			if n != 1 {
				t.Fatalf("seed %d: %d members see piece %d beyond the border before any turn", seed, n, piece)
			}
		}
	}
}

// bystander is one peer in a scenario around a Sight.
type bystander struct {
	peer   Peer
	tier   Tier
	has    Set
	serves bool // delivers what is asked of it
	here   bool
	shown  Set
	total  int64
}

// scenario is a Sight among peers that come, go and fall silent.
type scenario struct {
	t      *testing.T
	rng    *rand.Rand
	s      *Sight
	pieces int
	peers  []*bystander
	got    Set
	now    time.Duration
	change time.Duration // the last one
}

func newScenario(t *testing.T, seed uint64) *scenario {
	rng := rand.New(rand.NewPCG(seed, 7))
	pieces := 8 + rng.IntN(100)
	return &scenario{t: t, rng: rng, pieces: pieces, got: NewSet(pieces), s: NewSight(SightConfig{
		Pieces: pieces, PieceLength: 1 << 16, Self: Key(rng.Uint64()), Start: rng.IntN(pieces)})}
}

// disturb lets something happen.
func (c *scenario) disturb() {
	c.change = c.now
	switch k := c.rng.IntN(7); {
	case k < 3 || len(c.peers) == 0:
		p := &bystander{peer: Peer(len(c.peers) + 1), tier: []Tier{Link, Site, Far}[c.rng.IntN(3)],
			has: NewSet(c.pieces), serves: c.rng.IntN(3) > 0, here: true, shown: NewSet(c.pieces)}
		c.peers = append(c.peers, p)
		c.s.Join(p.peer, Key(c.rng.Uint64()), p.tier, Member, c.now)
		for i := range c.pieces {
			if c.rng.IntN(2) == 0 {
				p.has.Add(i)
			}
		}
		c.s.HasSet(p.peer, p.has, c.now)
	case k == 3: // one leaves
		p := c.peers[c.rng.IntN(len(c.peers))]
		p.here = false
		c.s.Leave(p.peer, c.now)
	case k == 4: // one falls silent, or speaks again
		p := c.peers[c.rng.IntN(len(c.peers))]
		p.serves = !p.serves
	case k == 5 && c.rng.IntN(2) == 0: // one says at which site it is
		c.s.OwnPlace(uint64(1 + c.rng.IntN(3)))
		c.s.Place(c.peers[c.rng.IntN(len(c.peers))].peer, uint64(c.rng.IntN(4)))
	case k == 5: // one says what its line carries
		c.s.Pace(c.peers[c.rng.IntN(len(c.peers))].peer, []int64{0, 1e4, 1e6, 1e6, 2e6}[c.rng.IntN(5)], c.now)
		c.s.OwnPace([]int64{0, 1e4, 1e6}[c.rng.IntN(3)], c.now)
	default: // one has more
		p := c.peers[c.rng.IntN(len(c.peers))]
		i := c.rng.IntN(c.pieces)
		if p.here && !p.has.Has(i) {
			p.has.Add(i)
			c.s.Has(p.peer, i, c.now)
		}
	}
	c.look()
}

// look notes what is shown.
func (c *scenario) look() {
	for _, show := range c.s.Take() {
		p := c.peers[show.Peer-1]
		if !p.here || !p.has.Has(show.Piece) {
			c.t.Fatalf("piece %d is shown at %d, who is gone or does not have it", show.Piece, show.Peer)
		}
		p.shown.Add(show.Piece)
	}
}

// serve lets everybody who serves deliver one piece it is shown at.
func (c *scenario) serve() {
	for _, p := range c.peers {
		if !p.here || !p.serves {
			continue
		}
		i := next(p.shown, c.got, NewSet(c.pieces), NewSet(c.pieces), NewSet(c.pieces), 0)
		if i < 0 {
			continue
		}
		p.total += 1 << 16
		c.got.Add(i)
		c.s.Received(p.peer, p.total, c.now)
		c.s.Got(i, c.now)
		c.look()
	}
}

// servable counts pieces that are missing though somebody who serves has them.
func (c *scenario) servable() (n int) {
	for i := range c.pieces {
		if !c.got.Has(i) && slices.ContainsFunc(c.peers, func(p *bystander) bool { return p.here && p.serves && p.has.Has(i) }) {
			n++
		}
	}
	return n
}

// TestNobodyStarves: whatever leaves, falls silent or comes late, within three graces
// after the last change every piece that somebody serves is visible at one who serves
// it, and so everything arrives.
func TestNobodyStarves(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newScenario(t, seed)
			const step = 250 * time.Millisecond
			for range 5 + c.rng.IntN(40) {
				c.disturb()
				for range c.rng.IntN(30) {
					c.now += step
					c.serve()
					c.s.Tick(c.now, false)
					c.look()
				}
			}
			c.change = c.now
			visible := false
			for c.now-c.change <= 3*maxGrace && !visible {
				deadline := 3*c.s.Grace() + 2*step
				c.now += step
				c.s.Tick(c.now, false)
				c.look()
				if c.now-c.change > deadline {
					break
				}
				c.serve()
				visible = c.servable() == 0
			}
			// What is served is delivered a piece a step by each holder, which may take
			// longer than three graces; what is not visible by then is starved.
			for i := range c.pieces {
				if c.got.Has(i) {
					continue
				}
				could, sees := false, false
				for _, p := range c.peers {
					if p.here && p.serves && p.has.Has(i) {
						could, sees = true, sees || p.shown.Has(i) || c.s.Shown(p.peer).Count() > 0 && c.s.holder(p.peer).open >= c.s.holder(p.peer).limit()
					}
				}
				if could && !sees {
					t.Errorf("%v after the last change piece %d is seen at nobody who serves it", c.now-c.change, i)
				}
			}
			c.finish()
		})
	}
}

// finish serves on until everything that somebody serves is here.
func (c *scenario) finish() {
	for until := c.now + 5*time.Minute; c.now < until && c.servable() > 0; {
		c.now += 250 * time.Millisecond
		c.s.Tick(c.now, false)
		c.look()
		c.serve()
	}
	if n := c.servable(); n > 0 {
		c.t.Errorf("%d pieces never came, though somebody serves them", n)
	}
}

// TestPlain: with all tiers equal everything is shown where it is claimed, at once, and
// nothing else: plain BitTorrent.
func TestPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	const pieces = 100
	s := NewSight(SightConfig{Pieces: pieces, PieceLength: 1 << 14, Self: 1, Plain: true})
	claimed, shown := map[Show]bool{}, map[Show]bool{}
	for p := Peer(1); p <= 12; p++ {
		s.Join(p, Key(p), Tier(rng.IntN(int(Origin))), Role(rng.IntN(2)), 0)
	}
	got := NewSet(pieces)
	for step := range 2000 {
		now := time.Duration(step) * 50 * time.Millisecond
		c := Show{Peer: Peer(1 + rng.IntN(12)), Piece: rng.IntN(pieces)}
		if !got.Has(c.Piece) {
			claimed[c] = true
		}
		s.Has(c.Peer, c.Piece, now)
		if step%9 == 0 {
			s.Tick(now, false)
		}
		if step%25 == 0 {
			i := rng.IntN(pieces)
			got.Add(i)
			s.Got(i, now)
		}
		for _, show := range s.Take() {
			if shown[show] {
				t.Fatalf("%+v is shown twice", show)
			}
			shown[show] = true
		}
		if len(shown) != len(claimed) {
			t.Fatalf("step %d: %d claims, %d are shown", step, len(claimed), len(shown))
		}
	}
	for c := range claimed {
		if !shown[c] {
			t.Errorf("%+v was claimed and is not shown", c)
		}
	}
}
