package swarm

import (
	"handful/swarm/policy"
)

// Of the peers of another site only one or two act on a piece as soon as they hear of it:
// its delegate, and who is next. To tell all of them at once costs half a percent of what
// crosses the border; the others hear of it a second later, with others.

// knowMates finds out who shares turns with whom in other sites, as far as this node knows.
func (n *Node) knowMates(it *Item) {
	if it.gossip != nil {
		return
	}
	sites := make(map[string][]policy.Key)
	for _, l := range it.links {
		if site := n.siteOf(l); Tier(l.tier.Load()) == TierFar && site != "" && l.ours.Load() && !l.claims.whole(it.pieces.Load()) {
			sites[site] = append(sites[site], l.key)
		}
	}
	for _, l := range it.links {
		mates, ok := sites[n.siteOf(l)]
		if !ok || Tier(l.tier.Load()) != TierFar {
			l.mates.Store(nil)
			continue
		}
		l.mates.Store(&mates)
	}
}

// acts reports whether a peer may be the one of its site, or the next, that asks for a piece
// from beyond its border. It runs in the engine's callbacks.
func (l *link) acts(piece int) bool {
	mates := l.mates.Load()
	return mates == nil || policy.Rank(l.key, *mates, piece) < 2
}
