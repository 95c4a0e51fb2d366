package swarm

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"handful/manifest"
	"handful/swarm/store"
)

// A swarm without content: peers meet under an infohash and exchange messages of
// one BEP 10 extension. Channels use it for their news; it knows nothing of them.

// GossipPeer names a peer of a Gossip while it is connected.
type GossipPeer uint64

// GossipConfig says whom to meet and who is told.
type GossipConfig struct {
	Infohash Infohash
	// Protocol is the extension's name, for example "hf_head".
	Protocol string
	Peers    []netip.AddrPort
	Trackers []string
	Unlisted bool // keep it out of the DHT
	Origin   bool // tell peers that this node is where what is exchanged comes from
	// The callbacks run one at a time in a goroutine of the gossip's own and may
	// call Send, nothing that waits for the node. Joined's addr is the peer's, with the port
	// where it listens, or 0 if that is not known.
	Joined  func(p GossipPeer, addr netip.AddrPort)
	Message func(p GossipPeer, payload []byte)
	Left    func(p GossipPeer)
}

// gossipQueue is how many events may wait; more messages are dropped, since a
// peer may send faster than signatures can be checked.
const gossipQueue = 4096

// flushEvery is how often Flush looks: the engine does not tell when it has written.
const flushEvery = 5 * time.Millisecond

// Gossip is a node's membership in a swarm without content.
type Gossip struct {
	item     *Item
	protocol string
	origin   bool
	sent     atomic.Int64 // bytes of messages
	received atomic.Int64
	events   chan gossipEvent
	quit     chan struct{}
	once     sync.Once
	ended    chan struct{}

	// Owned by run.
	present map[uint64]bool

	mu    sync.Mutex
	links map[GossipPeer]*link
}

type gossipEvent struct {
	peer         uint64
	joined, left bool
	addr         netip.AddrPort
	payload      []byte
	link         *link
}

// Join enters a swarm without content.
func (n *Node) Join(cfg GossipConfig) (*Gossip, error) {
	g := &Gossip{
		protocol: cfg.Protocol,
		origin:   cfg.Origin,
		events:   make(chan gossipEvent, gossipQueue),
		quit:     make(chan struct{}),
		ended:    make(chan struct{}),
		present:  make(map[uint64]bool),
		links:    make(map[GossipPeer]*link),
	}
	it, err := n.newItem(Spec{
		Infohash: cfg.Infohash,
		Peers:    cfg.Peers,
		Trackers: cfg.Trackers,
		Unlisted: cfg.Unlisted,
		Open: func(*manifest.Torrent) (*store.Content, error) {
			return nil, errors.New("a swarm without content has nothing to open")
		},
	})
	if err != nil {
		return nil, err
	}
	it.gossip, g.item = g, it
	it.stopped = make(chan struct{})
	close(it.stopped)
	n.life.RLock()
	defer n.life.RUnlock()
	if n.closing {
		return nil, ErrClosed
	}
	if err := n.admit(it); err != nil {
		return nil, err
	}
	go g.run(cfg)
	return g, nil
}

// Send writes a message to a peer. That one is gone, or reads nothing, is no error.
func (g *Gossip) Send(p GossipPeer, payload []byte) {
	g.mu.Lock()
	l := g.links[p]
	g.mu.Unlock()
	if l != nil && l.affords(len(payload)) {
		g.sent.Add(int64(len(payload)))
		g.item.node.eng.send(l, g.protocol, payload)
	}
}

// Flush waits until all messages that were sent have been written, or ctx ends: what leaves
// the swarm at once may take the last ones with it.
func (g *Gossip) Flush(ctx context.Context) {
	again := time.NewTicker(flushEvery)
	defer again.Stop()
	for !g.flushed() {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

func (g *Gossip) flushed() bool {
	g.mu.Lock()
	links := slices.Collect(maps.Values(g.links))
	g.mu.Unlock()
	for _, l := range links {
		stats := l.pc.Stats()
		if !l.debt.settled(stats.BytesWritten.Int64()) {
			return false
		}
	}
	return true
}

// Traffic returns how many bytes of messages were sent and received.
func (g *Gossip) Traffic() (sent, received int64) { return g.sent.Load(), g.received.Load() }

// Origin reports whether a peer says that what is exchanged comes from it.
func (g *Gossip) Origin(p GossipPeer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.links[p]
	return l != nil && l.origin.Load()
}

// Dialled reports whether this node has connected to a peer, and not that to this node.
func (g *Gossip) Dialled(p GossipPeer) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.links[p]
	return l != nil && l.outgoing
}

// Peers returns who is connected and speaks the protocol.
func (g *Gossip) Peers() []GossipPeer {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]GossipPeer, 0, len(g.links))
	for p := range g.links {
		out = append(out, p)
	}
	return out
}

// Addrs returns where the connected peers listen.
func (g *Gossip) Addrs() (out []netip.AddrPort) {
	g.item.node.call(func() {
		for _, l := range g.item.sortedLinks() {
			if l.listenAddr.IsValid() {
				out = append(out, l.listenAddr)
			}
		}
	})
	return out
}

// AddPeers enters addresses to connect to.
func (g *Gossip) AddPeers(addrs ...netip.AddrPort) { g.item.AddPeers(addrs...) }

// Unlist takes the swarm out of the DHT.
func (g *Gossip) Unlist() {
	n := g.item.node
	n.mail.post(func() {
		g.item.unlisted = true
		n.tellDHT(g.item)
	})
}

// Leave ends the membership. No callback runs after it has returned.
func (g *Gossip) Leave(ctx context.Context) error {
	err := g.item.node.remove(g.item)
	g.finish()
	return err
}

func (g *Gossip) finish() {
	g.once.Do(func() { close(g.quit) })
	<-g.ended
}

// deliver queues an event. Joining and leaving are never dropped for lack of
// room, because the loop, which delivers them, may wait for the queue to drain:
// callbacks never wait for the loop in turn.
func (g *Gossip) deliver(ev gossipEvent) {
	if ev.payload != nil {
		if !reserve(&ev.link.gossiped, len(ev.payload)) {
			return
		}
		select {
		case g.events <- ev:
		default:
			release(&ev.link.gossiped, len(ev.payload))
		}
		return
	}
	select {
	case g.events <- ev:
	case <-g.quit:
	}
}

func (g *Gossip) run(cfg GossipConfig) {
	defer close(g.ended)
	for {
		select {
		case <-g.quit:
			return
		case ev := <-g.events:
			g.handle(cfg, ev)
		}
	}
}

func (g *Gossip) handle(cfg GossipConfig, ev gossipEvent) {
	p := GossipPeer(ev.peer)
	if ev.left {
		g.mu.Lock()
		delete(g.links, p)
		g.mu.Unlock()
		if g.present[ev.peer] && cfg.Left != nil {
			cfg.Left(p)
		}
		delete(g.present, ev.peer)
		return
	}
	if !g.present[ev.peer] {
		// A message can overtake the notice of its sender's coming, which takes
		// the way through the loop.
		g.present[ev.peer] = true
		g.mu.Lock()
		g.links[p] = ev.link
		g.mu.Unlock()
		if cfg.Joined != nil {
			cfg.Joined(p, ev.addr)
		}
	}
	if ev.payload != nil {
		g.received.Add(int64(len(ev.payload)))
		release(&ev.link.gossiped, len(ev.payload))
		if cfg.Message != nil {
			cfg.Message(p, ev.payload)
		}
	}
}
