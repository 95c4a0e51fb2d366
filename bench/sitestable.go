package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

func (m *siteMeasure) table(clients []variant, results []sitesResult) string {
	t := table{head: []string{"client", "runs", "far last/bound", "near last s", "far last s", "copies a link", "out of origin's site", "back",
		"origin copies", "duplicates %", "busy", "own"}}
	tooBusy := ""
	for _, v := range clients {
		good, why, overloaded := goodRuns(v.name, results)
		name := v.name
		if v.version != "" {
			name += " " + v.version
		}
		if overloaded {
			name += " *"
			tooBusy = fmt.Sprintf("\n* The machine was more than %.2f busy: these runs do not count.\n", busyLimit)
		}
		if len(good) == 0 {
			t.missing(name, firstLine(why))
			continue
		}
		of := func(field func(sitesResult) float64, digits int) string { return number(medianOf(good, field), digits) }
		t.add(name, strconv.Itoa(len(good)),
			of(func(r sitesResult) float64 { return r.FarRatio }, 3),
			of(func(r sitesResult) float64 { return r.Last[0] }, 2),
			of(func(r sitesResult) float64 { return slices.Max(r.Last[1:]) }, 2),
			of(func(r sitesResult) float64 { return r.LinkCopies }, 3),
			of(func(r sitesResult) float64 { return r.OriginSite }, 3),
			of(func(r sitesResult) float64 { return r.Back }, 3),
			of(func(r sitesResult) float64 { return r.OriginCopies }, 3),
			of(func(r sitesResult) float64 { return 100 * r.Duplicates }, 2),
			of(func(r sitesResult) float64 { return r.Busy }, 2),
			of(func(r sitesResult) float64 { return r.Own }, 2))
	}
	near, far := m.bounds()
	return fmt.Sprintf("%d sites of %d, %s, uplinks %sbit/s, links %sbit/s each way; bounds %.2f s in the origin's site, %.2f s in the others; %s; medians.\n\n%s%s%s",
		m.sites, m.leechers, m.size.String()+"iB", m.rate.String(), m.link.String(), near.Seconds(), far.Seconds(), describeMachine(), t.String(), tooBusy, m.verdict(results))
}

// goodRuns of a client that count, or if none counts those that do not; or why there are none.
func goodRuns(name string, results []sitesResult) (good []sitesResult, why string, overloaded bool) {
	var busy []sitesResult
	for _, r := range results {
		switch {
		case r.Client != name:
		case r.Missing != "":
			why = r.Missing
		case r.Error != "":
			why = "failed: " + r.Error
		case r.Overloaded:
			busy = append(busy, r)
		default:
			good = append(good, r)
		}
	}
	if len(good) == 0 && len(busy) > 0 {
		return busy, why, true
	}
	return good, why, false
}

// verdict on "never starved": in no run of ours is anybody later than the latest of a run that is blind to nearness. Of
// several blind runs the median is taken, of ours the worst.
func (m *siteMeasure) verdict(results []sitesResult) string {
	if !m.blind {
		return ""
	}
	sighted, _, busy := goodRuns("handful", results)
	blind, _, busyToo := goodRuns(blindName, results)
	if len(sighted) == 0 || len(blind) == 0 {
		return "\nNever starved: not decided, since a run failed.\n"
	}
	latest := 0.0
	for _, r := range sighted {
		latest = math.Max(latest, r.Makespan)
	}
	limit := medianOf(blind, func(r sitesResult) float64 { return r.Makespan })
	word := "holds"
	if latest > limit {
		word = "DOES NOT HOLD"
	}
	if busy || busyToo {
		word += ", in runs that do not count"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nNever starved: %s. The latest leecher of all %d runs with nearness: %.2f s; of the blind run (median of %d): %.2f s.\n",
		word, len(sighted), latest, len(blind), limit)
	return b.String()
}
