package console

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"handful/swarm/feed"
)

// Told is an entry of a channel that is followed. Its JSON is feed.Entry.Line.
type Told struct {
	feed.Entry
	Name  string // of the channel, as this node calls it; not in JSON
	Width int    // columns to wrap texts at; 0: none. Not in JSON
}

// Feeds says where the posts that this node follows can be read over HTTP.
type Feeds struct {
	URL string `json:"url"` // http://HOST:PORT/feeds.opml
}

// Followed is a channel that this node follows.
type Followed struct {
	Channel string `json:"channel"` // 40 characters
	Name    string `json:"name"`
	Link    string `json:"link"`
	Dropped bool   `json:"dropped,omitempty"` // it is followed no more
	// Node is what the node was started as ("serve", "fetch", …) that already ran and took the
	// command over; "": this command's own.
	Node string `json:"node,omitempty"`
}

// Around is who is in the swarm of a channel that this node follows.
type Around struct {
	Channel string   `json:"channel"` // 40 characters
	Name    string   `json:"name"`    // of the channel, as this node calls it
	Writers []string `json:"writers"` // whose nodes have proven that they are there
	Others  int      `json:"others"`  // peers that are connected with this node and do not say that they write
}

func (Told) Type() string     { return "entry" }
func (Feeds) Type() string    { return "feeds" }
func (Followed) Type() string { return "followed" }
func (Around) Type() string   { return "around" }

// MarshalJSON returns the entry's line without its type, which Encode adds.
func (l Told) MarshalJSON() ([]byte, error) {
	b, _ := bytes.CutPrefix(l.Line(), []byte(`{"type":"entry",`))
	return append([]byte("{"), b...), nil
}

// Show gives each entry a line with where it comes from, and its texts below, further to
// the right: no text can pass for such a line.
func (l Told) Show(now time.Time) (string, string) {
	const indent = "    "
	width := max(l.Width-len(indent), 0)
	one := feed.Layout{OneLine: true, Width: width}
	var b strings.Builder
	fmt.Fprintf(&b, "%s · %s/%d · %s", Clean(l.Name), Clean(l.Writer), l.Index, l.Said().In(now.Location()).Format("2006-01-02 15:04:05"))
	if l.State != "" && l.State != "fresh" {
		b.WriteString(" · " + Clean(l.State))
	}
	line := func(s string) {
		if s != "" {
			b.WriteString("\n" + indent + s)
		}
	}
	p := l.Post
	if l.Withdrawn() {
		line(fmt.Sprintf("withdraws %s/%d", Clean(l.Writer), l.Withdraws))
	}
	if p.ReplyTo != "" {
		line("answers " + feed.Sanitize(p.ReplyTo, one))
	}
	line(feed.Sanitize(p.Title, one))
	if p.Author != "" {
		line("by " + feed.Sanitize(p.Author, one))
	}
	line(feed.Sanitize(p.Body, feed.Layout{Indent: indent, Width: l.Width}))
	line(feed.Sanitize(p.Link, one))
	own := l.Brings()
	if l.Kind != "" { // content that is published is shown as what is elsewhere: by its link
		own = nil
	}
	for i, a := range p.Attachments[:min(len(p.Attachments), maxAttachments)] {
		s := feed.Sanitize(a.Name, one)
		if i >= len(own) {
			s = strings.TrimSuffix(feed.Sanitize(a.URL, one)+"  "+s, "  ")
		} else {
			s = "attached " + s
		}
		if a.Size > 0 {
			s += ", " + Bytes(a.Size)
		}
		line(s)
	}
	if more := len(p.Attachments) - maxAttachments; more > 0 {
		line(fmt.Sprintf("and %d more", more))
	}
	if len(own) > 0 {
		line(Clean(l.URI()))
	}
	if len(p.Tags) > 0 {
		line("tags " + feed.Sanitize(strings.Join(p.Tags, ", "), one))
	}
	return b.String(), ""
}

// maxAttachments is how many of an entry are shown.
const maxAttachments = 16

func (l Feeds) Show(time.Time) (string, string) {
	return "", "feeds      " + Clean(l.URL)
}

func (l Followed) Show(time.Time) (string, string) {
	what := "following  "
	if l.Dropped {
		what = "dropped    "
	}
	by := ""
	if l.Node != "" {
		by = " · taken over by the node that runs here (fetch " + Clean(l.Node) + ")"
	}
	return "", what + Clean(l.Name) + " · " + Clean(l.Channel) + by
}

func (l Around) Show(time.Time) (string, string) {
	return "around     " + Clean(l.Name) + " · " + around(l.Writers, l.Others), ""
}

// around says who is there.
func around(writers []string, others int) string {
	names := make([]string, len(writers))
	for i, w := range writers {
		names[i] = Clean(w)
	}
	switch {
	case len(names) > 0 && others > 0:
		return strings.Join(names, ", ") + " and " + count(others, "other")
	case len(names) > 0:
		return strings.Join(names, ", ")
	case others > 0:
		return count(others, "other")
	}
	return "nobody"
}
