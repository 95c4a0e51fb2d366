package policy

import (
	"testing"
	"time"
)

func TestLeastPace(t *testing.T) {
	for _, c := range []struct {
		rates []int64
		least int64
	}{
		{nil, 0},
		{[]int64{0, 0}, 0},
		{[]int64{800}, 100},
		{[]int64{8, 800}, 100}, // of two the slower one
		{[]int64{0, 8, 800, 800, 0}, 100},
		{[]int64{8, 8, 8, 800}, 1},           // most are never slow
		{[]int64{800, 800, 8, 1 << 31}, 100}, // and one who exaggerates changes little
	} {
		if got := leastPace(c.rates); got != c.least {
			t.Errorf("of %v less than %d is slow, want %d", c.rates, got, c.least)
		}
	}
}

// slowAmong is a Sight that knows two quick members, 1 and 2, and a slow one, 3.
func slowAmong(pieces int) *Sight {
	s := newTestSight(pieces)
	for p := Peer(1); p <= 3; p++ {
		s.Join(p, Key(11*p), Site, Member, 0)
		s.Pace(p, 1<<20, 0)
	}
	s.Pace(3, 1<<14, 0)
	return s
}

// TestSlowIsTheLastResort: a slow holder is asked for what nobody else has, a piece at a
// time, and for nothing else, whether it offers it or not.
func TestSlowIsTheLastResort(t *testing.T) {
	s := slowAmong(64)
	some := NewSet(64)
	for i := range 62 {
		some.Add(i)
	}
	s.HasSet(1, some, 0)
	s.HasSet(3, nil, 0)
	if s.Offered(3, 5, 0) {
		t.Error("what another has was taken of a slow one")
	}
	if !s.Offered(3, 63, 0) || s.Offered(3, 62, 0) {
		t.Error("of what it has alone not one piece was taken")
	}
	for now := time.Duration(0); now < 2*s.Grace(); now += 250 * time.Millisecond {
		for i := range 62 {
			s.Got(i, now)
		}
		s.Received(3, int64(now/time.Millisecond), now)
		s.Tick(now, false)
	}
	shown := shownAt(s)[3]
	if len(shown) != 1 || shown[0] != 63 {
		t.Errorf("%v is seen at the slow one, want 63 alone", shown)
	}
	s.Got(63, 2*s.Grace())
	if shown := shownAt(s)[3]; len(shown) != 1 || shown[0] != 62 {
		t.Errorf("%v is seen at the slow one next, want 62", shown)
	}
}

// TestSlowIsRelieved: what is awaited of somebody who turns out to be slow is seen at
// another who has it, at once or as soon as one does; and its line may become quick again.
func TestSlowIsRelieved(t *testing.T) {
	s := slowAmong(64)
	s.Pace(3, 0, 0)
	s.HasSet(3, nil, 0)
	s.Has(1, 7, 0)
	if !s.Offered(3, 7, 0) || !s.Offered(3, 8, 0) {
		t.Fatal("an offer was of no use")
	}
	shownAt(s)
	s.Pace(3, 1<<14, time.Second)
	if shown := shownAt(s); len(shown[1]) != 1 || shown[1][0] != 7 {
		t.Errorf("%v is shown; want 7 at the first, who has it", shown)
	}
	s.Has(2, 8, 2*time.Second)
	if shown := shownAt(s); len(shown[2]) != 1 || shown[2][0] != 8 {
		t.Errorf("%v is shown; want 8 at the second, who got it", shown)
	}
	s.Received(3, 1<<14, 3*time.Second)
	s.Pace(3, 1<<20, 3*time.Second)
	s.Has(1, 9, 3*time.Second)
	if !s.Offered(3, 9, 3*time.Second) {
		t.Error("somebody quick is asked for nothing")
	}
}

// TestSlowIsNoDelegate: nobody waits for the turn of who is slow, and it does not take one.
func TestSlowIsNoDelegate(t *testing.T) {
	keys := []Key{1, 11, 22, 33}
	const pieces = 64
	first := make([]int, pieces)
	for self, k := range keys {
		s := NewSight(SightConfig{Pieces: pieces, PieceLength: 1 << 10, Self: k})
		pace := func(i int) int64 {
			if i == 3 {
				return 1 << 14
			}
			return 1 << 20
		}
		s.OwnPace(pace(self), 0)
		for i, o := range keys {
			if i != self {
				s.Join(Peer(i), o, Site, Member, 0)
				s.Pace(Peer(i), pace(i), 0)
			}
		}
		s.Join(9, 99, Far, Member, 0)
		s.HasSet(9, nil, 0)
		s.Tick(s.Grace()-1, false)
		n := len(shownAt(s)[9])
		if (n == 0) != (self == 3) {
			t.Errorf("member %d is the delegate for %d pieces", self, n)
		}
		for i := range pieces {
			if s.Shown(9).Has(i) {
				first[i]++
			}
		}
	}
	for i, n := range first {
		if n != 1 {
			t.Errorf("piece %d has %d delegates", i, n)
		}
	}
}

// TestSlowLeecherIsGrantedNothing as long as others can take it; what it was granted before
// its line was known goes to another as well, once; and alone it is granted everything.
func TestSlowLeecherIsGrantedNothing(t *testing.T) {
	const pieces = 60
	g := NewGrants(Config{Pieces: pieces, PieceLength: 1 << 16, Order: order(pieces)})
	for p := Peer(1); p <= 3; p++ {
		g.Join(p, Leecher{Member: true, Key: Key(p)}, 0)
		g.Pace(p, 1<<20)
	}
	held := map[Peer]int{}
	copies := 0
	round := func(now time.Duration, passOn ...Peer) {
		for _, gr := range g.Next(now, Uplink{Rate: 1 << 20}) {
			held[gr.Peer]++
			copies++
			g.Have(gr.Peer, gr.Piece, now)
			if gr.Peer != 3 {
				for _, p := range passOn {
					g.Have(p, gr.Piece, now)
				}
			}
		}
	}
	round(0, 1, 2)
	early := held[3]
	if early == 0 {
		t.Fatal("nothing was granted to the third as long as it was as quick as the others")
	}
	g.Pace(3, 1<<14)
	for now := time.Second; now < time.Minute; now += 100 * time.Millisecond {
		round(now, 1, 2, 3)
	}
	if held[3] != early || copies != pieces+early {
		t.Errorf("the slow one was granted %d pieces, of which %d before that was known; %d of %d copies were sent", held[3], early, copies, pieces+early)
	}

	g = NewGrants(Config{Pieces: pieces, PieceLength: 1 << 16, Order: order(pieces)})
	for p := Peer(1); p <= 3; p++ {
		g.Join(p, Leecher{Member: true, Key: Key(p)}, 0)
		g.Pace(p, 1<<20)
	}
	g.Pace(3, 1<<14)
	g.Leave(1)
	g.Leave(2)
	clear(held)
	for now := time.Second; now < time.Minute; now += 100 * time.Millisecond {
		round(now)
	}
	if held[3] != pieces {
		t.Errorf("alone the slow one was granted %d of %d pieces", held[3], pieces)
	}
}
