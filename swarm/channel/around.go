package channel

import (
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"handful/signing"
)

// HereEvery is how often a writer's node that is around says so.
const HereEvery = 30 * time.Second

const (
	// hereLasts is how long a writer counts as around after it was heard to be: two may be lost.
	hereLasts = 3 * HereEvery
	// heresPerSecond is how many presences a peer may tell, beside maxWriters at once.
	heresPerSecond = 10
	// sayEvery and sayBurst bound how often a writer's words are passed on, whatever it signs.
	sayEvery = 5 * time.Second
	sayBurst = 4
)

// Around is who is in the swarm of a channel, as far as this node knows.
type Around struct {
	// Writers are those whose nodes say that they are here, sorted. It is proven that each has
	// said so lately.
	Writers []string
	// Others counts the connected peers that do not say that they write.
	Others int
}

// around keeps who is around. Its methods may be called from any goroutine.
type around struct {
	c      *Channel
	verify func(signing.Presence, time.Time) error
	tell   func()

	mu    sync.Mutex // guards what follows
	said  map[string]*saying
	shown Around // who was around when somebody was told last
}

// saying is the newest that a writer has said.
type saying struct {
	signing.Presence
	heard time.Time
	words *rate.Limiter
}

func newAround(c *Channel, cfg Config) *around {
	return &around{c: c, verify: cfg.VerifyHere, tell: cfg.Around, said: make(map[string]*saying)}
}

// Around returns who is around.
func (c *Channel) Around() (who Around) {
	now := c.now()
	for _, p := range c.gossip.Peers() {
		if !c.gossip.Origin(p) {
			who.Others++
		}
	}
	a := c.around
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range slices.Sorted(maps.Keys(a.said)) {
		if s := a.said[w]; !s.Left && now.Sub(s.heard) < hereLasts {
			who.Writers = append(who.Writers, w)
		}
	}
	return who
}

// Announce says that the writer of this node is here, or has left: a few are told, who tell
// the others. The presence must be of a later time than the one before.
func (c *Channel) Announce(p signing.Presence) {
	a := c.around
	a.mu.Lock()
	a.note(p, c.now(), nil)
	a.mu.Unlock()
	a.pass(p, 0, 0)
	a.change()
}

// note remembers what a writer has said last. The caller holds mu.
func (a *around) note(p signing.Presence, now time.Time, words *rate.Limiter) {
	if words == nil {
		words = rate.NewLimiter(rate.Every(sayEvery), sayBurst)
	}
	a.said[p.Writer] = &saying{Presence: p, heard: now, words: words}
}

// heard takes what a peer tells of a writer. What is not newer costs no look at the signature.
func (a *around) heard(from Peer, m message) {
	if a.verify == nil {
		return
	}
	p := signing.Presence{Writer: m.writer, Time: m.total, Left: m.left, Sig: [64]byte(m.value)}
	now := a.c.now()
	age := time.Duration(m.offset) * time.Second
	if age >= hereLasts {
		return // it would have to be forgotten at once
	}
	a.mu.Lock()
	old := a.said[m.writer]
	a.mu.Unlock()
	var words *rate.Limiter
	if old != nil {
		if words = old.words; p.Time <= old.Time || words.TokensAt(now) < 1 {
			return
		}
	}
	if a.verify(p, now) != nil {
		return
	}
	a.mu.Lock()
	a.note(p, now.Add(-age), words)
	a.said[p.Writer].words.AllowN(now, 1)
	a.mu.Unlock()
	a.pass(p, age, from)
	a.change()
}

// pass tells a few peers, not the one that it came from.
func (a *around) pass(p signing.Presence, age time.Duration, but Peer) {
	s := a.c.spread
	n := fanout
	if s.origin && but == 0 {
		n = originFanout
	}
	s.mu.Lock()
	to := s.choose(func(q Peer) bool { return q != but })
	s.mu.Unlock()
	for _, q := range to[:min(n, len(to))] {
		a.send(q, p, age)
	}
}

func (a *around) send(to Peer, p signing.Presence, age time.Duration) {
	a.c.gossip.Send(to, message{answer: true, topic: topicHere, writer: p.Writer, offset: int64(age / time.Second),
		total: p.Time, left: p.Left, value: p.Sig[:]}.bytes())
}

// joined tells a peer who is around.
func (a *around) joined(p Peer) {
	for _, s := range a.current() {
		a.send(p, s.Presence, a.c.now().Sub(s.heard))
	}
	a.change()
}

// current returns what of all that was said counts: who is around, and who has left lately.
func (a *around) current() (all []saying) {
	now := a.c.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range slices.Sorted(maps.Keys(a.said)) {
		if s := a.said[w]; now.Sub(s.heard) < hereLasts {
			all = append(all, *s)
		}
	}
	return all
}

// tellOne tells a peer what one writer said last, so that what was lost is found.
func (a *around) tellOne(p Peer) {
	all := a.current()
	if len(all) == 0 {
		return
	}
	s := a.c.spread
	s.mu.Lock()
	one := all[s.rand.IntN(len(all))]
	s.mu.Unlock()
	a.send(p, one.Presence, a.c.now().Sub(one.heard))
}

// expire forgets what is so old that it would not be believed any more, and tells when
// somebody is around no more.
func (a *around) expire(now time.Time) {
	a.mu.Lock()
	for w, s := range a.said {
		if now.Sub(s.heard) > 2*signing.MaxPresenceAge {
			delete(a.said, w)
		}
	}
	a.mu.Unlock()
	a.change()
}

// change tells whoever wants to know when others are around than before.
func (a *around) change() {
	who := a.c.Around()
	a.mu.Lock()
	same := who.Others == a.shown.Others && slices.Equal(who.Writers, a.shown.Writers)
	a.shown = who
	a.mu.Unlock()
	if !same && a.tell != nil {
		a.tell()
	}
}
