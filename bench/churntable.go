package main

import (
	"fmt"
	"strings"
)

// slowest is how much slower than the clean run a case may be.
const slowest = 1.15

// churnVerdict is what all runs of a case with one client come to, as it is printed with --json. Medians are of the runs
// in which everybody completed; figures below 0 were not measured.
type churnVerdict struct {
	Type         string  `json:"type"` // "churn-case"
	Case         string  `json:"case"`
	Client       string  `json:"client"`
	Missing      string  `json:"missing,omitempty"`
	Runs         int     `json:"runs"`
	Whole        int     `json:"complete_runs"`
	Makespan     float64 `json:"makespan_seconds"`
	Ratio        float64 `json:"makespan_ratio"`
	Slowdown     float64 `json:"slowdown"` // median makespan / that of the clean runs; stagger: / its bound
	Worst        float64 `json:"worst"`    // the slowest run's
	Others       float64 `json:"others"`   // median slowdown of those that nothing was done to themselves
	OriginCopies float64 `json:"origin_copies"`
	Duplicates   float64 `json:"duplicates"`
	Wasted       float64 `json:"wasted_bytes"`
	Busy         float64 `json:"busy"`
	Overloaded   int     `json:"overloaded_runs"` // that stayed so after all repeats, and count all the same
	Holds        bool    `json:"holds"`           // all complete, slowdown at most 1.15
	Verdict      string  `json:"verdict"`
}

// verdicts of all cases with one client, in the order of running.
func (c *churn) verdicts(e entrant, results []churnResult) []churnVerdict {
	var all []churnVerdict
	for _, d := range c.cases {
		all = append(all, verdictOf(d.name, e.Name(), results))
	}
	return all
}

func verdictOf(name, client string, results []churnResult) churnVerdict {
	v := churnVerdict{Type: "churn-case", Case: name, Client: client, Worst: -1}
	var whole []churnResult
	for _, r := range results {
		switch {
		case r.Case != name || r.Client != client || r.Repeated:
			continue
		case r.Missing != "":
			v.Missing = r.Missing
			continue
		}
		v.Runs++ // one that failed is not complete
		if r.Overloaded {
			v.Overloaded++
		}
		if r.whole() {
			whole = append(whole, r)
			v.Worst = max(v.Worst, slowdown(r, results))
		}
	}
	v.Whole = len(whole)
	v.Makespan = medianOf(whole, func(r churnResult) float64 { return r.Makespan })
	v.Ratio = medianOf(whole, func(r churnResult) float64 { return r.Ratio })
	v.Slowdown = medianOf(whole, func(r churnResult) float64 { return slowdown(r, results) })
	v.Others = medianOf(whole, func(r churnResult) float64 { return slower(r.Others, r, results) })
	v.OriginCopies = medianOf(whole, func(r churnResult) float64 { return r.OriginCopies })
	v.Duplicates = medianOf(whole, func(r churnResult) float64 { return r.Duplicates })
	v.Wasted = medianOf(whole, func(r churnResult) float64 { return float64(r.Wasted) })
	v.Busy = medianOf(whole, func(r churnResult) float64 { return r.Busy })
	v.judge()
	return v
}

func (v *churnVerdict) judge() {
	var faults []string
	if v.Whole < v.Runs {
		faults = append(faults, fmt.Sprintf("%d of %d incomplete", v.Runs-v.Whole, v.Runs))
	}
	if v.Slowdown > slowest && v.Case != caseClean {
		faults = append(faults, fmt.Sprintf("%.0f %% slower", 100*(v.Slowdown-1)))
	}
	v.Holds = v.Runs > 0 && len(faults) == 0
	switch {
	case v.Missing != "":
		v.Verdict = v.Missing
	case v.Runs == 0:
		v.Verdict = "not run"
	case v.Holds:
		v.Verdict = "holds"
	default:
		v.Verdict = "fails: " + strings.Join(faults, ", ")
	}
	if v.Overloaded > 0 {
		v.Verdict += fmt.Sprintf(" (%d overloaded)", v.Overloaded)
	}
}

func (c *churn) table(e entrant, verdicts []churnVerdict) string {
	t := table{head: []string{"case", "complete", "makespan s", "of bound", "slowdown", "worst", "of others", "origin copies", "duplicates %",
		"wasted MiB", "busy", "verdict"}}
	for _, v := range verdicts {
		if v.Runs == 0 {
			t.missing(v.Case, firstLine(v.Verdict))
			continue
		}
		wasted := v.Wasted
		if wasted > 0 {
			wasted /= 1 << 20
		}
		duplicates := v.Duplicates
		if duplicates > 0 {
			duplicates *= 100
		}
		t.add(v.Case, fmt.Sprintf("%d of %d", v.Whole, v.Runs), number(v.Makespan, 1), number(v.Ratio, 3), number(v.Slowdown, 3),
			number(v.Worst, 3), number(v.Others, 3), number(v.OriginCopies, 3), number(duplicates, 2), number(wasted, 2), number(v.Busy, 2), v.Verdict)
	}
	return fmt.Sprintf("%s: a crowd of %d, %s, uplinks %sbit/s shaped by tbf, T* = %.2f s, disturbed; medians of the runs that count.\n\n%s\n",
		e.title(), c.leechers, c.size.String()+"iB", c.rate.String(), c.bound().Seconds(), t.String())
}
