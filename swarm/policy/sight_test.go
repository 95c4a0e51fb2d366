package policy

import (
	"testing"
	"time"
)

func newTestSight(pieces int) *Sight {
	return NewSight(SightConfig{Pieces: pieces, PieceLength: 128 << 10, Self: 1})
}

// shownAt drains what is to be shown, by peer.
func shownAt(s *Sight) map[Peer][]int {
	out := make(map[Peer][]int)
	for _, show := range s.Take() {
		out[show.Peer] = append(out[show.Peer], show.Piece)
	}
	return out
}

// TestLateStart: a node that is told of its first peer long after its clock began does
// not take the time before for a stall.
func TestLateStart(t *testing.T) {
	s := newTestSight(8)
	now := time.Hour
	s.Join(1, 11, Site, Member, now)
	s.Join(2, 22, Far, Member, now)
	s.HasSet(1, nil, now)
	s.HasSet(2, nil, now)
	s.Tick(now+250*time.Millisecond, false)
	if far := shownAt(s)[2]; len(far) > 0 {
		t.Errorf("pieces %v are shown at a far peer beside a near one that has them", far)
	}
	if s.stalled {
		t.Error("stalled a quarter of a second after the first peer came")
	}
}

// TestBusyIsNotLate: a holder that delivers keeps a piece waiting for longer than a
// grace without being late, and one that delivers nothing does not.
func TestBusyIsNotLate(t *testing.T) {
	for _, delivers := range []bool{true, false} {
		s := newTestSight(64)
		s.Join(1, 11, Site, Member, 0)
		s.Join(2, 22, Far, Member, 0)
		s.HasSet(1, nil, 0)
		s.HasSet(2, nil, 0)
		grace, total := s.Grace(), int64(0)
		for now := time.Duration(0); now < 2*grace; now += 250 * time.Millisecond {
			if delivers {
				total += 16 << 10
			}
			s.Received(1, total, now)
			s.Tick(now, false)
		}
		if far := len(shownAt(s)[2]) > 0; far == delivers {
			t.Errorf("the holder delivers: %t; shown beyond it: %t", delivers, far)
		}
	}
}

// TestOfferOfAnother: whoever is offered a piece that it has asked somebody else for takes
// another instead, the one that fewest have, and nothing when all are asked for.
func TestOfferOfAnother(t *testing.T) {
	s := newTestSight(64)
	s.Join(1, 11, Site, Member, 0)
	s.Join(2, 22, Site, Member, 0)
	some := NewSet(64)
	for i := range 63 {
		some.Add(i)
	}
	s.HasSet(2, some, 0)
	s.HasSet(1, nil, 0)
	if shown := shownAt(s); len(shown) > 0 {
		t.Fatalf("%v is shown before anybody has offered anything", shown)
	}
	if !s.Offered(2, 5, 0) || !s.Offered(1, 5, 0) {
		t.Fatal("an offer was of no use")
	}
	if shown := shownAt(s); len(shown[2]) != 1 || shown[2][0] != 5 || len(shown[1]) != 1 || shown[1][0] != 63 {
		t.Errorf("shown: %v; want 5 at the first who offers it, and 63 at the one who has that alone", shown)
	}
	for i := range 64 {
		s.Got(i, time.Second)
	}
	if s.Offered(1, 7, time.Second) {
		t.Error("an offer was of use to who has everything")
	}
}

// TestPatience: what nobody offers is taken from who has it, after a while.
func TestPatience(t *testing.T) {
	s := newTestSight(4)
	s.Join(1, 11, Site, Member, 0)
	s.HasSet(1, nil, 0)
	for now := time.Duration(0); now < leastPatience; now += 250 * time.Millisecond {
		if s.Tick(now, false); len(shownAt(s)) > 0 {
			t.Fatalf("something is shown after %s", now)
		}
	}
	if s.Tick(leastPatience, false); len(shownAt(s)[1]) == 0 {
		t.Errorf("nothing is shown after %s", leastPatience)
	}
}

// TestHungerNamesWhatNobodyHas: what a near member has is not asked of the origin
// because it has to wait.
func TestHungerNamesWhatNobodyHas(t *testing.T) {
	s := newTestSight(64)
	s.Join(1, 11, Site, Member, 0)
	some := NewSet(64)
	for i := range 62 {
		some.Add(i)
	}
	s.HasSet(1, some, 0)
	asked := s.Hungry(hungerAfter)
	if len(asked) != 2 || asked[0] < 62 || asked[1] < 62 {
		t.Errorf("asked for %v, nobody has 62 and 63", asked)
	}
}
