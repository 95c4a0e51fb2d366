package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

// once runs one client's flash crowd and fills r. Everything that it made is gone when it returns.
func (c *crowd) once(ctx context.Context, e entrant, r *crowdResult) (err error) {
	if !c.shaped && !e.Can().Limits {
		return fmt.Errorf("%w: cannot limit itself, and links are not shaped", rival.ErrUnsupported)
	}
	t := transfer{client: e, dir: filepath.Join(c.dir, "run"), source: c.source, torrent: c.torrent,
		piece: int64(c.piece), given: !c.link, static: c.static, every: c.every, guests: c.seats(e)}
	if c.blind {
		t.env = []string{"HANDFUL_BLIND_TIERS=true"}
	}
	if c.shaped {
		t.field, err = linkedField(ctx, c.lines())
	} else {
		t.field, err = loopbackField(ctx, c.leechers+1)
		t.limits = c.lines()
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	if err := t.openSeed(ctx); err != nil {
		return err
	}
	watch, err := watchOrigin(t.field)
	if err != nil {
		return err
	}
	defer func() { _, werr := watch.close(); err = errors.Join(err, werr) }()
	before, err := t.field.sent(ctx)
	if err != nil {
		return err
	}
	cpu := -t.seed.Usage().CPU
	if err := t.release(ctx); err != nil {
		return err
	}
	complete, cerr := t.complete(ctx, c.patience(e))
	r.Complete = complete
	r.Busy = readMachineTime().busySince(t.machine)
	cpu += t.seed.Usage().CPU
	for _, in := range t.peers {
		cpu += in.Usage().CPU
	}
	r.CPU = cpu.Seconds()
	origin, werr := watch.close()
	after, err := t.field.sent(ctx)
	if err := errors.Join(cerr, werr, err); err != nil {
		return err
	}
	t.halt()
	if err := t.compare(); err != nil {
		return err
	}
	fillTimes(r, &t)
	fillWire(r, before, after)
	fillOrigin(r, origin)
	return fillCounters(r, &t)
}

// patience is how long a run may take.
func (c *crowd) patience(e entrant) time.Duration {
	switch {
	case c.timeout > 0:
		return c.timeout
	case !e.Can().Trackers: // HTTP needs N times T*, by its nature
		return time.Duration(c.leechers+2)*2*c.bound() + time.Minute
	}
	return 20*c.bound() + time.Minute
}

func fillTimes(r *crowdResult, t *transfer) {
	var sum, first, last, ours, theirs time.Duration
	for i, in := range t.peers {
		took := in.DoneAt().Sub(t.start)
		own := took - time.Duration(i)*t.every
		sum += own
		last = max(last, took)
		if _, guest := t.guests[i+1]; guest {
			theirs = max(theirs, took)
		} else {
			ours = max(ours, took)
		}
		if first = min(first, own); i == 0 {
			first = own
		}
	}
	mean := sum / time.Duration(len(t.peers))
	r.Makespan, r.Mean, r.First = last.Seconds(), mean.Seconds(), first.Seconds()
	r.Ratio, r.MeanRatio, r.OursRatio, r.TheirsRatio = r.Makespan/r.Bound, r.Mean/r.Bound, -1, -1
	if t.every > 0 {
		r.MeanRatio = -1 // the bound is of the last one
	}
	if len(t.guests) > 0 {
		r.OursRatio, r.TheirsRatio = ours.Seconds()/r.Bound, theirs.Seconds()/r.Bound
	}
	r.Own = r.CPU / (r.Makespan * float64(cores()))
}

// fillOrigin fills in what was seen at the origin's link.
func fillOrigin(r *crowdResult, f handfulFigures) {
	r.Handful, r.Served, r.Unread, r.OriginData = f.most, f.served, f.unread, -1
	if f.payload >= 0 {
		r.OriginData = float64(f.payload) / float64(r.Size)
	}
}

// fillWire fills in what the shapers counted: whole frames, of the origin first, then of each leecher.
func fillWire(r *crowdResult, before, after []netns.Qdisc) {
	r.OriginCopies, r.OriginDrops, r.PeerCopies, r.WireUseful = -1, -1, -1, -1
	if len(after) == 0 {
		return
	}
	size, n := float64(r.Size), float64(r.N)
	origin := float64(after[0].Bytes - before[0].Bytes)
	var peers float64
	for i := range after[1:] {
		peers += float64(after[i+1].Bytes - before[i+1].Bytes)
	}
	r.OriginCopies = origin / size
	r.OriginDrops = float64(after[0].Drops - before[0].Drops)
	r.PeerCopies = peers / n / size
	r.WireUseful = (origin + peers) / n / size
}

// fillCounters fills in what the clients counted themselves. Bytes from a node on the same machine make a run invalid:
// every client here stands for a machine of its own.
func fillCounters(r *crowdResult, t *transfer) error {
	var received, wasted int64
	r.Duplicates, r.PeerData = -1, -1
	for i, in := range t.peers {
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
	if r.OriginData >= 0 { // what was received and not from the origin was from leechers
		r.PeerData = (float64(received)/float64(r.Size) - r.OriginData) / float64(r.N)
	}
	return nil
}
