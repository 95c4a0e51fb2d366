package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"handful/swarm/discover"
	"handful/swarm/discover/mainline"
	"handful/swarm/policy"
	"handful/swarm/tracker"
)

// Config of a Node. The zero value of a field means its documented default.
type Config struct {
	// Listen is HOST:PORT; empty means the first free port of 6881–6889 on all
	// addresses, else any free port.
	Listen string
	// Interfaces that local discovery uses; empty: all that are up.
	Interfaces []string
	// LANOnly keeps every packet inside the prefixes of the interfaces: no other
	// address is dialled or served, no name is resolved.
	LANOnly bool
	// Isolated turns local discovery off: only addresses that are given are used.
	Isolated bool
	// MachineID tells nodes of one machine from others; see TierHost.
	MachineID string
	// Site is this node's label for TierSite; empty: what SiteMap says of the
	// addresses of its interfaces.
	Site string
	// SiteMap tells the labels of peers by their addresses, before their own word;
	// nil: none.
	SiteMap *policy.SiteMap
	// Handful is how many leechers an origin serves at a time; default 8.
	Handful int
	// LimitUp and LimitDown are payload rates by the time of the week, as Now tells it.
	LimitUp, LimitDown policy.Timetable
	// LimitLAN lets the limits bind host, link and site peers too, and an origin
	// whose address is on our own link.
	LimitLAN bool
	// Blind takes all peers but an origin for equally near (TierFar); for measurements.
	Blind bool
	// Tracker runs the embedded tracker on the node's port.
	Tracker bool
	// DHT takes part in the DHT (package mainline), on the UDP port of the same number
	// as the TCP port where that is free. Not together with LANOnly, and not for items
	// that are private.
	DHT bool
	// DHTBootstrap are HOST:PORT of nodes of the DHT to ask first; none: only those that
	// DHTFile knows, and whoever asks us.
	DHTBootstrap []string
	// DHTFile keeps whom the node knows there; empty: nothing is kept.
	DHTFile string
	// Trackers that every item announces to.
	Trackers []string
	// Known is what Node.Known returned in an earlier run: peers that were useful
	// then are tried again.
	Known []byte
	// Hashers verify pieces at a time; default: one a core.
	Hashers int
	// OnEvent is called from the node's loop and must not block or call the node.
	OnEvent func(Event)
	// OnOffer is called with what others on the link have on offer; it must not block.
	OnOffer func(offer discover.Offer, from netip.AddrPort, ifname string)
	Logger  *slog.Logger
	Now     func() time.Time
	Rand    *rand.Rand // used by the loop only
}

func (c *Config) defaults() {
	if c.Hashers <= 0 {
		c.Hashers = runtime.GOMAXPROCS(0)
	}
	if c.OnEvent == nil {
		c.OnEvent = func(Event) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
}

// Node is a running participant of swarms. Create it with Start. All methods are
// safe for concurrent use.
type Node struct {
	cfg     Config
	log     *slog.Logger
	ctx     context.Context
	stop    context.CancelFunc
	front   *front
	eng     *engine
	mail    *mailbox
	web     *http.Client
	lan     *lan
	ann     *discover.Announcer
	tracker *tracker.Server // nil without
	dht     *mainline.Node  // nil without; set before anybody else can see the node
	dhtPort *shared         // the port of dht that the tracker reads; nil: none is shared
	loopEnd chan struct{}
	helpers sync.WaitGroup
	life    sync.RWMutex // read while an item is added, so that Close finds them all
	closing bool         // guarded by life
	started time.Time

	// Owned by the loop.
	items    map[Infohash]*Item
	known    *discover.Known
	stirred  map[*Item]bool             // whose policy may have decided something
	learned  map[*Item][]netip.AddrPort // entered and not yet dialled
	site     string                     // this node's label
	patience patience
	pulsed   time.Time // of the last pulse
}

// knownTried is how many peers of earlier runs are tried for a new item.
const knownTried = 8

// tick is the loop's pulse.
const tick = 250 * time.Millisecond

// Start listens, joins local discovery and begins to serve. ctx bounds the start
// only; Close ends the node.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	cfg.defaults()
	n := &Node{
		cfg:     cfg,
		log:     cfg.Logger,
		mail:    newMailbox(),
		items:   make(map[Infohash]*Item),
		stirred: make(map[*Item]bool),
		learned: make(map[*Item][]netip.AddrPort),
		loopEnd: make(chan struct{}),
		started: cfg.Now(),
		known:   new(discover.Known),

		patience: make(patience),
	}
	if len(cfg.Known) > 0 {
		if k, err := discover.ParseKnown(cfg.Known); err == nil {
			k.Prune(cfg.Now())
			n.known = k
		} else {
			n.log.Warn("the list of known peers is damaged and starts anew", "err", err)
		}
	}
	n.web = newWeb(n)
	n.ctx, n.stop = context.WithCancel(context.WithoutCancel(ctx))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusPath, n.serveStatus)
	inDHT := cfg.DHT && !cfg.LANOnly
	if cfg.Tracker {
		n.tracker = newTracker(n, inDHT)
		mux.Handle("/", n.tracker)
	}
	var err error
	if n.front, err = listen(ctx, cfg.Listen, mux, cfg.Tracker || inDHT); err != nil {
		n.stop()
		return nil, err
	}
	if n.lan, err = newLAN(n); err != nil {
		n.log.Warn("local discovery is off", "err", err)
	}
	if n.tracker != nil && inDHT && n.front.udp != nil {
		n.dhtPort = newShared(n.front.udp)
	}
	n.locate()
	allow := func(a netip.Addr) bool { return !n.cfg.LANOnly || n.lan.local(a) }
	n.front.serve(allow)
	if n.eng, err = newEngine(n); err != nil {
		n.lan.close()
		n.stop()
		n.front.close()
		return nil, err
	}
	if n.tracker != nil && n.front.udp != nil {
		udp := n.front.udp
		if n.cfg.LANOnly {
			udp = knownPackets{udp, allow}
		}
		n.helpers.Go(func() { n.tracker.ServePacket(n.ctx, udp) })
	}
	if inDHT {
		if err := n.joinDHT(); err != nil {
			n.log.Warn("the DHT is off", "err", err)
		}
	}
	n.ann = newAnnouncer(n)
	go n.loop()
	return n, nil
}

// Closed is closed when the node begins to close.
func (n *Node) Closed() <-chan struct{} { return n.ctx.Done() }

// Port returns the TCP port on which the node is reached.
func (n *Node) Port() uint16 { return n.front.addrPort().Port() }

// Addrs returns the addresses at which others may reach the node, most useful
// first: of the listening address if it is a definite one, else of the interfaces.
func (n *Node) Addrs() []netip.AddrPort {
	ap := n.front.addrPort()
	if !ap.Addr().IsUnspecified() {
		return []netip.AddrPort{ap}
	}
	var out []netip.AddrPort
	for _, a := range reachable(n.cfg.Interfaces) {
		out = append(out, netip.AddrPortFrom(a, ap.Port()))
	}
	return out
}

// Add puts a torrent into the node.
func (n *Node) Add(spec Spec) (*Item, error) {
	n.life.RLock()
	defer n.life.RUnlock()
	if n.closing {
		return nil, ErrClosed
	}
	it, err := n.newItem(spec)
	if err != nil {
		return nil, err
	}
	if err := n.admit(it); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(n.ctx)
	it.cancel = cancel
	n.helpers.Go(func() { it.run(ctx) })
	return it, nil
}

func (n *Node) newItem(spec Spec) (*Item, error) {
	it := &Item{
		node:     n,
		spec:     spec,
		hash:     spec.Infohash,
		origin:   spec.Origin,
		torrent:  spec.Torrent,
		content:  spec.Content,
		unlisted: spec.Unlisted,
		done:     make(chan struct{}),
		stopped:  make(chan struct{}),
		filled:   make(chan struct{}),
		failed:   make(chan error, 1),
		layered:  make(chan struct{}),
		state:    StateMetadata,
		book:     newBook(),
		links:    make(map[uint64]*link),
		haves:    make(map[uint64]bool),
		cancel:   func() {},
		web:      webCopy{seeds: newWebSeeds(spec.WebSeeds)},
	}
	if spec.Content != nil {
		it.torrent = spec.Content.Torrent()
	}
	if it.torrent != nil {
		if err := supported(it.torrent); err != nil {
			return nil, err
		}
		it.hash = Infohash(it.torrent.InfoHash())
		it.private.Store(it.torrent.Private)
		it.pieces.Store(int64(it.torrent.NumPieces()))
		it.given.setPiece(it.torrent.PieceLength)
	}
	if spec.Content == nil && spec.Open == nil {
		return nil, errors.New("neither content to seed nor a way to open one")
	}
	it.lastProgress = n.cfg.Now()
	return it, nil
}

// admit registers the item with the engine and the loop.
func (n *Node) admit(it *Item) error {
	if err := n.eng.add(it); err != nil {
		return err
	}
	ok := n.call(func() {
		n.items[it.hash] = it
		for _, l := range n.eng.linksOf(it) { // that came before the loop knew the item
			it.links[l.id] = l
			l.since = n.cfg.Now()
		}
		for _, a := range it.spec.Peers {
			n.learn(it, a, fromUser)
		}
		for i, p := range n.known.All() {
			if i == knownTried || it.private.Load() {
				break
			}
			n.learn(it, p.Addr, fromPEX)
		}
		n.startGrants(it)
		n.announceAll()
		n.ann.Set([20]byte(it.hash), n.trackersOf(it))
	})
	if !ok {
		n.eng.drop(it)
		return ErrClosed
	}
	return nil
}

func (n *Node) remove(it *Item) error {
	n.call(func() {
		if n.items[it.hash] == it {
			delete(n.items, it.hash)
			n.announceAll()
		}
	})
	n.ann.Set([20]byte(it.hash), nil)
	if n.dht != nil {
		n.dht.Forget(it.hash)
	}
	n.eng.drop(it)
	if it.content != nil {
		return it.content.Close()
	}
	return nil
}

// Snapshot returns the state of the node and all its items.
func (n *Node) Snapshot() (s Snapshot) {
	s.Listen = n.Addrs()
	n.view(func() { s.Items = n.itemSnapshots() })
	return s
}

// Known returns the peers that are worth trying again in a later run.
func (n *Node) Known() (b []byte) {
	n.view(func() { b = n.known.Bytes() })
	return b
}

// Close leaves all swarms and waits until every content's state is on disk.
func (n *Node) Close() error {
	n.life.Lock()
	n.closing = true
	n.life.Unlock()
	var items []*Item
	n.call(func() {
		for _, it := range n.items {
			items = append(items, it)
		}
	})
	n.stop()
	n.ann.Close()
	n.lan.close()
	var dht error
	if n.dht != nil {
		dht = n.dht.Close() // before the socket that it may share
	}
	err := errors.Join(dht, n.eng.close())
	n.front.close()
	n.helpers.Wait()
	n.web.CloseIdleConnections()
	<-n.loopEnd
	for _, it := range items {
		if it.gossip != nil {
			it.gossip.finish()
		}
		if it.content != nil {
			err = errors.Join(err, it.content.Close())
		}
	}
	if err != nil {
		return fmt.Errorf("close the node: %w", err)
	}
	return nil
}

// call runs f in the loop and waits for it. It reports false, without having run
// f, when the node is closed.
func (n *Node) call(f func()) bool {
	done := make(chan struct{})
	if !n.mail.post(func() { f(); close(done) }) {
		return false
	}
	select {
	case <-done:
		return true
	case <-n.loopEnd:
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
}

// view runs f, which only reads what the loop owns: in the loop, or when that has
// ended.
func (n *Node) view(f func()) {
	if !n.call(f) {
		<-n.loopEnd
		f()
	}
}

// end fails what the closing node has not completed, for those who wait for it.
func (n *Node) end() {
	for _, it := range n.items {
		if it.state != StateSeeding && it.state != StateFailed {
			it.state, it.err = StateFailed, ErrClosed
			close(it.done)
		}
	}
}

func (n *Node) loop() {
	defer close(n.loopEnd)
	defer n.end()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		for _, f := range n.mail.take() {
			f()
		}
		n.settle()
		select {
		case <-n.mail.wake:
		case <-t.C:
			n.pulse(n.cfg.Now())
			n.settle()
		case <-n.ctx.Done():
			for _, f := range n.mail.close() {
				f()
			}
			return
		}
	}
}

func (n *Node) emit(ev Event) { n.cfg.OnEvent(ev) }

func (n *Node) setState(it *Item, s State, err error) {
	it.state = s
	it.lastProgress = n.cfg.Now()
	n.emit(Event{Kind: EventState, Infohash: it.hash, State: s, Err: err})
}

func (n *Node) move(it *Item, s State) { n.call(func() { n.setState(it, s, nil) }) }

// mayDial decides whether an address may be connected to.
func (n *Node) mayDial(ap netip.AddrPort) bool {
	return !n.cfg.LANOnly || n.lan.local(ap.Addr())
}

// newTracker runs the embedded tracker for what this node publishes and fetches.
// Its port may be the DHT's as well.
func newTracker(n *Node, inDHT bool) *tracker.Server {
	var foreign func([]byte, net.Addr)
	if inDHT {
		foreign = func(b []byte, from net.Addr) { n.dhtPort.take(b, from) }
	}
	return tracker.New(tracker.Config{
		Foreign: foreign,
		Allowed: func(ih [20]byte) bool { return n.eng.has(Infohash(ih)) },
		Self: func(ih [20]byte, local netip.Addr) []netip.AddrPort {
			if !local.IsValid() {
				return n.Addrs()
			}
			return []netip.AddrPort{netip.AddrPortFrom(local.Unmap(), n.Port())}
		},
		OriginBelow: policy.DefaultRing,
		Now:         n.cfg.Now,
		Logger:      n.log,
	})
}

var _ net.Listener = (*connQueue)(nil)
