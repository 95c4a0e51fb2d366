package feed

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// checkItem fails unless an item is within its bounds, and its texts within theirs.
func checkItem(t *testing.T, it Item) {
	t.Helper()
	for what, s := range map[string]string{"id": it.ID, "title": it.Title, "author": it.Author, "link": it.Link} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			t.Fatalf("%s %+q", what, s)
		}
	}
	for what, s := range map[string]string{"summary": it.Summary, "content": it.Content} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) || len(s) > maxText {
			t.Fatalf("%s %+q", what, s)
		}
	}
	if it.ID == "" || len(it.ID) > maxID || len(it.Title) > maxTitle || len(it.Link) > maxLink || len(it.Author) > maxName || len(it.Tags) > maxTags || len(it.Attachments) > maxAttachments {
		t.Fatalf("too much: %+v", it)
	}
	if it.Link != webLink(it.Link) {
		t.Fatalf("link %q", it.Link)
	}
}

func FuzzParse(f *testing.F) {
	for _, b := range documents(f) {
		f.Add(b)
	}
	f.Add([]byte(rssItem("<item><title>a<b>c</d></title>&nbsp;</item>")))
	f.Add([]byte(atomEntry(`<content type="xhtml" xml:base="http://x/"><div><a href="y">z`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := Parse(b, ParseOptions{URL: "http://x.example/feed"})
		if err != nil {
			return
		}
		if len(doc.Items) > MaxItems {
			t.Fatalf("%d items", len(doc.Items))
		}
		seen := make(map[string]bool)
		for _, it := range doc.Items {
			checkItem(t, it)
			if seen[it.ID] {
				t.Fatalf("two items are called %q", it.ID)
			}
			seen[it.ID] = true
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add("<p>a<br>b</p><pre>\n x</pre><ul><li>c<li>d</ul><a href='/y'>z</a><blockquote>q<script>s</script>")
	f.Add("<head><title>x</title><body>y<table><tr><td>1<td>2</table>")
	f.Fuzz(func(t *testing.T, s string) {
		out := Text(s, "http://x.example/")
		if !utf8.ValidString(out) || strings.ContainsFunc(out, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Fatalf("%+q", out)
		}
		if strings.Contains(out, "\n\n\n") && !strings.Contains(s, "<pre") && !strings.Contains(strings.ToLower(s), "pre") {
			t.Fatalf("empty lines: %q", out)
		}
	})
}

func FuzzDate(f *testing.F) {
	f.Add("Sun, 01 Mar 2026 12:30:00 GMT")
	f.Add("2026-03-01T12:30:00.5+01:00")
	f.Fuzz(func(t *testing.T, s string) {
		if at := sane(parseDate(s)); !at.IsZero() && (at.Unix() <= 0 || at.Year() > 9999) {
			t.Fatalf("%q is %v", s, at)
		}
	})
}
