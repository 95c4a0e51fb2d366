package mainline

import (
	"context"
	"net/netip"
	"slices"
)

// Bounds of a walk. Whatever the nodes on its way say, it asks at most paths × pathAsked
// of them, keeps paths × pathKept, and waits for paths × pathFailed, some at a time.
const (
	paths       = 4
	pathAsked   = 32 // nodes that a path asks
	pathFailed  = 12 // of which so many may not answer
	pathKept    = 64 // nodes that a path knows at a time
	pathAtOnce  = 2
	nearestK    = 8 // how many nodes near the target count
	walkPerHost = 4 // nodes of one public address that are asked
	startNodes  = 2 * nearestK
)

// walk looks for the nodes nearest to a target.
//
// It goes several ways at once. Each has its own candidates: those that the nodes which
// it asked have named. A node belongs to the way that asked it first, so that a liar who
// names ever nearer nodes can lead one way astray and no other. A way ends when the
// nearestK nearest of its candidates have answered.
type walk struct {
	target [20]byte
	// ask asks one node. Several may be asked at a time.
	ask func(context.Context, contact) (body, error)
	// answered is told of every answer, one at a time.
	answered func(contact, body)
	// speaks says whether an address can be asked at all.
	speaks func(netip.Addr) bool

	visits map[netip.AddrPort]*visit
	hosts  map[netip.Addr]int // nodes asked, by public address
	ways   [paths]way
}

// visit is a candidate.
type visit struct {
	contact
	named bool // its id is known; not that of a bootstrap address
	deal  bool // what it names is dealt out to all ways: there were too few to start from
	way   int  // which asked it
	state visitState
	token []byte
	reply body
}

type visitState uint8

const (
	waiting visitState = iota
	asked
	answered
	failed
)

// way is one of the paths; candidates are sorted by distance, those without an id first.
type way struct {
	candidates  []*visit
	asked, lost int
	open        int // questions under way
}

type outcome struct {
	visit *visit
	body  body
	err   error
}

// run walks from the start nodes on, and from addresses whose ids are not known. It
// returns the candidates that answered, nearest first. When ctx ends it stops with what
// it has.
func (w *walk) run(ctx context.Context, start []contact, addrs []netip.AddrPort) []*visit {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.visits = make(map[netip.AddrPort]*visit)
	w.hosts = make(map[netip.Addr]int)
	start = sortedByDistance(w.target, start)
	start = start[:min(len(start), startNodes)]
	deal := len(start)+len(addrs) < 2*paths
	for i, a := range addrs {
		w.enter(i%paths, &visit{contact: contact{addr: a}, deal: deal})
	}
	for i, c := range start {
		w.enter(i%paths, &visit{contact: c, named: true, deal: deal})
	}
	results := make(chan outcome)
	open := 0
	for {
		for i := range w.ways {
			for v := w.next(i); v != nil; v = w.next(i) {
				open++
				go func() {
					b, err := w.ask(ctx, v.contact)
					results <- outcome{v, b, err}
				}()
			}
		}
		if open == 0 {
			return w.near()
		}
		r := <-results
		open--
		w.take(r)
		if ctx.Err() != nil {
			for ; open > 0; open-- {
				w.take(<-results)
			}
			return w.near()
		}
	}
}

// enter adds a candidate to a way.
func (w *walk) enter(i int, v *visit) {
	if known := w.visits[v.addr]; known != nil {
		v = known
	} else {
		w.visits[v.addr] = v
	}
	p := &w.ways[i]
	if slices.Contains(p.candidates, v) {
		return
	}
	at, _ := slices.BinarySearchFunc(p.candidates, v, w.compare)
	p.candidates = slices.Insert(p.candidates, at, v)
	if len(p.candidates) > pathKept {
		p.candidates = p.candidates[:pathKept]
	}
}

func (w *walk) compare(a, b *visit) int {
	switch {
	case !a.named && !b.named:
		return a.addr.Compare(b.addr)
	case !a.named:
		return -1
	case !b.named:
		return 1
	}
	if c := closer(w.target, a.id, b.id); c != 0 {
		return c
	}
	return a.addr.Compare(b.addr)
}

// next returns whom a way asks now, nil for nobody, and notes that it is asked.
func (w *walk) next(i int) *visit {
	p := &w.ways[i]
	if p.open >= pathAtOnce || p.asked >= pathAsked || p.lost >= pathFailed {
		return nil
	}
	counted := 0
	for _, v := range p.candidates {
		if v.state == failed {
			continue
		}
		if v.state == waiting && !w.admit(v.addr.Addr()) {
			v.state = failed
			continue
		}
		if v.state == waiting {
			v.state, v.way = asked, i
			p.asked++
			p.open++
			return v
		}
		if counted++; v.named && counted >= nearestK {
			return nil
		}
	}
	return nil
}

// admit counts a host that is asked and reports whether it may be.
func (w *walk) admit(a netip.Addr) bool {
	if !w.speaks(a) {
		return false
	}
	if inner(a) {
		return true
	}
	w.hosts[a]++
	return w.hosts[a] <= walkPerHost
}

// take handles the outcome of a question.
func (w *walk) take(r outcome) {
	v := r.visit
	p := &w.ways[v.way]
	p.open--
	if r.err != nil {
		v.state = failed
		p.lost++
		return
	}
	if !v.named || v.id != r.body.sender { // a bootstrap address, or a node that was started anew
		v.id, v.named = r.body.sender, true
		for i := range w.ways {
			slices.SortFunc(w.ways[i].candidates, w.compare)
		}
	}
	v.state, v.token, v.reply = answered, r.body.token, r.body
	w.answered(v.contact, r.body)
	for i, c := range sortedByDistance(w.target, r.body.nodes) {
		if inner(c.addr.Addr()) && !inner(v.addr.Addr()) {
			continue // a node outside must not point inside
		}
		to := v.way
		if v.deal {
			to = i % paths
		}
		w.enter(to, &visit{contact: c, named: true})
	}
}

// near returns who answered, the nearest first.
func (w *walk) near() (out []*visit) {
	for _, v := range w.visits {
		if v.state == answered {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, w.compare)
	return out
}

// holders returns where to put something: the nearest of all that gave a token, and a few
// of each way, since one that was led astray may have found the nearest.
func holders(near []*visit) (out []*visit) {
	const each = 3
	var of [paths]int
	total := 0
	for _, v := range near {
		if len(v.token) == 0 {
			continue
		}
		of[v.way]++
		if total++; total <= nearestK || of[v.way] <= each {
			out = append(out, v)
		}
	}
	return out
}
