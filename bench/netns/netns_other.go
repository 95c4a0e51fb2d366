//go:build !linux

package netns

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

const namePrefix = "handful-bench-"

func selfPID() int { return os.Getpid() }

// Available says why not: namespaces are Linux's.
func Available() error { return fmt.Errorf("%w: %s has none", ErrUnavailable, runtime.GOOS) }

// Do runs f; only the caller's own namespace, "", exists here.
func Do(namespace string, f func() error) error {
	if namespace != "" {
		return Available()
	}
	return f()
}

// Start starts cmd; only the caller's own namespace, "", exists here.
func Start(namespace string, cmd *exec.Cmd) error { return Do(namespace, cmd.Start) }

// Close has nothing to do where no Network can be made.
func (n *Network) Close() error { return nil }

func deviceCounters(string, string) (Counters, error)           { return Counters{}, Available() }
func establishedIn(string) (int, error)                         { return 0, Available() }
func removeLeftovers(context.Context) error                     { return Available() }
func run(context.Context, string, string, ...string) error      { return Available() }
func output(context.Context, string, ...string) ([]byte, error) { return nil, Available() }
