package swarm

import (
	"errors"
	"net/netip"
	"slices"

	"handful/swarm/discover"
)

var errNotLocal = errors.New("not on the local network, and only that is allowed here")

// newAnnouncer makes the node's client of trackers.
func newAnnouncer(n *Node) *discover.Announcer {
	return discover.NewAnnouncer(discover.AnnouncerConfig{
		PeerID: n.eng.cl.PeerID(),
		Port:   n.Port(),
		Transfer: func(ih [20]byte) discover.Transfer {
			it := n.eng.item(Infohash(ih))
			if it == nil {
				return discover.Transfer{Left: -1}
			}
			return it.transfer()
		},
		OnPeers: func(ih [20]byte, _ string, peers []netip.AddrPort) {
			n.mail.tryPost(func() {
				if it := n.eng.item(Infohash(ih)); it != nil {
					for _, p := range peers {
						n.learn(it, p, fromTracker)
					}
				}
			})
		},
		Literal: n.cfg.LANOnly,
		Allow: func(a netip.Addr) error {
			if n.cfg.LANOnly && !n.lan.local(a) {
				return errNotLocal
			}
			return nil
		},
		Logger: n.log,
		Now:    n.cfg.Now,
	})
}

// transfer is what trackers are told. It reads counters only, because the
// announcer calls it from goroutines of its own.
func (it *Item) transfer() discover.Transfer {
	received, _ := it.count.snapshot()
	t := discover.Transfer{Uploaded: it.sent(), Downloaded: received.Total(), Left: -1}
	if it.pieces.Load() > 0 && it.gossip == nil {
		t.Left = it.left.Load()
	}
	return t
}

// trackersOf returns the announce URLs of an item, each once: the metainfo's only
// for torrents that nobody signed, since a publisher's hints are in the link.
func (n *Node) trackersOf(it *Item) []string {
	urls := slices.Concat(n.cfg.Trackers, it.spec.Trackers)
	if it.torrent != nil {
		urls = append(urls, it.torrent.Trackers...)
	}
	var out []string
	for _, u := range urls {
		if !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	return out
}
