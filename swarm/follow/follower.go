package follow

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/channel"
	"handful/swarm/discover"
)

// How long a follower listens before it believes that it has the newest, and how
// many sources make it stop listening earlier.
const (
	listenTime    = 3 * time.Second
	enoughSources = 3
)

// askAgainTime is how long an answer about an entry is waited for.
const askAgainTime = 3 * time.Second

// maxCandidates bounds the updates that are kept at first contact.
const maxCandidates = 16

var (
	// ErrWithdrawn: the publisher has asked to drop the entry.
	ErrWithdrawn = errors.New("withdrawn by the publisher")
	// ErrNoEntry: the channel has no such entry.
	ErrNoEntry = errors.New("no such entry in the channel")
)

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
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Follower follows one channel on a running node: it collects what peers say,
// lets Trust decide, and passes on what was believed. All methods are safe for
// concurrent use.
type Follower struct {
	cfg      Config
	trust    *Trust
	channel  *channel.Channel
	started  time.Time
	ready    chan struct{} // closed when channel is set
	rooted   chan struct{} // closed, by rootOnce, when the first root document came
	rootOnce sync.Once
	stop     context.CancelFunc
	looking  sync.WaitGroup

	mu       sync.Mutex
	news     chan struct{}         // closed and replaced at every change
	sources  map[channel.Peer]bool // peers that have told their newest
	first    []signing.Update      // candidates of the first contact
	ranges   map[channel.Peer]signing.Update
	pages    map[place][]byte // entries that were asked for and verified
	wanted   map[place]bool   // what to ask pages for
	peers    map[channel.Peer]bool
	windows  map[string]*window // of writers that are read; nil: none
	refused  error              // the last thing that trust refused
	forked   error
	contact  bool // listening is over
	deciding bool
	eager    bool // an entry is named: the first head that covers it will do
}

// place is where an entry stands.
type place struct {
	writer string
	index  int64
}

// Found is an entry that was verified.
type Found struct {
	Writer string
	Index  int64
	Raw    []byte
	Entry  manifest.Entry
	State  signing.State
	// Private channels have content that is not announced in public.
	Private bool
	Signed  time.Time // of the newest head
	// Sources is how many peers told what they hold.
	Sources int
}

// Open reads what is known of a channel and joins its swarm.
func Open(cfg Config) (*Follower, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	trust, err := OpenTrust(cfg.Dir, cfg.ID)
	if err != nil {
		return nil, err
	}
	f := &Follower{
		cfg: cfg, trust: trust, started: cfg.Now(),
		news:    make(chan struct{}),
		ready:   make(chan struct{}),
		rooted:  make(chan struct{}),
		sources: make(map[channel.Peer]bool),
		ranges:  make(map[channel.Peer]signing.Update),
		pages:   make(map[place][]byte),
		wanted:  make(map[place]bool),
		peers:   make(map[channel.Peer]bool),
	}
	f.channel, err = channel.Join(cfg.Node, channel.Config{
		ID: cfg.ID, Source: held{trust}, Sink: ears{f}, Peers: cfg.Peers, Trackers: cfg.Trackers, Now: cfg.Now,
		Private: f.Private(), Writers: f.writers,
	})
	if err != nil {
		return nil, err
	}
	close(f.ready)
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	if d := cfg.Node.DHT(); d != nil {
		f.looking.Go(func() { f.watchItems(ctx, d) })
	}
	f.offer()
	return f, nil
}

// ID returns the channel.
func (f *Follower) ID() signing.ID { return f.cfg.ID }

// Trust returns what is believed.
func (f *Follower) Trust() *Trust { return f.trust }

// Addrs returns where the channel's peers listen: candidates for its content.
func (f *Follower) Addrs() []netip.AddrPort { return f.channel.Addrs() }

// AddPeers enters addresses to connect to.
func (f *Follower) AddPeers(addrs ...netip.AddrPort) { f.channel.AddPeers(addrs...) }

// Peers returns how many peers of the channel are connected.
func (f *Follower) Peers() int { return len(f.channel.Peers()) }

// Close leaves the channel's swarm. What is believed is on disk.
func (f *Follower) Close() error {
	f.stop()
	f.looking.Wait()
	return f.channel.Leave(context.Background())
}

// change runs c and wakes whoever waits.
func (f *Follower) change(c func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c()
	close(f.news)
	f.news = make(chan struct{})
}

// Find waits for an entry of a writer, verified. A negative index means the newest
// that content can be fetched for; then peers are listened to for a while first,
// so that one of them that is behind does not decide. The error when ctx ends says
// what is missing, and wraps the reason why the last news was refused, if any.
func (f *Follower) Find(ctx context.Context, writer string, index int64) (Found, error) {
	timer := time.NewTimer(listenTime)
	defer timer.Stop()
	again := time.NewTicker(askAgainTime)
	defer again.Stop()
	if index >= 0 {
		f.mu.Lock()
		f.eager = true
		f.mu.Unlock()
	}
	for {
		f.mu.Lock()
		news, forked := f.news, f.forked
		f.mu.Unlock()
		if forked != nil {
			return Found{}, forked
		}
		found, ok, err := f.look(writer, index)
		if ok || err != nil {
			return found, err
		}
		select {
		case <-ctx.Done():
			return Found{}, f.missing(ctx, writer, index)
		case <-news:
		case <-timer.C:
			f.decide(writer)
		case <-again.C:
			f.askAgain()
		}
	}
}

// missing explains why nothing was found in time.
func (f *Follower) missing(ctx context.Context, writer string, index int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := context.Cause(ctx)
	what := "its newest entry"
	if index >= 0 {
		what = fmt.Sprintf("entry %d of writer %q", index, writer)
	}
	if f.refused != nil {
		return fmt.Errorf("channel %s: %s: what peers say was refused: %w", f.cfg.ID, what, f.refused)
	}
	return fmt.Errorf("channel %s: %s was not found, %d peers were asked: %w", f.cfg.ID, what, len(f.sources), err)
}

// look tries to answer Find from what is known.
func (f *Follower) look(writer string, index int64) (Found, bool, error) {
	head := f.trust.Head(writer)
	if head.Raw == nil {
		return Found{}, false, nil
	}
	if index < 0 {
		f.mu.Lock()
		settled := f.contact || len(f.sources) >= enoughSources
		f.mu.Unlock()
		if !settled {
			return Found{}, false, nil
		}
		return f.newest(writer, head)
	}
	if index >= head.Size {
		f.mu.Lock()
		asked := f.contact && len(f.sources) > 0
		f.mu.Unlock()
		if asked {
			return Found{}, false, fmt.Errorf("channel %s: writer %q has %d entries, index %d is not among them: %w", f.cfg.ID, writer, head.Size, index, ErrNoEntry)
		}
		return Found{}, false, nil
	}
	raw := f.entry(writer, index)
	if raw == nil {
		return Found{}, false, nil
	}
	return f.judge(writer, index, raw, head)
}

// entry returns a verified entry, or asks for it.
func (f *Follower) entry(writer string, index int64) []byte {
	first, entries := f.trust.Held(writer)
	if index >= first && index < first+int64(len(entries)) {
		return entries[index-first]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at := place{writer, index}
	if raw := f.pages[at]; raw != nil {
		return raw
	}
	if !f.wanted[at] {
		f.wanted[at] = true
		f.askPage(at)
	}
	return nil
}

// askPage asks everybody for an entry. The caller holds mu.
func (f *Follower) askPage(at place) {
	size := f.trust.Size(at.writer)
	for p := range f.peers {
		f.channel.AskPage(p, at.writer, at.index, size)
	}
}

// askAgain asks anew for what was not answered: a peer proves pages against its own
// newest head only, which may have been another then than ours.
func (f *Follower) askAgain() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at := range f.wanted {
		f.askPage(at)
	}
}

// Withdrawn waits until the publisher asks to drop an entry, and returns an error
// that wraps ErrWithdrawn and gives the reason, or nil when ctx ends.
func (f *Follower) Withdrawn(ctx context.Context, writer string, index int64) error {
	for {
		f.mu.Lock()
		news := f.news
		f.mu.Unlock()
		if err := f.dropped(writer, index); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-news:
		}
	}
}

// newest walks back from the newest entry to one that has content.
func (f *Follower) newest(writer string, head signing.Head) (Found, bool, error) {
	for i := head.Size - 1; i >= 0; i-- {
		raw := f.entry(writer, i)
		if raw == nil {
			return Found{}, false, nil
		}
		found, ok, err := f.judge(writer, i, raw, head)
		if errors.Is(err, ErrWithdrawn) {
			continue
		}
		if err != nil {
			return Found{}, false, err
		}
		switch found.Entry.(type) {
		case manifest.Media, manifest.Release:
			return found, ok, nil
		}
	}
	return Found{}, false, fmt.Errorf("channel %s has %d entries, and none with content to fetch: %w", f.cfg.ID, head.Size, ErrNoEntry)
}

// judge parses a verified entry and looks whether it was withdrawn since.
func (f *Follower) judge(writer string, index int64, raw []byte, head signing.Head) (Found, bool, error) {
	entry, err := manifest.ParseEntry(raw)
	if err != nil {
		return Found{}, false, fmt.Errorf("channel %s: entry %d: %w", f.cfg.ID, index, err)
	}
	if err := f.dropped(writer, index); err != nil {
		return Found{}, false, err
	}
	f.mu.Lock()
	sources := len(f.sources)
	f.mu.Unlock()
	return Found{
		Writer: writer, Index: index, Raw: raw, Entry: entry, Signed: head.Time, Sources: sources,
		State: f.trust.State(writer, f.cfg.Now()), Private: f.Private(),
	}, true, nil
}

// dropped looks among the newest entries for one that withdraws an earlier one.
func (f *Follower) dropped(writer string, index int64) error {
	first, entries := f.trust.Held(writer)
	for i, later := range entries {
		if first+int64(i) <= index {
			continue
		}
		if e, err := manifest.ParseEntry(later); err == nil {
			if d, ok := e.(manifest.Delete); ok && d.Index == index {
				return fmt.Errorf("channel %s: entry %d: %w: %s", f.cfg.ID, index, ErrWithdrawn, reason(d))
			}
		}
	}
	return nil
}

func reason(d manifest.Delete) string {
	if d.Reason == "" {
		return "no reason is given"
	}
	return fmt.Sprintf("%q", d.Reason)
}

// decide ends the time of listening: of all that was told at first contact the
// largest that verifies is believed.
func (f *Follower) decide(writer string) {
	f.mu.Lock()
	if f.contact || f.deciding {
		f.mu.Unlock()
		return
	}
	f.deciding = true
	candidates := f.first
	f.first = nil
	f.mu.Unlock()
	var err error
	if len(candidates) > 0 {
		_, err = f.trust.FirstContact(writer, candidates, f.cfg.Now())
	}
	f.change(func() {
		f.deciding = false
		f.contact = true
		f.note(err)
	})
	f.offer()
}

// note keeps what was refused. The caller holds mu.
func (f *Follower) note(err error) {
	if err == nil {
		return
	}
	if errors.Is(err, signing.ErrFork) {
		f.forked = err
	} else {
		f.refused = err
	}
}

// offer puts what is believed on the local network, so that others find it there
// when the publisher is away.
func (f *Follower) offer() {
	root := f.trust.Root()
	if root == nil || root.Private() {
		return
	}
	for _, w := range f.trust.Writers() {
		u, ok := f.trust.UpdateWithin(w, 0, offerUpdate)
		if !ok {
			continue
		}
		b := u.Bytes()
		if len(b) > offerUpdate {
			b = signing.Update{Head: u.Head}.Bytes()
		}
		o := discover.Offer{ID: f.cfg.ID.String(), Writer: w, Update: b}
		if err := f.cfg.Node.Offer(o); err != nil {
			f.cfg.Logger.Debug("not offered on the local network", "err", err)
		}
	}
}

// offerUpdate is how many bytes of an update fit an offer's datagram.
const offerUpdate = discover.MaxOffer - 120

// Spec returns what fetches the content of the entry; ok is false when it has
// none. Open is left to the caller.
func (f Found) Spec() (spec swarm.Spec, ok bool) {
	var sum [32]byte
	switch e := f.Entry.(type) {
	case manifest.Media:
		sum = e.InfoSum
		spec.Infohash, spec.Name = swarm.Infohash(e.InfoHash()), e.Name
	case manifest.Release:
		sum = e.InfoSum
		spec.Infohash, spec.Name = swarm.Infohash(e.InfoHash()), e.Version
	default:
		return spec, false
	}
	spec.InfoSum, spec.Unlisted = &sum, f.Private
	return spec, true
}
