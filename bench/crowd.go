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

// crowdOptions are the flags of `bench crowd`.
type crowdOptions struct {
	leechers int
	rate     bitrate // every host's uplink
	down     bitrate // every host's downlink, 0 = open
	size     size
	piece    size // 0: rivals size/256, ours its own choice
	runs     int
	clients  string
	dir      string
	json     bool
	static   bool
	unshaped bool
	timeout  time.Duration
}

func crowdFlags(args []string, out report) (crowdOptions, error) {
	o := crowdOptions{rate: 10e6, size: 32 << 20}
	flags := flag.NewFlagSet("bench crowd", flag.ContinueOnError)
	flags.IntVar(&o.leechers, "n", 16, "`number` of leechers")
	flags.Var(&o.rate, "rate", "uplink of every host, `bit/s` (K, M, G = 1000)")
	flags.Var(&o.down, "down", "downlink of every host, `bit/s`; 0 = as fast as the machine")
	flags.Var(&o.size, "size", "`bytes` of content (K, M, G = 1024)")
	flags.Var(&o.piece, "piece", "piece length in `bytes`; 0 = size/256 for the others, our own choice for us")
	flags.IntVar(&o.runs, "runs", 1, "`runs` of each client; the table shows medians")
	flags.StringVar(&o.clients, "clients", "handful,libtorrent,libtorrent-super,aria2,stock-engine,transmission,rtorrent",
		"comma-separated `names`, or all (nginx+curl takes N times as long as the rest)")
	flags.StringVar(&o.dir, "dir", "", "`directory` to work in (default: in memory where possible)")
	flags.BoolVar(&o.json, "json", false, "print JSON Lines, one a run")
	flags.BoolVar(&o.static, "static", false, "give addresses at the start to clients that can take them, instead of by tracker")
	flags.BoolVar(&o.unshaped, "unshaped", false, "limits in the clients on loopback, even as root")
	flags.DurationVar(&o.timeout, "timeout", 0, "give a run up after this `time` (default: 20 T* and a minute)")
	if err := parse(flags, args, out); err != nil {
		return o, err
	}
	switch {
	case o.leechers < 1 || o.leechers > 500:
		return o, fmt.Errorf("%w: -n %d: 1 to 500 leechers", errUsage, o.leechers)
	case o.rate < 1000 || o.size < 1 || o.runs < 1:
		return o, fmt.Errorf("%w: -rate at least 1K, -size and -runs at least 1", errUsage)
	case o.piece != 0 && (o.piece < 16<<10 || o.piece&(o.piece-1) != 0):
		return o, fmt.Errorf("%w: -piece %d: a power of two of at least 16K", errUsage, o.piece)
	}
	return o, nil
}

// lines are those of all clients, the origin's first.
func (o crowdOptions) lines() []line {
	all := make([]line, o.leechers+1)
	for i := range all {
		all[i] = line{up: int64(o.rate), down: int64(o.down)}
	}
	return all
}

// bound is T*.
func (o crowdOptions) bound() time.Duration {
	up := make([]int64, o.leechers)
	for i := range up {
		up[i] = int64(o.rate)
	}
	return fluidBound(int64(o.size), int64(o.rate), up, int64(o.down))
}

// rivalPiece is the piece length of the torrent that the others get: 256 pieces, a power of two, at least 16 KiB.
func (o crowdOptions) rivalPiece() int64 {
	if o.piece != 0 {
		return int64(o.piece)
	}
	p := int64(16 << 10)
	for p*256 < int64(o.size) && p < 16<<20 {
		p *= 2
	}
	return p
}

// crowdResult is one run, as it is printed with --json. Figures below 0 were not measured.
type crowdResult struct {
	Type         string  `json:"type"` // "crowd"
	Client       string  `json:"client"`
	Version      string  `json:"version,omitempty"`
	Missing      string  `json:"missing,omitempty"` // why there are no figures
	Error        string  `json:"error,omitempty"`   // why the figures are not to be trusted
	Run          int     `json:"run,omitempty"`
	N            int     `json:"n"`
	Rate         int64   `json:"rate_bits"`
	Size         int64   `json:"size"`
	Piece        int64   `json:"piece"` // 0: the client's choice
	Shaped       bool    `json:"shaped"`
	Bound        float64 `json:"bound_seconds"` // T*
	Complete     int     `json:"complete"`
	Makespan     float64 `json:"makespan_seconds"`
	Mean         float64 `json:"mean_seconds"`
	First        float64 `json:"first_seconds"`
	Ratio        float64 `json:"makespan_ratio"`
	MeanRatio    float64 `json:"mean_ratio"`
	OriginCopies float64 `json:"origin_copies"`
	OriginDrops  float64 `json:"origin_drops"`
	PeerCopies   float64 `json:"peer_copies"` // sent by the mean leecher
	WireUseful   float64 `json:"wire_useful"` // all bytes sent / (N · size)
	Duplicates   float64 `json:"duplicates"`  // payload received for nothing / payload received, by the clients' own counters
	CPU          float64 `json:"cpu_seconds"` // of all clients
	Busy         float64 `json:"busy"`        // the machine, everybody's work
	Own          float64 `json:"own"`         // of it the clients'
}

func crowdMain(ctx context.Context, args []string, out report) (err error) {
	o, err := crowdFlags(args, out)
	if err != nil {
		return err
	}
	c := crowd{crowdOptions: o, out: out}
	if c.dir, err = workDir(o.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	clients, err := entrants(ctx, o.clients, c.dir, out)
	if err != nil {
		return err
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	results, err := c.measure(ctx, clients)
	if err != nil {
		return err
	}
	if !o.json {
		fmt.Fprint(out.stdout, c.table(clients, results))
	}
	for _, r := range results {
		if r.Error != "" {
			err = fmt.Errorf("%s: %s", r.Client, r.Error)
		}
	}
	return err
}

// crowd is a measurement under way.
type crowd struct {
	crowdOptions
	out     report
	source  string // path of the content
	torrent string
	shaped  bool
}

func (c *crowd) prepare(ctx context.Context) (err error) {
	c.shaped = !c.unshaped
	if err := netns.Available(); err != nil && c.shaped {
		c.out.notef("%v: links are not shaped, clients limit themselves on loopback, copies are not counted", err)
		c.shaped = false
	}
	dir := filepath.Join(c.dir, "source")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if c.source, err = makeContent(ctx, dir, int64(c.size), 1); err != nil {
		return err
	}
	c.torrent = filepath.Join(c.dir, "content.torrent")
	return rival.MakeTorrent(c.source, c.torrent, c.rivalPiece())
}

// measure runs every client, all of them once before any a second time, so that the machine's moods meet all alike.
func (c *crowd) measure(ctx context.Context, clients []entrant) ([]crowdResult, error) {
	var results []crowdResult
	for run := range c.runs {
		for _, e := range clients {
			r := crowdResult{Type: "crowd", Client: e.Name(), Version: e.version, Run: run + 1, N: c.leechers,
				Rate: int64(c.rate), Size: int64(c.size), Piece: int64(c.piece), Shaped: c.shaped, Bound: c.bound().Seconds()}
			if e.Name() != "handful" {
				r.Piece = c.rivalPiece()
			}
			switch {
			case e.missing != nil && run > 0:
				continue
			case e.missing != nil:
				r.Missing = e.missing.Error()
			default:
				c.out.notef("crowd of %d, run %d of %d: %s", c.leechers, run+1, c.runs, e.title())
				err := c.once(ctx, e, &r)
				if cause := context.Cause(ctx); cause != nil {
					return nil, cause
				}
				if errors.Is(err, rival.ErrUnsupported) {
					r.Missing = err.Error()
				} else if err != nil {
					c.out.notef("%s: %v", e.Name(), err)
					r.Error = err.Error()
				}
			}
			results = append(results, r)
			if c.json {
				if err := c.out.line(r); err != nil {
					return nil, err
				}
			}
		}
	}
	return results, nil
}

func (c *crowd) table(clients []entrant, results []crowdResult) string {
	t := table{head: []string{"client", "runs", "makespan/T*", "mean/T*", "origin copies", "each peer sent", "wire/useful",
		"duplicates %", "CPU s", "busy", "own"}}
	for _, e := range clients {
		var good []crowdResult
		why := ""
		for _, r := range results {
			switch {
			case r.Client != e.Name():
			case r.Missing != "":
				why = r.Missing
			case r.Error != "":
				why = "failed: " + r.Error
			default:
				good = append(good, r)
			}
		}
		if len(good) == 0 {
			t.missing(e.title(), firstLine(why))
			continue
		}
		of := func(field func(crowdResult) float64, digits int) string { return number(medianOf(good, field), digits) }
		t.add(e.title(), strconv.Itoa(len(good)),
			of(func(r crowdResult) float64 { return r.Ratio }, 3),
			of(func(r crowdResult) float64 { return r.MeanRatio }, 3),
			of(func(r crowdResult) float64 { return r.OriginCopies }, 3),
			of(func(r crowdResult) float64 { return r.PeerCopies }, 2),
			of(func(r crowdResult) float64 { return r.WireUseful }, 3),
			of(func(r crowdResult) float64 { return 100 * r.Duplicates }, 2),
			of(func(r crowdResult) float64 { return r.CPU }, 1),
			of(func(r crowdResult) float64 { return r.Busy }, 2),
			of(func(r crowdResult) float64 { return r.Own }, 2))
	}
	kind := "shaped by tbf"
	if !c.shaped {
		kind = "limited by the clients themselves, on loopback"
	}
	return fmt.Sprintf("Flash crowd: %d leechers, %s, uplinks %sbit/s %s, T* = %.2f s; medians.\n\n%s",
		c.leechers, c.size.String()+"iB", c.rate.String(), kind, c.bound().Seconds(), t.String())
}
