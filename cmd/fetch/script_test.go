package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/bundle"
	"handful/swarm/console"
	"handful/swarm/store"
)

// No test sends a packet to the public DHT: this is inherited by every process that one
// starts, but for those that name nodes of their own.
func TestMain(m *testing.M) {
	if dht := console.EnvName("dht"); os.Getenv(dht) == "" {
		os.Setenv(dht, "false")
	}
	// These tests wait for programs and for each other more than they compute. A -parallel on the command line is read later.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"fetch": main, "fetch-an-hour-behind": anHourBehind, "stepkill": stepKill, "hostile-dht": hostileDHT})
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
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":   exits,
			"torrent": makeTorrent,
			"fetched": asFetched,
			"channel": makeChannel,
			"bundle":  emptyBundle,
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

// torrent FORMAT PATH FILE writes a torrent file of a path.
func makeTorrent(ts *testscript.TestScript, _ bool, args []string) {
	format := map[string]manifest.Format{"hybrid": manifest.FormatHybrid, "v2": manifest.FormatV2, "v1": manifest.FormatV1}[args[0]]
	t, _, err := manifest.Build(context.Background(), []string{ts.MkAbs(args[1])}, manifest.BuildOptions{Format: format, PieceLength: manifest.BlockSize})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), t.Bytes(), 0o644))
}

// fetched PATH DIR puts a copy of PATH into DIR and into the state as a fetch
// would: through a store.
func asFetched(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	t, sources, err := manifest.Build(ctx, []string{ts.MkAbs(args[0])}, manifest.BuildOptions{})
	ts.Check(err)
	origin, err := store.Open(filepath.Join(ts.MkAbs("."), "origin"), store.Options{})
	ts.Check(err)
	defer origin.Close()
	from, err := origin.Seed(t, sources, store.SeedOptions{})
	ts.Check(err)
	s, err := store.Open(filepath.Join(ts.Getenv("HANDFUL_STATE_DIR"), "fetch"), store.Options{})
	ts.Check(err)
	defer s.Close()
	ts.Check(os.MkdirAll(ts.MkAbs(args[1]), 0o755))
	to, err := s.Download(ctx, t, ts.MkAbs(args[1]), store.DownloadOptions{})
	ts.Check(err)
	for i := range t.NumPieces() {
		b := make([]byte, t.PieceSize(i))
		_, err := from.ReadPiece(b, i, 0)
		ts.Check(err)
		_, err = to.WritePiece(b, i, 0)
		ts.Check(err)
		verdict, err := to.Verify(i)
		ts.Check(err)
		ts.Check(to.SetComplete(i, verdict == manifest.Good))
	}
	_, err = to.Finish(ctx)
	ts.Check(err)
}

// A command takes a link's place: none is added by accident. (Help comes when a
// command line is run.)
func TestVerbs(t *testing.T) {
	env, err := console.OSEnv("fetch")
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, cmd := range tree(env).Root.Commands() {
		got += " " + cmd.Name()
	}
	if want := " bundle completion explain follow key lan man serve status trust unfollow verify version"; got != want {
		t.Errorf("commands are%s, want%s", got, want)
	}
}

// bundle FILE ID writes a bundle of a channel with nothing in it.
func emptyBundle(ts *testscript.TestScript, _ bool, args []string) {
	id, err := signing.ParseID(args[1])
	ts.Check(err)
	_, err = console.WriteBundle(ts.MkAbs(args[0]), false, id, func(*bundle.Writer) error { return nil })
	ts.Check(err)
}
