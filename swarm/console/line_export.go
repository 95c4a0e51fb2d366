package console

import (
	"fmt"
	"time"
)

// Mirrored says that a directory has a mirror of a channel.
type Mirrored struct {
	Channel string `json:"channel"`
	Path    string `json:"path"`
	Link    string `json:"link"` // with the mirror's URL, where that was told
	Entries int64  `json:"entries"`
	Items   int    `json:"items"`             // torrents
	Written int    `json:"written"`           // files
	Bytes   int64  `json:"bytes"`             // in them
	Kept    int    `json:"kept"`              // files that were there
	Missing int    `json:"missing,omitempty"` // torrents of entries in force whose files are not on this machine
}

// Bundled says that a file has a bundle of a channel.
type Bundled struct {
	Channel string `json:"channel"`
	Path    string `json:"path"`
	Link    string `json:"link"`
	Entries int64  `json:"entries"`           // that it has
	Items   int    `json:"items"`             // torrents with their files
	Bytes   int64  `json:"bytes"`             // of the file
	Missing int    `json:"missing,omitempty"` // torrents of entries in force whose files are not on this machine
}

// Taken is what was taken out of a bundle.
type Taken struct {
	Channel string `json:"channel"`
	Title   string `json:"title,omitempty"` // of the channel
	Entries int64  `json:"entries"`         // that were verified
	Items   int    `json:"items"`           // torrents that are complete now
	State   string `json:"state"`           // of the main writer: fresh, late, …
	Signed  string `json:"signed"`          // its newest head, RFC 3339
}

func (Mirrored) Type() string { return "mirrored" }
func (Bundled) Type() string  { return "bundled" }
func (Taken) Type() string    { return "taken" }

func (l Mirrored) Show(time.Time) (string, string) {
	return Clean(l.Link), fmt.Sprintf("mirrored   %s, %s in %s · %s written (%s), %d as before",
		counted(l.Entries, "entry", "entries"), count(l.Items, "torrent"), Clean(l.Path), count(l.Written, "file"), Bytes(l.Bytes), l.Kept)
}

func (l Bundled) Show(time.Time) (string, string) {
	return Clean(l.Path), fmt.Sprintf("bundled    %s, %s · %s\nread by    fetch bundle %s '%s'",
		counted(l.Entries, "entry", "entries"), count(l.Items, "torrent"), Bytes(l.Bytes), Clean(l.Path), Clean(l.Link))
}

func (l Taken) Show(now time.Time) (string, string) {
	s := fmt.Sprintf("taken      %s, %s", counted(l.Entries, "entry", "entries"), count(l.Items, "torrent"))
	if l.Title != "" {
		s += fmt.Sprintf(" of %q", Clean(l.Title))
	}
	if signed, err := time.Parse(time.RFC3339, l.Signed); err == nil {
		s += fmt.Sprintf(" · %s, signed %s ago", Clean(l.State), Span(now.Sub(signed)))
	}
	return "", s
}

func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
