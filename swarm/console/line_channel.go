package console

import (
	"fmt"
	"strings"
	"time"
)

// Explanation says in words what a document says or changes, before it is signed.
type Explanation struct {
	Channel  string   `json:"channel,omitempty"` // the id, where it is known
	Document string   `json:"document"`          // root or targets
	Version  int64    `json:"version"`
	Text     []string `json:"text"`
}

// Payload is a document that lacks signatures, and the file with the bytes to sign.
type Payload struct {
	Channel  string `json:"channel"`
	Document string `json:"document"` // root or targets
	Version  int64  `json:"version"`
	Path     string `json:"path"`
	// Lacking counts signatures of the document's own keys, LackingBefore those of the root
	// keys of the version before.
	Lacking       int `json:"lacking"`
	LackingBefore int `json:"lacking_before"`
}

// Signature is one that was made, or taken into a document.
type Signature struct {
	Document string `json:"document"` // root or targets
	Version  int64  `json:"version"`
	Key      string `json:"key"`            // key id
	Form     string `json:"form,omitempty"` // of a file that was taken in: raw Ed25519, minisign, …
	Path     string `json:"path,omitempty"` // of a file that was written
}

// Document is one that is in force from now on.
type Document struct {
	Channel  string `json:"channel"`
	Document string `json:"document"` // root or targets
	Version  int64  `json:"version"`
	Expires  string `json:"expires"`           // RFC 3339
	Waiting  bool   `json:"waiting,omitempty"` // no node runs: followers hear of it when the next one does
}

// Writer is somebody who may publish in a channel.
type Writer struct {
	Channel string   `json:"channel"`
	Name    string   `json:"name"`
	Paths   []string `json:"paths"`
	Keys    []string `json:"keys"` // key ids
	Need    int      `json:"need"` // how many of them must sign
	Here    bool     `json:"here"` // a key of it is on this machine
}

// PublicKey is the public half of a key that was made here, as a file.
type PublicKey struct {
	Path string `json:"path"`
	Key  string `json:"key"` // key id
	For  string `json:"for"` // head, targets, dht, or writer NAME
}

// Channel is what a publisher's channel stands on, and what its owner should do next.
type Channel struct {
	Channel        string   `json:"channel"` // the id
	Name           string   `json:"name"`    // what -c calls it
	Title          string   `json:"title,omitempty"`
	Writer         string   `json:"writer"`
	Entries        int64    `json:"entries"` // in the log here
	Signed         int64    `json:"signed"`  // of them under the newest head here
	Root           int64    `json:"root"`    // version
	RootNeed       int      `json:"root_need"`
	RootKeys       int      `json:"root_keys"`
	RootExpires    string   `json:"root_expires,omitempty"`
	Targets        int64    `json:"targets,omitempty"` // version; 0: nobody else writes
	TargetsExpires string   `json:"targets_expires,omitempty"`
	Writers        []string `json:"writers,omitempty"`
	Around         []string `json:"around,omitempty"` // writers whose nodes are in the swarm; left out while no node runs
	Others         int      `json:"others,omitempty"` // connected peers that do not say that they write
	Here           []string `json:"here"`             // private keys on this machine: root, head, targets, dht
	Next           []string `json:"next"`             // what to do, most urgent first
}

// Repaired says how a channel goes on.
type Repaired struct {
	Channel string `json:"channel"`
	Writer  string `json:"writer"`
	Entries int64  `json:"entries"`           // that stay
	Version int64  `json:"version"`           // of the document with the base; 0: nothing was wrong
	Unasked bool   `json:"unasked,omitempty"` // nobody has said what the network holds
}

func (Explanation) Type() string { return "explanation" }
func (Payload) Type() string     { return "payload" }
func (Signature) Type() string   { return "signature" }
func (Document) Type() string    { return "document" }
func (Writer) Type() string      { return "writer" }
func (PublicKey) Type() string   { return "public_key" }
func (Channel) Type() string     { return "channel" }
func (Repaired) Type() string    { return "repaired" }

func (l Explanation) Show(time.Time) (string, string) {
	return cleanLines(l.Text), ""
}

func cleanLines(lines []string) string {
	var out []string
	for _, s := range lines {
		out = append(out, Clean(s))
	}
	return strings.Join(out, "\n")
}

func (l Payload) Show(time.Time) (string, string) {
	s := fmt.Sprintf("sign       version %d of the %s document lacks %s", l.Version, Clean(l.Document), count(l.Lacking, "signature"))
	if l.Version > 1 && l.Document == "root" {
		s += fmt.Sprintf(" of its own keys and %d of those before", l.LackingBefore)
	}
	s += ": sign this file, then seed root add SIGNATURE"
	return Clean(l.Path), s
}

func (l Signature) Show(time.Time) (string, string) {
	s := fmt.Sprintf("signed     version %d of the %s document, by key %.16s", l.Version, Clean(l.Document), Clean(l.Key))
	if l.Form != "" {
		s += " (" + Clean(l.Form) + ")"
	}
	return Clean(l.Path), s
}

func (l Document) Show(time.Time) (string, string) {
	s := fmt.Sprintf("in force   version %d of the %s document, until %s", l.Version, Clean(l.Document), Clean(day(l.Expires)))
	if l.Waiting {
		s += "; followers hear of it when a node runs (seed serve)"
	}
	return "", s
}

// day is the date of a time in RFC 3339.
func day(s string) string {
	d, _, _ := strings.Cut(s, "T")
	return d
}

func (l Writer) Show(time.Time) (string, string) {
	var keys []string
	for _, k := range l.Keys {
		keys = append(keys, fmt.Sprintf("%.16s", Clean(k)))
	}
	s := fmt.Sprintf("%-12s  %s  %d of %s", Clean(l.Name), Clean(strings.Join(l.Paths, " ")), l.Need, strings.Join(keys, " "))
	if l.Here {
		s += "  (here)"
	}
	return s, ""
}

func (l PublicKey) Show(time.Time) (string, string) {
	return Clean(l.Path), fmt.Sprintf("made       a key for %s: %.16s; its private half stays here", Clean(l.For), Clean(l.Key))
}

func (l Channel) Show(time.Time) (string, string) {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "\n  %-9s  %s", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "channel    %s  %s", Clean(l.Name), Clean(l.Channel))
	if l.Title != "" && l.Title != l.Name {
		fmt.Fprintf(&b, "  %s", Clean(l.Title))
	}
	line("log", "writer %s, %d entries, %d signed", Clean(l.Writer), l.Entries, l.Signed)
	if l.Root > 0 {
		line("root", "version %d, signed by %d of %s, until %s", l.Root, l.RootNeed, count(l.RootKeys, "key"), Clean(day(l.RootExpires)))
	}
	if l.Targets > 0 {
		who := strings.Join(l.Writers, " ")
		if who == "" {
			who = "nobody else"
		}
		line("targets", "version %d: %s, until %s", l.Targets, Clean(who), Clean(day(l.TargetsExpires)))
	}
	if len(l.Around) > 0 || l.Others > 0 {
		line("around", "%s", around(l.Around, l.Others))
	}
	here := strings.Join(l.Here, " ")
	if here == "" {
		here = "none"
	}
	line("keys here", "%s", Clean(here))
	for _, n := range l.Next {
		line("next", "%s", Clean(n))
	}
	return b.String(), ""
}

func (l Repaired) Show(time.Time) (string, string) {
	if l.Version == 0 && l.Unasked {
		return "", fmt.Sprintf("nothing    is known to be wrong: the log of writer %s has %s, and nobody who has the channel could be asked (--peer) whether there are others", Clean(l.Writer), counted(l.Entries, "entry", "entries"))
	}
	if l.Version == 0 {
		return "", fmt.Sprintf("nothing    is wrong: the log of writer %s has %d entries, and the network no others", Clean(l.Writer), l.Entries)
	}
	return "", fmt.Sprintf("repaired   the log of writer %s goes on after %d entries; what others signed beyond is withdrawn by version %d", Clean(l.Writer), l.Entries, l.Version)
}
