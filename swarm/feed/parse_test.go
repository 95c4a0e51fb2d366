package feed

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mmcdole/gofeed"

	"handful/manifest"
)

// documents returns the feeds of others, by name.
func documents(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("testdata/documents/*")
	if err != nil || len(paths) < 9 {
		t.Fatalf("%d documents, %v", len(paths), err)
	}
	all := make(map[string][]byte)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = b
	}
	return all
}

// TestDocuments compares what is read with what another parser reads.
func TestDocuments(t *testing.T) {
	for name, b := range documents(t) {
		t.Run(name, func(t *testing.T) {
			doc, err := Parse(b, ParseOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want, err := gofeed.NewParser().ParseString(string(b))
			if err != nil {
				t.Fatal(err)
			}
			if doc.Title != Text(want.Title, "") || doc.Link != want.Link && want.Link != "" {
				t.Errorf("title %q, link %q; want %q, %q", doc.Title, doc.Link, want.Title, want.Link)
			}
			if len(doc.Items) != len(want.Items) || len(doc.Items) == 0 {
				t.Fatalf("%d items, want %d", len(doc.Items), len(want.Items))
			}
			for i, it := range doc.Items {
				compare(t, it, want.Items[i])
			}
		})
	}
}

func compare(t *testing.T, it Item, want *gofeed.Item) {
	t.Helper()
	date := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return t.UTC()
	}
	if it.Title != Text(want.Title, "") || it.Link != want.Link && want.Link != "" { // ours knows more places of links
		t.Errorf("title %q, link %q; want %q, %q", it.Title, it.Link, want.Title, want.Link)
	}
	if want.GUID != "" && it.ID != want.GUID || it.ID == "" {
		t.Errorf("%q: id %q, want %q", it.Title, it.ID, want.GUID)
	}
	if !it.Published.Equal(date(want.PublishedParsed)) || !it.Updated.Equal(date(want.UpdatedParsed)) {
		t.Errorf("%q: published %v, updated %v; want %v, %v", it.Title, it.Published, it.Updated, want.PublishedParsed, want.UpdatedParsed)
	}
	author := ""
	if len(want.Authors) > 0 {
		author = want.Authors[0].Name
	}
	if it.Author != author && author != "" {
		t.Errorf("%q: author %q, want %q", it.Title, it.Author, author)
	}
	if text := Text(want.Content, it.Link); want.Content == it.ContentHTML && it.Content != text && it.Content != "content_text" {
		t.Errorf("%q: content\n%q, want\n%q", it.Title, it.Content, text)
	}
	if text := Text(want.Description, it.Link); strings.Join(strings.Fields(it.Summary), " ") != strings.Join(strings.Fields(text), " ") {
		t.Errorf("%q: summary\n%q, want\n%q", it.Title, it.Summary, text)
	}
	var urls, wantURLs []string
	for _, a := range it.Attachments {
		urls = append(urls, a.URL)
	}
	for _, e := range want.Enclosures {
		wantURLs = append(wantURLs, e.URL)
	}
	if wantURLs != nil && !reflect.DeepEqual(urls, wantURLs) {
		t.Errorf("%q: attachments %q, want %q", it.Title, urls, wantURLs)
	}
}

// rssItem is an item in a document of its own.
func rssItem(item string) string {
	return `<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>T</title>` + item + `</channel></rss>`
}

func atomEntry(entry string) string {
	return `<feed xmlns="http://www.w3.org/2005/Atom"><title>T</title><author><name>Feed</name></author><entry>` + entry + `</entry></feed>`
}

func TestParseItem(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, doc string
		want      Item
	}{
		{"all of RSS", rssItem(`<item><title>A &amp;amp; B</title><link> http://x.example/1 </link><guid isPermaLink="false">g1</guid>
			<pubDate>Sun, 01 Mar 2026 13:30:00 +0100</pubDate><author>ann@x.example (Ann)</author><category>tea</category>
			<description>&lt;p&gt;one&lt;/p&gt;&lt;p&gt;two&lt;/p&gt;</description><enclosure url="http://x.example/a.mp3" length="5" type="audio/mpeg"/></item>`),
			Item{ID: "g1", Title: "A & B", Link: "http://x.example/1", Author: "Ann", Published: at, Summary: "one\n\ntwo", SummaryHTML: "<p>one</p><p>two</p>",
				Tags: []string{"tea"}, Attachments: []manifest.Attachment{{URL: "http://x.example/a.mp3", Type: "audio/mpeg", Size: 5}}}},
		{"guid is the link", rssItem(`<item><title>t</title><guid>http://x.example/1</guid></item>`),
			Item{ID: "http://x.example/1", Title: "t", Link: "http://x.example/1"}},
		{"less than is not markup", rssItem(`<item><guid>1</guid><title>a &lt; b &amp; c</title></item>`), Item{ID: "1", Title: "a < b & c"}},
		{"markup that is not escaped", rssItem(`<item><guid>1</guid><description>a <b>bold</b> move<br/>now</description></item>`),
			Item{ID: "1", Summary: "a bold move\nnow", SummaryHTML: "a <b>bold</b> move<br></br>now"}},
		{"Dublin Core", rssItem(`<item><guid>1</guid><dc:title>t</dc:title><dc:creator>Ann</dc:creator><dc:date>2026-03-01T12:30Z</dc:date><dc:subject>s</dc:subject></item>`),
			Item{ID: "1", Title: "t", Author: "Ann", Published: at, Tags: []string{"s"}}},
		{"all of Atom", atomEntry(`<id>urn:1</id><title type="html">A &amp;amp; B</title><link href="http://x.example/1"/><link rel="enclosure" href="http://x.example/a" length="7"/>
			<published>2026-03-01T12:30:00Z</published><updated>2026-03-01T13:30:00+01:00</updated><author><name>Ann</name><email>a@x.example</email></author>
			<category term="t1" label="Tea"/><summary>plain &lt;b&gt;</summary><content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>x <a href="/y">y</a></p></div></content>`),
			Item{ID: "urn:1", Title: "A & B", Link: "http://x.example/1", Author: "Ann", Published: at, Updated: at, Summary: "plain <b>",
				Content: "x y <http://x.example/y>", ContentHTML: `<div><p>x <a href="/y">y</a></p></div>`,
				Tags: []string{"Tea"}, Attachments: []manifest.Attachment{{URL: "http://x.example/a", Size: 7}}}},
		{"author of the feed", atomEntry(`<id>1</id><title>t</title>`), Item{ID: "1", Title: "t", Author: "Feed"}},
		{"xml:base", `<feed xmlns="http://www.w3.org/2005/Atom" xml:base="http://x.example/a/"><entry xml:base="b/"><id>1</id><title>t</title><link href="c"/></entry></feed>`,
			Item{ID: "1", Title: "t", Link: "http://x.example/a/b/c"}},
		{"script as a link", atomEntry(`<id>1</id><title>t</title><link href="javascript:alert(1)"/>`), Item{ID: "1", Title: "t", Author: "Feed"}},
		{"password in a link", atomEntry(`<id>1</id><title>t</title><link href="http://u:p@x.example/"/>`), Item{ID: "1", Title: "t", Author: "Feed", Link: "http://x.example/"}},
		{"RDF", `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"><channel><title>T</title></channel><item rdf:about="x"><title>t</title><link>http://x.example/</link></item></rdf:RDF>`,
			Item{ID: hashID("link", "http://x.example/", "t"), Title: "t", Link: "http://x.example/"}},
		{"numbers for texts", `{"version":"https://jsonfeed.org/version/1.1","items":[{"id":5,"title":7,"content_text":"x","tags":"none","attachments":[1,{"url":"http://x.example/","size_in_bytes":1e3}]}]}`,
			Item{ID: "5", Title: "7", Content: "x", Attachments: []manifest.Attachment{{URL: "http://x.example/", Size: 1000}}}},
		{"an entity that the document declares", `<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + rssItem(`<item><guid>1</guid><title>a&x;b&eacute;</title></item>`),
			Item{ID: "1", Title: "a&x;bé"}},
	} {
		doc, err := Parse([]byte(tt.doc), ParseOptions{})
		if err != nil || len(doc.Items) != 1 {
			t.Errorf("%s: %d items, %v", tt.name, len(doc.Items), err)
			continue
		}
		if !reflect.DeepEqual(doc.Items[0], tt.want) {
			t.Errorf("%s:\n%+v, want\n%+v", tt.name, doc.Items[0], tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, doc, want string }{
		{"nothing", "", "empty"},
		{"blanks", " \n", "empty"},
		{"text", "hello", "neither XML nor JSON"},
		{"a page", "<!DOCTYPE html><html><body>404</body></html>", `no feed: the first element is "html"`},
		{"no element", "<!-- -->", "without an element"},
		{"ends early", "<rss><channel><item><title>x", "XML"},
		{"other JSON", `{"a":1}`, "no JSON Feed"},
		{"items are no list", `{"version":"https://jsonfeed.org/version/1","items":{}}`, "no list"},
		{"JSON ends early", `{"version":"https://jsonfeed.org/version/1","items":[{"id":"1"}`, "JSON"},
		{"deep", "<rss>" + strings.Repeat("<a>", 10_000), "within each other"},
		{"many elements", "<rss>" + strings.Repeat("<a/>", maxElements), "more than 300000 elements"},
		{"large", strings.Repeat(" ", MaxDocument+1), "more than 8388608"},
	} {
		_, err := Parse([]byte(tt.doc), ParseOptions{})
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestParseBounds(t *testing.T) {
	many := rssItem(strings.Repeat("<item><title>t</title><description>"+strings.Repeat("x", 90)+"</description><guid></guid></item>", 10) +
		strings.Repeat("<item><guid>a</guid></item>", MaxItems))
	doc, err := Parse([]byte(many), ParseOptions{})
	if err != nil || !doc.More || len(doc.Items) != 2 {
		t.Errorf("%d items, more %v, %v", len(doc.Items), doc.More, err)
	}
	doc, err = Parse([]byte(rssItem("<item><title>"+strings.Repeat("é", 10_000)+"</title><description>"+strings.Repeat("x", 1<<20)+"</description>"+
		strings.Repeat("<category>c</category>", 100)+"</item>")), ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	it := doc.Items[0]
	if len(it.Title) > maxTitle || !utf8.ValidString(it.Title) || len(it.Summary) > maxText || len(it.Tags) != maxTags {
		t.Errorf("title %d, summary %d, tags %d", len(it.Title), len(it.Summary), len(it.Tags))
	}
}

// TestParseAddresses has a document of which every element is seen from elsewhere:
// that is worked out for so many of them.
func TestParseAddresses(t *testing.T) {
	entry := "<entry xml:base='http://x.example/" + strings.Repeat("z", 1500) + "/'><link href='y'/>" + strings.Repeat("<a xml:base='b'/>", 200) + "</entry>"
	doc, err := Parse([]byte("<feed xmlns='http://www.w3.org/2005/Atom'>"+strings.Repeat(entry, 101)+"</feed>"), ParseOptions{})
	if err != nil || !strings.HasSuffix(doc.Items[0].Link, "z/y") {
		t.Fatalf("%+v, %v", doc.Items, err)
	}
	p := newXMLReader(nil, "")
	for range maxResolved {
		p.resolve("http://x.example/", "y")
	}
	if got := p.resolve("http://x.example/", "y"); got != "" {
		t.Errorf("one too many: %q", got)
	}
}

func TestEncodings(t *testing.T) {
	const title = "<rss><channel><item><title>"
	for _, tt := range []struct{ name, doc, contentType, want string }{
		{"UTF-8", title + "é</title></item></channel></rss>", "", "é"},
		{"mark", "\xef\xbb\xbf" + title + "é</title></item></channel></rss>", "text/xml; charset=iso-8859-1", "é"},
		{"declared", `<?xml version="1.0" encoding="ISO-8859-1"?>` + title + "\xe9</title></item></channel></rss>", "", "é"},
		{"declared in quotes", `<?xml version='1.0' encoding='windows-1252'?>` + title + "\x80</title></item></channel></rss>", "", "€"},
		{"content type", title + "\xe9</title></item></channel></rss>", "application/rss+xml; charset=latin1", "é"},
		{"nothing says", title + "\x93x\x94</title></item></channel></rss>", "", "“x”"},
		{"unknown", `<?xml version="1.0" encoding="klingon"?>` + title + "é</title></item></channel></rss>", "", "é"},
		{"UTF-16", "\xff\xfe<\x00r\x00s\x00s\x00>\x00<\x00i\x00t\x00e\x00m\x00>\x00<\x00t\x00i\x00t\x00l\x00e\x00>\x00\xe9\x00<\x00/\x00t\x00i\x00t\x00l\x00e\x00>\x00<\x00/\x00i\x00t\x00e\x00m\x00>\x00<\x00/\x00r\x00s\x00s\x00>\x00", "", "é"},
		{"said UTF-16, is not", `<?xml version="1.0" encoding="UTF-16"?>` + title + "é</title></item></channel></rss>", "", "é"},
		{"stray byte", `<?xml version="1.0" encoding="UTF-8"?>` + title + "a\xffb\x01c</title></item></channel></rss>", "", "a\ufffdbc"},
		{"stray reference", title + "a&#1;&#xD800;&#99999999999;&#x41;</title></item></channel></rss>", "", "a\ufffd\ufffd\ufffdA"},
		{"Shift JIS", `<?xml version="1.0" encoding="Shift_JIS"?>` + title + "\x90\xa2\x8a\x45</title></item></channel></rss>", "", "世界"},
	} {
		doc, err := Parse([]byte(tt.doc), ParseOptions{ContentType: tt.contentType})
		if err != nil || len(doc.Items) != 1 || doc.Items[0].Title != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, doc.Items, err)
		}
	}
}

// TestIDs shows what an item without an id is called, and that neighbours and order
// do not matter.
func TestIDs(t *testing.T) {
	at := "<pubDate>Sun, 01 Mar 2026 12:30:00 GMT</pubDate>"
	ids := func(items ...string) []string {
		doc, err := Parse([]byte(rssItem(strings.Join(items, ""))), ParseOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, it := range doc.Items {
			out = append(out, it.ID)
		}
		return out
	}
	dated, renamed := "<item><link>http://x.example/</link><title>a</title>"+at+"</item>", "<item><link>http://x.example/</link><title>b</title>"+at+"</item>"
	if a, b := ids(dated), ids(renamed); a[0] != b[0] || !strings.HasPrefix(a[0], "urn:sha256:") {
		t.Errorf("an item with link and date that was renamed: %q, %q", a, b)
	}
	undated := "<item><link>http://x.example/</link><title>a</title></item>"
	other := "<item><link>http://x.example/</link><title>b</title></item>"
	if a, b := ids(undated, other), ids(other); len(a) != 2 || a[1] != b[0] {
		t.Errorf("two items of one link: %q, %q", a, b)
	}
	if a := ids("<item><title>a</title>"+at+"</item>", "<item><title>b</title>"+at+"</item>"); len(a) != 2 || a[0] == a[1] {
		t.Errorf("dates and titles only: %q", a)
	}
	if a := ids("<item><description>a</description></item>", "<item><description>b</description></item>", "<item><description>a</description></item>"); len(a) != 2 {
		t.Errorf("texts only: %q", a)
	}
	if a := ids("<item><guid>" + strings.Repeat("x", maxID+1) + "</guid></item>"); !strings.HasPrefix(a[0], "urn:sha256:") {
		t.Errorf("a long id: %q", a)
	}
	doc, err := Parse([]byte(rssItem("<item><guid>1</guid><title>old</title>"+at+"</item><item><guid>1</guid><title>new</title><pubDate>Mon, 02 Mar 2026 12:30:00 GMT</pubDate></item>")), ParseOptions{})
	if err != nil || len(doc.Items) != 1 || doc.Items[0].Title != "new" {
		t.Errorf("two items of one id: %+v, %v", doc.Items, err)
	}
}
