package feed

import (
	"strings"
	"time"
	"unicode/utf8"

	"handful/manifest"
)

const (
	// MaxPost is how many bytes of an entry a post may fill; the rest is for the
	// pointers that the channel adds.
	MaxPost = manifest.MaxEntry - 256
	// ShortPost is the size up to which an entry rides in the message that carries
	// the news, so that nobody has to ask for it.
	ShortPost = 600

	missing  = " […]" // at the end of a text that was cut
	minTitle = 64     // bytes that a title is not cut below
)

// PostOptions is how items become posts.
type PostOptions struct {
	Time time.Time // of the entry
	Size int       // bytes of the entry, at most MaxPost; 0: MaxPost
}

// Post returns a post that says what an item says: title, text (of content and
// summary the content, as plain text), id, link, author, dates, tags and attachments.
// What does not fit into Size is left out in this order: the end of the text, which
// then ends in "[…]", attachments from the last on, tags from the last on, the link,
// the end of the title. The id always stays. An item is never split into several
// posts: its link leads to the rest.
func Post(it Item, o PostOptions) manifest.Post {
	size := min(o.Size, MaxPost)
	if size <= 0 {
		size = MaxPost
	}
	p := manifest.Post{
		Head:  manifest.Header{Time: max(o.Time.UnixMilli(), 0)},
		Title: it.Title, ID: it.ID, Link: it.Link, Author: it.Author, Published: millis(it.Published), Updated: millis(it.Updated),
		Tags: it.Tags, Attachments: it.Attachments,
	}
	if p.Updated <= p.Published && p.Published != 0 {
		p.Updated = 0
	}
	body := it.Text()
	if body == p.Title {
		body = ""
	}
	if p.Title == "" && body == "" {
		if p.Title = p.Link; p.Title == "" {
			p.Title = "(untitled)"
		}
	}
	over := func() int { return len(p.Bytes()) - size }
	for len(p.Attachments) > 0 && over() > 0 {
		p.Attachments = p.Attachments[:len(p.Attachments)-1]
	}
	for len(p.Tags) > 0 && over() > 0 {
		p.Tags = p.Tags[:len(p.Tags)-1]
	}
	if over() > 0 {
		p.Link = ""
	}
	if n := over(); n > 0 {
		p.Title = shorten(p.Title, max(len(p.Title)-n, minTitle))
	}
	const keyAndLength = len("1:b") + len("50000:")
	if p.Body = cutText(body, -over()-keyAndLength); p.Title == "" && p.Body == "" {
		p.Title = shorten(strings.Join(strings.Fields(body), " "), minTitle)
	}
	return p
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// cutText returns s if it has at most n bytes, and else its beginning, cut behind a
// paragraph, a line or a word if one ends in the last quarter, and marked.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	if n -= len(missing); n <= 0 {
		return ""
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	s = s[:n]
	for _, at := range []string{"\n\n", "\n", " "} {
		if i := strings.LastIndex(s, at); i > n*3/4 {
			s = s[:i]
			break
		}
	}
	return strings.TrimRight(s, " \n\t") + missing
}
