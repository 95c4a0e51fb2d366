package policy

import "time"

// Account tells how a piece came here, or why it has not.
type Account struct {
	Reason  Reason        // of the last showing
	Peer    Peer          // where it was last shown
	Opening Reason        // of the first showing, foreign clients aside; Unseen before it
	Began   Peer          // where that was: who had the first chance to deliver
	Claimed bool          // somebody was known to have it, or an origin granted it
	Known   time.Duration // since when
	First   time.Duration // the same, begun anew when the last near holder left or was late
	Shown   time.Duration // when it was first shown
	Got     time.Duration // when it was here; 0 while it is not
	Views   int           // members it was shown at
}

// Account returns what is known of a piece.
func (s *Sight) Account(piece int) Account {
	sg := s.pieces[piece]
	return Account{
		Reason: sg.reason, Peer: sg.at, Opening: sg.opening, Began: sg.began, Claimed: sg.claimed || sg.opening != Unseen,
		Known: sg.known, First: sg.first, Shown: sg.shown, Got: sg.got, Views: int(sg.views),
	}
}

// opened notes the first showing of a piece.
func (sg *sighting) opened(h *sight, why Reason, now time.Duration) {
	if sg.opening == Unseen && h.role != Foreign {
		if !sg.claimed {
			sg.known = now // of a piece that nobody but the origin has
		}
		sg.opening, sg.began = why, h.peer
	}
}

// heard notes the first claim of a piece.
func (sg *sighting) heard(now time.Duration) {
	if sg.opening == Unseen { // else it was granted before
		sg.known = now
	}
}

// Why returns the reason for which a piece was shown at the peer that delivered it,
// and, if that was a spill, who kept it waiting: the one that it was shown at first.
func (a Account) Why(from Peer, role Role) (why Reason, keeper Peer, kept bool) {
	switch {
	case a.Peer == from && a.Reason != Unseen:
		why = a.Reason
	case a.Opening != Unseen && a.Began == from:
		why = a.Opening
	case role == Publisher:
		why = Granted
	case role == Member && a.Views > 1:
		why = Spill
	case role == Member && a.Views == 1: // and at a foreign client since
		why = Nearest
	default:
		why = Open
	}
	if why == Spill && a.Opening != Unseen && a.Began != from {
		return why, a.Began, true
	}
	return why, 0, false
}
