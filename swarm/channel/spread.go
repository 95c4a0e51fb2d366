package channel

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"handful/signing"
)

// How news spread. Whoever has something new tells a few at once, the writer's own node
// some more, since it starts alone. After lateTime a few others are told that it is there,
// and ask if they lack it. And every repairTime what is held is compared with one peer,
// whatever was lost before.
const (
	fanout       = 3
	originFanout = 4

	lateFanout = 4  // at least
	maxLate    = 64 // at most
	lateTime   = 100 * time.Millisecond
	// An origin waits until the others have most likely told each other.
	originLateTime = time.Second

	repairTime = 3 * time.Second
	// askGrace is how long what is missing may still come unasked, and askAgain how long
	// an answer is waited for before another is asked for the same.
	askGrace = 50 * time.Millisecond
	askAgain = time.Second
	// originAgain is how long a writer's own node is left in peace.
	originAgain = 3 * time.Second
	// newerBy is how much newer a head over the same entries must be to be asked for.
	newerBy = 30 // seconds

	// Introduction is how many bytes a stranger asks for: the head, what proves it, and a few
	// of the newest entries.
	Introduction = 1200

	maxWriters = 256 // of a peer's that are remembered
)

// Holding is what somebody holds of a writer's log, and by which documents.
type Holding struct {
	First   int64 // index of the first entry that can be asked for as a page
	Size    int64 // entries under the head
	Time    int64 // when the head was signed, Unix seconds
	Root    int64 // version of the newest root document; 0: not said
	Targets int64 // version of the targets document in force; 0: none, or not said
}

// documents compares by the documents, which may take a log back: what is longer by older
// ones is not more. Versions that are not said are not compared.
func (h Holding) documents(other Holding) int {
	if h.Root == 0 || other.Root == 0 {
		return 0
	}
	return cmp.Or(cmp.Compare(h.Root, other.Root), cmp.Compare(h.Targets, other.Targets))
}

// newer reports whether a peer with h has what one with other lacks.
func (h Holding) newer(other Holding) bool {
	if d := h.documents(other); d != 0 {
		return d > 0
	}
	return h.Size > other.Size || h.Size == other.Size && h.Time >= other.Time+newerBy
}

// covers reports whether a peer with h lacks nothing of other.
func (h Holding) covers(other Holding) bool {
	if d := h.documents(other); d != 0 {
		return d > 0
	}
	return h.Size > other.Size || h.Size == other.Size && h.Time >= other.Time
}

// spread decides who is told what and when. It has a goroutine for what is due by time;
// its methods may be called from any other.
type spread struct {
	c       *Channel
	origin  bool
	writers func() []string
	quit    chan struct{}
	wake    chan struct{}
	once    sync.Once
	ended   chan struct{}

	mu    sync.Mutex // guards what follows
	rand  *rand.Rand
	known map[Peer]map[string]Holding // by the peers' own word
	// pushed is when news of a writer were pushed last, pushes what waits to be.
	pushed map[string]time.Time
	pushes map[string]push
	late   map[string]time.Time // when others are told that news of a writer are here
	asks   map[string]time.Time // when what is missing of a writer is asked for
	asked  map[string]asked
	// origins is when a writer's own node was asked last.
	origins map[string]time.Time
	repair  time.Time
}

type asked struct {
	size int64
	at   time.Time
	of   Peer
}

func newSpread(c *Channel, cfg Config) *spread {
	s := &spread{
		c: c, origin: cfg.Origin, writers: cfg.Writers, rand: cfg.Rand,
		quit: make(chan struct{}), wake: make(chan struct{}, 1), ended: make(chan struct{}),
		pushed: make(map[string]time.Time), pushes: make(map[string]push),
		known: make(map[Peer]map[string]Holding), late: make(map[string]time.Time),
		asks: make(map[string]time.Time), asked: make(map[string]asked),
		origins: make(map[string]time.Time),
	}
	if s.writers == nil {
		s.writers = func() []string { return []string{signing.MainWriter} }
	}
	if s.rand == nil {
		s.rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	s.repair = s.nextRepair(c.now())
	return s
}

// Missing says that what a peer told of a writer cannot be used, because something before
// it is missing: it is asked for, if it does not come soon.
func (c *Channel) Missing(writer string) {
	s := c.spread
	s.mu.Lock()
	if _, due := s.asks[writer]; !due {
		s.asks[writer] = c.now().Add(askGrace)
	}
	s.mu.Unlock()
	s.poke()
}

// Forget drops what peers are known to hold of a writer: a document has taken entries back,
// so what they said is of another history.
func (c *Channel) Forget(writer string) {
	s := c.spread
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.known {
		delete(m, writer)
	}
	delete(s.asked, writer)
	delete(s.pushes, writer)
}

// Holders returns the peers that say that an entry can be asked of them, origins last.
func (c *Channel) Holders(writer string, index int64) []Peer {
	s := c.spread
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.choose(func(p Peer) bool {
		h, ok := s.known[p][writer]
		return ok && h.First <= index && index < h.Size
	})
}

// Behind reports whether a peer says that it has news of a writer that are not held here.
func (c *Channel) Behind(writer string) bool {
	ours, _ := c.source.Holds(writer)
	s := c.spread
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.known {
		if h := m[writer]; h.Size > ours.Size && h.documents(ours) >= 0 {
			return true
		}
	}
	return false
}

// choose returns the connected peers that suit, in random order, origins last. The caller
// holds mu.
func (s *spread) choose(suits func(Peer) bool) []Peer {
	peers := slices.DeleteFunc(s.c.gossip.Peers(), func(p Peer) bool { return !suits(p) })
	slices.Sort(peers) // the order of a map is random in another way than rand's
	s.rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	slices.SortStableFunc(peers, func(a, b Peer) int {
		return cmp.Compare(rank(s.c.gossip.Origin(a)), rank(s.c.gossip.Origin(b)))
	})
	return peers
}

func rank(later bool) int {
	if later {
		return 1
	}
	return 0
}

// lacking returns at most n peers that are not known to have what is held here, other than
// one. The caller holds mu.
func (s *spread) lacking(writer string, ours Holding, but Peer, n int) []Peer {
	peers := s.choose(func(p Peer) bool {
		theirs, ok := s.known[p][writer]
		return p != but && !(ok && theirs.covers(ours))
	})
	return peers[:min(n, len(peers))]
}

// remember notes what a peer has, by its own word if that is known, else at least. The
// caller holds mu.
func (s *spread) remember(p Peer, writer string, h Holding, word bool) {
	m := s.known[p]
	if m == nil {
		return // it has left
	}
	old, ok := m[writer]
	switch {
	case !ok && len(m) >= maxWriters:
		return
	case ok && old.covers(h) && !h.covers(old):
		return
	case ok && !word:
		h.First = min(old.First, h.First)
	}
	if ok && h.Root == 0 {
		h.Root, h.Targets = old.Root, old.Targets
	}
	m[writer] = h
}

// heard takes what an update says of its sender, which nothing proves.
func (s *spread) heard(p Peer, writer string, u signing.Update) {
	h, err := signing.ParseHead(u.Head)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	got := Holding{First: h.Size - int64(len(u.Entries)), Size: h.Size, Root: u.Root}
	if old := s.known[p][writer]; old.Root == u.Root {
		got.Targets = old.Targets
	}
	s.remember(p, writer, got, false)
}

// told notes what was sent to a peer.
func (s *spread) told(p Peer, writer string, u signing.Update) { s.heard(p, writer, u) }

func (s *spread) joined(p Peer) {
	s.mu.Lock()
	s.known[p] = make(map[string]Holding)
	s.mu.Unlock()
	for _, w := range s.writers() {
		s.tell(p, w)
	}
}

// left forgets a peer. What it was asked for, another is asked for at once.
func (s *spread) left(p Peer) {
	s.mu.Lock()
	delete(s.known, p)
	for w, a := range s.asked {
		if a.of == p {
			delete(s.asked, w)
			s.asks[w] = s.c.now()
		}
	}
	s.mu.Unlock()
	s.poke()
}

// tell tells a peer what is held here of a writer.
func (s *spread) tell(p Peer, writer string) {
	if h, ok := s.c.source.Holds(writer); ok {
		s.c.gossip.Send(p, message{answer: true, topic: topicHas, writer: writer, number: h.Size, offset: h.First, total: h.Time, root: h.Root, targets: h.Targets}.bytes())
	}
}

// compare takes what a peer says that it holds: what is missing here is asked for, and who
// lacks something is told that it is here.
func (s *spread) compare(p Peer, writer string, theirs Holding) {
	if !slices.Contains(s.writers(), writer) {
		return
	}
	ours, _ := s.c.source.Holds(writer)
	s.mu.Lock()
	before := s.known[p][writer]
	s.remember(p, writer, theirs, true)
	s.mu.Unlock()
	if writer == signing.MainWriter && theirs.documents(ours) > 0 {
		s.c.sink.Documents(p, theirs.Root)
	}
	switch {
	case theirs.newer(ours):
		s.c.Missing(writer)
	case ours.newer(theirs) && theirs != before: // who does not move is told no second time
		s.tell(p, writer)
	}
}

func (s *spread) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *spread) end() {
	s.once.Do(func() { close(s.quit) })
	<-s.ended
}

// run does what is due by time.
func (s *spread) run() {
	defer close(s.ended)
	t := time.NewTimer(repairTime)
	defer t.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-s.wake:
		case <-t.C:
		}
		now := s.c.now()
		s.pushDue(now)
		s.tellLate(now)
		s.askDue(now)
		s.compareOne(now)
		s.c.around.expire(now)
		t.Reset(s.wait(now))
	}
}

// wait returns how long nothing is due.
func (s *spread) wait(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.repair
	for _, due := range []map[string]time.Time{s.late, s.asks} {
		for _, at := range due {
			if at.Before(next) {
				next = at
			}
		}
	}
	for _, p := range s.pushes {
		if p.at.Before(next) {
			next = p.at
		}
	}
	return min(max(next.Sub(now), time.Millisecond), repairTime)
}

// take returns the writers that are due and takes them out. The caller holds mu.
func take(due map[string]time.Time, now time.Time) (writers []string) {
	for w, at := range due {
		if !at.After(now) {
			writers = append(writers, w)
			delete(due, w)
		}
	}
	return writers
}

// tellLate tells some of those who may have missed news that they are here.
func (s *spread) tellLate(now time.Time) {
	s.mu.Lock()
	writers := take(s.late, now)
	s.mu.Unlock()
	for _, w := range writers {
		ours, ok := s.c.source.Holds(w)
		if !ok {
			continue
		}
		s.mu.Lock()
		var to []Peer
		if s.origin { // all may have connected to it, and few rely on it alone
			to = s.lacking(w, ours, 0, lateFanout)
		} else {
			to = relying(s.lacking(w, ours, 0, maxLate), s.c.gossip.Dialled)
		}
		s.mu.Unlock()
		for _, p := range to {
			s.tell(p, w)
		}
	}
}

// relying returns those of peers who are told that news are here: all that have connected to
// this node, since everybody connects to some in order to hear from them, and others where
// these are few. So who has chosen eight peers hears of news if one of the eight has them,
// and chance decides only which.
func relying(peers []Peer, dialled func(Peer) bool) []Peer {
	byChoice := slices.Clone(peers)
	slices.SortStableFunc(byChoice, func(a, b Peer) int { return cmp.Compare(rank(dialled(a)), rank(dialled(b))) })
	n := 0
	for n < len(byChoice) && (n < lateFanout || !dialled(byChoice[n])) {
		n++
	}
	return byChoice[:n]
}

// askDue asks for what is missing and has not come.
func (s *spread) askDue(now time.Time) {
	s.mu.Lock()
	writers := take(s.asks, now)
	s.mu.Unlock()
	for _, w := range writers {
		ours, known := s.c.source.Holds(w)
		p, ok := s.whom(w, ours, now)
		switch {
		case !ok:
		case known:
			s.c.AskUpdate(p, w, ours.Size)
		default: // a stranger does not want all that fits
			s.c.AskUpdateWithin(p, w, 0, Introduction)
		}
	}
}

// whom returns a peer to ask for what is missing; none if that was asked for just now.
func (s *spread) whom(writer string, ours Holding, now time.Time) (Peer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	peers := s.choose(func(p Peer) bool {
		h, ok := s.known[p][writer]
		return ok && h.newer(ours) && h.Size >= ours.Size // what is shorter comes with its document
	})
	if len(peers) == 0 {
		return 0, false
	}
	if a, ok := s.asked[writer]; ok && a.size == ours.Size && now.Sub(a.at) < askAgain {
		s.asks[writer] = a.at.Add(askAgain)
		return 0, false
	}
	// Where nobody but the writer's own node is known to have it, others most likely get it
	// meanwhile: so that it is not asked by all at once, again and again.
	if s.c.gossip.Origin(peers[0]) {
		if last := s.origins[writer]; now.Sub(last) < originAgain {
			s.asks[writer] = last.Add(originAgain)
			return 0, false
		}
		s.origins[writer] = now
	}
	s.asked[writer] = asked{ours.Size, now, peers[0]}
	return peers[0], true
}

// compareOne tells one peer what is held here, now and then.
func (s *spread) compareOne(now time.Time) {
	s.mu.Lock()
	if now.Before(s.repair) {
		s.mu.Unlock()
		return
	}
	s.repair = s.nextRepair(now)
	peers := s.c.gossip.Peers()
	if len(peers) == 0 {
		s.mu.Unlock()
		return
	}
	p := peers[s.rand.IntN(len(peers))]
	// What it said before may have been lost with what was asked for then.
	for w := range s.known[p] {
		delete(s.asked, w)
	}
	s.mu.Unlock()
	for _, w := range s.writers() {
		s.tell(p, w)
	}
	s.c.around.tellOne(p)
}

// nextRepair spreads repairs, so that not all nodes do it at once.
func (s *spread) nextRepair(now time.Time) time.Time {
	return now.Add(repairTime/2 + time.Duration(s.rand.Int64N(int64(repairTime))))
}
