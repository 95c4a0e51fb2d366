package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"handful/swarm/feed"
)

// Status is what a node is doing; the lines of its items follow it.
type Status struct {
	Node       string `json:"node"` // the verb it was started with: "serve", "publish", "fetch"; empty: none runs
	PID        int    `json:"pid,omitempty"`
	StateDir   string `json:"state_dir"`
	Addr       string `json:"addr,omitempty"`    // HOST:PORT
	Tracker    string `json:"tracker,omitempty"` // URL of the embedded tracker
	Since      string `json:"since,omitempty"`   // RFC 3339
	Peers      int    `json:"peers"`
	DownRate   int64  `json:"down_rate"`  // bytes a second
	UpRate     int64  `json:"up_rate"`    // bytes a second
	Downloaded int64  `json:"downloaded"` // payload bytes of all time
	Uploaded   int64  `json:"uploaded"`   // payload bytes of all time
	Items      int    `json:"items"`
}

// Item is one torrent that a node has: published or fetched.
type Item struct {
	Link      string `json:"link"` // handful:…, or the magnet of a torrent without a channel
	Channel   string `json:"channel,omitempty"`
	Writer    string `json:"writer,omitempty"`
	Index     int64  `json:"index"`
	Name      string `json:"name"`
	Title     string `json:"title,omitempty"`
	Infohash  string `json:"infohash"`
	Bytes     int64  `json:"bytes"`
	Files     int    `json:"files"`
	Path      string `json:"path"`
	State     string `json:"state"` // seeding, fetching, checking, waiting, withdrawn, changed, stopped
	Done      int64  `json:"done"`  // verified bytes
	Peers     int    `json:"peers"`
	DownRate  int64  `json:"down_rate"`
	UpRate    int64  `json:"up_rate"`
	Uploaded  int64  `json:"uploaded"`
	Published string `json:"published,omitempty"` // RFC 3339

	Received *Received `json:"received,omitempty"` // since the node started
	Wasted   int64     `json:"wasted,omitempty"`   // the same
	Granted  *Shared   `json:"granted,omitempty"`  // of an origin's
}

// Offer is something that is on offer on the local network.
type Offer struct {
	Link      string `json:"link"`
	Channel   string `json:"channel"`
	Writer    string `json:"writer"`
	Index     int64  `json:"index"` // of the newest entry
	Name      string `json:"name,omitempty"`
	Title     string `json:"title,omitempty"`
	Bytes     int64  `json:"bytes,omitempty"`
	Peer      string `json:"peer"` // HOST:PORT
	Interface string `json:"interface"`
	Time      string `json:"time"` // when it was signed, RFC 3339
}

// Verified is the end of a check of what is on disk.
type Verified struct {
	Path     string   `json:"path"`
	Bytes    int64    `json:"bytes"`
	Files    int      `json:"files"`
	Verified bool     `json:"verified"`
	Bad      []string `json:"bad"` // paths of files that are not what was published, at most 100
	BadFiles int      `json:"bad_files"`
}

// Withdrawn says that an entry is no longer offered and asks others to drop it.
type Withdrawn struct {
	Link   string `json:"link"`
	Name   string `json:"name"`
	Index  int64  `json:"index"` // of the entry that withdraws it
	Reason string `json:"reason,omitempty"`
}

// Key is the public side of a channel's keys.
type Key struct {
	Channel string `json:"channel"` // the id
	Name    string `json:"name"`    // what -c calls it
	Link    string `json:"link"`
	Path    string `json:"path"` // directory of the private keys
	Root    string `json:"root,omitempty"`
	Online  string `json:"online,omitempty"`
	DHT     string `json:"dht,omitempty"` // public keys, base64
}

// Exported says that private keys were written or taken in.
type Exported struct {
	Channel string   `json:"channel"`
	Path    string   `json:"path"`
	Import  bool     `json:"import,omitempty"`
	Moved   bool     `json:"moved,omitempty"` // they are no longer here
	Keys    []string `json:"keys,omitempty"`  // private ones: root, head, targets, dht
}

// Plan is what a dry run would have done.
type Plan struct {
	Action      string `json:"action"` // publish, fetch, withdraw, import
	Name        string `json:"name"`
	Path        string `json:"path,omitempty"`
	Bytes       int64  `json:"bytes"`
	Files       int    `json:"files"`
	Format      string `json:"format,omitempty"` // hybrid, v2, v1
	PieceLength int64  `json:"piece_length,omitempty"`
	Pieces      int    `json:"pieces,omitempty"`
	Infohash    string `json:"infohash,omitempty"`
}

// Version is the build.
type Version struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Control  int    `json:"control"` // version of the control protocol
}

func (Status) Type() string    { return "status" }
func (Item) Type() string      { return "item" }
func (Offer) Type() string     { return "offer" }
func (Verified) Type() string  { return "verified" }
func (Withdrawn) Type() string { return "withdrawn" }
func (Key) Type() string       { return "key" }
func (Exported) Type() string  { return "exported" }
func (Plan) Type() string      { return "plan" }
func (Version) Type() string   { return "version" }

func (l Status) Show(now time.Time) (string, string) {
	if l.Node == "" {
		return fmt.Sprintf("no node runs for %s · %s", Clean(l.StateDir), count(l.Items, "item")), ""
	}
	s := fmt.Sprintf("running    %s (pid %d)", Clean(l.Node), l.PID)
	if since, err := time.Parse(time.RFC3339, l.Since); err == nil {
		s += " for " + Span(now.Sub(since))
	}
	s += "\nlistening  " + Clean(l.Addr)
	if l.Tracker != "" {
		s += " · tracker " + Clean(l.Tracker)
	}
	return s + fmt.Sprintf("\nmoving     down %s, up %s, %s\nmoved      %s down, %s up · %s", Speed(l.DownRate), Speed(l.UpRate),
		count(l.Peers, "peer"), Bytes(l.Downloaded), Bytes(l.Uploaded), count(l.Items, "item")), ""
}

func (l Item) Show(time.Time) (string, string) {
	name := Clean(l.Name)
	if l.Title != "" {
		name += " · " + Clean(l.Title)
	}
	s := fmt.Sprintf("%-9s  %s  %s, %s", Clean(l.State), name, Bytes(l.Bytes), count(l.Files, "file"))
	if l.Done < l.Bytes && l.Bytes > 0 {
		s += fmt.Sprintf(", %.1f%%", 100*float64(l.Done)/float64(l.Bytes))
	}
	if l.Peers > 0 || l.UpRate > 0 || l.DownRate > 0 {
		s += fmt.Sprintf(", down %s, up %s, %s", Speed(l.DownRate), Speed(l.UpRate), count(l.Peers, "peer"))
	}
	if l.Uploaded > 0 {
		s += ", " + Bytes(l.Uploaded) + " given"
	}
	if l.Received != nil && l.Received.Sum() > 0 {
		s += "\n           " + l.Received.text()
		if l.Wasted > 0 {
			s += ", " + Bytes(l.Wasted) + " wasted"
		}
	}
	if shared := l.Granted.text(); shared != "" {
		s += "\n           " + shared
	}
	s += "\n           " + Clean(l.Link)
	if l.Path != "" {
		s += "\n           " + Clean(l.Path)
	}
	return s, ""
}

func (l Offer) Show(time.Time) (string, string) {
	name := l.Title
	if l.Name != "" {
		name = strings.TrimPrefix(name+" · "+l.Name, " · ")
	}
	if name == "" {
		name = "(unnamed)"
	}
	if l.Bytes > 0 {
		name += "  " + Bytes(l.Bytes)
	}
	return fmt.Sprintf("%s\n           from %s on %s, signed %s\n           %s", Clean(name), Clean(l.Peer), Clean(l.Interface), Clean(l.Time), Clean(l.Link)), ""
}

func (l Verified) Show(time.Time) (string, string) {
	if l.Verified {
		return Clean(l.Path), fmt.Sprintf("verified   %s, %s", Bytes(l.Bytes), count(l.Files, "file"))
	}
	var b strings.Builder
	for _, path := range l.Bad {
		fmt.Fprintf(&b, "differs    %s\n", Clean(path))
	}
	if more := l.BadFiles - len(l.Bad); more > 0 {
		fmt.Fprintf(&b, "           and %d more\n", more)
	}
	return strings.TrimSuffix(b.String(), "\n"), ""
}

func (l Withdrawn) Show(time.Time) (string, string) {
	return Clean(l.Link), "withdrawn  " + feed.Sanitize(l.Name, feed.Layout{OneLine: true, Width: 72}) + ": others are asked to drop it; who has it may keep it"
}

func (l Key) Show(time.Time) (string, string) {
	s := fmt.Sprintf("channel    %s (%s)\nlink       %s\nkeys       %s", Clean(l.Channel), Clean(l.Name), Clean(l.Link), Clean(l.Path))
	for _, k := range []struct{ role, key string }{{"root", l.Root}, {"online", l.Online}, {"dht", l.DHT}} {
		if k.key != "" {
			s += fmt.Sprintf("\n  %-8s %s", k.role, Clean(k.key))
		}
	}
	return s, ""
}

func (l Exported) Show(time.Time) (string, string) {
	keys := Clean(strings.Join(l.Keys, ", "))
	switch {
	case l.Import:
		return Clean(l.Channel), "imported   the private keys are in " + Clean(l.Path)
	case l.Moved:
		return "", "moved      the key " + keys + " of " + Clean(l.Channel) + " is in " + Clean(l.Path) + " and no longer here: whoever reads that file owns the channel"
	case len(l.Keys) == 0:
		return "", "exported   the documents of " + Clean(l.Channel) + " are in " + Clean(l.Path) + ", and no private key, since none is here"
	}
	can := "can mislead your followers"
	switch {
	case slices.Contains(l.Keys, "root"):
		can = "owns the channel"
	case slices.Contains(l.Keys, "head"):
		can = "can publish as you"
	case slices.Contains(l.Keys, "targets"):
		can = "can let others publish in it"
	}
	return "", "exported   the private keys (" + keys + ") of " + Clean(l.Channel) + " are in " + Clean(l.Path) + ": whoever reads that file " + can
}

func (l Plan) Show(time.Time) (string, string) {
	s := fmt.Sprintf("would %s %s: %s, %s", Clean(l.Action), Clean(l.Name), Bytes(l.Bytes), count(l.Files, "file"))
	if l.Pieces > 0 {
		s += fmt.Sprintf(", %s, %s of %s", Clean(l.Format), count(l.Pieces, "piece"), Bytes(l.PieceLength))
	}
	if l.Path != "" {
		s += ", to " + Clean(l.Path)
	}
	return s + " (dry run, nothing written)", ""
}

func (l Version) Show(time.Time) (string, string) {
	s := l.Version
	if l.Commit != "" {
		s += " (" + l.Commit + ")"
	}
	return s + " " + l.Go + " " + l.Platform, ""
}
