package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// namePrefix opens the names of all namespaces made here; the maker's process id follows.
const namePrefix = "handful-bench-"

// where ip-netns(8) keeps its named namespaces.
const namedDir = "/run/netns"

func selfPID() int { return os.Getpid() }

// Available says nil if this process can make networks, else what is missing.
func Available() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: not root", ErrUnavailable)
	}
	for _, tool := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: %w (Debian: iproute2)", ErrUnavailable, err)
		}
	}
	// Containers often have root, but not the right to unshare. Ask the kernel, on a thread that is then thrown away.
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		result <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	if err := <-result; err != nil {
		return fmt.Errorf("%w: unshare: %w", ErrUnavailable, err)
	}
	return nil
}

// Do runs f on a thread inside the named namespace, "" for the caller's own. Sockets that f opens stay inside;
// goroutines that f starts do not.
func Do(namespace string, f func() error) error {
	if namespace == "" {
		return f()
	}
	result := make(chan error, 1)
	go func() { result <- inside(namespace, f) }()
	return <-result
}

func inside(namespace string, f func() error) error {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer own.Close()
	other, err := os.Open(filepath.Join(namedDir, namespace))
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", namespace, err)
	}
	ferr := f()
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		// Still locked: the runtime ends this thread with the goroutine, so nobody else runs in the wrong place.
		return errors.Join(ferr, fmt.Errorf("leave network namespace %s: %w", namespace, err))
	}
	runtime.UnlockOSThread()
	return ferr
}

// timerSlack is by how much the system may let timers of programs in a namespace fire late. A dozen programs stand for a
// dozen machines here, and each that was made with Go wakes up every 20 µs while it has anything to do, to look after
// itself: together that is a fifth of two cores, which no machine of its own would notice.
const timerSlack = time.Millisecond

// Start starts cmd inside the namespace, "" for the caller's own. In a namespace, whatever the program is, its timers may
// fire a millisecond late.
func Start(namespace string, cmd *exec.Cmd) error {
	return Do(namespace, func() error {
		if namespace == "" {
			return cmd.Start()
		}
		// What starts has the slack of the thread that starts it, and Do keeps this goroutine on one.
		own, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		if err != nil {
			return fmt.Errorf("read the timer slack: %w", err)
		}
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0); err != nil {
			return fmt.Errorf("set the timer slack: %w", err)
		}
		err = cmd.Start()
		return errors.Join(err, unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(own), 0, 0, 0))
	})
}

func deviceCounters(namespace, device string) (c Counters, err error) {
	err = Do(namespace, func() error {
		f, err := os.Open("/proc/thread-self/net/dev")
		if err != nil {
			return fmt.Errorf("read device counters of %s: %w", namespace, err)
		}
		defer f.Close()
		devs, err := ParseNetDev(f)
		if err != nil {
			return err
		}
		var ok bool
		if c, ok = devs[device]; !ok {
			return fmt.Errorf("read device counters: no device %s in namespace %s", device, namespace)
		}
		return nil
	})
	return c, err
}

func establishedIn(namespace string) (count int, err error) {
	err = Do(namespace, func() error {
		for _, name := range []string{"tcp", "tcp6"} {
			f, err := os.Open("/proc/thread-self/net/" + name)
			if errors.Is(err, os.ErrNotExist) {
				continue // a kernel without that protocol
			}
			if err != nil {
				return fmt.Errorf("read connections of %s: %w", namespace, err)
			}
			n, err := ParseEstablished(f)
			f.Close()
			if err != nil {
				return err
			}
			count += n
		}
		return nil
	})
	return count, err
}

// Close ends what still runs in the network's namespaces and removes them. It works after the network's context is
// cancelled, and a second time.
func (n *Network) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	for len(n.all) > 0 {
		last := len(n.all) - 1
		if err := remove(ctx, n.all[last]); err != nil {
			errs = append(errs, err)
		}
		n.all = n.all[:last]
	}
	return errors.Join(errs...)
}

func remove(ctx context.Context, namespace string) error {
	out, err := output(ctx, "ip", "netns", "pids", namespace)
	if err != nil {
		return err
	}
	for _, word := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(word); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone already
		}
	}
	return run(ctx, "", "ip", "netns", "delete", namespace)
}

// removeLeftovers removes the namespaces whose maker no longer runs.
func removeLeftovers(ctx context.Context) error {
	names, err := os.ReadDir(namedDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for namespaces left behind: %w", err)
	}
	for _, e := range names {
		pid, ok := makerOf(e.Name())
		if !ok || syscall.Kill(pid, 0) == nil {
			continue
		}
		if err := remove(ctx, e.Name()); err != nil {
			return fmt.Errorf("remove namespace left by an earlier run: %w", err)
		}
	}
	return nil
}

// makerOf reads the process id out of a namespace's name.
func makerOf(name string) (pid int, ok bool) {
	rest, ok := strings.CutPrefix(name, namePrefix)
	if !ok {
		return 0, false
	}
	digits, _, ok := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(digits)
	return pid, ok && err == nil && pid > 0
}

func run(ctx context.Context, stdin, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out), where(stdin))
	}
	return nil
}

// where shows the batch that a failed command was given.
func where(stdin string) string {
	if stdin == "" {
		return ""
	}
	return " in batch:\n" + stdin
}

func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		var said []byte
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			said = bytes.TrimSpace(exit.Stderr)
		}
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said)
	}
	return out, nil
}
