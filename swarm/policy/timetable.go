package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timetableExample stands in every error of ParseTimetable.
const timetableExample = `5M, or "08:00,1M 19:00,off", or "mon-fri 08:00,1M 19:00,off"`

// maxChanges bounds the changes of a Timetable.
const maxChanges = 100

const (
	day  = 24 * 60 // minutes
	week = 7 * day
)

// Timetable is a rate limit that depends on the time of the week. The zero value
// is no limit at any time. A Timetable is never changed, so it may be shared.
type Timetable struct{ changes []change }

// change is a limit that begins at a time of the day, on some days.
type change struct {
	days days
	at   int   // minutes since midnight
	rate int64 // bytes/s; 0: no limit
}

// days are those from one weekday to another, both included; the zero value is all
// of them.
type days struct {
	some     bool
	from, to time.Weekday
}

var dayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Steady returns the Timetable of one limit at all times, in bytes/s; 0: none.
func Steady(rate int64) Timetable {
	if rate <= 0 {
		return Timetable{}
	}
	return Timetable{[]change{{rate: rate}}}
}

// ParseTimetable reads a limit: a rate alone, or words between blanks, each
// HH:MM,RATE: from that time of the day on the limit is RATE, until the next change,
// over midnight too. A day or a range of days (mon, sat-sun) before a time holds for
// the times that follow, up to the next such word; without one they hold every day.
// RATE is "off" for no limit, or what rate reads, in bytes/s.
func ParseTimetable(s string, rate func(string) (int64, error)) (t Timetable, err error) {
	words := strings.Fields(s)
	if len(words) == 0 {
		return t, fmt.Errorf("a limit is missing: %s", timetableExample)
	}
	limit := func(word string) (int64, error) {
		if word == "off" {
			return 0, nil
		}
		n, err := rate(word)
		if err == nil && n < 0 {
			err = fmt.Errorf("%q is less than nothing", word)
		}
		return n, err
	}
	if len(words) == 1 && !strings.ContainsAny(s, ",:") {
		n, err := limit(words[0])
		if err != nil {
			return t, fmt.Errorf("%w; a limit is %s", err, timetableExample)
		}
		return Steady(n), nil
	}
	var on days
	idle := "" // the days that no time has followed yet
	for _, word := range words {
		if d, ok := parseDays(word); ok {
			if idle != "" {
				return t, fmt.Errorf("no time follows %q: %s", idle, timetableExample)
			}
			on, idle = d, word
			continue
		}
		clock, value, ok := strings.Cut(word, ",")
		at, valid := parseClock(clock)
		if !ok || !valid {
			return t, fmt.Errorf("%q is no TIME,RATE and no day: a limit is %s", word, timetableExample)
		}
		n, err := limit(value)
		if err != nil {
			return t, fmt.Errorf("%q: %w; a limit is %s", word, err, timetableExample)
		}
		c := change{on, at, n}
		for _, other := range t.changes {
			if c.collides(other) {
				return t, fmt.Errorf("%q: there is another limit from this time on", word)
			}
		}
		if t.changes = append(t.changes, c); len(t.changes) > maxChanges {
			return t, fmt.Errorf("%q is one change too many: at most %d", word, maxChanges)
		}
		idle = ""
	}
	if idle != "" {
		return t, fmt.Errorf("no time follows %q: a limit is %s", idle, timetableExample)
	}
	return t.reduced(), nil
}

// reduced is the same limit in its simplest form: one that never changes has no
// times.
func (t Timetable) reduced() Timetable {
	for _, c := range t.changes[1:] {
		if c.rate != t.changes[0].rate {
			return t
		}
	}
	return Steady(t.changes[0].rate)
}

// parseClock reads HH:MM as minutes since midnight.
func parseClock(s string) (minutes int, ok bool) {
	hour, minute, ok := strings.Cut(s, ":")
	h, e1 := strconv.ParseUint(hour, 10, 8)
	m, e2 := strconv.ParseUint(minute, 10, 8)
	if !ok || e1 != nil || e2 != nil || len(hour) > 2 || len(minute) != 2 || h > 23 || m > 59 {
		return 0, false
	}
	return int(h)*60 + int(m), true
}

// parseDays reads "mon" or "mon-fri"; a range may cross the end of the week.
func parseDays(s string) (d days, ok bool) {
	first, last, isRange := strings.Cut(strings.ToLower(s), "-")
	if !isRange {
		last = first
	}
	d.some = true
	found := 0
	for i, name := range dayNames {
		if name == first {
			d.from = time.Weekday(i)
			found++
		}
		if name == last {
			d.to = time.Weekday(i)
			found++
		}
	}
	return d, found == 2
}

// has reports whether a weekday is one of them.
func (d days) has(w time.Weekday) bool {
	switch {
	case !d.some:
		return true
	case d.from <= d.to:
		return d.from <= w && w <= d.to
	}
	return w >= d.from || w <= d.to
}

func (d days) String() string {
	if d.from == d.to {
		return dayNames[d.from]
	}
	return dayNames[d.from] + "-" + dayNames[d.to]
}

func (c change) collides(other change) bool {
	if c.at != other.at {
		return false
	}
	for w := range time.Weekday(7) {
		if c.days.has(w) && other.days.has(w) {
			return true
		}
	}
	return false
}

// At returns the limit at a time, by the clock of its location, in bytes/s; 0: none.
func (t Timetable) At(clock time.Time) int64 {
	now := int(clock.Weekday())*day + clock.Hour()*60 + clock.Minute()
	rate, newest := int64(0), week
	for _, c := range t.changes {
		for w := range time.Weekday(7) {
			if !c.days.has(w) {
				continue
			}
			if age := (now - int(w)*day - c.at + week) % week; age < newest {
				rate, newest = c.rate, age
			}
		}
	}
	return rate
}

// Bounds returns the lowest and the highest limit, in bytes/s. The lowest is 0 when
// there is none at some time, the highest when there is none at any.
func (t Timetable) Bounds() (lowest, highest int64) {
	for i, c := range t.changes {
		if i == 0 {
			lowest = c.rate
		}
		lowest, highest = min(lowest, c.rate), max(highest, c.rate)
	}
	return lowest, highest
}

// String returns what ParseTimetable reads as the same limit, rates as whole numbers
// of bytes/s.
func (t Timetable) String() string {
	if len(t.changes) == 0 {
		return "off"
	}
	if len(t.changes) == 1 {
		return strconv.FormatInt(t.changes[0].rate, 10)
	}
	var b strings.Builder
	var on days
	for i, c := range t.changes {
		if i > 0 {
			b.WriteByte(' ')
		}
		if c.days != on {
			on = c.days
			b.WriteString(on.String() + " ")
		}
		rate := "off"
		if c.rate > 0 {
			rate = strconv.FormatInt(c.rate, 10)
		}
		fmt.Fprintf(&b, "%02d:%02d,%s", c.at/60, c.at%60, rate)
	}
	return b.String()
}
