package console

import (
	"fmt"
	"strings"
	"time"
)

// TryPeer is one peer of `seed try`, when it has verified everything.
type TryPeer struct {
	Peer     int      `json:"peer"` // from 1
	Bytes    int64    `json:"bytes"`
	Seconds  float64  `json:"seconds"`
	Verified bool     `json:"verified"`
	Received Received `json:"received"` // counted at the connections
	Wasted   int64    `json:"wasted"`   // received twice or not good
	Uploaded int64    `json:"uploaded"`
}

// AddsUp reports whether every byte is accounted for: what was received is what
// was wanted and what was wasted.
func (l TryPeer) AddsUp() bool { return l.Received.Sum() == l.Bytes+l.Wasted }

// TryTotal is the end of `seed try`.
type TryTotal struct {
	Peers   int     `json:"peers"`
	Bytes   int64   `json:"bytes"`   // of the content
	Origin  int64   `json:"origin"`  // sent by the origin to all peers
	Copies  float64 `json:"copies"`  // Origin / Bytes
	Seconds float64 `json:"seconds"` // until the last peer was done
	AddsUp  bool    `json:"adds_up"`
}

func (TryPeer) Type() string  { return "try_peer" }
func (TryTotal) Type() string { return "try" }

// TryHeader is the table's first line, for a person.
func TryHeader() string {
	return fmt.Sprintf("%-5s %11s %s %9s", "peer", "received", columns("origin", "host", "link", "site", "far", "wasted", "uploaded"), "seconds")
}

func columns(words ...string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%11s", w)
	}
	return b.String()
}

func (l TryPeer) Show(time.Time) (string, string) {
	r := l.Received
	return fmt.Sprintf("%-5d %11s %s %9.2f", l.Peer, Bytes(r.Sum()),
		columns(Bytes(r.Origin), Bytes(r.Host), Bytes(r.Link), Bytes(r.Site), Bytes(r.Far), Bytes(l.Wasted), Bytes(l.Uploaded)), l.Seconds), ""
}

func (l TryTotal) Show(time.Time) (string, string) {
	sum := "every byte is accounted for"
	if !l.AddsUp {
		sum = "the table does NOT add up"
	}
	return fmt.Sprintf("%s verified %s in %s; the origin sent %s, %.2f copies; %s",
		count(l.Peers, "peer"), Bytes(l.Bytes), Span(time.Duration(l.Seconds*float64(time.Second))), Bytes(l.Origin), l.Copies, sum), ""
}
