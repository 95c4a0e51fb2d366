package feed

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sameServer sends every request to one server, whatever its host: a world of names.
type sameServer struct{ addr string }

func (s sameServer) RoundTrip(r *http.Request) (*http.Response, error) {
	there := r.Clone(r.Context())
	there.URL.Scheme, there.URL.Host = "http", s.addr
	res, err := http.DefaultTransport.RoundTrip(there)
	if err == nil {
		res.Request = r
	}
	return res, err
}

// fetcher returns a Fetcher of which all requests end at h.
func fetcher(t *testing.T, h http.HandlerFunc) *Fetcher {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &Fetcher{Client: &http.Client{Transport: sameServer{srv.Listener.Addr().String()}}, Now: func() time.Time { return noon }, UserAgent: "test"}
}

func TestFetchConditional(t *testing.T) {
	body, tag := rssItem("<item><guid>1</guid><title>one</title></item>"), `"v1"`
	const modified = "Sun, 01 Mar 2026 12:00:00 GMT"
	f := fetcher(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		w.Header().Set("Last-Modified", modified)
		if r.UserAgent() != "test" {
			t.Errorf("user agent %q", r.UserAgent())
		}
		if r.Header.Get("If-None-Match") == tag && r.Header.Get("If-Modified-Since") == modified {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, body)
	})
	v := Validators{URL: "http://x.example/feed"}
	got, err := f.Fetch(t.Context(), v)
	if err != nil || got.Unchanged || len(got.Document.Items) != 1 || got.Validators != (Validators{URL: v.URL, ETag: tag, LastModified: modified}) {
		t.Fatalf("first: %+v, %v", got, err)
	}
	got, err = f.Fetch(t.Context(), got.Validators)
	if err != nil || !got.Unchanged || got.Validators.ETag != tag || got.Validators.LastModified != modified {
		t.Fatalf("unchanged: %+v, %v", got, err)
	}
	tag = `"v2"`
	got, err = f.Fetch(t.Context(), got.Validators)
	if err != nil || got.Unchanged || got.Validators.ETag != tag {
		t.Fatalf("changed: %+v, %v", got, err)
	}
}

func TestFetchAnswers(t *testing.T) {
	packed := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, s)
		z.Close()
		return b.String()
	}
	doc := rssItem("<item><guid>1</guid><title>é</title></item>")
	f := fetcher(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/ok":
			io.WriteString(w, doc)
		case "/latin":
			h.Set("Content-Type", "text/xml; charset=iso-8859-1")
			io.WriteString(w, strings.ReplaceAll(doc, "é", "\xe9"))
		case "/gzip":
			h.Set("Content-Encoding", "gzip")
			io.WriteString(w, packed(doc))
		case "/bomb":
			h.Set("Content-Encoding", "gzip")
			io.WriteString(w, packed("<rss>"+strings.Repeat(" ", MaxDocument)+"</rss>"))
		case "/brotli":
			h.Set("Content-Encoding", "br")
		case "/large":
			io.WriteString(w, strings.Repeat(" ", MaxDocument+1))
		case "/cut":
			h.Set("Content-Length", "1000")
			io.WriteString(w, "<rss/>")
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/busy":
			h.Set("Retry-After", r.URL.RawQuery)
			w.WriteHeader(http.StatusTooManyRequests)
		case "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	get := func(path string) (Fetched, error) {
		return f.Fetch(t.Context(), Validators{URL: "http://x.example" + path, ETag: `"old"`})
	}
	for _, path := range []string{"/ok", "/latin", "/gzip"} {
		if got, err := get(path); err != nil || len(got.Document.Items) != 1 || got.Document.Items[0].Title != "é" {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	for path, want := range map[string]string{
		"/bomb": "more than 8388608", "/large": "more than 8388608", "/brotli": "content encoding", "/cut": "unexpected EOF", "/missing": "404 Not Found", "/gone": "gone",
	} {
		if _, err := get(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "x.example"+path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := get("/gone"); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	for after, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "": defaultRetry, "soon": defaultRetry, "-5": defaultRetry, "99999999": maxRetryAfter, "99999999999999": defaultRetry,
		url.QueryEscape(noon.Add(time.Hour).Format(http.TimeFormat)): defaultRetry, // escaped: no date
	} {
		got, err := get("/busy?" + after)
		var busy *BusyError
		if !errors.As(err, &busy) || !busy.Until.Equal(noon.Add(want)) || got.Validators.NotBefore != busy.Until || got.Validators.ETag != `"old"` {
			t.Errorf("Retry-After %q: %+v, %v", after, got, err)
		}
	}
	if got := retryAfter(noon.Add(time.Hour).Format(http.TimeFormat), noon); !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("a date: %v", got)
	}
	if got := retryAfter(noon.Add(-time.Hour).Format(http.TimeFormat), noon); !got.Equal(noon) {
		t.Errorf("a date that was: %v", got)
	}
	var busy *BusyError
	if _, err := get("/down"); !errors.As(err, &busy) || busy.Status != 503 {
		t.Error(err)
	}
}

func TestFetchRedirects(t *testing.T) {
	f := fetcher(t, func(w http.ResponseWriter, r *http.Request) {
		if to, ok := strings.CutPrefix(r.URL.Path, "/to/"); ok {
			var code int
			fmt.Sscanf(to, "%d", &code)
			http.Redirect(w, r, r.URL.Query().Get("u"), code)
			return
		}
		io.WriteString(w, rssItem("<item><guid>1</guid><title>t</title><link>page</link></item>"))
	})
	to := func(code int, where string) string {
		return fmt.Sprintf("http://x.example/to/%d?u=%s", code, url.QueryEscape(where))
	}
	for _, tt := range []struct{ name, from, want string }{
		{"for good", to(301, "http://y.example/feed"), "http://y.example/feed"},
		{"for now", to(302, "http://y.example/feed"), to(302, "http://y.example/feed")},
		{"for good, then for now", to(301, to(302, "http://y.example/feed")), to(301, to(302, "http://y.example/feed"))},
		{"to https", to(308, "https://x.example/feed"), "https://x.example/feed"},
	} {
		got, err := f.Fetch(t.Context(), Validators{URL: tt.from})
		if err != nil || got.Validators.URL != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got.Validators.URL, err, tt.want)
			continue
		}
		if link := got.Document.Items[0].Link; !strings.HasSuffix(link, ".example/page") {
			t.Errorf("%s: the link is %q, not on the server that answered", tt.name, link)
		}
	}
	loop := "http://x.example/feed"
	for range maxRedirects + 1 {
		loop = to(302, loop)
	}
	for _, tt := range []struct{ name, from, want string }{
		{"too many", loop, "more than 5 redirects"},
		{"to a file", to(302, "file:///etc/passwd"), "address"},
		{"from https to http", strings.Replace(to(302, "http://y.example/"), "http://x", "https://x", 1), "from https"},
		{"to this machine", to(302, "http://127.0.0.1:6881/status"), "on this machine or network"},
		{"to this machine by name", to(302, "http://LOCALHOST./status"), "on this machine or network"},
		{"to this machine in short", to(302, "http://127.1/"), "on this machine or network"},
		{"to this machine as IPv6", to(302, "http://[::ffff:127.0.0.1]/"), "on this machine or network"},
		{"to this machine in two steps", to(302, to(302, "http://[::1]/")), "on this machine or network"},
		{"to the router", to(302, "http://192.168.1.1/"), "on this machine or network"},
		{"to a cloud's metadata", to(302, "http://169.254.169.254/"), "on this machine or network"},
	} {
		if _, err := f.Fetch(t.Context(), Validators{URL: tt.from}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := f.Fetch(t.Context(), Validators{URL: "http://127.0.0.1/to/302?u=" + url.QueryEscape("http://localhost/feed")}); err != nil {
		t.Errorf("from this machine to this machine: %v", err)
	}
	for host, want := range map[string]bool{"example.com": false, "deadbeef.de": false, "1.2.3.4": false, "2130706433": true, "0x7f.1": true, "10.0.0.1": true, "a.local": true, "": false, "fe80::1": true} {
		if nearby(host) != want {
			t.Errorf("nearby(%q) = %v", host, !want)
		}
	}
}

func TestFetchTimeout(t *testing.T) {
	stop := make(chan struct{})
	f := fetcher(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<rss>")
		w.(http.Flusher).Flush()
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	defer close(stop)
	f.Timeout = 50 * time.Millisecond
	if _, err := f.Fetch(t.Context(), Validators{URL: "http://x.example/"}); !errors.Is(err, ErrSlow) || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Fetch(ctx, Validators{URL: "http://x.example/"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFetchFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a feed.xml")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := &Fetcher{Now: func() time.Time { return noon }}
	write(rssItem("<item><guid>1</guid></item>"))
	got, err := f.Fetch(t.Context(), Validators{URL: path})
	if err != nil || len(got.Document.Items) != 1 || got.Validators.URL != path {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err = f.Fetch(t.Context(), got.Validators); err != nil || !got.Unchanged {
		t.Fatalf("again: %+v, %v", got, err)
	}
	write(rssItem("<item><guid>1</guid></item><item><guid>2</guid></item>"))
	if got, err = f.Fetch(t.Context(), got.Validators); err != nil || got.Unchanged || len(got.Document.Items) != 2 {
		t.Fatalf("changed: %+v, %v", got, err)
	}
	if filepath.IsAbs(path) && path[0] == '/' {
		if got, err := f.Fetch(t.Context(), Validators{URL: "file://" + (&url.URL{Path: path}).EscapedPath()}); err != nil || len(got.Document.Items) != 2 {
			t.Errorf("as a URL: %+v, %v", got, err)
		}
	}
	write("no feed")
	if _, err := f.Fetch(t.Context(), Validators{URL: path}); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	if _, err := f.Fetch(t.Context(), Validators{URL: path + "x"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	write(strings.Repeat(" ", MaxDocument+1))
	if _, err := f.Fetch(t.Context(), Validators{URL: path}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}
