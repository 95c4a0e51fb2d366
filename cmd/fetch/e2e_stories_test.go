package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"handful/swarm/console"
)

// testStories runs the transcripts in testdata/stories, with both programs as they are built.
func testStories(t *testing.T, l *lab) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no interrupt to send")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "stories"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			state := filepath.Join(env.WorkDir, "state")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("PATH", filepath.Dir(l.tools.Seed)+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv(console.EnvName("dht"), "false")
			env.Setenv(console.EnvName("lan-only"), "true")
			env.Setenv("HANDFUL_STATE_DIR", state)
			env.Setenv("SHOWN", filepath.Join(state, "fetch", "feeds"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"until":    storyUntil,
			"exits":    storyExits,
			"take":     storyTake,
			"freeport": storyPort,
			"hostile":  storyHostile,
			"get":      func(ts *testscript.TestScript, _ bool, args []string) { storyGet(ts, args, 0) },
			"events":   func(ts *testscript.TestScript, _ bool, args []string) { storyGet(ts, args, 2) },
		},
	})
}

// until TEXT COMMAND… runs a command until it prints the text.
func storyUntil(ts *testscript.TestScript, _ bool, args []string) {
	for began := time.Now(); time.Since(began) < patience; {
		if err := ts.Exec(args[1], args[2:]...); err == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
	}
	ts.Fatalf("%q never printed %q", args[1:], args[0])
}

// exits CODE COMMAND… runs a command and wants its exit code.
func storyExits(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if want := map[string]int{"2": 2, "10": 10, "15": 15}[args[0]]; code != want {
		ts.Fatalf("%q ended with %d, want %s", args[1:], code, args[0])
	}
}

// take NAME REGEXP sets a variable to what the last command has printed.
func storyTake(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindString(ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("%s is not in %q", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], found)
}

// freeport NAME sets a variable to a port that nobody listens on.
func storyPort(ts *testscript.TestScript, _ bool, args []string) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(ln.Addr().String())
	ts.Check(err)
	ts.Check(ln.Close())
	ts.Setenv(args[0], port)
}

// hostile FEED TEXT writes a feed with an item of all that something might obey, and of 64 KiB in one line, and the same as
// a text, which is not cleaned as feeds are when they are read.
func storyHostile(ts *testscript.TestScript, _ bool, args []string) {
	const evil = "\x1b[2J\x1b]0;owned\x07\x1b]52;c;cm0gLXJm\x07 a\u202egnp.exe \u2066\u200b\u0085 <script>alert(1)</script> ]]> &amp; \b"
	text := evil + "\nevil · m/9 · 2026-01-01 00:00:00\n"
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text+strings.Repeat("x", 40<<10)), 0o600))
	b, err := json.Marshal(map[string]any{"version": "https://jsonfeed.org/version/1.1", "title": evil, "items": []any{map[string]any{
		"id": "1", "title": evil, "tags": []string{"\x1b[31mred"}, "url": "javascript:alert(1)", "authors": []any{map[string]string{"name": evil}},
		"content_text": text + strings.Repeat("x", 64<<10),
	}}})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// get URL FILE writes what a web server answers to a file; events the first two events of what it streams.
func storyGet(ts *testscript.TestScript, args []string, events int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s", args[0], resp.Status)
	}
	var got bytes.Buffer
	for part := make([]byte, 32<<10); events == 0 || bytes.Count(got.Bytes(), []byte("\ndata: ")) < events || !bytes.HasSuffix(got.Bytes(), []byte("\n\n")); {
		n, err := resp.Body.Read(part)
		got.Write(part[:n])
		if err == io.EOF && events == 0 {
			break
		}
		ts.Check(err)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), got.Bytes(), 0o600))
}
