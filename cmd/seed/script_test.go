package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"handful/signing/keyfile"
	"handful/swarm/console"
	"handful/swarm/store"
)

// No test sends a packet to the public DHT: this is inherited by every process that one
// starts, but for those that name nodes of their own.
func TestMain(m *testing.M) {
	if dht := console.EnvName("dht"); os.Getenv(dht) == "" {
		os.Setenv(dht, "false")
	}
	testscript.Main(m, map[string]func(){"seed": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv(console.EnvName("dht"), "false")
			env.Setenv("HANDFUL_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Values[answers{}] = make(chan struct{}, 1000)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":   exits,
			"channel": makeChannel,
			"lock":    lock,
			"large":   large,
			"until":   until,
			"serve":   serveFile,
			"witness": serveWitness,
			"fetched": fetched,
		},
	})
}

// exits CODE COMMAND… runs a command and wants its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = fmt.Sprint(exit.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("%q ended with %s, want %s", args[1:], got, args[0])
	}
}

// channel NAME makes a channel as publishing in it does.
func makeChannel(ts *testscript.TestScript, _ bool, args []string) {
	state := filepath.Join(ts.Getenv("HANDFUL_STATE_DIR"), "seed")
	ts.Check(os.MkdirAll(state, 0o700))
	keys, err := keyfile.Create(keysDir(state), keyfile.Options{Title: args[0], Now: time.Now(), Rand: rand.Reader})
	ts.Check(err)
	ts.Check(nameChannel(state, args[0], keys.ID))
	ts.Setenv("ID", keys.ID.String())
}

// lock holds the state directory until the script ends, and answers nobody.
func lock(ts *testscript.TestScript, _ bool, _ []string) {
	s, err := store.Open(filepath.Join(ts.Getenv("HANDFUL_STATE_DIR"), "seed"), store.Options{})
	ts.Check(err)
	ts.Defer(func() { s.Close() })
}

// until TEXT COMMAND… runs a command until it prints the text.
func until(ts *testscript.TestScript, _ bool, args []string) {
	for began := time.Now(); time.Since(began) < time.Minute; {
		if err := ts.Exec(args[1], args[2:]...); err == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
	}
	ts.Fatalf("%q never printed %q", args[1:], args[0])
}

// large makes large.txt, a text that is too long to be posted.
func large(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(os.WriteFile(ts.MkAbs("large.txt"), []byte(strings.Repeat("x", 50_000)), 0o600))
}

// answers is the key of what the server of serveFile has answered.
type answers struct{}

// fetched N waits until the server has answered so many more times.
func fetched(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	patience := time.After(time.Minute)
	for range n {
		select {
		case <-ts.Value(answers{}).(chan struct{}):
		case <-patience:
			ts.Fatalf("the server was not asked %d times", n)
		}
	}
}

// serve FILE serves a file over HTTP as a web server does, at $URL, until the script
// ends; "busy" in its place is a server that asks to come back in an hour.
func serveFile(ts *testscript.TestScript, _ bool, args []string) {
	answered := ts.Value(answers{}).(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { answered <- struct{}{} }()
		if args[0] == "busy" {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil {
			w.WriteHeader(http.StatusGone)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(b)))
		http.ServeContent(w, r, "feed.xml", time.Time{}, bytes.NewReader(b))
	}))
	ts.Defer(srv.Close)
	ts.Setenv("URL", srv.URL+"/feed")
}

// A command takes a path's place: none is added by accident. (Help comes when a
// command line is run.)
func TestVerbs(t *testing.T) {
	env, err := console.OSEnv("seed")
	if err != nil {
		t.Fatal(err)
	}
	want := "completion cosign export feed init key ls man post publish reader rekey repair root serve sign status try version withdraw writer"
	got := ""
	for _, cmd := range tree(env).Root.Commands() {
		got += " " + cmd.Name()
	}
	if got != " "+want {
		t.Errorf("commands are%s, want %s", got, want)
	}
}
