package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// App is one run of a binary: its command tree, its options and its voice.
type App struct {
	Env    *Env
	Common Common
	Node   Node // filled for verbs that AddNode was called for
	Root   *cobra.Command

	mu      sync.Mutex // guards printer
	printer Printer    // made at its first use, when the options are known
	current *cobra.Command
	rerun   []string // what to run if the node that took this command stops; empty: the same
}

// NewApp returns an app around a root command. It adds what both binaries have:
// the common options, help, man, version and completion.
func NewApp(env *Env, root *cobra.Command) *App {
	a := &App{Env: env, Root: root}
	root.SilenceErrors, root.SilenceUsage = true, true
	root.DisableAutoGenTag = true
	root.SuggestionsMinimumDistance = 2
	a.Common.addFlags(root.PersistentFlags())
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		a.current = cmd
		return applyEnv(env, cmd.Flags())
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			err = fmt.Errorf("--%s: %w", invalid.GetFlag().Name, invalid.Unwrap())
		}
		return &Fault{Code: Usage, Hint: a.helpHint(cmd), Err: err}
	})
	root.SetVersionTemplate("{{.Version}}\n")
	root.Version, _ = buildVersion().Show(env.Now())
	root.AddCommand(a.versionCommand(), a.manCommand())
	root.SetHelpCommand(a.helpCommand())
	root.InitDefaultCompletionCmd()
	if completion := child(root, "completion"); completion != nil {
		a.Group(completion)
		for _, shell := range completion.Commands() {
			shell.Args = a.Args(0, 0, "")
		}
	}
	return a
}

// AddNode gives verbs the options that shape a node. publishes: with --handful.
func (a *App) AddNode(publishes bool, verbs ...*cobra.Command) {
	for _, v := range verbs {
		a.Node.AddFlags(v.Flags(), publishes)
	}
}

// helpHint names the help to read about a command.
func (a *App) helpHint(cmd *cobra.Command) string {
	path := strings.Fields(cmd.CommandPath())
	return "see `" + strings.Join(slices.Insert(path, 1, "help"), " ") + "`"
}

// Args makes a check of a verb's arguments out of how many it takes and what to
// call them.
func (a *App) Args(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return Usagef(a.helpHint(cmd), "%s needs %s", cmd.CommandPath(), what)
		case most >= 0 && len(args) > most:
			return Usagef(a.helpHint(cmd), "%s: there is one argument too many: %q", cmd.CommandPath(), args[most])
		}
		return nil
	}
}

// Group makes a command that only has others below it complain when it is called
// alone or with a word that is none of them.
func (a *App) Group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return Usagef(a.helpHint(cmd), "%s needs to know what to do", cmd.CommandPath())
		}
		return Usagef(a.helpHint(cmd), "%s has no command %q", cmd.CommandPath(), args[0])
	}
	return cmd
}

// Out returns the printer of this run.
func (a *App) Out() Printer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.printer == nil {
		a.printer = NewPrinter(a.Env, PrinterOptions{JSON: a.wantsJSON(), Quiet: a.Common.Quiet})
	}
	return a.printer
}

// wantsJSON also knows it of a command line that did not parse.
func (a *App) wantsJSON() bool {
	if a.current != nil {
		return a.Common.JSON
	}
	for _, arg := range a.Env.Args {
		switch arg {
		case "--json", "--json=true":
			return true
		case "--json=false":
			return false
		case "--":
			return a.Env.Get(EnvName("json")) == "true"
		}
	}
	v := a.Env.Get(EnvName("json"))
	return v == "1" || v == "true"
}

// Log returns the run's logger: warnings, with -v what is done, with -vv all,
// on stderr above the bars.
func (a *App) Log() *slog.Logger {
	level := slog.LevelWarn
	switch {
	case a.Common.Verbose > 1:
		level = slog.LevelDebug
	case a.Common.Verbose == 1:
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(a.Out(), &slog.HandlerOptions{Level: level}))
}

// Verb is the command that runs, such as "serve"; empty for the binary's own, which
// is called without one.
func (a *App) Verb() string {
	if a.current == a.Root {
		return ""
	}
	return a.current.Name()
}

// StateDir returns the state directory of this binary.
func (a *App) StateDir() (string, error) { return a.Env.StateDir(a.Common.StateDir) }

// Execute runs the command that the environment's arguments name and returns its
// exit code. All that is to be said has then been printed, except that a *Gone is
// returned for the caller to run the command again.
func (a *App) Execute(ctx context.Context) (ExitCode, error) {
	a.Root.SetArgs(slices.Concat([]string{}, a.Env.Args))
	a.Root.SetIn(a.Env.Stdin)
	a.Root.SetOut(a.Env.Stdout)
	a.Root.SetErr(a.Env.Stderr)
	err := a.Root.ExecuteContext(ctx)
	if gone, ok := errors.AsType[*Gone](err); ok {
		return Failed, gone
	}
	if context.Cause(ctx) == errGone && errors.Is(err, context.Canceled) {
		a.Out().Close()
		return Failed, &Gone{a.rerun}
	}
	if stop, ok := errors.AsType[*Stop](context.Cause(ctx)); ok && err != nil && errors.Is(err, context.Canceled) {
		err = stop
	}
	if closeErr := a.Out().Close(); err == nil {
		err = closeErr
	}
	if told, ok := errors.AsType[forwarded](err); ok {
		return told.code, nil
	}
	code, hint := explain(err)
	if code == Failed && a.current == nil {
		// The command line did not even name a command.
		code, hint = Usage, "see `"+a.Env.Name+" help`"
	}
	if err != nil {
		a.printError(code, err.Error(), hint)
	}
	return code, nil
}

func (a *App) printError(code ExitCode, message, hint string) {
	red, plain := "", ""
	if a.Env.Terminal() && a.Env.Get("NO_COLOR") == "" && a.Env.Get("TERM") != "dumb" {
		red, plain = "\x1b[31m", "\x1b[0m"
	}
	// A message of several lines (errors.Join) stays one line.
	message = Clean(strings.ReplaceAll(message, "\n", "; "))
	fmt.Fprintf(a.Env.Stderr, "%s: %serror:%s %s\n", a.Env.Name, red, plain, message)
	if hint != "" {
		fmt.Fprintf(a.Env.Stderr, "%s: hint: %s\n", a.Env.Name, Clean(hint))
	}
	if a.wantsJSON() {
		if b, err := Encode(Error{code, message, hint}); err == nil {
			a.Env.Stdout.Write(b)
		}
	}
}

// forwarded is the error of a command that a running node has run and has
// already said all about.
type forwarded struct{ code ExitCode }

func (f forwarded) Error() string {
	return fmt.Sprintf("the running node ended the command with %d", f.code)
}

// Main runs a binary: tree builds its commands for an environment. It returns
// the exit code of the process.
func Main(name string, tree func(*Env) *App) int {
	env, err := OSEnv(name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: error: %v\n", name, err)
		return int(Code(err))
	}
	ctx, stop := Signals(context.Background(), func(c ExitCode) {
		io.WriteString(os.Stderr, "\n")
		os.Exit(int(c))
	})
	defer stop()
	for {
		code, err := tree(env).Execute(ctx)
		gone, ok := errors.AsType[*Gone](err)
		if !ok {
			return int(code)
		}
		if len(gone.Args) > 0 {
			env.Args = gone.Args
		}
	}
}

// Until is the moment that lies d ahead, in RFC 3339.
func (a *App) Until(d time.Duration) string {
	return a.Env.Now().Add(d).Format(time.RFC3339)
}

// quickly is how long a completion may take: somebody waits with a finger on Tab.
const quickly = time.Second

// Quietly runs another command of the binary with its stdout going to out, and
// everything else nowhere.
func (a *App) Quietly(ctx context.Context, tree func(*Env) *App, out io.Writer, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, quickly)
	defer cancel()
	env := *a.Env
	env.Args, env.Stdout, env.Stderr, env.Stdin = args, out, io.Discard, strings.NewReader("")
	env.Width = func() int { return 0 }
	code, err := tree(&env).Execute(ctx)
	if err == nil && code != OK {
		err = fmt.Errorf("%s %s ended with %d", env.Name, strings.Join(args, " "), code)
	}
	return err
}
