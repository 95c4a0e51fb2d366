package feed

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing/durable"
)

// counting counts the bytes that are read.
type counting struct {
	durable.FS
	read *int64
}

func (c counting) Open(path string) (durable.File, error) {
	f, err := c.FS.Open(path)
	return countingFile{f, c.read}, err
}

type countingFile struct {
	durable.File
	read *int64
}

func (f countingFile) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	*f.read += int64(n)
	return n, err
}

// TestTail looks at the end of a long archive: nothing else is read for that.
func TestTail(t *testing.T) {
	read := int64(0)
	dir := t.TempDir()
	a := open(t, counting{durable.OS{}, &read}, dir)
	const months, each = 4, 3000
	for m := range months {
		all := numbered(t, m*each, each)
		for i := range all {
			all[i].Post.Head.Time = noon.Add(time.Duration(m*each+i) * time.Second).UnixMilli()
			all[i].Post.Body = strings.Repeat("x", 300)
			if all[i].Index%100 == 7 {
				all[i].Post.Tags = []string{"rare"}
			}
		}
		add(t, a, noon.AddDate(0, m, 0), all...)
	}
	rare := func(e Entry) bool { return slices.Contains(e.Post.Tags, "rare") }
	last := int64(months * each)
	for _, tt := range []struct {
		n      int
		since  time.Time
		wanted func(Entry) bool
		from   int64
		held   int
		lowest int64 // -1: of nobody
		most   int64 // bytes that are read
	}{
		{0, time.Time{}, nil, last, 0, -1, 1 << 20},
		{50, time.Time{}, nil, last - 50, 50, last - 50, 1 << 20},
		{3500, time.Time{}, nil, last - 3500, 3500, last - 3500, 3 << 20},
		{3, time.Time{}, rare, last - 293, 3, last - 293, 1 << 20},
		{1 << 20, time.Time{}, nil, 0, int(last), 0, 1 << 30},
		{1 << 20, time.Time{}, rare, 7, int(last / 100), 0, 1 << 30},
		{2, noon.Add(5000 * time.Second), nil, 5000, int(last), 0, 1 << 30},
		{20, noon.AddDate(1, 0, 0), nil, last - 20, int(last), 0, 1 << 30},
	} {
		read = 0
		got, err := a.Tail(TailOptions{N: tt.n, Since: tt.since, Wanted: tt.wanted})
		lowest, any := got.Lowest["m"]
		if !any {
			lowest = -1
		}
		if err != nil || got.From["m"] != tt.from || got.Held != tt.held || lowest != tt.lowest || read > tt.most {
			t.Errorf("the newest %d since %v: %+v, %v, by reading %d bytes; want from %d, held %d, lowest %d", tt.n, tt.since, got, err, read, tt.from, tt.held, tt.lowest)
		}
	}
	// Of a few that were kept longer than the rest it is not known what was between them.
	b := open(t, durable.OS{}, t.TempDir())
	kept := numbered(t, 0, 10)
	add(t, b, noon, kept[3], kept[7], kept[8], kept[9])
	pinned := func(e Entry) bool { return e.Index == 3 || e.Index == 7 }
	if got, err := b.Tail(TailOptions{N: 6, Aside: pinned}); err != nil || got.From["m"] != 7 || got.Lowest["m"] != 7 || got.Held != 3 {
		t.Errorf("behind a hole: %+v, %v", got, err)
	}
	if got, err := b.Tail(TailOptions{N: 6}); err != nil || got.From["m"] != 3 || got.Held != 4 {
		t.Errorf("all that is there: %+v, %v", got, err)
	}
	read = 0
	if got, err := a.Newest(50); err != nil || len(got) != 50 || got[0].Index != last-50 || got[49].Index != last-1 || read > 1<<20 {
		t.Errorf("the newest 50 are %s, %v, by reading %d bytes", indices(got), err, read)
	}
}

// TestTailTwice: what came again after a crash is there once, and what stands in the place of
// entries that were taken back is what counts.
func TestTailTwice(t *testing.T) {
	a := open(t, durable.OS{}, t.TempDir())
	add(t, a, noon, numbered(t, 0, 6)...)
	add(t, a, noon, numbered(t, 4, 4)...)
	others := numbered(t, 5, 2)
	for i := range others {
		others[i].Post.Title = "in its place"
	}
	add(t, a, noon, others...)
	got, err := a.Newest(4)
	if err != nil || indices(got) != "m/3 m/4 m/5 m/6" || got[2].Post.Title != "in its place" {
		t.Errorf("%s, %v", indices(got), err)
	}
}

// FuzzReadBack: what is read backwards is what is read forwards.
func FuzzReadBack(f *testing.F) {
	var lines []byte
	for _, e := range numbered(f, 0, 3) {
		lines = append(append(lines, e.Line()...), '\n')
	}
	f.Add(lines, 0)
	f.Add(lines, readChunk-100)
	f.Add(append(lines, "torn"...), readChunk-300)
	f.Add([]byte("\n\n{}\n"), maxLine)
	f.Add(append([]byte("\n"), lines...), 2*readChunk)
	f.Fuzz(func(t *testing.T, b []byte, pad int) {
		if pad > 0 && pad < 1<<20 { // a line that is too long, or moves the others to where a part ends
			b = slices.Concat(b, bytes.Repeat([]byte("x"), pad), []byte("\n"), b)
		}
		var forth, back []Entry
		end, damaged, err := readLines(bytes.NewReader(b), func(e Entry, _ int64) bool { forth = append(forth, e); return true })
		if err != nil {
			t.Fatal(err)
		}
		also, err := readBack(bytes.NewReader(b), int64(len(b)), func(e Entry) bool { back = append(back, e); return true })
		slices.Reverse(back)
		if err != nil || damaged != also || !reflect.DeepEqual(forth, back) {
			t.Fatalf("%d of %d bytes: forwards %d entries and %d damaged, backwards %d and %d, %v", end, len(b), len(forth), damaged, len(back), also, err)
		}
	})
}

// TestPruneLarge drops from a month of many entries; what stays is as it was.
func TestPruneLarge(t *testing.T) {
	dir := t.TempDir()
	a := open(t, durable.OS{}, dir)
	all := numbered(t, 0, 5000)
	for i := range all {
		all[i].Post.Body = strings.Repeat(fmt.Sprint(i, " "), 20)
	}
	add(t, a, noon, all...)
	if n, err := a.Prune(Keep{Count: 1200}, nil, noon); err != nil || n != 3800 {
		t.Fatalf("%d were dropped, %v", n, err)
	}
	gone := Entry{Channel: channel(t).ID, Writer: "m", Index: 5000, Kind: manifest.KindDelete, Withdraws: 4999, Post: manifest.Post{Head: manifest.Header{Time: noon.UnixMilli()}}}
	add(t, a, noon, gone)
	if n, err := a.Prune(Keep{}, nil, noon); err != nil || n != 1 {
		t.Fatalf("%d were dropped, %v", n, err)
	}
	for _, a := range []*Archive{a, open(t, durable.OS{}, dir)} {
		got, err := a.Newest(5000)
		if err != nil || !reflect.DeepEqual(got, append(slices.Clone(all[3800:4999]), gone)) {
			t.Fatalf("%d are left: %v", len(got), err)
		}
	}
}
