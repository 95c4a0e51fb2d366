package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

// patience is how long any one event may take on a machine that has much else to do.
const patience = 90 * time.Second

// TestEndToEnd runs the real binaries as users do: several processes, real files, real sockets, and nothing between them
// but a link. It builds them once.
func TestEndToEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the built binaries")
	}
	l := newLab(t)
	t.Run("story", func(t *testing.T) { t.Parallel(); testStory(t, l) })
	t.Run("many", func(t *testing.T) { t.Parallel(); testMany(t, l) })
	t.Run("lan", func(t *testing.T) { t.Parallel(); testLAN(t, l) })
	t.Run("explain", func(t *testing.T) { t.Parallel(); testExplain(t, l) })
	t.Run("input", func(t *testing.T) { t.Parallel(); testInput(t, l) })
	t.Run("mirror", func(t *testing.T) { t.Parallel(); testMirror(t, l) })
	t.Run("bundle", func(t *testing.T) { t.Parallel(); testBundle(t, l) })
	t.Run("private", func(t *testing.T) { t.Parallel(); testPrivate(t, l) })
	t.Run("writers offline", func(t *testing.T) { t.Parallel(); testWritersOffline(t, l, false) })
	t.Run("writers private", func(t *testing.T) { t.Parallel(); testWritersOffline(t, l, true) })
	t.Run("follow", func(t *testing.T) { t.Parallel(); testFollow(t, l) })
	t.Run("channel", func(t *testing.T) { t.Parallel(); testChannel(t, l) })
	t.Run("dht", func(t *testing.T) { t.Parallel(); testDHT(t, l) })
	t.Run("dht writers", func(t *testing.T) { t.Parallel(); testDHTWriters(t, l) })
	t.Run("two histories", func(t *testing.T) { t.Parallel(); testTwoHistories(t, l) })
	t.Run("years", func(t *testing.T) { t.Parallel(); testYears(t, l) })
	t.Run("kill", func(t *testing.T) { t.Parallel(); testKill(t, l) })
	t.Run("steps", func(t *testing.T) { t.Parallel(); testSteps(t, l) })
}

// lab is what these tests share.
type lab struct {
	tools    rival.Tools
	networks sync.Mutex // held while a network is made: that also removes what dead runs left
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := openDir(t)
	tools, err := rival.Build(t.Context(), dir, rival.BuildOptions{Only: []string{"seed", "fetch"}, Env: []string{"CGO_ENABLED=0"}})
	if err != nil {
		t.Fatal(err)
	}
	return &lab{tools: tools}
}

// openDir returns a new directory that other users of this machine may enter too.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// network makes a network of namespaces, or skips the test where none can be made. As root in CI one can.
func (l *lab) network(t *testing.T) *netns.Network {
	t.Helper()
	if err := netns.Available(); err != nil {
		if os.Geteuid() == 0 && os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	l.networks.Lock()
	defer l.networks.Unlock()
	n, err := netns.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// side is one user at one machine: a state directory, a machine id and a place in a network.
type side struct {
	t         *testing.T
	lab       *lab
	dir       string            // where state and results are
	namespace string            // "" = this process's
	listen    string            // --listen, "" = the default
	alter     func(*exec.Cmd)   // what is special about the processes; nil = nothing
	machine   string            // --machine-id
	programs  map[string]string // in the place of the built ones
}

func (l *lab) side(t *testing.T, namespace string) *side {
	t.Helper()
	dir := openDir(t)
	return &side{t: t, lab: l, dir: dir, namespace: namespace, machine: dir}
}

// local is a side on loopback.
func (l *lab) local(t *testing.T) *side {
	s := l.side(t, "")
	s.listen = "127.0.0.1:0"
	return s
}

// path is below the side's directory.
func (s *side) path(elem ...string) string { return filepath.Join(append([]string{s.dir}, elem...)...) }

// start runs "seed …" or "fetch …".
func (s *side) start(name string, args ...string) *process {
	s.t.Helper()
	program := map[string]string{"seed": s.lab.tools.Seed, "fetch": s.lab.tools.Fetch}[name]
	if other := s.programs[name]; other != "" {
		program = other
	}
	p := &process{t: s.t, name: name, changed: make(chan struct{}), ended: make(chan struct{})}
	args = append(slices.Clone(args), "--json", "--state-dir", s.path("state"))
	if takesNode(args) {
		args = append(args, "--machine-id", s.machine)
		if s.listen != "" {
			args = append(args, "--listen", s.listen)
		}
	}
	p.cmd = exec.CommandContext(s.t.Context(), program, args...)
	p.cmd.Dir = s.dir
	p.cmd.Stderr = p
	if s.alter != nil {
		s.alter(p.cmd)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := netns.Start(s.namespace, p.cmd); err != nil {
		s.t.Fatal(err)
	}
	go p.read(out)
	s.t.Cleanup(p.clean)
	return p
}

// takesNode tells the commands that run a node from those that only look.
func takesNode(args []string) bool {
	if args[0] == "reader" {
		return args[1] != "ls" && args[1] != "link"
	}
	without := []string{"ls", "status", "explain", "verify", "key", "init", "root", "sign", "writer", "export", "withdraw", "unfollow"}
	return !slices.Contains(without, args[0]) && !slices.Contains(args, "evidence")
}

// publish starts `seed publish` and waits until a peer could fetch.
func (s *side) publish(path string, more ...string) (*process, line) {
	s.t.Helper()
	p := s.start("seed", append([]string{"publish", path}, more...)...)
	return p, p.await("published", is("published"))
}

// fetched runs fetch to its end, which must be a good one.
func (s *side) fetched(args ...string) line {
	s.t.Helper()
	p := s.start("fetch", args...)
	done := p.await("done", is("done"))
	if code := p.wait(); code != 0 {
		s.t.Fatalf("fetch ended with %d\n%s", code, p.tail())
	}
	done.adds(s.t)
	return done
}

// line is what is read of the JSON Lines.
type line struct {
	Type, Link, Channel, Addr, Path, Stage, Message, Hint, Name, Peer, URL string
	Code                                                                   int
	Done, Total, Bytes, Wasted                                             int64
	Files, Index                                                           int
	Verified                                                               bool
	Received                                                               map[string]int64
	Infohash, State, From, Tier, Reason                                    string // of items and pieces
	Waited                                                                 float64
	Times, Pieces                                                          int
	Also                                                                   []line
	To                                                                     []struct{ Addr string }
	Writer, Title, Text, Key, Document                                     string
	Node                                                                   any    // its command; in "seeding", whether there is one
	RootHash                                                               string `json:"root_hash"`
	Entries, Version                                                       int64
	Sources, Asked, Others, Items, Missing                                 int
	Writers, Around                                                        []string
	Targets                                                                int64
	Roots                                                                  []struct{ Version, Need, Keys int64 }
	Heads                                                                  []struct{ Entries int64 }
	Taken                                                                  []struct{ First, Last, Version int64 } `json:"withdrawn"`
	Granted                                                                *struct {
		Times  [4]int
		Ever   int
		Copies float64
	}
}

func is(kind string) func(line) bool { return func(l line) bool { return l.Type == kind } }

// received is all that came over connections.
func (l line) received() (n int64) {
	for from, bytes := range l.Received {
		if from != "reused" {
			n += bytes
		}
	}
	return n
}

// adds checks that a done line accounts for every byte.
func (l line) adds(t *testing.T) {
	t.Helper()
	if !l.Verified || l.received()+l.Received["reused"] != l.Bytes+l.Wasted {
		t.Errorf("done does not add up: %+v", l)
	}
}

// process is one running command.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when its output is read and it is gone

	mu      sync.Mutex
	lines   []line
	stdout  []byte
	stderr  []byte
	changed chan struct{} // closed and made anew with every line
}

// Write takes stderr.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stderr = append(p.stderr, b...)
	return len(b), nil
}

func (p *process) read(out io.Reader) {
	defer close(p.ended)
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var l line
		err := json.Unmarshal(sc.Bytes(), &l)
		p.mu.Lock()
		if err != nil {
			l = line{Type: "no JSON", Message: sc.Text()}
		}
		p.lines = append(p.lines, l)
		p.stdout = append(append(p.stdout, sc.Bytes()...), '\n')
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
	p.cmd.Wait() // ProcessState has the code
}

// await returns the first line that ok accepts, whenever it was printed.
func (p *process) await(what string, ok func(line) bool) line {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for at := 0; ; {
		p.mu.Lock()
		for ; at < len(p.lines); at++ {
			if l := p.lines[at]; ok(l) {
				p.mu.Unlock()
				return l
			}
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-p.ended:
			p.mu.Lock()
			missed := !slices.ContainsFunc(p.lines, ok)
			p.mu.Unlock()
			if missed {
				p.t.Fatalf("%s ended with %d without %s\n%s", p.name, p.code(), what, p.tail())
			}
		case <-deadline.C:
			p.t.Fatalf("%s printed no %s in %v\n%s", p.name, what, patience, p.tail())
		}
	}
}

// wait waits for the end and returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end in %v\n%s", p.name, patience, p.tail())
	}
	return p.code()
}

func (p *process) code() int { return p.cmd.ProcessState.ExitCode() }

// stop ends it as a user does; it must obey.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 143 {
		p.t.Errorf("%s ended with %d after SIGTERM, want 143\n%s", p.name, code, p.tail())
	}
}

// kill ends it without a chance to tidy up.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	p.wait()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// clean ends what the test left running, and tells its story if the test failed.
func (p *process) clean() {
	p.cmd.Process.Kill() // it may be gone
	<-p.ended
	if p.t.Failed() {
		p.t.Logf("%s\n%s", strings.Join(p.cmd.Args, " "), p.tail())
	}
}

// tail is the end of what it printed.
func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := func(b []byte) string { return string(b[max(0, len(b)-2000):]) }
	return fmt.Sprintf("  stdout: %s\n  stderr: %s", last(p.stdout), last(p.stderr))
}
