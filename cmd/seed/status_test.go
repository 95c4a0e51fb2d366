package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"handful/swarm/console"
)

// A status says which command holds the state directory.
func TestStatusNamesTheVerb(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "news.txt")
	if err := os.WriteFile(path, []byte("news\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][][]string{
		"serve":   {{"serve"}},
		"publish": {{"publish", path}, {path}},
	} {
		for _, args := range args {
			state := t.TempDir()
			stop := hold(t, append(args, "--json", "--listen", "127.0.0.1:0", "--iface", "lo", "--state-dir", state)...)
			var out bytes.Buffer
			if code, err := run(t.Context(), &out, "status", "--json", "--state-dir", state); code != console.OK || err != nil {
				t.Fatalf("status: %v %v\n%s", code, err, &out)
			}
			var status console.Status
			if err := json.NewDecoder(&out).Decode(&status); err != nil {
				t.Fatal(err)
			}
			if status.Node != want {
				t.Errorf("beside seed %v, status names %q, want %q", args, status.Node, want)
			}
			stop()
		}
	}
}

// run is one command line in this process.
func run(ctx context.Context, out io.Writer, args ...string) (console.ExitCode, error) {
	return tree(&console.Env{
		Name: "seed", Args: args, Dir: os.TempDir(), Stdin: bytes.NewReader(nil), Stdout: out, Stderr: io.Discard,
		Lookup: func(string) (string, bool) { return "", false },
		Width:  func() int { return 0 }, Now: time.Now,
	}).Execute(ctx)
}

// hold runs a command that stays, and returns when it listens. stop ends it.
func hold(t *testing.T, args ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx, w, args...)
		w.Close()
	}()
	out := bufio.NewReader(r)
	first, err := out.ReadString('\n')
	if err != nil {
		t.Errorf("seed %v printed %q and ended", args, first)
	}
	go io.Copy(io.Discard, out)
	return func() { cancel(); <-ended }
}
