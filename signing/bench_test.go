package signing

import "testing"

// BenchmarkUpdateHead is a follower of 100 000 entries who receives one more.
func BenchmarkUpdateHead(b *testing.B) {
	root := testRoot(b)
	l := testLog(b, root, testTime, numbered(100_000)...)
	f := follower(b, root)
	if _, err := f.UpdateHead(MainWriter, updateFor(b, l, 0), testTime); err != nil {
		b.Fatal(err)
	}
	if _, err := l.Append(post("one more")); err != nil {
		b.Fatal(err)
	}
	signLog(b, l, testTime)
	state, u := f.Bytes(), updateFor(b, l, 100_000)
	b.ReportMetric(float64(len(u.Bytes())), "update-bytes")
	b.ReportMetric(float64(len(state)), "state-bytes")
	for b.Loop() {
		c := copyOf(f)
		if _, err := c.UpdateHead(MainWriter, u, testTime); err != nil {
			b.Fatal(err)
		}
	}
}
