package feed

import (
	"cmp"
	"slices"
	"time"
)

// Keep is how much of a channel is kept. Zero is no bound; of several bounds each
// holds.
type Keep struct {
	Count int           // entries
	Age   time.Duration // since they were written
	Bytes int64
}

// Held is an entry that is kept so far.
type Held struct {
	Writer string
	Index  int64
	Time   time.Time // when it was written
	Size   int64     // bytes, with what is kept because of it
	Pinned bool      // never dropped, and not counted
}

// Drop returns what is to be dropped of what is held, oldest first: all that is older
// than Age, and of the rest the oldest until Count and Bytes hold. Where the newest
// entries alone have more than Bytes only the first of them that do not fit, and
// everything older, are dropped: what is kept has no holes but pinned ones beyond
// it. An entry of a time still to come counts as of now: it is not kept for longer by
// a clock that was wrong.
func Drop(held []Held, k Keep, now time.Time) []Held {
	held = slices.Clone(held)
	for i := range held {
		if held[i].Time.After(now) {
			held[i].Time = now
		}
	}
	slices.SortStableFunc(held, func(a, b Held) int { // newest first
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Index, a.Index), cmp.Compare(a.Writer, b.Writer))
	})
	var drop []Held
	var count int
	var bytes int64
	full := false
	for _, h := range held {
		if h.Pinned {
			continue
		}
		full = full || k.Count > 0 && count >= k.Count ||
			k.Bytes > 0 && h.Size > k.Bytes-bytes ||
			k.Age > 0 && now.Sub(h.Time) > k.Age
		if full {
			drop = append(drop, h)
			continue
		}
		count++
		bytes += max(h.Size, 0)
	}
	slices.Reverse(drop)
	return drop
}
