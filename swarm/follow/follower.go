package follow

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"handful/signing"
	"handful/swarm"
	"handful/swarm/channel"
)

// How long a follower listens before it believes that it has the newest, and how
// many sources make it stop listening earlier.
const (
	listenTime    = 3 * time.Second
	enoughSources = 3
)

// askAgainTime is how long an answer is waited for.
const askAgainTime = 3 * time.Second

// Config of a Follower.
type Config struct {
	Node     *swarm.Node
	Dir      string // of trust files
	ID       signing.ID
	Peers    []netip.AddrPort
	Trackers []string
	// DHTKey is the key of the channel's items in the DHT, as a link tells it; nil: not
	// known before the root document is.
	DHTKey ed25519.PublicKey
	// Private keeps the channel out of the DHT before its root document is known, which
	// then decides.
	Private bool
	// Keys open the entries of a private channel; nil: they are passed on unread.
	Keys    Keys
	Mirrors []string // base URLs of mirrors of the channel (package mirror)
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
	Rand    *rand.Rand       // spreads offers on the local network; nil: one that is seeded by the system
}

// wire is how a follower speaks to peers: a channel.Channel, or a test's.
type wire interface {
	AskUpdate(p channel.Peer, writer string, size int64)
	AskUpdateWithin(p channel.Peer, writer string, size, limit int64)
	// Missing asks somebody for what a peer has told of and is not held.
	Missing(p channel.Peer, writer string)
	Forget(writer string)
	// Holders returns who says that an entry can be asked of it.
	Holders(writer string, index int64) []channel.Peer
	AskPages(p channel.Peer, writer string, first, most, size int64)
	AskRoot(p channel.Peer, version int64)
	AskTargets(p channel.Peer, hash [32]byte)
	AskPage(p channel.Peer, writer string, first, size int64)
	AskRange(p channel.Peer, writer string, size int64)
	Push(writer string, u signing.Update, but channel.Peer)
	SendUpdate(p channel.Peer, writer string, u signing.Update)
	SendFork(p channel.Peer, writer string, f signing.Fork)
	Unlist()
}

// spoken is the wire of a channel's swarm.
type spoken struct{ *channel.Channel }

func (s spoken) Missing(_ channel.Peer, writer string) { s.Channel.Missing(writer) }

// Follower follows one channel on a running node: it collects what peers say,
// lets Trust decide, and passes on what was believed. All methods are safe for
// concurrent use.
type Follower struct {
	cfg     Config
	trust   *Trust
	past    atomic.Pointer[past] // of who reads the channel; nil: nobody does
	wire    wire
	channel *channel.Channel
	mirrors *mirrored
	living  context.Context // ends with Close
	ready   chan struct{}   // closed when wire is set
	rekeyed chan struct{}   // has a token when the documents may name other items of the DHT
	stop    context.CancelFunc
	working sync.WaitGroup
	offers  chan overheard // of the local network
	// later runs f after d, in a goroutine of its own.
	later func(d time.Duration, f func())

	mu       sync.Mutex
	news     chan struct{}                   // closed and replaced at every change
	peers    map[channel.Peer]string         // connected, and what each is called as a source
	met      map[string]bool                 // sources that were asked
	told     map[string]map[string]bool      // by writer: sources that showed nothing but what is believed
	contacts map[string]*contact             // by writer
	ranges   map[conversation]signing.Update // what to judge when its sender's range comes
	helped   map[conversation]int64          // the size up to which a peer was helped unasked
	early    map[conversation]signing.Fork   // proofs that cannot be judged yet
	pages    map[place][]byte                // entries that were asked for and verified
	wanted   map[place]bool                  // what to ask pages for
	proofs   map[place]*signing.Proof        // what to make proofs of; nil: not yet made
	windows  map[string]*window              // of writers that are read; nil: none
	loud     map[string]bool                 // writers whose next head is told to all peers
	acted    standing                        // what of the state has been acted on
	offering bool                            // an offer is due
	echoes   map[string]int                  // by writer: others who have offered what is believed, since it was offered here last
	turn     int                             // the writer that is asked for next, of many
	refused  error                           // the last thing that trust refused
	listened bool                            // Find has listened long enough
	eager    bool                            // an entry is named: the first head that covers it will do
}

// place is where an entry stands.
type place struct {
	writer string
	index  int64
}

// conversation is what is said with a peer about a writer.
type conversation struct {
	peer   channel.Peer
	writer string
}

// Open reads what is known of a channel and joins its swarm.
func Open(cfg Config) (*Follower, error) {
	trust, err := OpenTrust(cfg.Dir, cfg.ID)
	if err != nil {
		return nil, err
	}
	f := newFollower(cfg, trust)
	cfg = f.cfg
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.later = func(d time.Duration, do func()) { f.working.Go(func() { after(ctx, d, do) }) }
	f.channel, err = channel.Join(cfg.Node, channel.Config{
		ID: cfg.ID, Source: held{trust, &f.past}, Sink: ears{f}, Peers: cfg.Peers, Trackers: cfg.Trackers, Now: cfg.Now,
		Private: f.Private(), Writers: f.open, VerifyHere: trust.VerifyPresence, Around: func() { f.change(func() {}) },
	})
	if err != nil {
		stop()
		return nil, err
	}
	f.mirrors = &mirrored{wire: spoken{f.channel}, f: f}
	f.wire = f.mirrors
	f.living = ctx
	close(f.ready)
	if err := f.AddMirrors(cfg.Mirrors...); err != nil {
		cfg.Logger.Warn("a mirror is left out", "channel", cfg.ID, "err", err)
	}
	f.working.Go(func() { f.askAgainAndAgain(ctx) })
	f.working.Go(func() { f.hearAll(ctx) })
	if d := cfg.Node.DHT(); d != nil {
		f.working.Go(func() { f.watchItems(ctx, d) })
	}
	f.offer()
	return f, nil
}

// newFollower returns a follower who has not met anybody.
func newFollower(cfg Config, trust *Trust) *Follower {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	f := &Follower{
		cfg: cfg, trust: trust,
		news:     make(chan struct{}),
		ready:    make(chan struct{}),
		rekeyed:  make(chan struct{}, 1),
		peers:    make(map[channel.Peer]string),
		told:     make(map[string]map[string]bool),
		met:      make(map[string]bool),
		contacts: make(map[string]*contact),
		ranges:   make(map[conversation]signing.Update),
		helped:   make(map[conversation]int64),
		early:    make(map[conversation]signing.Fork),
		pages:    make(map[place][]byte),
		wanted:   make(map[place]bool),
		loud:     make(map[string]bool),
		proofs:   make(map[place]*signing.Proof),
		echoes:   make(map[string]int),
		offers:   make(chan overheard, maxOverheard),
	}
	f.acted = f.standing() // who joins is asked for what is missing
	return f
}

// after runs do when d has passed, unless ctx ends before.
func after(ctx context.Context, d time.Duration, do func()) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
		do()
	}
}

// ID returns the channel.
func (f *Follower) ID() signing.ID { return f.cfg.ID }

// Trust returns what is believed.
func (f *Follower) Trust() *Trust { return f.trust }

// Addrs returns where the channel's peers listen: candidates for its content.
func (f *Follower) Addrs() []netip.AddrPort { return f.channel.Addrs() }

// AddPeers enters addresses to connect to.
func (f *Follower) AddPeers(addrs ...netip.AddrPort) { f.channel.AddPeers(addrs...) }

// AddMirrors enters base URLs of mirrors of the channel; at most 8 are used. The error names
// those that can be none.
func (f *Follower) AddMirrors(bases ...string) error { return f.mirrors.add(f.living, bases) }

// Peers returns how many peers of the channel are connected.
func (f *Follower) Peers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.peers)
}

// Around returns who is in the channel's swarm. Of this node nobody is told more than that
// somebody is connected.
func (f *Follower) Around() channel.Around { return f.channel.Around() }

// Traffic returns how many bytes of messages were sent and received about the channel.
func (f *Follower) Traffic() (sent, received int64) { return f.channel.Traffic() }

// Close leaves the channel's swarm. What is believed is on disk.
func (f *Follower) Close() error {
	f.stop()
	err := f.channel.Leave(context.Background()) // after it nothing more is begun
	f.working.Wait()
	return err
}

// Changed returns what is closed when anything has changed since the call: what is
// believed, who is connected, what was asked for.
func (f *Follower) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.news
}

// change runs c and wakes whoever waits.
func (f *Follower) change(c func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c()
	close(f.news)
	f.news = make(chan struct{})
}

// Standing returns how much the newest of a writer is worth now: its state, how old it is,
// and how many of the sources that were asked showed nothing else.
func (f *Follower) Standing(writer string) signing.Standing {
	return f.StandingAt(writer, f.cfg.Now())
}

// StandingAt is Standing at another time.
func (f *Follower) StandingAt(writer string, now time.Time) signing.Standing {
	f.mu.Lock()
	sources, met := len(f.told[writer]), len(f.met)
	f.mu.Unlock()
	return f.trust.Standing(writer, now, sources, max(met, sources))
}
