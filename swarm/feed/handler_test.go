package feed

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"handful/manifest"
	"handful/signing"
)

// memory is a Source that keeps its entries in memory.
type memory struct {
	mu       sync.Mutex
	channels []Channel
	entries  []Entry // in the order in which they came
	readers  map[chan struct{}]bool
	broken   error
}

func newMemory(t testing.TB) *memory {
	return &memory{channels: []Channel{channel(t)}, readers: make(map[chan struct{}]bool)}
}

func (m *memory) add(posts ...manifest.Post) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range posts {
		p.Head.Time = noon.UnixMilli() + int64(len(m.entries))
		m.entries = append(m.entries, Entry{Channel: m.channels[0].ID, Writer: "m", Index: int64(len(m.entries)), State: "fresh", Post: p})
	}
	for c := range m.readers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (m *memory) Channels(context.Context) ([]Channel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.channels), m.broken
}

func (m *memory) Newest(_ context.Context, _ signing.ID, n int) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.entries[max(len(m.entries)-n, 0):]), m.broken
}

func (m *memory) Since(_ context.Context, _ signing.ID, from Cursor, n int) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Entry
	for _, e := range m.entries {
		if !from.Has(e) && len(out) < n {
			out = append(out, e)
		}
	}
	return out, m.broken
}

func (m *memory) Position(context.Context, signing.ID) (Cursor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var c Cursor
	for _, e := range m.entries {
		c = c.With(e)
	}
	return c, m.broken
}

func (m *memory) Subscribe(signing.ID) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readers[c] = true
	return c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.readers, c)
	}
}

func (m *memory) subscribers() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.readers)
}

// ask sends a request to h itself.
func ask(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	src := newMemory(t)
	src.add(manifest.Post{Title: "Tea"})
	h := NewHandler(src, HandlerOptions{Now: func() time.Time { return noon }})
	for path, want := range map[string]string{
		"/feed/news.atom": "application/atom+xml; charset=utf-8", "/feed/news.rss": "application/rss+xml; charset=utf-8",
		"/feed/news.json": "application/feed+json; charset=utf-8", "/feeds.opml": "text/x-opml; charset=utf-8",
	} {
		w := ask(h, "GET", path)
		if w.Code != 200 || w.Header().Get("Content-Type") != want || !strings.Contains(w.Body.String(), "http://example.com/feed/news.") {
			t.Errorf("%s: %d %q\n%s", path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		if !strings.HasPrefix(w.Header().Get("ETag"), `"`) || w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "'none'") || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, w.Header())
		}
		if w := ask(h, "HEAD", path); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("ETag") == "" {
			t.Errorf("HEAD %s: %d, %d bytes", path, w.Code, w.Body.Len())
		}
	}
	for path, want := range map[string]int{
		"/": 404, "/feed/": 404, "/feed/news": 404, "/feed/other.atom": 404, "/feed/.atom": 404, "/feed/news.atom/": 404, "/feed/../feeds.opml": 404,
		"/feed/other/events": 404, "/feed/news.txt": 404, "/feed/news/events?last=x": 400, "/feed/news/events?last=-1": 400, "/feed/news/events?last=1001": 400, "/feed/news/events?since=m": 400,
	} {
		if w := ask(h, "GET", path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	if w := ask(h, "POST", "/feed/news.atom"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", w.Code, w.Header())
	}
	r := httptest.NewRequest("GET", "/feed/news.atom", nil)
	r.Host = `x"><script>`
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 400 {
		t.Errorf("a Host that is none: %d", w.Code)
	}
	src.broken = errors.New("/home/ann/secret: input/output error")
	if w := ask(h, "GET", "/feed/news.atom"); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("broken: %d %q", w.Code, w.Body)
	}
}

func TestHandlerConditional(t *testing.T) {
	src, now := newMemory(t), noon
	h := NewHandler(src, HandlerOptions{Now: func() time.Time { return now }, Entries: 2})
	src.add(manifest.Post{Title: "one"})
	first := ask(h, "GET", "/feed/news.atom")
	tag, modified := first.Header().Get("ETag"), first.Header().Get("Last-Modified")
	if modified != noon.Format(http.TimeFormat) {
		t.Errorf("Last-Modified %q", modified)
	}
	now = now.Add(time.Hour)
	for name, header := range map[string][]string{"tag": {"If-None-Match", tag}, "date": {"If-Modified-Since", modified}, "one of tags": {"If-None-Match", `"x", ` + tag}} {
		if w := ask(h, "GET", "/feed/news.atom", header...); w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
			t.Errorf("%s: %d, %d bytes", name, w.Code, w.Body.Len())
		}
	}
	now = noon // a second one within the same second, and the clock was set back
	src.add(manifest.Post{Title: "two"})
	for name, header := range map[string][]string{"tag": {"If-None-Match", tag}, "date": {"If-Modified-Since", modified}, "both": {"If-None-Match", tag, "If-Modified-Since", modified}} {
		w := ask(h, "GET", "/feed/news.atom", header...)
		if w.Code != 200 || w.Header().Get("ETag") == tag || w.Header().Get("Last-Modified") == modified {
			t.Errorf("changed, %s: %d %v", name, w.Code, w.Header())
		}
	}
	src.add(manifest.Post{Title: "three"})
	doc, err := Parse(ask(h, "GET", "/feed/news.json").Body.Bytes(), ParseOptions{})
	if err != nil || len(doc.Items) != 2 || doc.Items[0].Title != "three" {
		t.Errorf("%+v, %v", doc.Items, err)
	}
}

// reader reads an event stream over a real connection.
type reader struct {
	t    *testing.T
	res  *http.Response
	scan *bufio.Scanner
}

func listen(t *testing.T, url, lastID string) *reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %d %v", url, res.StatusCode, res.Header)
	}
	return &reader{t, res, bufio.NewScanner(res.Body)}
}

// event returns the id and the data of the next message, "" for none.
func (r *reader) event() (id string, e Entry) {
	r.t.Helper()
	for r.scan.Scan() {
		line := r.scan.Text()
		switch {
		case line == "":
			return id, e
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "data: "):
			var err error
			if e, err = ParseLine([]byte(line[6:])); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	r.t.Fatalf("the stream ended: %v", r.scan.Err())
	return "", Entry{}
}

func TestEvents(t *testing.T) {
	src := newMemory(t)
	h, ended := NewHandler(src, HandlerOptions{Now: time.Now, Streams: 3}), make(chan struct{}, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		ended <- struct{}{}
	}))
	defer srv.Close()
	defer srv.CloseClientConnections()
	url := srv.URL + "/feed/news/events"
	src.add(manifest.Post{Title: "0"}, manifest.Post{Title: "1"})

	live := listen(t, url, "")
	if id, e := live.event(); id != "m:2" || e.Writer != "" {
		t.Fatalf("it begins with %q %+v", id, e)
	}
	src.add(manifest.Post{Title: "2", Body: "two\nlines"})
	if id, e := live.event(); id != "m:3" || e.Post.Title != "2" || e.Post.Body != "two\nlines" || e.State != "fresh" || e.URI() != "handful:"+channel(t).ID.String()+"/m/2" {
		t.Fatalf("%q %+v", id, e)
	}
	live.res.Body.Close()

	src.add(manifest.Post{Title: "3"}, manifest.Post{Title: "4"})
	resumed := listen(t, url, "m:3") // it has 0, 1 and 2
	resumed.event()
	for _, want := range []string{"3", "4"} {
		if id, e := resumed.event(); e.Post.Title != want || id != "m:"+string(want[0]+1) {
			t.Fatalf("resumed: %q %+v, want %s", id, e, want)
		}
	}
	last := listen(t, url+"?last=2", "")
	last.event()
	for _, want := range []string{"3", "4"} {
		if id, e := last.event(); e.Post.Title != want || id != "m:5" {
			t.Fatalf("the last ones: %q %+v, want %s", id, e, want)
		}
	}
	for range 3 * batch {
		src.add(manifest.Post{Title: "many"})
	}
	for i := range 3 * batch {
		if id, e := resumed.event(); e.Index != int64(5+i) {
			t.Fatalf("of many: %q, %d, want %d", id, e.Index, 5+i)
		}
	}
	<-ended // the first reader has left
	listen(t, url, "")
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("a fourth reader: %d", res.StatusCode)
	}
}

// TestEventsSlow lets a reader take nothing: it is cut off and costs nothing more.
func TestEventsSlow(t *testing.T) {
	src := newMemory(t)
	done := make(chan struct{})
	h := NewHandler(src, HandlerOptions{Now: time.Now, WriteTimeout: 50 * time.Millisecond})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	defer srv.CloseClientConnections()
	for range 2000 {
		src.add(manifest.Post{Title: "large", Body: strings.Repeat("x", 40_000)})
	}
	listen(t, srv.URL+"/feed/news/events?since=m:1", "")
	<-done
	if n := src.subscribers(); n != 0 || h.streams.Load() != 0 {
		t.Errorf("%d subscribers, %d streams are left", n, h.streams.Load())
	}
}

// piped is a ResponseWriter into a pipe, for the simulated clock.
type piped struct {
	*io.PipeWriter
	header http.Header
}

func (p piped) Header() http.Header { return p.header }
func (p piped) WriteHeader(int)     {}
func (p piped) Flush()              {}

func TestEventsHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHandler(newMemory(t), HandlerOptions{Now: time.Now})
		ctx, cancel := context.WithCancel(t.Context())
		in, out := io.Pipe()
		began := time.Now()
		go func() {
			h.ServeHTTP(piped{out, make(http.Header)}, httptest.NewRequest("GET", "/feed/news/events", nil).WithContext(ctx))
			out.Close()
		}()
		lines := bufio.NewScanner(in)
		var got []string
		for lines.Scan() && len(got) < 4 {
			if lines.Text() != "" {
				got = append(got, strconv.Itoa(int(time.Since(began).Seconds()))+" "+lines.Text())
			}
		}
		if want := []string{"0 retry: 3000", "15 :", "30 :", "45 :"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		cancel()
		io.Copy(io.Discard, in)
	})
}

func TestCursor(t *testing.T) {
	for _, s := range []string{"", "m:1", "ann:4 m:13", "a.b-c_d:9007199254740991"} {
		c, err := ParseCursor(s)
		if err != nil || c.String() != s {
			t.Errorf("%q: %q, %v", s, c, err)
		}
	}
	for _, s := range []string{"m", "m:", "m:0", "m:-1", "m:01", "m:+1", ":1", "M:1", "m:1 ", "m:1  n:1", "n:1 m:1", "m:1 m:2", "m:9007199254740992", "m:1\n", strings.Repeat("m:1 ", 1000)} {
		if c, err := ParseCursor(s); err == nil {
			t.Errorf("%q is taken for %q", s, c)
		}
	}
	c := Cursor{"m": 2}
	if d := c.With(Entry{Writer: "m", Index: 5}); c["m"] != 2 || d["m"] != 6 || d.Has(Entry{Writer: "m", Index: 6}) || !d.Has(Entry{Writer: "m", Index: 3}) {
		t.Errorf("%v, %v", c, d)
	}
	if d := c.With(Entry{Writer: "m", Index: 0}); cmp.Compare(d["m"], 2) != 0 {
		t.Errorf("%v", d)
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("ann:4 m:13")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseCursor(s); err == nil && c.String() != s {
			t.Fatalf("%q prints back as %q", s, c.String())
		}
	})
}
