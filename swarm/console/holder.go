package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	lockPatience = 5 * time.Second // for a node that starts or stops
	lockPoll     = 50 * time.Millisecond
)

// WithNode runs use with a node of this binary. If a node already holds the state
// directory, the command is handed to it and runs there: then use is called in
// that other process, with its node. Else open makes the node, which holds the
// directory, takes over the commands of others while use runs, and is closed
// after it. open returns an error with code Locked (see Code) when another
// process has the lock. tree is the binary's command tree, which runs the
// commands of others.
func WithNode[N io.Closer](ctx context.Context, a *App, tree func(*Env) *App,
	open func(ctx context.Context, stateDir string) (N, error), use func(context.Context, N) error) error {
	if a.Env.Held != nil {
		return withHeld(ctx, a, use)
	}
	dir, err := a.StateDir()
	if err != nil {
		return err
	}
	n, err := openOrForward(ctx, a, dir, open)
	if err != nil {
		return err
	}
	// The node outlives the stop signal until use has ended in good order.
	return errors.Join(hold(ctx, a, tree, dir, n, use), n.Close())
}

// WithState runs use with the state of this binary while no node runs, or hands
// the command to the node that does. Unlike WithNode's, what open returns takes no
// commands of others: they wait until it is closed. So use must be short.
func WithState[N io.Closer](ctx context.Context, a *App,
	open func(ctx context.Context, stateDir string) (N, error), use func(context.Context, N) error) error {
	if a.Env.Held != nil {
		return withHeld(ctx, a, use)
	}
	dir, err := a.StateDir()
	if err != nil {
		return err
	}
	n, err := openOrForward(ctx, a, dir, open)
	if err != nil {
		return err
	}
	return errors.Join(use(ctx, n), n.Close())
}

// withHeld runs use with the node that took this command over.
func withHeld[N io.Closer](ctx context.Context, a *App, use func(context.Context, N) error) error {
	n, ok := a.Env.Held.Node.(N)
	if !ok {
		return fmt.Errorf("the running node is a %T and cannot do this", a.Env.Held.Node)
	}
	if err := a.checkHeld(); err != nil {
		return err
	}
	return use(ctx, n)
}

// openOrForward opens the node or hands the command to the one that runs. While a
// node starts or stops, its lock is held and its socket is not there: that is
// waited for.
func openOrForward[N any](ctx context.Context, a *App, dir string, open func(context.Context, string) (N, error)) (n N, err error) {
	deadline := time.NewTimer(lockPatience)
	defer deadline.Stop()
	if err := ensureDir(dir); err != nil {
		return n, err
	}
	for {
		code, err := Forward(ctx, dir, a.request(), a.Env.Stdin, a.Env.Stdout, a.Env.Stderr)
		if err == nil {
			return n, forwarded{code}
		}
		if !errors.Is(err, ErrNoHolder) {
			return n, err
		}
		n, err = open(ctx, dir)
		if err == nil || Code(err) != Locked {
			return n, err
		}
		select {
		case <-time.After(lockPoll):
		case <-deadline.C:
			return n, err
		case <-ctx.Done():
			return n, context.Cause(ctx)
		}
	}
}

// ensureDir makes the state directory, for this user alone.
func ensureDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &Fault{Code: NoSpace, Message: "make the state directory", Hint: "choose another with --state-dir", Err: err}
	}
	return nil
}

// hold serves the commands of others while use runs.
func hold[N any](ctx context.Context, a *App, tree func(*Env) *App, dir string, n N, use func(context.Context, N) error) error {
	held := &Held{StateDir: dir, Verb: a.Verb(), Node: n, Flags: nodeValues(a.current)}
	server, err := Listen(ctx, dir, a.Env.Name, func(ctx context.Context, env *Env) (ExitCode, error) {
		env.Held = held
		return tree(env).Execute(ctx)
	})
	if err != nil {
		// The node works without it; only other commands cannot reach it.
		a.Out().Print(Warning{Message: "other commands cannot reach this node: " + err.Error()})
		return use(ctx, n)
	}
	return errors.Join(use(ctx, n), server.Close())
}

// request is this command as others run it.
func (a *App) request() Request {
	q := Request{Name: a.Env.Name, Args: a.Env.Args, Dir: a.Env.Dir, Width: min(a.Env.Width(), maxWidth), Env: map[string]string{}}
	add := func(name string) {
		if v, ok := a.Env.Lookup(name); ok {
			q.Env[name] = v
		}
	}
	add("NO_COLOR")
	add("TERM")
	a.current.Flags().VisitAll(func(f *pflag.Flag) { add(EnvName(f.Name)) })
	return q
}

// Rerun says what the client of a command that was handed over is to run if this
// node stops before the command ends: verb with args, and with those of its own
// options that verb has too. Without it the same command is run again, which is right for
// all that can be done twice.
func (a *App) Rerun(verb *cobra.Command, args ...string) {
	words := strings.Fields(verb.CommandPath())[1:]
	a.current.Flags().Visit(func(f *pflag.Flag) {
		other := verb.Flags().Lookup(f.Name)
		if other == nil {
			other = verb.InheritedFlags().Lookup(f.Name)
		}
		if other != nil {
			words = append(words, "--"+f.Name+"="+f.Value.String())
		}
	})
	if len(args) > 0 {
		words = append(append(words, "--"), args...)
	}
	a.rerun = words
}

// nodeValues are the values of the options that shape the node.
func nodeValues(cmd *cobra.Command) map[string]string {
	values := map[string]string{}
	for _, name := range nodeFlags {
		if f := cmd.Flags().Lookup(name); f != nil {
			values[name] = f.Value.String()
		}
	}
	return values
}

// checkHeld refuses options that the running node would have to be started with,
// unless it was.
func (a *App) checkHeld() error {
	var differing []string
	a.current.Flags().Visit(func(f *pflag.Flag) {
		if slices.Contains(nodeFlags, f.Name) && a.Env.Held.Flags[f.Name] != f.Value.String() {
			differing = append(differing, "--"+f.Name)
		}
	})
	if len(differing) == 0 {
		return nil
	}
	return Usagef("stop that node and start it with the option, or give this command its own --state-dir",
		"%s cannot be changed: another node already runs for %s", strings.Join(differing, ", "), a.Env.Held.StateDir)
}

// Replace puts another argument in the place of one that can be used only once,
// for whoever runs this command next: a node that takes it over, or its client
// again.
func (a *App) Replace(arg, by string) {
	args := slices.Clone(a.Env.Args)
	if i := slices.Index(args, arg); i >= 0 {
		args[i] = by
	}
	a.Env.Args = args
}
