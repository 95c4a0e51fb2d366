package swarm

import (
	"crypto/sha256"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/anacrolix/torrent"
	"golang.org/x/time/rate"

	"handful/swarm/policy"
)

// link is one connection to a peer about one torrent.
type link struct {
	id   uint64
	pc   *torrent.PeerConn
	item *Item

	// Written once in the engine's callback before the loop hears of the link.
	remote   netip.AddrPort // the connection's other end
	outgoing bool
	tap      *tap // nil where messages cannot be added
	local    bool // the other end is loopback or an address of our own

	tier     atomic.Uint32 // of Tier; set by the loop, read by the engine's callbacks
	ours     atomic.Bool   // the peer speaks hf_swarm; set in the engine's callback
	origin   atomic.Bool   // the peer says that it is the publisher's seed
	greeted  atomic.Bool   // hello has been sent
	received atomic.Int64  // payload bytes, all of them
	useful   atomic.Int64  // of these, first copies of blocks
	asked    atomic.Int64  // requests without an answer; set in the engine's callbacks
	shaken   atomic.Bool   // the extended handshake was read; set in the engine's callback
	paid     Tier          // what the payload read last was counted for; of the engine's callbacks
	waiting  atomic.Int64  // bytes, with overhead, of what the peer sent and the loop has not seen
	gossiped atomic.Int64  // the same of a gossip's queue

	// mates are the incomplete peers of a far peer's site, of those that this node knows; nil
	// where the site is not known. Set by the loop, read in the engine's callbacks.
	mates atomic.Pointer[[]policy.Key]
	key   policy.Key // in the drawing of turns; constant

	claims  claims // what the peer has, by its own word
	granted claims // what this node, an origin, lets it ask for
	debt    debt

	// Owned by the loop.
	client     string         // as the peer names itself
	listenAddr netip.AddrPort // where others can reach the peer; invalid if unknown
	taken      int64          // bytes that the peer had asked for at the last look
	hello      *hello         // nil until heard
	pex        pexState
	host       hostLink
	closed     bool
	since      time.Time // when it came up
	known      bool      // it is clear what the peer is
	ready      bool      // the peer has the metainfo and its layers
	snub       snub
	partAt     time.Time     // when the last part of a piece layer came
	pexIn      *rate.Limiter // of PEX messages; nil before the first
	hungryIn   *rate.Limiter // of hungry messages; nil before the first
	pingIn     *rate.Limiter // of pings; nil before the first
	life       life
	pace       int64         // bytes/s that its line carries, by its own word; 0: not known
	paceSaid   int64         // the same of this node's line, as it was last told
	rtt        time.Duration // median of the last measurements; 0: none yet
}

// samePeer reports whether two links lead to one peer: by its id and its address,
// since anybody can take another's id.
func (l *link) samePeer(other *link) bool {
	return l.pc.PeerID == other.pc.PeerID && l.remote.Addr() == other.remote.Addr()
}

// count is an item's account of received payload. All fields are written under
// the engine's lock, or by the copier of hostcopy.go, and read by anybody.
type count struct {
	received [numTiers]atomic.Int64
	useful   atomic.Int64 // first copies of blocks
	failed   atomic.Int64 // of these, in pieces that did not verify
}

func (c *count) snapshot() (r Received, wasted int64) {
	for i := range c.received {
		r[i] = c.received[i].Load()
	}
	return r, r.Total() - c.useful.Load() + c.failed.Load()
}

// machineTag hides the machine id from peers of other torrents; see the package
// documentation.
func machineTag(machine string, ih Infohash) [32]byte {
	return sha256.Sum256(append([]byte(machine), ih[:]...))
}
