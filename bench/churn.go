package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

// churnOptions are the flags of `bench churn`.
type churnOptions struct {
	crowdOptions               // leechers, rate, size, piece, runs, clients, dir, json, timeout
	cases        []disturbance // in the order of their running
	rivalRuns    int           // of clients other than ours
	every        time.Duration // between two arrivals
	away         time.Duration // that a restarted origin is gone
	repeats      int           // at most, of a run while the machine was too busy
	keep         string
	keepAll      bool
	verbose      int // of our own programs' logs, when they are kept
}

func churnFlags(args []string, out report) (churnOptions, error) {
	o := churnOptions{crowdOptions: crowdOptions{rate: 10e6, size: 32 << 20}}
	var names []string
	for _, d := range disturbances() {
		names = append(names, fmt.Sprintf("%s (%s)", d.name, d.about))
	}
	cases := ""
	flags := flag.NewFlagSet("bench churn", flag.ContinueOnError)
	flags.IntVar(&o.leechers, "n", 16, "`number` of leechers")
	flags.Var(&o.rate, "rate", "uplink of every host, `bit/s` (K, M, G = 1000)")
	flags.Var(&o.size, "size", "`bytes` of content (K, M, G = 1024)")
	flags.Var(&o.piece, "piece", "piece length in `bytes`; 0 = size/256 for the others, our own choice for us")
	flags.StringVar(&cases, "case", "all", "comma-separated `names`, or all: "+strings.Join(names, "; ")+
		". The clean run is made in any case, to compare with")
	flags.IntVar(&o.runs, "runs", 10, "`runs` of each case")
	flags.IntVar(&o.rivalRuns, "rival-runs", 1, "`runs` of each case with clients other than ours")
	flags.StringVar(&o.clients, "clients", "handful", "comma-separated `names`, or all")
	flags.DurationVar(&o.every, "every", 2*time.Second, "`time` between two arrivals, in the case stagger")
	flags.DurationVar(&o.away, "away", 3*time.Second, "`time` that the origin is gone, in the case origin-restart")
	flags.IntVar(&o.repeats, "repeats", 2, "how `often` at most a run is done again while the machine is more than 85 % busy")
	flags.StringVar(&o.dir, "dir", "", "`directory` to work in (default: in memory where possible)")
	flags.StringVar(&o.keep, "keep", "", "`directory` for the logs and states of all clients of each run that is incomplete or fails")
	flags.BoolVar(&o.keepAll, "keep-all", false, "with -keep: of every run")
	flags.IntVar(&o.verbose, "verbose", 1, "`level` of our own programs' logs, with -keep: 0, 1 (fetch -v) or 2 (fetch -vv)")
	flags.BoolVar(&o.json, "json", false, "print JSON Lines, one a run and at the end one a case")
	flags.DurationVar(&o.timeout, "timeout", 0, "give a run up after this `time` (default: 6 T* and a minute)")
	if err := parse(flags, args, out); err != nil {
		return o, err
	}
	switch {
	case o.leechers < 4 || o.leechers > 500:
		return o, fmt.Errorf("%w: -n %d: 4 to 500 leechers", errUsage, o.leechers)
	case o.rate < 100e3 || o.size < 1 || o.runs < 1 || o.rivalRuns < 1:
		return o, fmt.Errorf("%w: -rate at least 100K, -size, -runs and -rival-runs at least 1", errUsage)
	case o.piece != 0 && (o.piece < 16<<10 || o.piece&(o.piece-1) != 0):
		return o, fmt.Errorf("%w: -piece %d: a power of two of at least 16K", errUsage, o.piece)
	case o.every <= 0 || o.away < 0 || o.repeats < 0 || o.verbose < 0 || o.verbose > 2:
		return o, fmt.Errorf("%w: -every more than 0, -away and -repeats at least 0, -verbose 0 to 2", errUsage)
	}
	o.originRate = o.rate
	var err error
	o.cases, err = chosenCases(cases)
	return o, err
}

// chosenCases resolves a comma-separated list, or "all". The clean run is first, if any other case is compared with it.
func chosenCases(list string) ([]disturbance, error) {
	all := disturbances()
	if list == "all" {
		return all, nil
	}
	var known []string
	for _, d := range all {
		known = append(known, d.name)
	}
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("%w: no case %q; there are %s", errUsage, name, strings.Join(known, ", "))
		}
		wanted[name] = true
		if name != caseStagger {
			wanted[caseClean] = true
		}
	}
	return slices.DeleteFunc(all, func(d disturbance) bool { return !wanted[d.name] }), nil
}

// few is how many leechers leave, and how many join: an eighth, so 2 of 16.
func (o churnOptions) few() int { return max(1, o.leechers/8) }

// boundOf a case: T*, but for arrivals one by one, whose uplinks are there only from then on.
func (o churnOptions) boundOf(d disturbance) time.Duration {
	crowd := o.crowdOptions
	if d.name == caseStagger {
		crowd.every = o.every
	}
	return crowd.bound()
}

// churnResult is one run, as it is printed with --json. Figures below 0 were not measured.
type churnResult struct {
	Type       string  `json:"type"` // "churn"
	Case       string  `json:"case"`
	Client     string  `json:"client"`
	Version    string  `json:"version,omitempty"`
	Missing    string  `json:"missing,omitempty"`    // why there are no figures
	Error      string  `json:"error,omitempty"`      // why the figures are not to be trusted, or what is wrong with a copy
	Incomplete string  `json:"incomplete,omitempty"` // why the first that is not complete is not
	Kept       string  `json:"kept,omitempty"`       // directory of the logs
	Run        int     `json:"run,omitempty"`
	Attempt    int     `json:"attempt,omitempty"` // from 1; more than one where the machine was too busy
	N          int     `json:"n"`
	Rate       int64   `json:"rate_bits"`
	Size       int64   `json:"size"`
	Piece      int64   `json:"piece"`         // 0: the client's choice
	Bound      float64 `json:"bound_seconds"` // T*; of arrivals one by one the capacity bound with these arrivals
	Must       int     `json:"must_complete"` // who stays and who joins
	Complete   int     `json:"complete"`      // of these; each compared with the source
	Makespan   float64 `json:"makespan_seconds"`
	Mean       float64 `json:"mean_seconds"`
	Others     float64 `json:"others_seconds"` // when the last of those was complete that nothing was done to themselves
	Ratio      float64 `json:"makespan_ratio"` // to the bound
	Slowdown   float64 `json:"slowdown"`       // makespan / median of this client's clean runs so far; stagger: / bound
	Away       float64 `json:"away_seconds"`   // subtracted from all times: the origin was gone for so long
	StruckAt   float64 `json:"struck_seconds"` // when it was disturbed
	StruckCopy float64 `json:"struck_copies"`  // that had left the origin by then, on the wire
	Victims    []int   `json:"victims,omitempty"`

	OriginCopies float64 `json:"origin_copies"` // on the wire
	PeerCopies   float64 `json:"peer_copies"`   // sent by the mean of the other hosts
	Duplicates   float64 `json:"duplicates"`    // payload received for nothing / payload received, by their own counters
	Wasted       int64   `json:"wasted_bytes"`  // payload received for nothing: twice, or wrong; of those who must complete
	Busy         float64 `json:"busy"`          // the machine, everybody's work
	Overloaded   bool    `json:"overloaded"`    // busy above 0.85: it does not count
	Repeated     bool    `json:"repeated"`      // and was done again
}

// counts: the run stands for its case.
func (r churnResult) counts() bool { return r.Missing == "" && r.Error == "" && !r.Repeated }

// whole: everybody who had to complete did.
func (r churnResult) whole() bool {
	return r.counts() && r.Incomplete == "" && r.Complete == r.Must
}

// churn is a measurement under way.
type churn struct {
	churnOptions
	crowd crowd // whose content it is
	liar  entrant
	out   report
}

func churnMain(ctx context.Context, args []string, out report) (err error) {
	o, err := churnFlags(args, out)
	if err != nil {
		return err
	}
	if err := netns.Available(); err != nil {
		return fmt.Errorf("cables and shaped links are what is disturbed: %w", err)
	}
	if o.keep != "" {
		if o.keep, err = filepath.Abs(o.keep); err != nil {
			return fmt.Errorf("-keep: %w", err)
		}
		if err := os.MkdirAll(o.keep, 0o755); err != nil {
			return fmt.Errorf("-keep: %w", err)
		}
	}
	if o.dir, err = workDir(o.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	var more []string
	if slices.ContainsFunc(o.cases, func(d disturbance) bool { return d.name == caseLiar }) {
		more = append(more, "liar")
	}
	clients, err := entrants(ctx, o.clients, o.dir, out, more...)
	if err != nil {
		return err
	}
	c := churn{churnOptions: o, out: out, crowd: crowd{crowdOptions: o.crowdOptions, out: out}}
	c.crowd.dir = o.dir
	c.liar = entrant{Client: rival.Liar(rival.Tools{Liar: built(o.dir, "liar", more)})}
	_, c.liar.missing = c.liar.Find(ctx)
	if err := c.crowd.prepare(ctx); err != nil {
		return err
	}
	results, err := c.measure(ctx, clients)
	if err != nil {
		return err
	}
	return c.conclude(clients, results)
}

// built is the path of a program that entrants was asked to build besides, "" if it was not.
func built(dir, name string, asked []string) string {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); !slices.Contains(asked, name) || err != nil {
		return ""
	}
	return path
}

// conclude prints the verdicts. An incomplete run of a rival is a result; one of ours is a failure as well.
func (c *churn) conclude(clients []entrant, results []churnResult) (err error) {
	for _, e := range clients {
		verdicts := c.verdicts(e, results)
		if c.json {
			for _, v := range verdicts {
				if err := c.out.line(v); err != nil {
					return err
				}
			}
			continue
		}
		fmt.Fprint(c.out.stdout, c.table(e, verdicts))
	}
	for _, r := range results {
		switch {
		case r.Error != "":
			err = fmt.Errorf("%s, %s: %s", r.Client, r.Case, firstLine(r.Error))
		case r.Client == ours && r.counts() && !r.whole() && r.Missing == "":
			err = fmt.Errorf("%s, %s: %s", r.Client, r.Case, firstLine(r.Incomplete))
		}
	}
	return err
}

// ours is the client that all this is about.
const ours = "handful"

// measure runs each case once, the clean one first, before any a second time, so that the machine's moods meet all alike.
func (c *churn) measure(ctx context.Context, clients []entrant) ([]churnResult, error) {
	var results []churnResult
	for run := range max(c.runs, c.rivalRuns) {
		for _, d := range c.cases {
			for _, e := range clients {
				if e.Name() == ours && run >= c.runs || e.Name() != ours && run >= c.rivalRuns || e.missing != nil && run > 0 {
					continue
				}
				made, err := c.attempts(ctx, d, e, run+1, results)
				if err != nil {
					return nil, err
				}
				results = append(results, made...)
			}
		}
	}
	return results, nil
}

// attempts makes one run, and again while the machine is too busy.
func (c *churn) attempts(ctx context.Context, d disturbance, e entrant, run int, before []churnResult) ([]churnResult, error) {
	var made []churnResult
	for attempt := 1; ; attempt++ {
		r := churnResult{Type: "churn", Case: d.name, Client: e.Name(), Version: e.version, Run: run, Attempt: attempt,
			N: c.leechers, Rate: int64(c.rate), Size: int64(c.size), Piece: int64(c.piece), Bound: c.boundOf(d).Seconds(),
			StruckAt: -1, StruckCopy: -1, Slowdown: -1, Makespan: -1, Mean: -1, Others: -1, Ratio: -1, OriginCopies: -1, PeerCopies: -1,
			Duplicates: -1, Wasted: -1, Busy: -1}
		if e.Name() != ours {
			r.Piece = c.rivalPiece()
		}
		c.one(ctx, d, e, &r)
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		r.Overloaded = r.Busy > busyLimit
		r.Repeated = r.Overloaded && attempt <= c.repeats
		if r.whole() {
			r.Slowdown = slowdown(r, append(slices.Clone(before), r))
		}
		if c.json {
			if err := c.out.line(r); err != nil {
				return nil, err
			}
		}
		c.noteRun(r)
		made = append(made, r)
		if !r.Repeated {
			return made, nil
		}
	}
}

// one makes one run and fills in r what it was, or why there is nothing.
func (c *churn) one(ctx context.Context, d disturbance, e entrant, r *churnResult) {
	switch {
	case e.missing != nil:
		r.Missing = e.missing.Error()
		return
	case d.name == caseLiar && c.liar.missing != nil:
		r.Missing = c.liar.missing.Error()
		return
	case !e.Can().Trackers:
		r.Missing = "its leechers do not find each other"
		return
	}
	c.out.notef("churn of %d, run %d, %s: %s", c.leechers, r.Run, d.name, e.title())
	err := c.once(ctx, d, e, r)
	if errors.Is(err, rival.ErrUnsupported) {
		r.Missing = err.Error()
	} else if err != nil {
		r.Error = err.Error()
	}
}

func (c *churn) noteRun(r churnResult) {
	switch {
	case r.Missing != "":
	case r.Error != "":
		c.out.notef("  failed: %s", r.Error)
	case r.Incomplete != "":
		c.out.notef("  INCOMPLETE, %d of %d, busy %.2f: %s", r.Complete, r.Must, r.Busy, r.Incomplete)
	default:
		c.out.notef("  %d of %d in %.1f s, x %.3f, slowdown %s, origin %.3f copies, busy %.2f", r.Complete, r.Must, r.Makespan,
			r.Ratio, number(r.Slowdown, 3), r.OriginCopies, r.Busy)
	}
	if r.Repeated {
		c.out.notef("  the machine was too busy: once more")
	}
}

// slowdown of a run against the median of its client's clean runs; arrivals one by one are compared with their own bound.
func slowdown(r churnResult, all []churnResult) float64 { return slower(r.Makespan, r, all) }

// slower is the same of some of the run's leechers, who were complete after the given seconds.
func slower(seconds float64, r churnResult, all []churnResult) float64 {
	if r.Case == caseStagger {
		return seconds / r.Bound
	}
	var clean []churnResult
	for _, other := range all {
		if other.Case == caseClean && other.Client == r.Client && other.whole() {
			clean = append(clean, other)
		}
	}
	base := medianOf(clean, func(r churnResult) float64 { return r.Makespan })
	if base <= 0 || math.IsNaN(base) {
		return -1
	}
	return seconds / base
}
