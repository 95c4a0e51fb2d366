package feed

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Tail is where the newest entries of an archive begin.
type Tail struct {
	From Cursor // from it on a reader gets them
	Held int    // how many there are
	// Lowest is the lowest index that is archived of each writer. Where there are as many
	// entries as were asked for, it is only that of the writers who have one among them.
	Lowest map[string]int64
}

// TailOptions say what a tail is of.
type TailOptions struct {
	N     int       // so many entries, the newest
	Since time.Time // and all that were written then or later; zero: no more
	// Wanted tells which entries count; nil: all.
	Wanted func(Entry) bool
	// Aside tells which entries were kept longer than those around them: behind a hole they
	// do not count, so that what is missing can be had from elsewhere, and they with it.
	// nil: none.
	Aside func(Entry) bool
}

// Tail finds where the newest entries begin. It holds none of them, and where there are
// enough at the end, and no time is given, it reads no more than that.
func (a *Archive) Tail(o TailOptions) (Tail, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := Tail{From: maps.Clone(a.position), Lowest: make(map[string]int64)}
	if t.From == nil {
		t.From = make(Cursor)
	}
	err := a.back(func(e Entry) bool {
		if t.Held >= o.N && o.Since.IsZero() {
			return false
		}
		if low, ok := t.Lowest[e.Writer]; ok && e.Index < low-1 && o.Aside != nil && o.Aside(e) {
			return true
		}
		t.Lowest[e.Writer] = e.Index
		if o.Wanted != nil && !o.Wanted(e) {
			return true
		}
		if t.Held < o.N || !e.Said().Before(o.Since) {
			t.From[e.Writer] = min(t.From[e.Writer], e.Index)
		}
		t.Held++
		return true
	})
	return t, err
}

// Newest returns the n entries that came last, each once, in the order in which they
// came. It reads no more than the end of the archive.
func (a *Archive) Newest(n int) ([]Entry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n <= 0 {
		return nil, nil
	}
	var out []Entry
	err := a.back(func(e Entry) bool {
		out = append(out, e)
		return len(out) < n
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(out)
	return out, nil
}

// back calls each with all entries, each once, that which came last first, until it returns
// false. The caller holds mu.
func (a *Archive) back(each func(Entry) bool) error {
	// Of each writer they came in order, but for those that came again: after a crash, or
	// since others have taken their place. So the lowest that was seen tells all.
	seen := make(map[string]int64)
	more := true
	for i := len(a.months) - 1; i >= 0 && more; i-- {
		err := a.backMonth(i, func(e Entry) bool {
			if e.Channel != a.channel {
				return true
			}
			if low, ok := seen[e.Writer]; ok && e.Index >= low {
				return true
			}
			seen[e.Writer] = e.Index
			more = each(e)
			return more
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) backMonth(i int, each func(Entry) bool) error {
	path := a.path(a.months[i])
	f, err := a.fs.Open(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if i == len(a.months)-1 {
		size = min(size, a.size)
	}
	damaged, err := readBack(f, size, each)
	a.damaged += damaged
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// readBack reads the complete lines before an offset, the last one first, until each has
// enough, and returns how many could not be read.
func readBack(r io.ReaderAt, size int64, each func(Entry) bool) (damaged int, err error) {
	var line []byte // the end of the line that is being read, at most maxLine+1 bytes of it
	begun := false  // the newline behind it was found
	more := true
	emit := func() {
		e, err := ParseLine(line)
		if err != nil {
			damaged++
		} else {
			more = each(e)
		}
	}
	chunk := make([]byte, min(readChunk, size))
	for at := size; at > 0; {
		part := chunk[:min(int64(len(chunk)), at)]
		at -= int64(len(part))
		if n, err := r.ReadAt(part, at); n < len(part) {
			return damaged, err
		}
		for {
			i := bytes.LastIndexByte(part, '\n')
			if begun {
				piece := part[i+1:]
				piece = piece[max(0, len(piece)-(maxLine+1-len(line))):] // of a line that is too long the rest says nothing
				line = slices.Insert(line, 0, piece...)
			}
			if i < 0 {
				break
			}
			if begun {
				if emit(); !more {
					return damaged, nil
				}
			}
			begun, line, part = true, line[:0], part[:i]
		}
	}
	if begun {
		emit()
	}
	return damaged, nil
}
