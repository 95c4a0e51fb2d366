package swarm

import (
	"encoding/hex"
	"net/netip"
	"time"

	"handful/swarm/policy"
)

// Infohash is the 20 bytes under which a torrent is known on the wire: SHA-1 of
// the info dict, or the first 20 bytes of its SHA-256 when it is v2-only.
type Infohash [20]byte

// String returns 40 hexadecimal digits.
func (h Infohash) String() string { return hex.EncodeToString(h[:]) }

// Tier says how near a peer is; lower is nearer, and the origin is last wherever
// it stands.
type Tier uint8

// The tiers, nearest first. Web seeds count apart.
const (
	TierHost Tier = iota
	TierLink
	TierSite
	TierFar
	TierOrigin
	TierWebSeed
	numTiers
)

var tierNames = [numTiers]string{"host", "link", "site", "far", "origin", "webseed"}

// String returns the tier's name as it stands in JSON.
func (t Tier) String() string { return tierNames[min(t, numTiers-1)] }

// Received counts payload bytes by the tier that they came from.
type Received [numTiers]int64

// Total returns the bytes of all tiers.
func (r Received) Total() (n int64) {
	for _, v := range r {
		n += v
	}
	return n
}

// State is where an Item stands; see the package documentation.
type State string

// The states of an Item, in order.
const (
	StateMetadata  State = "metadata"
	StateLayers    State = "layers"
	StateChecking  State = "checking"
	StateFetching  State = "fetching"
	StateFinishing State = "finishing"
	StateSeeding   State = "seeding"
	StateFailed    State = "failed"
)

// An Event tells what happened to an item. Err is set when something went wrong.
type Event struct {
	Kind     EventKind
	Infohash Infohash
	State    State  // for EventState
	Peer     string // for EventBanned: "ip:port (client name)"
	Piece    int    // for EventBanned
	Err      error
}

// EventKind says what an Event is about.
type EventKind uint8

// The kinds of events.
const (
	EventState   EventKind = iota // an item entered State
	EventBanned                   // Peer sent wrong bytes of Piece and was dropped
	EventChanged                  // a source file changed; the item is no longer served
	EventTracker                  // a tracker failed, Err says how
)

// PeerSnapshot is one connection of an item.
type PeerSnapshot struct {
	Addr     string
	Client   string // as the peer names itself; not to be trusted
	ID       string // its peer id, quoted
	Tier     Tier
	Ours     bool          // speaks our extension
	RTT      time.Duration // median of the last round trips while idle; 0: not measured
	Received int64
	Uploaded int64
}

// ItemSnapshot is an item at one moment.
type ItemSnapshot struct {
	Infohash Infohash
	Name     string
	State    State
	Origin   bool
	Private  bool  // BEP 27: only its trackers may know of it
	Pieces   int   // 0 until the metadata is known
	Bytes    int64 // payload; 0 until the metadata is known
	Done     int64 // verified payload
	Reused   int64 // payload that was on disk and verified at the start
	Received Received
	Wasted   int64 // received, but twice or wrong
	Uploaded int64
	DownRate float64 // bytes/s, smoothed
	UpRate   float64
	Peers    []PeerSnapshot
	Known    int // addresses known, connected or not
	Path     string
	// LastProgress is when the item last got closer to completion, or was added.
	LastProgress time.Time
	Err          error
	// Granted is how an origin has shared the torrent out; nil for others.
	Granted *policy.GrantSummary
}

// Snapshot is the node at one moment.
type Snapshot struct {
	Listen []netip.AddrPort
	Items  []ItemSnapshot
}
