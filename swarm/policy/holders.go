package policy

// lowPeers are the peer numbers that count as small.
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
