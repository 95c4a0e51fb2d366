package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

// An experiment is one run: a transfer and what happens to it. Its own state belongs to the goroutine that runs it.
type experiment struct {
	transfer
	churn *churn
	run   int    // from 1
	lines []line // of all clients

	holdings *holdings
	began    int64 // bytes that the origin's device had sent when it was ready

	excused map[int]bool // clients that need not complete: gone, cut off or lying
	victims []int        // clients that something is done to
	struck  time.Time    // when it was done; zero = nothing was
	sent    int64        // bytes by the origin's device until then
	away    time.Duration
}

// once makes one run of a case and fills r. Everything that it made is gone when it returns, but for what is kept.
func (c *churn) once(ctx context.Context, d disturbance, e entrant, r *churnResult) (err error) {
	x := &experiment{churn: c, run: r.Run, excused: map[int]bool{}, transfer: transfer{
		client: e, dir: filepath.Join(c.dir, "run"), source: c.crowd.source, torrent: c.crowd.torrent, piece: int64(c.piece),
	}}
	if c.keep != "" && c.verbose > 0 {
		x.env = []string{"HANDFUL_VERBOSE=" + strconv.Itoa(c.verbose)}
	}
	x.lines = append(c.lines(), slices.Repeat(c.lines()[:1], c.few())...)
	if d.setup != nil {
		d.setup(x)
	}
	x.lines = x.lines[:1+c.leechers+x.late]
	if x.field, err = linkedField(ctx, x.lines); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.stop()) }()
	if err := x.openSeed(ctx); err != nil {
		return err
	}
	before, err := x.field.sent(ctx)
	if err != nil {
		return err
	}
	if err := x.prepare(); err != nil {
		return err
	}
	ended := x.watch(ctx, c.keep != "")
	err = x.swarm(ctx, d, r)
	timeline := ended()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	r.Busy = readMachineTime().busySince(x.machine)
	if err == nil {
		err = x.measure(ctx, before, r)
	}
	if c.keep != "" && (c.keepAll || err != nil || r.Incomplete != "") {
		kept, kerr := x.keep(ctx, c.keep, r, err, timeline)
		r.Kept, err = kept, errors.Join(err, kerr)
	}
	x.halt()
	if err == nil {
		x.fillCounters(r)
	}
	return err
}

// prepare learns what is needed to look at holdings.
func (x *experiment) prepare() (err error) {
	path := x.torrent
	if _, own := x.seed.Link(); own != "" {
		path = own
	}
	t, err := rival.ReadTorrent(path)
	if err != nil {
		return err
	}
	if x.holdings, err = newHoldings(x.source, t.Piece); err != nil {
		return err
	}
	c, err := x.field.hosts[0].Counters()
	x.began = c.TxBytes
	return err
}

// swarm runs from the start until everybody who must is complete, or time is over.
func (x *experiment) swarm(ctx context.Context, d disturbance, r *churnResult) error {
	if err := x.release(ctx); err != nil {
		return err
	}
	if d.act != nil {
		if err := d.act(ctx, x); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	why := x.await(ctx)
	for i, in := range x.peers {
		if x.excused[i+1] {
			continue
		}
		r.Must++
		if !in.DoneAt().IsZero() {
			r.Complete++
		}
	}
	if why != nil {
		r.Incomplete = fmt.Sprintf("%d of %d complete: %v", r.Complete, r.Must, why)
	}
	return nil
}

// limit is how long a run may take.
func (c *churn) limit() time.Duration {
	if c.timeout > 0 {
		return c.timeout
	}
	return 6*c.bound() + time.Minute
}

// await waits for all who must complete and says why the first that did not did not.
func (x *experiment) await(ctx context.Context) error {
	limit := x.churn.limit() + x.every*time.Duration(x.churn.leechers)
	waiting, cancel := context.WithDeadlineCause(ctx, x.start.Add(limit), fmt.Errorf("not within %s", limit))
	defer cancel()
	errs := make([]error, len(x.peers))
	var all sync.WaitGroup
	for i, in := range x.peers {
		if !x.excused[i+1] {
			all.Go(func() { errs[i] = in.Wait(waiting) })
		}
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("leecher %d: %w", i+1, err)
		}
	}
	return nil
}

// measure fills in what does not need the programs' end, and compares every copy.
func (x *experiment) measure(ctx context.Context, before []netns.Qdisc, r *churnResult) error {
	after, err := x.field.sent(ctx)
	if err != nil {
		return err
	}
	var peers int64
	for i := range after[1:] {
		peers += after[i+1].Bytes - before[i+1].Bytes
	}
	r.OriginCopies = float64(after[0].Bytes-before[0].Bytes) / float64(r.Size)
	r.PeerCopies = float64(peers) / float64(len(after)-1) / float64(r.Size)
	r.Victims, r.Away = x.victims, x.away.Seconds()
	if !x.struck.IsZero() {
		r.StruckAt = x.struck.Sub(x.start).Seconds()
		r.StruckCopy = float64(x.sent-x.began) / float64(r.Size)
	}
	var sum, last, others time.Duration
	for i, in := range x.peers {
		if x.excused[i+1] || in.DoneAt().IsZero() {
			continue
		}
		took := in.DoneAt().Sub(x.start) - x.away
		sum += took
		last = max(last, took)
		if !slices.Contains(x.victims, i+1) {
			others = max(others, took)
		}
		if err := sameContent(x.source, filepath.Join(x.job(i+1).Dir, contentName)); err != nil {
			return err
		}
	}
	if r.Complete > 0 && r.Complete == r.Must {
		r.Makespan, r.Mean = last.Seconds(), sum.Seconds()/float64(r.Complete)
		r.Ratio, r.Others = r.Makespan/r.Bound, others.Seconds()
	}
	return nil
}

// fillCounters fills in what those who had to complete counted themselves, as far as they tell.
func (x *experiment) fillCounters(r *churnResult) {
	var received, wasted int64
	told := false
	for i, in := range x.peers {
		s := in.Stats()
		if x.excused[i+1] || s.Received <= 0 || s.Wasted < 0 {
			continue
		}
		if s.Host > 0 {
			r.Error = fmt.Sprintf("invalid: leecher %d counts %d bytes as from its own machine", i+1, s.Host)
		}
		told = true
		received += s.Received
		wasted += s.Wasted
	}
	if told {
		r.Wasted, r.Duplicates = wasted, float64(wasted)/float64(received)
	}
}

// sourceDir holds the content.
func (x *experiment) sourceDir() string { return filepath.Dir(x.source) }

// excuse clients from completing.
func (x *experiment) excuse(clients ...int) {
	for _, i := range clients {
		x.excused[i] = true
		x.victims = append(x.victims, i)
	}
}

// strike marks the moment of the disturbance.
func (x *experiment) strike() {
	x.struck = time.Now()
	if c, err := x.field.hosts[0].Counters(); err == nil {
		x.sent = c.TxBytes
	}
}

// until waits for a share of T*.
func (x *experiment) until(ctx context.Context, share float64) error {
	t := time.NewTimer(time.Until(x.start.Add(time.Duration(share * float64(x.churn.bound())))))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// held says for each leecher, by client, which pieces it holds whole.
func (x *experiment) held() (map[int][]bool, error) {
	all := map[int][]bool{}
	for i := range x.peers {
		var err error
		if all[i+1], err = x.holdings.held(x.job(i + 1).Dir); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// missing counts the pieces that no leecher holds. last is what it said before, -1 at first: while the origin cannot have
// sent a copy nothing is read, since all who look must take from the processors.
func (x *experiment) missing(last int) (int, error) {
	if last < 0 {
		last = x.holdings.pieces()
	}
	c, err := x.field.hosts[0].Counters()
	if err != nil {
		return 0, err
	}
	if c.TxBytes-x.began < x.holdings.size {
		return last, nil
	}
	all, err := x.held()
	if err != nil {
		return 0, err
	}
	nowhere := 0
	for _, holders := range holdersOf(all, x.holdings.pieces()) {
		if len(holders) == 0 {
			nowhere++
		}
	}
	return nowhere, nil
}

// delegateAt waits for a share of T* and names the leecher that holds the most pieces which no other leecher holds: what
// it was given first and has not passed on. Without any it is the one that holds most.
func (x *experiment) delegateAt(ctx context.Context, share float64) (int, error) {
	if err := x.until(ctx, share); err != nil {
		return 0, err
	}
	all, err := x.held()
	if err != nil {
		return 0, err
	}
	return delegateAmong(all, x.holdings.pieces()), nil
}

// holdersOf each piece, in no order.
func holdersOf(all map[int][]bool, pieces int) [][]int {
	holders := make([][]int, pieces)
	for i, has := range all {
		for p, whole := range has {
			if whole {
				holders[p] = append(holders[p], i)
			}
		}
	}
	return holders
}

func delegateAmong(all map[int][]bool, pieces int) int {
	alone, total := map[int]int{}, map[int]int{}
	for _, holders := range holdersOf(all, pieces) {
		if len(holders) == 1 {
			alone[holders[0]]++
		}
		for _, i := range holders {
			total[i]++
		}
	}
	best := 0
	for i := 1; i <= len(all); i++ {
		if best == 0 || alone[i] > alone[best] || alone[i] == alone[best] && total[i] > total[best] {
			best = i
		}
	}
	return best
}
