package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/publish"
)

// TestKilled kills the real program, without warning, at moments that are spread over what it
// does: publishing, replacing keys, granting a writer, going back to a base. After each kill
// the state must be one that a publisher may be in: the log continues what was signed, no two
// heads contradict, nothing that was acknowledged is gone but what a base took back.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program many times")
	}
	if runtime.GOOS == "windows" {
		t.Skip("processes are not killed there as here")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k := &killed{t: t, seed: filepath.Join(t.TempDir(), "seed"), dir: t.TempDir()}
	if err := os.Symlink(self, k.seed); err != nil { // testscript.Main looks at the name
		t.Fatal(err)
	}
	k.run(0, "post", "--no-wait", "begin")
	key, err := keyfile.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := keyfile.EncodePublic(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	alice := filepath.Join(k.dir, "alice.pub")
	if err := os.WriteFile(alice, public, 0o600); err != nil {
		t.Fatal(err)
	}
	whole := map[string]time.Duration{}
	for round := range 6 {
		for _, args := range [][]string{
			{"post", "--no-wait", fmt.Sprint("post of round ", round)},
			{"key", "rotate"},
			{"writer", "add", "alice", alice},
			{"key", "compromise", "--good", "1"},
		} {
			name := args[0] + args[1]
			if round == 0 {
				began := time.Now()
				k.run(0, args...)
				whole[name] = time.Since(began)
			} else {
				// The start of the program takes most of it; what is written, the end.
				k.run(whole[name]*time.Duration(10+18*round)/100, args...)
			}
			k.check(fmt.Sprintf("round %d, %q", round, args))
		}
	}
	// And it goes on.
	k.run(0, "post", "--no-wait", "end")
	k.check("at the end")
}

// killed runs a program that is killed, and is what followers hold of its channel.
type killed struct {
	t     *testing.T
	seed  string
	dir   string
	trust *signing.Trusted
}

// run runs a command, killed after a while; 0 lets it end, well.
func (k *killed) run(after time.Duration, args ...string) {
	k.t.Helper()
	ctx := k.t.Context()
	if after > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, after)
		defer cancel()
	}
	if args[0] == "post" {
		args = append(args, "--listen", "127.0.0.1:0", "--lan-only")
	}
	cmd := exec.CommandContext(ctx, k.seed, append(args, "--json", "--state-dir", filepath.Join(k.dir, "state"))...)
	cmd.Dir = k.dir
	out, err := cmd.CombinedOutput()
	if err != nil && after == 0 {
		k.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	if err == nil && bytes.Contains(out, []byte(`"type":"error"`)) {
		k.t.Fatalf("%q: %s", args, out)
	}
}

// check opens what the kill has left, as the next start does, and lets a follower follow.
func (k *killed) check(when string) {
	k.t.Helper()
	keysIn := keysDir(filepath.Join(k.dir, "state", "seed"))
	ids, err := keyfile.List(keysIn)
	if err != nil || len(ids) != 1 {
		k.t.Fatalf("%s: channels %v: %v", when, ids, err)
	}
	keys, err := keyfile.Open(keysIn, ids[0])
	if err != nil {
		k.t.Fatalf("%s: %v", when, err)
	}
	// A copy, so that the program itself finds what the kill has left.
	dir := k.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(logDir(filepath.Join(k.dir, "state", "seed"), ids[0], signing.MainWriter))); err != nil {
		k.t.Fatal(err)
	}
	l, err := publish.OpenLog(dir, publish.LogConfig{Root: keys.Newest(), Key: keys.Online})
	if err != nil {
		k.t.Fatalf("%s: %v", when, err)
	}
	defer l.Close()
	if k.trust == nil {
		k.trust = signing.NewTrusted(ids[0])
	}
	for _, r := range keys.Roots {
		if err := k.trust.UpdateRoot(r.Bytes()); err != nil {
			k.t.Fatalf("%s: %v", when, err)
		}
	}
	if l.Head().Raw == nil {
		return // other keys, or a base: signed at the next start
	}
	u, err := l.UpdateFor(0)
	if err != nil {
		k.t.Fatalf("%s: %v", when, err)
	}
	if _, err := k.trust.UpdateHead(signing.MainWriter, u, time.Now()); err != nil {
		b, _ := json.Marshal(map[string]any{"held": k.trust.Size(signing.MainWriter), "offered": l.Head().Size})
		k.t.Fatalf("%s: a follower refuses it: %v %s", when, err, b)
	}
}
