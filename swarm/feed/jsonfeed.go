package feed

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"handful/manifest"
)

// maxItemJSON is how many bytes of JSON one item may have. Larger ones are left out.
const maxItemJSON = 2 << 20

// loose is a string that may have been written as a number, or be missing or of
// another type altogether, which is no reason to lose the rest.
type loose string

func (l *loose) UnmarshalJSON(b []byte) error {
	var s string
	var n json.Number
	switch {
	case json.Unmarshal(b, &s) == nil:
		*l = loose(s)
	case len(b) > 0 && b[0] != '"' && json.Unmarshal(b, &n) == nil:
		*l = loose(n)
	}
	return nil
}

// several is a list of which elements of a wrong type are left out, and so is all of
// it if it is no list.
type several[T any] []T

func (l *several[T]) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil
	}
	for d.More() && len(*l) < maxTags {
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return nil
		}
		var v T
		if json.Unmarshal(raw, &v) == nil {
			*l = append(*l, v)
		}
	}
	return nil
}

type jsonPerson struct {
	Name loose `json:"name"`
	URL  loose `json:"url"`
}

type jsonAttachment struct {
	URL   loose `json:"url"`
	Type  loose `json:"mime_type"`
	Title loose `json:"title"`
	Size  loose `json:"size_in_bytes"`
}

type jsonItem struct {
	ID          loose                   `json:"id"`
	URL         loose                   `json:"url"`
	ExternalURL loose                   `json:"external_url"`
	Title       loose                   `json:"title"`
	HTML        loose                   `json:"content_html"`
	Text        loose                   `json:"content_text"`
	Summary     loose                   `json:"summary"`
	Published   loose                   `json:"date_published"`
	Modified    loose                   `json:"date_modified"`
	Author      several[jsonPerson]     `json:"-"` // version 1
	Authors     several[jsonPerson]     `json:"authors"`
	Tags        several[loose]          `json:"tags"`
	Attachments several[jsonAttachment] `json:"attachments"`
}

// parseJSON reads a JSON Feed (https://jsonfeed.org/version/1.1). The list of items is
// read one by one.
func parseJSON(text []byte, base string) (Document, error) {
	var doc Document
	var home, author loose
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return doc, malformed("JSON: %w", err)
	}
	var items []Item
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return doc, malformed("JSON: %w", err)
		}
		if key == "items" {
			if items, doc.More, err = jsonItems(d, base); err != nil {
				return doc, err
			}
			continue
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return doc, malformed("JSON: %w", err)
		}
		var l loose
		l.UnmarshalJSON(raw)
		switch key {
		case "version":
			doc.Format = string(l)
		case "title":
			doc.Title = string(l)
		case "home_page_url":
			home = l
		case "description":
			doc.Description = string(l)
		case "author", "authors":
			author = jsonAuthor(raw)
		}
	}
	if _, err := d.Token(); err != nil {
		return doc, malformed("JSON: %w", err)
	}
	version := doc.Format[strings.LastIndexByte(doc.Format, '/')+1:]
	if version != "1" && !strings.HasPrefix(version, "1.") {
		return doc, malformed("JSON, but no JSON Feed: its version is %.60q", doc.Format)
	}
	doc.Format = "json " + shorten(clean(version, true), 20)
	doc.Link = resolve(base, string(home))
	for i := range items {
		if items[i].Author == "" {
			items[i].Author = shorten(clean(string(author), true), maxName)
		}
	}
	doc.Items = items
	return doc, nil
}

// jsonAuthor returns the name in an author, or in the first of a list of them.
func jsonAuthor(raw []byte) loose {
	var one jsonPerson
	var list several[jsonPerson]
	if json.Unmarshal(raw, &one) == nil {
		return one.Name
	}
	if json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		return list[0].Name
	}
	return ""
}

// jsonItems reads the list of items.
func jsonItems(d *json.Decoder, base string) (items []Item, more bool, err error) {
	t, err := d.Token()
	if err != nil {
		return nil, false, malformed("JSON: %w", err)
	}
	if t != json.Delim('[') {
		return nil, false, malformed("JSON: the items are no list")
	}
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, false, malformed("JSON: item %d: %w", len(items), err)
		}
		if len(items) == MaxItems || len(raw) > maxItemJSON {
			more = true
			continue
		}
		var j jsonItem
		if json.Unmarshal(raw, &j) != nil { // no object
			continue
		}
		var old struct {
			Author json.RawMessage `json:"author"`
		}
		if json.Unmarshal(raw, &old) == nil && len(j.Authors) == 0 && old.Author != nil {
			j.Author = several[jsonPerson]{{Name: jsonAuthor(old.Author)}}
		}
		items = append(items, j.item(base))
	}
	if _, err := d.Token(); err != nil {
		return nil, false, malformed("JSON: %w", err)
	}
	return items, more, nil
}

func (j jsonItem) item(base string) Item {
	it := Item{
		Title: string(j.Title), Link: resolve(base, string(j.URL)), Summary: string(j.Summary), Content: string(j.Text),
		Published: parseDate(string(j.Published)), Updated: parseDate(string(j.Modified)),
	}
	if it.Link == "" {
		it.Link = resolve(base, string(j.ExternalURL))
	}
	if j.HTML != "" {
		at := it.Link
		if at == "" {
			at = base
		}
		it.ContentHTML = string(j.HTML)
		if text := Text(it.ContentHTML, at); it.Content == "" {
			it.Content = text
		}
	}
	for _, a := range append(j.Authors, j.Author...) {
		if it.Author == "" {
			it.Author = string(a.Name)
		}
	}
	for _, tag := range j.Tags {
		it.Tags = append(it.Tags, string(tag))
	}
	for _, a := range j.Attachments {
		size, err := strconv.ParseFloat(string(a.Size), 64) // it may be 1e6
		if err != nil || size < 0 || size > maxNumber {
			size = 0
		}
		it.Attachments = append(it.Attachments, manifest.Attachment{URL: resolve(base, string(a.URL)), Type: string(a.Type), Name: string(a.Title), Size: int64(size)})
	}
	return it.finish(string(j.ID))
}
