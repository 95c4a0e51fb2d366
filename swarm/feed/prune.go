package feed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"handful/signing/durable"
)

// Prune drops what Keep does not keep; see [Drop]. An entry with one of the tags of pin
// is pinned. A post that is withdrawn by an entry that is kept is dropped whatever its
// age: its writer has asked for that. It returns how many entries were dropped. Whenever
// it is interrupted, each month is as before or without what was dropped.
func (a *Archive) Prune(k Keep, pin []string, now time.Time) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	drop := maps.Clone(a.gone)
	if k != (Keep{}) {
		if err := a.beyond(drop, k, pin, now); err != nil {
			return 0, fmt.Errorf("prune archive: %w", err)
		}
	}
	// The newest entry of each writer stays, since the position is read from it.
	maps.DeleteFunc(drop, func(at key, _ bool) bool { return at.index+1 >= a.position[at.writer] })
	if len(drop) == 0 {
		return 0, nil
	}
	dropped := 0
	a.marks = nil // they are of files that are written anew
	for i, m := range a.months {
		n, err := a.rewrite(m, i == len(a.months)-1, func(e Entry) bool { return drop[key{e.Writer, e.Index}] })
		if err != nil {
			return dropped, fmt.Errorf("prune archive: %w", err)
		}
		dropped += n
	}
	return dropped, nil
}

// TakeBack drops the entries of a writer from an index on: they were taken back, and others
// take their places. The position of the writer is where the rest ends, and what they withdrew
// is not withdrawn. It returns how many lines were dropped. Whenever it is interrupted, each
// month is as before or without them.
func (a *Archive) TakeBack(writer string, from int64) (dropped int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.position[writer] <= from {
		return 0, nil // there are none
	}
	a.marks = nil // they are of files that are written anew
	for i, m := range a.months {
		n, err := a.rewrite(m, i == len(a.months)-1, func(e Entry) bool { return e.Writer == writer && e.Index >= from })
		if err != nil {
			return dropped, fmt.Errorf("take entries back from the archive: %w", err)
		}
		dropped += n
	}
	rest := &Archive{position: maps.Clone(a.position), gone: maps.Clone(a.gone)}
	delete(rest.position, writer)
	maps.DeleteFunc(rest.gone, func(at key, _ bool) bool { return at.writer == writer })
	if err := a.each(rest.note); err != nil {
		return dropped, fmt.Errorf("take entries back from the archive: %w", err)
	}
	a.position, a.gone = rest.position, rest.gone
	return dropped, nil
}

// beyond adds to what is dropped what is not to be kept.
func (a *Archive) beyond(drop map[key]bool, k Keep, pin []string, now time.Time) error {
	var held []Held
	at := make(map[key]int)          // in held
	names := make(map[string]string) // one copy of each
	err := a.each(func(e Entry) {
		place := key{e.Writer, e.Index}
		if drop[place] {
			return
		}
		size := int64(len(e.Line()) + 1)
		if i, again := at[place]; again {
			held[i].Size += size
			return
		}
		if _, known := names[e.Writer]; !known {
			names[e.Writer] = e.Writer
		}
		place.writer = names[e.Writer]
		at[place] = len(held)
		pinned := slices.ContainsFunc(e.Post.Tags, func(tag string) bool { return slices.Contains(pin, tag) })
		held = append(held, Held{Writer: place.writer, Index: e.Index, Time: e.Said(), Size: size, Pinned: pinned})
	})
	for _, h := range Drop(held, k, now) {
		drop[key{h.Writer, h.Index}] = true
	}
	return err
}

// each calls f with all entries.
func (a *Archive) each(f func(Entry)) error {
	for _, m := range a.months {
		if _, err := a.scan(m, f); err != nil {
			return err
		}
	}
	return nil
}

// rewrite writes a month without what is dropped, if any of that is there. Lines that cannot
// be read stay: who wrote them may want them. The caller holds mu.
func (a *Archive) rewrite(month string, last bool, drop func(Entry) bool) (dropped int, err error) {
	f, err := a.fs.Open(a.path(month))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	if last {
		size = min(size, a.size)
	}
	dropping := func(line []byte) bool {
		e, err := ParseLine(line)
		return err == nil && drop(e)
	}
	err = rawLines(f, size, func(line []byte) error {
		if dropping(line) {
			dropped++
		}
		return nil
	})
	if err != nil || dropped == 0 {
		return 0, err
	}
	left := int64(0)
	err = durable.Rewrite(a.fs, a.path(month), func(w io.Writer) error {
		return rawLines(f, size, func(line []byte) error {
			if dropping(line) {
				return nil
			}
			left += int64(len(line)) + 1
			_, err := w.Write(append(line, '\n'))
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	if last {
		a.size = left
	}
	return dropped, nil
}

// rawLines calls each with every complete line, without its newline, until it fails.
func rawLines(r io.ReaderAt, size int64, each func([]byte) error) error {
	lines := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), readChunk)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what follows the last newline was cut off by a crash
		}
		if err != nil {
			return err
		}
		if err := each(line[:len(line)-1]); err != nil {
			return err
		}
	}
}
