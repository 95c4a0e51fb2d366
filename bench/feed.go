package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"handful/bench/rival"
)

// feedOptions are the flags of `bench feed`.
type feedOptions struct {
	n         int // followers
	processes int // of them
	posts     int // of case post
	every     time.Duration
	burst     int // posts of case burst
	within    time.Duration
	past      int // entries of case past
	killed    int // followers
	cases     string
	runs      int
	dir       string
	json      bool
	timeout   time.Duration
}

// feedCases are the cases in the order in which they run.
var feedCases = []string{"post", "killed", "burst", "stranger", "away", "history"}

func feedFlags(args []string, out report) (feedOptions, error) {
	var o feedOptions
	flags := flag.NewFlagSet("bench feed", flag.ContinueOnError)
	flags.IntVar(&o.n, "n", 100, "`number` of followers")
	flags.IntVar(&o.processes, "processes", 20, "how many of them are `fetch follow`, in a process each; the others are nodes of this process")
	flags.IntVar(&o.posts, "posts", 50, "`number` of posts in the cases post and killed")
	flags.DurationVar(&o.every, "every", 500*time.Millisecond, "`time` between two of these")
	flags.IntVar(&o.burst, "burst", 1000, "`number` of posts in the case burst")
	flags.DurationVar(&o.within, "within", time.Minute, "`time` in which these are said")
	flags.IntVar(&o.past, "past", 100_000, "`number` of posts that a channel has in the cases stranger, away and history")
	flags.IntVar(&o.killed, "killed", 10, "`number` of followers that are killed and started again in the case killed")
	flags.StringVar(&o.cases, "cases", strings.Join(feedCases, ","), "`cases` to run, separated by commas")
	flags.IntVar(&o.runs, "runs", 1, "`runs` of each case")
	flags.StringVar(&o.dir, "dir", "", "`directory` to work in (default: in memory where possible)")
	flags.BoolVar(&o.json, "json", false, "print JSON Lines, one a run")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "give a case up when nothing has come for this `time`")
	if err := parse(flags, args, out); err != nil {
		return o, err
	}
	switch {
	case o.n < 1 || o.n > 1000 || o.processes < 0 || o.processes > o.n || o.killed < 0 || o.killed > o.n:
		return o, fmt.Errorf("%w: -n 1 to 1000, -processes and -killed at most as many", errUsage)
	case o.posts < 2 || o.burst < 2 || o.past < 2000 || o.runs < 1 || o.every <= 0 || o.within <= 0:
		return o, fmt.Errorf("%w: -posts and -burst at least 2, -past at least 2000, times above 0", errUsage)
	}
	for _, c := range strings.Split(o.cases, ",") {
		if !slices.Contains(feedCases, c) {
			return o, fmt.Errorf("%w: -cases: there is no case %q, only %s", errUsage, c, strings.Join(feedCases, ", "))
		}
	}
	return o, nil
}

// feedResult is one run of one case, as it is printed with --json. Figures below 0 were not measured.
type feedResult struct {
	Type      string `json:"type"` // "feed"
	Case      string `json:"case"`
	Error     string `json:"error,omitempty"`
	Run       int    `json:"run"`
	N         int    `json:"n"`
	Processes int    `json:"processes"`
	Posts     int    `json:"posts"`

	P50     float64 `json:"p50_ms"` // from the call that says it until a follower has printed it
	P99     float64 `json:"p99_ms"`
	LastP50 float64 `json:"last_p50_ms"` // until the last of all followers has
	LastP99 float64 `json:"last_p99_ms"`
	LastMax float64 `json:"last_max_ms"`

	Update   int64   `json:"update_bytes"`  // of one post, for who is up to date
	Egress   int64   `json:"egress_bytes"`  // payload of all messages of the origin
	Copies   float64 `json:"origin_copies"` // of it, in copies of what was said
	Missed   int     `json:"missed"`        // entries that a follower has not printed
	Repeated int     `json:"repeated"`      // entries that a follower printed again
	Disorder int     `json:"disorder"`      // entries that a follower printed behind later ones

	Seconds  float64 `json:"seconds"`        // stranger, away, history: from the start of the program to the last line
	Received int64   `json:"received_bytes"` // payload of the messages that it got
	Anon     int64   `json:"anon_bytes"`     // most anonymous memory of any one process
	CPU      float64 `json:"cpu_seconds"`    // of this process and all followers' of their own
	Busy     float64 `json:"busy"`
}

func feedMain(ctx context.Context, args []string, out report) (err error) {
	o, err := feedFlags(args, out)
	if err != nil {
		return err
	}
	m := feedMeasure{feedOptions: o, out: out}
	if m.dir, err = workDir(o.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	out.notef("building fetch")
	options := rival.BuildOptions{Only: []string{"fetch"}}
	if os.Getenv("CGO_ENABLED") == "" { // as it is shipped
		options.Env = []string{"CGO_ENABLED=0"}
	}
	if m.tools, err = rival.Build(ctx, m.dir, options); err != nil {
		return err
	}
	var results []feedResult
	for _, name := range strings.Split(o.cases, ",") {
		for run := range o.runs {
			out.notef("%s, run %d of %d", name, run+1, o.runs)
			r := feedResult{Type: "feed", Case: name, Run: run + 1, P50: -1, P99: -1, LastP50: -1, LastP99: -1, LastMax: -1, Update: -1, Egress: -1,
				Copies: -1, Seconds: -1, Received: -1, Anon: -1, CPU: -1, Busy: -1}
			if err := m.once(ctx, &r); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				r.Error = err.Error()
				out.notef("failed: %v", err)
			}
			results = append(results, r)
			if o.json {
				if err := out.line(r); err != nil {
					return err
				}
			}
		}
	}
	if !o.json {
		fmt.Fprintf(out.stdout, "%s\n\n%s", describeMachine(), m.table(results))
	}
	return nil
}

// table shows every run: of figures with tails a median hides the worst.
func (m *feedMeasure) table(results []feedResult) string {
	t := table{head: []string{"case", "posts", "p50 ms", "p99 ms", "all: p50 ms", "p99 ms", "max ms", "update B", "origin copies", "missed", "repeated", "disorder", "seconds", "received KiB", "MiB", "CPU s", "busy"}}
	for _, r := range results {
		if r.Error != "" {
			t.missing(r.Case, "failed: "+firstLine(r.Error))
			continue
		}
		t.add(r.Case, strconv.Itoa(r.Posts), number(r.P50, 0), number(r.P99, 0), number(r.LastP50, 0), number(r.LastP99, 0), number(r.LastMax, 0),
			number(float64(r.Update), 0), number(r.Copies, 2), strconv.Itoa(r.Missed), strconv.Itoa(r.Repeated), strconv.Itoa(r.Disorder),
			number(r.Seconds, 2), number(kib(r.Received), 1), number(kib(r.Anon)/1024, 1), number(r.CPU, 1), number(r.Busy, 2))
	}
	return fmt.Sprintf("%d followers, %d of them in processes of their own; no multicast; state on %s.\n\n%s", m.n, m.processes, m.filesystem(), t.String())
}

func kib(n int64) float64 {
	if n < 0 {
		return -1
	}
	return float64(n) / 1024
}

// filesystem is what the state lies on.
func (m *feedMeasure) filesystem() string {
	if strings.HasPrefix(m.dir, "/dev/shm/") {
		return "tmpfs"
	}
	return m.dir
}
