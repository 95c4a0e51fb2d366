package console

import (
	"fmt"
	"time"

	"handful/swarm/feed"
)

// Posted says that a post is in the channel.
type Posted struct {
	Channel string `json:"channel"` // 40 characters
	Writer  string `json:"writer"`
	Index   int64  `json:"index"`
	Link    string `json:"link"` // handful:CHANNEL/WRITER/INDEX
	Title   string `json:"title,omitempty"`
	ID      string `json:"id,omitempty"`      // at its source, of an imported one
	Changed bool   `json:"changed,omitempty"` // a newer version of an imported one
	Bytes   int64  `json:"bytes"`             // of the entry
	Files   int    `json:"files,omitempty"`   // that are attached
	Content int64  `json:"content,omitempty"` // bytes of these
}

// Feed is a source of posts, or what an import of it came to.
type Feed struct {
	Source  string `json:"source"` // as it was given
	Channel string `json:"channel"`
	Title   string `json:"title,omitempty"`  // of the document
	Format  string `json:"format,omitempty"` // rss 2.0, atom 1.0, json 1.1, …
	Items   int    `json:"items"`            // known
	New     int    `json:"new"`              // posts, in this import
	Changed int    `json:"changed"`
	More    bool   `json:"more,omitempty"`    // the document has more items than are read
	Next    string `json:"next,omitempty"`    // not to be asked before, RFC 3339
	URL     string `json:"url,omitempty"`     // where it moved for good
	DryRun  bool   `json:"dry_run,omitempty"` // nothing was written
	Listed  bool   `json:"-"`                 // by feed ls
}

func (Posted) Type() string { return "posted" }
func (Feed) Type() string   { return "feed" }

func (l Posted) Show(time.Time) (string, string) {
	what := "posted     "
	if l.Changed {
		what = "changed    "
	}
	title := feed.Sanitize(l.Title, feed.Layout{OneLine: true, Width: 72})
	if title == "" {
		title = "a post"
	}
	s := what + title + ", " + Bytes(l.Bytes)
	if l.Files > 0 {
		s += fmt.Sprintf(", with %s, %s", count(l.Files, "file"), Bytes(l.Content))
	}
	return Clean(l.Link), s
}

func (l Feed) Show(time.Time) (string, string) {
	s := "feed       " + Clean(l.Source)
	if l.URL != "" {
		s += " (now " + Clean(l.URL) + ")"
	}
	if l.Title != "" {
		s += " · " + feed.Sanitize(l.Title, feed.Layout{OneLine: true, Width: 72})
	}
	if l.Format != "" {
		s += " · " + Clean(l.Format)
	}
	if !l.Listed {
		s += fmt.Sprintf(" · %d new, %d changed", l.New, l.Changed)
	}
	s += " · " + count(l.Items, "item")
	if l.More {
		s += ", and more that were not read"
	}
	if l.Next != "" {
		s += " · not before " + Clean(l.Next)
	}
	if l.DryRun {
		s += " (dry run, nothing written)"
	}
	if l.Listed {
		return s, ""
	}
	return "", s
}
