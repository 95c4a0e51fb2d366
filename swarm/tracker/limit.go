package tracker

import (
	"container/list"
	"net/netip"
	"time"
)

// buckets are token buckets by address, in a table that forgets the longest unused
// when it is full. A forgotten address starts with a full bucket again. The zero
// value is not useful; the Server's lock guards it.
type buckets struct {
	rate  float64 // tokens a second
	burst float64 // most tokens a bucket holds
	size  int     // most buckets

	byAddr map[netip.Addr]*list.Element // of *bucket
	used   list.List                    // front: longest unused
}

type bucket struct {
	addr   netip.Addr
	tokens float64
	at     time.Time // when tokens was right
}

func newBuckets(l Limits) *buckets {
	return &buckets{rate: l.Rate, burst: float64(l.Burst), size: l.RatedIPs, byAddr: make(map[netip.Addr]*list.Element)}
}

// take removes one token from the bucket of a, if there is one.
func (t *buckets) take(a netip.Addr, now time.Time) bool {
	e, ok := t.byAddr[a]
	switch {
	case ok:
		t.used.MoveToBack(e)
	case len(t.byAddr) < t.size:
		e = t.used.PushBack(&bucket{addr: a, tokens: t.burst, at: now})
		t.byAddr[a] = e
	default:
		e = t.used.Front()
		b := e.Value.(*bucket)
		delete(t.byAddr, b.addr)
		*b = bucket{addr: a, tokens: t.burst, at: now}
		t.byAddr[a] = e
		t.used.MoveToBack(e)
	}
	b := e.Value.(*bucket)
	// A clock set back gives nothing and takes nothing.
	if gone := now.Sub(b.at).Seconds(); gone > 0 {
		b.tokens = min(t.burst, b.tokens+gone*t.rate)
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
