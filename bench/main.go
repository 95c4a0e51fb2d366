package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Packages are the Debian packages of everything that bench and the tests with other clients use.
var Packages = []string{
	"aria2", "curl", "iproute2", "mktorrent", "nginx-light", "python3-libtorrent", "rtorrent", "tcpdump",
	"transmission-cli", "transmission-daemon", "tshark",
}

const usage = `usage: bench QUESTION [flags]

  hash      hashing a tree for publishing, against SHA-1 + SHA-256 in memory on all cores
  pair      one seed, one leecher on loopback: rate, CPU seconds per GiB, memory
  crowd     one origin, N leechers at once: makespan / T*, origin copies, duplicates
  churn     a crowd that is disturbed: who completes, and how much later
  sim       the policy in a simulated swarm of thousands: copies, makespan / bound, who is served
  sites     sites joined by slow links: copies over each link, time against what the links allow
  small     many nodes fetch many small torrents, some at a time: time, origin copies, memory
  feed      100 followers of a channel: time until a post is printed, origin copies, what a stranger costs
  packages  print the Debian packages that hold the rivals, on one line

bench QUESTION -h lists its flags. Results go to standard output, with --json as JSON Lines.
`

// errUsage is wrapped by errors in the arguments.
var errUsage = errors.New("usage")

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return "ended by signal: " + i.signal.String() }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings passed in; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals) // a second one ends the process at once
			if s, ok := s.(syscall.Signal); ok {
				cancel(interrupted{s})
			}
			cancel(context.Canceled)
		case <-ctx.Done():
		}
	}()
	err := dispatch(ctx, args, stdout, stderr)
	if by, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		fmt.Fprintln(stderr, "bench:", by)
		return 128 + int(by.signal)
	}
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "bench: error:", err)
		return 2
	default:
		fmt.Fprintln(stderr, "bench: error:", err)
		return 1
	}
}

func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stdout, usage)
		return nil
	}
	out := report{stdout: stdout, stderr: stderr}
	switch question, rest := args[0], args[1:]; question {
	case "hash":
		return hashMain(ctx, rest, out)
	case hashWorker: // ours alone: one hashing in a process of its own, so that it can be measured
		return hashWork(ctx, rest, out)
	case "pair":
		return pairMain(ctx, rest, out)
	case "crowd":
		return crowdMain(ctx, rest, out)
	case "churn":
		return churnMain(ctx, rest, out)
	case "sim":
		return simMain(ctx, rest, out)
	case "sites":
		return sitesMain(ctx, rest, out)
	case "small":
		return smallMain(ctx, rest, out)
	case "feed":
		return feedMain(ctx, rest, out)
	case "packages":
		fmt.Fprintln(stdout, strings.Join(Packages, " "))
		return nil
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return nil
	default:
		return fmt.Errorf("%w: no question %q; there are hash, pair, crowd, churn, sim, sites, small, feed and packages", errUsage, question)
	}
}

// parse is flags.Parse for a question, which takes no further arguments.
func parse(flags *flag.FlagSet, args []string, out report) error {
	flags.SetOutput(out.stderr)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	case flags.NArg() > 0:
		return fmt.Errorf("%w: %q is not a flag", errUsage, flags.Arg(0))
	}
	return nil
}
