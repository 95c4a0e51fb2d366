package feed

import (
	"cmp"
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
	"time"

	"handful/manifest"
)

type atomText struct {
	Type string `xml:"type,attr"`
	Text string `xml:",chardata"`
}

type atomLink struct {
	Rel    string `xml:"rel,attr"`
	Href   string `xml:"href,attr"`
	Type   string `xml:"type,attr,omitempty"`
	Title  string `xml:"title,attr,omitempty"`
	Length int64  `xml:"length,attr,omitempty"`
}

type atomPerson struct {
	Name string `xml:"name"`
}

type atomCategory struct {
	Term string `xml:"term,attr"`
}

type atomReply struct {
	Ref string `xml:"ref,attr"`
}

type atomItem struct {
	Title      atomText       `xml:"title"`
	ID         string         `xml:"id"`
	Published  string         `xml:"published"`
	Updated    string         `xml:"updated"`
	Author     *atomPerson    `xml:"author"`
	Links      []atomLink     `xml:"link"`
	Reply      *atomReply     `xml:"thr:in-reply-to"`
	Categories []atomCategory `xml:"category"`
	Content    atomText       `xml:"content"`
}

// Atom returns a channel's posts as an Atom document (RFC 4287; answers as RFC 4685).
// self is its own address.
func Atom(c Channel, self string, entries []Entry) []byte {
	all := versions(entries)
	doc := struct {
		XMLName   xml.Name   `xml:"feed"`
		NS        string     `xml:"xmlns,attr"`
		Thread    string     `xml:"xmlns:thr,attr"`
		Title     atomText   `xml:"title"`
		ID        string     `xml:"id"`
		Updated   string     `xml:"updated"`
		Author    atomPerson `xml:"author"` // of every entry that names none
		Link      atomLink   `xml:"link"`
		Generator string     `xml:"generator"`
		Entries   []atomItem `xml:"entry"`
	}{
		NS: nsAtom, Thread: nsThread, Title: atomText{"text", c.title()}, ID: "handful:" + c.ID.String(), Updated: newest(all).Format(time.RFC3339Nano),
		Author: atomPerson{c.title()}, Link: atomLink{Rel: "self", Href: self, Type: "application/atom+xml"}, Generator: "Handful",
	}
	for _, s := range all {
		e := atomItem{
			Title: atomText{"text", s.title}, ID: s.id, Published: s.published.Format(time.RFC3339Nano), Updated: s.updated.Format(time.RFC3339Nano),
			Content: atomText{"text", s.text},
		}
		if s.author != "" {
			e.Author = &atomPerson{s.author}
		}
		if s.link != "" {
			e.Links = append(e.Links, atomLink{Rel: "alternate", Href: s.link})
		}
		for _, a := range s.attachments {
			e.Links = append(e.Links, atomLink{Rel: "enclosure", Href: a.URL, Type: a.Type, Title: a.Name, Length: a.Size})
		}
		if s.replyTo != "" {
			e.Reply = &atomReply{s.replyTo}
		}
		for _, tag := range s.tags {
			e.Categories = append(e.Categories, atomCategory{tag})
		}
		doc.Entries = append(doc.Entries, e)
	}
	return encodeXML(doc)
}

type rssGUID struct {
	PermaLink bool   `xml:"isPermaLink,attr"`
	ID        string `xml:",chardata"`
}

type rssEnclosure struct {
	URL    string `xml:"url,attr"`
	Length int64  `xml:"length,attr"`
	Type   string `xml:"type,attr"`
}

type rssEntry struct {
	Title       string        `xml:"title"`
	Link        string        `xml:"link,omitempty"`
	GUID        rssGUID       `xml:"guid"`
	Date        string        `xml:"pubDate"`
	Modified    string        `xml:"dcterms:modified,omitempty"`
	Author      string        `xml:"dc:creator,omitempty"`
	Categories  []string      `xml:"category"`
	Enclosure   *rssEnclosure `xml:"enclosure"`
	Description string        `xml:"description"`
}

// RSS returns a channel's posts as an RSS 2.0 document: titles as text, descriptions
// as HTML that shows the text, of attachments the first, where there are more with a list
// of all below the text. self is its own address.
func RSS(c Channel, self string, entries []Entry) []byte {
	type channel struct {
		Title       string     `xml:"title"`
		Link        string     `xml:"link"`
		Description string     `xml:"description"`
		Self        atomLink   `xml:"atom:link"`
		Built       string     `xml:"lastBuildDate"`
		Generator   string     `xml:"generator"`
		Items       []rssEntry `xml:"item"`
	}
	all := versions(entries)
	doc := struct {
		XMLName xml.Name `xml:"rss"`
		Version string   `xml:"version,attr"`
		Atom    string   `xml:"xmlns:atom,attr"`
		DC      string   `xml:"xmlns:dc,attr"`
		Terms   string   `xml:"xmlns:dcterms,attr"`
		Channel channel  `xml:"channel"`
	}{Version: "2.0", Atom: nsAtom, DC: nsDC, Terms: nsTerms, Channel: channel{
		Title: c.title(), Link: self, Description: "handful:" + c.ID.String(), Self: atomLink{Rel: "self", Href: self, Type: "application/rss+xml"},
		Built: newest(all).Format(http.TimeFormat), Generator: "Handful",
	}}
	for _, s := range all {
		it := rssEntry{
			Title: s.title, Link: s.link, GUID: rssGUID{ID: s.id}, Date: s.published.Format(http.TimeFormat), Author: s.author,
			Categories: s.tags, Enclosure: enclosure(s.attachments), Description: paragraphs(s.text + listed(s.attachments)),
		}
		if !s.updated.Equal(s.published) {
			it.Modified = s.updated.Format(time.RFC3339)
		}
		doc.Channel.Items = append(doc.Channel.Items, it)
	}
	return encodeXML(doc)
}

// listed names attachments where there is no other place for all of them.
func listed(all []manifest.Attachment) string {
	if len(all) < 2 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n\n")
	for _, a := range all {
		b.WriteString("\n" + cmp.Or(a.Name, a.URL))
		if a.Size > 0 {
			b.WriteString(", " + strconv.FormatInt(a.Size, 10) + " bytes")
		}
	}
	return b.String()
}

func enclosure(all []manifest.Attachment) *rssEnclosure {
	if len(all) == 0 {
		return nil
	}
	return &rssEnclosure{URL: all[0].URL, Length: all[0].Size, Type: all[0].Type}
}
