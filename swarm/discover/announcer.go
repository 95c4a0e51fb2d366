package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// MaxTrackers is how many trackers of one infohash are used; metainfo of
	// strangers may name any number.
	MaxTrackers = 64
	// MaxTrackerPeers is how many peers of one response are used.
	MaxTrackerPeers = 400

	minInterval     = 30 * time.Second // between two announcements, whatever the tracker says
	maxInterval     = 2 * time.Hour    // a tracker cannot silence us for longer
	defaultInterval = 5 * time.Minute  // where the tracker names none
	maxBackoff      = 10 * time.Minute
	announceTimeout = 30 * time.Second
	stopTimeout     = 2 * time.Second
	// maxAnnouncing is how many announcements are under way at a time, other
	// than those that say good-bye.
	maxAnnouncing = 32
)

// ErrNameRefused means that a tracker's host is a name, where only literal
// addresses may be used.
var ErrNameRefused = errors.New("host names are not looked up here, only literal addresses are used")

// Transfer is what a tracker is told of a torrent, in bytes.
type Transfer struct {
	Uploaded, Downloaded int64
	Left                 int64 // still missing; negative: not known yet
}

// AnnouncerConfig is what [NewAnnouncer] needs.
type AnnouncerConfig struct {
	PeerID [20]byte
	Port   uint16 // where the node accepts connections
	// Transfer is asked before each announcement. nil: nothing moved, and how
	// much is left is not known.
	Transfer func(infohash [20]byte) Transfer
	// OnPeers is told of the peers in each response, without those that Allow
	// refuses; at most MaxTrackerPeers, each once. Several goroutines may call
	// it at a time, and once more after Set has removed the tracker.
	OnPeers func(infohash [20]byte, tracker string, peers []netip.AddrPort)

	// Literal uses only trackers whose host is a literal address (or localhost,
	// which always means 127.0.0.1 and ::1): no name is ever looked up.
	Literal bool
	// Allow says whether an address may be talked to; its error is shown as the
	// tracker's. nil: all may.
	Allow func(netip.Addr) error

	// Resolve looks a name up. nil: the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to a literal address. nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ListenPacket opens a UDP socket. nil: net.ListenPacket.
	ListenPacket func(network, address string) (net.PacketConn, error)

	UserAgent string           // for HTTP; empty: Handful
	Logger    *slog.Logger     // nil: nothing is logged
	Now       func() time.Time // nil: time.Now
	// Rand makes the key (BEP 7) and spreads announcements; the Announcer alone
	// uses it from then on. nil: one that is seeded by the system.
	Rand *rand.Rand
}

// TrackerState tells how a tracker is doing for one infohash.
type TrackerState struct {
	URL      string
	Err      error     // why the last announcement failed; nil: it worked, or none was made yet
	Failures int       // in a row
	Worked   time.Time // the last announcement that worked; zero: none
	Next     time.Time // the next one is due
	// As the tracker says, in its last response that worked.
	Seeds, Leechers, Peers int
}

// String is one of "not tried yet", "working", and "failing: " with the reason.
func (s TrackerState) String() string {
	switch {
	case s.Err != nil:
		return "failing: " + s.Err.Error()
	case s.Worked.IsZero():
		return "not tried yet"
	}
	return "working"
}

// Announcer announces infohashes to trackers, one goroutine for each pair of the
// two, and learns peers from them. Its methods may be called by any goroutine,
// Set and Close not from within OnPeers.
type Announcer struct {
	cfg  AnnouncerConfig
	log  *slog.Logger
	key  int32
	gate gate
	slot chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex // guards what follows, and every announcing's fields below its own mark
	rand   *rand.Rand
	closed bool
	active map[[20]byte][]*announcing
}

// announcing is one infohash at one tracker.
type announcing struct {
	infohash [20]byte
	ctx      context.Context // ends when the tracker shall be told good-bye
	cancel   context.CancelFunc
	wake     chan struct{}

	// Guarded by Announcer.mu.
	state    TrackerState
	tried    time.Time // start of the last attempt
	accepted bool      // the tracker knows of us
	unsure   bool      // an attempt was cut off: it may know
	finished bool      // completed is still to be sent
}

// NewAnnouncer returns an Announcer with nothing to announce.
func NewAnnouncer(cfg AnnouncerConfig) *Announcer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.Transfer == nil {
		cfg.Transfer = func([20]byte) Transfer { return Transfer{Left: -1} }
	}
	if cfg.OnPeers == nil {
		cfg.OnPeers = func([20]byte, string, []netip.AddrPort) {}
	}
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "Handful")
	a := &Announcer{
		cfg:    cfg,
		log:    cfg.Logger,
		key:    cfg.Rand.Int32(),
		gate:   newGate(cfg),
		slot:   make(chan struct{}, maxAnnouncing),
		rand:   cfg.Rand,
		active: make(map[[20]byte][]*announcing),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a
}

// Set replaces the trackers of an infohash, all of which are used. New ones are
// told "started" at once, removed ones "stopped". Without trackers, and after
// Close, the infohash is announced no more. Beyond [MaxTrackers] the rest is left
// out.
func (a *Announcer) Set(infohash [20]byte, trackers []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	var keep []*announcing
	old := a.active[infohash]
	for i, url := range trackers {
		if len(keep) == MaxTrackers {
			a.log.Warn("too many trackers", "infohash", fmt.Sprintf("%x", infohash), "left_out", len(trackers)-i)
			break
		}
		same := func(x *announcing) bool { return x.state.URL == url }
		if slices.ContainsFunc(keep, same) {
			continue
		}
		if i := slices.IndexFunc(old, same); i >= 0 {
			keep = append(keep, old[i])
			continue
		}
		x := &announcing{infohash: infohash, wake: make(chan struct{}, 1)}
		x.state = TrackerState{URL: url, Next: a.cfg.Now()}
		x.ctx, x.cancel = context.WithCancel(context.Background())
		keep = append(keep, x)
		a.wg.Go(func() { a.run(x) })
	}
	for _, x := range old {
		if !slices.Contains(keep, x) {
			x.cancel()
		}
	}
	if a.active[infohash] = keep; len(keep) == 0 {
		delete(a.active, infohash)
	}
}

// Completed tells the trackers of an infohash, once, that its download has just
// been completed. It is not for torrents that were complete when they were added.
func (a *Announcer) Completed(infohash [20]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.active[infohash] {
		x.finished = true
		if x.accepted && x.state.Err == nil {
			x.state.Next = a.cfg.Now()
		}
		x.poke()
	}
}

// Again asks the trackers that work for more peers, as soon as 30 s have passed
// since the last time.
func (a *Announcer) Again(infohash [20]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range a.active[infohash] {
		if soon := x.tried.Add(minInterval); x.state.Err == nil && soon.Before(x.state.Next) {
			x.state.Next = soon
			x.poke()
		}
	}
}

// State returns how each tracker of an infohash is doing, in the order given to
// Set.
func (a *Announcer) State(infohash [20]byte) []TrackerState {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []TrackerState
	for _, x := range a.active[infohash] {
		out = append(out, x.state)
	}
	return out
}

// Close tells every tracker that knows of us "stopped" and returns when that is
// done, or after two seconds.
func (a *Announcer) Close() error {
	a.mu.Lock()
	a.closed = true
	for _, list := range a.active {
		for _, x := range list {
			x.cancel()
		}
	}
	clear(a.active)
	a.mu.Unlock()
	a.wg.Wait()
	return nil
}

// poke makes the announcing look at its state again.
func (x *announcing) poke() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// run announces until x.ctx ends, then says good-bye.
func (a *Announcer) run(x *announcing) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		a.mu.Lock()
		wait := x.state.Next.Sub(a.cfg.Now())
		a.mu.Unlock()
		timer.Reset(max(0, wait))
		select {
		case <-x.ctx.Done():
			a.farewell(x)
			return
		case <-x.wake:
		case <-timer.C:
			select {
			case a.slot <- struct{}{}:
				a.attempt(x)
				<-a.slot
			case <-x.ctx.Done():
			}
		}
	}
}

func (a *Announcer) farewell(x *announcing) {
	a.mu.Lock()
	tell := x.accepted || x.unsure
	a.mu.Unlock()
	if !tell {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if _, err := a.announce(ctx, x, eventStopped, 0); err != nil {
		a.log.Debug("tracker not told stopped", "tracker", x.state.URL, "err", err)
	}
}

// attempt announces once and plans the next time.
func (a *Announcer) attempt(x *announcing) {
	a.mu.Lock()
	event := eventNone
	switch {
	case !x.accepted:
		event = eventStarted
	case x.finished:
		event = eventCompleted
	}
	x.tried = a.cfg.Now()
	turn := x.state.Failures
	a.mu.Unlock()

	ctx, cancel := context.WithTimeout(x.ctx, announceTimeout)
	defer cancel()
	res, err := a.announce(ctx, x, event, turn)

	a.mu.Lock()
	now := a.cfg.Now()
	s := &x.state
	switch {
	case err != nil && x.ctx.Err() != nil:
		x.unsure = true
	case err != nil:
		if s.Failures++; s.Failures == 1 {
			a.log.Warn("tracker failed", "tracker", s.URL, "err", err)
		}
		s.Err = shorten(err)
		s.Next = now.Add(a.backoff(s.Failures))
	default:
		if s.Failures > 0 {
			a.log.Info("tracker works again", "tracker", s.URL)
		}
		s.Err, s.Failures, s.Worked = nil, 0, now
		s.Seeds, s.Leechers, s.Peers = res.seeds, res.leechers, len(res.peers)
		s.Next = now.Add(a.spread(res.interval))
		x.accepted = true
		if event == eventCompleted {
			x.finished = false
		} else if x.finished {
			s.Next = now // "started" went first
		}
	}
	a.mu.Unlock()
	if err == nil && len(res.peers) > 0 && x.ctx.Err() == nil {
		a.cfg.OnPeers(x.infohash, x.state.URL, res.peers)
	}
}

// backoff is the wait after so many failures in a row, at least one: 30 s, 1, 2,
// 4, 8, 10 minutes, and up to half as much more. The caller holds a.mu.
func (a *Announcer) backoff(failures int) time.Duration {
	d := minInterval << min(failures-1, 10)
	d = min(d, maxBackoff)
	return d + time.Duration(a.rand.Float64()/2*float64(d))
}

// spread is a tracker's interval within our bounds, and up to 3 % more, so that
// nodes that started together come apart. The caller holds a.mu.
func (a *Announcer) spread(interval time.Duration) time.Duration {
	if interval <= 0 {
		interval = defaultInterval
	}
	interval = min(max(interval, minInterval), maxInterval)
	return interval + time.Duration(a.rand.Float64()*0.03*float64(interval))
}

// maxErrorText bounds what a tracker may put into our error lines.
const maxErrorText = 300

// shorten returns err, or an error with the beginning of its text.
func shorten(err error) error {
	if text := err.Error(); len(text) > maxErrorText {
		return &shortError{text: text[:maxErrorText] + "…", err: err}
	}
	return err
}

type shortError struct {
	text string
	err  error
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.err }
