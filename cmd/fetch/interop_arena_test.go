package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/netip"
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

// interop is what the tests with real programs share: the commands, and a place where they meet.
type interop struct {
	tools rival.Tools
	dir   string

	namespace string // "" when none could be made: then everything runs on loopback
	first     netip.Addr
	mu        sync.Mutex
	taken     int
}

// mostAddresses bounds what one run may use.
const mostAddresses = 120

func newInterop(t *testing.T) *interop {
	t.Helper()
	in := &interop{dir: t.TempDir()}
	var err error
	if in.tools, err = rival.Build(t.Context(), in.dir, rival.BuildOptions{Env: []string{"CGO_ENABLED=0"}}); err != nil {
		t.Fatal(err)
	}
	if err := netns.Available(); err != nil {
		t.Logf("on loopback, since %v", err)
		in.first = netip.MustParseAddr("127.78.0.1")
		return in
	}
	n, err := netns.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	in.first = netip.MustParseAddr("10.78.0.1")
	var all []netip.Prefix
	for a := in.first; len(all) < mostAddresses; a = a.Next() {
		all = append(all, netip.PrefixFrom(a, 24))
	}
	h, err := n.Lone(t.Context(), all...)
	if err != nil {
		t.Fatal(err)
	}
	in.namespace = h.Namespace()
	return in
}

// next returns an address and a port that nobody else uses.
func (in *interop) next() netip.AddrPort {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.taken == mostAddresses {
		panic("more addresses taken than made")
	}
	in.taken++
	return in.at(in.taken - 1)
}

func (in *interop) at(i int) netip.AddrPort {
	a := in.first
	for range i {
		a = a.Next()
	}
	return netip.AddrPortFrom(a, uint16(19000+i))
}

// line is what the tests read of the commands' JSON Lines.
type line struct {
	Type       string
	Torrent    string
	Magnet     string
	Infohash   string
	InfohashV2 string `json:"infohash_v2"`
	Path       string
	Bytes      int64
	Files      int
	Wasted     int64
	Received   map[string]int64
	Message    string
	Code       int
}

// command is one running seed or fetch.
type command struct {
	cmd    *exec.Cmd
	name   string
	lines  chan line // closed at its end
	exited chan struct{}
	logMu  sync.Mutex
	log    bytes.Buffer // everything it printed
}

// start runs a command in the arena, with a state directory and a machine id of its own.
func (in *interop) start(ctx context.Context, program, work string, args ...string) (*command, error) {
	if err := os.MkdirAll(work, 0o777); err != nil {
		return nil, err
	}
	c := &command{name: filepath.Base(program), lines: make(chan line, 64), exited: make(chan struct{})}
	args = append(args, "--json", "--state-dir", filepath.Join(work, "state"), "--machine-id", work)
	c.cmd = exec.CommandContext(ctx, program, args...)
	c.cmd.Dir = work
	c.cmd.Stderr = c
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := netns.Start(in.namespace, c.cmd); err != nil {
		return nil, err
	}
	go c.read(out)
	return c, nil
}

// Write keeps what is printed for the report of a failure.
func (c *command) Write(p []byte) (int, error) {
	c.logMu.Lock()
	defer c.logMu.Unlock()
	return c.log.Write(p)
}

func (c *command) read(out io.Reader) {
	defer close(c.exited)
	defer close(c.lines)
	sc := bufio.NewScanner(out)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var l line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			fmt.Fprintf(c, "no JSON: %q\n", sc.Text())
			continue
		}
		if l.Type == "progress" {
			continue
		}
		fmt.Fprintf(c, "%s\n", sc.Text())
		c.lines <- l
	}
	c.cmd.Wait() // its code is asked for by code
}

// await returns the next line of one type.
func (c *command) await(ctx context.Context, kind string) (line, error) {
	for {
		select {
		case l, ok := <-c.lines:
			if !ok {
				<-c.exited
				return line{}, fmt.Errorf("%s ended with code %d without %q:\n%s", c.name, c.code(), kind, c.tail())
			}
			if l.Type == kind {
				return l, nil
			}
		case <-ctx.Done():
			return line{}, fmt.Errorf("%s printed no %q: %w\n%s", c.name, kind, context.Cause(ctx), c.tail())
		}
	}
}

// finish waits for the command's end and returns what it printed since the last await.
func (c *command) finish(ctx context.Context) (code int, rest []line, err error) {
	for {
		select {
		case l, ok := <-c.lines:
			if !ok {
				<-c.exited
				return c.code(), rest, nil
			}
			rest = append(rest, l)
		case <-ctx.Done():
			return -1, rest, fmt.Errorf("%s did not end: %w\n%s", c.name, context.Cause(ctx), c.tail())
		}
	}
}

// code is the exit code of an ended command.
func (c *command) code() int { return c.cmd.ProcessState.ExitCode() }

// stop ends the command as a user does, and waits until it is gone.
func (c *command) stop() {
	if c.cmd.Process.Signal(syscall.SIGTERM) != nil { // it is gone, or the system has no such signal
		c.cmd.Process.Kill()
	}
	for range c.lines {
	}
	<-c.exited
}

func (c *command) tail() string {
	c.logMu.Lock()
	defer c.logMu.Unlock()
	b := c.log.Bytes()
	return string(b[max(0, len(b)-4000):])
}

// publish runs `seed publish` and waits until it is published.
func (in *interop) publish(ctx context.Context, path, work string, more ...string) (*command, line, error) {
	args := append([]string{"publish", path, "--listen", in.next().String()}, more...)
	c, err := in.start(ctx, in.tools.Seed, work, args...)
	if err != nil {
		return nil, line{}, err
	}
	l, err := c.await(ctx, "published")
	if err != nil {
		c.stop()
		return nil, line{}, err
	}
	return c, l, nil
}

// sizes around everything that matters: blocks, pieces, and what lies between.
func sizes(pieceLength int, empty bool) []int {
	s := []int{1, 2, 1000, 16<<10 - 1, 16 << 10, 16<<10 + 1, pieceLength - 1, pieceLength, pieceLength + 1,
		2*pieceLength - 1, 3 * pieceLength, 300_001, 700_003}
	if empty {
		s = append(s, 0, 0)
	}
	for i := len(s); i < 210; i++ {
		s = append(s, 1+(i*i*37)%9000)
	}
	return s
}

// makeTree writes files of the given sizes below root, in nested directories. Every seed makes other bytes.
func makeTree(root string, seed uint64, sizes []int) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	order := rng.Perm(len(sizes)) // so that small and large ones are mixed in every order of names
	for i, k := range order {
		dir := filepath.Join(root, fmt.Sprintf("d%d", i%7), strings.Repeat("deep/", i%3))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
		b := make([]byte, sizes[k])
		src.Read(b)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file %03d-%d.bin", i, len(b))), b, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// habits are what other clients do with trees.
type habits struct {
	lacksEmpty bool // makes no files without bytes
}

// sameTree compares two directories byte for byte, both ways, but for the habits of who wrote dest; what is in both must
// be want files.
func sameTree(source, dest string, want int, h habits) error {
	a, err := contents(source)
	if err != nil {
		return err
	}
	b, err := contents(dest)
	if err != nil {
		return err
	}
	if len(a) != want {
		return fmt.Errorf("%s has %d files, want %d", source, len(a), want)
	}
	var errs []error
	for path := range a {
		if other, ok := b[path]; !ok && h.lacksEmpty && len(a[path]) == 0 {
			continue
		} else if !ok {
			errs = append(errs, fmt.Errorf("%s is missing in the copy", path))
		} else if !bytes.Equal(a[path], other) {
			errs = append(errs, fmt.Errorf("%s differs from the source", path))
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			errs = append(errs, fmt.Errorf("%s is in the copy only", path))
		}
	}
	return errors.Join(errs[:min(len(errs), 5)]...)
}

func contents(root string) (map[string][]byte, error) {
	all := make(map[string][]byte)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all[rel], err = os.ReadFile(path)
		return err
	})
	return all, err
}

// missingClient skips the test for want of a program, or fails it where all of them must be there.
func missingClient(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("in CI every client must be there: %v", err)
	}
	t.Skip(err)
}

// only returns a magnet link without one of its topics: "btih" or "btmh" stays.
func only(topic, magnet string) string {
	head, rest, _ := strings.Cut(magnet, "?")
	params := slices.DeleteFunc(strings.Split(rest, "&"), func(p string) bool {
		return strings.HasPrefix(p, "xt=") && !strings.HasPrefix(p, "xt=urn:"+topic+":")
	})
	return head + "?" + strings.Join(params, "&")
}

// patience is how long one meeting may take on a machine that has much else to do.
const patience = 3 * time.Minute
