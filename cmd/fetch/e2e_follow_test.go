package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"handful/bench/netns"
)

// testFollow: what is said is printed, once, whoever is stopped in between; a hook gets it until it has taken it; feed
// readers see it; and no text of a stranger acts anywhere.
func testFollow(t *testing.T, l *lab) {
	t.Run("post and follow", func(t *testing.T) { t.Parallel(); testPostAndFollow(t, l) })
	t.Run("hook", func(t *testing.T) { t.Parallel(); testHook(t, l) })
	t.Run("face", func(t *testing.T) { t.Parallel(); testFace(t, l) })
	t.Run("room", func(t *testing.T) { t.Parallel(); testRoom(t, l) })
	t.Run("attached", func(t *testing.T) { t.Parallel(); testAttached(t, l) })
	t.Run("attached in private", func(t *testing.T) { t.Parallel(); testAttachedPrivate(t, l) })
	t.Run("stories", func(t *testing.T) { t.Parallel(); testStories(t, l) })
	t.Run("captures", func(t *testing.T) { t.Parallel(); testCaptures(t, l) })
	t.Run("hostile", func(t *testing.T) { t.Parallel(); testHostileText(t, l) })
}

// entry is what is read of the lines of entries.
type entryLine struct {
	Type, Channel, Writer, Kind, Title, Text, Time, State string
	Index                                                 int64
	Withdraws                                             *int64
	Tags                                                  []string
}

// entriesOf returns the entries among lines of JSON.
func entriesOf(t *testing.T, out string) (all []entryLine) {
	t.Helper()
	for l := range strings.Lines(out) {
		var e entryLine
		if err := json.Unmarshal([]byte(l), &e); err != nil {
			t.Fatalf("%v: %q", err, l)
		}
		if e.Type == "entry" {
			all = append(all, e)
		}
	}
	return all
}

// said runs a command of seed that a node of the same side takes over.
func (s *side) said(args ...string) line {
	s.t.Helper()
	p := s.start("seed", args...)
	got := p.await("what it says", func(l line) bool { return l.Type == "posted" || l.Type == "withdrawn" })
	if code := p.wait(); code != 0 {
		s.t.Fatalf("seed %q ended with %d\n%s", args, code, p.tail())
	}
	return got
}

// talk starts a node of seed and says the first post with it.
func (s *side) talk(text string) (*process, line) {
	s.t.Helper()
	p := s.start("seed", "post", text)
	return p, p.await("posted", is("posted"))
}

// once runs `fetch follow --once` and returns what it printed of entries, as text or JSON.
func (s *side) once(code int, args ...string) string {
	s.t.Helper()
	all := []string{"follow", "--once", "--state-dir", s.path("state"), "--machine-id", s.machine}
	if s.listen != "" {
		all = append(all, "--listen", s.listen)
	}
	all = append(all, args...)
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.lab.tools.Fetch, all...)
	cmd.Dir = s.dir
	var out, says bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &says
	err := netns.Start(s.namespace, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		s.t.Fatalf("fetch %q ended with %d, want %d: %v\n%s%s", all, got, code, err, out.String(), says.String())
	}
	return out.String()
}

func testPostAndFollow(t *testing.T, l *lab) {
	first, second := l.local(t), l.local(t)
	talker, posted := first.talk("Hello")
	link := posted.Link

	// As it is said.
	p := second.start("fetch", "follow", link, "--name", "news")
	p.await("the first", func(l line) bool { return l.Type == "entry" && l.Index == 0 })
	first.said("post", "--title", "Second", "--tag", "x", "with a text")
	p.await("the second", func(l line) bool { return l.Type == "entry" && l.Index == 1 })

	// Stopped in the middle: nothing twice, nothing lost. Killed: what was printed last may come again.
	p.stop()
	p = second.start("fetch", "follow", link)
	first.said("post", "Third")
	p.await("the third", func(l line) bool { return l.Type == "entry" && l.Index == 2 })
	p.kill()
	if got := entriesOf(t, string(p.stdout)); len(got) != 1 {
		t.Errorf("after a stop it printed %+v", got)
	}
	first.said("withdraw", "0", "--reason", "too loud")
	got := entriesOf(t, second.once(0, link, "--json"))
	if len(got) == 3 && got[0].Index == 1 {
		t.Errorf("what was printed before a stop is printed after a kill: %+v", got)
	}
	if len(got) == 1 {
		got = append([]entryLine{{Text: "Third"}}, got...) // the kill came after that was noted
	}
	if len(got) != 2 || got[0].Text != "Third" || got[1].Kind != "del" || got[1].Withdraws == nil || *got[1].Withdraws != 0 || got[1].Text != "too loud" {
		t.Errorf("after a kill it printed %+v", got)
	}
	if out := second.once(0, link); out != "" {
		t.Errorf("nothing new is printed as %q", out)
	}
	// What is asked for is printed again; without a link, of all channels.
	out := second.once(0, "--last", "3")
	for _, want := range []string{"news · m/1 · ", "\n    Second\n    with a text\n    tags x\n", "news · m/3 · ", "\n    withdraws m/0\n    too loud\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if got := entriesOf(t, second.once(0, "--json", "--last", "9", "--tag", "x")); len(got) != 1 || got[0].Title != "Second" {
		t.Errorf("of one tag: %+v", got)
	}
	if got := entriesOf(t, second.once(0, "--json", "--since", "1h")); len(got) != 4 {
		t.Errorf("of the last hour: %+v", got)
	}

	// A stranger who wants little gets the rest from peers when he asks.
	third := l.local(t)
	if got := entriesOf(t, third.once(0, link, "--json", "--last", "1", "--keep-count", "1")); len(got) != 1 || got[0].Index != 3 {
		t.Errorf("the newest one: %+v", got)
	}
	if got := entriesOf(t, third.once(0, link, "--json", "--last", "4")); len(got) != 4 || got[0].Index != 0 || got[3].Index != 3 {
		t.Errorf("the newest four, one of which is kept: %+v", got)
	}
	archived, err := filepath.Glob(third.path("state", "fetch", "feeds", "*", "archive", "*.jsonl"))
	if err != nil || len(archived) != 1 {
		t.Fatalf("archives %v, %v", archived, err)
	}
	if b, err := os.ReadFile(archived[0]); err != nil || bytes.Count(b, []byte("\n")) != 1 {
		t.Errorf("of one entry to keep there is %q, %v", b, err)
	}
	talker.stop()
}

// testHook: a hook that fails gets the same entry again, and what came after it later; each once it has succeeded.
func testHook(t *testing.T, l *lab) {
	first, second := l.local(t), l.local(t)
	_, posted := first.talk("one")
	first.said("post", "two $(touch pwned)")
	hook := second.path("hook")
	script := "#!/bin/sh\nread -r line\nprintf '%s %s/%s/%s\\n' \"$line\" \"$HANDFUL_CHANNEL\" \"$HANDFUL_WRITER\" \"$HANDFUL_INDEX\" >> got\nexec test -e ready\n"
	if err := os.WriteFile(hook, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	second.once(15, posted.Link, "--last", "9", "--exec", "./hook")
	second.once(15, posted.Link, "--exec", "./hook")
	if err := os.WriteFile(second.path("ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	second.once(0, posted.Link, "--exec", "./hook")
	second.once(0, posted.Link, "--exec", "./hook")
	b, err := os.ReadFile(second.path("got"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for l := range strings.Lines(string(b)) {
		fields := strings.Fields(l)
		got = append(got, strings.TrimPrefix(fields[len(fields)-1], posted.Channel))
		if !strings.HasPrefix(l, `{"type":"entry","channel":"`+posted.Channel) {
			t.Errorf("the hook got %q", l)
		}
	}
	if want := "/m/0 /m/0 /m/0 /m/1"; strings.Join(got, " ") != want {
		t.Errorf("the hook got %v, want %s", got, want)
	}
	if _, err := os.Stat(second.path("pwned")); err == nil {
		t.Error("a shell has read the text")
	}
	second.once(10, posted.Link, "--exec", "./nosuch")
	second.once(10, "handful:"+posted.Channel, "--timeout", "1s", "--state-dir", second.path("other"))
}

// get asks the HTTP face.
func get(t *testing.T, url, host string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// testFace: serve goes on with what was followed, takes new channels from other commands, and shows all to feed readers.
func testFace(t *testing.T, l *lab) {
	first, second := l.local(t), l.local(t)
	_, posted := first.talk("Tea <b>at</b> four & later")
	serve := second.start("fetch", "serve", "--http", "127.0.0.1:0")
	base := strings.TrimSuffix(serve.await("feeds", is("feeds")).URL, "/feeds.opml")
	p := second.start("fetch", "follow", posted.Link, "--name", "tea")
	if f := p.await("who follows", is("followed")); f.Node != "serve" {
		t.Errorf("beside a node that runs: %+v", f)
	}
	p.await("the first", is("entry"))
	p.stop() // the node goes on
	refused := second.start("fetch", "follow", posted.Link, "--name", "tea", "--site", "elsewhere")
	if e := refused.await("the refusal", is("error")); refused.wait() != 2 || e.Code != 2 || !strings.Contains(e.Message, "--site") || e.Hint == "" {
		t.Errorf("what the node that runs cannot do is refused as %+v", e)
	}

	_, opml := get(t, base+"/feeds.opml", "")
	if !strings.Contains(opml, base+"/feed/tea.atom") {
		t.Errorf("the list of channels: %s", opml)
	}
	resp, atom := get(t, base+"/feed/tea.atom", "")
	if !strings.Contains(atom, "Tea &lt;b&gt;at&lt;/b&gt; four &amp; later") || resp.Header.Get("Last-Modified") == "" {
		t.Errorf("%v\n%s", resp.Header, atom)
	}
	if again, _ := get(t, base+"/feed/tea.atom", "", "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Errorf("what has not changed is answered with %s", again.Status)
	}
	for _, host := range []string{"evil.example", "tea.localhost.evil.example:80"} {
		if resp, body := get(t, base+"/feed/tea.json", host); resp.StatusCode != http.StatusForbidden || strings.Contains(body, "Tea") {
			t.Errorf("host %s: %s, %s", host, resp.Status, body)
		}
	}
	events := stream(t, base+"/feed/tea/events?last=9")
	if e := events(); e["event"] != "post" || !strings.Contains(e["data"], "four & later") {
		t.Errorf("the first event is %v", e)
	}
	first.said("post", "Cake")
	if e := events(); e["id"] != "m:2" || !strings.Contains(e["data"], `"text":"Cake"`) {
		t.Errorf("the next event is %v", e)
	}
	testNewsboat(t, base)

	// It is all there after the next start, and not after unfollow.
	serve.stop()
	serve = second.start("fetch", "serve", "--http", "127.0.0.1:0")
	base = strings.TrimSuffix(serve.await("feeds", is("feeds")).URL, "/feeds.opml")
	serve.await("the channel", is("followed"))
	if _, rss := get(t, base+"/feed/tea.rss", ""); strings.Count(rss, "<item>") != 2 {
		t.Errorf("after a restart: %s", rss)
	}
	if code := second.start("fetch", "unfollow", "tea").wait(); code != 0 {
		t.Errorf("unfollow ended with %d", code)
	}
	if resp, _ := get(t, base+"/feed/tea.rss", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("after unfollow: %s", resp.Status)
	}
	if code := second.start("fetch", "unfollow", "tea").wait(); code != 10 {
		t.Errorf("a second unfollow ended with %d", code)
	}
}

// stream opens an event stream and returns what reads the next event.
func stream(t *testing.T, url string) func() map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	next := lineReader(resp.Body)
	return func() map[string]string {
		t.Helper()
		event := map[string]string{}
		for {
			l, err := next()
			if err != nil {
				t.Fatal(err)
			}
			if l == "" && event["data"] != "" {
				return event
			}
			if key, value, ok := strings.Cut(l, ": "); ok {
				event[key] = value
			}
		}
	}
}

func lineReader(r io.Reader) func() (string, error) {
	d := make([]byte, 1)
	return func() (string, error) {
		var b []byte
		for {
			if _, err := io.ReadFull(r, d); err != nil {
				return "", err
			}
			if d[0] == '\n' {
				return string(b), nil
			}
			b = append(b, d[0])
		}
	}
}

// testNewsboat has a feed reader that many use read a channel that is followed.
func testNewsboat(t *testing.T, base string) {
	t.Helper()
	path, err := exec.LookPath("newsboat")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Logf("newsboat does not read it: %v", err)
		return
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "urls"), []byte(base+"/feed/tea.atom\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, path, "-u", "urls", "-c", "cache.db", "-x", "reload", "print-unread")
	c.Dir, c.Env = home, append(os.Environ(), "HOME="+home, "LC_ALL=C.UTF-8", "TERM=xterm", "http_proxy=", "no_proxy=*")
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "2 unread") {
		t.Errorf("newsboat: %v\n%s", err, out)
	}
	cache, err := os.ReadFile(filepath.Join(home, "cache.db"))
	if err != nil || !bytes.Contains(cache, []byte("Tea <b>at</b> four & later")) || !bytes.Contains(cache, []byte("Cake")) {
		t.Errorf("newsboat did not read the texts: %v", err)
	}
}

// testHostileText says what terminals, browsers and parsers obey, and looks for it wherever texts are shown.
func testHostileText(t *testing.T, l *lab) {
	first, second := l.local(t), l.local(t)
	_, posted := first.talk("harmless")
	evil := "\x1b[2J\x1b]0;owned\x07\x1b]52;c;cm0gLXJm\x07 a\u202egnp.exe \u2066\u200b\u0085 <script>alert(1)</script> ]]> &amp; \x00\x08"
	text := strings.ReplaceAll(evil, "\x00", "") + "\nnews · m/9 · 2026-01-01 00:00:00\n" + strings.Repeat("x", 40<<10)
	first.said("post", "--title", strings.ReplaceAll(evil, "\x00", ""), "--tag", "\x1b[31mred", text)
	serve := second.start("fetch", "serve", "--http", "127.0.0.1:0")
	base := strings.TrimSuffix(serve.await("feeds", is("feeds")).URL, "/feeds.opml")
	p := second.start("fetch", "follow", posted.Link, "--name", "evil")
	p.await("both", func(l line) bool { return l.Type == "entry" && l.Index == 1 })
	p.stop()

	_, atom := get(t, base+"/feed/evil.atom", "")
	_, rss := get(t, base+"/feed/evil.rss", "")
	_, doc := get(t, base+"/feed/evil.json", "")
	event := stream(t, base+"/feed/evil/events?last=1")()
	shown := second.once(0, "--last", "2")
	lines := second.once(0, "--last", "2", "--json")
	for name, s := range map[string]string{"terminal": shown, "JSON lines": lines, "Atom": atom, "RSS": rss, "JSON Feed": doc, "events": event["data"]} {
		if !strings.Contains(s, "gnp.exe") || !strings.Contains(s, strings.Repeat("x", 1000)) {
			t.Errorf("%s does not show the text: %.300q", name, s)
		}
		for _, bad := range []string{"\x1b", "\x07", "\x08", "\u0085", "\x00"} {
			if strings.Contains(s, bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
	for _, bad := range []string{"\u202e", "\u2066", "\u200b", "\nnews · m/9"} {
		if strings.Contains(shown, bad) || strings.Contains(lines, bad) {
			t.Errorf("the terminal is shown %q", bad)
		}
	}
	for name, s := range map[string]string{"Atom": atom, "RSS": rss} {
		if strings.Contains(s, "<script") || strings.Contains(s, "]]>") {
			t.Errorf("%s lets through markup", name)
		}
	}
	if len(entriesOf(t, lines)) != 2 || strings.Count(event["data"], "\n") > 0 {
		t.Errorf("an entry is not one line: %s", fmt.Sprint(len(entriesOf(t, lines))))
	}
}
