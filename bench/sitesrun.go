package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"handful/bench/netns"
	"handful/bench/rival"
)

// once runs one client in the sites and fills r. Everything that it made is gone when it returns.
func (m *siteMeasure) once(ctx context.Context, v variant, r *sitesResult) (err error) {
	if !v.Can().Trackers { // it would have to be told addresses in an order that stands for nothing here
		return fmt.Errorf("%w: asks no tracker", rival.ErrUnsupported)
	}
	t := transfer{client: v.entrant, dir: filepath.Join(m.dir, "run"), source: m.source, torrent: m.torrent, piece: int64(m.piece), given: true}
	if m.label {
		t.siteOf = m.siteOf()
	}
	if v.blind {
		t.env = []string{"HANDFUL_BLIND_TIERS=true"}
	}
	t.field, err = sitedField(ctx, m.hosts(), line{up: int64(m.rate)}, int64(m.link))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	if err := t.openSeed(ctx); err != nil {
		return err
	}
	before, err := m.read(ctx, &t)
	if err != nil {
		return err
	}
	cpu := -t.seed.Usage().CPU
	if err := t.release(ctx); err != nil {
		return err
	}
	complete, cerr := t.complete(ctx, m.patience())
	r.Complete = complete
	r.Busy = readMachineTime().busySince(t.machine)
	cpu += t.seed.Usage().CPU
	for _, in := range t.peers {
		cpu += in.Usage().CPU
	}
	r.CPU = cpu.Seconds()
	after, err := m.read(ctx, &t)
	if err := errors.Join(cerr, err); err != nil {
		return err
	}
	t.halt()
	if err := t.compare(); err != nil {
		return err
	}
	done := make([]time.Duration, len(t.peers))
	for i, in := range t.peers {
		done[i] = in.DoneAt().Sub(t.start)
	}
	fillLast(r, m.siteOf()[1:], done)
	fillLinks(r, before, after)
	return fillTiers(r, &t, v.blind)
}

func (m *siteMeasure) patience() time.Duration {
	if m.timeout > 0 {
		return m.timeout
	}
	_, far := m.bounds()
	return 20*far + time.Minute
}

// linkBytes is what shapers counted at one moment: of each site's link in and out, and of the origin's uplink.
type linkBytes struct {
	in, out []netns.Qdisc
	origin  netns.Qdisc
}

func (m *siteMeasure) read(ctx context.Context, t *transfer) (b linkBytes, err error) {
	if b.in, b.out, err = t.field.carriedByLinks(ctx); err != nil {
		return b, err
	}
	b.origin, err = t.field.hosts[0].Shaper(ctx)
	return b, err
}

// fillLast fills in when each site's last leecher was complete.
func fillLast(r *sitesResult, siteOf []int, done []time.Duration) {
	r.Last = make([]float64, r.Sites)
	for i, d := range done {
		r.Last[siteOf[i]] = math.Max(r.Last[siteOf[i]], d.Seconds())
	}
	r.Makespan = slices.Max(r.Last)
	r.NearRatio, r.FarRatio = r.Last[0]/r.NearBound, slices.Max(r.Last[1:])/r.FarBound
	r.Own = r.CPU / (r.Makespan * float64(cores()))
}

// fillLinks fills in what crossed the sites' links: whole frames. The tracker is asked without crossing one.
func fillLinks(r *sitesResult, before, after linkBytes) {
	size := float64(r.Size)
	for k := range after.in {
		r.LinkIn = append(r.LinkIn, float64(after.in[k].Bytes-before.in[k].Bytes)/size)
		r.LinkOut = append(r.LinkOut, float64(after.out[k].Bytes-before.out[k].Bytes)/size)
		r.LinkDrops += float64(after.in[k].Drops - before.in[k].Drops + after.out[k].Drops - before.out[k].Drops)
	}
	r.LinkCopies, r.OriginSite, r.Back = slices.Max(r.LinkIn[1:]), r.LinkOut[0], r.LinkIn[0]
	r.OriginCopies = float64(after.origin.Bytes-before.origin.Bytes) / size
}

// fillTiers fills in what the clients counted themselves.
func fillTiers(r *sitesResult, t *transfer, blind bool) error {
	var c crowdResult
	if err := fillCounters(&c, t); err != nil {
		return err
	}
	r.Duplicates = c.Duplicates
	for _, in := range t.peers {
		for tier, n := range in.Tiers() {
			if r.Received == nil {
				r.Received = map[string]float64{}
			}
			r.Received[tier] += float64(n) / float64(r.Size)
		}
	}
	if blind && r.Received["link"]+r.Received["site"] > 0 {
		return errors.New("invalid: told to be blind to nearness, it still counts bytes as from near peers")
	}
	return nil
}
