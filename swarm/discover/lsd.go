package discover

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// MaxInfohashes is how many infohashes an LSD announces.
	MaxInfohashes = 4096
	// MaxOffers is how many offers an LSD repeats.
	MaxOffers = 64

	rescanEvery = 15 * time.Second
	rescanSoon  = time.Second // after an error, doubled up to rescanEvery

	// sendAtOnce and sendPause bound our own rate on a link: 16 announcements
	// or offers, then a tenth of a second for the others.
	sendAtOnce = 16
	sendPause  = 100 * time.Millisecond

	maxSenders   = 1024            // whose rate is kept apart
	maxHeard     = 4096            // peers that count as known
	heardFor     = 6 * time.Minute // longer than BEP 14's five between two announcements
	queueLen     = 128             // datagrams between the sockets and the loop
	maxNewPeers  = 500             // at once …
	newPeersRate = 100             // … and a second, for all senders together
)

// LSDConfig is what [NewLSD] needs. The zero value uses every interface and
// reports to nobody.
type LSDConfig struct {
	// Interfaces are the names of those to use, loopback among them only if
	// named. Empty: all that are up and can do multicast, and loopback. One that
	// does not exist is waited for.
	Interfaces []string
	// OnPeer is told of each peer that announces an infohash given to Announce,
	// every time it does. The address carries the interface's name as its zone
	// when it is link-local IPv6. What it says is a hint from anybody on the
	// link.
	OnPeer func(infohash [20]byte, peer netip.AddrPort, ifname string)
	// OnOffer is told of each datagram, other than queries, that others sent to
	// the offers' group: 1 to MaxOffer bytes that nobody has looked at. They
	// belong to the callee. from is the sending socket, not the port that
	// accepts connections.
	OnOffer func(payload []byte, from netip.AddrPort, ifname string)

	Logger *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: time.Now
	// Rand spreads answers and makes the cookie; the LSD alone uses it from then
	// on. nil: one that is seeded by the system.
	Rand *rand.Rand

	rescan time.Duration // how often the interfaces are looked at; 0: rescanEvery
}

// LinkState tells how an interface is doing.
type LinkState struct {
	Name        string
	V4, V6      bool   // groups are joined in this family
	Sent, Heard uint64 // datagrams sent, and accepted from others
	Err         error  // the last thing that went wrong; nil after a sending that worked
}

// LSD is the presence of a node on the local network: BEP 14 announcements and
// our own offers. Its methods may be called by any goroutine, also from within
// its callbacks, which one goroutine calls one after the other: they should
// return soon.
type LSD struct {
	cfg    LSDConfig
	log    *slog.Logger
	cookie string

	// Given by callers, taken over by the loop.
	mu     sync.Mutex
	wanted wanted
	states map[int]*LinkState // by interface index

	wake    chan struct{}
	quit    chan struct{}
	packets chan datagram
	broken  chan *receiver
	close   sync.Once
	wg      sync.WaitGroup

	// Everything below belongs to the loop.
	receivers []*receiver
	senders   [2]*sender // IPv4, IPv6; nil where there is none
	links     Links
	failed    map[int]bool // links on which the last sending failed
	rescanAt  time.Time
	rescanIn  time.Duration // distance of the next rescan after an error
	sendAfter time.Time
	applied   wanted
	hashes    map[[20]byte]bool
	searches  *timetable[[20]byte]
	offers    *timetable[string]
	queries   *timetable[int]
	limits    [groups]limiter[netip.AddrPort]
	newPeers  bucket
	heard     recent[heardKey]
}

// wanted is what callers asked for. Its slices are never changed, only replaced.
type wanted struct {
	version  int
	hashes   [][20]byte
	port     uint16
	offers   []string
	solicits int
}

type heardKey struct {
	infohash [20]byte
	peer     netip.AddrPort
}

// NewLSD opens the sockets, joins the groups on the interfaces that are there,
// and listens. It fails when no socket at all can be opened; a family or an
// interface that is missing is tried again later.
func NewLSD(cfg LSDConfig) (*LSD, error) {
	l := newLSD(cfg)
	if err := l.open(); len(l.receivers) == 0 || l.senders[0] == nil && l.senders[1] == nil {
		close(l.quit)
		l.closeSockets()
		l.wg.Wait()
		return nil, fmt.Errorf("local discovery: %w", err)
	}
	l.rescan(l.cfg.Now())
	if missing := l.links.Missing(cfg.Interfaces); len(missing) > 0 {
		l.log.Warn("interface is down or absent, waiting for it", "interfaces", missing)
	}
	l.wg.Go(l.run)
	return l, nil
}

// newLSD returns an LSD that has neither sockets nor links yet.
func newLSD(cfg LSDConfig) *LSD {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	cfg.rescan = cmp.Or(cfg.rescan, rescanEvery)
	l := &LSD{
		cfg:      cfg,
		log:      cfg.Logger,
		cookie:   fmt.Sprintf("%08x", cfg.Rand.Uint32()),
		states:   make(map[int]*LinkState),
		wake:     make(chan struct{}, 1),
		quit:     make(chan struct{}),
		packets:  make(chan datagram, queueLen),
		broken:   make(chan *receiver),
		failed:   make(map[int]bool),
		hashes:   make(map[[20]byte]bool),
		searches: newTimetable[[20]byte](searchRhythm, cfg.Rand),
		offers:   newTimetable[string](offerRhythm, cfg.Rand),
		queries:  newTimetable[int](queryRhythm, cfg.Rand),
		heard:    recent[heardKey]{keep: heardFor, max: maxHeard},
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	for g := range l.limits {
		l.limits[g] = limiter[netip.AddrPort]{rate: 32, burst: 128, max: maxSenders}
	}
	return l
}

// Announce replaces the set of infohashes that are announced, and about which
// OnPeer is told, and the port on which the node accepts connections; 0 only
// listens. New infohashes are announced at once. It fails when there are more
// than MaxInfohashes, and then changes nothing.
func (l *LSD) Announce(infohashes [][20]byte, port uint16) error {
	if len(infohashes) > MaxInfohashes {
		return fmt.Errorf("announce %d infohashes on the local network: at most %d", len(infohashes), MaxInfohashes)
	}
	l.want(func(w *wanted) { w.hashes, w.port = slices.Clone(infohashes), port })
	return nil
}

// Offer replaces the set of offers that are sent. New ones are sent at once, the
// ones that stay keep their pace. A payload has 1 to MaxOffer bytes and is not a
// query; there are at most MaxOffers. If not, Offer fails and changes nothing.
func (l *LSD) Offer(payloads ...[]byte) error {
	if len(payloads) > MaxOffers {
		return fmt.Errorf("%d offers on the local network: at most %d", len(payloads), MaxOffers)
	}
	var offers []string
	for _, p := range payloads {
		if len(p) == 0 || len(p) > MaxOffer || string(p) == solicitation {
			return fmt.Errorf("%w offer of %d bytes: 1 to %d", ErrMalformed, len(p), MaxOffer)
		}
		offers = append(offers, string(p))
	}
	l.want(func(w *wanted) { w.offers = offers })
	return nil
}

// Solicit asks everybody to repeat their offers within 250 ms, three times within
// two seconds, on every interface; OnOffer hears the answers.
func (l *LSD) Solicit() {
	l.want(func(w *wanted) { w.solicits++ })
}

func (l *LSD) want(change func(*wanted)) {
	l.mu.Lock()
	change(&l.wanted)
	l.wanted.version++
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// State returns how each interface in use is doing, by name.
func (l *LSD) State() []LinkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []LinkState
	for _, s := range l.states {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b LinkState) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// Close leaves the groups and waits until no callback runs. It must not be called
// from within a callback. BEP 14 knows no good-bye.
func (l *LSD) Close() error {
	l.close.Do(func() { close(l.quit) })
	l.wg.Wait()
	return nil
}

// run is the owner loop.
func (l *LSD) run() {
	defer l.closeSockets()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := l.cfg.Now()
		l.apply(now)
		if !now.Before(l.rescanAt) {
			l.rescan(now)
		}
		if !now.Before(l.sendAfter) {
			l.send(now)
		}
		timer.Reset(l.wait(now))
		select {
		case <-l.quit:
			return
		case <-l.wake:
		case <-timer.C:
		case r := <-l.broken:
			l.drop(r)
		case d := <-l.packets:
			l.receive(l.cfg.Now(), d)
			// What else has come is taken along: to plan anew after each one
			// would cost more than the datagram.
			for range len(l.packets) {
				l.receive(l.cfg.Now(), <-l.packets)
			}
		}
	}
}

// wait is how long nothing needs to be done.
func (l *LSD) wait(now time.Time) time.Duration {
	at := l.rescanAt
	for _, next := range []func() (time.Time, bool){l.searches.next, l.offers.next, l.queries.next} {
		if t, ok := next(); ok {
			if t.Before(l.sendAfter) {
				t = l.sendAfter
			}
			if t.Before(at) {
				at = t
			}
		}
	}
	return max(0, at.Sub(now))
}

// apply takes over what callers asked for.
func (l *LSD) apply(now time.Time) {
	l.mu.Lock()
	w := l.wanted
	l.mu.Unlock()
	if w.version == l.applied.version {
		return
	}
	if w.port != l.applied.port {
		l.searches.set(now, nil) // the others have to learn the new port
	}
	clear(l.hashes)
	for _, ih := range w.hashes {
		l.hashes[ih] = true
	}
	if w.port != 0 {
		l.searches.set(now, w.hashes)
	}
	l.offers.set(now, w.offers)
	if w.solicits != l.applied.solicits {
		l.queries.set(now, []int{w.solicits})
	}
	l.applied = w
}

// send sends what is due on every link.
func (l *LSD) send(now time.Time) {
	for _, link := range l.links {
		for _, ok := range []bool{l.sendSearches(now, link), l.sendOffers(now, link)} {
			if !ok {
				l.sendAfter = now.Add(sendPause)
			}
		}
	}
	if len(l.failed) > 0 {
		if soon := now.Add(l.rescanIn); soon.Before(l.rescanAt) {
			l.rescanAt = soon
		}
	}
}

// sendSearches reports false when more may be due than it has sent.
func (l *LSD) sendSearches(now time.Time, link Link) bool {
	due := l.searches.take(now, link.Index, sendAtOnce*searchHashes)
	for hashes := range slices.Chunk(due, searchHashes) {
		s := search{Port: l.applied.port, Infohashes: hashes, Cookie: l.cookie}
		l.sendOn(link, searchGroup, func(host netip.AddrPort) []byte { return s.append(nil, host) })
	}
	return len(due) < sendAtOnce*searchHashes
}

func (l *LSD) sendOffers(now time.Time, link Link) bool {
	for range l.queries.take(now, link.Index, 1) {
		l.sendOn(link, offerGroup, func(netip.AddrPort) []byte { return []byte(solicitation) })
	}
	due := l.offers.take(now, link.Index, sendAtOnce)
	for _, payload := range due {
		l.sendOn(link, offerGroup, func(netip.AddrPort) []byte { return []byte(payload) })
	}
	return len(due) < sendAtOnce
}

// sendOn sends one datagram on one link in each family that the link speaks.
func (l *LSD) sendOn(link Link, g group, print func(host netip.AddrPort) []byte) {
	var errs []error
	sent := uint64(0)
	for _, s := range l.senders {
		if s == nil || !speaks(link, s.v6) {
			continue
		}
		if err := s.send(link, g, print(g.addr(s.v6))); err != nil {
			errs = append(errs, err)
			l.log.Debug("multicast failed", "interface", link.Name, "err", err)
			continue
		}
		sent++
	}
	if sent == 0 && len(errs) > 0 {
		l.failed[link.Index] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.states[link.Index]; s != nil {
		s.Sent += sent
		s.Err = errors.Join(errs...)
	}
}

// speaks reports whether multicast of a family is used on a link. Loopback needs
// only one, and systems have no IPv6 multicast route there.
func speaks(link Link, v6 bool) bool {
	return link.has(v6) && !(v6 && link.Loopback && link.has(false))
}
