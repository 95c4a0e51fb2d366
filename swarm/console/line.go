package console

import (
	"fmt"
	"strings"
	"time"

	"handful/swarm/feed"
)

// A Line is one thing that a command has to say. Its JSON members are its
// exported fields; Print adds "type" before them.
type Line interface {
	// Type is the value of "type".
	Type() string
	// Show returns what a person reads: the result, for stdout, and the remark,
	// for stderr. Either may be empty or have several lines; neither ends in a
	// line break. Whatever comes from elsewhere has passed Clean.
	Show(now time.Time) (result, remark string)
}

// Listening says where peers can reach the node. Real addresses: a port of 0
// that was asked for is never printed.
type Listening struct {
	Addr    string `json:"addr"`              // HOST:PORT
	Tracker string `json:"tracker,omitempty"` // URL of the embedded tracker
}

// Published is printed as soon as a peer could fetch.
type Published struct {
	Channel    string `json:"channel"` // 40 characters
	Writer     string `json:"writer"`
	Index      int64  `json:"index"`
	Link       string `json:"link"`
	Magnet     string `json:"magnet"`
	Infohash   string `json:"infohash"`              // v1, hex; of a v2-only torrent the v2 infohash cut to 20 bytes
	InfohashV2 string `json:"infohash_v2,omitempty"` // hex
	Bytes      int64  `json:"bytes"`
	Files      int    `json:"files"`
	Torrent    string `json:"torrent"` // path of the metainfo on disk
}

// Progress is a moment of a long step. Print thins it out; report it as often as
// there is news.
type Progress struct {
	Stage    string `json:"stage,omitempty"` // "hash", "check", "decrypt"; empty while bytes are fetched
	Done     int64  `json:"done"`            // bytes
	Total    int64  `json:"total"`           // bytes; 0 while it is not known
	DownRate int64  `json:"down_rate"`       // bytes a second
	UpRate   int64  `json:"up_rate"`         // bytes a second
	Peers    int    `json:"peers"`

	// Name is what the total bar is called. Not in JSON.
	Name string `json:"-"`
	// Files are the unfinished files in the order of interest, for bars; at most
	// five are drawn. Not in JSON.
	Files []FileProgress `json:"-"`
	// MoreFiles is how many unfinished files there are beyond Files.
	MoreFiles int `json:"-"`
}

// FileProgress is one file's bar.
type FileProgress struct {
	Name        string
	Done, Total int64 // bytes
}

// Received is where payload bytes came from, by tier.
type Received struct {
	Host    int64 `json:"host"`
	Link    int64 `json:"link"`
	Site    int64 `json:"site"`
	Far     int64 `json:"far"`
	Origin  int64 `json:"origin"`
	Webseed int64 `json:"webseed"`
	Reused  int64 `json:"reused"` // valid on disk before this run
}

// Sum is all that came over connections: without Reused.
func (r Received) Sum() int64 { return r.Host + r.Link + r.Site + r.Far + r.Origin + r.Webseed }

// Done says that everything is verified and stands under its final name.
type Done struct {
	Path     string   `json:"path"`
	Bytes    int64    `json:"bytes"`
	Seconds  float64  `json:"seconds"`
	Verified bool     `json:"verified"`
	Received Received `json:"received"`
	Wasted   int64    `json:"wasted"`
	Uploaded int64    `json:"uploaded"`
	Link     string   `json:"link,omitempty"` // of the entry, where a followed channel said it
}

// Seeding says that the node stays and until when. Without Until it stays until
// it is stopped; Ratio is the second limit, 0 = none.
type Seeding struct {
	Until string  `json:"until,omitempty"` // RFC 3339
	Ratio float64 `json:"ratio,omitempty"`
	Node  bool    `json:"node,omitempty"` // a running `serve` goes on with it, this command ends
}

// Entry is one entry of a channel as a follower sees it.
type Entry struct {
	Channel string `json:"channel"`
	Writer  string `json:"writer"`
	Index   int64  `json:"index"`
	Kind    string `json:"kind"`
	Title   string `json:"title"`
	Text    string `json:"text"`
	Time    string `json:"time"`  // RFC 3339
	State   string `json:"state"` // fresh, late, unconfirmed, forked, withdrawn
}

// Error is the last line of a command that failed.
type Error struct {
	Code    ExitCode `json:"code"`
	Message string   `json:"message"`
	Hint    string   `json:"hint"`
}

// Warning is something to know that does not end the command.
type Warning struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Note is a remark, of no use to programs.
type Note struct {
	Message string `json:"message"`
}

func (Listening) Type() string { return "listening" }
func (Published) Type() string { return "published" }
func (Progress) Type() string  { return "progress" }
func (Done) Type() string      { return "done" }
func (Seeding) Type() string   { return "seeding" }
func (Entry) Type() string     { return "entry" }
func (Error) Type() string     { return "error" }
func (Warning) Type() string   { return "warning" }
func (Note) Type() string      { return "note" }

func (l Listening) Show(time.Time) (string, string) {
	s := "listening  " + Clean(l.Addr)
	if l.Tracker != "" {
		s += " · tracker " + Clean(l.Tracker)
	}
	return "", s
}

func (l Published) Show(time.Time) (string, string) {
	return Clean(l.Link), fmt.Sprintf("published  %s, %s", Bytes(l.Bytes), count(l.Files, "file"))
}

func (l Progress) Show(time.Time) (string, string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-9s  %s", stageName(l.Stage), Bytes(l.Done))
	if l.Total > 0 {
		fmt.Fprintf(&b, " of %s, %.1f%%", Bytes(l.Total), 100*float64(l.Done)/float64(l.Total))
	}
	if l.Stage == "" {
		fmt.Fprintf(&b, ", down %s, up %s, %s", Speed(l.DownRate), Speed(l.UpRate), count(l.Peers, "peer"))
	} else if l.DownRate > 0 {
		b.WriteString(", " + Speed(l.DownRate))
	}
	return "", b.String()
}

func stageName(stage string) string {
	switch stage {
	case "":
		return "fetching"
	case "hash":
		return "hashing"
	case "check":
		return "checking"
	case "decrypt":
		return "decrypting"
	}
	return Clean(stage)
}

func (l Done) Show(time.Time) (string, string) {
	verified := "NOT verified"
	if l.Verified {
		verified = "verified"
	}
	s := fmt.Sprintf("done       %s in %s, %s", Bytes(l.Bytes), Span(time.Duration(l.Seconds*float64(time.Second))), verified)
	if from := l.Received.text(); from != "" {
		s += " · " + from
	}
	if l.Wasted > 0 {
		s += " · " + Bytes(l.Wasted) + " wasted"
	}
	return Clean(l.Path), s
}

func (r Received) text() string {
	var parts []string
	for _, p := range []struct {
		n    int64
		name string
	}{{r.Host, "this host"}, {r.Link, "this network"}, {r.Site, "this site"}, {r.Far, "far"}, {r.Origin, "the origin"}, {r.Webseed, "web seeds"}, {r.Reused, "what was on disk"}} {
		if p.n > 0 {
			parts = append(parts, Bytes(p.n)+" from "+p.name)
		}
	}
	return strings.Join(parts, ", ")
}

func (l Seeding) Show(now time.Time) (string, string) {
	if l.Node {
		return "", "seeding    goes on in the node that is already running"
	}
	until, err := time.Parse(time.RFC3339, l.Until)
	ratio := ""
	if l.Ratio > 0 {
		ratio = fmt.Sprintf(" or until %.2g copies are given back", l.Ratio)
	}
	if err != nil {
		return "", "seeding    until Ctrl-C" + ratio
	}
	return "", fmt.Sprintf("seeding    for %s more, until %s%s (Ctrl-C stops now; --seed-for 0 next time)",
		Span(until.Sub(now)), until.In(now.Location()).Format("15:04:05"), ratio)
}

func (l Entry) Show(time.Time) (string, string) {
	s := fmt.Sprintf("%s/%s/%d  %s  %s", Clean(l.Channel), Clean(l.Writer), l.Index, Clean(l.Time), Clean(l.State))
	const indent = "    "
	if l.Title != "" {
		s += "\n" + indent + feed.Sanitize(l.Title, feed.Layout{OneLine: true})
	}
	if l.Text != "" {
		s += "\n" + indent + feed.Sanitize(l.Text, feed.Layout{Indent: indent})
	}
	return s, ""
}

// Show is empty: App prints errors with the binary's name before them.
func (l Error) Show(time.Time) (string, string) { return "", "" }

func (l Warning) Show(time.Time) (string, string) {
	s := "warning: " + Clean(l.Message)
	if l.Hint != "" {
		s += " (" + Clean(l.Hint) + ")"
	}
	return "", s
}

func (l Note) Show(time.Time) (string, string) { return "", Clean(l.Message) }
