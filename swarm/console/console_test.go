package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// clock is a time that a test sets.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// testEnv is an environment whose output is kept.
type testEnv struct {
	*Env
	clock    clock
	out, err bytes.Buffer
	width    int
	vars     map[string]string
}

func newTestEnv(t *testing.T, args ...string) *testEnv {
	e := &testEnv{clock: clock{time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)}, vars: map[string]string{}}
	e.Env = &Env{Name: "fetch", Args: args, Dir: t.TempDir(), Stdin: strings.NewReader(""), Stdout: &e.out, Stderr: &e.err,
		Lookup: func(k string) (string, bool) { v, ok := e.vars[k]; return v, ok },
		Width:  func() int { return e.width }, Now: e.clock.now}
	return e
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; got:\n%s", path, got)
	}
}

// Both forms of every line are pinned: tools rely on the first, people on the
// second.
func TestLines(t *testing.T) {
	env := newTestEnv(t)
	p := NewPrinter(env.Env, PrinterOptions{JSON: true})
	for _, l := range examples() {
		p.Print(l)
	}
	if err := p.Close(); err != nil || env.err.Len() > 0 {
		t.Errorf("close: %v, stderr %q", err, env.err.String())
	}
	golden(t, "testdata/lines.json", env.out.Bytes())

	var text bytes.Buffer
	for _, l := range examples() {
		result, remark := l.Show(env.Now())
		fmt.Fprintf(&text, "-- %s --\n", l.Type())
		for _, s := range []struct{ stream, lines string }{{"out", result}, {"err", remark}} {
			if s.lines != "" {
				for line := range strings.SplitSeq(s.lines, "\n") {
					fmt.Fprintf(&text, "%s| %s\n", s.stream, line)
				}
			}
		}
	}
	golden(t, "testdata/lines.txt", text.Bytes())
}

// Whatever a stranger puts into a line cannot move the cursor or forge a line.
func TestLinesAreClean(t *testing.T) {
	const evil = "a\x1b[2J\nb\r\u202e\u009b\u200b\U000e0041"
	for _, l := range examples() {
		v := reflect.New(reflect.TypeOf(l)).Elem()
		v.Set(reflect.ValueOf(l))
		plain, plainErr := l.Show(time.Time{})
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.String:
				f.SetString(evil)
			case reflect.Slice:
				if f.Type().Elem().Kind() == reflect.String {
					f.Set(reflect.ValueOf([]string{evil}))
				}
			}
		}
		if l.Type() == "version" || l.Type() == "entry" {
			continue // of this build; and a text has lines
		}
		result, remark := v.Interface().(Line).Show(time.Time{})
		for s, was := range map[string]string{result: plain, remark: plainErr} {
			if strings.ContainsAny(s, "\x1b\r\u202e\u009b\u200b\U000e0041") {
				t.Errorf("%s: %q is not clean", l.Type(), s)
			}
			if strings.Count(s, "\n") > strings.Count(was, "\n")+1 {
				t.Errorf("%s: %q has more lines than %q", l.Type(), s, was)
			}
		}
	}
	b, err := Encode(Feed{Source: evil, Title: evil})
	if err != nil || bytes.ContainsFunc(bytes.TrimSuffix(b, []byte("\n")), func(r rune) bool { return !unicode.IsGraphic(r) }) {
		t.Errorf("JSON: %q, %v", b, err)
	}
	var back struct{ Source string }
	if err := json.Unmarshal(b, &back); err != nil || back.Source != evil {
		t.Errorf("JSON reads as %q, %v", back.Source, err)
	}
	if _, s := (Withdrawn{Name: strings.Repeat("long ", 9000)}).Show(time.Time{}); len(s) > 200 {
		t.Errorf("that it is withdrawn takes %d bytes", len(s))
	}
	_, remark := Entry{Title: evil, Text: "x\x1b[2J\ny"}.Show(time.Time{})
	if strings.Contains(remark, "\x1b") {
		t.Errorf("entry: %q is not clean", remark)
	}
}

func TestProgressIsThinned(t *testing.T) {
	env := newTestEnv(t)
	p := NewPrinter(env.Env, PrinterOptions{JSON: true})
	for i := range 31 { // every 100 ms for 3 s
		p.Print(Progress{Done: int64(i), Total: 30})
		env.clock.t = env.clock.t.Add(100 * time.Millisecond)
	}
	var done []string
	for line := range strings.Lines(env.out.String()) {
		_, rest, _ := strings.Cut(line, `"done":`)
		done = append(done, rest[:strings.IndexByte(rest, ',')])
	}
	if got := strings.Join(done, " "); got != "0 10 20 30" {
		t.Errorf("progress was printed at %s", got)
	}

	env = newTestEnv(t)
	p = NewPrinter(env.Env, PrinterOptions{})
	for i := range 62 { // every second for a minute
		p.Print(Progress{Done: int64(i), Total: 100, Peers: 1})
		env.clock.t = env.clock.t.Add(time.Second)
	}
	want := "fetching   30 B of 100 B, 30.0%, down 0 B/s, up 0 B/s, 1 peer\nfetching   60 B of 100 B, 60.0%, down 0 B/s, up 0 B/s, 1 peer\n"
	if env.err.String() != want || env.out.Len() > 0 {
		t.Errorf("plain progress: %q, want %q; stdout %q", env.err.String(), want, env.out.String())
	}
}

func TestQuiet(t *testing.T) {
	env := newTestEnv(t)
	p := NewPrinter(env.Env, PrinterOptions{Quiet: true})
	for _, l := range examples() {
		p.Print(l)
	}
	if got := env.err.String(); got != "fetch: warning: this machine's clock is 12 minutes behind (set it)\n" {
		t.Errorf("stderr has %q", got)
	}
	if !strings.Contains(env.out.String(), "/tmp/Demo\n") {
		t.Error("stdout lacks the result")
	}
}

// A frame goes over the one before, logs go above it, and nothing is left at the
// end. Played on a screen of our own.
func TestPainter(t *testing.T) {
	env := newTestEnv(t)
	env.width = 100
	p := NewPrinter(env.Env, PrinterOptions{})
	files := make([]FileProgress, 7)
	for i := range files {
		files[i] = FileProgress{Name: fmt.Sprintf("dir/file-%d", i), Done: int64(i) << 20, Total: 8 << 20}
	}
	p.Print(Progress{Name: "Demo", Done: 1 << 20, Total: 64 << 20, DownRate: 1 << 20, Peers: 2, Files: files, MoreFiles: 3})
	first := screen(t, env.err.String())
	if len(first) != 7 || !strings.HasPrefix(first[0], "Demo  1.00 MiB / 64.00 MiB [") || !strings.Contains(first[0], "1.6%  1.0 MiB/s  ETA 1m03s  2 peers") || first[6] != "  and 5 more" {
		t.Fatalf("first frame:\n%s", strings.Join(first, "\n"))
	}
	fmt.Fprintln(p, "level=WARN msg=log")
	p.Print(Note{"a note"})
	env.clock.t = env.clock.t.Add(time.Second)
	p.Print(Progress{Name: "Demo", Done: 2 << 20, Total: 64 << 20, DownRate: 1 << 20, Peers: 2})
	second := screen(t, env.err.String())
	if len(second) != 3 || second[0] != "level=WARN msg=log" || second[1] != "a note" || !strings.HasPrefix(second[2], "Demo  2.00 MiB") {
		t.Fatalf("second frame:\n%s", strings.Join(second, "\n"))
	}
	p.Close()
	if last := screen(t, env.err.String()); len(last) != 2 {
		t.Fatalf("at the end the screen has:\n%s", strings.Join(last, "\n"))
	}
}

// screen plays what was written, and knows only the sequences that the painter
// uses.
func screen(t *testing.T, s string) (lines []string) {
	t.Helper()
	row := 0
	for s != "" {
		if rest, ok := strings.CutPrefix(s, "\x1b["); ok {
			var up int
			if _, err := fmt.Sscanf(rest, "%dA\r\x1b[J", &up); err != nil || up > row {
				t.Fatalf("cursor goes %d up from row %d: %.20q (%v)", up, row, rest, err)
			}
			row -= up
			lines = lines[:row]
			s = rest[strings.Index(rest, "J")+1:]
			continue
		}
		line, rest, _ := strings.Cut(s, "\n")
		if strings.Contains(line, "\x1b") || len([]rune(line)) > 99 {
			t.Fatalf("line %q", line)
		}
		lines, row, s = append(lines, line), row+1, rest
	}
	return lines
}

func TestRenderFitsEveryWidth(t *testing.T) {
	for width := 21; width < 200; width++ {
		l := Progress{Name: strings.Repeat("漢字", 60), Done: 1 << 40, Total: 1 << 41, DownRate: 1 << 30, UpRate: 1 << 30, Peers: 100,
			Files: []FileProgress{{Name: strings.Repeat("x", 300), Total: 1}}, MoreFiles: 1}
		for _, line := range render(l, width) {
			if n := cells(line); n >= width {
				t.Fatalf("%d columns in a terminal of %d: %q", n, width, line)
			}
		}
	}
}

func TestCode(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("try x: %w", err) }
	for _, c := range []struct {
		err  error
		code ExitCode
		hint bool
	}{
		{nil, OK, false},
		{errors.New("x"), Failed, false},
		{wrap(&Fault{Code: Partly, Message: "m", Hint: "h"}), Partly, true},
		{&Fault{Code: Locked, Err: wrap(store.ErrLocked)}, Locked, true}, // the hint of the cause
		{Usagef("", "x"), Usage, false},
		{wrap(&Stop{Interrupted}), Interrupted, true},
		{wrap(&Stop{Terminated}), Terminated, true},
		{wrap(store.ErrLocked), Locked, true},
		{&store.Error{Kind: store.ErrCorrupt, Path: "p", Hint: "mend it"}, Failed, true},
		{wrap(store.ErrDiskFull), NoSpace, true},
		{wrap(store.ErrExists), NoSpace, true},
		{wrap(store.ErrIsFile), NoSpace, true},
		{wrap(store.ErrPermission), NoSpace, true},
		{wrap(store.ErrChanged), Failed, true},
		{wrap(store.ErrMismatch), Unverified, true},
		{wrap(manifest.ErrMismatch), Unverified, true},
		{wrap(manifest.ErrMagnet), Usage, true},
		{wrap(signing.ErrLink), Usage, true},
		{wrap(&signing.ForkError{}), Refused, true},
		{wrap(&signing.RollbackError{}), Refused, true},
		{wrap(signing.ErrForged), Refused, true},
		{wrap(signing.ErrFuture), Refused, true},
		{wrap(keyfile.ErrNotFound), NotFound, true},
		{wrap(keyfile.ErrExists), NoSpace, true},
		{wrap(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}), NotFound, true},
		{wrap(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}), NoSpace, true},
		{wrap(ErrNoHolder), Locked, true},
	} {
		if got := Code(c.err); got != c.code || (Hint(c.err) != "") != c.hint {
			t.Errorf("%v: code %d hint %q, want code %d", c.err, got, Hint(c.err), c.code)
		}
	}
	if got := Hint(&store.Error{Kind: store.ErrCorrupt, Hint: "mend it"}); got != "mend it" {
		t.Errorf("the store's own hint is lost: %q", got)
	}
	if !errors.Is(&Stop{}, context.Canceled) || !errors.Is(errGone, context.Canceled) {
		t.Error("a stop is no cancellation")
	}
}

func TestResultNobodyReads(t *testing.T) {
	for _, o := range []PrinterOptions{{}, {JSON: true}} {
		env := newTestEnv(t)
		env.Stdout = brokenWriter{}
		p := NewPrinter(env.Env, o)
		p.Print(Done{Path: "x"})
		if err := p.Close(); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%+v: close says %v", o, err)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
