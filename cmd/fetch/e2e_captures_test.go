package main_test

import (
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mmcdole/gofeed"
)

// testCaptures imports feeds as they were found in the wild (swarm/feed/testdata/README.md) with the real programs, and has
// another parser read the originals and what comes out again, in each format: all items, with the same titles, links, dates
// and ids. What is different is said in checkCapture.
func testCaptures(t *testing.T, l *lab) {
	captures, err := filepath.Glob(filepath.Join("..", "..", "swarm", "feed", "testdata", "captures", "*-*.*"))
	if err != nil || len(captures) < 8 {
		t.Fatalf("%d captures, %v", len(captures), err)
	}
	first, second := l.local(t), l.local(t)
	began := time.Now()
	holder := first.start("seed", "serve")
	holder.await("listening", is("listening"))
	serve := second.start("fetch", "serve", "--http", "127.0.0.1:0")
	base := strings.TrimSuffix(serve.await("feeds", is("feeds")).URL, "/feeds.opml")
	for _, path := range captures {
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		abs, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		source, err := gofeed.NewParser().ParseString(string(b))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p := first.start("seed", "feed", "import", abs, "-c", name)
		link := p.await("the first post", is("posted")).Link
		if code := p.wait(); code != 0 {
			t.Fatalf("%s: the import ended with %d\n%s", name, code, p.tail())
		}
		second.once(0, link, "--name", name, "--last", "1000")
		for _, format := range []string{"atom", "rss", "json"} {
			t.Run(name+" as "+format, func(t *testing.T) {
				_, doc := get(t, base+"/feed/"+name+"."+format, "")
				out, err := gofeed.NewParser().ParseString(doc)
				if err != nil {
					t.Fatalf("%v\n%.2000s", err, doc)
				}
				checkCapture(t, source.Items, out.Items, began)
			})
		}
	}
}

var (
	uri    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$`)
	markup = regexp.MustCompile(`<[^>]*>`)
)

// checkCapture compares the items of a source with those that came out, each with its own. They differ in this:
//
//   - Titles come out as text in one line. HTML in a title loses its tags, and blanks become one.
//   - An id that is no URI, such as "19317", cannot stand in Atom, and is not that of the same number in another feed of
//     the same channel: it becomes urn:sha256 of both, the same in every format.
//   - A blank at the end of a link is no part of it: one of Daring Fireball's has one.
//   - An item without a date gets that of its import.
func checkCapture(t *testing.T, source, out []*gofeed.Item, began time.Time) {
	t.Helper()
	if len(source) != len(out) || len(out) == 0 {
		t.Fatalf("%d items came out of %d", len(out), len(source))
	}
	byID, byLink := make(map[string]*gofeed.Item), make(map[string]*gofeed.Item)
	for _, it := range out {
		if byID[it.GUID] != nil {
			t.Errorf("two items are called %q", it.GUID)
		}
		byID[it.GUID], byLink[it.Link] = it, it
	}
	for _, want := range source {
		got := byID[want.GUID]
		if !uri.MatchString(want.GUID) {
			if got = byLink[strings.TrimSpace(want.Link)]; got != nil && !strings.HasPrefix(got.GUID, "urn:sha256:") {
				t.Errorf("%q is called %q", want.GUID, got.GUID)
			}
		}
		if got == nil {
			t.Errorf("%q (%s) did not come out", want.Title, want.GUID)
			continue
		}
		title := strings.Join(strings.Fields(html.UnescapeString(markup.ReplaceAllString(want.Title, ""))), " ")
		if got.Title != title && title != "" {
			t.Errorf("title %q, want %q", got.Title, title)
		}
		if got.Link != strings.TrimSpace(want.Link) {
			t.Errorf("%q: link %q, want %q", title, got.Link, want.Link)
		}
		switch {
		case got.PublishedParsed == nil:
			t.Errorf("%q: no date", title)
		case want.PublishedParsed == nil && got.PublishedParsed.Before(began.Truncate(time.Second)):
			t.Errorf("%q: without a date it is of %v", title, got.PublishedParsed)
		case want.PublishedParsed != nil && !got.PublishedParsed.Truncate(time.Second).Equal(want.PublishedParsed.Truncate(time.Second)):
			t.Errorf("%q: published %v, want %v", title, got.PublishedParsed, want.PublishedParsed)
		}
		if up := want.UpdatedParsed; up != nil && got.UpdatedParsed != nil && want.PublishedParsed != nil && up.After(*want.PublishedParsed) &&
			!got.UpdatedParsed.Truncate(time.Second).Equal(up.Truncate(time.Second)) {
			t.Errorf("%q: updated %v, want %v", title, got.UpdatedParsed, up)
		}
	}
}
