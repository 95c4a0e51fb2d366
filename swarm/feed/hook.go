package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

const (
	// DefaultHookTimeout is how long a hook may run.
	DefaultHookTimeout = time.Minute
	// MaxHookOutput is how much of a hook's output is kept, its end.
	MaxHookOutput = 64 << 10

	hookGrace = 2 * time.Second // for output that is held open by what outlives the hook
)

// Hook is a program that is run for every entry: once it has succeeded, and again if a
// crash came before that was remembered. It tells by channel, writer and index.
//
//   - It is started as it is, without a shell and without arguments of the entry.
//   - Standard input is Entry.Line and a newline.
//   - HANDFUL_CHANNEL, HANDFUL_WRITER and HANDFUL_INDEX are in its environment.
//   - Exit code 0 is success. All else is a failure, and the entry is offered again.
//   - After Timeout it is killed with all that it has started: on Unix its process
//     group, on Windows its job. What a hook that succeeds leaves running stays.
//
// Text in an entry is of whoever wrote it. A hook that passes it to a shell gives
// away the machine; one that prints it should expect anything that Entry.Line does
// not escape.
type Hook struct {
	Path    string        // of the program; looked up in PATH if it has no slash
	Args    []string      // of the user, the same for all entries
	Dir     string        // "": the current one
	Env     []string      // beside the three; nil: this process's own
	Timeout time.Duration // 0: DefaultHookTimeout

	grace time.Duration // 0: hookGrace; tests are in a hurry
}

// HookError says that a hook failed.
type HookError struct {
	Entry   string // its URI
	Timeout bool   // it was killed
	Output  []byte // the end of what it wrote to standard output and error; of strangers, perhaps
	Err     error
}

func (e *HookError) Error() string {
	if e.Timeout {
		return "hook for " + e.Entry + ": it ran for too long and was killed"
	}
	return fmt.Sprintf("hook for %s: %v", e.Entry, e.Err)
}

func (e *HookError) Unwrap() error { return e.Err }

// Run runs the hook for one entry and returns the end of its output. An error is a
// *HookError, also when ctx ended first.
func (h Hook) Run(ctx context.Context, e Entry) ([]byte, error) {
	timeout := h.Timeout
	if timeout <= 0 {
		timeout = DefaultHookTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := exec.CommandContext(limited, h.Path, h.Args...)
	c.Dir = h.Dir
	c.Stdin = bytes.NewReader(append(e.Line(), '\n'))
	var out tail
	c.Stdout, c.Stderr = &out, &out
	env := h.Env
	if env == nil {
		env = os.Environ()
	}
	c.Env = append(env[:len(env):len(env)], "HANDFUL_CHANNEL="+e.Channel.String(), "HANDFUL_WRITER="+e.Writer, "HANDFUL_INDEX="+strconv.FormatInt(e.Index, 10))
	if c.WaitDelay = h.grace; c.WaitDelay <= 0 {
		c.WaitDelay = hookGrace
	}
	err := runGroup(c)
	if errors.Is(err, exec.ErrWaitDelay) && limited.Err() == nil {
		err = nil // it succeeded and left something running that holds its output
	}
	if err != nil {
		return nil, &HookError{Entry: e.URI(), Timeout: ctx.Err() == nil && limited.Err() != nil, Output: out.bytes(), Err: errors.Join(ctx.Err(), err)}
	}
	return out.bytes(), nil
}

// Deliver runs the hook for the entries that the cursor does not have, in the order
// given, and calls save with the cursor after each of them: only then is an entry
// done. It stops at the first hook or save that fails and returns the cursor so far:
// what comes after it is offered the next time, with the one that failed first.
func (h Hook) Deliver(ctx context.Context, done Cursor, entries []Entry, save func(Cursor) error) (Cursor, error) {
	for _, e := range entries {
		if done.Has(e) {
			continue
		}
		if _, err := h.Run(ctx, e); err != nil {
			return done, err
		}
		next := done.With(e)
		if err := save(next); err != nil {
			return done, fmt.Errorf("remember that %s was handled: %w", e.URI(), err)
		}
		done = next
	}
	return done, nil
}

// tail is a Writer that keeps the end of what is written, at most MaxHookOutput bytes.
// Package exec writes to it from one goroutine, as both outputs are the same.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	p = p[max(n-MaxHookOutput, 0):]
	if over := len(t.b) + len(p) - 2*MaxHookOutput; over > 0 {
		t.b = append(t.b[:0], t.bytes()...)
	}
	t.b = append(t.b, p...)
	return n, nil
}

func (t *tail) bytes() []byte { return t.b[max(len(t.b)-MaxHookOutput, 0):] }
