package feed

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDrop(t *testing.T) {
	day := 24 * time.Hour
	held := func(sizes ...int64) []Held { // one a day, the last one now; negative ones are pinned
		var out []Held
		for i, n := range sizes {
			out = append(out, Held{Writer: "m", Index: int64(i), Time: noon.Add(-day * time.Duration(len(sizes)-1-i)), Size: max(n, -n), Pinned: n < 0})
		}
		return out
	}
	for _, tt := range []struct {
		name string
		held []Held
		k    Keep
		want string
	}{
		{"nothing", nil, Keep{Count: 1}, ""},
		{"no bound", held(5, 5, 5), Keep{}, ""},
		{"count", held(5, 5, 5), Keep{Count: 2}, "0"},
		{"count of one", held(5, 5, 5), Keep{Count: 1}, "0 1"},
		{"pinned does not count", held(5, -5, 5, 5), Keep{Count: 2}, "0"},
		{"pinned is old", held(-5, 5, 5), Keep{Age: day / 2}, "1"},
		{"age", held(5, 5, 5), Keep{Age: day}, "0"},
		{"age to the nanosecond", held(5, 5), Keep{Age: day - 1}, "0"},
		{"bytes", held(5, 5, 5), Keep{Bytes: 10}, "0"},
		{"bytes, not quite", held(5, 5, 5), Keep{Bytes: 9}, "0 1"},
		{"a large one, and all before it", held(1, 100, 1), Keep{Bytes: 50}, "0 1"},
		{"the newest is too large", held(1, 100), Keep{Bytes: 50}, "0 1"},
		{"pinned is large", held(1, -100, 1), Keep{Bytes: 2}, ""},
		{"all bounds", held(1, 1, 1, 1, 1), Keep{Count: 4, Age: 2 * day, Bytes: 100}, "0 1"},
		{"large sizes", held(math.MaxInt64, math.MaxInt64), Keep{Bytes: math.MaxInt64}, "0"},
	} {
		var got []string
		for _, h := range Drop(tt.held, tt.k, noon) {
			got = append(got, fmt.Sprint(h.Index))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: dropped %v, want %q", tt.name, got, tt.want)
		}
	}
	future := []Held{{Writer: "m", Index: 0, Time: noon.AddDate(100, 0, 0)}, {Writer: "m", Index: 1, Time: noon}}
	if got := Drop(future, Keep{Count: 1}, noon); len(got) != 1 || got[0].Index != 0 {
		t.Errorf("of a time to come: %+v", got)
	}
	if got := Drop(future, Keep{Age: day}, noon.Add(3*day)); len(got) != 1 || got[0].Index != 1 {
		t.Errorf("and later: %+v", got)
	}
}

// TestDropHolds checks for any entries that the bounds hold afterwards, that nothing
// pinned goes, that no dropped entry is newer than a kept one, and that there is
// nothing more to drop.
func TestDropHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := Keep{Count: rapid.IntRange(0, 5).Draw(t, "count"), Age: time.Duration(rapid.IntRange(0, 10).Draw(t, "age")), Bytes: rapid.Int64Range(0, 20).Draw(t, "bytes")}
		var held []Held
		for i := range rapid.IntRange(0, 12).Draw(t, "n") {
			held = append(held, Held{Writer: "m", Index: int64(i), Time: noon.Add(-time.Duration(rapid.IntRange(0, 20).Draw(t, "old"))), Size: rapid.Int64Range(0, 9).Draw(t, "size"), Pinned: rapid.Bool().Draw(t, "pinned")})
		}
		dropped := make(map[int64]bool)
		newest := time.Time{}
		for _, h := range Drop(held, k, noon) {
			if h.Pinned || dropped[h.Index] {
				t.Fatalf("dropped %+v", h)
			}
			dropped[h.Index] = true
			if h.Time.After(newest) {
				newest = h.Time
			}
		}
		var rest []Held
		count, bytes := 0, int64(0)
		for _, h := range held {
			if dropped[h.Index] {
				continue
			}
			rest = append(rest, h)
			if h.Pinned {
				continue
			}
			count, bytes = count+1, bytes+h.Size
			if h.Time.Before(newest) || k.Age > 0 && noon.Sub(h.Time) > k.Age {
				t.Fatalf("kept %+v, dropped one of %v", h, newest)
			}
		}
		if k.Count > 0 && count > k.Count || k.Bytes > 0 && bytes > k.Bytes {
			t.Fatalf("kept %d entries, %d bytes of %+v", count, bytes, k)
		}
		if again := Drop(rest, k, noon); !reflect.DeepEqual(again, []Held(nil)) {
			t.Fatalf("and again: %+v", again)
		}
	})
}
