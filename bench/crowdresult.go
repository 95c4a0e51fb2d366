package main

import (
	"cmp"
	"fmt"
	"slices"
)

// crowdResult is one run, as it is printed with --json. Figures below 0 were not measured.
type crowdResult struct {
	Type         string  `json:"type"` // "crowd"
	Client       string  `json:"client"`
	Version      string  `json:"version,omitempty"`
	Missing      string  `json:"missing,omitempty"` // why there are no figures
	Error        string  `json:"error,omitempty"`   // why the figures are not to be trusted
	Machine      string  `json:"machine"`
	Run          int     `json:"run,omitempty"`
	Attempt      int     `json:"attempt,omitempty"`    // above 1: those before it did not count
	Overloaded   bool    `json:"overloaded,omitempty"` // the machine was too busy: it does not count
	Blind        bool    `json:"blind,omitempty"`
	Link         bool    `json:"link,omitempty"` // our leechers got a link and no metainfo
	Mix          string  `json:"mix,omitempty"`  // leechers that are not the client's own
	N            int     `json:"n"`
	Rate         int64   `json:"rate_bits"`            // of the leechers' uplinks, the first
	Rates        []int64 `json:"rates_bits,omitempty"` // where they differ: in turn
	OriginRate   int64   `json:"origin_rate_bits"`
	Every        float64 `json:"every_seconds,omitempty"` // between arrivals
	Size         int64   `json:"size"`
	Piece        int64   `json:"piece"` // 0: the client's choice
	Shaped       bool    `json:"shaped"`
	Bound        float64 `json:"bound_seconds"` // T*
	Complete     int     `json:"complete"`
	Makespan     float64 `json:"makespan_seconds"` // from the first arrival to the last completion
	Mean         float64 `json:"mean_seconds"`     // from its own arrival, each
	First        float64 `json:"first_seconds"`
	Ratio        float64 `json:"makespan_ratio"`
	MeanRatio    float64 `json:"mean_ratio"`
	OursRatio    float64 `json:"ours_ratio"`            // of a mixed crowd: the last of ours
	TheirsRatio  float64 `json:"theirs_ratio"`          // and the last guest
	OriginCopies float64 `json:"origin_copies"`         // whole frames
	OriginData   float64 `json:"origin_payload_copies"` // blocks
	Handful      int     `json:"handful"`               // most peers to which the origin sent piece data within any one second
	Served       int     `json:"served"`                // different peers to which it did, in all
	Unread       int     `json:"unread"`                // streams of the origin that could not be read and count as piece data as a whole
	OriginDrops  float64 `json:"origin_drops"`
	PeerCopies   float64 `json:"peer_copies"`         // sent by the mean leecher: whole frames
	PeerData     float64 `json:"peer_payload_copies"` // blocks
	WireUseful   float64 `json:"wire_useful"`         // all bytes sent / (N · size)
	Duplicates   float64 `json:"duplicates"`          // payload received for nothing / payload received, by the clients' own counters
	CPU          float64 `json:"cpu_seconds"`         // of all clients
	Busy         float64 `json:"busy"`                // the machine, everybody's work
	Own          float64 `json:"own"`                 // of it the clients'
}

// blank is the result of e before its run.
func (c *crowd) blank(e entrant) crowdResult {
	lines := c.lines()
	r := crowdResult{Type: "crowd", Client: e.Name(), Version: e.version, Machine: describeMachine(), N: c.leechers,
		Rate: lines[1].up, OriginRate: lines[0].up, Every: c.every.Seconds(), Size: int64(c.size), Piece: int64(c.piece),
		Shaped: c.shaped, Bound: c.bound().Seconds()}
	for _, rate := range c.rates {
		r.Rates = append(r.Rates, int64(rate))
	}
	if e.Name() == "handful" {
		r.Blind, r.Link, r.Mix = c.blind, c.link, c.mix.String()
	} else {
		r.Piece = c.rivalPiece()
	}
	return r
}

func (c *crowd) table(clients []entrant, results []crowdResult) string {
	t := table{head: []string{"client", "runs", "complete", "makespan/T*", "worst", "mean/T*", "origin copies", "payload", "handful", "served",
		"each peer sent", "payload", "wire/useful", "duplicates %", "CPU s", "busy", "own"}}
	if len(c.mix) > 0 {
		t.head = slices.Insert(t.head, 5, "ours/T*", "theirs/T*")
	}
	tooBusy := false
	for _, e := range clients {
		cells, overloaded := c.row(e, results)
		tooBusy = tooBusy || overloaded
		if len(cells) == 2 {
			t.missing(cells[0], cells[1])
		} else {
			t.add(cells...)
		}
	}
	foot := ""
	if tooBusy {
		foot = fmt.Sprintf("\n* The machine was more than %.2f busy in every run: this does not count.\n", busyLimit)
	}
	return c.caption() + "\n\n" + t.String() + foot
}

// caption says what was measured, and where.
func (c *crowd) caption() string {
	kind := "shaped by tbf"
	if !c.shaped {
		kind = "limited by the clients themselves, on loopback"
	}
	uplinks := c.rate.String() + "bit/s"
	if len(c.rates) > 0 {
		uplinks = c.rates.String() + "bit/s in turn"
	}
	if len(c.rates) > 0 || c.originRate != c.rate {
		uplinks += ", the origin's " + c.originRate.String() + "bit/s"
	}
	come := ""
	if c.every > 0 {
		come = fmt.Sprintf(" one each %s (T* with these arrivals)", c.every)
	}
	return fmt.Sprintf("Flash crowd: %d leechers%s, %siB, uplinks %s %s, T* = %.2f s; medians.\nMachine: %s.",
		c.leechers, come, c.size.String(), uplinks, kind, c.bound().Seconds(), describeMachine())
}

// row of one client; overloaded if it is made of runs that do not count, since there are no others.
func (c *crowd) row(e entrant, results []crowdResult) (cells []string, overloaded bool) {
	var counting, busy []crowdResult
	for _, r := range results {
		switch {
		case r.Client != e.Name():
		case r.Missing != "":
			return []string{c.title(e), firstLine(r.Missing)}, false
		case r.Overloaded:
			busy = append(busy, r)
		default:
			counting = append(counting, r)
		}
	}
	title := c.title(e)
	if overloaded = len(counting) == 0 && len(busy) > 0; overloaded {
		counting = busy
		title += " *"
	}
	var good []crowdResult
	complete, leechers, why := 0, 0, ""
	for _, r := range counting {
		complete += r.Complete
		leechers += r.N
		if r.Error == "" {
			good = append(good, r)
		} else {
			why = "failed: " + r.Error
		}
	}
	if len(good) == 0 {
		return []string{title, firstLine(why)}, overloaded
	}
	of := func(field func(crowdResult) float64, digits int) string { return number(medianOf(good, field), digits) }
	most := func(field func(crowdResult) int) string {
		return number(float64(field(slices.MaxFunc(good, func(a, b crowdResult) int { return field(a) - field(b) }))), 0)
	}
	worst := number(slices.MaxFunc(good, func(a, b crowdResult) int { return cmp.Compare(a.Ratio, b.Ratio) }).Ratio, 3)
	if why != "" {
		worst = "failed"
	}
	cells = []string{title, fmt.Sprintf("%d/%d", len(good), len(counting)), fmt.Sprintf("%d/%d", complete, leechers),
		of(func(r crowdResult) float64 { return r.Ratio }, 3), worst}
	if len(c.mix) > 0 {
		cells = append(cells, of(func(r crowdResult) float64 { return r.OursRatio }, 3),
			of(func(r crowdResult) float64 { return r.TheirsRatio }, 3))
	}
	return append(cells,
		of(func(r crowdResult) float64 { return r.MeanRatio }, 3),
		of(func(r crowdResult) float64 { return r.OriginCopies }, 3),
		of(func(r crowdResult) float64 { return r.OriginData }, 3),
		most(func(r crowdResult) int { return r.Handful }),
		most(func(r crowdResult) int { return r.Served }),
		of(func(r crowdResult) float64 { return r.PeerCopies }, 2),
		of(func(r crowdResult) float64 { return r.PeerData }, 2),
		of(func(r crowdResult) float64 { return r.WireUseful }, 3),
		of(func(r crowdResult) float64 { return 100 * r.Duplicates }, 2),
		of(func(r crowdResult) float64 { return r.CPU }, 1),
		of(func(r crowdResult) float64 { return r.Busy }, 2),
		of(func(r crowdResult) float64 { return r.Own }, 2)), overloaded
}
