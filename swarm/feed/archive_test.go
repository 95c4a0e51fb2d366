package feed

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing/durable"
	"handful/signing/durable/crashfs"
)

// numbered returns entries m/0 … m/n-1.
func numbered(t testing.TB, from, n int) []Entry {
	var out []Entry
	for i := from; i < from+n; i++ {
		out = append(out, Entry{Channel: channel(t).ID, Writer: "m", Index: int64(i), Post: manifest.Post{Head: manifest.Header{Time: noon.UnixMilli()}, Title: fmt.Sprint("post ", i), Body: "a\nb\u202e"}})
	}
	return out
}

func indices(entries []Entry) string {
	var out []string
	for _, e := range entries {
		out = append(out, fmt.Sprintf("%s/%d", e.Writer, e.Index))
	}
	return strings.Join(out, " ")
}

func open(t testing.TB, files durable.FS, dir string) *Archive {
	t.Helper()
	a, err := OpenArchive(files, dir, channel(t).ID)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func add(t testing.TB, a *Archive, at time.Time, entries ...Entry) {
	t.Helper()
	if err := a.Append(at, entries...); err != nil {
		t.Fatal(err)
	}
}

func TestArchive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	a := open(t, durable.OS{}, dir)
	if got, err := a.Newest(5); len(got) != 0 || err != nil || a.Position() != nil {
		t.Errorf("empty: %v, %v", got, err)
	}
	add(t, a, noon, numbered(t, 0, 2)...)
	add(t, a, noon.AddDate(0, 1, 0), numbered(t, 2, 2)...)
	add(t, a, noon, numbered(t, 3, 2)...) // the clock was set back, and one is there twice
	ann := numbered(t, 0, 1)
	ann[0].Writer = "ann"
	add(t, a, noon.AddDate(0, 2, 0), ann...)
	for _, a := range []*Archive{a, open(t, durable.OS{}, dir)} {
		if got := a.Position().String(); got != "ann:1 m:5" {
			t.Errorf("position %q", got)
		}
		for n, want := range map[int]string{0: "", 1: "ann/0", 3: "m/3 m/4 ann/0", 4: "m/2 m/3 m/4 ann/0", 100: "m/0 m/1 m/2 m/3 m/4 ann/0"} {
			if got, err := a.Newest(n); err != nil || indices(got) != want {
				t.Errorf("newest %d: %q, %v; want %q", n, indices(got), err, want)
			}
		}
		for _, tt := range []struct {
			from string
			n    int
			want string
		}{{"", 100, "ann/0 m/0 m/1 m/2 m/3 m/4"}, {"m:3", 100, "ann/0 m/3 m/4"}, {"ann:1 m:2", 2, "m/2 m/3"}, {"ann:1 m:5", 9, ""}} {
			from, err := ParseCursor(tt.from)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := a.Since(from, tt.n); err != nil || indices(got) != tt.want {
				t.Errorf("%d since %q: %q, %v; want %q", tt.n, tt.from, indices(got), err, tt.want)
			}
		}
		got, err := a.Since(nil, 100)
		if want := append(ann, numbered(t, 0, 5)...); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("read back\n%+v, want\n%+v", got, want)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "2026-03.jsonl"))
	if err != nil || bytes.Count(b, []byte("\n")) != 2 || !bytes.Contains(b, []byte(`"text":"a\nb\u202e"`)) {
		t.Errorf("%s, %v", b, err)
	}
	other := numbered(t, 9, 1)
	other[0].Channel[0]++
	if err := a.Append(noon, other...); err == nil {
		t.Error("an entry of another channel was taken")
	}
	if err := a.Append(noon, Entry{Channel: channel(t).ID, Writer: "m", Index: 1}); err == nil {
		t.Error("an empty post was taken")
	}
}

// TestArchiveTorn cuts the newest file at every byte: all complete lines are there, and
// what is added then is, too.
func TestArchiveTorn(t *testing.T) {
	dir := t.TempDir()
	add(t, open(t, durable.OS{}, dir), noon, numbered(t, 0, 2)...)
	path := filepath.Join(dir, "2026-03.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		complete := bytes.Count(whole[:n], []byte("\n"))
		a := open(t, durable.OS{}, dir)
		if got, err := a.Newest(9); err != nil || indices(got) != indices(numbered(t, 0, complete)) || a.Damaged() != 0 {
			t.Fatalf("cut at %d: %q, %v, %d damaged", n, indices(got), err, a.Damaged())
		}
		add(t, a, noon, numbered(t, complete, 1)...)
		if got, err := open(t, durable.OS{}, dir).Newest(9); err != nil || indices(got) != indices(numbered(t, 0, complete+1)) {
			t.Fatalf("cut at %d, then added: %q, %v", n, indices(got), err)
		}
	}
}

// TestArchiveCrash crashes at every step: lost, or landed and reported as lost.
func TestArchiveCrash(t *testing.T) {
	steps := func(a *Archive) error {
		for i := range 4 {
			if err := a.Append(noon.AddDate(0, i/2, 0), numbered(t, 2*i, 2)...); err != nil {
				return err
			}
		}
		return nil
	}
	for _, loss := range crashfs.Losses {
		for _, landed := range []bool{false, true} {
			for n := 1; ; n++ {
				files := crashfs.New()
				files.FailAt(n, landed)
				a, err := OpenArchive(files, "/a", channel(t).ID)
				var acknowledged Cursor
				if err == nil {
					err = steps(a)
					acknowledged = a.Position()
				}
				if !files.Crashed() {
					if err != nil {
						t.Fatal(err)
					}
					break
				}
				files.Restart(loss)
				again := open(t, files, "/a")
				have := again.Position()
				if have["m"] < acknowledged["m"] {
					t.Fatalf("loss %d, step %d, landed %v: m:%d of m:%d is left", loss, n, landed, have["m"], acknowledged["m"])
				}
				if err := steps(again); err != nil { // at least once
					t.Fatal(err)
				}
				got, err := open(t, files, "/a").Since(nil, 100)
				if err != nil || !reflect.DeepEqual(got, numbered(t, 0, 8)) {
					t.Fatalf("loss %d, step %d, landed %v: %q, %v", loss, n, landed, indices(got), err)
				}
			}
		}
	}
}

func TestArchiveDamage(t *testing.T) {
	dir := t.TempDir()
	add(t, open(t, durable.OS{}, dir), noon, numbered(t, 0, 2)...)
	path := filepath.Join(dir, "2026-03.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(string(b), "\n")
	for name, middle := range map[string]string{"no JSON": "what?\n", "empty line": "\n", "no entry": "{}\n", "zeros": strings.Repeat("\x00", 100) + "\n", "long line": strings.Repeat("x", 3*maxLine) + "\n"} {
		if err := os.WriteFile(path, []byte(first+"\n"+middle+second), 0o600); err != nil {
			t.Fatal(err)
		}
		a := open(t, durable.OS{}, dir)
		if a.Damaged() != 1 {
			t.Errorf("%s: %d damaged lines", name, a.Damaged())
		}
		if got, err := a.Newest(9); err != nil || indices(got) != "m/0 m/1" {
			t.Errorf("%s: %q, %v", name, indices(got), err)
		}
	}
	for _, months := range []string{"2026-03", "2026-03\n2026-03\n", "2026-13\n", "../x\n", "2026-04\n2026-03\n", "\n"} {
		if err := os.WriteFile(filepath.Join(dir, monthsFile), []byte(months), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenArchive(durable.OS{}, dir, channel(t).ID); err == nil {
			t.Errorf("months %q were taken", months)
		}
	}
}

func FuzzReadLines(f *testing.F) {
	for _, e := range append(numbered(f, 0, 1), entriesOf(channel(f), hostile()...)...) {
		f.Add(append(e.Line(), '\n'))
	}
	f.Add([]byte("{}\n\n{\"type\":"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		end, damaged, err := readLines(bytes.NewReader(b), func(e Entry, _ int64) bool {
			n++
			line := e.Line()
			if bytes.ContainsFunc(line, func(r rune) bool { return !shows(r) }) {
				t.Fatalf("%+q", line)
			}
			again, err := ParseLine(line)
			if err != nil || !reflect.DeepEqual(again, e) {
				t.Fatalf("%q reads as %+v and back as %+v, %v", line, e, again, err)
			}
			return true
		})
		if err != nil || n+damaged != bytes.Count(b, []byte("\n")) || end != int64(bytes.LastIndexByte(b, '\n')+1) {
			t.Fatalf("%d read, %d damaged, %d bytes of %d, %v", n, damaged, end, len(b), err)
		}
	})
}
