package swarm

import "time"

// A peer that takes requests and answers none keeps their blocks from everybody
// else: the engine gives a request to another peer only when that happens to look
// for work after a while, and not if neither has delivered anything yet.

// Times that a peer may keep requests without a byte of payload: snubIdle while
// nothing at all comes for the item, else snubBusy. Clients that choke in turns
// keep requests for about half a minute.
const (
	snubIdle = 10 * time.Second
	snubBusy = 45 * time.Second
)

// snub is what the loop knows of a peer's silence.
type snub struct {
	received int64     // payload bytes at the last look
	since    time.Time // when it last delivered, or had nothing to answer
}

// unsnub drops peers that keep requests to themselves, if somebody else shows what
// is missing. They are dialled again late.
func (n *Node) unsnub(it *Item, now time.Time) {
	if it.state != StateFetching {
		return
	}
	allowed := snubBusy
	if now.Sub(it.lastProgress) >= snubIdle {
		allowed = snubIdle
	}
	var silent, other []*link
	for _, l := range it.links {
		got := l.received.Load()
		if got != l.snub.received || l.asked.Load() <= 0 || l.snub.since.IsZero() {
			l.snub = snub{got, now}
		}
		if now.Sub(l.snub.since) >= allowed {
			silent = append(silent, l)
		} else {
			other = append(other, l)
		}
	}
	if len(silent) == 0 || !n.showLacking(it, other) {
		return
	}
	for _, l := range silent {
		n.log.Info("peer answers no requests, dropped", "peer", l.remote, "torrent", it.hash)
		it.book.snubbed(l.listenAddr, now)
		l.pc.Close()
	}
}

// showLacking tells whether one of the peers has a piece that is missing here.
func (n *Node) showLacking(it *Item, peers []*link) bool {
	for i := range it.torrent.NumPieces() {
		if done, _ := it.content.State(i); done {
			continue
		}
		for _, l := range peers {
			if l.claims.has(i) || l.origin.Load() {
				return true
			}
		}
	}
	return false
}
