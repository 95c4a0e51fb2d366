package feed

import (
	"fmt"
	"io"
	"maps"
)

// markEvery is how many entries lie between two marks.
const markEvery = 256

// mark is a place in the archive, and the cursor that has all that stands before it.
type mark struct {
	month  int // index in months
	offset int64
	before Cursor
}

// walk calls each with the entries that a cursor may not have, in the order in which they
// came, until it returns false: from the last mark on before which the cursor has all. It
// makes marks where it comes first. The caller holds mu.
func (a *Archive) walk(from Cursor, each func(Entry) bool) error {
	begin := mark{}
	for _, m := range a.marks {
		if !covers(from, m.before) {
			break
		}
		begin = m
	}
	at := mark{month: begin.month, offset: begin.offset, before: maps.Clone(begin.before)}
	passed, more := 0, true
	for ; at.month < len(a.months) && more; at.month, at.offset = at.month+1, 0 {
		start := at.offset
		err := a.read(a.months[at.month], start, func(e Entry, end int64) bool {
			at.before, at.offset = at.before.With(e), start+end
			if passed++; passed%markEvery == 0 && a.beyondMarks(at) {
				a.marks = append(a.marks, mark{at.month, at.offset, maps.Clone(at.before)})
			}
			more = each(e)
			return more
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// covers reports whether a cursor has all that another has.
func covers(c, other Cursor) bool {
	for w, n := range other {
		if c[w] < n {
			return false
		}
	}
	return true
}

// beyondMarks reports whether a place lies behind all marks, and not just behind.
func (a *Archive) beyondMarks(at mark) bool {
	if len(a.marks) == 0 {
		return true
	}
	last := a.marks[len(a.marks)-1]
	return at.month > last.month || at.month == last.month && at.offset > last.offset
}

// read calls each with the entries of a month from an offset on, and where the line of each
// ends behind that.
func (a *Archive) read(month string, offset int64, each func(e Entry, end int64) bool) error {
	f, err := a.fs.Open(a.path(month))
	if err != nil {
		return fmt.Errorf("read %s: %w", a.path(month), err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("read %s: %w", a.path(month), err)
	}
	_, damaged, err := readLines(io.NewSectionReader(f, offset, max(0, size-offset)), func(e Entry, end int64) bool {
		return e.Channel != a.channel || each(e, end)
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", a.path(month), err)
	}
	a.damaged += damaged
	return nil
}
