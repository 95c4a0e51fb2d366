package simtest

import "time"

// kind says what happens at an event.
type kind uint8

const (
	evUplink  kind = iota // a block has left the sender's uplink
	evLeave               // a block has left the sender's site
	evEnter               // a block has entered the receiver's site
	evAsk                 // a request arrives at the sender
	evCancel              // a cancel arrives at the sender
	evHave                // an urgent Have arrives at neighbours
	evHungry              // a leecher's hunger arrives at the origin
	evGrant               // a grant arrives at a leecher
	evOffer               // an offer arrives at a member
	evPass                // the word that nothing is wanted for it arrives at who made it
	evPulse               // a peer's periodic work
	evOrigin              // the origin's periodic work
	evUnchoke             // a foreign client's choice of whom to serve
	evAction              // something planned
	evNotice              // neighbours notice a silent peer
)

// event is what happens at a time. What the fields mean depends on the kind.
type event struct {
	at    time.Duration
	e     *end
	p     *peer
	s     *server
	act   func()
	mask  uint64
	piece int32
	kind  kind
	far   bool
}

// line is a queue of events that all wait for the same time, so that the first in is
// the first due and nothing has to be sorted.
type line struct {
	delay time.Duration
	buf   []event // ring, its length a power of two
	head  int
	n     int
}

// clock is the virtual time. Events at the same time happen in the order of the lines
// that they wait in, and of their coming in each.
type clock struct {
	now    time.Duration
	lines  []*line
	events int64
}

// line returns the queue of events that wait for a time.
func (c *clock) line(delay time.Duration) *line {
	for _, l := range c.lines {
		if l.delay == delay {
			return l
		}
	}
	l := &line{delay: delay, buf: make([]event, 64)}
	c.lines = append(c.lines, l)
	return l
}

// after puts an event into a line.
func (c *clock) after(l *line, ev event) {
	ev.at = c.now + l.delay
	l.push(ev)
}

func (l *line) push(ev event) {
	if l.n == len(l.buf) {
		buf := make([]event, 2*len(l.buf))
		for i := range l.n {
			buf[i] = l.buf[(l.head+i)&(len(l.buf)-1)]
		}
		l.buf, l.head = buf, 0
	}
	l.buf[(l.head+l.n)&(len(l.buf)-1)] = ev
	l.n++
}

// next takes out the event that is due first; false if there is none.
func (c *clock) next() (event, bool) {
	var first *line
	for _, l := range c.lines {
		if l.n > 0 && (first == nil || l.buf[l.head].at < first.buf[first.head].at) {
			first = l
		}
	}
	if first == nil {
		return event{}, false
	}
	slot := &first.buf[first.head]
	ev := *slot
	*slot = event{}
	first.head = (first.head + 1) & (len(first.buf) - 1)
	first.n--
	c.now = ev.at
	c.events++
	return ev, true
}
