package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"handful/swarm/simtest"
)

// simOptions are the flags of `bench sim`.
type simOptions struct {
	n, sites                 int
	rate, link, origin       bitrate
	size, piece              size
	cases                    []simtest.Case
	handful, ring            int
	seed                     uint64
	blind, json              bool
	interval, nearBy, across time.Duration
}

func simFlags(args []string, out report) (simOptions, error) {
	o := simOptions{rate: 10e6, link: 100e6, origin: 0, size: 64 << 20, piece: 128 << 10}
	flags := flag.NewFlagSet("bench sim", flag.ContinueOnError)
	flags.IntVar(&o.n, "n", 10000, "`number` of leechers")
	flags.IntVar(&o.sites, "sites", 200, "`number` of sites; 1 = one LAN, the origin in it")
	flags.Var(&o.rate, "rate", "uplink of every leecher, `bit/s` (K, M, G = 1000)")
	flags.Var(&o.link, "link", "border of every site, each direction, `bit/s`")
	flags.Var(&o.origin, "origin-rate", "uplink of the origin, `bit/s`; 0 = 100M, with one site that of the leechers")
	flags.Var(&o.size, "size", "`bytes` of content (K, M, G = 1024)")
	flags.Var(&o.piece, "piece", "piece length in `bytes`")
	names := flags.String("case", "flash", "comma-separated `names`: flash, arrivals, churn, slow-site, slow-peer, dead, liars, foreign, or all")
	flags.DurationVar(&o.interval, "interval", time.Second, "`time` between arrivals")
	flags.DurationVar(&o.nearBy, "near", 0, "latency of a message inside a site; 0 = the simulator's default")
	flags.DurationVar(&o.across, "far", 0, "latency of a message across a border; 0 = the simulator's default")
	flags.IntVar(&o.handful, "handful", 0, "leechers served by the origin in any one second; 0 = policy's default")
	flags.IntVar(&o.ring, "ring", 0, "leechers that learn the origin; 0 = the simulator's default")
	flags.Uint64Var(&o.seed, "seed", 1, "of all randomness: `number`")
	flags.BoolVar(&o.blind, "blind-tiers", false, "leechers see everything as it is claimed")
	flags.BoolVar(&o.json, "json", false, "print JSON Lines, one a case")
	if err := parse(flags, args, out); err != nil {
		return o, err
	}
	for name := range strings.SplitSeq(*names, ",") {
		switch c := simtest.Case(strings.TrimSpace(name)); {
		case c == "all":
			o.cases = append(o.cases, simtest.Cases...)
		case slices.Contains(simtest.Cases, c):
			o.cases = append(o.cases, c)
		default:
			return o, fmt.Errorf("%w: no case %q; there are %v and all", errUsage, name, simtest.Cases)
		}
	}
	if o.origin == 0 {
		if o.origin = 100e6; o.sites == 1 {
			o.origin = o.rate
		}
	}
	return o, nil
}

// simResult is one case, as it is printed with --json.
type simResult struct {
	Type  string `json:"type"` // "sim"
	N     int    `json:"n"`
	Sites int    `json:"sites"`
	Rate  int64  `json:"rate_bits"`
	Size  int64  `json:"size"`
	Piece int64  `json:"piece"`
	Seed  uint64 `json:"seed"`
	simtest.Result
	Wall   float64 `json:"wall_seconds"`
	Memory int64   `json:"memory_bytes"` // of the process at its highest so far
}

func simMain(ctx context.Context, args []string, out report) error {
	o, err := simFlags(args, out)
	if err != nil {
		return err
	}
	var results []simResult
	for _, c := range o.cases {
		began := time.Now()
		got, err := simtest.Run(ctx, simtest.Config{Case: c, Seed: o.seed, Peers: o.n, Sites: o.sites,
			Rate: int64(o.rate), Link: int64(o.link), OriginRate: int64(o.origin), Size: int64(o.size), Piece: int64(o.piece),
			Interval: o.interval, Handful: o.handful, Ring: o.ring, Plain: o.blind, Near: o.nearBy, Far: o.across})
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		r := simResult{Type: "sim", N: o.n, Sites: o.sites, Rate: int64(o.rate), Size: int64(o.size), Piece: int64(o.piece),
			Seed: o.seed, Result: got, Wall: time.Since(began).Seconds(), Memory: highWater()}
		results = append(results, r)
		out.notef("%s: bound %s; %d events", c, r.Formula, r.Events)
		if o.json {
			if err := out.line(r); err != nil {
				return err
			}
		}
	}
	if !o.json {
		fmt.Fprint(out.stdout, o.table(results))
	}
	for _, r := range results {
		if r.Complete < r.Peers {
			err = fmt.Errorf("%s: %d of %d are complete", r.Case, r.Complete, r.Peers)
		}
	}
	return err
}

func (o simOptions) table(results []simResult) string {
	t := table{head: []string{"case", "complete", "makespan s", "makespan/bound", "mean/bound", "longest s", "origin copies", "on the wire",
		"most copies into a site", "mean", "served in all", "in a second", "duplicates %", "wall s", "MiB"}}
	for _, r := range results {
		t.add(string(r.Case), fmt.Sprintf("%d of %d", r.Complete, r.Peers),
			number(r.Makespan.Seconds(), 1), number(r.Ratio, 3), number(r.MeanRatio, 3), number(r.Longest.Seconds(), 1),
			number(r.OriginCopies, 3), number(r.WireCopies(), 3), number(r.SiteCopies, 3), number(r.MeanSite, 3),
			strconv.Itoa(r.Served), strconv.Itoa(r.InSecond), number(100*r.Duplicates, 2), number(r.Wall, 1), strconv.FormatInt(r.Memory>>20, 10))
	}
	return fmt.Sprintf("Simulation: %d leechers in %d sites, %siB in pieces of %siB, uplinks %sbit/s, borders %sbit/s, origin %sbit/s, seed %d.\n\n%s",
		o.n, o.sites, o.size.String(), o.piece.String(), o.rate.String(), o.link.String(), o.origin.String(), o.seed, t.String())
}

// highWater is the most memory that this process had; where the system does not tell, what the runtime has of it.
func highWater() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for l := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(l, []byte("VmHWM:")); ok {
			if kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64); err == nil {
				return kb << 10
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}
