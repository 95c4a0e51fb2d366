package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

// smallMeasure is a measurement under way.
type smallMeasure struct {
	smallOptions
	out   report
	tools rival.Tools
	paths []string // of the content, one a torrent
}

// makeMany writes count files of pseudo-random bytes, no two alike, and returns their paths.
func makeMany(ctx context.Context, dir string, count int, size int64) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make content: %w", err)
	}
	var paths []string
	for i := range count {
		made, err := makeContent(ctx, dir, size, uint64(i+1))
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, fmt.Sprintf("item%05d.bin", i))
		if err := os.Rename(made, path); err != nil {
			return nil, fmt.Errorf("make content: %w", err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// order in which a node fetches.
func order(links []string, seed uint64, node int) []string {
	out := make([]string, len(links))
	for i, k := range rand.New(rand.NewPCG(seed, uint64(node))).Perm(len(links)) {
		out[i] = links[k]
	}
	return out
}

// smallRun is one publisher and the nodes, from nothing to complete and gone again.
type smallRun struct {
	*smallMeasure
	dir     string
	field   *field
	origin  *rival.Many
	nodes   []*rival.Many
	start   time.Time // before the first node was
	machine machineTime
}

func (r *smallRun) job(i int) rival.Job {
	work := filepath.Join(r.dir, fmt.Sprintf("client%d", i))
	return rival.Job{
		PieceLength: int64(r.piece), Work: work, Dir: filepath.Join(work, "files"), Listen: r.field.clients[i],
		Namespace: r.field.namespace(i), MachineID: fmt.Sprintf("bench-%d", i),
	}
}

// once runs it and fills result. Everything that it made is gone when it returns.
func (m *smallMeasure) once(ctx context.Context, result *smallResult) (err error) {
	r := &smallRun{smallMeasure: m, dir: filepath.Join(m.dir, "run")}
	lines := make([]line, m.smallOptions.nodes+1)
	for i := range lines {
		lines[i].up = int64(m.rate)
	}
	if r.field, err = linkedField(ctx, lines); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	began := time.Now()
	origin, links, err := rival.SeedMany(ctx, m.tools, r.job(0), m.paths)
	if err != nil {
		return err
	}
	r.origin = origin
	result.Publish = time.Since(began).Seconds()
	before, err := r.field.sent(ctx)
	if err != nil {
		return err
	}
	cpu := -r.origin.Usage().CPU
	watched := r.watchConnections(ctx)
	if err := r.release(ctx, links); err != nil {
		watched()
		return err
	}
	cerr := r.complete(ctx, result)
	result.NodeConns, result.OriginConns = watched()
	result.Busy = readMachineTime().busySince(r.machine)
	after, err := r.field.sent(ctx)
	result.OriginCPU = (r.origin.Usage().CPU + cpu).Seconds()
	r.halt()
	if err := errors.Join(cerr, err); err != nil {
		return err
	}
	if err := r.compare(); err != nil {
		return err
	}
	r.fill(result, before, after)
	return nil
}

// release starts all nodes.
func (r *smallRun) release(ctx context.Context, links []string) error {
	r.machine, r.start = readMachineTime(), time.Now()
	for i := range r.smallOptions.nodes {
		job := r.job(i + 1)
		if err := os.MkdirAll(job.Dir, 0o755); err != nil {
			return fmt.Errorf("make destination: %w", err)
		}
		node, err := rival.LeechMany(ctx, r.tools, job, order(links, r.seed, i), r.parallel)
		if err != nil {
			return err
		}
		r.nodes = append(r.nodes, node)
	}
	return nil
}

// complete waits until all nodes are.
func (r *smallRun) complete(ctx context.Context, result *smallResult) error {
	limit := r.timeout
	if limit == 0 {
		limit = 20*r.bound() + time.Minute
	}
	waiting, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	errs := make([]error, len(r.nodes))
	var all sync.WaitGroup
	for i, node := range r.nodes {
		all.Go(func() { errs[i] = node.Wait(waiting) })
	}
	all.Wait()
	var why error
	for i, err := range errs {
		result.Items += r.nodes[i].Items()
		if err == nil {
			result.Complete++
		} else if why == nil { // one of them is enough to read
			why = err
		}
	}
	if why != nil {
		return fmt.Errorf("%d of %d complete, %d of %d torrents: %w", result.Complete, len(r.nodes), result.Items, len(r.nodes)*r.torrents, why)
	}
	return nil
}

// connectionsEvery is how often connections are counted.
const connectionsEvery = 3 * time.Second

// watchConnections counts them until the function that it returns is called, which tells the most that were seen.
func (r *smallRun) watchConnections(ctx context.Context) func() (node, origin int) {
	ctx, cancel := context.WithCancel(ctx)
	var node, origin int
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(connectionsEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			for i, h := range r.field.hosts {
				n, err := h.Connections()
				if err != nil {
					continue // one sample less
				}
				if i == 0 {
					origin = max(origin, n)
				} else {
					node = max(node, n)
				}
			}
		}
	}()
	return func() (int, int) {
		cancel()
		<-ended
		return node, origin
	}
}

// compare every copy of every file with the source.
func (r *smallRun) compare() error {
	for i := range r.nodes {
		for _, path := range r.paths {
			if err := sameContent(path, filepath.Join(r.job(i+1).Dir, filepath.Base(path))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *smallRun) fill(result *smallResult, before, after []netns.Qdisc) {
	payload, n := float64(r.payload()), float64(len(r.nodes))
	for i := range after {
		copies := float64(after[i].Bytes-before[i].Bytes) / payload
		if i == 0 {
			result.OriginCopies = copies
		} else {
			result.PeerCopies += copies / n
		}
	}
	var received, wasted int64
	result.Received = map[string]float64{}
	cpu := result.OriginCPU
	for i, node := range r.nodes {
		took := node.DoneAt().Sub(r.start).Seconds()
		result.Makespan = max(result.Makespan, took)
		if i == 0 || took < result.First {
			result.First = took
		}
		s, u := node.Stats(), node.Usage()
		received, wasted = received+s.Received, wasted+s.Wasted
		cpu += u.CPU.Seconds()
		result.NodeAnon = max(result.NodeAnon, u.PeakAnon)
		for tier, bytes := range node.Tiers() {
			result.Received[tier] += float64(bytes) / payload
		}
	}
	result.OriginAnon = r.origin.Usage().PeakAnon
	result.OriginPayload = result.Received["origin"]
	result.Ratio = result.Makespan / result.Bound
	result.Duplicates = float64(wasted) / float64(max(received, 1))
	result.CPU = cpu
	result.Own = cpu / (result.Makespan * float64(cores()))
}

// halt ends all programs at once.
func (r *smallRun) halt() {
	var all sync.WaitGroup
	for _, m := range append([]*rival.Many{r.origin}, r.nodes...) {
		if m != nil {
			all.Go(m.Stop)
		}
	}
	all.Wait()
}

// stop ends and removes everything.
func (r *smallRun) stop() error {
	r.halt()
	return errors.Join(r.field.Close(), os.RemoveAll(r.dir))
}
