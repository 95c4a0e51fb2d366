package main_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/publish"
)

var (
	everyStep = flag.Bool("steps", false, "kill each command of the fault table at each of its steps, not at a few")
	listSteps = flag.Bool("list-steps", false, "print the steps of each command of the fault table")
)

// testSteps is the fault table of the real programs. Each command is killed, as kill -9 does, when it is about to make its
// n-th step: before each system call that changes the disk, and before each that prints (see stepKill). What a kill has left
// must be a state that the world may see; then the same command is run again, and has to end well:
//
//	publisher  what was acknowledged is in the log; a follower who believed what was signed before the kill believes what is
//	           signed after it: no second head of one size, nothing taken back but by a base; keys and documents fit
//	follower   nothing that was printed is not on disk; nothing is older than before; every entry is printed, and given to a
//	           hook, in order and none left out; those after the last place that was noted may come again, for a hook one
//	exports    under a final name is what was there before, or all of the new
//
// A few steps of each, spread over it, are played by default; all of them, some half an hour, or those of one command, with
//
//	go test -timeout 60m -run TestEndToEnd/steps ./cmd/fetch -steps
//	go test -timeout 60m -run TestEndToEnd/steps/key_rotate ./cmd/fetch -steps
func testSteps(t *testing.T, l *lab) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("system calls are traced on Linux and amd64 alone")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	killer := filepath.Join(openDir(t), "stepkill")
	if err := os.Symlink(self, killer); err != nil { // testscript.Main looks at the name
		t.Fatal(err)
	}
	for _, c := range slices.Concat(publisherSteps(), documentSteps(), privateSteps(), exportSteps(), followerSteps(), fetcherSteps()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.play(t, l, killer)
		})
	}
}

// stepCase is one command, and what it begins with.
type stepCase struct {
	name    string
	program string // seed or fetch
	args    []string
	least   int // so many steps it has at least
	// prepare makes what a side begins with; it gets a copy of its directory for each step. args are put behind those above.
	prepare func(t *testing.T, base *side) (args []string)
	begin   func(t *testing.T, s *side) // what is done in each copy, not in what is copied: it remembers paths; nil = nothing
	// killed looks at what the kill has left, and again at what has become of it when the same command ran to its end.
	killed, again func(t *testing.T, base, s *side, p *process)
	codes         []int // with which it may end the second time
}

func (c *stepCase) play(t *testing.T, l *lab, killer string) {
	base := l.local(t)
	args := slices.Concat(c.args, c.prepare(t, base))
	steps, ended := c.kill(t, base, killer, args, 0)
	if !ended || len(steps) < c.least {
		t.Fatalf("%d steps, at least %d were expected: %q", len(steps), c.least, steps)
	}
	if *listSteps {
		for i, s := range steps {
			t.Logf("%3d %s", i+1, s)
		}
	}
	const few = 2
	at := make([]int, 0, len(steps))
	for i := range few {
		at = append(at, 1+(2*i+1)*len(steps)/(2*few))
	}
	if *everyStep {
		for at = at[:0]; len(at) < len(steps); {
			at = append(at, len(at)+1)
		}
	}
	for _, n := range at {
		t.Run(fmt.Sprint("step ", n), func(t *testing.T) {
			if c.program == "fetch" { // copies of a publisher that run beside each other fork the channel
				t.Parallel()
			}
			if _, ended := c.kill(t, base, killer, args, n); ended {
				t.Logf("step %d was not reached: this time there were fewer", n)
			}
		})
	}
	t.Logf("killed at %d of %d steps", len(at), len(steps))
}

// kill runs the command on a copy of what it begins with, kills it at its n-th step, 0: not at all, and then lets it run to its
// end.
func (c *stepCase) kill(t *testing.T, base *side, killer string, args []string, n int) (steps []string, ended bool) {
	t.Helper()
	s := base.copied(t)
	if c.begin != nil {
		c.begin(t, s)
	}
	report := filepath.Join(t.TempDir(), "steps")
	s.programs = map[string]string{c.program: killer}
	program := map[string]string{"seed": s.lab.tools.Seed, "fetch": s.lab.tools.Fetch}[c.program]
	s.alter = func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(), "STEPKILL_PROGRAM="+program, "STEPKILL_REPORT="+report, fmt.Sprint("STEPKILL_AT=", n))
	}
	p := s.start(c.program, args...)
	code := p.wait()
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.tail())
	}
	steps = strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(b), s.dir, ""), "\n"), "\n")
	if ended = code != 137; ended && code != 0 {
		t.Fatalf("%q, killed at step %d, ended with %d before it\n%s", args, n, code, p.tail())
	}
	if n > 0 {
		t.Logf("step %d: %s", n, steps[len(steps)-1])
	}
	s.programs, s.alter = nil, nil
	c.killed(t, base, s, p)
	q := s.start(c.program, args...)
	if code := q.wait(); code != 0 && !slices.Contains(c.codes, code) {
		t.Fatalf("%q, killed at step %d (%s), ends with %d\n%s", args, n, steps[len(steps)-1], code, q.tail())
	}
	c.again(t, base, s, q)
	if t.Failed() {
		t.Fatalf("killed at step %d: %s", n, steps[len(steps)-1])
	}
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	return steps, ended
}

// copied is another side, with all that this one has.
func (s *side) copied(t *testing.T) *side {
	t.Helper()
	c := s.lab.local(t)
	c.machine = s.machine
	command(t, "cp", "-a", s.dir+"/.", c.dir)
	return c
}

// witnessed is a follower of the only channel of a publisher, without a network between them: it has seen every head that
// was on disk when somebody looked.
type witnessed struct {
	trust *signing.Trusted
	keys  *keyfile.Keys
}

// believedFile keeps what the follower of a side believes.
const believedFile = "believed.trust"

// look opens what a publisher has on disk as its next start does, and lets the follower follow. ok is false when there is no
// channel yet.
func look(t *testing.T, s *side) (w *witnessed, l *openLog, ok bool) {
	t.Helper()
	keysIn := s.path("state", "seed", "keys")
	ids, err := keyfile.List(keysIn)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(ids) == 0 {
		return nil, nil, false
	}
	if err != nil || len(ids) != 1 {
		t.Fatalf("channels %v: %v", ids, err)
	}
	w = &witnessed{trust: signing.NewTrusted(ids[0])}
	if w.keys, err = keyfile.Open(keysIn, ids[0]); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(s.path(believedFile)); err == nil {
		if w.trust, err = signing.ParseTrusted(b); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range w.keys.Roots {
		if err := w.trust.UpdateRoot(r.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	// A copy, so that the program itself finds what the kill has left.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.path("state", "seed", "logs", ids[0].String(), signing.MainWriter))); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	l = &openLog{keys: readKeys(t, keysIn, ids[0])}
	if l.Log, err = publish.OpenLog(dir, publish.LogConfig{Root: w.keys.Newest(), Key: w.keys.Online}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if l.Head().Raw == nil {
		return w, l, true // other keys, or a base: signed at the next start
	}
	u, err := l.UpdateFor(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.trust.UpdateHead(signing.MainWriter, u, time.Now()); err != nil {
		t.Fatalf("who follows refuses it: %v; %d entries are held, %d offered", err, w.trust.Size(signing.MainWriter), l.Head().Size)
	}
	if err := os.WriteFile(s.path(believedFile), w.trust.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return w, l, true
}

// texts returns which of the words the entries of a log have, in order.
func texts(t *testing.T, l *openLog, words ...string) (found []string) {
	t.Helper()
	for i := range l.Size() {
		e, err := l.Entry(i)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if bytes.Contains(e, []byte(w)) {
				found = append(found, w)
			}
		}
	}
	return found
}

// goesOn publishes once more, and sees that it is believed and confirmed.
func goesOn(t *testing.T, s *side) (*witnessed, *openLog) {
	t.Helper()
	s.ended(0, "seed", "post", "--no-wait", "and on it goes")
	w, l, ok := look(t, s)
	if !ok {
		t.Fatal("the channel is gone")
	}
	if state := w.trust.State(signing.MainWriter, time.Now()); state != signing.StateFresh {
		t.Errorf("it is %s", state)
	}
	if got := texts(t, l, "and on it goes"); len(got) != 1 || l.Unsigned() || w.trust.Size(signing.MainWriter) != l.Size() {
		t.Errorf("%d entries, %d of them believed, %d of them the newest", l.Size(), w.trust.Size(signing.MainWriter), len(got))
	}
	return w, l
}
