package simtest

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Result is what a run came to. Copies are bytes of payload over the content's length;
// with headers they are Overhead more.
type Result struct {
	Case         Case          `json:"case"`
	Peers        int           `json:"peers"`    // that were there to the end and are to complete
	Complete     int           `json:"complete"` // of them
	Makespan     time.Duration `json:"makespan"` // until the last one was complete
	Bound        time.Duration `json:"bound"`
	Formula      string        `json:"formula"` // of the bound, with its terms
	Ratio        float64       `json:"ratio"`   // makespan / bound
	MeanRatio    float64       `json:"mean_ratio"`
	Longest      time.Duration `json:"longest"`       // from joining to complete, of anybody
	OriginCopies float64       `json:"origin_copies"` // payload
	SiteCopies   float64       `json:"site_copies"`   // into the site with most; 0 with one site
	MeanSite     float64       `json:"mean_site_copies"`
	Served       int           `json:"served"`    // different leechers that the origin sent data to
	InSecond     int           `json:"in_second"` // most of them in any one second
	Duplicates   float64       `json:"duplicates"`
	Bad          float64       `json:"bad"` // of bad pieces, as a part of all that was received
	Overhead     float64       `json:"overhead"`
	Events       int64         `json:"events"`
}

// WireCopies are the origin's copies with headers.
func (r Result) WireCopies() float64 { return r.OriginCopies * (1 + r.Overhead) }

// horizon is when a run is given up.
func (w *world) horizon() time.Duration {
	t := w.fluid()
	if w.cfg.Case == SlowSite {
		t = max(t, seconds(float64(w.cfg.Size*8)/float64(w.sites[0].link)))
	}
	if w.cfg.Case == Arrivals {
		t += time.Duration(w.cfg.Peers) * w.cfg.Interval
	}
	return 10*t + 10*time.Minute
}

// fluid is the bound of the flash crowd.
func (w *world) fluid() time.Duration {
	c := w.cfg
	f := float64(c.Size * 8)
	t := max(f/float64(c.OriginRate), float64(c.Peers)*f/(float64(c.OriginRate)+float64(c.Peers)*float64(c.Rate)))
	if !w.flat() {
		t = max(t, f/float64(c.Link))
	}
	return seconds(t)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (w *world) result() Result {
	r := Result{Case: w.cfg.Case, Overhead: w.cfg.Overhead, Events: w.clock.events, InSecond: w.origin.most, Served: w.origin.served}
	var sum time.Duration
	var done []*peer
	for _, p := range w.peers {
		if p.gone || p.exempt || p.silent {
			continue
		}
		r.Peers++
		if p.complete() {
			r.Complete++
			done = append(done, p)
			r.Makespan = max(r.Makespan, p.doneAt)
			r.Longest = max(r.Longest, p.doneAt-p.joined)
			sum += p.doneAt
		}
	}
	r.Bound, r.Formula = w.bound(done)
	r.Ratio = r.Makespan.Seconds() / r.Bound.Seconds()
	if len(done) > 0 {
		r.MeanRatio = sum.Seconds() / float64(len(done)) / r.Bound.Seconds()
	}
	f := float64(w.cfg.Size)
	r.OriginCopies = float64(w.origin.bytes) / f
	for _, s := range w.sites {
		c := float64(s.inward) / f
		r.SiteCopies = max(r.SiteCopies, c)
		r.MeanSite += c / float64(len(w.sites))
	}
	all := float64(max(1, w.useful+w.duplicate+w.bad))
	r.Duplicates, r.Bad = float64(w.duplicate)/all, float64(w.bad)/all
	return r
}

// bound is the least time in which those who completed could, see the package
// documentation.
func (w *world) bound(done []*peer) (time.Duration, string) {
	f := float64(w.cfg.Size * 8)
	origin := f / float64(w.cfg.OriginRate)
	link, arrival := 0.0, 0.0
	for _, p := range done {
		arrival = max(arrival, p.joined.Seconds())
		if !w.flat() {
			link = max(link, f/float64(p.site.link))
		}
	}
	capacity := w.capacity(float64(len(done)) * f)
	t := max(origin, link, arrival, capacity)
	return seconds(t), fmt.Sprintf("max(F/u_s = %.2f s, F/link = %.2f s, last arrival = %.2f s, T with \u222b(u_s + \u03a3u_i) dt = N\u00b7F at %.2f s) = %.2f s",
		origin, link, arrival, capacity, t)
}

// capacity is when all uplinks together can have carried so many bits, from the times
// at which each came and left.
func (w *world) capacity(need float64) float64 {
	type change struct {
		at   float64
		rate float64
	}
	var changes []change
	for _, p := range w.peers {
		if p.kind == liar {
			continue
		}
		changes = append(changes, change{p.joined.Seconds(), float64(p.rate)})
		if p.gone {
			changes = append(changes, change{p.leftAt.Seconds(), -float64(p.rate)})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	now, rate, carried := 0.0, float64(w.cfg.OriginRate), 0.0
	for _, c := range changes {
		if more := rate * (c.at - now); carried+more >= need {
			break
		} else {
			carried += more
		}
		now, rate = c.at, rate+c.rate
	}
	return now + (need-carried)/rate
}
