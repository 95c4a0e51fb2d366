package discover

import (
	"math/rand/v2"
	"slices"
	"time"
)

// rhythm says how often the items of a timetable are sent.
type rhythm struct {
	gaps   []time.Duration // wait after the first, second, … sending; the last repeats
	window time.Duration   // an answer comes within a random part of this
	hold   time.Duration   // least distance between a sending and the answer after it
	enough int             // others' sendings that make an answer needless; 0: none do
}

var (
	// searchRhythm: BEP 14 asks for at most one announcement of a torrent a
	// minute and suggests one in five; the quick ones at the start make up for
	// lost datagrams and for listeners that start together with us.
	searchRhythm = rhythm{
		gaps:   []time.Duration{time.Second, 3 * time.Second, 5 * time.Minute},
		window: 250 * time.Millisecond, hold: 3 * time.Second, enough: 8,
	}
	offerRhythm = rhythm{
		gaps: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second,
			16 * time.Second, 32 * time.Second, time.Minute},
		window: 250 * time.Millisecond, hold: time.Second,
	}
	// queryRhythm: three tries, then as good as never.
	queryRhythm = rhythm{gaps: []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 1000 * time.Hour}}
)

// beat is when one item is to be sent on one link.
type beat struct {
	step   int       // sendings since the beat began
	next   time.Time // when the rhythm wants the next one
	sent   time.Time // the last one; zero: none
	answer time.Time // when an owed answer is due; zero: none is owed
	heard  int       // others' sendings since the answer is owed
}

// due is when the beat wants to be sent.
func (b *beat) due() time.Time {
	if !b.answer.IsZero() && b.answer.Before(b.next) {
		return b.answer
	}
	return b.next
}

// timetable decides when each item is sent on each link. It sends nothing and
// reads no clock. Its owner is the goroutine of an [LSD].
type timetable[K comparable] struct {
	rhythm rhythm
	rand   *rand.Rand
	items  []K // in the order they were given
	links  map[int]map[K]*beat
}

func newTimetable[K comparable](r rhythm, rnd *rand.Rand) *timetable[K] {
	return &timetable[K]{rhythm: r, rand: rnd, links: make(map[int]map[K]*beat)}
}

// set replaces the items. New ones are due now on every link, those that stay
// keep their beat.
func (t *timetable[K]) set(now time.Time, items []K) {
	keep := make(map[K]bool, len(items))
	t.items = t.items[:0:0]
	for _, k := range items {
		if !keep[k] {
			keep[k] = true
			t.items = append(t.items, k)
		}
	}
	for _, beats := range t.links {
		for k := range beats {
			if !keep[k] {
				delete(beats, k)
			}
		}
		for _, k := range t.items {
			if beats[k] == nil {
				beats[k] = &beat{next: now}
			}
		}
	}
}

// begin makes every item due now on a link, new or not.
func (t *timetable[K]) begin(now time.Time, link int) {
	t.links[link] = make(map[K]*beat, len(t.items))
	t.set(now, t.items)
}

// end forgets a link.
func (t *timetable[K]) end(link int) { delete(t.links, link) }

// owe has k sent on a link soon, because somebody asked for it. What is owed
// already stays as it is, and any sending settles it.
func (t *timetable[K]) owe(now time.Time, link int, k K) {
	b := t.links[link][k]
	if b == nil || !b.answer.IsZero() {
		return
	}
	b.heard = 0
	b.answer = now.Add(time.Duration(t.rand.Int64N(int64(t.rhythm.window) + 1)))
	if free := b.sent.Add(t.rhythm.hold); !b.sent.IsZero() && free.After(b.answer) {
		b.answer = free
	}
}

// heard counts that somebody else sent k on a link. When enough have since an
// answer is owed, it is owed no more.
func (t *timetable[K]) heard(link int, k K) {
	b := t.links[link][k]
	if b == nil || b.answer.IsZero() || t.rhythm.enough == 0 {
		return
	}
	if b.heard++; b.heard >= t.rhythm.enough {
		b.answer = time.Time{}
	}
}

// take returns at most limit items that are due on a link and counts them as
// sent now.
func (t *timetable[K]) take(now time.Time, link, limit int) []K {
	beats := t.links[link]
	var out []K
	for _, k := range t.items {
		if len(out) == limit {
			break
		}
		if b := beats[k]; b != nil && !b.due().After(now) {
			gap := t.rhythm.gaps[min(b.step, len(t.rhythm.gaps)-1)]
			// A tenth more or less keeps machines that started together apart.
			gap += time.Duration((t.rand.Float64() - 0.5) / 5 * float64(gap))
			*b = beat{step: b.step + 1, next: now.Add(gap), sent: now}
			out = append(out, k)
		}
	}
	return out
}

// next returns when something is due on any link; ok is false when nothing ever
// is.
func (t *timetable[K]) next() (at time.Time, ok bool) {
	for _, beats := range t.links {
		for _, b := range beats {
			if due := b.due(); !ok || due.Before(at) {
				at, ok = due, true
			}
		}
	}
	return at, ok
}

// bucket is a token bucket.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if b.at.IsZero() {
		b.tokens = burst
	} else if d := now.Sub(b.at).Seconds(); d > 0 {
		b.tokens = min(burst, b.tokens+d*rate)
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// limiter bounds how often each of many senders is listened to. It remembers at
// most max of them; the rest share one bucket, so that made-up senders gain
// nothing.
type limiter[K comparable] struct {
	rate, burst float64 // events a second, and at once
	max         int
	senders     map[K]*bucket
	rest        bucket
	swept       time.Time // when idle senders were looked for
}

func (l *limiter[K]) allow(now time.Time, from K) bool {
	b := l.senders[from]
	if b == nil {
		if l.senders == nil {
			l.senders = make(map[K]*bucket)
		}
		if len(l.senders) >= l.max && now.Sub(l.swept).Abs() >= time.Second {
			l.swept = now
			l.forgetIdle(now)
		}
		if len(l.senders) >= l.max {
			return l.rest.take(now, l.rate, l.burst)
		}
		b = new(bucket)
		l.senders[from] = b
	}
	return b.take(now, l.rate, l.burst)
}

// forgetIdle drops the senders whose bucket is full again: they are as good as
// new. To look for them costs time, so it is done once a second at most, or a
// flood of made-up senders would buy much of it.
func (l *limiter[K]) forgetIdle(now time.Time) {
	full := time.Duration(l.burst / l.rate * float64(time.Second))
	for k, b := range l.senders {
		if now.Sub(b.at) > full {
			delete(l.senders, k)
		}
	}
}

// recent remembers which keys were met lately, at most max of them.
type recent[K comparable] struct {
	keep time.Duration
	max  int
	met  map[K]time.Time
	ring []K // in the order of arrival, the oldest first
}

// fresh records k as met now and reports whether it was not met within keep.
func (r *recent[K]) fresh(now time.Time, k K) bool {
	at, known := r.met[k]
	if r.met == nil {
		r.met = make(map[K]time.Time)
	}
	if !known {
		if len(r.ring) >= r.max {
			// The one that came first goes, whoever it is: a flood of made-up
			// peers costs some answers too many, never memory.
			delete(r.met, r.ring[0])
			r.ring = slices.Delete(r.ring, 0, 1)
		}
		r.ring = append(r.ring, k)
	}
	r.met[k] = now
	return !known || now.Sub(at) > r.keep
}
