package feed

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"html"
	"slices"
	"strconv"
	"strings"
	"time"

	"handful/manifest"
	"handful/signing"
)

// Channel is what is said of a channel as a whole.
type Channel struct {
	ID    signing.ID
	Name  string // in addresses: [a-z0-9][a-z0-9._-]{0,63}, of one node's channels unique
	Title string // "": its id
}

func (c Channel) title() string {
	if t := shorten(clean(c.Title, true), maxTitle); t != "" {
		return t
	}
	return "handful:" + c.ID.String()
}

// shown is an entry as documents have it. All texts are valid XML characters.
type shown struct {
	id, title, text, link, author, replyTo string
	published, updated                     time.Time
	tags                                   []string
	attachments                            []manifest.Attachment
	untitled                               bool // the title is the beginning of the text
}

// versions turns entries into what documents have: of the versions of a post the
// newest, under the id that all of them have, the newest post first. Of what was
// withdrawn only that is said.
func versions(entries []Entry) []shown {
	entries = inOrder(entries)
	type version struct {
		writer string
		at     int // in out
	}
	known := make(map[string]version)
	gone := withdrawals(entries)
	var out []shown
	for _, e := range entries {
		if e.Withdrawn() {
			continue
		}
		s := show(e)
		if w, ok := gone[key{e.Writer, e.Index}]; ok {
			s.withdraw(w.by)
		}
		if e.Post.ID != "" {
			s.id = e.sourceID()
		}
		old, again := known[s.id]
		switch {
		case again && old.writer == e.Writer:
			if s.updated.Equal(s.published) {
				s.updated = e.Said()
			}
			out[old.at] = s
			continue
		case again: // another writer uses the id: nobody speaks in the name of others
			s.id = e.URI()
		}
		known[s.id] = version{e.Writer, len(out)}
		out = append(out, s)
	}
	slices.Reverse(out)
	return out
}

// inOrder returns entries, the oldest first.
func inOrder(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Post.Head.Time, b.Post.Head.Time), cmp.Compare(a.Writer, b.Writer), cmp.Compare(a.Index, b.Index))
	})
	return entries
}

func show(e Entry) shown {
	p := e.Post
	s := shown{
		id: e.URI(), title: cleanShown(p.Title, true), text: cleanShown(p.Body, false), link: shownLink(p.Link), author: author(e),
		published: e.Published(), updated: e.Updated(),
	}
	if p.ReplyTo != "" {
		s.replyTo = replyURI(e.Channel, p.ReplyTo)
	}
	for _, tag := range p.Tags {
		if tag = cleanShown(tag, true); tag != "" {
			s.tags = append(s.tags, tag)
		}
	}
	for _, a := range p.Attachments {
		if a.URL = shownLink(a.URL); a.URL != "" {
			a.Type, a.Name = clean(a.Type, true), cleanShown(a.Name, true)
			if a.Type == "" {
				a.Type = "application/octet-stream"
			}
			s.attachments = append(s.attachments, a)
		}
	}
	if s.title == "" { // documents without titles are listed badly
		first, _, _ := strings.Cut(s.text, "\n")
		s.title, s.untitled = shorten(first, 80), true
	}
	return s
}

// author returns who says it: whom the post names, and of a granted writer the name under which
// it signs, so that nobody speaks in the name of others.
func author(e Entry) string {
	name := cleanShown(e.Post.Author, true)
	switch {
	case e.Writer == signing.MainWriter:
		return name
	case name == "":
		return e.Writer
	}
	return name + " (" + e.Writer + ")"
}

// cleanShown is clean, and without the two characters that override the direction of all
// others. No language needs them, and a name of a file reads as another one by them.
func cleanShown(s string, oneLine bool) string {
	return strings.NewReplacer("\u202d", "\ufffd", "\u202e", "\ufffd").Replace(clean(s, oneLine))
}

// withdraw takes away what the post said; that there was one stays, since readers keep
// what they have.
func (s *shown) withdraw(by Entry) {
	*s = shown{id: s.id, title: "Withdrawn", text: cleanShown(withdrawnText(by.Post.Body), false), author: s.author, published: s.published, updated: by.Said()}
}

// replyURI returns the entry that "WRITER/INDEX" or "CHANNEL/WRITER/INDEX" names, ""
// if it is neither.
func replyURI(channel signing.ID, s string) string {
	if strings.Count(s, "/") == 1 {
		s = channel.String() + "/" + s
	}
	l, err := signing.ParseLink("handful:" + s)
	if err != nil || l.Index < 0 {
		return ""
	}
	return "handful:" + l.ID.String() + "/" + l.Writer + "/" + strconv.FormatInt(l.Index, 10)
}

// newest returns when a document was updated: with its newest entry.
func newest(all []shown) time.Time {
	at := time.Unix(0, 0).UTC()
	for _, s := range all {
		if s.updated.After(at) {
			at = s.updated
		}
	}
	return at
}

// paragraphs returns text as HTML that says it and nothing else.
func paragraphs(text string) string {
	var b strings.Builder
	for p := range strings.SplitSeq(text, "\n\n") {
		if p = strings.Trim(p, "\n"); p != "" {
			b.WriteString("<p>" + strings.ReplaceAll(html.EscapeString(p), "\n", "<br/>\n") + "</p>\n")
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// encodeXML returns a document. Package xml escapes texts and attributes; what is no
// XML character is not in them any more.
func encodeXML(doc any) []byte {
	b, err := xml.MarshalIndent(doc, "", " ")
	if err != nil {
		panic(err) // strings only
	}
	return append([]byte(xml.Header), append(b, '\n')...)
}

// JSON returns a channel's posts as a JSON Feed 1.1 document. self is its own address.
func JSON(c Channel, self string, entries []Entry) []byte {
	type person struct {
		Name string `json:"name"`
	}
	type file struct {
		URL   string `json:"url"`
		Type  string `json:"mime_type"`
		Title string `json:"title,omitempty"`
		Size  int64  `json:"size_in_bytes,omitempty"`
	}
	type item struct {
		ID          string    `json:"id"`
		URL         string    `json:"url,omitempty"`
		Title       string    `json:"title,omitempty"`
		Text        string    `json:"content_text"`
		Published   time.Time `json:"date_published"`
		Modified    time.Time `json:"date_modified"`
		Authors     []person  `json:"authors,omitempty"`
		Tags        []string  `json:"tags,omitempty"`
		Attachments []file    `json:"attachments,omitempty"`
	}
	doc := struct {
		Version string `json:"version"`
		Title   string `json:"title"`
		Self    string `json:"feed_url,omitempty"`
		Items   []item `json:"items"`
	}{Version: "https://jsonfeed.org/version/1.1", Title: c.title(), Self: self, Items: []item{}}
	for _, s := range versions(entries) {
		it := item{ID: s.id, URL: s.link, Title: s.title, Text: s.text, Published: s.published, Modified: s.updated, Tags: s.tags}
		if s.untitled {
			it.Title = ""
		}
		if s.author != "" {
			it.Authors = []person{{s.author}}
		}
		for _, a := range s.attachments {
			it.Attachments = append(it.Attachments, file{a.URL, a.Type, a.Name, a.Size})
		}
		doc.Items = append(doc.Items, it)
	}
	b, err := json.MarshalIndent(doc, "", " ") // <, > and & are escaped
	if err != nil {
		panic(err) // strings, numbers, and times of at most 9999
	}
	return append(b, '\n')
}

// OPML returns the list of a node's channels as OPML 2.0, each with the address of
// its Atom document. base is what the addresses begin with, "http://HOST:PORT".
func OPML(base string, channels []Channel) []byte {
	type outline struct {
		Text string `xml:"text,attr"`
		Name string `xml:"title,attr"`
		Type string `xml:"type,attr"`
		URL  string `xml:"xmlUrl,attr"`
	}
	doc := struct {
		XMLName  xml.Name  `xml:"opml"`
		Version  string    `xml:"version,attr"`
		Title    string    `xml:"head>title"`
		Outlines []outline `xml:"body>outline"`
	}{Version: "2.0", Title: "Handful channels"}
	for _, c := range channels {
		doc.Outlines = append(doc.Outlines, outline{Text: c.title(), Name: c.title(), Type: "rss", URL: base + feedPath(c.Name, "atom")})
	}
	return encodeXML(doc)
}
