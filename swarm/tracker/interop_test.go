package tracker

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	python = "/usr/bin/python3"
	script = "testdata/libtorrent_peer.py"
)

// absent skips the test for want of another program, or fails it in CI, where all of them must be there.
func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("in CI every client must be there: "+format, args...)
	}
	t.Skipf(format, args...)
}

// TestLibtorrentAndAria2 lets two stock clients find each other through the tracker
// and nothing else, in both directions, over HTTP and over UDP. Whoever seeds
// announces first and hears of nobody; so if the other one completes, it has got
// the seed's address from the tracker.
func TestLibtorrentAndAria2(t *testing.T) {
	aria2, err := exec.LookPath("aria2c")
	if err != nil {
		absent(t, "aria2c is not on PATH")
	}
	if out, err := exec.Command(python, script, "probe").CombinedOutput(); err != nil {
		absent(t, "%s cannot import libtorrent: %v: %s", python, err, out)
	}
	for _, scheme := range []string{"http", "udp"} {
		t.Run(scheme+" libtorrent to aria2", func(t *testing.T) {
			t.Parallel() // they mostly wait
			f := newInterop(t, scheme)
			seed := f.libtorrent(t, f.full)
			seed.wait(t, "reply 0")
			f.waitFor(t, 1)
			f.aria2(t, aria2, f.empty, "--seed-time=0").wait(t, "")
			f.compare(t)
		})
		t.Run(scheme+" aria2 to libtorrent", func(t *testing.T) {
			t.Parallel()
			f := newInterop(t, scheme)
			f.aria2(t, aria2, f.full, "--check-integrity=true", "--seed-ratio=0.0")
			f.waitFor(t, 1)
			leecher := f.libtorrent(t, f.empty)
			leecher.wait(t, "reply 1")
			leecher.wait(t, "complete")
			f.compare(t)
		})
	}
}

// interop is one tracker and one torrent, whole in the directory full.
type interop struct {
	s           *Server
	ctx         context.Context
	torrent     string
	full, empty string
	data        []byte
	hash        chan [20]byte // the infohash that is announced
}

func newInterop(t *testing.T, scheme string) *interop {
	f := &interop{full: t.TempDir(), empty: t.TempDir(), data: make([]byte, 300_001), hash: make(chan [20]byte, 64)}
	var cancel context.CancelFunc
	f.ctx, cancel = context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(f.data)
	if err := os.WriteFile(filepath.Join(f.full, "data"), f.data, 0o600); err != nil {
		t.Fatal(err)
	}
	f.s = New(Config{Allowed: func(h [20]byte) bool {
		select {
		case f.hash <- h:
		default:
		}
		return true
	}})
	httpURL, udpURL := serve(t, f.s, "127.0.0.1")
	url := map[string]string{"http": httpURL, "udp": udpURL}[scheme] + "/announce"
	f.torrent = filepath.Join(t.TempDir(), "t.torrent")
	if out, err := exec.CommandContext(f.ctx, python, script, "make", f.torrent, f.full, "data", url).CombinedOutput(); err != nil {
		t.Fatalf("making the torrent: %v: %s", err, out)
	}
	return f
}

// waitFor returns when the tracker knows of so many seeds.
func (f *interop) waitFor(t *testing.T, seeds int) {
	t.Helper()
	var h [20]byte
	select {
	case h = <-f.hash:
	case <-f.ctx.Done():
		t.Fatal("nobody has announced")
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, _ := f.s.Counts(h); c.Complete == seeds {
			return
		}
		select {
		case <-tick.C:
		case <-f.ctx.Done():
			t.Fatalf("the seed has not announced as a seed: %+v", f.s.Stats())
		}
	}
}

func (f *interop) compare(t *testing.T) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(f.empty, "data"))
	if err != nil || !bytes.Equal(got, f.data) {
		t.Errorf("what was fetched differs: %d bytes, %v", len(got), err)
	}
}

// stockClient is a running client; lines are what it prints.
type stockClient struct {
	name  string
	lines chan string
	ctx   context.Context
	heard []string
}

func (f *interop) libtorrent(t *testing.T, dir string) *stockClient {
	return f.start(t, "libtorrent", exec.CommandContext(f.ctx, python, script, "run", f.torrent, dir))
}

func (f *interop) aria2(t *testing.T, program, dir string, more ...string) *stockClient {
	// aria2 speaks UDP to trackers through its DHT's socket, so that must be on; bound
	// to loopback, without a table and without an entry point it has nobody to ask.
	args := append([]string{"--no-conf", "--dir=" + dir, "--interface=127.0.0.1", "--disable-ipv6=true", "--enable-dht=true",
		"--dht-file-path=" + filepath.Join(dir, "dht.dat"), "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--follow-torrent=false",
		"--summary-interval=0", "--show-console-readout=false", "--all-proxy=", "--no-proxy=127.0.0.1"}, more...)
	return f.start(t, "aria2", exec.CommandContext(f.ctx, program, append(args, f.torrent)...))
}

// start runs cmd until the test ends.
func (f *interop) start(t *testing.T, name string, cmd *exec.Cmd) *stockClient {
	t.Helper()
	stdin, err := cmd.StdinPipe() // kept open: its end is the sign to leave
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &stockClient{name: name, lines: make(chan string, 1000), ctx: f.ctx}
	go func() {
		defer close(c.lines)
		for sc := bufio.NewScanner(r); sc.Scan(); {
			c.lines <- sc.Text()
		}
	}()
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		_ = w.Close()
		close(done)
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		<-done
	})
	return c
}

// wait returns when the client prints line, or, if line is empty, when it ends.
func (c *stockClient) wait(t *testing.T, line string) {
	t.Helper()
	for {
		select {
		case got, ok := <-c.lines:
			if !ok && line != "" {
				t.Fatalf("%s ended before it printed %q:\n%s", c.name, line, strings.Join(c.heard, "\n"))
			}
			if !ok || line != "" && got == line {
				return
			}
			c.heard = append(c.heard, got)
		case <-c.ctx.Done():
			t.Fatalf("%s has not printed %q:\n%s", c.name, line, strings.Join(c.heard, "\n"))
		}
	}
}
