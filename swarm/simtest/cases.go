package simtest

import (
	"slices"
	"time"
)

// scenario plans who joins when, and what happens to them.
func (w *world) scenario() {
	c := w.cfg
	kinds := make([]int, c.Peers)
	switch c.Case {
	case Liars: // one in a hundred
		for i := range max(1, c.Peers/100) {
			kinds[i] = liar
		}
	case Foreign: // two thirds
		for i := range kinds {
			if i%3 != 0 {
				kinds[i] = stranger
			}
		}
	}
	w.rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	place := make([]int, c.Peers)
	for i := range place {
		place[i] = i % c.Sites
	}
	w.rng.Shuffle(len(place), func(i, j int) { place[i], place[j] = place[j], place[i] })
	for i := range c.Peers {
		if kinds[i] != liar {
			w.left++
		}
		var at time.Duration
		if c.Case == Arrivals {
			at = time.Duration(i) * c.Interval
		}
		w.at(at, func() {
			p := w.newPeer(w.sites[place[i]], kinds[i])
			if c.Case == SlowPeer && i == 0 {
				p.rate = max(c.Rate/100, 1)
				p.up.line = w.clock.line(c.blockTime(p.rate))
			}
			w.enter(p)
		})
	}
	switch c.Case {
	case Churn:
		every := w.clock.line(time.Minute / time.Duration(max(1, c.Peers/10)))
		w.clock.after(every, event{kind: evAction, act: func() { w.churn(every) }})
	case Dead:
		w.at(w.fluid()*2/5, w.kill)
	}
	if c.Case != Arrivals {
		w.startPulses()
	}
}

// enter lets a peer in that works from now on.
func (w *world) enter(p *peer) {
	w.join(p)
	if w.cfg.Case == Arrivals || w.clock.now > 0 {
		w.introduce(p)
		w.begin(p)
	}
}

func (w *world) begin(p *peer) {
	switch p.kind {
	case member:
		w.clock.after(w.pulse, event{kind: evPulse, p: p})
	case stranger:
		w.pulsed(p)
		w.choose(p)
	}
}

// startPulses introduces those who are there from the start to each other, after all of
// them have told the tracker, and spreads their periodic work.
func (w *world) startPulses() {
	phases := make([]time.Duration, w.cfg.Peers)
	for i := range phases {
		phases[i] = time.Duration(w.rng.Int64N(int64(pulseEvery)))
	}
	slices.Sort(phases)
	start := w.clock.line(0)
	start.push(event{kind: evAction, act: func() {
		order := slices.Clone(w.peers)
		w.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, p := range order {
			w.introduce(p)
		}
		for i, p := range order {
			start.push(event{at: phases[i] + 1, kind: evAction, act: func() { w.begin(p) }})
		}
	}})
}

// churn lets a random peer leave and another join in its site, as long as anybody who
// was there at first is incomplete.
func (w *world) churn(every *line) {
	old := slices.ContainsFunc(w.peers[:w.cfg.Peers], func(p *peer) bool { return !p.gone && !p.complete() })
	if !old {
		return
	}
	w.clock.after(every, event{kind: evAction, act: func() { w.churn(every) }})
	p := w.alive[w.rng.IntN(len(w.alive))]
	if !p.complete() {
		w.left--
	}
	s := p.site
	w.remove(p)
	w.left++
	w.enter(w.newPeer(s, member))
}

// kill silences one peer in ten.
func (w *world) kill() {
	for _, i := range w.rng.Perm(len(w.alive))[:len(w.alive)/10] {
		p := w.alive[i]
		if !p.complete() {
			w.left--
		}
		p.silent, p.exempt = true, true
		w.clock.after(w.notice, event{kind: evNotice, p: p})
	}
}
