package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"handful/manifest/bencode"
	"handful/signing"
)

// testID is the id of the test vectors of package signing.
func testID(t testing.TB) signing.ID {
	t.Helper()
	id, err := signing.ParseID("ahrg7ggclmqcednqwa4qzt2xwxzyganzdobwpb3w")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

type record struct {
	Record
	body string
}

func examples() []record {
	return []record{
		{Record{Kind: Root, Value: []byte("{}")}, ""},
		{Record{Kind: Update, Writer: "m", Value: []byte("de")}, ""},
		{Record{Kind: Leaves, Writer: "m", Index: 3, Size: 64}, strings.Repeat("h", 64)},
		{Record{Kind: Leaves, Writer: "m", Size: 0}, ""},
		{Record{Kind: Page, Writer: "m", Value: []byte("page")}, ""},
		{Record{Kind: Targets, Value: []byte("[]")}, ""},
		{Record{Kind: Item, Writer: "alice", Index: 7, Proof: []byte("proof"), Value: []byte("metainfo"), Size: 100000}, strings.Repeat("x", 100000)},
	}
}

func written(t testing.TB, records []record) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, testID(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Put(r.Record, strings.NewReader(r.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w.Written() != int64(b.Len()) {
		t.Errorf("%d bytes were written, not %d", b.Len(), w.Written())
	}
	return b.Bytes()
}

// readAll reads a bundle with all bodies.
func readAll(in io.Reader) (all []record, err error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, err
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return all, err
		}
		all = append(all, record{rec, string(body)})
	}
}

func same(a, b record) bool {
	return a.body == b.body && bytes.Equal(a.header(), b.header())
}

func TestRoundTrip(t *testing.T) {
	b := written(t, examples())
	for name, in := range map[string]io.Reader{"whole": bytes.NewReader(b), "byte by byte": iotest.OneByteReader(bytes.NewReader(b))} {
		got, err := readAll(in)
		if err != nil || !slices.EqualFunc(got, examples(), same) {
			t.Errorf("%s: %d records, %v", name, len(got), err)
		}
	}
	r, err := NewReader(bytes.NewReader(b))
	if err != nil || r.ID() != testID(t) {
		t.Fatal(r.ID(), err)
	}
	n := 0
	for ; ; n++ { // bodies are passed over
		if _, err := r.Next(); err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
	}
	if n != len(examples()) {
		t.Errorf("%d records", n)
	}
}

// TestExample holds the package documentation to its word.
func TestExample(t *testing.T) {
	b := written(t, nil)
	want := "handful-bundle/1\n43:d2:id25:" + string(b[len("handful-bundle/1\n43:d2:id25:"):][:25]) + "1:y4:chane16:d1:ni1e1:y3:ende"
	if string(b) != want {
		t.Errorf("%d bytes: %q", len(b), b)
	}
	t.Logf("%d bytes", len(b))
}

// TestCut: wherever a bundle is cut off, the reader says so, and never that all is well.
func TestCut(t *testing.T) {
	records := examples()
	records[len(records)-1].body, records[len(records)-1].Size = "0123456789", 10
	b := written(t, records)
	for n := range b {
		got, err := readAll(bytes.NewReader(b[:n]))
		if !errors.Is(err, ErrTruncated) && !(n == 0 && errors.Is(err, ErrMalformed)) {
			t.Fatalf("cut at %d of %d: %d records, %v", n, len(b), len(got), err)
		}
	}
}

func TestMalformed(t *testing.T) {
	channel := Record{Kind: Channel, ID: testID(t)}
	raw := func(headers ...string) string {
		s := magic
		for _, h := range headers {
			s += string(bencode.AppendString(nil, h))
		}
		return s
	}
	first := string(channel.header())
	end := func(n int64) string { return string(Record{Kind: End, Size: n}.header()) }
	for name, in := range map[string]string{
		"empty": "", "text": "hello, this is no bundle", "another version": "handful-bundle/2\n",
		"no channel":          raw(end(0)),
		"two channels":        raw(first, first, end(2)),
		"behind the end":      raw(first, end(1)) + "x",
		"wrong count":         raw(first, end(2)),
		"unknown kind":        raw(first, "d1:y4:niete", end(2)),
		"unknown key":         raw(first, "d1:v1:x1:y4:root1:z1:ze", end(2)),
		"key of another kind": raw(first, "d1:v1:x1:w1:m1:y4:roote", end(2)),
		"missing key":         raw(first, "d1:y4:roote", end(2)),
		"unsorted":            raw(first, "d1:y4:root1:v1:xe", end(2)),
		"bad writer":          raw(first, "d1:v1:x1:w2:../1:y3:upde", end(2)),
		"half a hash":         raw(first, "d1:ii0e1:ni33e1:w1:m1:y4:leafe") + strings.Repeat("x", 33),
		"negative size":       raw(first, "d1:ii0e1:ni-32e1:w1:m1:y4:leafe"),
		"size beyond 2^53":    raw(first, "d1:ii0e1:ni9007199254740992e1:w1:m1:y4:leafe"),
		"large root":          raw(first, string(Record{Kind: Root, Value: make([]byte, signing.MaxRoot+1)}.header())),
		"length with zeros":   magic + "043:" + first,
		"length with a sign":  magic + "+43:" + first,
		"length of a GiB":     magic + "1073741824:" + first,
		"no length":           magic + strings.Repeat("1", 1000),
		"bad id":              raw(strings.Replace(first, "25:\x01", "25:\x02", 1), end(1)),
	} {
		if got, err := readAll(strings.NewReader(in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %d records, %v", name, len(got), err)
		}
	}
}

// TestMemory: a length is not believed before the bytes have come.
func TestMemory(t *testing.T) {
	in := magic + string(bencode.AppendString(nil, Record{Kind: Channel, ID: testID(t)}.header())) + "67108864:d"
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readAll(strings.NewReader(in)); !errors.Is(err, ErrTruncated) {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<20 {
		t.Errorf("%d bytes for a bundle of %d", allocated, len(in))
	}
}

func TestWriterRefuses(t *testing.T) {
	w, err := NewWriter(io.Discard, testID(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(Record{Kind: Update, Writer: "no name", Value: []byte("x")}, nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("a bad writer: %v", err)
	}
	if err := w.Put(Record{Kind: Leaves, Writer: "m", Size: 64}, strings.NewReader("short")); !errors.Is(err, errBody) {
		t.Errorf("a short body: %v", err)
	}
	broken := errors.New("broken")
	if err := w.Put(Record{Kind: Leaves, Writer: "m", Size: 64}, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a body that cannot be read: %v", err)
	}
	if _, err := readAll(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a bundle that cannot be read: %v", err)
	}
}

// FuzzReader: what is read prints back, and nothing else than ErrMalformed and
// ErrTruncated is said about the rest.
func FuzzReader(f *testing.F) {
	b := written(f, examples()[:6])
	f.Add(b)
	f.Add(b[:len(b)-5])
	f.Add(written(f, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := readAll(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTruncated) {
				t.Fatal(err)
			}
			return
		}
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		var again bytes.Buffer
		w, err := NewWriter(&again, r.ID())
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range all {
			if err := w.Put(rec.Record, strings.NewReader(rec.body)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil || sha256.Sum256(again.Bytes()) != sha256.Sum256(b) {
			t.Errorf("%v: %q became %q", err, b, again.Bytes())
		}
	})
}
