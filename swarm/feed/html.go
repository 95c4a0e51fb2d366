package feed

import (
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxShownLinks is of how many links of one text the address is shown.
const maxShownLinks = 2000

// hidden are the elements whose content is no text to read.
var hidden = []atom.Atom{atom.Script, atom.Style, atom.Head, atom.Template, atom.Iframe, atom.Object, atom.Svg, atom.Math, atom.Textarea, atom.Select}

// Text returns the text of an HTML document or of a part of one: paragraphs are
// separated by an empty line, items of lists begin with "- ", links are followed by
// their address in angle brackets unless they show it, pictures are their text in
// square brackets. Relative addresses are resolved from base, if that is not empty.
// Nothing is rendered, fetched or run, and nesting costs no stack.
func Text(source, base string) string {
	if len(source) > MaxDocument {
		source = source[:MaxDocument]
	}
	w := textWriter{}
	var err error
	if w.base, err = url.Parse(base); err != nil || len(base) > maxLink {
		w.base = new(url.URL)
	}
	z := html.NewTokenizer(strings.NewReader(source))
	z.SetMaxBuf(maxText)
	for w.b.Len() <= maxText {
		switch z.Next() {
		case html.ErrorToken: // the end, or a token too long to be text
			return w.text()
		case html.TextToken:
			if len(w.skip) == 0 {
				w.write(string(z.Text()))
			}
		case html.StartTagToken:
			w.start(z.Token(), false)
		case html.SelfClosingTagToken:
			w.start(z.Token(), true)
		case html.EndTagToken:
			w.end(z.Token())
		}
	}
	return w.text()
}

// textWriter lays out text as it comes.
type textWriter struct {
	base  *url.URL
	b     strings.Builder
	skip  []atom.Atom // open elements that are hidden
	links []openLink
	shown int  // links so far
	pre   int  // open elements that keep their blanks
	blank bool // a blank is due before more text
	lines int  // newlines that are due before more text
	quote int  // depth of blockquote
	cells bool // the row has a cell
}

type openLink struct {
	href string
	from int // where in b its text begins
}

func (w *textWriter) start(t html.Token, closed bool) {
	if t.DataAtom == atom.Body {
		w.skip = nil // a head need not be closed
	}
	if len(w.skip) > 0 || slices.Contains(hidden, t.DataAtom) {
		if !closed && slices.Contains(hidden, t.DataAtom) && len(w.skip) < maxDepth {
			w.skip = append(w.skip, t.DataAtom)
		}
		return
	}
	switch t.DataAtom {
	case atom.Br:
		w.newline(w.lines + 1)
	case atom.Li:
		w.newline(1)
		w.raw("- ")
	case atom.Img:
		if alt := strings.TrimSpace(attr(t, "alt")); alt != "" {
			w.raw("[" + strings.Join(strings.Fields(alt), " ") + "]")
		}
	case atom.Hr:
		w.newline(2)
		w.raw("---")
		w.newline(2)
	case atom.A:
		if len(w.links) < maxDepth && !closed {
			w.links = append(w.links, openLink{href: w.address(attr(t, "href")), from: w.b.Len()})
		}
	case atom.Pre:
		w.newline(2)
		if !closed {
			w.pre++
		}
	case atom.Td, atom.Th:
		if w.cells && w.lines == 0 {
			w.raw("\t")
		}
		w.cells = true
	case atom.Blockquote:
		w.newline(2)
		if !closed {
			w.quote++
		}
	default:
		w.newline(gap(t.DataAtom))
	}
}

func (w *textWriter) end(t html.Token) {
	if i := slices.Index(w.skip, t.DataAtom); i >= 0 {
		w.skip = w.skip[:i]
		return
	}
	if len(w.skip) > 0 {
		return
	}
	switch t.DataAtom {
	case atom.A:
		if n := len(w.links); n > 0 {
			l := w.links[n-1]
			w.links = w.links[:n-1]
			if shown := w.b.String()[l.from:]; l.href != "" && !strings.Contains(shown, strings.TrimSuffix(l.href, "/")) {
				w.raw(" <" + l.href + ">")
			}
		}
	case atom.Pre:
		w.pre = max(w.pre-1, 0)
		w.newline(2)
	case atom.Blockquote:
		w.newline(2)
		w.quote = max(w.quote-1, 0)
	case atom.Br, atom.Td, atom.Th:
	default:
		w.newline(gap(t.DataAtom))
	}
}

// address returns where a link leads, "" for what is no page.
func (w *textWriter) address(href string) string {
	if w.shown++; w.shown > maxShownLinks || len(href) > maxLink {
		return ""
	}
	if u, err := w.base.Parse(strings.TrimSpace(href)); err == nil && w.base.IsAbs() {
		href = u.String()
	}
	return webLink(href)
}

// gap returns how many newlines an element puts around itself.
func gap(a atom.Atom) int {
	switch a {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Dl, atom.Table, atom.Figure,
		atom.Article, atom.Section, atom.Header, atom.Footer:
		return 2
	case atom.Div, atom.Li, atom.Tr, atom.Dt, atom.Dd, atom.Figcaption, atom.Form, atom.Main, atom.Nav, atom.Address, atom.Fieldset, atom.Caption:
		return 1
	}
	return 0
}

// newline makes sure that n newlines come before what is written next, at most one
// empty line.
func (w *textWriter) newline(n int) {
	if n == 0 {
		return
	}
	w.lines = min(max(w.lines, n), 2)
	w.blank, w.cells = false, false
}

// write appends text of the document.
func (w *textWriter) write(s string) {
	if w.pre > 0 {
		w.raw(s)
		return
	}
	words := strings.Fields(s)
	if len(words) == 0 {
		w.blank = w.blank || s != ""
		return
	}
	if strings.ContainsAny(s[:1], " \t\r\n\f") {
		w.blank = true
	}
	w.raw(strings.Join(words, " "))
	w.blank = strings.ContainsAny(s[len(s)-1:], " \t\r\n\f")
}

// raw appends s as it is, after what is due.
func (w *textWriter) raw(s string) {
	if w.b.Len() > maxText { // addresses and indents may make it longer than the source
		return
	}
	indent := strings.Repeat("> ", min(w.quote, 8))
	switch {
	case w.b.Len() == 0:
		w.b.WriteString(indent)
	case w.lines > 0:
		w.b.WriteString(strings.Repeat("\n", w.lines) + indent)
	case w.blank && !strings.HasSuffix(w.b.String(), " "):
		w.b.WriteByte(' ')
	}
	w.lines, w.blank = 0, false
	if w.pre > 0 {
		s = strings.ReplaceAll(s, "\n", "\n"+indent)
	}
	w.b.WriteString(s)
}

// text returns what was written. Links that were never closed show no address.
func (w *textWriter) text() string { return clean(w.b.String(), false) }

func attr(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
