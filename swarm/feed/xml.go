package feed

import (
	"bytes"
	"encoding/xml"
	"errors"
	"html"
	"io"
	"strings"
)

// The namespaces of which something is read. Undeclared prefixes, which are common,
// arrive as the namespace themselves.
const (
	nsAtom    = "http://www.w3.org/2005/Atom"
	nsContent = "http://purl.org/rss/1.0/modules/content/"
	nsDC      = "http://purl.org/dc/elements/1.1/"
	nsTerms   = "http://purl.org/dc/terms/"
	nsITunes  = "http://www.itunes.com/dtds/podcast-1.0.dtd"
	nsMedia   = "http://search.yahoo.com/mrss/"
	nsXML     = "http://www.w3.org/XML/1998/namespace"
	nsXHTML   = "http://www.w3.org/1999/xhtml"
	nsThread  = "http://purl.org/syndication/thread/1.0"
)

// prefixes name the namespaces in short. "" are the elements of RSS itself.
var prefixes = map[string]string{
	"": "", "http://purl.org/rss/1.0/": "", "http://my.netscape.com/rdf/simple/0.9/": "", "http://channel.netscape.com/rdf/simple/0.9/": "",
	"http://backend.userland.com/rss2": "", "http://blogs.law.harvard.edu/tech/rss": "", "rss": "",
	"http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf", "rdf": "rdf",
	nsAtom: "atom", "http://purl.org/atom/ns#": "atom", "atom": "atom",
	nsContent: "content", "content": "content", nsDC: "dc", "dc": "dc", nsTerms: "dcterms", "dcterms": "dcterms",
	nsITunes: "itunes", "http://www.itunes.com/DTDs/PodCast-1.0.dtd": "itunes", "http://www.itunes.com/DTDs/Podcast-1.0.dtd": "itunes", "itunes": "itunes",
	nsMedia: "media", "http://search.yahoo.com/mrss": "media", "media": "media", nsXHTML: "xhtml", "xhtml": "xhtml",
}

// maxResolved is of how many addresses of a document it is worked out where they lead.
const maxResolved = 20_000

// maxElements bounds the work that a document makes.
const maxElements = 300_000

// xmlReader reads elements one by one. It never recurses: nesting costs memory only,
// and no more than maxDepth of it.
type xmlReader struct {
	d        *xml.Decoder
	native   string   // the default namespace of the first element of RSS, whatever it is
	base     []string // xml:base of each open element
	elements int
	resolved int // addresses seen from another one
}

func newXMLReader(text []byte, base string) *xmlReader {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = false // stray ampersands and wrong end tags are common
	d.Entity = xml.HTMLEntity
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is UTF-8 by now
	return &xmlReader{d: d, base: []string{base}}
}

// next returns the next start, end or text, and io.EOF at the end.
func (r *xmlReader) next() (xml.Token, error) {
	for {
		t, err := r.d.Token()
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, malformed("XML: %w", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if r.elements++; r.elements > maxElements {
				return nil, malformed("more than %d elements", maxElements)
			}
			if len(r.base) > 4*maxDepth {
				return nil, malformed("more than %d elements within each other", 4*maxDepth)
			}
			base := r.base[len(r.base)-1]
			for _, a := range t.Attr {
				if a.Name.Local == "base" && (a.Name.Space == nsXML || a.Name.Space == "xml") {
					base = r.resolve(base, a.Value)
				}
			}
			r.base = append(r.base, base)
			return t, nil
		case xml.EndElement:
			if len(r.base) > 1 {
				r.base = r.base[:len(r.base)-1]
			}
			return t, nil
		case xml.CharData:
			return t, nil
		}
		// Comments, processing instructions and document types, with what entities
		// they declare, are nothing to a feed.
	}
}

// resolve returns ref seen from base, "" if that is too long or there were too many.
func (r *xmlReader) resolve(base, ref string) string {
	if r.resolved++; r.resolved > maxResolved || len(ref) > maxLink {
		return ""
	}
	if ref = resolve(base, ref); len(ref) > maxLink {
		return ""
	}
	return ref
}

// element is one element without what it is made of.
type element struct {
	r      *xmlReader
	prefix string // as prefixes has it; the namespace itself if it is not there
	name   string // in lower case
	attrs  []xml.Attr
	base   string
}

func (r *xmlReader) element(t xml.StartElement) element {
	space := strings.TrimSpace(t.Name.Space)
	prefix, ok := prefixes[space]
	switch {
	case space == r.native && r.native != "":
		prefix = ""
	case !ok:
		prefix = space
	}
	return element{r: r, prefix: prefix, name: strings.ToLower(t.Name.Local), attrs: t.Attr, base: r.base[len(r.base)-1]}
}

// address returns a link that stands in e, seen from where e is.
func (e element) address(ref string) string { return e.r.resolve(e.base, ref) }

// attr returns an attribute of no namespace.
func (e element) attr(name string) string {
	for _, a := range e.attrs {
		if a.Name.Space == "" && strings.EqualFold(a.Name.Local, name) {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// value is what an element contains.
type value struct {
	text   string // the character data of the element and of those in it
	markup string // the same with elements, as HTML
	naked  bool   // there are elements
}

// value reads up to the end of the element whose start was the last token. each, if
// it is not nil, is called with every element in it and the text up to the next tag.
func (r *xmlReader) value(each func(e element, text string)) (value, error) {
	var text, markup strings.Builder
	var inner element
	var since int // where in text the innermost element began
	naked := false
	report := func() {
		if each != nil && inner.name != "" {
			each(inner, text.String()[since:])
		}
		inner = element{}
	}
	for depth := 0; ; {
		t, err := r.next()
		if errors.Is(err, io.EOF) {
			return value{}, malformed("XML: it ends within an element")
		}
		if err != nil {
			return value{}, err
		}
		full := text.Len() > maxText || markup.Len() > 2*maxText
		switch t := t.(type) {
		case xml.StartElement:
			report()
			depth++
			inner, since, naked = r.element(t), text.Len(), true
			if !full {
				markup.WriteString("<" + t.Name.Local)
				for _, a := range t.Attr {
					if a.Name.Space == "" && a.Name.Local != "xmlns" && len(a.Value) <= maxLink {
						markup.WriteString(" " + a.Name.Local + `="` + html.EscapeString(a.Value) + `"`)
					}
				}
				markup.WriteString(">")
			}
		case xml.EndElement:
			report()
			if depth == 0 {
				return value{text: text.String(), markup: markup.String(), naked: naked}, nil
			}
			depth--
			if !full {
				markup.WriteString("</" + t.Name.Local + ">")
			}
		case xml.CharData:
			if !full {
				s := string(t[:min(len(t), maxText)])
				text.WriteString(s)
				markup.WriteString(html.EscapeString(s))
			}
		}
	}
}
