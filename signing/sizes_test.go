package signing

import (
	"bytes"
	"compress/flate"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSizes holds what travels, and what is kept, to what the design has measured: nothing is
// more than a tenth larger. A post has a title of 40 characters and the hash of a torrent.
// What a name or a date of other length changes is within that.
func TestSizes(t *testing.T) {
	var all []sizeRow
	all = append(all, headSizes(t)...)
	all = append(all, newsSizes(t)...)
	all = append(all, farSizes(t)...)
	all = append(all, documentSizes(t)...)
	all = append(all, proofSizes(t)...)
	for _, s := range all {
		t.Logf("%-52s %6d bytes, designed %6d: %+.1f %%", s.what, s.is, s.was, 100*(float64(s.is)/float64(s.was)-1))
		if 10*s.is > 11*s.was {
			t.Errorf("%s: %d bytes, a tenth more than %d", s.what, s.is, s.was)
		}
	}
}

type sizeRow struct {
	what    string
	is, was int
}

// sizedPost is an entry of the main writer after a grant, as publishing makes them.
func sizedPost() []byte {
	return fmt.Appendf(nil, "d1:^d1:gi9e1:pi1ee1:i32:%s1:n40:%s1:ti1766400120000e1:y5:mediae", strings.Repeat("h", 32), strings.Repeat("t", 40))
}

// sizedLog has so many posts.
func sizedLog(t *testing.T, root *Root, size int) *Log {
	t.Helper()
	l := testLog(t, root, testTime)
	for range size {
		if _, err := l.Append(sizedPost()); err != nil {
			t.Fatal(err)
		}
	}
	signLog(t, l, testTime.Add(time.Minute))
	return l
}

func headSizes(t *testing.T) (all []sizeRow) {
	raw := testLog(t, testRoot(t), testTime, numbered(3)...).Head().Raw
	for signatures := 1; signatures <= 5; signatures++ {
		if was := map[int]int{1: 258, 2: 417, 3: 575, 5: 891}[signatures]; was > 0 {
			all = append(all, sizeRow{fmt.Sprint("head, signatures: ", signatures), len(raw), was})
		}
		var err error
		if raw, err = CosignHead(raw, Origin(testRoot(t).ID(), MainWriter), seedKey(byte(80+signatures)), testTime); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func newsSizes(t *testing.T) []sizeRow {
	root := testRoot(t)
	l := sizedLog(t, root, 10_000)
	news := len(updateFor(t, l, 9999).Bytes())
	if news > 450 {
		t.Errorf("a new post costs %d bytes, at most 450 are promised", news)
	}
	// A segment of a live broadcast: duration, number, pieces root, size.
	if _, err := l.Append(fmt.Appendf(nil, "d1:di2000e1:ni1234e2:pr32:%s1:si654321e1:ti1766400120000e1:y3:sege", strings.Repeat("p", 32))); err != nil {
		t.Fatal(err)
	}
	signLog(t, l, testTime.Add(2*time.Minute))
	return []sizeRow{
		{"a new post, for who is up to date", news, 402}, {"a segment", len(updateFor(t, l, 10_000).Bytes()), 373},
		{"nothing new", len(updateFor(t, l, 10_001).Bytes()), 273},
	}
}

// farSizes are those of a log of 131 071 entries, below 131 072 the size with the longest range: 17 hashes.
func farSizes(t *testing.T) []sizeRow {
	root := oneKeyRoot(t)
	far := sizedLog(t, root, 131_071)
	item, err := far.UpdateWithin(0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(item.Entries) != 1 {
		t.Errorf("an item of the DHT carries %d entries", len(item.Entries))
	}
	f := follower(t, root)
	if _, err := f.UpdateHead(MainWriter, item, testTime.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	f.HandedOn(MainWriter, far.Size())
	away, err := far.Range(99_000, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	worst := 0
	for from := int64(0); from < 130_000; from += 7 {
		between, err := far.Range(from, from+1000)
		if err != nil {
			t.Fatal(err)
		}
		worst = max(worst, len(between))
	}
	newest, err := far.Page(131_071-50, 50, 131_071)
	if err != nil {
		t.Fatal(err)
	}
	old, err := far.Page(70_000, 1, 131_071)
	if err != nil {
		t.Fatal(err)
	}
	path, err := auditPath(pageNodes(t, old), 70_000, 131_071)
	if err != nil {
		t.Fatal(err)
	}
	return []sizeRow{
		{"stranger at 131 071 entries, item of the DHT", len(item.Bytes()), 978},
		{"stranger, to the newest post: root and item", len(root.Bytes()) + len(item.Bytes()), 2000},
		{"stranger, the 50 newest", len(newest.Bytes()), 6600},
		{"away from 99 000 to 100 000: the range", 32 * len(away), 192}, {"away for 1000 entries: the longest range", 32 * worst, 672},
		{"any old post: the way to the root", 32 * len(path), 544},
		{"follower's state beside root documents", len(f.Bytes()) - len(root.Bytes()), 258 + 17*32 + len(sizedPost())},
	}
}

func pageNodes(t *testing.T, p Page) []node {
	t.Helper()
	nodes, err := p.nodes()
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// oneKeyRoot is the smallest root document: one key for everything, and none for the DHT.
func oneKeyRoot(t *testing.T) *Root {
	t.Helper()
	p := testParams()
	p.Root, p.DHT, p.MaxAge = oneKey(onlineKey), nil, nil
	return newRoot(t, p, onlineKey)
}

// documentSizes are those of root documents, also deflated, which is how the DHT has them, and of
// targets documents with writers of one key and one path each.
func documentSizes(t *testing.T) (all []sizeRow) {
	root := func(what string, of, need, online, was, deflated int) {
		p := testParams()
		p.Root, p.Timestamp = RoleParams{Threshold: need}, RoleParams{Threshold: 1}
		var signers []ed25519.PrivateKey
		for i := range of {
			p.Root.Keys = append(p.Root.Keys, public(seedKey(byte(100+i))))
			signers = append(signers, seedKey(byte(100+i)))
		}
		for i := range online {
			p.Timestamp.Keys = append(p.Timestamp.Keys, public(seedKey(byte(120+i))))
		}
		p.Targets = p.Timestamp
		raw := newRoot(t, p, signers[:need]...).Bytes()
		all = append(all, sizeRow{"root: " + what, len(raw), was}, sizeRow{"  deflated", deflatedSize(t, raw), deflated})
	}
	one := oneKeyRoot(t).Bytes()
	all = append(all, sizeRow{"root: one key", len(one), 994}, sizeRow{"  deflated", deflatedSize(t, one), 399})
	root("1 root key, 1 online key", 1, 1, 1, 1285, 547)
	root("2 of 3 root keys, 1 online key", 3, 2, 1, 2371, 881)
	root("3 of 5 root keys, 3 online keys", 5, 3, 3, 4115, 1353)
	for writers, was := range map[int]int{3: 1407, 8: 3088} {
		p := TargetsParams{Expires: testExpiry}
		for i := range writers {
			p.Writers = append(p.Writers, WriterParams{Name: fmt.Sprint("writer", i), Role: oneKey(seedKey(byte(140 + i))), Paths: []string{"docs/*"}})
		}
		doc, err := NewTargets(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := doc.Sign(onlineKey); err != nil {
			t.Fatal(err)
		}
		all = append(all, sizeRow{fmt.Sprint("targets document, writers: ", writers), len(doc.Bytes()), was})
	}
	return all
}

func deflatedSize(t *testing.T, raw []byte) int {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}

// proofSizes is the proof of a fork between two heads.
func proofSizes(t *testing.T) []sizeRow {
	root := testRoot(t)
	f := follower(t, root)
	if _, err := f.UpdateHead(MainWriter, updateFor(t, testLog(t, root, testTime, numbered(12)...), 0), testTime); err != nil {
		t.Fatal(err)
	}
	other := testLog(t, root, testTime, append([]string{"other"}, numbered(15)...)...)
	if _, err := f.UpdateHead(MainWriter, updateFor(t, other, 0), testTime); err == nil {
		t.Fatal("no fork")
	}
	return []sizeRow{{"evidence of a fork, 12 and 16 entries", len(f.Fork(MainWriter).Bytes()), 768}}
}
