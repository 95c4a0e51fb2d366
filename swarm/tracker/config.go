package tracker

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// DefaultInterval is how often a peer is asked to announce again.
const DefaultInterval = 10 * time.Minute

// expirySlack is added to two intervals before a silent peer is forgotten: time
// for a slow client's retry.
const expirySlack = time.Minute

// Config says what a Server serves. Its functions are called from many goroutines
// at once, never with a lock held, and should return at once. The zero value
// serves every infohash.
type Config struct {
	// Allowed tells whether an infohash may be announced and scraped here. Others
	// get the failure "unregistered torrent". nil: every infohash.
	Allowed func(infohash [20]byte) bool

	// Self returns where the node's own seed of infohash can be reached by somebody
	// who reached the tracker at local: the origin's addresses. local is invalid
	// when it is unknown. Nothing is returned for what the node does not seed.
	// nil: no origin.
	Self func(infohash [20]byte, local netip.Addr) []netip.AddrPort

	// IsOrigin tells of a peer that announces from addr that it is an origin too,
	// which is handed out last. nil: none is.
	IsOrigin func(addr netip.AddrPort) bool

	// OriginBelow keeps crowds off the origin: an answer that carries this many
	// other peers, or more, does not name it. 0: the origin is always named, last.
	OriginBelow int

	// Foreign is told of UDP packets that are the DHT's, for a node that has both on one
	// port. It must not block, and must not keep b. nil: they are dropped.
	Foreign func(b []byte, from net.Addr)

	// Interval is how long peers are asked to wait between announces, in whole
	// seconds. 0: DefaultInterval.
	Interval time.Duration

	// Limits bound memory and rates; a zero field takes its default.
	Limits Limits

	// Now is the clock. nil: time.Now.
	Now func() time.Time

	// Rand is the source of the connection ids' key and of the seed for shuffling;
	// 64 bytes are read from it by New. nil: crypto/rand.
	Rand io.Reader

	// Logger hears about refusals at debug level. nil: nothing is logged.
	Logger *slog.Logger
}

// Limits bound what strangers can make a Server keep or do. A peer here is one
// address and port in one swarm, about 500 bytes. An address is an IPv4 address or
// an IPv6 /64.
type Limits struct {
	Swarms        int     // infohashes with peers; 0: 4096
	Peers         int     // peers in all swarms together; 0: 65536
	PeersPerSwarm int     // peers in one swarm; 0: 16384
	PeersPerIP    int     // peers that one address may register in all swarms; 0: 1024
	Rate          float64 // announces and scrapes a second from one address; 0: 20
	Burst         int     // how many of them may come at once; 0: 1000
	RatedIPs      int     // addresses whose rate is remembered; 0: 16384
}

func (l Limits) withDefaults() Limits {
	l.Swarms = cmp.Or(max(l.Swarms, 0), 4096)
	l.Peers = cmp.Or(max(l.Peers, 0), 65536)
	l.PeersPerSwarm = cmp.Or(max(l.PeersPerSwarm, 0), 16384)
	l.PeersPerIP = cmp.Or(max(l.PeersPerIP, 0), 1024)
	l.Rate = cmp.Or(max(l.Rate, 0), 20)
	l.Burst = cmp.Or(max(l.Burst, 0), 1000)
	l.RatedIPs = cmp.Or(max(l.RatedIPs, 0), 16384)
	return l
}

func (c Config) withDefaults() Config {
	if c.Allowed == nil {
		c.Allowed = func([20]byte) bool { return true }
	}
	if c.Self == nil {
		c.Self = func([20]byte, netip.Addr) []netip.AddrPort { return nil }
	}
	if c.IsOrigin == nil {
		c.IsOrigin = func(netip.AddrPort) bool { return false }
	}
	if c.Interval <= 0 {
		c.Interval = DefaultInterval
	}
	c.Interval = max(c.Interval.Truncate(time.Second), time.Second)
	c.Limits = c.Limits.withDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// read32 takes a key from the configured randomness. A source that fails is a
// mistake of the program, like a nil map: there is no safe way on.
func (c Config) read32() (key [32]byte) {
	if _, err := io.ReadFull(c.Rand, key[:]); err != nil {
		panic(fmt.Sprintf("tracker: reading Config.Rand: %v", err))
	}
	return key
}

// Stats are counters since the Server was made, and what it holds now.
type Stats struct {
	Swarms, Peers, Seeds int   // held now; Seeds are among Peers, the node's own seed is in neither
	RatedIPs             int   // addresses whose rate is remembered now
	Announces, Scrapes   int64 // answered
	Refused              int64 // announces and scrapes answered with a failure, for whatever reason
	RateLimited          int64 // those among Refused that came too fast
	Unregistered         int64 // announces answered and not registered: too many peers from the address
	Evicted              int64 // peers forgotten to make room
	Expired              int64 // peers forgotten after two silent intervals
	Packets, Dropped     int64 // UDP packets received; those among them that were not answered
}

// Counts is what a scrape tells of one swarm. The node's own seed is counted.
type Counts struct {
	Complete   int // peers that have everything
	Incomplete int // peers that do not
	Downloaded int // completed events heard
}
