package feed

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/mmcdole/gofeed"

	"handful/manifest"
	"handful/signing"
)

// channel is the channel of the tests.
func channel(t testing.TB) Channel {
	t.Helper()
	id, err := signing.ParseID("aguxy4dwaytkkn4dlhx5275g2opvumw6a27faj6e")
	if err != nil {
		t.Fatal(err)
	}
	return Channel{ID: id, Name: "news", Title: "News & <more>"}
}

// entriesOf puts posts into a channel, as its writer m.
func entriesOf(c Channel, posts ...manifest.Post) []Entry {
	var out []Entry
	for i, p := range posts {
		out = append(out, Entry{Channel: c.ID, Writer: "m", Index: int64(i), Post: p})
	}
	return out
}

var writers = map[string]func(Channel, string, []Entry) []byte{"atom": Atom, "rss": RSS, "json": JSON}

// TestRoundTrip imports the documents of others, writes them in each format, and has
// another parser read them.
func TestRoundTrip(t *testing.T) {
	for name, b := range documents(t) {
		doc, err := Parse(b, ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		changes, _ := Plan(doc.Items, State{}, PlanOptions{PostOptions: PostOptions{Time: noon}})
		var posts []manifest.Post
		for _, c := range changes {
			b, err := manifest.EncodeEntry(c.Post)
			if err != nil {
				t.Fatal(err)
			}
			e, err := manifest.ParseEntry(b) // through the log
			if err != nil {
				t.Fatal(err)
			}
			posts = append(posts, e.(manifest.Post))
		}
		entries := entriesOf(channel(t), posts...)
		for format, write := range writers {
			t.Run(name+" as "+format, func(t *testing.T) {
				out := write(channel(t), "http://127.0.0.1/feed/news", entries)
				feed, err := gofeed.NewParser().Parse(bytes.NewReader(out))
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if len(feed.Items) != len(doc.Items) {
					t.Fatalf("%d items, want %d", len(feed.Items), len(doc.Items))
				}
				items := oldestFirst(doc.Items)
				for i, got := range feed.Items {
					sameItem(t, got, items[len(items)-1-i], entries[len(items)-1-i])
				}
				reread(t, out, items, entries)
			})
		}
	}
}

// sameItem compares an item of a document that we wrote with the one that was imported.
func sameItem(t *testing.T, got *gofeed.Item, want Item, e Entry) {
	t.Helper()
	title := want.Title
	if title == "" && got.Title != "" {
		title, _, _ = strings.Cut(want.Text(), "\n")
	}
	if got.Title != title || got.Link != want.Link {
		t.Errorf("title %q, link %q; want %q, %q", got.Title, got.Link, title, want.Link)
	}
	id := want.ID
	if !absolute.MatchString(id) {
		id = "handful:aguxy4dwaytkkn4dlhx5275g2opvumw6a27faj6e/m?id=" + url.QueryEscape(want.ID)
	}
	if got.GUID != id {
		t.Errorf("id %q, want %q", got.GUID, id)
	}
	published := want.Published
	if published.IsZero() {
		published = noon
	}
	if got.PublishedParsed == nil || !got.PublishedParsed.Equal(published.Truncate(time.Second)) && !got.PublishedParsed.Equal(published.Truncate(time.Millisecond)) {
		t.Errorf("published %v, want %v", got.PublishedParsed, published)
	}
	if got.UpdatedParsed != nil && want.Updated.After(want.Published) && !got.UpdatedParsed.Equal(e.Updated()) && !got.UpdatedParsed.Equal(e.Updated().Truncate(time.Second)) {
		t.Errorf("updated %v, want %v", got.UpdatedParsed, want.Updated)
	}
	if want.Author != "" && (len(got.Authors) == 0 || got.Authors[0].Name+got.Authors[0].Email != want.Author) {
		t.Errorf("authors %v, want %q", got.Authors, want.Author)
	}
	if len(want.Attachments) > 0 && (len(got.Enclosures) == 0 || got.Enclosures[0].URL != want.Attachments[0].URL) {
		t.Errorf("attachments %v, want %v", got.Enclosures, want.Attachments)
	}
}

// reread imports what we wrote: nothing is new but what a format cannot say.
func reread(t *testing.T, b []byte, items []Item, entries []Entry) {
	t.Helper()
	doc, err := Parse(b, ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range oldestFirst(doc.Items) {
		want := entries[i]
		if got.ID != want.sourceID() || items[i].Title != "" && got.Title != items[i].Title {
			t.Errorf("reread: %q %q, want %q %q", got.ID, got.Title, want.sourceID(), items[i].Title)
		}
		if strings.Join(strings.Fields(got.Text()), " ") != strings.Join(strings.Fields(want.Post.Body), " ") {
			t.Errorf("reread: text %q, want %q", got.Text(), want.Post.Body)
		}
	}
}

// hostile are posts that want to be more than text.
func hostile() []manifest.Post {
	head := manifest.Header{Time: noon.UnixMilli()}
	return []manifest.Post{
		{Head: head, Title: `</title><script>alert("1")</script>`, Body: "<b>not bold</b> & ]]> <![CDATA[x]]> &lt;i&gt;\n\nsecond\nline"},
		{Head: head, Title: "control \x1b[31m\x00\x07 and \u009b", Body: "\ufffe\uffff\ufeff\x0b text", Link: "javascript:alert(1)", Author: "A \"quoted\" <author>"},
		{Head: head, Title: "links", Body: "b", Link: `http://x.example/"><script>`, Tags: []string{`"><x>`, "\x01"}, Attachments: []manifest.Attachment{{URL: "data:text/html,x"}, {URL: `http://x.example/?a=1&b="2"`, Type: `"><x>`, Size: -5}}},
		{Head: head, Title: "ids", ID: "handful:aguxy4dwaytkkn4dlhx5275g2opvumw6a27faj6e/m/0", ReplyTo: "../../x"},
		{Head: head, Title: "ids", ID: "urn:x<y>", ReplyTo: "m/3"},
		{Head: manifest.Header{Time: 1<<53 - 1}, Title: "far future", Published: 1<<53 - 1, Updated: 1<<53 - 1},
	}
}

func TestHostilePosts(t *testing.T) {
	c := channel(t)
	c.Title = "</title>\x1b]0;x\x07"
	entries := entriesOf(c, hostile()...)
	for format, write := range writers {
		out := write(c, `http://127.0.0.1/feed/"<x>&`, entries)
		if bytes.ContainsFunc(out, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }) {
			t.Errorf("%s: control characters:\n%q", format, out)
		}
		for _, bad := range []string{"<script", "<x>", "javascript:", "data:text"} {
			if bytes.Contains(out, []byte(bad)) {
				t.Errorf("%s: %s in\n%s", format, bad, out)
			}
		}
		if format != "json" {
			d := xml.NewDecoder(bytes.NewReader(out))
			for {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%s: %v", format, err)
				}
			}
		}
		feed, err := gofeed.NewParser().Parse(bytes.NewReader(out))
		if err != nil || len(feed.Items) != len(entries) {
			t.Fatalf("%s: %v", format, err)
		}
		seen := make(map[string]bool)
		for _, it := range feed.Items {
			if it.Published == "" || seen[it.GUID] {
				t.Errorf("%s: %q twice, or not published: %q", format, it.GUID, it.Published)
			}
			seen[it.GUID] = true
		}
		for i, want := range map[int]string{5: `</title><script>alert("1")</script>`, 4: "control [31m and"} {
			if got := feed.Items[i].Title; got != want {
				t.Errorf("%s: title %q, want %q", format, got, want)
			}
		}
		want := "<b>not bold</b> & ]]> <![CDATA[x]]> &lt;i&gt;\n\nsecond\nline"
		doc, err := Parse(out, ParseOptions{})
		if err != nil || doc.Items[5].Text() != want {
			t.Errorf("%s: text %q, %v; want %q", format, doc.Items[5].Text(), err, want)
		}
	}
	for s, want := range map[string]string{"m/3": "handful:" + c.ID.String() + "/m/3", c.ID.String() + "/ann/0": "handful:" + c.ID.String() + "/ann/0", "m": "", "../../x": "", "m/03": "", "x/m/1": "", "m/1?dn=x": "handful:" + c.ID.String() + "/m/1"} {
		if got := replyURI(c.ID, s); got != want {
			t.Errorf("reply to %q: %q, want %q", s, got, want)
		}
	}
}

// TestVersions shows which of several versions is in a document, and as what.
func TestVersions(t *testing.T) {
	c := channel(t)
	at := func(minutes int) manifest.Header {
		return manifest.Header{Time: noon.Add(time.Duration(minutes) * time.Minute).UnixMilli()}
	}
	entries := entriesOf(c,
		manifest.Post{Head: at(0), Title: "one", ID: "urn:1"},
		manifest.Post{Head: at(1), Title: "of our own"},
		manifest.Post{Head: at(2), Title: "one, mended", ID: "urn:1"},
		manifest.Post{Head: at(3), Title: "guid", ID: "a guid"},
	)
	entries = append(entries, Entry{Channel: c.ID, Writer: "eve", Index: 0, Post: manifest.Post{Head: at(4), Title: "in the name of m", ID: "urn:1"}})
	var got []string
	for _, s := range versions(entries) {
		got = append(got, s.id+" "+s.title+" "+s.updated.Format("15:04"))
	}
	id := "handful:" + c.ID.String()
	want := []string{id + "/eve/0 in the name of m 12:04", id + "/m?id=a+guid guid 12:03", id + "/m/1 of our own 12:01", "urn:1 one, mended 12:02"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	for i, j := 0, len(entries)-1; i < j; i, j = i+1, j-1 {
		entries[i], entries[j] = entries[j], entries[i]
	}
	if again := versions(entries); again[0].title != "in the name of m" || again[3].title != "one, mended" {
		t.Errorf("in another order: %+v", again)
	}
}

// TestAuthors: nobody speaks in the name of another writer, and no text turns the direction of
// all letters.
func TestAuthors(t *testing.T) {
	c := channel(t)
	head := manifest.Header{Time: noon.UnixMilli()}
	entries := entriesOf(c, manifest.Post{Head: head, Title: "a\u202egnp.exe", Author: "Zoe", Tags: []string{"\u202dx"}}, manifest.Post{Head: head, Title: "own", Body: "\u202e"})
	for _, by := range []string{"", "Zoe"} {
		entries = append(entries, Entry{Channel: c.ID, Writer: "alice", Index: int64(len(by)), Post: manifest.Post{Head: head, Title: "of alice", Author: by}})
	}
	for format, write := range writers {
		out := write(c, "http://127.0.0.1/feed/x", entries)
		if bytes.ContainsAny(out, "\u202d\u202e") {
			t.Errorf("%s has overrides:\n%s", format, out)
		}
		doc, err := Parse(out, ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]int)
		for _, it := range doc.Items {
			got[it.Author]++
		}
		own := ""
		if format == "atom" {
			own = c.Title // of the feed, which entries without one inherit
		}
		if want := map[string]int{"Zoe": 1, own: 1, "alice": 1, "Zoe (alice)": 1}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: authors %v, want %v", format, got, want)
		}
	}
}

func TestOPML(t *testing.T) {
	c := channel(t)
	out := OPML("http://127.0.0.1:6881", []Channel{c, {ID: c.ID, Name: "a.b-c"}})
	var doc struct {
		Version string `xml:"version,attr"`
		Outline []struct {
			Text string `xml:"text,attr"`
			Type string `xml:"type,attr"`
			URL  string `xml:"xmlUrl,attr"`
		} `xml:"body>outline"`
	}
	if err := xml.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Version != "2.0" || len(doc.Outline) != 2 || doc.Outline[0].Text != c.Title || doc.Outline[0].URL != "http://127.0.0.1:6881/feed/news.atom" ||
		doc.Outline[1].Text != "handful:"+c.ID.String() || doc.Outline[1].Type != "rss" {
		t.Errorf("%+v\n%s", doc, out)
	}
}

// TestExample keeps the worked example of the package doc true.
func TestExample(t *testing.T) {
	c := channel(t)
	out := Atom(c, "http://127.0.0.1:6881/feed/news.atom", entriesOf(c, manifest.Post{Head: manifest.Header{Time: 1766400121000}, Title: "Tea at four"}))
	src, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var doc strings.Builder
	for line := range strings.Lines(string(src)) {
		doc.WriteString(strings.TrimLeft(strings.TrimPrefix(line, "//"), " \t"))
	}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(doc.String(), strings.TrimSpace(line)) {
			t.Errorf("not in doc.go: %s", line)
		}
	}
}
