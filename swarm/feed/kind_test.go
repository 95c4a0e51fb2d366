package feed

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing/durable/crashfs"
)

// written encodes an entry and reads it again, as a follower gets it.
func written(t *testing.T, e manifest.Entry) manifest.Entry {
	t.Helper()
	b, err := manifest.EncodeEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	if e, err = manifest.ParseEntry(b); err != nil {
		t.Fatal(err)
	}
	return e
}

func head(i int) manifest.Header {
	return manifest.Header{Time: noon.Add(time.Duration(i) * time.Second).UnixMilli()}
}

// story is a post, content, and a post that is withdrawn.
func story(t *testing.T) (all []Entry) {
	for i, e := range []manifest.Entry{
		manifest.Post{Head: head(0), Title: "stays", Tags: []string{"pin"}},
		manifest.Media{Head: head(1), Name: "a.mp4", Size: 5, InfoSum: [32]byte{1}},
		manifest.Post{Head: head(2), Title: "secret", Body: "the code is 4711", Link: "https://example.org/x"},
		manifest.Delete{Head: head(3), Index: 2, Reason: "a <b>mistake</b>"},
	} {
		entry, ok := EntryOf(channel(t).ID, "m", int64(i), "fresh", written(t, e))
		if !ok {
			t.Fatalf("entry %d is nothing to read", i)
		}
		all = append(all, entry)
	}
	return all
}

func TestKinds(t *testing.T) {
	for _, e := range story(t) {
		again, err := ParseLine(e.Line())
		if err != nil || string(again.Line()) != string(e.Line()) {
			t.Errorf("%s: %v", e.Line(), err)
		}
	}
	for _, bad := range []string{`"kind":"del"`, `"kind":"post","withdraws":1`, `"kind":"rekey"`} {
		line := `{"type":"entry","channel":"` + channel(t).ID.String() + `","writer":"m","index":0,` + bad + `,"title":"x","time":"2026-01-01T00:00:00Z"}`
		if _, err := ParseLine([]byte(line)); err == nil {
			t.Errorf("%s was read", line)
		}
	}
}

// TestAttachedFiles: what a post brings along is an attachment by the entry's own link, wherever entries are shown; and however
// long the post is, it is shown.
func TestAttachedFiles(t *testing.T) {
	c := channel(t)
	files := []manifest.AttachedFile{{Name: "a <b>.pdf", Type: "application/pdf", Size: 5}, {Name: "empty"}}
	post := manifest.Post{Head: head(0), Title: "Slides", Attachments: []manifest.Attachment{{URL: "https://example.org/more"}},
		Attached: &manifest.Attached{Named: manifest.Named{InfoSum: [32]byte{1}, Name: "files", Size: 5}, Files: files}}
	e, ok := EntryOf(c.ID, "m", 7, "fresh", written(t, post))
	own := e.Brings()
	if !ok || len(own) != 2 || own[0].URL != "handful:"+c.ID.String()+"/m/7" || own[0].Name != "a <b>.pdf" || own[0].Size != 5 || len(e.Post.Attachments) != 3 {
		t.Fatalf("%v, %+v", ok, e.Post.Attachments)
	}
	again, err := ParseLine(e.Line())
	if err != nil || len(again.Brings()) != 2 || string(again.Line()) != string(e.Line()) {
		t.Errorf("%s: %v", e.Line(), err)
	}
	atom, rss, doc := string(Atom(c, "", []Entry{e})), string(RSS(c, "", []Entry{e})), string(JSON(c, "", []Entry{e}))
	if strings.Count(atom, `rel="enclosure"`) != 3 || !strings.Contains(atom, `title="a &lt;b&gt;.pdf"`) {
		t.Errorf("atom: %s", atom)
	}
	if strings.Count(rss, "<enclosure ") != 1 || !strings.Contains(rss, "a &amp;lt;b&amp;gt;.pdf, 5 bytes") || !strings.Contains(rss, "https://example.org/more") {
		t.Errorf("rss: %s", rss)
	}
	if strings.Count(doc, `"mime_type"`) != 3 {
		t.Errorf("json: %s", doc)
	}
	for len(files) < manifest.MaxAttached {
		files = append(files, manifest.AttachedFile{Name: strings.Repeat("n", 150+len(files))})
	}
	post.Attached.Files = files
	post.Body = strings.Repeat("x", manifest.MaxEntry-len(post.Bytes())-20)
	e, ok = EntryOf(c.ID, "m", 7, "fresh", written(t, post))
	if n := len(e.Brings()); !ok || n == 0 || n == manifest.MaxAttached || len(e.Post.Attachments) != n || len(e.Post.Body) != len(post.Body) {
		t.Errorf("of a post that fills its entry: %v, %d files", ok, n)
	}
}

func TestWithdrawnInDocuments(t *testing.T) {
	c := channel(t)
	for name, doc := range map[string][]byte{"atom": Atom(c, "", story(t)), "rss": RSS(c, "", story(t)), "json": JSON(c, "", story(t))} {
		text := string(doc)
		if strings.Contains(text, "4711") || strings.Contains(text, "secret") || strings.Contains(text, "example.org/x") {
			t.Errorf("%s shows what was withdrawn", name)
		}
		if !strings.Contains(text, "Withdrawn by its writer: a ") || strings.Contains(text, "<b>") {
			t.Errorf("%s does not say that it was withdrawn:\n%s", name, text)
		}
		if !strings.Contains(text, "a.mp4") || strings.Count(text, c.ID.String()+"/m/3") != 0 {
			t.Errorf("%s: content is missing, or the withdrawal is an item of its own:\n%s", name, text)
		}
	}
}

// TestPrune drops by count, keeps what is pinned and where to go on, and what was
// withdrawn goes at once.
func TestPrune(t *testing.T) {
	fs := crashfs.New()
	a, err := OpenArchive(fs, "a", channel(t).ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Append(noon, story(t)...); err != nil {
		t.Fatal(err)
	}
	dropped, err := a.Prune(Keep{}, nil, noon)
	if got, _ := a.Newest(10); err != nil || dropped != 1 || len(got) != 3 || got[2].Withdraws != 2 {
		t.Fatalf("without bounds %d were dropped, %v are left: %v", dropped, got, err)
	}
	dropped, err = a.Prune(Keep{Age: time.Nanosecond}, []string{"pin"}, noon.Add(time.Hour))
	if got, _ := a.Newest(10); err != nil || dropped != 1 || len(got) != 2 || got[0].Post.Title != "stays" {
		t.Fatalf("%d were dropped, %v are left: %v", dropped, got, err)
	}
	next, _ := EntryOf(channel(t).ID, "m", 4, "fresh", written(t, manifest.Post{Head: head(9), Title: "next"}))
	if err := a.Append(noon, next); err != nil {
		t.Fatal(err)
	}
	b, err := OpenArchive(fs, "a", channel(t).ID)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := b.Newest(10); len(got) != 3 || got[2].Post.Title != "next" || b.Position()["m"] != 5 {
		t.Fatalf("after a restart %v, position %s", got, b.Position())
	}
}

func TestGuard(t *testing.T) {
	h := Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), "tv.lan")
	for host, want := range map[string]int{
		"127.0.0.1:6880": 204, "[::1]:6880": 204, "localhost": 204, "LOCALHOST:1": 204, "192.168.1.5:6880": 204, "TV.lan:6880": 204,
		"evil.example": 403, "127.0.0.1.evil.example:6880": 403, "localhost.evil.example": 403, "": 403, "tv.lan.evil.example": 403,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}
