package swarm

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"handful/swarm/policy"
	"handful/swarm/store"
)

// Two nodes on one host share bytes without the network. The one that fetches asks
// the other where its files lie, and takes pieces out of them: see Content.TakePiece.
// What the other says is a hint. It is asked once; a lie costs the time of one read.

const (
	// A download asks the network for nothing as long as a peer on this host may turn
	// out to have it: hostWait for the peer to say so, hostPatience between two
	// pieces.
	hostWait     = 500 * time.Millisecond
	hostPatience = 2 * time.Second
	// hostTimeout is how long the file system may take for one piece.
	hostTimeout = 20 * time.Second
	// A batch is what is taken before the loop looks again.
	batchPieces = 64
	batchBytes  = 32 << 20
	// maxLies is how many wrong answers make an item ask nobody any more.
	maxLies = 16
	// hostCopiers take pieces at a time at most.
	hostCopiers = 4
)

// hostLink is what the loop knows of a peer that is on this host.
type hostLink struct {
	asked    bool         // where its files are
	answered bool         // with a path or without
	refused  bool         // it named files that are not what it said
	wants    bool         // it has asked us
	donor    *store.Donor // nil: nothing to take from
	all      bool         // it says that it has every piece
	next     int          // the piece to look at first
	vain     bool         // it had nothing at the last look, and has claimed nothing since
	slow     bool         // its file system kept us waiting
	askIn    *rate.Limiter
	pathIn   *rate.Limiter
}

// gives tells whether the peer's pieces are taken out of its files: then they are not
// asked for over the network. An origin stays where it is: what it grants it does not
// grant twice.
func (l *link) gives() bool { return l.host.donor != nil && !l.host.slow && !l.origin.Load() }

// hostCopy is an item's state of what it takes from peers on this host. It is owned
// by the loop.
type hostCopy struct {
	work     chan hostBatch // to the copier; nil before the download
	head     chan struct{}  // closed when the network may be asked; nil after that
	began    time.Time      // of the head start
	busy     *link          // whose files the copier is working at; nil: it waits
	progress time.Time      // when it last got a batch or took a piece
	held     []int          // pieces that the engine does not ask for meanwhile
	lies     int
	off      bool  // nothing is taken any more
	again    []int // pieces that the engine must be told of again
}

// hostBatch is work for the copier.
type hostBatch struct {
	link   *link
	donor  *store.Donor
	pieces []int
}

// sameHost tells whether a peer has proved to be on this host: it reaches us over
// loopback or an address of our own, and knows the id of this machine.
func (n *Node) sameHost(l *link) bool {
	return n.cfg.MachineID != "" && !n.cfg.Blind && l.hello != nil && l.hello.Machine == machineTag(n.cfg.MachineID, l.item.hash) &&
		n.lan.own(l.remote.Addr())
}

// askPath asks a peer on this host where its files are.
func (n *Node) askPath(l *link) {
	if it := l.item; it.host.work == nil || it.host.off || it.state != StateFetching || l.host.asked || !n.sameHost(l) {
		return
	}
	l.host.asked = true
	n.eng.send(l, extSwarm, []byte{kindAskPath})
}

// pathAsked answers a peer on this host, now or when there is something to tell.
func (n *Node) pathAsked(l *link) {
	if n.sameHost(l) && seldom(&l.host.askIn, n.cfg.Now()) {
		l.host.wants = true
		n.tellPath(l)
	}
}

// tellPath says where our files are. They are looked at outside the loop.
func (n *Node) tellPath(l *link) {
	it := l.item
	if !l.host.wants || it.content == nil || it.state != StateFetching && it.state != StateFinishing && it.state != StateSeeding {
		return
	}
	content := it.content
	go func() {
		m := pathMessage{All: content.Complete()}
		m.Where, _ = content.Whereabouts()
		n.eng.send(l, extSwarm, m.bytes())
	}()
}

// tellPaths says it to all who asked: the files have come to be, or have moved.
func (n *Node) tellPaths(it *Item) {
	for _, l := range it.links {
		n.tellPath(l)
	}
}

// pathReceived takes the answer.
func (n *Node) pathReceived(l *link, m pathMessage) {
	h := &l.host
	if !h.asked || h.refused || l.item.torrent == nil || !n.sameHost(l) || !seldom(&h.pathIn, n.cfg.Now()) {
		return
	}
	h.answered, h.all, h.donor, h.next, h.vain = true, m.All, nil, 0, false
	if !m.empty() {
		h.donor = store.NewDonor(l.item.torrent, m.Where)
	}
	n.reseat(l)
	n.hostStep(l.item)
}

// reseat takes a peer out of what may be asked for over the network while it gives in
// another way, and enters it again after that.
func (n *Node) reseat(l *link) {
	if l.closed || l.origin.Load() {
		return
	}
	if s := l.item.sight; s != nil && l.gives() {
		s.Leave(policy.Peer(l.id), n.elapsed())
		n.stir(l.item)
		return
	}
	n.joinSight(l)
}

// hostStep does what is due: it gives the copier work, and lets the network be asked
// when there is nothing to hope for on this host.
func (n *Node) hostStep(it *Item) {
	h := &it.host
	if h.work == nil || it.state != StateFetching {
		return
	}
	now := n.cfg.Now()
	if h.busy == nil && !h.off {
		for _, l := range it.links {
			if b, ok := n.hostBatch(l); ok {
				n.startBatch(it, b, now)
				break
			}
		}
	}
	if h.busy != nil && !h.busy.host.slow && now.Sub(h.progress) >= hostPatience {
		h.busy.host.slow = true
		n.releaseHeld(it)
		n.reseat(h.busy)
	}
	if h.head != nil && !n.hostHope(it, now) {
		close(h.head)
		h.head = nil
		n.startSight(it)
		for _, l := range it.links {
			n.sayReady(l)
		}
	}
}

// hostHope tells whether the head start goes on.
func (n *Node) hostHope(it *Item, now time.Time) bool {
	h := &it.host
	early := now.Sub(h.began) < hostWait
	switch {
	case h.off:
		return false
	case h.busy != nil:
		return !h.busy.host.slow
	case !early:
		return false
	}
	for _, l := range it.links {
		if !l.local || l.host.refused || l.host.answered || l.shaken.Load() && !l.ours.Load() {
			continue
		}
		if l.hello == nil || n.sameHost(l) {
			return true
		}
	}
	for ap, a := range it.book.addrs {
		if !a.banned && a.tries < 2 && n.lan.own(ap.Addr()) && !it.connectedTo(ap) {
			return true
		}
	}
	return false
}

// hostBatch picks pieces that are missing here and that the peer has. Those of which
// the network has brought a part come last.
func (n *Node) hostBatch(l *link) (b hostBatch, ok bool) {
	it, h := l.item, &l.host
	if h.donor == nil || h.vain {
		return b, false
	}
	var first, begun []int
	var size int64
	pieces := it.torrent.NumPieces()
	for k := range pieces {
		i := (h.next + k) % pieces
		if done, _ := it.content.State(i); done || !h.all && !l.claims.has(i) {
			continue
		}
		if it.blame.began(i) {
			if len(begun) < batchPieces {
				begun = append(begun, i)
			}
			continue
		}
		first = append(first, i)
		size += it.torrent.PieceSize(i)
		if len(first) == batchPieces || size >= batchBytes {
			break
		}
	}
	if len(first) == 0 {
		first = begun
	}
	if len(first) == 0 {
		h.vain = true
		return b, false
	}
	h.next = first[len(first)-1]
	return hostBatch{link: l, donor: h.donor, pieces: first}, true
}

func (n *Node) startBatch(it *Item, b hostBatch, now time.Time) {
	h := &it.host
	h.busy, h.progress = b.link, now
	if h.head == nil { // the network is being asked: not for these
		h.held = b.pieces
		n.eng.want(it, b.pieces, false)
	}
	h.work <- b // it waits for work
}

func (n *Node) releaseHeld(it *Item) {
	n.eng.want(it, it.host.held, true)
	it.host.held = nil
}

// batchDone notes how a batch ended: donor is what the donor's files lacked, own what
// hindered us.
func (n *Node) batchDone(it *Item, b hostBatch, donor, own error) {
	h, l := &it.host, b.link
	h.busy = nil
	n.releaseHeld(it)
	gone := donor != nil && l.host.donor == b.donor
	switch {
	case own != nil:
		h.off = true
	case !gone:
	case errors.Is(donor, fs.ErrNotExist) || errors.Is(donor, fs.ErrPermission):
		// Another mount namespace or user, or its files are on the move: it tells again.
		n.log.Debug("files of a peer on this host are not to be seen", "peer", l.remote, "err", donor)
		l.host.donor = nil
	default:
		n.log.Info("files of a peer on this host are not what it said; it is left alone", "peer", l.remote, "err", donor)
		l.host.refused, l.host.donor = true, nil
		h.lies++
		h.off = h.lies >= maxLies
	}
	for _, other := range it.links {
		if h.off && other.host.donor != nil {
			other.host.donor = nil
			n.reseat(other)
		}
	}
	if gone {
		n.reseat(l)
	}
	n.hostStep(it)
}

// hostHas looks again at a peer that has more than before.
func (n *Node) hostHas(l *link) {
	if l.host.donor != nil {
		l.host.vain = false
		n.hostStep(l.item)
	}
}

// hostPulse does what is due by time.
func (n *Node) hostPulse(it *Item) {
	it.host.again = slices.DeleteFunc(it.host.again, func(piece int) bool {
		if it.t.PieceState(piece).Complete {
			return true
		}
		it.t.Piece(piece).UpdateCompletion()
		return false
	})
	if it.sight != nil && it.host.busy != nil && !it.host.busy.host.slow {
		it.sight.Fed(n.elapsed())
	}
	n.hostStep(it)
}

// startHost begins the head start and the goroutine that copies until ctx ends. It
// returns what closes when the head start is over, and a function that waits for
// the goroutine.
func (it *Item) startHost(ctx context.Context) (head <-chan struct{}, wait func()) {
	work := make(chan hostBatch, 1)
	open := make(chan struct{})
	it.node.call(func() {
		h := &it.host
		h.work, h.head, h.began = work, open, it.node.cfg.Now()
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case b := <-work:
				it.copyBatch(ctx, b)
			}
		}
	})
	return open, wg.Wait
}

// copyBatch takes pieces until one cannot be had.
func (it *Item) copyBatch(ctx context.Context, b hostBatch) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(min(it.node.cfg.Hashers, hostCopiers))
	var late atomic.Bool
	for _, piece := range b.pieces {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			pctx, cancel := context.WithTimeout(gctx, hostTimeout)
			defer cancel()
			size, first, err := it.content.TakePiece(pctx, b.donor, piece)
			if err != nil {
				late.CompareAndSwap(false, pctx.Err() != nil && gctx.Err() == nil)
				return err
			}
			if size > 0 {
				it.tookPiece(b.link, piece, size, first)
			}
			return nil
		})
	}
	err := g.Wait()
	var donor, own error
	switch {
	case err == nil:
	case ctx.Err() != nil:
		own = ctx.Err()
	case late.Load() || errors.Is(err, store.ErrDonor):
		donor = err
	default:
		own = err
		it.endFetch(err)
	}
	it.node.mail.post(func() { it.node.batchDone(it, b, donor, own) })
}

// tookPiece accounts for a piece that was taken, and tells the engine. What the
// network had brought of it was in vain.
func (it *Item) tookPiece(l *link, piece int, size int64, first bool) {
	it.came.note(piece, TierHost)
	it.count.failed.Add(it.blame.forget(piece))
	it.count.received[TierHost].Add(size)
	it.count.useful.Add(size)
	l.received.Add(size)
	liars := it.blame.passed(piece)
	it.t.Piece(piece).UpdateCompletion()
	it.node.mail.post(func() {
		it.host.progress = it.node.cfg.Now()
		if first {
			it.node.pieceDone(it, piece)
			it.ledger.open(it.torrent.NumPieces())
			it.ledger.add(piece, []share{{link: l.id, tier: TierHost, bytes: size}}, cell{reason: policy.Nearest})
		}
		for _, l := range liars {
			it.node.liar(l, piece)
		}
	})
}
