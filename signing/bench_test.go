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
	for b.Loop() {
		c := copyOf(f)
		if _, err := c.UpdateHead(MainWriter, u, testTime); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(u.Bytes())), "update-bytes")
	b.ReportMetric(float64(len(state)), "state-bytes")
}

// BenchmarkNextRoot verifies a root document that two sets of keys have signed.
func BenchmarkNextRoot(b *testing.B) {
	first := organisation(b)
	second, err := first.Edit(everything(b))
	if err != nil {
		b.Fatal(err)
	}
	if err := second.Sign(seedKey(41)); err != nil {
		b.Fatal(err)
	}
	for _, k := range []byte{47, 48} {
		if err := second.Sign(seedKey(k)); err != nil {
			b.Fatal(err)
		}
	}
	if err := second.Sign(p256(b, 43)); err != nil {
		b.Fatal(err)
	}
	raw := second.Bytes()
	for b.Loop() {
		if _, err := first.Next(raw); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(raw)), "root-bytes")
}

// BenchmarkParseTrusted reads and verifies the state of a follower of two writers.
func BenchmarkParseTrusted(b *testing.B) {
	f, _, _ := delegatedFollower(b)
	state := f.Bytes()
	for b.Loop() {
		if _, err := ParseTrusted(state); err != nil {
			b.Fatal(err)
		}
	}
}
