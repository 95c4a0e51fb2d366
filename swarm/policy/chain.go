package policy

import "time"

// Between few sites a piece goes from one to the next. If each site's delegate took it where
// it is first, all would ask the site of the origin, whose link would carry a copy for each
// of them. So the sites stand in a circle, in another order for each piece, and each takes it
// from the one before it: then no link carries it more than once in each direction. In a
// large swarm the way round would be too long: among eight sites it already costs more time than
// it saves.

// mostChained is how many other sites may be known for pieces to go from one to the next.
const mostChained = 4

// Place tells at which site a far member is; 0: not known.
func (s *Sight) Place(p Peer, site uint64) {
	if h := s.holder(p); h != nil && h.role == Member && h.site != site {
		s.settle(h, -1)
		h.site = site
		s.settle(h, 1)
	}
}

// OwnPlace tells at which site this node is; 0: not known.
func (s *Sight) OwnPlace(site uint64) { s.site = site }

// settle enters a far member into its site, or takes it out.
func (s *Sight) settle(h *sight, d int) {
	if h.tier != Far || h.site == 0 {
		return
	}
	if s.sites[h.site] += d; s.sites[h.site] == 0 {
		delete(s.sites, h.site)
		delete(s.gained, h.site)
	}
}

// previous returns the site from which this node's takes a piece; 0: from any.
func (s *Sight) previous(piece int) (best uint64) {
	if n := len(s.sites); s.site == 0 || n < 2 || n > mostChained {
		return 0
	}
	own, least := Key(s.site).weight(piece), uint64(0)
	for site := range s.sites {
		way := own - Key(site).weight(piece) // round the circle
		if best == 0 || way < least || way == least && site < best {
			best, least = site, way
		}
	}
	return best
}

// bringing reports whether pieces come into a site: then this node waits in line there, and is
// not forgotten.
func (s *Sight) bringing(site uint64, now time.Duration) bool {
	at, any := s.gained[site]
	return any && now-at < s.Grace()
}

// chained reports whether a piece is left where it is, since it will come from the site that
// is before this node's: for a grace, and as long as pieces come there.
func (s *Sight) chained(h *sight, piece int, now time.Duration) bool {
	if h.tier != Far || h.role != Member || h.site == 0 || h.late {
		return false
	}
	from := s.previous(piece)
	return from != 0 && from != h.site && (now-s.pieces[piece].first < s.Grace() || s.bringing(from, now))
}
