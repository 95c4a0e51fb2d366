package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"handful/swarm/store"
)

// fakeNode is a node that only holds the state directory's real lock.
type fakeNode struct {
	store   *store.Store
	pid     string
	waiting chan string // a verb that waits sends its name
}

func (n *fakeNode) Close() error { return n.store.Close() }

// fakeTree has verbs that show where they run: say prints, cat copies stdin, wait
// waits for its context.
func fakeTree(nodes chan<- *fakeNode, waiting chan string, id string) func(*Env) *App {
	var tree func(*Env) *App
	tree = func(env *Env) *App {
		root := &cobra.Command{Use: "fetch"}
		a := NewApp(env, root)
		open := func(_ context.Context, dir string) (*fakeNode, error) {
			s, err := store.Open(dir, store.Options{})
			if err != nil {
				return nil, err
			}
			n := &fakeNode{store: s, pid: id, waiting: waiting}
			nodes <- n
			return n, nil
		}
		verb := func(name string, run func(context.Context, *fakeNode, []string) error) *cobra.Command {
			cmd := &cobra.Command{Use: name, Args: cobra.ArbitraryArgs}
			a.AddNode(false, cmd)
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				return WithNode(cmd.Context(), a, tree, open, func(ctx context.Context, n *fakeNode) error { return run(ctx, n, args) })
			}
			return cmd
		}
		after := verb("after", func(ctx context.Context, n *fakeNode, args []string) error {
			a.Out().Print(Done{Path: n.pid + ": " + strings.Join(args, " ")})
			return nil
		})
		root.AddCommand(after,
			verb("say", func(_ context.Context, n *fakeNode, args []string) error {
				a.Out().Print(Done{Path: n.pid + " in " + env.Dir + ": " + strings.Join(args, " ")})
				if len(args) == 0 {
					return &Fault{Code: NotFound, Message: "nothing to say", Hint: "say it"}
				}
				return nil
			}),
			verb("cat", func(context.Context, *fakeNode, []string) error {
				_, err := io.Copy(env.Stdout, env.Stdin)
				return err
			}),
			verb("wait", func(ctx context.Context, n *fakeNode, args []string) error {
				if len(args) > 0 {
					a.Rerun(after, args...)
				}
				n.waiting <- strings.Join(args, " ")
				<-ctx.Done()
				return context.Cause(ctx)
			}))
		return a
	}
	return tree
}

// world is one state directory and the processes that use it.
type world struct {
	t       *testing.T
	dir     string
	nodes   chan *fakeNode
	waiting chan string
}

func newWorld(t *testing.T) *world {
	return &world{t: t, dir: filepath.Join(t.TempDir(), "st"), nodes: make(chan *fakeNode, 8), waiting: make(chan string)}
}

// result is how a process ended.
type result struct {
	code     ExitCode
	out, err string
	gone     *Gone
}

// run is one process. id tells it from others.
func (w *world) run(ctx context.Context, id, stdin string, args ...string) result {
	env := newTestEnv(w.t, append([]string{"--state-dir", w.dir}, args...)...)
	env.Stdin = strings.NewReader(stdin)
	code, err := fakeTree(w.nodes, w.waiting, id)(env.Env).Execute(ctx)
	r := result{code: code, out: env.out.String(), err: env.err.String()}
	r.gone, _ = errors.AsType[*Gone](err)
	return r
}

// start runs a process beside, and waits until it waits.
func (w *world) start(id string, args ...string) (stop context.CancelCauseFunc, ended <-chan result) {
	ctx, cancel := context.WithCancelCause(w.t.Context())
	ch := make(chan result, 1)
	go func() { ch <- w.run(ctx, id, "", append([]string{"wait"}, args...)...) }()
	<-w.waiting
	return cancel, ch
}

func TestCommandsAreHandedOver(t *testing.T) {
	w := newWorld(t)
	stop, holder := w.start("A")
	r := w.run(t.Context(), "B", "", "say", "hello")
	if r.code != OK || !strings.HasPrefix(r.out, "A in ") || !strings.HasSuffix(r.out, ": hello\n") {
		t.Errorf("say ran as %+v", r)
	}
	r = w.run(t.Context(), "B", "", "say", "--json")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if r.code != NotFound || lines[len(lines)-1] != `{"type":"error","code":10,"message":"nothing to say","hint":"say it"}` || r.err != "fetch: error: nothing to say\nfetch: hint: say it\n" {
		t.Errorf("a failure comes as %+v", r)
	}
	big := strings.Repeat("0123456789abcdef", 20000) // several frames
	if r := w.run(t.Context(), "B", big, "cat"); r.out != big || r.code != OK {
		t.Errorf("stdin came back as %d bytes of %d, code %d", len(r.out), len(big), r.code)
	}
	if r := w.run(t.Context(), "B", "", "say", "--bogus"); r.code != Usage {
		t.Errorf("an unknown flag: %+v", r)
	}
	if r := w.run(t.Context(), "B", "", "say", "x", "--site", "berlin"); r.code != Usage || !strings.Contains(r.err, "--site cannot be changed") {
		t.Errorf("an option of the whole node: %+v", r)
	}
	stop(&Stop{Interrupted})
	if r := <-holder; r.code != Interrupted {
		t.Errorf("the holder ended with %+v", r)
	}
	if len(w.nodes) != 1 {
		t.Errorf("%d nodes were opened, one was needed", len(w.nodes))
	}
	left, _ := filepath.Glob(filepath.Join(w.dir, "fetch", "control*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Ctrl-C at a client ends its command and no other.
func TestInterruptIsOfOneCommand(t *testing.T) {
	w := newWorld(t)
	stopA, a := w.start("A")
	stopB, b := w.start("B")
	stopC, c := w.start("C")
	stopB(&Stop{Terminated})
	if r := <-b; r.code != Terminated || !strings.Contains(r.err, "terminated") {
		t.Errorf("B ended with %+v", r)
	}
	if r := w.run(t.Context(), "D", "", "say", "x"); r.code != OK || !strings.HasPrefix(r.out, "A in ") {
		t.Errorf("after B: %+v", r)
	}
	stopC(&Stop{Interrupted})
	stopA(&Stop{Interrupted})
	if r := <-c; r.code != Interrupted && r.gone == nil {
		t.Errorf("C ended with %+v", r)
	}
	<-a
}

// When the node stops, the commands in it go back to their own processes.
func TestNodeStops(t *testing.T) {
	w := newWorld(t)
	stopA, a := w.start("A")
	_, b := w.start("B", "on", "my", "own")
	_, c := w.start("C")
	stopA(&Stop{Interrupted})
	r := <-b
	if r.gone == nil || r.err != "" || strings.Join(r.gone.Args, " ") != "after --state-dir="+w.dir+" -- on my own" {
		t.Fatalf("B is to run %+v, %q", r, r.gone.Args)
	}
	if r := <-c; r.gone == nil || r.gone.Args != nil {
		t.Errorf("C is to run %+v", r)
	}
	<-a
	if r := w.run(t.Context(), "B", "", r.gone.Args...); r.code != OK || r.out != "B: on my own\n" {
		t.Errorf("B on its own: %+v", r)
	}
}

// What a dead node left is cleared by the next that has the lock; while somebody
// has the lock and does not answer, the code is 11.
func TestDeadHolder(t *testing.T) {
	w := newWorld(t)
	state := filepath.Join(w.dir, "fetch")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	l, address, err := listenControl(state)
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	l.Close() // as a kill leaves it: the socket and the record are there
	if err := writeRecord(state, address); err != nil {
		t.Fatal(err)
	}
	if r := w.run(t.Context(), "A", "", "say", "x"); r.code != OK || r.err != "done       0 B in 0.0 s, NOT verified\n" {
		t.Errorf("after a kill: %+v", r)
	}

	lock, err := store.Open(state, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(&Stop{Interrupted}) // rather than wait for the patience to end
	if r := w.run(ctx, "A", "", "say", "x"); r.code != Interrupted && r.code != Locked {
		t.Errorf("locked by another: %+v", r)
	}
	if _, err := Forward(t.Context(), state, Request{}, nil, io.Discard, io.Discard); !errors.Is(err, ErrNoHolder) || Code(err) != Locked {
		t.Errorf("forward: %v", err)
	}
}

func TestLongStateDir(t *testing.T) {
	w := newWorld(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	w.dir = filepath.Join(w.dir, strings.Repeat("long/", 40))
	stop, holder := w.start("A")
	if r := w.run(t.Context(), "B", "", "say", "hello"); r.code != OK || !strings.HasPrefix(r.out, "A in ") {
		t.Errorf("say ran as %+v", r)
	}
	stop(&Stop{Interrupted})
	<-holder
}

func TestRuntimeDirOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a pipe needs no directory")
	}
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	matches := func() []string { m, _ := filepath.Glob(filepath.Join(base, "handful-*")); return m }
	dir := filepath.Join(base, strings.Repeat("x", maxPath))
	l, _, err := listenControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.Chmod(matches()[0], 0o777); err != nil {
		t.Fatal(err)
	}
	if _, _, err := listenControl(dir); err == nil || !strings.Contains(err.Error(), "0700") {
		t.Errorf("a directory that others may write to: %v", err)
	}
}

const maxPath = 120

// A client of another version, of another binary, or that talks nonsense is told
// so, and the node lives on.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	stop, holder := w.start("A")
	state := filepath.Join(w.dir, "fetch")
	r, err := readRecord(state)
	if err != nil {
		t.Fatal(err)
	}
	good := Request{Name: "fetch", Args: []string{"say"}, Dir: t.TempDir()}.append(nil)
	for name, c := range map[string]struct {
		kind    byte
		payload []byte
		want    string
	}{
		"version":   {frameRequest, bytes.Replace(good, []byte("1:vi1e"), []byte("1:vi9e"), 1), "version 9"},
		"binary":    {frameRequest, Request{Name: "seed", Dir: t.TempDir()}.append(nil), `not of "seed"`},
		"variable":  {frameRequest, Request{Name: "fetch", Dir: t.TempDir(), Env: map[string]string{"LD_PRELOAD": "x"}}.append(nil), "LD_PRELOAD"},
		"directory": {frameRequest, Request{Name: "fetch", Dir: "here"}.append(nil), "not absolute"},
		"garbage":   {frameRequest, []byte("GET / HTTP/1.1"), "malformed"},
		"order":     {frameStdin, []byte("x"), "before the request"},
		"kind":      {'?', nil, "unknown kind"},
		"size":      {frameStdin, make([]byte, maxFrame+1), "at most"},
	} {
		conn, err := dialControl(t.Context(), state, r.Address)
		if err != nil {
			t.Fatal(err)
		}
		var once sync.WaitGroup
		once.Go(func() { writeFrame(conn, c.kind, c.payload) })
		kind, payload, err := readFrame(conn)
		x, parseErr := parseExit(payload)
		if err != nil || kind != frameExit || parseErr != nil || !strings.Contains(x.refused, c.want) {
			t.Errorf("%s: frame %q %q, %v %v", name, kind, payload, err, parseErr)
		}
		conn.Close()
		once.Wait()
	}
	if r := w.run(t.Context(), "B", "", "say", "still here"); r.code != OK {
		t.Errorf("afterwards: %+v", r)
	}
	stop(&Stop{Interrupted})
	<-holder
}

func FuzzRequest(f *testing.F) {
	f.Add(Request{Name: "fetch", Args: []string{"-v", "x\xff"}, Dir: "/", Env: map[string]string{"HANDFUL_SITE": "b", "TERM": "dumb"}, Width: 80}.append(nil))
	f.Add(Request{Dir: "/"}.append(nil))
	f.Add([]byte("d1:vi9ee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := parseRequest(b)
		if err == nil && !bytes.Equal(q.append(nil), b) {
			t.Errorf("%q prints as %q", b, q.append(nil))
		}
	})
}

func FuzzExit(f *testing.F) {
	f.Add(exit{code: 10}.append(nil))
	f.Add(exit{code: 1, gone: true, args: []string{"serve"}}.append(nil))
	f.Add(exit{code: 1, refused: "no"}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseExit(b)
		if err == nil && !bytes.Equal(x.append(nil), b) {
			t.Errorf("%q prints as %q", b, x.append(nil))
		}
	})
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte("O\x00\x00\x00\x02hi"))
	f.Add([]byte("N\x00\x00\x00\x00"))
	f.Add([]byte("O\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, payload, err := readFrame(bytes.NewReader(b))
		if err != nil {
			return
		}
		var again bytes.Buffer
		writeFrame(&again, kind, payload)
		if !bytes.HasPrefix(b, again.Bytes()) {
			t.Errorf("%q prints as %q", b, again.Bytes())
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"protocol":1,"pid":4242,"address":"control.sock"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseRecord(b); err == nil && (r.Address == "" || reflect.DeepEqual(r, record{})) {
			t.Errorf("%q is taken as %+v", b, r)
		}
	})
}
