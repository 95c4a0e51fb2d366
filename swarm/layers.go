package swarm

import (
	"math/bits"
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

// layerPeer picks a peer that has not failed, the origin only if there is no
// other.
func (n *Node) layerPeer(it *Item, job *layerJob) (best *link) {
	for _, l := range it.sortedLinks() {
		if !l.ours.Load() || l.hello == nil || job.tried[l.id] {
			continue
		}
		if best == nil || best.origin.Load() && !l.origin.Load() {
			best = l
		}
	}
	return best
}

func (n *Node) askPart(job *layerJob) {
	job.asked = n.cfg.Now()
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
	n.eng.send(l, extSwarm, out.bytes(kindLayer))
}

func (n *Node) layerReceived(l *link, m layerMessage) {
	it := l.item
	job := it.layerJobs[m.Root]
	if job == nil || job.from != l || m.Offset != int64(len(job.data)) {
		return // late, or never asked for
	}
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
		if job.from != nil && now.Sub(job.asked) > layerTimeout {
			n.layerFailed(it, job)
		}
	}
}

// hashJob gathers the answers to hash requests for one layer.
type hashJob struct {
	from *link
	data []byte
	got  int // hashes
}

// hashes copies an answer to a hash request of BEP 52. In a hybrid the engine has
// asked nothing, and would take the answer for an offence, so it does not see it.
func (e *engine) hashes(l *link, m *pp.Message) {
	it := l.item
	root, index := m.PiecesRoot, int(m.Index)
	base := int(m.BaseLayer)
	sums := m.Hashes
	if m.ProofLayers != 0 || len(sums) == 0 || len(sums) > 8192 || uint64(len(sums)) != uint64(m.Length) {
		return
	}
	e.node.mail.tryPost(func() { e.node.hashesReceived(l, root, base, index, sums) })
	if it.hybrid.Load() {
		*m = pp.Message{Keepalive: true}
	}
}

func (n *Node) hashesReceived(l *link, root [32]byte, base, index int, sums [][32]byte) {
	it := l.item
	job := it.layerJobs[root]
	if job == nil || it.torrent == nil || base != bits.Len64(uint64(it.torrent.PieceLength>>14))-1 {
		return
	}
	h := &job.hash
	if h.from != l {
		*h = hashJob{from: l, data: make([]byte, job.layer.Size)}
	}
	for i, s := range sums {
		if at := int64(index+i) * 32; at+32 <= int64(job.layer.Size) {
			copy(h.data[at:], s[:])
			h.got++
		}
	}
	if h.got*32 < job.layer.Size {
		return
	}
	if it.torrent.AddLayer(root, h.data) == nil {
		n.layerKnown(it, root)
	} else {
		job.hash = hashJob{}
	}
}
