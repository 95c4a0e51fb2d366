package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"
)

// hookMode makes this test binary a hook.
const hookMode = "FEED_TEST_HOOK"

func TestMain(m *testing.M) {
	if mode := os.Getenv(hookMode); mode != "" {
		playHook(mode)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// playHook is what the hooks of the tests do.
func playHook(mode string) {
	mode, arg, _ := strings.Cut(mode, " ")
	switch mode {
	case "echo":
		in, _ := io.ReadAll(os.Stdin)
		fmt.Printf("%s %s %s %q %s", os.Getenv("HANDFUL_CHANNEL"), os.Getenv("HANDFUL_WRITER"), os.Getenv("HANDFUL_INDEX"), os.Args[1:], in)
	case "fail":
		fmt.Println("out")
		fmt.Fprintln(os.Stderr, "err")
		os.Exit(3)
	case "flood":
		for range 1000 {
			fmt.Print(strings.Repeat("x", 10_007))
		}
		fmt.Print("end")
	case "fail-at":
		if os.Getenv("HANDFUL_INDEX") == arg {
			os.Exit(1)
		}
	case "hang": // so does what it starts, which says that it is there
		c, err := net.Dial("tcp", arg)
		if err != nil {
			os.Exit(1)
		}
		io.Copy(io.Discard, c)
	case "parent", "leave":
		self, _ := os.Executable()
		child := exec.Command(self)
		child.Env = append(os.Environ(), hookMode+"=hang "+arg)
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if child.Start() != nil {
			os.Exit(1)
		}
		if mode == "parent" {
			child.Wait()
		}
	}
}

func hook(t *testing.T, mode string) Hook {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Hook{Path: self, Env: append(os.Environ(), hookMode+"="+mode), Dir: t.TempDir()}
}

func TestHook(t *testing.T) {
	e := numbered(t, 7, 1)[0]
	e.Post.Title = "; rm -rf / $(x) `x`"
	h := hook(t, "echo")
	h.Args = []string{"a b", "$HOME"}
	out, err := h.Run(t.Context(), e)
	if want := channel(t).ID.String() + ` m 7 ["a b" "$HOME"] ` + string(e.Line()) + "\n"; err != nil || string(out) != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
	out, err = hook(t, "flood").Run(t.Context(), e)
	if err != nil || len(out) != MaxHookOutput || !bytes.HasSuffix(out, []byte("xend")) {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	var failed *HookError
	var exit *exec.ExitError
	_, err = hook(t, "fail").Run(t.Context(), e)
	if !errors.As(err, &failed) || !errors.As(err, &exit) || exit.ExitCode() != 3 || failed.Timeout || string(failed.Output) != "out\nerr\n" || !strings.Contains(err.Error(), e.URI()) {
		t.Errorf("%v, output %q", err, failed.Output)
	}
	h.Path = "no-such-hook"
	if _, err := h.Run(t.Context(), e); !errors.Is(err, exec.ErrNotFound) || !errors.As(err, &failed) {
		t.Error(err)
	}
}

// listener returns a place where hooks say that they run, and waits for one.
func listener(t *testing.T) (addr string, accept func() net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), func() net.Conn {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return nil
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// TestHookKilled ends a hook that waits for what it has started: both are killed.
func TestHookKilled(t *testing.T) {
	addr, accept := listener(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := hook(t, "parent "+addr).Run(ctx, numbered(t, 0, 1)[0])
		ended <- err
	}()
	child := accept()
	cancel()
	var failed *HookError
	if err := <-ended; !errors.As(err, &failed) || failed.Timeout || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n, err := io.Copy(io.Discard, child); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestHookTimeout(t *testing.T) {
	addr, _ := listener(t)
	h := hook(t, "hang "+addr)
	h.Timeout = 50 * time.Millisecond
	_, err := h.Run(t.Context(), numbered(t, 0, 1)[0])
	var failed *HookError
	if !errors.As(err, &failed) || !failed.Timeout || !strings.Contains(err.Error(), "too long") {
		t.Errorf("%v", err)
	}
}

// TestHookLeaves has a hook that succeeds while what it started holds its output.
func TestHookLeaves(t *testing.T) {
	addr, accept := listener(t)
	h := hook(t, "leave "+addr)
	h.grace = 10 * time.Millisecond
	if _, err := h.Run(t.Context(), numbered(t, 0, 1)[0]); err != nil {
		t.Error(err)
	}
	accept().Close() // it ends
}

func TestDeliver(t *testing.T) {
	h := hook(t, "fail-at 3")
	entries := numbered(t, 0, 5)
	var saved []string
	save := func(c Cursor) error {
		saved = append(saved, c.String())
		return nil
	}
	done, err := h.Deliver(t.Context(), Cursor{"m": 1}, entries, save)
	var failed *HookError
	if !errors.As(err, &failed) || failed.Entry != entries[3].URI() || done.String() != "m:3" || !reflect.DeepEqual(saved, []string{"m:2", "m:3"}) {
		t.Errorf("%v, done %q, saved %q", err, done, saved)
	}
	h = hook(t, "echo")
	full := errors.New("disk full")
	if again, err := h.Deliver(t.Context(), done, entries, func(Cursor) error { return full }); !errors.Is(err, full) || again.String() != "m:3" {
		t.Errorf("%v, done %q", err, again)
	}
	saved = nil
	done, err = h.Deliver(t.Context(), done, entries, save)
	if err != nil || done.String() != "m:5" || !reflect.DeepEqual(saved, []string{"m:4", "m:5"}) {
		t.Errorf("%v, done %q, saved %q", err, done, saved)
	}
}
