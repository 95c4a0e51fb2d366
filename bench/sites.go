package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

// sitesOptions are the flags of `bench sites`.
type sitesOptions struct {
	sites    int
	leechers int     // in each site
	rate     bitrate // every host's uplink
	link     bitrate // every site's link, each way
	size     size
	piece    size // 0: rivals size/256, ours its own choice
	runs     int
	clients  string
	dir      string
	json     bool
	label    bool
	blind    bool
	timeout  time.Duration
}

func sitesFlags(args []string, out report) (sitesOptions, error) {
	o := sitesOptions{rate: 100e6, link: 10e6, size: 32 << 20}
	flags := flag.NewFlagSet("bench sites", flag.ContinueOnError)
	flags.IntVar(&o.sites, "sites", 2, "`number` of sites; the origin is in the first, beside its leechers")
	flags.IntVar(&o.leechers, "n", 8, "`number` of leechers in each site")
	flags.Var(&o.rate, "rate", "uplink of every host, `bit/s` (K, M, G = 1000)")
	flags.Var(&o.link, "link", "what joins a site to the others, `bit/s` each way")
	flags.Var(&o.size, "size", "`bytes` of content (K, M, G = 1024)")
	flags.Var(&o.piece, "piece", "piece length in `bytes`; 0 = size/256 for the others, our own choice for us")
	flags.IntVar(&o.runs, "runs", 1, "`runs` of each client; the table shows medians")
	flags.StringVar(&o.clients, "clients", "handful,libtorrent,aria2,stock-engine", "comma-separated `names`, or all")
	flags.StringVar(&o.dir, "dir", "", "`directory` to work in (default: in memory where possible)")
	flags.BoolVar(&o.json, "json", false, "print JSON Lines, one a run")
	flags.BoolVar(&o.label, "label", true, "tell our nodes with --site at which site they are; without, they know it by their addresses alone")
	flags.BoolVar(&o.blind, "blind", false, "run ours with all tiers equal as well, and say whether nearness made anybody later")
	flags.DurationVar(&o.timeout, "timeout", 0, "give a run up after this `time` (default: 20 times the bound and a minute)")
	if err := parse(flags, args, out); err != nil {
		return o, err
	}
	switch {
	case o.sites < 2 || o.sites > 200:
		return o, fmt.Errorf("%w: -sites %d: 2 to 200 sites", errUsage, o.sites)
	case o.leechers < 1 || o.leechers > 250 || o.sites*o.leechers > 1000:
		return o, fmt.Errorf("%w: -n %d: 1 to 250 leechers in a site, at most 1000 in all", errUsage, o.leechers)
	case o.rate < 1000 || o.link < 1000 || o.size < 1 || o.runs < 1:
		return o, fmt.Errorf("%w: -rate and -link at least 1K, -size and -runs at least 1", errUsage)
	case o.piece != 0 && (o.piece < 16<<10 || o.piece&(o.piece-1) != 0):
		return o, fmt.Errorf("%w: -piece %d: a power of two of at least 16K", errUsage, o.piece)
	}
	return o, nil
}

// hosts of each site: the origin is one of the first.
func (o sitesOptions) hosts() []int {
	all := slices.Repeat([]int{o.leechers}, o.sites)
	all[0]++
	return all
}

// siteOf tells each client's site.
func (o sitesOptions) siteOf() []int {
	var all []int
	for k, n := range o.hosts() {
		all = append(all, slices.Repeat([]int{k}, n)...)
	}
	return all
}

// bounds are the least times of the origin's site and of the others: the content must leave the origin once, and must
// come in over each other site's link once. Nothing else binds: out of the origin's site one copy is enough, since the
// others have links of their own to pass it on, and within a site one copy in is enough.
func (o sitesOptions) bounds() (near, far time.Duration) {
	up := slices.Repeat([]int64{int64(o.rate)}, o.leechers)
	near = fluidBound(int64(o.size), int64(o.rate), up, 0)
	across := slices.Repeat([]int64{int64(o.link)}, o.sites-1)
	return near, max(near, fluidBound(int64(o.size), int64(o.link), across, int64(o.link)))
}

// sitesResult is one run, as it is printed with --json. Figures below 0 were not measured. Lists have one figure a site,
// the origin's first.
type sitesResult struct {
	Type       string `json:"type"`   // "sites"
	Client     string `json:"client"` // "handful-blind" is ours with all tiers equal
	Version    string `json:"version,omitempty"`
	Missing    string `json:"missing,omitempty"` // why there are no figures
	Error      string `json:"error,omitempty"`   // why the figures are not to be trusted
	Run        int    `json:"run,omitempty"`
	Attempt    int    `json:"attempt,omitempty"`    // above 1: those before it did not count
	Overloaded bool   `json:"overloaded,omitempty"` // the machine was too busy: it does not count
	Sites      int    `json:"sites"`
	N          int    `json:"n"` // leechers in each site
	Rate       int64  `json:"rate_bits"`
	Link       int64  `json:"link_bits"`
	Size       int64  `json:"size"`
	Piece      int64  `json:"piece"` // 0: the client's choice
	Label      bool   `json:"label"` // the nodes were told their sites
	Complete   int    `json:"complete"`

	NearBound float64   `json:"near_bound_seconds"`
	FarBound  float64   `json:"far_bound_seconds"`
	Last      []float64 `json:"last_seconds"` // of each site
	Makespan  float64   `json:"makespan_seconds"`
	NearRatio float64   `json:"near_ratio"` // last of the origin's site / its bound
	FarRatio  float64   `json:"far_ratio"`  // last of the others / theirs

	LinkIn       []float64 `json:"link_in_copies"`     // bytes into each site / size
	LinkOut      []float64 `json:"link_out_copies"`    // bytes out of each site / size
	LinkCopies   float64   `json:"link_copies"`        // the most that came into a site without the origin
	OriginSite   float64   `json:"origin_site_copies"` // out of the origin's site
	Back         float64   `json:"back_copies"`        // into the origin's site
	LinkDrops    float64   `json:"link_drops"`         // packets, all links and ways
	OriginCopies float64   `json:"origin_copies"`

	Received   map[string]float64 `json:"received_copies,omitempty"` // ours alone: by tier, / size, all leechers together
	Duplicates float64            `json:"duplicates"`
	CPU        float64            `json:"cpu_seconds"`
	Busy       float64            `json:"busy"`
	Own        float64            `json:"own"`
}

func sitesMain(ctx context.Context, args []string, out report) (err error) {
	o, err := sitesFlags(args, out)
	if err != nil {
		return err
	}
	if err := netns.Available(); err != nil {
		return fmt.Errorf("sites need links of their own: %w", err)
	}
	m := siteMeasure{sitesOptions: o, out: out}
	if m.dir, err = workDir(o.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	entered, err := entrants(ctx, o.clients, m.dir, out)
	if err != nil {
		return err
	}
	clients := m.variants(entered)
	if err := m.prepare(ctx); err != nil {
		return err
	}
	results, err := m.measure(ctx, clients)
	if err != nil {
		return err
	}
	if !o.json {
		fmt.Fprint(out.stdout, m.table(clients, results))
	}
	for _, r := range results {
		if r.Error != "" && (!r.Overloaded || r.Attempt == 1+moreAttempts) {
			err = fmt.Errorf("%s: %s", r.Client, r.Error)
		}
	}
	return err
}

// siteMeasure is a measurement under way.
type siteMeasure struct {
	sitesOptions
	out     report
	source  string // path of the content
	torrent string
}

// variant is a client, or ours in a special mood.
type variant struct {
	entrant
	name  string // of the row
	blind bool
}

const blindName = "handful-blind"

func (m *siteMeasure) variants(clients []entrant) []variant {
	var all []variant
	for _, e := range clients {
		all = append(all, variant{entrant: e, name: e.Name()})
		if m.blind && e.Name() == "handful" {
			all = append(all, variant{entrant: e, name: blindName, blind: true})
		}
	}
	return all
}

func (m *siteMeasure) prepare(ctx context.Context) (err error) {
	dir := filepath.Join(m.dir, "source")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if m.source, err = makeContent(ctx, dir, int64(m.size), 1); err != nil {
		return err
	}
	m.torrent = filepath.Join(m.dir, "content.torrent")
	return rival.MakeTorrent(m.source, m.torrent, m.rivalPiece())
}

func (m *siteMeasure) rivalPiece() int64 {
	return crowdOptions{size: m.size, piece: m.piece}.rivalPiece()
}

// measure runs every client, all of them once before any a second time. Runs that do not count are repeated.
func (m *siteMeasure) measure(ctx context.Context, clients []variant) ([]sitesResult, error) {
	var results []sitesResult
	for run := range m.runs {
		for _, v := range clients {
			if run > 0 && v.missing != nil {
				continue
			}
			for attempt := range 1 + moreAttempts {
				m.out.notef("%d sites of %d, run %d of %d: %s", m.sites, m.leechers, run+1, m.runs, v.name)
				r, err := m.attempt(ctx, v, run+1, attempt+1)
				if err != nil {
					return nil, err
				}
				results = append(results, r)
				if !r.Overloaded {
					break
				}
				m.out.notef("%s: the machine was %.2f busy, above %.2f: this run does not count", v.name, r.Busy, busyLimit)
			}
		}
	}
	return results, nil
}

// attempt makes one run, and prints it with --json. Only the end of ctx and of the output is an error.
func (m *siteMeasure) attempt(ctx context.Context, v variant, run, attempt int) (sitesResult, error) {
	near, far := m.bounds()
	r := sitesResult{Type: "sites", Client: v.name, Version: v.version, Run: run, Attempt: attempt, Sites: m.sites, N: m.leechers,
		Rate: int64(m.rate), Link: int64(m.link), Size: int64(m.size), Piece: int64(m.piece), Label: m.label,
		NearBound: near.Seconds(), FarBound: far.Seconds()}
	if v.Name() != "handful" {
		r.Piece, r.Label = m.rivalPiece(), false
	}
	missing := v.missing
	if missing == nil {
		err := m.once(ctx, v, &r)
		if cause := context.Cause(ctx); cause != nil {
			return r, cause
		}
		if errors.Is(err, rival.ErrUnsupported) {
			missing = err
		} else if err != nil {
			m.out.notef("%s: %v", v.name, err)
			r.Error = err.Error()
		}
		r.Overloaded = r.Busy > busyLimit
	}
	if missing != nil {
		r.Missing = missing.Error()
	}
	if m.json {
		return r, m.out.line(r)
	}
	return r, nil
}
