package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
	"handful/signing"
)

// startWithin is how long all clients may take to start and to ask the tracker.
const startWithin = 2 * time.Minute

// crowdRun is one client's flash crowd under way.
type crowdRun struct {
	*crowd
	client entrant
	field  *field
	list   *rival.PeerList
	dir    string
	seed   *rival.Instance
	peers  []*rival.Instance

	start   time.Time // everybody knows everybody
	before  []netns.Qdisc
	after   []netns.Qdisc
	machine machineTime
	busy    float64
	cpu     time.Duration
}

// once runs one flash crowd and fills r. Everything that it made is gone when it returns.
func (c *crowd) once(ctx context.Context, e entrant, r *crowdResult) (err error) {
	if !c.shaped && !e.Can().Limits {
		return fmt.Errorf("%w: cannot limit itself, and links are not shaped", rival.ErrUnsupported)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := crowdRun{crowd: c, client: e, dir: filepath.Join(c.dir, "run")}
	defer func() { err = errors.Join(err, os.RemoveAll(run.dir)) }()
	if c.shaped {
		run.field, err = linkedField(ctx, c.leechers+1, int64(c.rate), int64(c.down))
	} else {
		run.field, err = loopbackField(ctx, c.leechers+1)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.field.Close()) }()
	defer run.stop()
	if err := run.launch(ctx); err != nil {
		return err
	}
	if err := run.wait(ctx, r); err != nil {
		return err
	}
	run.stop() // some tell their counters only then
	if err := run.compare(); err != nil {
		return err
	}
	return run.fill(r)
}

// launch starts the seed, then all leechers, and returns when the crowd is let loose.
func (run *crowdRun) launch(ctx context.Context) error {
	within, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %s", startWithin))
	defer cancel() // the clients live longer
	listener, err := run.field.listen()
	if err != nil {
		return fmt.Errorf("listen for announces: %w", err)
	}
	if run.list, err = rival.NewPeerList(listener, run.field.clients[0], run.field.clients[1:]); err != nil {
		listener.Close()
		return err
	}
	job := run.job(0)
	job.Dir = filepath.Dir(run.source)
	if run.seed, err = run.client.Seed(ctx, job); err != nil {
		return err
	}
	if err := run.seed.Ready(within); err != nil {
		return err
	}
	if run.before, err = run.field.sent(ctx); err != nil {
		return err
	}
	run.cpu = -run.seed.Usage().CPU
	run.machine, run.start = readMachineTime(), time.Now()
	link, err := run.link()
	if err != nil {
		return err
	}
	for i := range run.leechers {
		job := run.job(i + 1)
		job.Link = link
		if err := os.MkdirAll(job.Dir, 0o755); err != nil {
			return err
		}
		in, err := run.client.Leech(ctx, job)
		if err != nil {
			return err
		}
		run.peers = append(run.peers, in)
	}
	if run.told() {
		return nil
	}
	started, err := run.list.Start(within)
	if err != nil {
		return errors.Join(err, run.casualty())
	}
	run.machine, run.start = readMachineTime(), started
	return nil
}

// told: the clients were given addresses when they were started, so time runs from there.
func (run *crowdRun) told() bool {
	can := run.client.Can()
	return can.Peers && (run.static || !can.Trackers)
}

// casualty explains a start that failed by a client that ended.
func (run *crowdRun) casualty() error {
	for _, in := range run.peers {
		select {
		case <-in.Exited():
			return in.Wait(context.Background())
		default:
		}
	}
	return nil
}

// job of client i; 0 is the origin.
func (run *crowdRun) job(i int) rival.Job {
	work := filepath.Join(run.dir, fmt.Sprintf("client%d", i))
	j := rival.Job{
		Torrent: run.torrent, Name: contentName, PieceLength: int64(run.piece), Work: work, Dir: filepath.Join(work, "files"),
		Listen: run.field.clients[i], Namespace: run.field.namespace(i), MachineID: fmt.Sprintf("bench-%d", i),
	}
	if !run.shaped {
		j.UpLimit, j.DownLimit = int64(run.rate)/8, int64(run.down)/8
	}
	if i > 0 && run.told() {
		for k, a := range run.field.clients {
			if k != i {
				j.Peers = append(j.Peers, a)
			}
		}
	} else if run.client.Name() != "handful" { // its seed is in the list without asking, its leechers get a link
		j.Tracker = run.list.URL()
	}
	return j
}

// link is what Handful's seed published, with our tracker as the only way to find peers.
func (run *crowdRun) link() (string, error) {
	text, _ := run.seed.Link()
	if text == "" {
		return "", nil
	}
	l, err := signing.ParseLink(text)
	if err != nil {
		return "", fmt.Errorf("link printed by seed publish: %w", err)
	}
	l.Trackers, l.Peers, l.WebSeeds = nil, nil, nil
	if !run.told() {
		l.Trackers = []string{run.list.URL()}
	}
	return l.String(), nil
}

// wait until all are complete, then read the counters at once.
func (run *crowdRun) wait(ctx context.Context, r *crowdResult) error {
	limit := run.timeout
	if limit == 0 {
		limit = 20*run.bound() + time.Minute
		if !run.client.Can().Trackers { // HTTP needs N times T*, by its nature
			limit = time.Duration(run.leechers+2)*2*run.bound() + time.Minute
		}
	}
	waiting, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	errs := make([]error, len(run.peers))
	var all sync.WaitGroup
	for i, in := range run.peers {
		all.Go(func() { errs[i] = in.Wait(waiting) })
	}
	all.Wait()
	end := readMachineTime()
	run.cpu += run.seed.Usage().CPU
	for i, in := range run.peers {
		run.cpu += in.Usage().CPU
		if errs[i] == nil {
			r.Complete++
		}
	}
	run.busy = end.busySince(run.machine)
	var err error
	if run.after, err = run.field.sent(ctx); err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil { // one of them is enough to read
			return fmt.Errorf("%d of %d complete: %w", r.Complete, run.leechers, err)
		}
	}
	return nil
}

// stop ends all clients at once; twice does no harm.
func (run *crowdRun) stop() {
	var all sync.WaitGroup
	for _, in := range append([]*rival.Instance{run.seed}, run.peers...) {
		if in != nil {
			all.Go(in.Stop)
		}
	}
	all.Wait()
	if run.list != nil {
		run.list.Close()
	}
}

// compare every copy with the source.
func (run *crowdRun) compare() error {
	for i := range run.peers {
		if err := sameContent(run.source, filepath.Join(run.job(i+1).Dir, contentName)); err != nil {
			return err
		}
	}
	return nil
}

func (run *crowdRun) fill(r *crowdResult) error {
	var sum time.Duration
	var first, last time.Duration
	for i, in := range run.peers {
		took := in.DoneAt().Sub(run.start)
		sum += took
		last = max(last, took)
		if first = min(first, took); i == 0 {
			first = took
		}
	}
	mean := sum / time.Duration(len(run.peers))
	r.Makespan, r.Mean, r.First = last.Seconds(), mean.Seconds(), first.Seconds()
	r.Ratio, r.MeanRatio = r.Makespan/r.Bound, r.Mean/r.Bound
	r.CPU, r.Busy = run.cpu.Seconds(), run.busy
	r.Own = r.CPU / (r.Makespan * float64(cores()))
	run.fillWire(r)
	return run.fillCounters(r)
}

// fillWire fills in what the shapers counted.
func (run *crowdRun) fillWire(r *crowdResult) {
	r.OriginCopies, r.OriginDrops, r.PeerCopies, r.WireUseful = -1, -1, -1, -1
	if len(run.after) == 0 {
		return
	}
	size, n := float64(run.size), float64(run.leechers)
	origin := float64(run.after[0].Bytes - run.before[0].Bytes)
	var peers float64
	for i := range run.after[1:] {
		peers += float64(run.after[i+1].Bytes - run.before[i+1].Bytes)
	}
	r.OriginCopies = origin / size
	r.OriginDrops = float64(run.after[0].Drops - run.before[0].Drops)
	r.PeerCopies = peers / n / size
	r.WireUseful = (origin + peers) / n / size
}

// fillCounters fills in what the clients counted themselves. Bytes from a node on the same machine make a run invalid: every client here
// stands for a machine of its own.
func (run *crowdRun) fillCounters(r *crowdResult) error {
	var received, wasted int64
	r.Duplicates = -1
	for i, in := range run.peers {
		s := in.Stats()
		if s.Host > 0 {
			return fmt.Errorf("invalid: leecher %d counts %d bytes as from its own machine", i+1, s.Host)
		}
		if s.Received <= 0 || s.Wasted < 0 {
			return nil
		}
		received += s.Received
		wasted += s.Wasted
	}
	r.Duplicates = float64(wasted) / float64(received)
	return nil
}

// firstLine of an explanation, for a table.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
