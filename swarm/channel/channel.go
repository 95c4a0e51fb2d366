package channel

import (
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"handful/signing"
	"handful/swarm"
)

// Peer names a peer while it is connected.
type Peer = swarm.GossipPeer

// Source is what this node can tell about the channel. Its methods are called
// from the channel's goroutine and from Push's caller.
type Source interface {
	// UpdateFor makes the update for a peer that has size entries of a writer.
	UpdateFor(writer string, size int64) (signing.Update, bool)
	// RootBytes returns a version of the root document, nil if it is not held.
	RootBytes(version int64) []byte
	// TargetsBytes returns the targets document of a SHA-256, nil if it is not held.
	TargetsBytes(hash [32]byte) []byte
	// Page returns at most count entries from first on, proven against the tree of
	// size entries.
	Page(writer string, first, count, size int64) (signing.Page, bool)
	// Range returns the compact range [0, size).
	Range(writer string, size int64) ([][32]byte, bool)
	// Holds says what is held of a writer; ok is false when that is nothing.
	Holds(writer string) (h Holding, ok bool)
	// UpdateWithin is UpdateFor in at most limit bytes, as far as that goes.
	UpdateWithin(writer string, size int64, limit int) (signing.Update, bool)
}

// Sink takes what peers say. Its methods are called one at a time from the
// channel's goroutine; they may ask and push, and must not wait for the node.
// Nothing they are given has been verified.
type Sink interface {
	Joined(p Peer, addr netip.AddrPort)
	Left(p Peer)
	Update(p Peer, writer string, u signing.Update)
	Root(p Peer, version int64, raw []byte)
	// Targets takes a document of which only the hash has been checked.
	Targets(p Peer, hash [32]byte, raw []byte)
	Fork(p Peer, writer string, f signing.Fork)
	Page(p Peer, writer string, page signing.Page)
	Range(p Peer, writer string, size int64, hashes [][32]byte)
	// Documents says that a peer claims to have newer documents, root version root.
	Documents(p Peer, root int64)
}

// pageEntries is how many entries a page has at most.
const pageEntries = 256

// maxPages is how many pages answer one ask.
const maxPages = 32

// Rates at which one peer may ask.
const (
	asksPerSecond = 20
	askBurst      = 100
)

// Channel is a node's membership in the swarm of a channel.
type Channel struct {
	gossip *swarm.Gossip
	source Source
	sink   Sink
	now    func() time.Time
	spread *spread
	around *around

	// Owned by the gossip's goroutine.
	peers map[Peer]*peer
}

type peer struct {
	asks  *rate.Limiter
	heres *rate.Limiter
	docs  map[string]*document // in parts so far, by topic
}

// document is a document that has not come as a whole.
type document struct {
	first message // its first part, which says what it is
	raw   []byte
}

// Config says which channel to join, and how.
type Config struct {
	ID       signing.ID
	Source   Source
	Sink     Sink
	Peers    []netip.AddrPort
	Trackers []string
	Private  bool             // keep it out of the DHT
	Now      func() time.Time // nil: time.Now
	// Origin marks the node of a writer: others ask and tell it last.
	Origin bool
	// Writers are those whose news are wanted; nil: the main writer.
	Writers func() []string
	// Rand chooses peers; nil: one that is seeded by the system.
	Rand *rand.Rand
	// VerifyHere tells whether a presence is a writer's of the channel; nil: nobody's is
	// believed or passed on. It is called from the channel's goroutine.
	VerifyHere func(p signing.Presence, now time.Time) error
	// Around is called when who is around has changed, from the channel's goroutines; it must
	// not wait for the node. nil: nobody wants to know.
	Around func()
}

// Join enters the swarm of a channel.
func Join(n *swarm.Node, cfg Config) (*Channel, error) {
	c := &Channel{source: cfg.Source, sink: cfg.Sink, now: cfg.Now, peers: make(map[Peer]*peer)}
	if c.now == nil {
		c.now = time.Now
	}
	c.spread = newSpread(c, cfg)
	c.around = newAround(c, cfg)
	ready := make(chan struct{})
	g, err := n.Join(swarm.GossipConfig{
		Infohash: swarm.Infohash(cfg.ID.Swarm()),
		Protocol: Protocol,
		Peers:    cfg.Peers,
		Trackers: cfg.Trackers,
		Unlisted: cfg.Private,
		Origin:   cfg.Origin,
		Joined:   func(p Peer, a netip.AddrPort) { <-ready; c.joined(p, a) },
		Message:  func(p Peer, b []byte) { <-ready; c.message(p, b) },
		Left:     func(p Peer) { <-ready; c.left(p) },
	})
	if err != nil {
		return nil, err
	}
	c.gossip = g
	close(ready)
	go c.spread.run()
	return c, nil
}

// Leave ends the membership; no method of the sink runs after it has returned.
func (c *Channel) Leave(ctx context.Context) error {
	c.spread.end()
	if c.spread.pushDue(c.now().Add(originPushEvery)) { // what waits has no other time
		flush, cancel := context.WithTimeout(ctx, farewell)
		c.gossip.Flush(flush)
		cancel()
	}
	return c.gossip.Leave(ctx)
}

// Flush waits until what was sent has left this machine, or ctx ends.
func (c *Channel) Flush(ctx context.Context) { c.gossip.Flush(ctx) }

// Traffic returns how many bytes of messages were sent and received, without what carries
// them.
func (c *Channel) Traffic() (sent, received int64) { return c.gossip.Traffic() }

// Unlist takes the channel's swarm out of the DHT.
func (c *Channel) Unlist() { c.gossip.Unlist() }

// Peers returns who is connected.
func (c *Channel) Peers() []Peer { return c.gossip.Peers() }

// Addrs returns where the connected peers listen.
func (c *Channel) Addrs() []netip.AddrPort { return c.gossip.Addrs() }

// AddPeers enters addresses to connect to.
func (c *Channel) AddPeers(addrs ...netip.AddrPort) { c.gossip.AddPeers(addrs...) }

// AskUpdate asks for what a writer has beyond size entries.
func (c *Channel) AskUpdate(p Peer, writer string, size int64) {
	c.gossip.Send(p, message{topic: topicUpdate, writer: writer, number: size}.bytes())
}

// AskUpdateWithin is AskUpdate with an answer of at most limit bytes, as far as that goes.
func (c *Channel) AskUpdateWithin(p Peer, writer string, size, limit int64) {
	c.gossip.Send(p, message{topic: topicUpdate, writer: writer, number: size, room: limit}.bytes())
}

// AskRoot asks for a version of the root document.
func (c *Channel) AskRoot(p Peer, version int64) {
	c.gossip.Send(p, message{topic: topicRoot, number: version}.bytes())
}

// AskTargets asks for the targets document of a SHA-256.
func (c *Channel) AskTargets(p Peer, hash [32]byte) {
	c.gossip.Send(p, message{topic: topicTargets, hash: hash}.bytes())
}

// AskPage asks for entries from first on, proven against the tree of size.
func (c *Channel) AskPage(p Peer, writer string, first, size int64) {
	c.gossip.Send(p, message{topic: topicPage, writer: writer, first: first, number: size}.bytes())
}

// AskPages asks for at most most entries from first on, in as many pages as that takes.
func (c *Channel) AskPages(p Peer, writer string, first, most, size int64) {
	c.gossip.Send(p, message{topic: topicPage, writer: writer, first: first, number: size, most: most}.bytes())
}

// AskRange asks for the compact range [0, size).
func (c *Channel) AskRange(p Peer, writer string, size int64) {
	c.gossip.Send(p, message{topic: topicRange, writer: writer, number: size}.bytes())
}

// SendUpdate sends an update to one peer that did not ask for it.
func (c *Channel) SendUpdate(to Peer, writer string, u signing.Update) {
	c.gossip.Send(to, message{answer: true, topic: topicUpdate, writer: writer, value: u.Bytes()}.bytes())
	c.spread.told(to, writer, u)
}

// SendFork tells a peer, or all if it is 0, that a writer has forked.
func (c *Channel) SendFork(to Peer, writer string, f signing.Fork) {
	b := message{answer: true, topic: topicFork, writer: writer, value: f.Bytes()}.bytes()
	if to != 0 {
		c.gossip.Send(to, b)
		return
	}
	for _, p := range c.gossip.Peers() {
		c.gossip.Send(p, b)
	}
}

func (c *Channel) joined(p Peer, addr netip.AddrPort) {
	c.peers[p] = &peer{asks: rate.NewLimiter(asksPerSecond, askBurst), heres: rate.NewLimiter(heresPerSecond, maxWriters), docs: make(map[string]*document)}
	c.spread.joined(p)
	c.around.joined(p)
	c.sink.Joined(p, addr)
}

func (c *Channel) left(p Peer) {
	delete(c.peers, p)
	c.spread.left(p)
	c.around.change()
	c.sink.Left(p)
}

func (c *Channel) message(p Peer, b []byte) {
	peer := c.peers[p]
	m, err := parse(b)
	if peer == nil || err != nil {
		return
	}
	if m.answer {
		c.answered(p, peer, m)
		return
	}
	if peer.asks.AllowN(c.now(), 1) {
		c.answer(p, m)
	}
}

// answer serves an ask, if it can.
func (c *Channel) answer(p Peer, m message) {
	out := message{answer: true, topic: m.topic, writer: m.writer, hash: m.hash, number: m.number, offset: m.offset}
	switch m.topic {
	case topicUpdate:
		u, ok := c.update(m)
		if !ok {
			return
		}
		out.value = u.Bytes()
		c.spread.told(p, m.writer, u)
	case topicRoot, topicTargets:
		raw := c.document(m)
		if m.offset >= int64(len(raw)) {
			return
		}
		out.total = int64(len(raw))
		out.value = raw[m.offset:min(out.total, m.offset+part)]
	case topicPage:
		c.answerPages(p, m)
		return
	case topicRange:
		hashes, ok := c.source.Range(m.writer, m.number)
		if !ok {
			return
		}
		for _, h := range hashes {
			out.value = append(out.value, h[:]...)
		}
	}
	c.gossip.Send(p, out.bytes())
}

func (c *Channel) update(m message) (signing.Update, bool) {
	if m.room > 0 {
		return c.source.UpdateWithin(m.writer, m.number, int(min(m.room, signing.MaxUpdate)))
	}
	return c.source.UpdateFor(m.writer, m.number)
}

// answerPages sends as many pages as are wanted. Who asks for what is not held is told what
// is.
func (c *Channel) answerPages(p Peer, m message) {
	first, last := m.first, m.first+max(m.most, 1)
	for n := range maxPages {
		if first >= last || n > 0 && !c.peers[p].asks.AllowN(c.now(), 1) {
			return
		}
		count := int64(pageEntries)
		if m.most > 0 {
			count = min(count, last-first)
		}
		page, ok := c.source.Page(m.writer, first, count, m.number)
		if !ok {
			if n == 0 {
				c.spread.tell(p, m.writer)
			}
			return
		}
		c.gossip.Send(p, message{answer: true, topic: topicPage, writer: m.writer, value: page.Bytes()}.bytes())
		first += int64(len(page.Entries))
	}
}

// document returns the document that is asked for, nil if it is not held.
func (c *Channel) document(m message) []byte {
	if m.topic == topicRoot {
		return c.source.RootBytes(m.number)
	}
	return c.source.TargetsBytes(m.hash)
}

// answered hands an answer to the sink.
func (c *Channel) answered(p Peer, from *peer, m message) {
	switch m.topic {
	case topicUpdate:
		if u, err := signing.ParseUpdate(m.value); err == nil {
			c.spread.heard(p, m.writer, u)
			c.sink.Update(p, m.writer, u)
		}
	case topicHas:
		c.spread.compare(p, m.writer, Holding{First: m.offset, Size: m.number, Time: m.total, Root: m.root, Targets: m.targets})
	case topicHere:
		if from.heres.AllowN(c.now(), 1) {
			c.around.heard(p, m)
		}
	case topicRoot, topicTargets:
		c.gather(p, from, m)
	case topicFork:
		if f, err := signing.ParseFork(m.value); err == nil {
			c.sink.Fork(p, m.writer, f)
		}
	case topicPage:
		if page, err := signing.ParsePage(m.value); err == nil {
			c.sink.Page(p, m.writer, page)
		}
	case topicRange:
		hashes := make([][32]byte, 0, len(m.value)/32)
		for part := range slices.Chunk(m.value, 32) {
			hashes = append(hashes, [32]byte(part))
		}
		c.sink.Range(p, m.writer, m.number, hashes)
	}
}

// gather puts a document together. One of each kind can be under way from a peer.
func (c *Channel) gather(p Peer, from *peer, m message) {
	if m.offset == 0 {
		from.docs[m.topic] = &document{first: m}
	}
	d := from.docs[m.topic]
	if d == nil || m.number != d.first.number || m.hash != d.first.hash || m.total != d.first.total ||
		m.offset != int64(len(d.raw)) || len(m.value) == 0 || m.offset+int64(len(m.value)) > m.total {
		return
	}
	d.raw = append(d.raw, m.value...)
	if int64(len(d.raw)) < m.total {
		c.gossip.Send(p, message{topic: m.topic, number: m.number, hash: m.hash, offset: int64(len(d.raw))}.bytes())
		return
	}
	delete(from.docs, m.topic)
	switch {
	case m.topic == topicRoot:
		c.sink.Root(p, m.number, d.raw)
	case sha256.Sum256(d.raw) == m.hash:
		c.sink.Targets(p, m.hash, d.raw)
	}
}
