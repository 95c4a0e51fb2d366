package swarm

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A peer that goes without a word keeps what it was asked for, and what was granted
// to it, until the system gives its connection up, which takes minutes. So nodes
// ask each other for a sign of life, and measure the round trip by the way.

const (
	silentAfter = 2300 * time.Millisecond // of silence, then a ping is sent
	lostAfter   = 7 * time.Second         // of silence, then the connection is closed
	lostAtMost  = time.Minute             // lostAfter after it has doubled often
	healthy     = time.Minute             // without a long silence, then it is lostAfter again
	// A node that hears and has nothing to say says so after quietAfter: the ping that
	// asks for it may wait behind data for longer than is allowed.
	quietAfter = 2 * time.Second
	// farSlack multiplies these times where nothing is awaited of a far peer.
	farSlack = 3
	// A pulse that is so late means that this node stood still, and not its peers.
	lateness = 2 * time.Second
	// In a swarm without content only news travel.
	gossipSilentAfter, gossipLostAfter = 30 * time.Second, time.Minute
)

const (
	rttEvery   = 30 * time.Second // between measurements, unless pings are sent anyway
	rttLater   = 2 * time.Second  // after the connection was made, where nothing depends on it
	rttSamples = 5                // of which the median counts; as many at the beginning
	// A peer is quick below siteWithin and no longer so above farBeyond.
	siteWithin = 2 * time.Millisecond
	farBeyond  = 4 * time.Millisecond
)

// A peer's pings are answered at pingRate, and pingBurst of them at once.
const (
	pingRate  = 4 // a second
	pingBurst = 16
)

// tokenSize is the length of a ping's body, and of the pong's that repeats it.
const tokenSize = 8

// vital counts what moves on a connection. The goroutines that read and write
// change it, the loop looks.
type vital struct {
	rw      io.ReadWriter
	in, out atomic.Int64 // bytes
	reading atomic.Bool  // this node waits for the peer; else a silence is its own
}

// Read implements io.Reader.
func (v *vital) Read(b []byte) (int, error) {
	v.reading.Store(true)
	n, err := v.rw.Read(b)
	v.reading.Store(false)
	v.in.Add(int64(n))
	return n, err
}

// Write implements io.Writer.
func (v *vital) Write(b []byte) (int, error) {
	n, err := v.rw.Write(b)
	v.out.Add(int64(n))
	return n, err
}

// life is what the loop knows of a peer's silence and of the way to it.
type life struct {
	begun     bool
	ended     bool      // the connection is being closed
	in, out   int64     // bytes at the last look
	heardAt   time.Time // when bytes last came, or this node did not listen
	saidAt    time.Time // when bytes last went
	owes      bool      // bytes came and none went since
	askedAt   time.Time // of the ping that this silence made; zero: none yet
	wellSince time.Time // when the last long silence ended

	probe   probe           // the ping that is not answered; token 0: none
	samples []time.Duration // the last of them, oldest first
	left    int             // measurements of the beginning that are still to do
	nextRTT time.Time
	calm    bool  // a look at payload was taken for the next measurement
	payload int64 // what it was
	quick   bool
}

// probe is a ping whose way and back is measured.
type probe struct {
	token   uint64
	at      time.Time
	payload int64
}

// patience remembers how much silence is allowed to whom fell silent before. It is
// owned by the loop.
type patience map[netip.AddrPort]time.Duration

func (p patience) allowed(ap netip.AddrPort) time.Duration { return max(p[ap], lostAfter) }

// lost doubles the next allowance. At most maxKnown addresses are remembered.
func (p patience) lost(ap netip.AddrPort) {
	next := min(2*p.allowed(ap), lostAtMost)
	if _, ok := p[ap]; !ok && len(p) >= maxKnown {
		for old := range p {
			delete(p, old)
			break
		}
	}
	p[ap] = next
}

// address is where a peer is dialled, or what is known of it.
func (l *link) address() netip.AddrPort {
	if l.listenAddr.IsValid() {
		return l.listenAddr
	}
	return l.remote
}

// livePulse looks after all peers that speak our extension.
func (n *Node) livePulse(now time.Time) {
	gap := now.Sub(n.pulsed)
	late := n.pulsed.IsZero() || gap < 0 || gap > tick+lateness
	n.pulsed = now
	for _, it := range n.items {
		for _, l := range it.links {
			if l.tap != nil && l.greeted.Load() && !l.closed && !l.life.ended {
				n.live(l, now, late)
			}
		}
	}
}

// live notes what a peer said and did not say. late: this node stood still, and
// nobody's silence counts.
func (n *Node) live(l *link, now time.Time, late bool) {
	v := &l.life
	in, out := l.tap.vital.in.Load(), l.tap.vital.out.Load()
	if !v.begun {
		v.begun, v.wellSince, v.saidAt, late = true, now, now, true
	}
	if in != v.in || late || !l.tap.vital.reading.Load() {
		v.heardAt, v.askedAt = now, time.Time{}
	}
	v.owes = (v.owes || in != v.in) && out == v.out
	if out != v.out {
		v.saidAt = now
	}
	v.in, v.out = in, out
	if v.owes && now.Sub(v.saidAt) >= quietAfter*time.Duration(n.slack(l)) {
		v.saidAt, v.owes = now, false
		n.pongTo(l, make([]byte, tokenSize))
	}
	n.measure(l, now)
	ask, lost := n.allowance(l)
	silence := now.Sub(v.heardAt)
	if ask > 0 && silence >= ask {
		// Of a message that is not whole yet the system may have more than was read.
		if _, since, ok := l.tap.gauge.info(); ok && since < silence {
			v.heardAt, silence = now.Add(-since), since
		}
	}
	if silence >= lostAfter {
		v.wellSince = now
	} else if now.Sub(v.wellSince) >= healthy {
		delete(n.patience, l.address())
	}
	switch {
	case ask == 0 || silence < ask:
	case v.askedAt.IsZero():
		v.askedAt = now
		n.ping(l)
	case silence >= lost && now.Sub(v.askedAt) >= lost-ask:
		v.ended = true
		n.patience.lost(l.address())
		l.item.book.lost(l.listenAddr, now)
		n.log.Info("peer fell silent, connecting anew", "peer", l.remote, "torrent", l.item.hash, "silence", silence.Round(time.Second))
		l.pc.Close()
	}
}

// allowance returns after how much silence a peer is asked for a sign of life, and
// after how much it is given up; zeros when nothing depends on it. Two complete
// peers have nothing to wait for.
func (n *Node) allowance(l *link) (ask, lost time.Duration) {
	it := l.item
	switch {
	case it.gossip != nil:
		return gossipSilentAfter, max(gossipLostAfter, n.patience.allowed(l.address()))
	case it.state == StateFailed:
		return 0, 0
	case it.state == StateSeeding && (it.grants == nil || !it.haves[l.id] || it.grants.Leechers() == 0):
		return 0, 0
	}
	k := time.Duration(n.slack(l))
	return k * silentAfter, k * n.patience.allowed(l.address())
}

// slack is how many times as long a peer may be silent: beyond the border of a site there
// are many of whom nothing is awaited, and signs of life must not fill what joins the sites.
func (n *Node) slack(l *link) int {
	if l.item.gossip != nil || l.item.grants != nil || l.origin.Load() || Tier(l.tier.Load()) <= TierSite || l.asked.Load() > 0 {
		return 1
	}
	return farSlack
}

// moved is the payload of a connection so far, both ways. It takes the client's
// lock.
func (l *link) moved() int64 {
	stats := l.pc.Stats()
	return l.received.Load() + stats.BytesWrittenData.Int64()
}

// greetPings begins the measurements of a new connection. Where they decide nothing, one
// will do, when the first rush is over.
func (n *Node) greetPings(l *link) {
	if l.item.gossip == nil && Tier(l.tier.Load()) <= TierLink {
		l.life.nextRTT = n.cfg.Now().Add(rttLater)
		return
	}
	l.life.left = rttSamples
	n.ping(l)
}

// unmeasured ends the measurements of the beginning where they decide nothing after all:
// both sides name their site.
func (n *Node) unmeasured(l *link) {
	if l.life.left > 0 && n.site != "" && n.siteOf(l) != "" {
		l.life.left, l.life.nextRTT = 0, n.cfg.Now().Add(rttEvery)
	}
}

// measure sends a ping when a measurement is due and no payload has moved since
// the last look.
func (n *Node) measure(l *link, now time.Time) {
	v := &l.life
	if v.left == 0 && now.Before(v.nextRTT) || v.probe.token != 0 && now.Sub(v.probe.at) < rttEvery {
		return
	}
	payload := l.moved()
	if v.calm && payload == v.payload {
		v.calm = false
		n.ping(l)
		return
	}
	v.calm, v.payload = true, payload
}

// ping asks a peer for a sign of life. The token cannot be guessed, so that a peer
// cannot answer before it has been asked.
func (n *Node) ping(l *link) {
	now := n.cfg.Now()
	l.life.probe = probe{token: n.cfg.Rand.Uint64() | 1, at: now, payload: l.moved()}
	l.life.nextRTT = now.Add(rttEvery)
	n.eng.send(l, extSwarm, binary.BigEndian.AppendUint64([]byte{kindPing}, l.life.probe.token))
}

// pongTo answers, or gives a sign of life unasked. Nothing is queued for a peer that
// does not read.
func (n *Node) pongTo(l *link, body []byte) {
	if l.affords(1 + len(body)) {
		n.eng.send(l, extSwarm, append([]byte{kindPong}, body...))
	}
}

// pinged answers a ping, unless they come too often.
func (n *Node) pinged(l *link, body []byte) error {
	if _, err := parseToken(body); err != nil {
		return err
	}
	if l.pingIn == nil {
		l.pingIn = rate.NewLimiter(pingRate, pingBurst)
	}
	if l.pingIn.AllowN(n.cfg.Now(), 1) {
		n.pongTo(l, body)
	}
	return nil
}

// ponged takes the answer to a ping, which came at a time. One that was not asked
// for is a sign of life, and that has been noted with its bytes.
func (n *Node) ponged(l *link, body []byte, at time.Time) error {
	token, err := parseToken(body)
	v := &l.life
	if err != nil || token == 0 || token != v.probe.token || l.closed {
		return err
	}
	p := v.probe
	v.probe = probe{}
	if rtt := at.Sub(p.at); rtt >= 0 && l.moved() == p.payload {
		n.sample(l, rtt)
		if v.left = max(0, v.left-1); v.left > 0 {
			n.ping(l)
		}
	}
	return nil
}

// sample enters a measured round trip, and finds the tier anew when the peer has
// become quick, or is no longer.
func (n *Node) sample(l *link, rtt time.Duration) {
	v := &l.life
	v.samples = append(v.samples, rtt)
	if len(v.samples) > rttSamples {
		v.samples = v.samples[1:]
	}
	l.rtt = median(v.samples)
	before := v.quick
	switch {
	case len(v.samples) == rttSamples && l.rtt < siteWithin:
		v.quick = true
	case l.rtt > farBeyond:
		v.quick = false
	}
	if v.quick != before {
		n.retier(l)
	}
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}

// parseToken reads the body of a ping or pong.
func parseToken(body []byte) (uint64, error) {
	if len(body) != tokenSize {
		return 0, fmt.Errorf("%w: ping or pong of %d bytes", errWire, len(body))
	}
	return binary.BigEndian.Uint64(body), nil
}
