package console

import (
	"fmt"
	"strings"
	"time"

	"handful/signing"
	"handful/swarm/feed"
)

// Trust is what is known of a channel; the standing of its writers follows it.
type Trust struct {
	Channel string      `json:"channel"` // 40 characters
	Title   string      `json:"title,omitempty"`
	State   string      `json:"state"`                     // of the main writer
	Roots   []TrustRoot `json:"roots"`                     // all of them, each verified, the newest last
	Targets int64       `json:"targets,omitempty"`         // version of the document that names other writers
	Until   string      `json:"targets_expires,omitempty"` // RFC 3339
	Missing bool        `json:"targets_missing,omitempty"` // a newer one was granted, and nobody has brought it
	Private bool        `json:"private,omitempty"`
	Offline bool        `json:"offline,omitempty"` // nobody was asked
}

// TrustRoot is a root document.
type TrustRoot struct {
	Version int64  `json:"version"`
	Expires string `json:"expires"` // RFC 3339
	Need    int    `json:"need"`    // so many of Keys sign the next one
	Keys    int    `json:"keys"`
}

// Standing is how much the newest of a writer is worth.
type Standing struct {
	Channel   string     `json:"channel"`
	Writer    string     `json:"writer"`
	State     string     `json:"state"` // unknown, fresh, late, unconfirmed, forked, withdrawn
	Entries   int64      `json:"entries"`
	Root      string     `json:"root_hash,omitempty"` // over the entries, hex
	Signed    string     `json:"signed,omitempty"`    // RFC 3339
	Age       int64      `json:"age"`                 // seconds since then
	Sources   int        `json:"sources"`             // that showed nothing else
	Asked     int        `json:"asked"`
	Closed    bool       `json:"closed,omitempty"`    // may not write any more
	Withdrawn []TakeBack `json:"withdrawn,omitempty"` // what documents took back
}

// TakeBack is a run of entries that a document took back.
type TakeBack struct {
	First   int64 `json:"first"`
	Last    int64 `json:"last"`
	Version int64 `json:"version"` // of the root document, for others than m of the targets document
}

// Evidence is the proof that a writer has signed two histories.
type Evidence struct {
	Channel string  `json:"channel"`
	Writer  string  `json:"writer"`
	Path    string  `json:"path"`
	Heads   [2]Head `json:"heads"`
	Checked bool    `json:"checked,omitempty"` // it was given to be checked, and holds
}

// Head is one of the heads of an Evidence.
type Head struct {
	Entries int64  `json:"entries"`
	Root    string `json:"root_hash"` // hex
	Signed  string `json:"signed"`    // RFC 3339
}

// Proof is the proof that a writer published an entry.
type Proof struct {
	Channel string `json:"channel"`
	Writer  string `json:"writer"`
	Index   int64  `json:"index"`
	Kind    string `json:"kind"`
	Title   string `json:"title,omitempty"`
	Name    string `json:"name,omitempty"`
	Path    string `json:"path"`   // of the proof
	Signed  string `json:"signed"` // the head that it leads to, RFC 3339
	Entries int64  `json:"entries"`
	Root    int64  `json:"root"`              // version of the newest root document in it
	Checked bool   `json:"checked,omitempty"` // it was given to be checked, and holds
}

func (Trust) Type() string    { return "trust" }
func (Standing) Type() string { return "standing" }
func (Evidence) Type() string { return "evidence" }
func (Proof) Type() string    { return "proof" }

func (l Trust) Show(time.Time) (string, string) {
	var b strings.Builder
	fmt.Fprintf(&b, "channel    handful:%s", Clean(l.Channel))
	if l.Title != "" {
		b.WriteString("\ntitle      " + feed.Sanitize(l.Title, feed.Layout{OneLine: true, Width: 72}))
	}
	if l.Private {
		b.WriteString("\nprivate    it is not announced in public")
	}
	if n := len(l.Roots); n > 0 {
		r := l.Roots[n-1]
		fmt.Fprintf(&b, "\nroot       version %d, each verified from the id on; %d of %s must sign the next, expires %s", r.Version, r.Need, count(r.Keys, "key"), Clean(day(r.Expires)))
	}
	switch {
	case l.Missing:
		b.WriteString("\ntargets    a newer document was granted and is not here yet: other writers are not believed until it is")
	case l.Targets > 0:
		fmt.Fprintf(&b, "\ntargets    version %d, expires %s", l.Targets, Clean(day(l.Until)))
	}
	if l.Offline {
		return b.String(), "nobody was asked: this is what is on disk"
	}
	return b.String(), ""
}

func (l Standing) Show(time.Time) (string, string) {
	var b strings.Builder
	fmt.Fprintf(&b, "writer     %-10s  %s", Clean(l.Writer), Clean(l.State))
	if at, err := time.Parse(time.RFC3339, l.Signed); err == nil {
		fmt.Fprintf(&b, " · %s · signed %s, %s ago", entries(l.Entries), at.UTC().Format("2006-01-02 15:04 UTC"), Span(time.Duration(l.Age)*time.Second))
	}
	if l.Asked > 0 || l.Sources > 0 {
		fmt.Fprintf(&b, " · newest of %d of %s", l.Sources, count(l.Asked, "source"))
	}
	if l.Closed {
		b.WriteString(" · revoked: it may not write any more")
	}
	for _, w := range l.Withdrawn {
		document := "root"
		if l.Writer != signing.MainWriter {
			document = "targets"
		}
		fmt.Fprintf(&b, "\n           entries %d to %d were taken back by version %d of the %s document", w.First, w.Last, w.Version, document)
	}
	return b.String(), ""
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func (l Evidence) Show(time.Time) (string, string) {
	what := fmt.Sprintf("forked     writer %s of handful:%s signed two histories:", Clean(l.Writer), Clean(l.Channel))
	for _, h := range l.Heads {
		what += fmt.Sprintf("\n           %s with the root hash %s, signed %s", entries(h.Entries), Clean(h.Root), Clean(h.Signed))
	}
	if l.Checked {
		return what, "evidence   it holds: both heads carry the writer's signature, and neither continues the other"
	}
	return Clean(l.Path), what
}

func (l Proof) Show(time.Time) (string, string) {
	what := fmt.Sprintf("proof      handful:%s/%s/%d is a %s", Clean(l.Channel), Clean(l.Writer), l.Index, Clean(l.Kind))
	if title := feed.Sanitize(l.Title, feed.Layout{OneLine: true, Width: 72}); title != "" {
		what += ", " + title
	}
	if l.Name != "" {
		what += ", " + Clean(l.Name)
	}
	what += fmt.Sprintf("\n           one of %s under a head signed %s, with root documents up to version %d", entries(l.Entries), Clean(l.Signed), l.Root)
	if l.Checked {
		return what, "verified   its writer published it; whether the channel has taken it back since, a proof cannot tell"
	}
	return Clean(l.Path), what
}
