package feed

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"handful/manifest"
)

// newsboat returns how to run a feed reader with a home of its own.
func newsboat(t *testing.T) func(args ...string) string {
	t.Helper()
	path, err := exec.LookPath("newsboat")
	if errors.Is(err, exec.ErrNotFound) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("newsboat is not installed: %v", err)
		}
		t.Skipf("newsboat is not installed: %v", err)
	}
	home := t.TempDir()
	for name, text := range map[string]string{"config": "", "urls": ""} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := exec.CommandContext(ctx, path, append([]string{"-u", "urls", "-c", "cache.db", "-C", "config"}, args...)...)
		c.Dir, c.Env = home, append(os.Environ(), "HOME="+home, "LC_ALL=C.UTF-8", "TERM=xterm", "http_proxy=", "no_proxy=*")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("newsboat %q: %v\n%s", args, err, out)
		}
		cache, err := os.ReadFile(filepath.Join(home, "cache.db"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(out) + "\x00" + string(cache)
	}
}

// TestNewsboat has a reader that many use read our documents over HTTP.
func TestNewsboat(t *testing.T) {
	run := newsboat(t)
	src := newMemory(t)
	h := NewHandler(src, HandlerOptions{Now: time.Now})
	var mu sync.Mutex
	var codes []int
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		mu.Lock()
		codes = append(codes, rec.Code)
		mu.Unlock()
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
	}))
	defer srv.Close()
	answered := func() []int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(codes)
	}

	// It learns of the channel from our list of channels.
	list := filepath.Join(t.TempDir(), "feeds.opml")
	res := ask(h, "GET", "/feeds.opml")
	opml := bytes.ReplaceAll(res.Body.Bytes(), []byte("http://example.com"), []byte(srv.URL))
	if err := os.WriteFile(list, opml, 0o600); err != nil {
		t.Fatal(err)
	}
	run("-i", list)

	src.add(manifest.Post{Title: "Tea <b>at</b> four & later", Body: "With <script>cake</script>."}, manifest.Post{Title: "Second", Link: "https://x.example/2"},
		manifest.Post{Title: "Imported", ID: "urn:x:1", Author: "Ann"})
	out := run("-x", "reload", "print-unread")
	unread, cache, _ := strings.Cut(out, "\x00")
	if !strings.Contains(unread, "3 unread") {
		t.Fatalf("%s\nafter %v", unread, answered())
	}
	uri := "handful:" + channel(t).ID.String() + "/m/"
	for _, want := range []string{"Tea <b>at</b> four & later", "With <script>cake</script>.", uri + "0", "https://x.example/2", "urn:x:1", "Ann", "News & <more>"} {
		if !strings.Contains(cache, want) {
			t.Errorf("it did not read %q", want)
		}
	}
	run("-x", "reload") // it keeps what to ask with from the second time on
	if unread, _, _ = strings.Cut(run("-x", "reload", "print-unread"), "\x00"); !strings.Contains(unread, "3 unread") || !slices.Contains(answered(), 304) {
		t.Errorf("again: %s, answers %v", unread, answered())
	}
	src.add(manifest.Post{Title: "Imported, mended", ID: "urn:x:1", Author: "Ann"}, manifest.Post{Title: "Third"})
	unread, cache, _ = strings.Cut(run("-x", "reload", "print-unread"), "\x00")
	if !strings.Contains(unread, "4 unread") || !strings.Contains(cache, "Imported, mended") {
		t.Errorf("one new, one changed: %s", unread)
	}
}
