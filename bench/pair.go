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

	"handful/bench/rival"
)

// pairOptions are the flags of `bench pair`.
type pairOptions struct {
	size    size
	piece   size
	runs    int
	clients string
	dir     string
	json    bool
	timeout time.Duration
}

func pairFlags(args []string, out report) (pairOptions, error) {
	o := pairOptions{size: 1 << 30}
	flags := flag.NewFlagSet("bench pair", flag.ContinueOnError)
	flags.Var(&o.size, "size", "`bytes` of content (K, M, G = 1024)")
	flags.Var(&o.piece, "piece", "piece length in `bytes`; 0 = 1M for the others, our own choice for us")
	flags.IntVar(&o.runs, "runs", 3, "`runs` of each client; the table shows medians")
	flags.StringVar(&o.clients, "clients", "handful,libtorrent,aria2,stock-engine,transmission,rtorrent,nginx+curl",
		"comma-separated `names`, or all")
	flags.StringVar(&o.dir, "dir", "", "`directory` to work in (default: in memory where possible)")
	flags.BoolVar(&o.json, "json", false, "print JSON Lines, one a run")
	flags.DurationVar(&o.timeout, "timeout", 5*time.Minute, "give a run up after this `time`")
	if err := parse(flags, args, out); err != nil {
		return o, err
	}
	if o.size < 1 || o.runs < 1 {
		return o, fmt.Errorf("%w: -size and -runs at least 1", errUsage)
	}
	if o.piece != 0 && (o.piece < 16<<10 || o.piece&(o.piece-1) != 0) {
		return o, fmt.Errorf("%w: -piece %d: a power of two of at least 16K", errUsage, o.piece)
	}
	return o, nil
}

// rivalPiece is the piece length of the torrent that the others get.
func (o pairOptions) rivalPiece() int64 {
	if o.piece != 0 {
		return int64(o.piece)
	}
	return 1 << 20
}

// pairResult is one run, as it is printed with --json. Figures below 0 were not measured.
type pairResult struct {
	Type      string  `json:"type"` // "pair"
	Client    string  `json:"client"`
	Version   string  `json:"version,omitempty"`
	Missing   string  `json:"missing,omitempty"`
	Error     string  `json:"error,omitempty"`
	Run       int     `json:"run,omitempty"`
	Size      int64   `json:"size"`
	Piece     int64   `json:"piece"`
	Wait      float64 `json:"wait_seconds"` // until the first 256 KiB had crossed: finding and asking each other
	Seconds   float64 `json:"seconds"`      // from there
	Rate      float64 `json:"rate"`         // bytes/s of content in these seconds
	Wire      float64 `json:"wire_useful"`  // all bytes both ways, headers included / size
	SeedCPU   float64 `json:"seed_cpu"`     // s/GiB, while it sent
	LeechCPU  float64 `json:"leech_cpu"`    // s/GiB, with its start
	SeedAnon  int64   `json:"seed_anon"`    // bytes, greatest that was seen
	LeechAnon int64   `json:"leech_anon"`   // bytes
	SeedRSS   int64   `json:"seed_rss"`     // bytes, with mapped files
	LeechRSS  int64   `json:"leech_rss"`    // bytes
	Busy      float64 `json:"busy"`         // the machine, everybody's work
	Others    float64 `json:"others_cpu"`   // s/GiB that neither end used: the noise, and the kernel's own work
}

func pairMain(ctx context.Context, args []string, out report) (err error) {
	o, err := pairFlags(args, out)
	if err != nil {
		return err
	}
	p := pair{pairOptions: o, out: out}
	if p.dir, err = workDir(o.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	clients, err := entrants(ctx, o.clients, p.dir, out)
	if err != nil {
		return err
	}
	source := filepath.Join(p.dir, "source")
	if err := os.MkdirAll(source, 0o755); err != nil {
		return err
	}
	if p.source, err = makeContent(ctx, source, int64(o.size), 1); err != nil {
		return err
	}
	p.torrent = filepath.Join(p.dir, "content.torrent")
	if err := rival.MakeTorrent(p.source, p.torrent, p.rivalPiece()); err != nil {
		return err
	}
	results, err := p.measure(ctx, clients)
	if err != nil {
		return err
	}
	if !o.json {
		fmt.Fprint(out.stdout, p.table(clients, results))
	}
	for _, r := range results {
		if r.Error != "" {
			err = fmt.Errorf("%s: %s", r.Client, r.Error)
		}
	}
	return err
}

// pair is a measurement under way.
type pair struct {
	pairOptions
	out     report
	source  string // path of the content
	torrent string
}

func (p *pair) measure(ctx context.Context, clients []entrant) ([]pairResult, error) {
	var results []pairResult
	for run := range p.runs {
		for _, e := range clients {
			r := pairResult{Type: "pair", Client: e.Name(), Version: e.version, Run: run + 1, Size: int64(p.size), Piece: int64(p.piece)}
			if e.Name() != "handful" {
				r.Piece = p.rivalPiece()
			}
			switch {
			case e.missing != nil && run > 0:
				continue
			case e.missing != nil:
				r.Missing = e.missing.Error()
			default:
				p.out.notef("pair, run %d of %d: %s", run+1, p.runs, e.title())
				err := p.once(ctx, e, &r)
				if cause := context.Cause(ctx); cause != nil {
					return nil, cause
				}
				if errors.Is(err, rival.ErrUnsupported) {
					r.Missing = err.Error()
				} else if err != nil {
					p.out.notef("%s: %v", e.Name(), err)
					r.Error = err.Error()
				}
			}
			results = append(results, r)
			if p.json {
				if err := p.out.line(r); err != nil {
					return nil, err
				}
			}
		}
	}
	return results, nil
}

// once runs one pair and fills r.
func (p *pair) once(ctx context.Context, e entrant, r *pairResult) (err error) {
	t := transfer{client: e, dir: filepath.Join(p.dir, "run"), source: p.source, torrent: p.torrent, piece: int64(p.piece), leave: true}
	if t.field, err = loopbackField(ctx, 2); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	if err := t.openSeed(ctx); err != nil {
		return err
	}
	seedBefore := t.seed.Usage().CPU
	carried := t.field.carried()
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	first := make(chan time.Time, 1)
	go func() { first <- flowing(watching, t.field, carried) }()
	if err := t.release(ctx); err != nil {
		return err
	}
	if _, err := t.complete(ctx, p.timeout); err != nil {
		return err
	}
	end, carriedEnd := readMachineTime(), t.field.carried()
	cancel()
	seed, leech := t.seed.Usage(), t.peers[0].Usage()
	done := t.peers[0].DoneAt()
	began := <-first
	if began.IsZero() || began.Before(t.start) || began.After(done) {
		began = t.start
	}
	wait, took := began.Sub(t.start), done.Sub(began)
	t.halt()
	if err := t.compare(); err != nil {
		return err
	}
	gib := float64(p.size) / (1 << 30)
	r.Wait, r.Wire = wait.Seconds(), -1
	if carried >= 0 && carriedEnd >= 0 {
		r.Wire = float64(carriedEnd-carried) / float64(p.size)
	}
	r.Seconds, r.Rate = took.Seconds(), float64(p.size)/took.Seconds()
	r.SeedCPU, r.LeechCPU = (seed.CPU-seedBefore).Seconds()/gib, leech.CPU.Seconds()/gib
	r.SeedAnon, r.LeechAnon, r.SeedRSS, r.LeechRSS = seed.PeakAnon, leech.PeakAnon, seed.PeakRSS, leech.PeakRSS
	r.Busy, r.Others = end.busySince(t.machine), -1
	if r.Busy >= 0 {
		r.Others = max(0, r.Busy*(wait+took).Seconds()*float64(cores())/gib-r.SeedCPU-r.LeechCPU)
	}
	return nil
}

// flowing waits until 256 KiB more than before have crossed the field's loopback, and returns when that was; zero if that
// cannot be seen, or not before ctx ends. Clients differ by seconds in how they go about a first connection, which is not what the rate asks.
func flowing(ctx context.Context, f *field, before int64) time.Time {
	if before < 0 {
		return time.Time{}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return time.Time{}
		case now := <-tick.C:
			if f.carried() > before+256<<10 {
				return now
			}
		}
	}
}

func (p *pair) table(clients []entrant, results []pairResult) string {
	t := table{head: []string{"client", "runs", "MiB/s", "wait s", "wire/useful", "CPU s/GiB seed", "leech", "both", "others",
		"anonymous MiB seed", "leech", "RSS MiB seed", "leech"}}
	for _, e := range clients {
		var good []pairResult
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
		of := func(field func(pairResult) float64, digits int) string { return number(medianOf(good, field), digits) }
		mib := func(n int64) float64 { return float64(n) / (1 << 20) }
		t.add(e.title(), strconv.Itoa(len(good)),
			of(func(r pairResult) float64 { return r.Rate / (1 << 20) }, 0),
			of(func(r pairResult) float64 { return r.Wait }, 2),
			of(func(r pairResult) float64 { return r.Wire }, 3),
			of(func(r pairResult) float64 { return r.SeedCPU }, 2),
			of(func(r pairResult) float64 { return r.LeechCPU }, 2),
			of(func(r pairResult) float64 { return r.SeedCPU + r.LeechCPU }, 2),
			of(func(r pairResult) float64 { return r.Others }, 2),
			of(func(r pairResult) float64 { return mib(r.SeedAnon) }, 0),
			of(func(r pairResult) float64 { return mib(r.LeechAnon) }, 0),
			of(func(r pairResult) float64 { return mib(r.SeedRSS) }, 0),
			of(func(r pairResult) float64 { return mib(r.LeechRSS) }, 0))
	}
	return fmt.Sprintf("One seed, one leecher on loopback, %siB; medians.\n\n%s", p.size.String(), t.String())
}
