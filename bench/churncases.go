package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"handful/bench/rival"
)

// The cases that others are told apart from by name.
const (
	caseClean   = "clean"
	caseStagger = "stagger"
	caseLiar    = "liar"
)

// A disturbance is what happens to a crowd. Shares of time are of T*, after the start.
type disturbance struct {
	name  string
	about string
	// setup changes the experiment before anything runs; nil = nothing to change.
	setup func(*experiment)
	// act disturbs the running swarm and returns when that is over; nil = nothing happens.
	act func(context.Context, *experiment) error
}

// disturbances in the order of their running.
func disturbances() []disturbance {
	return []disturbance{
		{caseClean, "nothing happens", nil, nil},
		{caseStagger, "leechers come one after the other", func(e *experiment) { e.every = e.churn.every }, nil},
		{"delegate-killed", "at half, kill -9 of the leecher that alone holds most", nil, killDelegate},
		{"cable", "at half, the cable of that leecher is pulled: silence", nil, pullCable},
		{caseLiar, "one of the leechers claims every piece and corrupts one block in four", setLiar, nil},
		{"slow", "one leecher's uplink has 1 % of the rate, for its acknowledgements too", setSlow, nil},
		{"throttled", "one leecher limits its own sending to 1 % of the rate", setThrottled, nil},
		{"origin-killed", "kill -9 of the origin once the others hold one full copy", nil, killOrigin},
		{"origin-restart", "at half, kill -9 of the origin; it comes back", nil, restartOrigin},
		{"churn", "an eighth leaves by kill -9 at a quarter, as many join at half", func(e *experiment) { e.late = e.churn.few() }, leaveAndJoin},
	}
}

// pick n different leechers, the same ones in the same run of every client.
func (e *experiment) pick(n int) []int {
	all := rand.New(rand.NewPCG(uint64(e.run), 1)).Perm(e.churn.leechers)[:n]
	for i := range all {
		all[i]++
	}
	return all
}

func setLiar(e *experiment) {
	victim := e.pick(1)[0]
	e.guests = map[int]entrant{victim: {Client: truthless{e.churn.liar, e.sourceDir()}}}
	e.excuse(victim)
}

// truthless is the liar as a leecher: what it lies about is in dir.
type truthless struct {
	rival.Client
	dir string
}

func (l truthless) Leech(ctx context.Context, j rival.Job) (*rival.Instance, error) {
	j.Dir = l.dir
	return l.Client.Leech(ctx, j)
}

func setSlow(e *experiment) {
	victim := e.pick(1)[0]
	e.lines[victim].up /= 100
	e.victims = append(e.victims, victim)
}

func setThrottled(e *experiment) {
	victim := e.pick(1)[0]
	e.limits = make([]line, len(e.lines))
	e.limits[victim].up = e.lines[victim].up / 100
	e.victims = append(e.victims, victim)
}

func killDelegate(ctx context.Context, e *experiment) error {
	victim, err := e.delegateAt(ctx, 0.5)
	if err != nil {
		return err
	}
	e.excuse(victim)
	e.strike()
	e.peers[victim-1].Kill()
	return nil
}

func pullCable(ctx context.Context, e *experiment) error {
	victim, err := e.delegateAt(ctx, 0.5)
	if err != nil {
		return err
	}
	e.excuse(victim)
	e.strike()
	return e.field.hosts[victim].Unplug(ctx)
}

// killOrigin kills the seed as soon as every piece is whole at some leecher.
func killOrigin(ctx context.Context, e *experiment) error {
	if err := e.until(ctx, 0.75); err != nil { // no origin can have sent a copy before that
		return err
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for missing := -1; missing != 0; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		var err error
		if missing, err = e.missing(missing); err != nil {
			return err
		}
		if time.Since(e.start) > e.churn.limit() {
			return fmt.Errorf("the leechers do not hold one full copy after %s: %d pieces are nowhere", e.churn.limit(), missing)
		}
	}
	e.strike()
	e.seed.Kill()
	return nil
}

// pollEvery is how often the leechers' disks are looked at.
const pollEvery = 100 * time.Millisecond

func restartOrigin(ctx context.Context, e *experiment) error {
	if err := e.until(ctx, 0.5); err != nil {
		return err
	}
	e.strike()
	e.seed.Kill()
	back := time.NewTimer(e.churn.away)
	defer back.Stop()
	select {
	case <-back.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	e.away = e.churn.away
	e.list.TellSeed()
	job := e.job(0)
	job.Dir = e.sourceDir()
	restart := e.client.Seed
	if r, ok := e.client.Client.(rival.Restarter); ok {
		restart = r.Restart
	}
	seed, err := restart(ctx, job)
	if err != nil {
		return fmt.Errorf("start the origin again: %w", err)
	}
	e.seed = seed
	within, cancel := context.WithTimeoutCause(ctx, startWithin, fmt.Errorf("not within %s", startWithin))
	defer cancel()
	if err := seed.Ready(within); err != nil {
		return fmt.Errorf("start the origin again: %w", err)
	}
	return nil
}

func leaveAndJoin(ctx context.Context, e *experiment) error {
	if err := e.until(ctx, 0.25); err != nil {
		return err
	}
	leave := e.pick(e.churn.few())
	e.excuse(leave...)
	e.strike()
	for _, victim := range leave {
		e.peers[victim-1].Kill()
	}
	if err := e.until(ctx, 0.5); err != nil {
		return err
	}
	for range e.late {
		if err := e.join(ctx); err != nil {
			return err
		}
	}
	return nil
}
