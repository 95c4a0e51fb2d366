package feed

import (
	"bytes"
	"fmt"
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
	held, gone, err := a.holdings(pin)
	if err != nil {
		return 0, fmt.Errorf("prune archive: %w", err)
	}
	drop := make(map[key]bool)
	held = slices.DeleteFunc(held, func(h Held) bool {
		at := key{h.Writer, h.Index}
		drop[at] = gone[at]
		return gone[at]
	})
	for _, h := range Drop(held, k, now) {
		drop[key{h.Writer, h.Index}] = true
	}
	dropped := 0
	a.marks = nil // they are of files that are written anew
	for i, m := range a.months {
		n, err := a.rewrite(m, i == len(a.months)-1, drop)
		if err != nil {
			return dropped, fmt.Errorf("prune archive: %w", err)
		}
		dropped += n
	}
	return dropped, nil
}

// holdings returns what is archived, each entry once, and what is withdrawn.
func (a *Archive) holdings(pin []string) (held []Held, gone map[key]bool, err error) {
	at := make(map[key]int) // in held
	gone = make(map[key]bool)
	for _, m := range a.months {
		_, err := a.scan(m, func(e Entry) {
			size := int64(len(e.Line()) + 1)
			k := key{e.Writer, e.Index}
			if i, again := at[k]; again {
				held[i].Size += size
				return
			}
			at[k] = len(held)
			pinned := slices.ContainsFunc(e.Post.Tags, func(tag string) bool { return slices.Contains(pin, tag) })
			held = append(held, Held{Writer: e.Writer, Index: e.Index, Time: e.Said(), Size: size, Pinned: pinned})
			if e.Withdrawn() {
				gone[key{e.Writer, e.Withdraws}] = true
			}
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return held, gone, nil
}

// rewrite writes a month without what is dropped. Lines that cannot be read stay: who
// wrote them may want them. The newest entry of each writer stays as well, since the
// position is read from it. The caller holds mu.
func (a *Archive) rewrite(month string, last bool, drop map[key]bool) (dropped int, err error) {
	b, err := durable.ReadFile(a.fs, a.path(month), maxMonth)
	if err != nil {
		return 0, err
	}
	var out bytes.Buffer
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // cut off by a crash
		}
		e, err := ParseLine(line[:len(line)-1])
		if err == nil && drop[key{e.Writer, e.Index}] && e.Index+1 < a.position[e.Writer] {
			dropped++
			continue
		}
		out.Write(line)
	}
	if dropped == 0 {
		return 0, nil
	}
	if err := durable.WriteFile(a.fs, a.path(month), out.Bytes()); err != nil {
		return 0, err
	}
	if last {
		a.size = int64(out.Len())
	}
	return dropped, nil
}

// maxMonth is how large a month's file may be to be pruned.
const maxMonth = 1 << 30
