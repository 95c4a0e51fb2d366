package policy

import (
	"testing"
	"time"
)

// atSite is the table of a node of a site that knows one member of each of the others; the
// number of a site is that of its member.
func atSite(own, sites uint64, pieces int) *Sight {
	s := NewSight(SightConfig{Pieces: pieces, PieceLength: 1 << 10, Self: Key(100 + own)})
	s.OwnPlace(own)
	for site := uint64(1); site <= sites; site++ {
		if site != own {
			s.Join(Peer(site), Key(100+site), Far, Member, 0)
			s.Place(Peer(site), site)
		}
	}
	return s
}

// TestNoLinkCarriesAPieceTwice: each site takes a piece from another one, and none gives it
// to two.
func TestNoLinkCarriesAPieceTwice(t *testing.T) {
	const pieces = 500
	for sites := uint64(3); sites <= mostChained+1; sites++ {
		gives := make([]map[uint64]bool, pieces)
		uses := map[uint64]int{}
		for own := uint64(1); own <= sites; own++ {
			s := atSite(own, sites, pieces)
			for i := range pieces {
				if gives[i] == nil {
					gives[i] = map[uint64]bool{}
				}
				from := s.previous(i)
				if from == 0 || from == own || gives[i][from] {
					t.Fatalf("of %d sites number %d takes piece %d from %d, which gives it to another too", sites, own, i, from)
				}
				gives[i][from] = true
				uses[10*own+from]++
			}
		}
		for pair, n := range uses {
			if share := pieces / int(sites-1); n < share/2 || n > 2*share {
				t.Errorf("of %d sites number %d takes %d of %d pieces from %d", sites, pair/10, n, pieces, pair%10)
			}
		}
	}
}

// TestPieceGoesRound: what the first site has is seen there by who comes next in the circle,
// and by the others at who is before them; after a grace anywhere.
func TestPieceGoesRound(t *testing.T) {
	const pieces = 200
	s := atSite(1, 4, pieces)
	s.HasSet(4, nil, 0)
	seen := shownDelivered(s, 0)
	for i := range pieces {
		if want := s.previous(i) == 4; (seen[i] == 4) != want {
			t.Fatalf("piece %d, which is to come from site %d, is seen at %d", i, s.previous(i), seen[i])
		}
	}
	for site := Peer(2); site <= 3; site++ {
		s.HasSet(site, nil, time.Second)
	}
	for i, p := range shownDelivered(s, time.Second) {
		if uint64(p) != s.previous(i) {
			t.Errorf("piece %d is seen at %d instead of %d", i, p, s.previous(i))
		}
	}
	if n := s.got.Count(); n != pieces {
		t.Errorf("%d of %d pieces have come", n, pieces)
	}

	s = atSite(1, 4, pieces)
	s.HasSet(4, nil, 0)
	shownDelivered(s, 0)
	s.Tick(s.Grace(), false)
	shownDelivered(s, s.Grace())
	if n := s.got.Count(); n != pieces {
		t.Errorf("a grace after the others have brought nothing %d of %d pieces have come", n, pieces)
	}
}

// shownDelivered lets everybody deliver what is seen there, until nothing more is, and
// returns at whom each piece was seen.
func shownDelivered(s *Sight, now time.Duration) map[int]Peer {
	seen := map[int]Peer{}
	for {
		shows := s.Take()
		if len(shows) == 0 {
			return seen
		}
		for _, show := range shows {
			seen[show.Piece] = show.Peer
			s.Got(show.Piece, now)
		}
	}
}

// TestNotInACircle: with one other site, without a place, or among many sites a piece is
// taken where it is.
func TestNotInACircle(t *testing.T) {
	two, many, nowhere := atSite(1, 2, 8), atSite(1, mostChained+2, 8), atSite(1, 4, 8)
	nowhere.OwnPlace(0)
	for name, s := range map[string]*Sight{"one other site": two, "many": many, "no place": nowhere} {
		s.HasSet(2, nil, 0)
		if n := len(shownDelivered(s, 0)); n != 8 {
			t.Errorf("%s: %d of 8 pieces are seen", name, n)
		}
	}
	left := atSite(1, 3, 8)
	left.Leave(3, 0)
	left.HasSet(2, nil, 0)
	if n := len(shownDelivered(left, 0)); n != 8 {
		t.Errorf("%d of 8 pieces are seen, with a site left of which everybody has gone", n)
	}
}
