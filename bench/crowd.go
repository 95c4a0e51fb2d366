package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

// crowdOptions are the flags of `bench crowd`.
type crowdOptions struct {
	leechers   int
	rate       bitrate  // a host's uplink
	rates      bitrates // the leechers' uplinks in turn; none = rate
	originRate bitrate  // 0 = rate
	down       bitrate  // every host's downlink, 0 = open
	size       size
	piece      size          // 0: rivals size/256, ours its own choice
	every      time.Duration // between two arrivals; 0 = all at once
	mix        guestList
	blind      bool
	runs       int
	clients    string
	dir        string
	json       bool
	link       bool
	static     bool
	unshaped   bool
	timeout    time.Duration
}

func crowdFlags(args []string, out report) (crowdOptions, error) {
	o := crowdOptions{rate: 10e6, size: 32 << 20}
	flags := flag.NewFlagSet("bench crowd", flag.ContinueOnError)
	flags.IntVar(&o.leechers, "n", 16, "`number` of leechers")
	flags.Var(&o.rate, "rate", "uplink of every host, `bit/s` (K, M, G = 1000)")
	flags.Var(&o.rates, "rates", "uplinks of the leechers in turn, comma-separated `bit/s`: 5M,20M gives half of them 5M, half 20M (default: -rate)")
	flags.Var(&o.originRate, "origin-rate", "uplink of the origin, `bit/s`; 0 = -rate")
	flags.Var(&o.down, "down", "downlink of every host, `bit/s`; 0 = as fast as the machine")
	flags.Var(&o.size, "size", "`bytes` of content (K, M, G = 1024)")
	flags.Var(&o.piece, "piece", "piece length in `bytes`; 0 = size/256 for the others, our own choice for us")
	flags.DurationVar(&o.every, "every", 0, "`time` between two leechers' arrivals; 0 = all at once")
	flags.Var(&o.mix, "mix", "`CLIENT=NUMBER`,…: so many of our crowd's leechers are that client; the other clients' crowds stay as they are")
	flags.BoolVar(&o.blind, "blind", false, "our own programs take all tiers for equal")
	flags.IntVar(&o.runs, "runs", 1, "`runs` of each client that count; the table shows medians and the worst")
	flags.StringVar(&o.clients, "clients", "handful,libtorrent,libtorrent-super,aria2,stock-engine,transmission,rtorrent",
		"comma-separated `names`, or all (nginx+curl takes N times as long as the rest)")
	flags.StringVar(&o.dir, "dir", "", "`directory` to work in (default: in memory where possible)")
	flags.BoolVar(&o.json, "json", false, "print JSON Lines, one a run")
	flags.BoolVar(&o.link, "link", false, "our own leechers get a link, and the metainfo over the wire; the others start with a .torrent, as ours do without this")
	flags.BoolVar(&o.static, "static", false, "give addresses at the start to clients that can take them, instead of by tracker")
	flags.BoolVar(&o.unshaped, "unshaped", false, "limits in the clients on loopback, even as root")
	flags.DurationVar(&o.timeout, "timeout", 0, "give a run up after this `time` (default: 20 T* and a minute)")
	if err := parse(flags, args, out); err != nil {
		return o, err
	}
	if o.originRate == 0 {
		o.originRate = o.rate
	}
	return o, o.check()
}

func (o crowdOptions) check() error {
	switch {
	case o.leechers < 1 || o.leechers > 500:
		return fmt.Errorf("%w: -n %d: 1 to 500 leechers", errUsage, o.leechers)
	case o.rate < 1000 || o.originRate < 1000 || o.size < 1 || o.runs < 1:
		return fmt.Errorf("%w: -rate and -origin-rate at least 1K, -size and -runs at least 1", errUsage)
	case o.piece != 0 && (o.piece < 16<<10 || o.piece&(o.piece-1) != 0):
		return fmt.Errorf("%w: -piece %d: a power of two of at least 16K", errUsage, o.piece)
	case o.every < 0:
		return fmt.Errorf("%w: -every %s: not below 0", errUsage, o.every)
	case o.mix.total() >= o.leechers:
		return fmt.Errorf("%w: -mix %s: at least one of %d leechers must be our own", errUsage, &o.mix, o.leechers)
	case len(o.mix) > 0 && o.static:
		return fmt.Errorf("%w: -mix needs the tracker: leave -static out", errUsage)
	case len(o.mix) > 0 && !slices.Contains(strings.Split(o.clients, ","), "handful") && o.clients != "all":
		return fmt.Errorf("%w: -mix mixes our own crowd: name handful in -clients", errUsage)
	}
	return nil
}

// lines are those of all clients, the origin's first.
func (o crowdOptions) lines() []line {
	all := []line{{up: int64(o.originRate), down: int64(o.down)}}
	for i := range o.leechers {
		rate := o.rate
		if len(o.rates) > 0 {
			rate = o.rates[i%len(o.rates)]
		}
		all = append(all, line{up: int64(rate), down: int64(o.down)})
	}
	return all
}

// bound is T*, or with arrivals one by one the bound of capacity.
func (o crowdOptions) bound() time.Duration {
	var up []int64
	var arrivals []time.Duration
	for i, l := range o.lines()[1:] {
		up = append(up, l.up)
		arrivals = append(arrivals, time.Duration(i)*o.every)
	}
	return arrivalBound(int64(o.size), int64(o.originRate), up, int64(o.down), arrivals)
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
	if err := c.invite(ctx); err != nil {
		return err
	}
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
		if r.Error != "" && (!r.Overloaded || r.Attempt == 1+moreAttempts) {
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
	guests  []entrant // one for each leecher of our own crowd that is not ours
	noGuest error     // why our own crowd cannot be mixed as asked
}

// invite looks up the guests of our own crowd.
func (c *crowd) invite(ctx context.Context) error {
	for _, g := range c.mix {
		found, err := entrants(ctx, g.client, c.dir, c.out)
		switch {
		case err != nil:
			return err
		case g.client == "handful" || !found[0].Can().Trackers:
			return fmt.Errorf("%w: -mix: %s cannot be a guest", errUsage, g.client)
		case found[0].missing != nil:
			c.noGuest = fmt.Errorf("guest %s: %w", g.client, found[0].missing)
		}
		for range g.number {
			c.guests = append(c.guests, found[0])
		}
	}
	return nil
}

// seats are the leechers, by client, that guests of e's crowd take: the last ones, so that unequal uplinks fall to guests and
// ours alike.
func (c *crowd) seats(e entrant) map[int]entrant {
	if e.Name() != "handful" {
		return nil
	}
	seats := map[int]entrant{}
	for i, g := range c.guests {
		seats[c.leechers-len(c.guests)+1+i] = g
	}
	return seats
}

// title is how e's crowd stands in tables.
func (c *crowd) title(e entrant) string {
	title := e.title()
	if e.Name() != "handful" {
		return title
	}
	if c.blind {
		title += ", blind"
	}
	if c.link {
		title += ", from a link"
	}
	if len(c.mix) > 0 {
		title += " with " + c.mix.String()
	}
	return title
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

// busyLimit is the share of the machine's processor time above which a run does not count: then the machine was
// measured, not the client.
const busyLimit = 0.85

// moreAttempts is how often a run that does not count is repeated.
const moreAttempts = 2

// measure runs every client, all of them once before any a second time, so that the machine's moods meet all alike.
func (c *crowd) measure(ctx context.Context, clients []entrant) ([]crowdResult, error) {
	var results []crowdResult
	for run := range c.runs {
		for _, e := range clients {
			if run > 0 && e.missing != nil {
				continue
			}
			for attempt := range 1 + moreAttempts {
				c.out.notef("crowd of %d, run %d of %d: %s", c.leechers, run+1, c.runs, c.title(e))
				r, err := c.attempt(ctx, e, run+1, attempt+1)
				if err != nil {
					return nil, err
				}
				results = append(results, r)
				if !r.Overloaded {
					break
				}
				c.out.notef("%s: the machine was %.2f busy, above %.2f: this run does not count", e.Name(), r.Busy, busyLimit)
			}
		}
	}
	return results, nil
}

// attempt makes one run, and prints it with --json. Only the end of ctx and of the output is an error.
func (c *crowd) attempt(ctx context.Context, e entrant, run, attempt int) (crowdResult, error) {
	r := c.blank(e)
	r.Run, r.Attempt = run, attempt
	missing := e.missing
	if e.Name() == "handful" && missing == nil {
		missing = c.noGuest
	}
	if missing == nil {
		err := c.once(ctx, e, &r)
		if cause := context.Cause(ctx); cause != nil {
			return r, cause
		}
		if errors.Is(err, rival.ErrUnsupported) {
			missing = err
		} else if err != nil {
			c.out.notef("%s: %v", e.Name(), err)
			r.Error = err.Error()
		}
		r.Overloaded = r.Busy > busyLimit
	}
	if missing != nil {
		r.Missing = missing.Error()
	}
	if c.json {
		return r, c.out.line(r)
	}
	return r, nil
}
