package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"handful/bench/netns"
)

// testMirror: a static web server is all that a fetcher has. The publisher exports and is gone; what it publishes later
// reaches who comes back; servers that lie are refused.
func testMirror(t *testing.T, l *lab) {
	publisher, reader := l.local(t), l.local(t)
	web := publisher.path("web")
	tree := publisher.path("tree")
	makeOddTree(t, tree, 6<<20)
	p, first := publisher.publish(tree, "-c", "news")
	p.stop()
	publisher.exported("--http", web, "-c", "news")
	url := serveStatic(t, web)
	head, _, _ := strings.Cut(first.Link, "?")

	done := reader.fetched(head, "--webseed", url, "-o", reader.path("out"))
	sameTrees(t, tree, reader.path("out", "tree"))
	if done.Received["webseed"] != done.Bytes {
		t.Errorf("not everything came from the web: %+v", done.Received)
	}

	old := publisher.path("old")
	command(t, "cp", "-a", web, old)
	second := publisher.path("second")
	makeOddTree(t, second, 1<<20)
	p, next := publisher.publish(second, "-c", "news")
	p.stop()
	publisher.exported("--http", web, "-c", "news")
	newest := "handful:" + first.Channel + "?ws=" + url // the mirror is in the link
	reader.fetched(newest, "-o", reader.path("out"))
	sameTrees(t, second, reader.path("out", "second"))

	// A mirror that has nothing newer, one of another channel, and one without an end: what is known stays, and a stranger
	// is shown nothing wrong.
	stranger := l.local(t)
	nextHead, _, _ := strings.Cut(next.Link, "?")
	refused(t, stranger, 10, nextHead, "--webseed", serveStatic(t, old))
	refused(t, stranger, 10, head, "--webseed", endless(t))
	other := l.local(t)
	q, strange := other.publish(second, "-c", "other")
	q.stop()
	other.exported("--http", other.path("web"), "-c", "other")
	command(t, "mv", other.path("web", strange.Channel), other.path("web", first.Channel))
	refused(t, l.local(t), 12, head, "--webseed", serveStatic(t, other.path("web")))
}

// exported runs seed export to its end.
func (s *side) exported(args ...string) line {
	s.t.Helper()
	p := s.start("seed", append([]string{"export"}, args...)...)
	if code := p.wait(); code != 0 {
		s.t.Fatalf("seed export ended with %d\n%s", code, p.tail())
	}
	return p.await("what was written", func(l line) bool { return l.Type == "mirrored" || l.Type == "bundled" })
}

// refused runs fetch, which must end with a code and leave nothing under a final name.
func refused(t *testing.T, s *side, code int, args ...string) {
	t.Helper()
	out := s.path("refused")
	p := s.start("fetch", append(args, "-o", out, "--timeout", "6s")...)
	if got := p.wait(); got != code {
		t.Errorf("fetch %q ended with %d, want %d\n%s", args, got, code, p.tail())
	}
	names, _ := filepath.Glob(filepath.Join(out, "*"))
	if len(names) > 0 {
		t.Errorf("fetch %q left %q", args, names)
	}
}

// serveStatic serves a directory with what a system has for that: Python's server, else Go's.
func serveStatic(t *testing.T, dir string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		s := httptest.NewServer(http.FileServer(http.Dir(dir)))
		t.Cleanup(s.Close)
		return s.URL
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	cmd := exec.CommandContext(t.Context(), python, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", dir, port)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	started := make([]byte, 7)
	if _, err := io.ReadFull(out, started); err != nil || string(started) != "Serving" {
		t.Fatalf("the web server says %q: %v", started, err)
	}
	go io.Copy(io.Discard, out)
	return "http://127.0.0.1:" + port
}

// endless is a server whose every answer has no end.
func endless(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// testBundle: news and files travel on a stick to a machine without any network, from there to a second one, and
// afterwards to a peer. A bundle that is cut off or altered is refused, and what was taken before is kept.
func testBundle(t *testing.T, l *lab) {
	publisher := l.local(t)
	tree, stick := publisher.path("tree"), openDir(t)
	makeOddTree(t, tree, 5<<20)
	p, published := publisher.publish(tree, "-c", "news")
	p.stop()
	head, _, _ := strings.Cut(published.Link, "?")
	path := filepath.Join(stick, "news.bundle")
	if b := publisher.exported("--bundle", path, "-c", "news"); b.Bytes < 5_000_000 {
		t.Errorf("a bundle of %d bytes", b.Bytes)
	}

	island := l.side(t, isolated(t))
	cut := filepath.Join(stick, "cut.bundle")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	bundle := func(s *side, code int, args ...string) *process {
		t.Helper()
		q := s.start("fetch", append([]string{"bundle"}, args...)...)
		if got := q.wait(); got != code {
			t.Fatalf("fetch bundle %q ended with %d, want %d\n%s", args, got, code, q.tail())
		}
		return q
	}
	bundle(island, 2, path)
	q := bundle(island, 13, cut, head, "-o", island.path("out"))
	if e := q.await("the error", is("error")); !strings.Contains(e.Message, "entry m/0 (tree)") || !strings.Contains(e.Message, "cut off") {
		t.Errorf("the error does not name the entry: %s", e.Message)
	}
	q = bundle(island, 0, path, "-o", island.path("out")) // it is known now
	done := q.await("done", is("done"))
	if !done.Verified || done.Received["reused"] == 0 {
		t.Errorf("what was taken before was not kept: %+v", done)
	}
	sameTrees(t, tree, island.path("out", "tree"))

	damaged := slices.Clone(whole)
	damaged[len(damaged)-len(damaged)/3] ^= 1
	if err := os.WriteFile(cut, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	third := l.side(t, isolated(t))
	bundle(third, 13, cut, head, "-o", third.path("out"))
	if _, err := os.Stat(third.path("out", "tree")); err == nil {
		t.Error("something damaged got its final name")
	}

	// From the island to the next one, and from there over a network.
	onward := filepath.Join(stick, "onward.bundle")
	bundle(island, 0, "--export", onward, head)
	fourth := l.side(t, isolated(t))
	bundle(fourth, 0, onward, head, "-o", fourth.path("out"))
	sameTrees(t, tree, fourth.path("out", "tree"))
	fourth.namespace, fourth.listen = "", "127.0.0.1:0"
	serve := fourth.start("fetch", "serve")
	addr := serve.await("its address", is("listening")).Addr
	last := l.local(t)
	last.fetched(head, "--peer", addr, "-o", last.path("out"))
	sameTrees(t, tree, last.path("out", "tree"))
	serve.stop()
}

// isolated makes a network namespace without any interface that is up.
func isolated(t *testing.T) string {
	t.Helper()
	if err := netns.Available(); err != nil {
		if os.Geteuid() == 0 && os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	name := fmt.Sprintf("hf-island-%d-%d", os.Getpid(), time.Now().UnixNano()%1e9)
	command(t, "ip", "netns", "add", name)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "delete", name).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return name
}
