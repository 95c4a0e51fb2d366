package swarm

import (
	"math"
	"time"
)

// Stall times: after stallRedial without progress all addresses are tried again,
// after stallDrop the connections are made anew.
const (
	stallRedial = 10 * time.Second
	stallDrop   = 45 * time.Second
)

// meter smooths a byte counter into a rate.
type meter struct {
	last  int64
	at    time.Time
	rate  float64 // bytes/s
	begun bool
}

// meterSpan is the time in which a change of rate shows by 63 %.
const meterSpan = 2 * time.Second

func (m *meter) update(total int64, now time.Time) {
	if !m.begun {
		m.last, m.at, m.begun = total, now, true
		return
	}
	dt := now.Sub(m.at).Seconds()
	if dt < 0.1 {
		return
	}
	current := float64(total-m.last) / dt
	w := 1 - math.Exp(-dt/meterSpan.Seconds())
	m.rate += w * (current - m.rate)
	m.last, m.at = total, now
}

// pulse does what is due by time.
func (n *Node) pulse(now time.Time) {
	n.livePulse(now)
	idle := n.eng.uplink.idle()
	for _, it := range n.items {
		received, _ := it.count.snapshot()
		it.down.update(received.Total(), now)
		it.up.update(it.sent(), now)
		n.progress(it, now)
		n.hostPulse(it)
		n.webStep(it, now)
		n.look(it, now)
		n.endVisits(it, now)
		n.unsnub(it, now)
		n.watch(it, now)
		n.dialDue(it)
		n.pexPulse(it, now)
		n.layerPulse(it, now)
		n.startOffers(it)
		n.knowMates(it)
		n.pacePulse(it)
		for _, l := range it.links {
			if l.tap != nil {
				l.tap.pulse(now, idle)
			}
		}
	}
	n.makeOffers()
	n.lan.pulse(now)
	n.eng.applyLimits(now)
}

// sent returns the payload bytes uploaded so far.
func (it *Item) sent() int64 {
	if it.t == nil {
		return 0
	}
	stats := it.t.Stats()
	return stats.BytesWrittenData.Int64()
}

// progress notes useful bytes: of large pieces on a slow line none may be complete
// for minutes.
func (n *Node) progress(it *Item, now time.Time) {
	if useful := it.count.useful.Load(); useful != it.usefulSeen {
		it.usefulSeen = useful
		it.lastProgress = now
	}
}

// watch is the stall watchdog. It leaves lastProgress alone, by which others judge
// that nothing comes any more.
func (n *Node) watch(it *Item, now time.Time) {
	if it.gossip != nil || it.state == StateSeeding || it.state == StateFailed || it.state == StateFinishing || it.state == StateChecking {
		return
	}
	idle := now.Sub(it.lastProgress)
	if idle < stallRedial || idle-it.stalled < stallRedial {
		if idle < stallRedial {
			it.stalled = 0
		}
		return
	}
	drop := idle/stallDrop > it.stalled/stallDrop
	it.stalled = idle
	it.book.hurry()
	n.lan.hurry()
	if n.dht != nil {
		n.dht.Again(it.hash)
	}
	if drop && len(it.links) > 0 {
		n.log.Info("no progress, connecting anew", "torrent", it.hash, "idle", idle.Round(time.Second))
		for _, l := range it.links {
			l.pc.Close()
		}
	}
}

// pieceDone counts a verified piece.
func (n *Node) pieceDone(it *Item, piece int) {
	// The engine has the storage shortly before the state says so.
	if it.torrent == nil || it.state != StateFetching && it.state != StateChecking {
		return
	}
	it.doneBytes += it.torrent.PieceSize(piece)
	it.left.Store(it.torrent.Length() - it.doneBytes)
	it.lastProgress = n.cfg.Now()
	if it.sight != nil {
		it.sight.Got(piece, n.elapsed())
		n.stir(it)
	}
	n.unask(it, piece)
	if it.offers != nil {
		it.offers.Got(piece)
		n.stir(it)
	}
	if it.state == StateFetching {
		n.filledUp(it)
	}
}

// filledUp tells run when nothing is missing.
func (n *Node) filledUp(it *Item) {
	if it.content.Complete() {
		select {
		case <-it.filled:
		default:
			close(it.filled)
		}
	}
}

func (n *Node) itemSnapshot(it *Item) ItemSnapshot {
	received, wasted := it.count.snapshot()
	s := ItemSnapshot{
		Infohash: it.hash,
		Name:     it.spec.Name,
		State:    it.state,
		Origin:   it.origin,
		Done:     it.doneBytes,
		Reused:   it.reused,
		Received: received,
		Wasted:   wasted,
		Uploaded: it.sent(),
		DownRate: it.down.rate,
		UpRate:   it.up.rate,
		Known:    len(it.book.addrs),
		Path:     it.path,
		Err:      it.err,

		LastProgress: it.lastProgress,

		Private: it.private.Load(),
		Pieces:  int(it.pieces.Load()),
	}
	if it.grants != nil {
		g := it.grants.Summary(n.elapsed())
		s.Granted = &g
	}
	if it.torrent != nil {
		s.Name = it.torrent.Name
		s.Bytes = it.torrent.Length()
	}
	for _, l := range it.sortedLinks() {
		stats := l.pc.Stats()
		s.Peers = append(s.Peers, PeerSnapshot{
			Addr:     l.remote.String(),
			Client:   sanitize(l.client),
			ID:       string(l.pc.PeerID[:]),
			Tier:     Tier(l.tier.Load()),
			Ours:     l.ours.Load(),
			RTT:      l.rtt,
			Received: l.received.Load(),
			Uploaded: stats.BytesWrittenData.Int64(),
		})
	}
	return s
}
