package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"handful/manifest"
	"handful/signing"
	"handful/swarm/bundle"
)

// bundleLog is a log as a bundle needs it, from an index on.
type bundleLog struct {
	mirrorLog
	first int64
}

func (l bundleLog) News() (signing.Update, bool) {
	u, err := l.UpdateWithin(0, 2<<10)
	return u, err == nil
}

func (l bundleLog) First() int64 { return l.first }
func (l bundleLog) Leaves(first, count int64) (out [][32]byte, err error) {
	for i := first; i < first+count; i++ {
		h, err := l.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
		if err != nil {
			return nil, err
		}
		out = append(out, h[0])
	}
	return out, nil
}

func (l bundleLog) Page(first, count int64) (signing.Page, error) {
	return l.Log.Page(first, count, l.Head().Size)
}

// item is a torrent that an entry names, and its bytes.
type item struct {
	index int64
	t     *manifest.Torrent
	data  []byte
}

func (i item) ReadPiece(p []byte, piece int, off int64) (int, error) {
	return copy(p, i.data[int64(piece)*i.t.PieceLength+off:]), nil
}

// publishItem appends an entry that names a torrent of one file.
func publishItem(t testing.TB, l mirrorLog, name string, size int) item {
	t.Helper()
	data := bytes.Repeat([]byte(name), size/len(name))
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	m, _, err := manifest.Build(t.Context(), []string{path}, manifest.BuildOptions{PieceLength: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	e := manifest.Media{Head: manifest.Header{Time: testTime.UnixMilli()}, InfoSum: m.InfoSum(), Name: m.Name, Size: m.Length()}
	e.InfoHashV1, e.HasV1 = m.InfoHashV1()
	index, err := l.Append(e.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.SignHead(seedKey(2), testTime); err != nil {
		t.Fatal(err)
	}
	return item{index, m, data}
}

// bundled is the bundle of a channel.
func bundled(t testing.TB, root *signing.Root, l bundleLog, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := bundle.NewWriter(&b, root.ID())
	if err == nil {
		err = w.PutNews(bundle.News{Roots: [][]byte{root.Bytes()}, Writers: map[string]bundle.Log{signing.MainWriter: l}})
	}
	for _, it := range items {
		var p signing.Page
		if err == nil {
			p, err = l.Page(it.index, 1)
		}
		if err == nil {
			err = w.PutItem(signing.MainWriter, it.index, p, it.t, it, nil)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shelf is a sink that keeps what it is given.
type shelf struct {
	entries map[int64][]byte
	items   map[int64][]byte
}

func (s *shelf) Entries(_ context.Context, _ string, first int64, entries [][]byte) error {
	for i, e := range entries {
		s.entries[first+int64(i)] = e
	}
	return nil
}

func (s *shelf) Item(_ context.Context, found Found, t *manifest.Torrent, pieces io.Reader, size int64) error {
	var all []byte
	err := bundle.EachPiece(t, pieces, size, func(i int, b []byte) error {
		if t.Check(i, b) == manifest.Bad {
			return fmt.Errorf("piece %d: %w", i, manifest.ErrMismatch)
		}
		all = append(all, b...)
		return nil
	})
	if err == nil {
		s.items[found.Index] = all
	}
	return err
}

func takeBundle(t testing.TB, f *Follower, b []byte) (*shelf, error) {
	t.Helper()
	s := &shelf{entries: map[int64][]byte{}, items: map[int64][]byte{}}
	r, err := bundle.NewReader(bytes.NewReader(b))
	if err != nil {
		return s, err
	}
	return s, f.TakeBundle(t.Context(), r, s)
}

// TestBundle: a stranger, and everybody who was there before, gets from a bundle to the
// head, all entries and the files.
func TestBundle(t *testing.T) {
	root := testRoot(t)
	l := newMirrorLog(t, root)
	l.grow(t, "a", 40, testTime)
	video := publishItem(t, l, "video.mp4", 100_000)
	l.grow(t, "a", 700, testTime)
	full := bundled(t, root, bundleLog{l, 0}, video)
	for _, held := range []int64{0, 1, 2, 39, 41, 255, 256, 600, 690, 699, 700} {
		f := lonely(t, t.TempDir(), root.ID())
		if held > 0 {
			before := newMirrorLog(t, root)
			for i := range held {
				e, err := l.Entry(i)
				if err == nil {
					_, err = before.Append(e)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			before.grow(t, "", held, testTime)
			if _, err := takeBundle(t, f, bundled(t, root, bundleLog{before, 0})); err != nil {
				t.Fatal(err)
			}
		}
		s, err := takeBundle(t, f, full)
		if err != nil || f.Trust().Size(signing.MainWriter) != 700 || len(s.entries) != 700 || !bytes.Equal(s.items[40], video.data) {
			t.Errorf("from %d entries: %d are held, %d came, %d bytes of the video, %v", held, f.Trust().Size(signing.MainWriter), len(s.entries), len(s.items[40]), err)
		}
		if s := f.Standing(signing.MainWriter); s.State != signing.StateFresh || s.Sources != 1 {
			t.Errorf("from %d entries: %s", held, s)
		}
	}
}

// TestBundleOfPart: what a follower has of a log is enough for those who are not too far
// behind, and for strangers.
func TestBundleOfPart(t *testing.T) {
	root := testRoot(t)
	l := newMirrorLog(t, root)
	l.grow(t, "a", 100, testTime)
	early := bundled(t, root, bundleLog{l, 0})
	l.grow(t, "a", 500, testTime)
	part := bundled(t, root, bundleLog{l, 300})
	f := lonely(t, t.TempDir(), root.ID())
	if s, err := takeBundle(t, f, part); err != nil || len(s.entries) != 200 {
		t.Errorf("a stranger: %d entries, %v", len(s.entries), err)
	}
	f = lonely(t, t.TempDir(), root.ID())
	if _, err := takeBundle(t, f, early); err != nil {
		t.Fatal(err)
	}
	if _, err := takeBundle(t, f, part); !errors.Is(err, ErrUnconnected) || f.Trust().Size(signing.MainWriter) != 100 {
		t.Errorf("from 100 entries: %v", err)
	}
	if _, err := takeBundle(t, f, bundled(t, root, bundleLog{l, 64})); err != nil {
		t.Errorf("from 100 entries, with a bundle from 64 on: %v", err)
	}
}

// TestBundleBehind: a bundle that is behind changes nothing, and its files are taken where
// its history can be compared.
func TestBundleBehind(t *testing.T) {
	root := testRoot(t)
	l := newMirrorLog(t, root)
	video := publishItem(t, l, "video.mp4", 50_000)
	l.grow(t, "a", 10, testTime)
	old := bundled(t, root, bundleLog{l, 0}, video)
	l.grow(t, "a", 50, testTime)
	f := lonely(t, t.TempDir(), root.ID())
	if _, err := takeBundle(t, f, bundled(t, root, bundleLog{l, 0})); err != nil {
		t.Fatal(err)
	}
	s, err := takeBundle(t, f, old)
	if err != nil || f.Trust().Size(signing.MainWriter) != 50 || !bytes.Equal(s.items[0], video.data) {
		t.Errorf("%d entries, %d bytes, %v", f.Trust().Size(signing.MainWriter), len(s.items[0]), err)
	}
}

// TestBundleLies: nothing of a hostile bundle is believed, and what is known stays.
func TestBundleLies(t *testing.T) {
	root, other := testRoot(t), strangeRoot(t)
	l := newMirrorLog(t, root)
	video := publishItem(t, l, "video.mp4", 50_000)
	l.grow(t, "a", 300, testTime)
	mine := bundled(t, root, bundleLog{l, 0})
	l.grow(t, "a", 900, testTime)
	good := bundled(t, root, bundleLog{l, 0}, video)
	strange := newMirrorLog(t, other)
	evil := publishItem(t, strange, "evil.exe", 50_000)
	fork := newMirrorLog(t, root)
	fork.grow(t, "b", 950, testTime)

	flipped := func(at string, delta int) []byte {
		b := bytes.Clone(good)
		i := bytes.Index(b, []byte(at))
		if i < 0 {
			t.Fatalf("there is no %q", at)
		}
		b[i+delta] ^= 1
		return b
	}
	swapped := item{video.index, evil.t, evil.data}
	forged := newMirrorLog(t, root)
	forged.grow(t, "c", 950, testTime)
	wrongKey, err := signing.SignHead(root.ID(), signing.MainWriter, 950, [32]byte{1}, seedKey(7), testTime)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"another channel":               {bundled(t, other, bundleLog{strange, 0}, evil), signing.ErrOtherChannel},
		"another channel under this id": {rewritten(t, root, bundle.Record{Kind: bundle.Root, Value: other.Bytes()}), signing.ErrOtherChannel},
		"a forged head":                 {rewritten(t, root, bundle.Record{Kind: bundle.Update, Writer: "m", Value: signing.Update{Head: wrongKey}.Bytes()}), signing.ErrForged},
		"a forked history":              {bundled(t, root, bundleLog{fork, 0}), signing.ErrFork},
		"another torrent":               {bundled(t, root, bundleLog{l, 0}, swapped), ErrOtherTorrent},
		"an altered entry":              {flipped("4:a400", 3), nil},
		"an altered piece":              {flipped("video.mp4video.mp4video.mp4", 3), manifest.ErrMismatch},
		"a wrong hash of an entry":      {flipped("4:leafe", 7+32*400), nil},
		"cut off":                       {good[:len(good)/2], bundle.ErrTruncated},
	} {
		t.Run(name, func(t *testing.T) {
			f := lonely(t, t.TempDir(), root.ID())
			if name != "another channel under this id" { // who knows the channel does not even look
				if _, err := takeBundle(t, f, mine); err != nil {
					t.Fatal(err)
				}
			}
			s, err := takeBundle(t, f, tt.b)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v", err)
			}
			t.Log(err)
			for i, e := range s.entries {
				want, err := l.Entry(i)
				if err != nil || !bytes.Equal(e, want) {
					t.Errorf("entry %d is believed to be %q", i, e)
				}
			}
			if len(s.items) > 0 {
				t.Errorf("%d items were taken", len(s.items))
			}
			if size := f.Trust().Size(signing.MainWriter); !slices.Contains([]int64{-1, 0, 300, 900}, size) {
				t.Errorf("%d entries are believed", size)
			}
			if tt.want == signing.ErrFork {
				return
			}
			if _, err := takeBundle(t, f, good); err != nil {
				t.Errorf("the true one afterwards: %v", err)
			}
		})
	}
}

// rewritten is a bundle of the channel with one record.
func rewritten(t testing.TB, root *signing.Root, r bundle.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := bundle.NewWriter(&b, root.ID())
	if err == nil {
		err = w.Put(r, nil)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBundleIsRead: who reads the channel while a bundle is taken in reads all of it.
func TestBundleIsRead(t *testing.T) {
	root := testRoot(t)
	l := newMirrorLog(t, root)
	l.grow(t, "a", 3000, testTime)
	f := lonely(t, t.TempDir(), root.ID())
	ctx, cancel := context.WithCancel(t.Context())
	read := make(chan int64, 1)
	var next int64
	ended := make(chan struct{})
	defer func() { cancel(); <-ended }()
	go func() {
		defer close(ended)
		f.Read(ctx, func(string, int64) int64 { return 0 }, func(told []Told) error {
			for _, e := range told {
				if e.Index == next {
					next++
				}
			}
			if next == 3000 {
				read <- next
			}
			return nil
		})
	}()
	for reading := false; !reading; {
		f.mu.Lock()
		reading = f.windows != nil
		f.mu.Unlock()
	}
	if _, err := takeBundle(t, f, bundled(t, root, bundleLog{l, 0})); err != nil {
		t.Fatal(err)
	}
	select {
	case <-read:
	case <-time.After(30 * time.Second):
		t.Fatal("not everything was read")
	}
}
