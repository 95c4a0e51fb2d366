package swarm

import (
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"handful/manifest"
)

// Piece layers (BEP 52) of files that have more than one piece are not part of the
// info dict. They are asked of our own peers with the messages of wire.go, part by
// part from one peer at a time, and of foreign seeds with hash requests, and are
// kept only if they hash to the file's pieces root.

// layerTimeout is how long one peer may take for one part.
const layerTimeout = 3 * time.Second

// layersAtOnce bounds the layers that are asked for at a time.
const layersAtOnce = 8

// Where others fetch as well, one of them asks the origin and the rest ask that one:
// the origin is left alone for a random time of at most layerPatience, and at most
// layerPatienceEach for each address that is known.
const (
	layerPatience     = 300 * time.Millisecond
	layerPatienceEach = 20 * time.Millisecond
)

// layerJob is one layer being fetched. It is owned by the loop.
type layerJob struct {
	layer manifest.Layer
	from  *link // nil: not being asked of anybody
	data  []byte
	asked time.Time
	tried map[uint64]bool // links that lack it or lied
	hash  hashJob
}

func (n *Node) startLayers(it *Item, missing []manifest.Layer) {
	it.layerJobs = make(map[[32]byte]*layerJob, len(missing))
	for _, m := range missing {
		if m.Size <= maxLayerBytes {
			it.layerJobs[m.Root] = &layerJob{layer: m, tried: make(map[uint64]bool)}
		}
	}
	n.redialV1(it)
	if most := min(layerPatience, time.Duration(len(it.book.addrs)-1)*layerPatienceEach); most > 0 {
		patience := time.Duration(n.cfg.Rand.Int64N(int64(most)))
		it.askOrigin = n.cfg.Now().Add(patience)
		time.AfterFunc(patience, func() { n.mail.post(func() { n.askLayers(it) }) })
	}
	n.askLayers(it)
}

// askLayers gives idle jobs to peers.
func (n *Node) askLayers(it *Item) {
	busy := 0
	for _, job := range it.layerJobs {
		if job.from != nil {
			busy++
		}
	}
	for _, job := range it.layerJobs {
		if busy >= layersAtOnce {
			return
		}
		if job.from != nil {
			continue
		}
		if l := n.layerPeer(it, job); l != nil {
			job.from, job.data = l, nil
			n.askPart(job)
			busy++
		}
	}
}

// layerPeer picks a peer that has not failed: one of ours that says it can answer, else
// the origin once it is time, foreign ones last.
func (n *Node) layerPeer(it *Item, job *layerJob) (best *link) {
	early := n.cfg.Now().Before(it.askOrigin)
	rank := func(l *link) int {
		switch {
		case job.tried[l.id]:
			return 0
		case !l.ours.Load():
			if l.speaksV2() && !early {
				return 1
			}
			return 0
		case l.hello == nil:
			return 0
		case l.ready || l.claims.any() && !l.origin.Load():
			return 4
		case early:
			return 0
		case l.origin.Load():
			return 3
		}
		return 2
	}
	for _, l := range it.sortedLinks() {
		if r := rank(l); r > 0 && (best == nil || r > rank(best)) {
			best = l
		}
	}
	return best
}

// speaksV2 tells whether the peer named the torrent by the hash of BEP 52, without
// which it answers no hash request.
func (l *link) speaksV2() bool {
	if l.tap == nil || l.item.torrent == nil {
		return false
	}
	v2, ok := l.item.torrent.InfoHashV2()
	return ok && l.tap.infohash() == Infohash(v2[:20])
}

// redialV1 makes connections anew that were made when only the v1 infohash was
// known: now the handshake can offer to go over to v2.
func (n *Node) redialV1(it *Item) {
	for _, l := range it.sortedLinks() {
		if l.outgoing && l.client != "" && !l.ours.Load() && l.tap != nil && !l.speaksV2() {
			l.pc.Close()
			it.book.hurry()
		}
	}
}

func (n *Node) askPart(job *layerJob) {
	job.asked = n.cfg.Now()
	if !job.from.ours.Load() {
		n.askHashes(job)
		return
	}
	m := layerMessage{Root: job.layer.Root, Offset: int64(len(job.data))}
	n.eng.send(job.from, extSwarm, m.bytes(kindAskLayer))
}

// answerLayer serves a part of a layer that this node knows.
func (n *Node) answerLayer(l *link, ask layerMessage) {
	out := layerMessage{Root: ask.Root, Offset: ask.Offset}
	if t := l.item.torrent; t != nil {
		if layer := t.Layer(ask.Root); ask.Offset < int64(len(layer)) {
			out.Total = int64(len(layer))
			out.Data = layer[ask.Offset:min(out.Total, ask.Offset+layerPart)]
		}
	}
	if l.affords(len(out.Data)) {
		n.eng.send(l, extSwarm, out.bytes(kindLayer))
	}
}

func (n *Node) layerReceived(l *link, m layerMessage) {
	it := l.item
	job := it.layerJobs[m.Root]
	if job == nil || job.from != l || m.Offset != int64(len(job.data)) {
		return // late, or never asked for
	}
	l.partAt = n.cfg.Now()
	if m.Total != int64(job.layer.Size) || len(m.Data) == 0 || int64(len(job.data)+len(m.Data)) > m.Total {
		n.layerFailed(it, job)
		return
	}
	job.data = append(job.data, m.Data...)
	if int64(len(job.data)) < m.Total {
		n.askPart(job)
		return
	}
	if err := it.torrent.AddLayer(m.Root, job.data); err != nil {
		n.log.Warn("peer sent a wrong piece layer", "peer", l.remote, "torrent", it.hash)
		n.layerFailed(it, job)
		return
	}
	n.layerKnown(it, m.Root)
}

func (n *Node) layerFailed(it *Item, job *layerJob) {
	job.tried[job.from.id] = true
	job.from, job.data = nil, nil
	n.askLayers(it)
}

func (n *Node) layerKnown(it *Item, root [32]byte) {
	delete(it.layerJobs, root)
	if len(it.torrent.MissingLayers()) == 0 {
		select {
		case <-it.layered:
		default:
			close(it.layered)
		}
		return
	}
	n.askLayers(it)
}

func (n *Node) layerPeerGone(it *Item, l *link) {
	for _, job := range it.layerJobs {
		if job.from == l {
			n.layerFailed(it, job)
		}
	}
}

func (n *Node) layerPulse(it *Item, now time.Time) {
	for _, job := range it.layerJobs {
		// A peer on a slow line answers several jobs in turn.
		if job.from != nil && now.Sub(job.asked) > layerTimeout && now.Sub(job.from.partAt) > layerTimeout {
			n.layerFailed(it, job)
		}
	}
}

// hashJob gathers the answers to hash requests for one layer.
type hashJob struct {
	from *link
	data []byte
	have []bool // by piece of the file
	left int    // hashes missing
}

// hashesAsked is how many hashes one request asks for, as BEP 52 advises.
const hashesAsked = 512

// askHashes sends a foreign peer the next hash request for a layer.
func (n *Node) askHashes(job *layerJob) {
	l, pieces := job.from, job.layer.Size/32
	job.hash.begin(l, pieces)
	next := 0
	for next < pieces && job.hash.have[next] {
		next++
	}
	index := next / hashesAsked * hashesAsked
	length := 2
	for length < min(hashesAsked, pieces-index) {
		length *= 2
	}
	l.tap.inject(pp.Message{
		Type: pp.HashRequest, PiecesRoot: job.layer.Root, BaseLayer: pp.Integer(pieceLayer(l.item.torrent.PieceLength)),
		Index: pp.Integer(index), Length: pp.Integer(length),
	})
}

// begin starts anew if what there is came from another peer.
func (h *hashJob) begin(from *link, pieces int) {
	if h.from != from {
		*h = hashJob{from: from, data: make([]byte, 32*pieces), have: make([]bool, pieces), left: pieces}
	}
}

// hashes takes an answer to a hash request of BEP 52. The engine does not see it: it
// would take an answer to what it has not asked for an offence, and it asks only
// where the handshake was made when it knew already that the torrent has v2.
func (e *engine) hashes(l *link, m *pp.Message) {
	root, index := m.PiecesRoot, int(m.Index)
	base := int(m.BaseLayer)
	sums := m.Hashes
	bad := m.ProofLayers != 0 || len(sums) == 0 || len(sums) > 8192 || uint64(len(sums)) != uint64(m.Length)
	*m = pp.Message{Keepalive: true}
	if !bad {
		e.node.tell(l, 32*len(sums), func() { e.node.hashesReceived(l, root, base, index, sums) })
	}
}

func (n *Node) hashesReceived(l *link, root [32]byte, base, index int, sums [][32]byte) {
	it := l.item
	job := it.layerJobs[root]
	if job == nil || it.torrent == nil || base != pieceLayer(it.torrent.PieceLength) {
		return
	}
	if job.from != l {
		return // who was not asked must not undo what another has sent
	}
	h := &job.hash
	h.begin(l, job.layer.Size/32)
	for i, s := range sums {
		if at := index + i; at < len(h.have) && !h.have[at] {
			copy(h.data[32*at:], s[:])
			h.have[at] = true
			h.left--
		}
	}
	if h.left > 0 {
		l.partAt = n.cfg.Now()
		if !l.ours.Load() {
			n.askPart(job)
		}
		return
	}
	if it.torrent.AddLayer(root, h.data) == nil {
		n.layerKnown(it, root)
		return
	}
	job.hash = hashJob{}
	n.layerFailed(it, job)
}

// hashesRefused goes on to the next peer.
func (n *Node) hashesRefused(l *link, root [32]byte) {
	if job := l.item.layerJobs[root]; job != nil && job.from == l && !l.ours.Load() {
		n.layerFailed(l.item, job)
	}
}
