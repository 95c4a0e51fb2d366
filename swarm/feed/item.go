package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"handful/manifest"
)

// Bounds of what is read from a document of somebody else.
const (
	MaxDocument = 8 << 20 // bytes, decompressed
	MaxItems    = 1000    // of one document; what comes after them is not read

	maxDepth       = 64        // elements within each other
	maxText        = 512 << 10 // bytes of one element's text, or of one value
	maxTitle       = 1 << 10   // bytes
	maxLink        = 2 << 10
	maxName        = 256 // of an author or an attachment
	maxTag         = 64
	maxID          = 512
	maxTags        = 32
	maxAttachments = 16
)

// Document is what was read from an RSS, Atom or JSON Feed document.
type Document struct {
	Format      string // "rss 2.0", "atom 1.0", "json 1.1"
	Title       string // in one line
	Link        string // to the page that it is the feed of, "" if there is none
	Description string
	Updated     time.Time // zero if it does not say
	Items       []Item    // in the document's order, mostly the newest first
	More        bool      // there were more than MaxItems
}

// Item is one item of a document. Its texts are valid UTF-8 without control
// characters but newline and tab; they may still hold what confuses a terminal:
// print them through [Sanitize].
type Item struct {
	ID          string // never empty, see the package doc
	Title       string // plain text in one line
	Link        string // http or https, or ""
	Author      string
	Published   time.Time // zero if it does not say
	Updated     time.Time
	Summary     string // plain text
	Content     string // plain text
	SummaryHTML string // as it was given, "" if it was plain text; hostile
	ContentHTML string
	Tags        []string
	Attachments []manifest.Attachment
}

// Text returns the longer text there is: the content, else the summary.
func (it Item) Text() string {
	if it.Content != "" {
		return it.Content
	}
	return it.Summary
}

// touched returns when an item last changed, or the zero time.
func (it Item) touched() time.Time {
	if it.Updated.After(it.Published) {
		return it.Updated
	}
	return it.Published
}

// itemID returns what an item is called: what it calls itself, or a hash of what is
// least likely to change.
func itemID(given string, it Item) string {
	given = strings.TrimSpace(given)
	switch {
	case given != "" && len(given) <= maxID && clean(given, true) == given:
		return given
	case given != "":
		return hashID("given", given)
	case it.Link != "" && !it.Published.IsZero():
		return hashID("link at", it.Link, it.Published.UTC().Format(time.RFC3339))
	case it.Link != "":
		return hashID("link", it.Link, it.Title)
	case !it.Published.IsZero():
		return hashID("at", it.Published.UTC().Format(time.RFC3339), it.Title)
	}
	return hashID("text", it.Title, it.Text())
}

// hashID returns a name made of texts, each with its length so that none runs into
// the next.
func hashID(texts ...string) string {
	h := sha256.New()
	for _, s := range texts {
		h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
	}
	return "urn:sha256:" + hex.EncodeToString(h.Sum(nil))
}

// finish cleans and bounds an item that a parser has filled in. given is the id that
// the document gives it.
func (it Item) finish(given string) Item {
	it.Title = shorten(clean(it.Title, true), maxTitle)
	it.Link = webLink(it.Link)
	it.Author = shorten(clean(it.Author, true), maxName)
	it.Summary, it.Content = clean(it.Summary, false), clean(it.Content, false)
	it.Summary, it.Content = shorten(it.Summary, maxText), shorten(it.Content, maxText)
	it.SummaryHTML, it.ContentHTML = shorten(it.SummaryHTML, maxText), shorten(it.ContentHTML, maxText)
	it.Published, it.Updated = sane(it.Published), sane(it.Updated)
	tags := it.Tags
	it.Tags = nil
	for _, tag := range tags {
		if tag = shorten(clean(tag, true), maxTag); tag != "" && len(it.Tags) < maxTags {
			it.Tags = append(it.Tags, tag)
		}
	}
	attached := it.Attachments
	it.Attachments = nil
	for _, a := range attached {
		a.URL = webLink(a.URL)
		a.Type, a.Name = shorten(clean(a.Type, true), maxTag), shorten(clean(a.Name, true), maxName)
		if a.Size = max(a.Size, 0); a.Size > maxNumber {
			a.Size = 0
		}
		if a.URL != "" && len(it.Attachments) < maxAttachments {
			it.Attachments = append(it.Attachments, a)
		}
	}
	it.ID = itemID(given, it)
	return it
}

// maxNumber is the largest number of an entry.
const maxNumber = 1<<53 - 1

// sane returns the zero time for what no entry can hold: before 1970, or after 9999.
func sane(t time.Time) time.Time {
	if t.IsZero() || t.Unix() <= 0 || t.Year() > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// unique keeps, of items with the same id, the one that changed last; where none did,
// the first.
func unique(items []Item) []Item {
	at := make(map[string]int, len(items))
	var out []Item
	for _, it := range items {
		i, twice := at[it.ID]
		switch {
		case !twice:
			at[it.ID] = len(out)
			out = append(out, it)
		case it.touched().After(out[i].touched()):
			out[i] = it
		}
	}
	return out
}

// clean makes text of a stranger fit to be kept: valid UTF-8, newlines only as \n, no
// other control characters but tab. In one line blanks are folded.
func clean(s string, oneLine bool) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\u2028' || r == '\u2029' || r == '\u0085':
			return '\n'
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfeff || r == 0xfffe || r == 0xffff:
			return -1
		}
		return r
	}, s)
	if oneLine {
		return strings.Join(strings.Fields(s), " ")
	}
	return strings.TrimSpace(s)
}

// shorten cuts s to at most n bytes, between runes.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = "…"
	n = max(n-len(mark), 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimRight(s[:n], " ") + mark
}
