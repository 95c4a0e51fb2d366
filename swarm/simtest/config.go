package simtest

import (
	"fmt"
	"time"
)

// Case is what happens to the swarm.
type Case string

// The cases; see the package documentation.
const (
	Flash    Case = "flash"
	Arrivals Case = "arrivals"
	Churn    Case = "churn"
	SlowSite Case = "slow-site"
	SlowPeer Case = "slow-peer"
	Dead     Case = "dead"
	Liars    Case = "liars"
	Foreign  Case = "foreign"
)

// Cases are all of them.
var Cases = []Case{Flash, Arrivals, Churn, SlowSite, SlowPeer, Dead, Liars, Foreign}

// Config describes a run. The zero value of a field means the default that is named.
type Config struct {
	Case       Case          // Flash
	Seed       uint64        // of all randomness
	Peers      int           // leechers; 10 000
	Sites      int           // that they are spread over evenly; 200
	Rate       int64         // uplink of each leecher, bit/s; 10 Mbit/s
	Link       int64         // border of each site, each direction, bit/s; 100 Mbit/s
	OriginRate int64         // uplink of the origin, bit/s; 100 Mbit/s
	Size       int64         // bytes of content; 64 MiB
	Piece      int64         // piece length, bytes; 128 KiB
	Interval   time.Duration // between two arrivals; 1 s
	Handful    int           // leechers that the origin serves in any one second; policy's
	Ring       int           // leechers that the tracker hands the origin to; 48
	Plain      bool          // no turns among leechers: everything is seen as claimed

	Overhead float64       // of headers, as a part of the payload; 0.046
	Near     time.Duration // latency of a message inside a site; 30 ms
	Far      time.Duration // the same across a border; 50 ms
}

func (c Config) withDefaults() (Config, error) {
	c.Case = or(c.Case, Flash)
	c.Peers, c.Sites = or(c.Peers, 10000), or(c.Sites, 200)
	c.Rate, c.Link, c.OriginRate = or(c.Rate, 10e6), or(c.Link, 100e6), or(c.OriginRate, 100e6)
	c.Size, c.Piece = or(c.Size, 64<<20), or(c.Piece, 128<<10)
	c.Interval, c.Ring = or(c.Interval, time.Second), or(c.Ring, 48)
	c.Overhead = or(c.Overhead, 0.046)
	c.Near, c.Far = or(c.Near, 30*time.Millisecond), or(c.Far, 50*time.Millisecond)
	switch {
	case c.Peers < 1 || c.Sites < 1 || c.Sites > c.Peers:
		return c, fmt.Errorf("simulate %d peers in %d sites: at least one peer a site", c.Peers, c.Sites)
	case c.Rate < 1000 || c.Link < 1000 || c.OriginRate < 1000:
		return c, fmt.Errorf("simulate at %d, %d and %d bit/s: at least 1000 each", c.Rate, c.Link, c.OriginRate)
	case c.Piece < blockSize || c.Piece > 64*blockSize || c.Piece%blockSize != 0:
		return c, fmt.Errorf("simulate pieces of %d bytes: a multiple of 16 KiB, up to 1 MiB", c.Piece)
	case c.Size < c.Piece || c.Size%c.Piece != 0:
		return c, fmt.Errorf("simulate %d bytes in pieces of %d: whole pieces only", c.Size, c.Piece)
	}
	for _, known := range Cases {
		if c.Case == known {
			return c, nil
		}
	}
	return c, fmt.Errorf("simulate %q: the cases are %v", c.Case, Cases)
}

func or[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}

// pieces is the number of pieces.
func (c Config) pieces() int { return int(c.Size / c.Piece) }

// blockTime is how long a block with its headers takes on a line of a rate in bit/s.
func (c Config) blockTime(rate int64) time.Duration {
	return time.Duration(blockSize * 8 * (1 + c.Overhead) / float64(rate) * float64(time.Second))
}
