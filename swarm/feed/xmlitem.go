package feed

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"handful/manifest"
)

// parseXML reads RSS and Atom.
func parseXML(text []byte, base string) (Document, error) {
	r := newXMLReader(text, base)
	p := xmlParser{r: r}
	for {
		t, err := r.next()
		switch {
		case errors.Is(err, io.EOF) && p.root == "":
			return Document{}, malformed("XML without an element")
		case errors.Is(err, io.EOF):
			return p.finish()
		case err != nil:
			return Document{}, err
		}
		if start, ok := t.(xml.StartElement); ok {
			if p.root == "" && strings.EqualFold(start.Name.Local, "rss") {
				r.native = strings.TrimSpace(start.Name.Space) // RSS has none, but some invent one
			}
			if err := p.start(r.element(start)); err != nil {
				return Document{}, err
			}
		}
	}
}

// xmlParser collects a document. What is not a container is read by start as a whole,
// so that start is only ever called with elements of containers.
type xmlParser struct {
	r     *xmlReader
	root  string // rss, rdf or feed
	doc   Document
	feed  draft // what is said of the document itself
	items []draft
}

func (p *xmlParser) start(e element) error {
	switch {
	case p.root == "":
		return p.begin(e)
	case e.name == "channel" && p.root != "feed" && (e.prefix == "" || e.prefix == "rdf"):
		return nil // its elements come next
	case e.name == "item" && p.root != "feed" && e.prefix == "", e.name == "entry" && p.root == "feed" && (e.prefix == "atom" || e.prefix == ""):
		if len(p.items) == MaxItems {
			p.doc.More = true
			_, err := p.r.value(nil)
			return err
		}
		item := draft{}
		if err := p.item(e, &item); err != nil {
			return err
		}
		p.items = append(p.items, item)
		return nil
	}
	return p.property(e, &p.feed)
}

// begin looks at the first element.
func (p *xmlParser) begin(e element) error {
	version := e.attr("version")
	switch {
	case e.name == "rss":
		p.doc.Format = "rss " + version
	case e.name == "rdf":
		p.doc.Format, version = "rss 1.0", "1.0"
	case e.name == "feed":
		if version == "" {
			version = "1.0"
		}
		p.doc.Format = "atom " + version
	default:
		return malformed("XML, but no feed: the first element is %.40q", e.name)
	}
	p.doc.Format = shorten(clean(p.doc.Format, true), 40)
	p.root = e.name
	return nil
}

// item reads the elements of one item.
func (p *xmlParser) item(_ element, d *draft) error {
	for {
		t, err := p.r.next()
		if errors.Is(err, io.EOF) {
			return malformed("XML: it ends within an item")
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := p.property(p.r.element(t), d); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}

// property reads one element of an item or of the document.
func (p *xmlParser) property(e element, d *draft) error {
	var author struct{ name, mail string }
	each := func(in element, text string) {
		switch {
		case e.name == "author" && in.name == "name" && author.name == "":
			author.name = text
		case e.name == "author" && in.name == "email" && author.mail == "":
			author.mail = text
		case in.prefix == "media" && in.name == "content": // in a media:group
			d.attach(in)
		}
	}
	v, err := p.r.value(each)
	if err != nil {
		return err
	}
	if e.name == "author" && author.name+author.mail != "" {
		v = value{text: author.name}
		if v.text == "" {
			v.text = author.mail
		}
	}
	if e.prefix == "atom" || p.root == "feed" && e.prefix == "" {
		d.atom(e, v)
	} else {
		d.rss(e, v)
	}
	return nil
}

// draft is an item, or the document, as it is read: the elements that name the same
// thing have a rank, and the best one counts.
type draft struct {
	id, link, guid                    string
	title, summary, content, author   ranked
	published, updated                rankedTime
	weakLink                          bool // a better one may follow
	tags                              []string
	attached                          []manifest.Attachment
	titleHTML, summaryHTML, htmlInner bool // they are HTML
	base                              string
}

// ranked is a text of which there are several: the lowest rank wins, of equal ones
// the first that is not empty.
type ranked struct {
	s    string
	rank int
}

// set reports whether s is taken.
func (r *ranked) set(rank int, s string) bool {
	if s = strings.TrimSpace(s); s == "" || r.s != "" && rank >= r.rank {
		return false
	}
	r.s, r.rank = s, rank
	return true
}

type rankedTime struct {
	t    time.Time
	rank int
}

func (r *rankedTime) set(rank int, s string) {
	if t := parseDate(s); !t.IsZero() && (r.t.IsZero() || rank < r.rank) {
		r.t, r.rank = t, rank
	}
}

// rss takes an element of RSS or of one of its modules.
func (d *draft) rss(e element, v value) {
	text := v.text
	if v.naked { // markup that is not escaped
		text = v.markup
	}
	asHTML := v.naked || looksHTML(text)
	switch e.prefix + ":" + e.name {
	case ":title", "dc:title":
		if d.title.set(rankOf(e), text) {
			d.titleHTML = asHTML
		}
	case ":link":
		if v.text != "" && (d.link == "" || d.weakLink) {
			d.link, d.weakLink = e.address(v.text), false
		}
	case ":guid":
		if d.id = strings.TrimSpace(v.text); !strings.EqualFold(e.attr("isPermaLink"), "false") {
			d.guid = d.id
		}
	case ":description", "dc:description", "itunes:summary":
		if d.summary.set(rankOf(e), text) {
			d.summaryHTML, d.base = asHTML, e.base
		}
	case "content:encoded", "xhtml:body", ":encoded":
		if d.content.set(rankOf(e), text) {
			d.htmlInner, d.base = asHTML, e.base
		}
	case ":author", "dc:creator", "itunes:author":
		d.author.set(rankOf(e), personName(v.text))
	case ":managingeditor":
		d.author.set(3, personName(v.text))
	case ":pubdate":
		d.published.set(0, v.text)
	case "dc:date", "dcterms:created", "dcterms:issued":
		d.published.set(1, v.text)
	case "dcterms:modified", ":lastbuilddate":
		d.updated.set(0, v.text)
	case ":category", "dc:subject":
		d.tag(v.text)
	case ":enclosure", "media:content":
		d.attach(e)
	}
}

// rankOf puts the elements of RSS itself before those of modules.
func rankOf(e element) int {
	switch e.prefix {
	case "":
		return 0
	case "dc", "content":
		return 1
	}
	return 2
}

// atom takes an element of Atom (RFC 4287), or of its draft 0.3.
func (d *draft) atom(e element, v value) {
	rank := 0
	text, asHTML := textConstruct(e, v)
	switch e.name {
	case "title":
		if d.title.set(rank, text) {
			d.titleHTML = asHTML
		}
	case "summary", "subtitle", "tagline":
		if d.summary.set(rank, text) {
			d.summaryHTML, d.base = asHTML, e.base
		}
	case "content":
		if d.content.set(rank, text) {
			d.htmlInner, d.base = asHTML, e.base
		}
	case "id":
		d.id = strings.TrimSpace(v.text)
	case "link":
		d.atomLink(e)
	case "author":
		d.author.set(rank, personName(v.text))
	case "published":
		d.published.set(0, v.text)
	case "issued":
		d.published.set(1, v.text)
	case "created":
		d.published.set(2, v.text)
	case "updated", "modified":
		d.updated.set(rank, v.text)
	case "category":
		if label := e.attr("label"); label != "" {
			d.tag(label)
		} else {
			d.tag(e.attr("term"))
		}
	}
}

// textConstruct returns a text construct (RFC 4287, 3.1) and whether it is HTML.
func textConstruct(e element, v value) (string, bool) {
	kind, mode := strings.ToLower(e.attr("type")), strings.ToLower(e.attr("mode"))
	switch {
	case mode == "base64":
		return "", false
	case strings.Contains(kind, "xhtml"), v.naked:
		return v.markup, true
	case kind == "", strings.HasPrefix(kind, "text"), kind == "html":
		return v.text, kind == "html" || kind == "text/html" || kind == "" && mode == "escaped"
	}
	return "", false // a picture, say
}

func (d *draft) atomLink(e element) {
	href := e.address(e.attr("href"))
	switch rel := strings.ToLower(e.attr("rel")); {
	case rel == "enclosure":
		d.attached = append(d.attached, manifest.Attachment{URL: href, Type: e.attr("type"), Name: e.attr("title"), Size: number(e.attr("length"))})
	case rel == "" || rel == "alternate":
		if d.link == "" {
			d.link = href
			d.weakLink = true // a link of RSS itself goes before
		}
	}
}

func (d *draft) attach(e element) {
	size := e.attr("length")
	if size == "" {
		size = e.attr("filesize")
	}
	if url := e.attr("url"); url != "" && len(d.attached) < maxAttachments {
		d.attached = append(d.attached, manifest.Attachment{URL: e.address(url), Type: e.attr("type"), Size: number(size)})
	}
}

func (d *draft) tag(s string) {
	if s = strings.TrimSpace(s); s != "" && len(d.tags) < maxTags {
		d.tags = append(d.tags, s)
	}
}

// finish turns the drafts into items.
func (p *xmlParser) finish() (Document, error) {
	f := &p.feed
	p.doc.Title, _ = f.title.both(f.titleHTML, "")
	p.doc.Description, _ = f.summary.both(f.summaryHTML, "")
	p.doc.Link = f.link
	if p.doc.Updated = f.updated.t; p.doc.Updated.IsZero() {
		p.doc.Updated = f.published.t
	}
	for _, d := range p.items {
		if d.link == "" && webLink(d.guid) != "" {
			d.link = d.guid
		}
		base := d.base
		if base == "" || base == p.r.base[0] { // no xml:base: pages are mostly written for where they are shown
			if base = d.link; base == "" {
				base = f.link
			}
		}
		it := Item{Link: d.link, Author: d.author.s, Published: d.published.t, Updated: d.updated.t, Tags: d.tags, Attachments: d.attached}
		it.Title, _ = d.title.both(d.titleHTML, "")
		it.Summary, it.SummaryHTML = d.summary.both(d.summaryHTML, base)
		it.Content, it.ContentHTML = d.content.both(d.htmlInner, base)
		if it.Author == "" && p.root == "feed" {
			it.Author = f.author.s // RFC 4287, 4.2.1: the feed's is inherited
		}
		p.doc.Items = append(p.doc.Items, it.finish(d.id))
	}
	return p.doc, nil
}

// both returns a text as plain text and, if it is HTML, its source.
func (r ranked) both(asHTML bool, base string) (text, source string) {
	if !asHTML {
		return r.s, ""
	}
	return Text(r.s, base), r.s
}

// markup is what makes a text of RSS, where nothing says which it is, HTML.
var markup = regexp.MustCompile(`<[A-Za-z/!][^<]*>|&(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});`)

func looksHTML(s string) bool { return markup.MatchString(s) }

// person is what RSS 2.0 asks for: an address with the name in parentheses.
var person = regexp.MustCompile(`^\s*(?:\S+@\S+\s*\(([^()]+)\)|([^()@]+?)\s*\(\S+@\S+\)|"?([^"<>@]+?)"?\s*<\S+@\S+>)\s*$`)

// personName returns the name in a text that may have an address, too.
func personName(s string) string {
	if len(s) > 4*maxName {
		return shorten(s, maxName)
	}
	if m := person.FindStringSubmatch(s); m != nil {
		return strings.TrimSpace(m[1] + m[2] + m[3])
	}
	return s
}

// number reads a size, 0 if it is none.
func number(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
