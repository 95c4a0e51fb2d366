package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

// smallOptions are the flags of `bench small`.
type smallOptions struct {
	nodes    int
	torrents int
	size     size // of each torrent
	piece    size // 0: our own choice
	parallel int
	rate     bitrate // every host's uplink
	seed     uint64
	runs     int
	dir      string
	json     bool
	timeout  time.Duration
}

func smallFlags(args []string, out report) (smallOptions, error) {
	o := smallOptions{size: 100 << 10, rate: 10e6}
	flags := flag.NewFlagSet("bench small", flag.ContinueOnError)
	flags.IntVar(&o.nodes, "n", 64, "`number` of nodes that fetch")
	flags.IntVar(&o.torrents, "torrents", 1000, "`number` of torrents that each of them wants")
	flags.Var(&o.size, "size", "`bytes` in each torrent (K, M, G = 1024)")
	flags.Var(&o.piece, "piece", "piece length in `bytes`; 0 = our own choice")
	flags.IntVar(&o.parallel, "parallel", 8, "`torrents` that a node fetches at a time")
	flags.Var(&o.rate, "rate", "uplink of every host, `bit/s` (K, M, G = 1000)")
	flags.Uint64Var(&o.seed, "seed", 1, "`number` that the orders are made of, in which nodes fetch; each has its own")
	flags.IntVar(&o.runs, "runs", 1, "`runs`; the table shows medians")
	flags.StringVar(&o.dir, "dir", "", "`directory` to work in (default: in memory where possible)")
	flags.BoolVar(&o.json, "json", false, "print JSON Lines, one a run")
	flags.DurationVar(&o.timeout, "timeout", 0, "give a run up after this `time` (default: 20 T* and a minute)")
	if err := parse(flags, args, out); err != nil {
		return o, err
	}
	switch {
	case o.nodes < 1 || o.nodes > 500:
		return o, fmt.Errorf("%w: -n %d: 1 to 500 nodes", errUsage, o.nodes)
	case o.torrents < 1 || o.torrents > 100_000:
		return o, fmt.Errorf("%w: -torrents %d: 1 to 100000", errUsage, o.torrents)
	case o.parallel < 1 || o.parallel > 1000:
		return o, fmt.Errorf("%w: -parallel %d: 1 to 1000", errUsage, o.parallel)
	case o.rate < 1000 || o.size < 1 || o.runs < 1:
		return o, fmt.Errorf("%w: -rate at least 1K, -size and -runs at least 1", errUsage)
	case o.piece != 0 && (o.piece < 16<<10 || o.piece&(o.piece-1) != 0):
		return o, fmt.Errorf("%w: -piece %d: a power of two of at least 16K", errUsage, o.piece)
	}
	return o, nil
}

// payload of all torrents together, in bytes.
func (o smallOptions) payload() int64 { return int64(o.size) * int64(o.torrents) }

// bound is T* of all torrents as if they were one.
func (o smallOptions) bound() time.Duration {
	up := make([]int64, o.nodes)
	for i := range up {
		up[i] = int64(o.rate)
	}
	return fluidBound(o.payload(), int64(o.rate), up, 0)
}

// smallResult is one run, as it is printed with --json. Figures below 0 were not measured.
type smallResult struct {
	Type     string `json:"type"` // "small"
	Error    string `json:"error,omitempty"`
	Run      int    `json:"run"`
	N        int    `json:"n"`
	Torrents int    `json:"torrents"`
	Size     int64  `json:"size"` // of each
	Piece    int64  `json:"piece"`
	Parallel int    `json:"parallel"`
	Rate     int64  `json:"rate_bits"`
	Seed     uint64 `json:"seed"`

	Complete int     `json:"complete"` // nodes that have everything
	Items    int     `json:"items"`    // torrents completed, at all nodes
	Publish  float64 `json:"publish_seconds"`
	Bound    float64 `json:"bound_seconds"` // T* of all of it
	Makespan float64 `json:"makespan_seconds"`
	First    float64 `json:"first_seconds"`
	Ratio    float64 `json:"makespan_ratio"`

	OriginCopies  float64            `json:"origin_copies"`         // bytes out of the origin's uplink / payload
	OriginPayload float64            `json:"origin_payload_copies"` // payload that nodes received of the origin / payload
	PeerCopies    float64            `json:"peer_copies"`           // bytes out of the mean node's uplink / payload
	Received      map[string]float64 `json:"received_copies,omitempty"`
	Duplicates    float64            `json:"duplicates"`

	NodeAnon    int64   `json:"node_anon_bytes"` // most anonymous memory of any node
	OriginAnon  int64   `json:"origin_anon_bytes"`
	NodeConns   int     `json:"node_connections"` // most at one moment at any node
	OriginConns int     `json:"origin_connections"`
	OriginCPU   float64 `json:"origin_cpu_seconds"`
	CPU         float64 `json:"cpu_seconds"` // of all
	Busy        float64 `json:"busy"`
	Own         float64 `json:"own"`
}

func smallMain(ctx context.Context, args []string, out report) (err error) {
	o, err := smallFlags(args, out)
	if err != nil {
		return err
	}
	if err := netns.Available(); err != nil {
		return fmt.Errorf("nodes need links of their own: %w", err)
	}
	m := smallMeasure{smallOptions: o, out: out}
	if m.dir, err = workDir(o.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	out.notef("building seed, fetch")
	options := rival.BuildOptions{Only: []string{"seed", "fetch"}}
	if os.Getenv("CGO_ENABLED") == "" { // as it is shipped
		options.Env = []string{"CGO_ENABLED=0"}
	}
	if m.tools, err = rival.Build(ctx, m.dir, options); err != nil {
		return err
	}
	if m.paths, err = makeMany(ctx, filepath.Join(m.dir, "source"), o.torrents, int64(o.size)); err != nil {
		return err
	}
	var results []smallResult
	for run := range o.runs {
		r := smallResult{Type: "small", Run: run + 1, N: o.nodes, Torrents: o.torrents, Size: int64(o.size), Piece: int64(o.piece),
			Parallel: o.parallel, Rate: int64(o.rate), Seed: o.seed, Bound: o.bound().Seconds()}
		out.notef("%d nodes, %d torrents, run %d of %d", o.nodes, o.torrents, run+1, o.runs)
		err := m.once(ctx, &r)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil {
			out.notef("%v", err)
			r.Error = err.Error()
		}
		results = append(results, r)
		if o.json {
			if err := out.line(r); err != nil {
				return err
			}
		}
	}
	if !o.json {
		fmt.Fprint(out.stdout, m.table(results))
	}
	for _, r := range results {
		if r.Error != "" {
			err = errors.New(r.Error)
		}
	}
	return err
}

func (m *smallMeasure) table(results []smallResult) string {
	t := table{head: []string{"client", "runs", "makespan/T*", "makespan s", "origin copies", "of it payload", "each node sent", "duplicates %",
		"MiB a node", "MiB origin", "connections", "origin's", "CPU s", "busy"}}
	var good []smallResult
	why := ""
	for _, r := range results {
		if r.Error != "" {
			why = "failed: " + r.Error
		} else {
			good = append(good, r)
		}
	}
	of := func(field func(smallResult) float64, digits int) string { return number(medianOf(good, field), digits) }
	if len(good) == 0 {
		t.missing("handful", firstLine(why))
	} else {
		t.add("handful", strconv.Itoa(len(good)),
			of(func(r smallResult) float64 { return r.Ratio }, 3),
			of(func(r smallResult) float64 { return r.Makespan }, 1),
			of(func(r smallResult) float64 { return r.OriginCopies }, 3),
			of(func(r smallResult) float64 { return r.OriginPayload }, 3),
			of(func(r smallResult) float64 { return r.PeerCopies }, 2),
			of(func(r smallResult) float64 { return 100 * r.Duplicates }, 2),
			of(func(r smallResult) float64 { return float64(r.NodeAnon) / (1 << 20) }, 0),
			of(func(r smallResult) float64 { return float64(r.OriginAnon) / (1 << 20) }, 0),
			of(func(r smallResult) float64 { return float64(r.NodeConns) }, 0),
			of(func(r smallResult) float64 { return float64(r.OriginConns) }, 0),
			of(func(r smallResult) float64 { return r.CPU }, 0),
			of(func(r smallResult) float64 { return r.Busy }, 2))
	}
	return fmt.Sprintf("%d nodes fetch %d torrents of %s each, %d at a time in an order of their own; uplinks %sbit/s, T* = %.2f s; medians.\n\n%s",
		m.nodes, m.torrents, m.size.String()+"iB", m.parallel, m.rate.String(), m.bound().Seconds(), t.String())
}
