package signing

import (
	"testing"
)

// TestFollowEverySize brings followers of every size to every larger size, over the
// wire format and with a restart in between.
func TestFollowEverySize(t *testing.T) {
	root := testRoot(t)
	for from := range 20 {
		for to := from; to < 34; to++ {
			l := testLog(t, root, testTime, numbered(from)...)
			f := follower(t, root)
			if _, err := f.UpdateHead(MainWriter, updateFor(t, l, 0), testTime); err != nil {
				t.Fatalf("%d: %v", from, err)
			}
			f = restart(t, f)
			for _, text := range numbered(to)[from:] {
				if _, err := l.Append(post(text)); err != nil {
					t.Fatal(err)
				}
			}
			signLog(t, l, testTime.Add(1e9))
			acc, err := f.UpdateHead(MainWriter, updateFor(t, l, int64(from)), testTime)
			if err != nil || !acc.Changed || f.Size(MainWriter) != int64(to) || acc.First != int64(from) || len(acc.Entries) != to-from {
				if to == from && err == nil && acc.Changed && len(acc.Entries) == 0 {
					continue
				}
				t.Fatalf("%d to %d: %+v, %v", from, to, acc, err)
			}
			restart(t, f)
		}
	}
}
