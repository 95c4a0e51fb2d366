package main_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"handful/signing"
	"handful/swarm/bundle"
)

// exportSteps are the commands that write what others take from: a mirror, a bundle.
func exportSteps() []stepCase {
	return []stepCase{{
		name: "export --http", program: "seed", args: []string{"export", "--http", "web"}, least: 20,
		prepare: func(t *testing.T, base *side) []string {
			exportedOnce(t, base, "--http", "web")
			// Somebody has followed the mirror until now.
			base.ended(0, "fetch", mirrored(t, base)...)
			saysMore(t, base)
			return nil
		},
		killed: func(t *testing.T, _, s *side, _ *process) { fromMirror(t, s, false) },
		again:  func(t *testing.T, _, s *side, _ *process) { fromMirror(t, s, true) },
	}, {
		name: "export --bundle", program: "seed", args: []string{"export", "--force", "--bundle", "news.bundle"}, least: 8,
		prepare: func(t *testing.T, base *side) []string {
			exportedOnce(t, base, "--bundle", "news.bundle")
			saysMore(t, base)
			return nil
		},
		killed: func(t *testing.T, base, s *side, _ *process) {
			if got, old := bundled(t, s.path("news.bundle")), bundled(t, base.path("news.bundle")); got < old {
				t.Errorf("a bundle of %d records, before there were %d", got, old)
			}
		},
		again: func(t *testing.T, base, s *side, _ *process) {
			if got, old := bundled(t, s.path("news.bundle")), bundled(t, base.path("news.bundle")); got <= old {
				t.Errorf("a bundle of %d records, before there were %d", got, old)
			}
		},
	}}
}

// exportedOnce publishes a tree and a post, and exports.
func exportedOnce(t *testing.T, base *side, args ...string) {
	t.Helper()
	writeFile(t, base.path("tree", "a.bin"), 300_001)
	base.ended(0, "seed", "publish", "--no-wait", "tree")
	base.ended(0, "seed", "post", "--no-wait", "one")
	base.exported(args...)
}

// saysMore publishes what the export under test has to add.
func saysMore(t *testing.T, base *side) {
	t.Helper()
	writeFile(t, base.path("second", "b.bin"), 200_001)
	base.ended(0, "seed", "publish", "--no-wait", "second")
	base.ended(0, "seed", "post", "--no-wait", "two")
}

// mirrored is what follows the mirror of a side.
func mirrored(t *testing.T, s *side) []string {
	t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(s.path("web"))))
	t.Cleanup(server.Close)
	ids, err := filepath.Glob(s.path("state", "seed", "logs", "*"))
	if err != nil || len(ids) != 1 {
		t.Fatalf("channels %q: %v", ids, err)
	}
	return []string{"follow", "--once", "--timeout", "20s", "handful:" + filepath.Base(ids[0]), "--webseed", server.URL}
}

// fromMirror follows a mirror on from where it was: there is what was there, or more; it is believed, and whole.
func fromMirror(t *testing.T, s *side, all bool) {
	t.Helper()
	p := s.start("fetch", mirrored(t, s)...)
	if code := p.wait(); code != 0 {
		t.Fatalf("following the mirror ends with %d\n%s", code, p.tail())
	}
	var got []int
	for _, l := range p.lines {
		if l.Type == "entry" {
			got = append(got, l.Index)
		}
	}
	if len(got) > 0 && !slices.Equal(got, []int{2, 3}) {
		t.Errorf("the mirror has entries %v after 0 and 1", got)
	}
	if size := believed(t, s).Size(signing.MainWriter); all && size != 4 || size < 2 {
		t.Errorf("%d entries are believed", size)
	}
}

// bundled reads a bundle to its end and counts its records.
func bundled(t *testing.T, path string) (n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := bundle.NewReader(f)
	for ; err == nil; n++ {
		if _, err = r.Next(); err == nil {
			_, err = io.Copy(io.Discard, r)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the bundle is not whole: %v", err)
	}
	return n
}

// believed reads the trust of a side's only channel.
func believed(t *testing.T, s *side) *signing.Trusted {
	t.Helper()
	files, err := filepath.Glob(s.path("state", "fetch", "trust", "*.trust"))
	if err != nil || len(files) > 1 {
		t.Fatalf("trust %q: %v", files, err)
	}
	if len(files) == 0 {
		return nil
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := signing.ParseTrusted(b[:len(b)-sha256.Size]) // behind it is its sum
	if err != nil {
		t.Fatal(err)
	}
	return trusted
}

const hookScript = "#!/bin/sh\nread -r line\necho \"$HANDFUL_INDEX\" >> got\n"

// followerSteps are the commands that believe.
func followerSteps() []stepCase {
	follow := []string{"follow", "--once"}
	return []stepCase{{
		name: "the first follow", program: "fetch", args: follow, least: 20,
		prepare: func(t *testing.T, base *side) []string { return talks(t, base, 0, 3) },
		killed:  printed(0, 3, false), again: printed(0, 3, true),
	}, {
		name: "follow", program: "fetch", args: follow, least: 10,
		prepare: func(t *testing.T, base *side) []string { return talks(t, base, 2, 3) },
		killed:  printed(2, 5, false), again: printed(2, 5, true),
	}, {
		name: "follow --exec", program: "fetch", args: follow, least: 10,
		prepare: func(t *testing.T, base *side) []string {
			if err := os.WriteFile(base.path("hook"), []byte(hookScript), 0o700); err != nil {
				t.Fatal(err)
			}
			hook := []string{"--exec", base.path("hook")} // its place in the channel hangs on this name
			return append(talks(t, base, 2, 3, hook...), hook...)
		},
		killed: func(t *testing.T, _, s *side, _ *process) { hooked(t, s, false) },
		again:  func(t *testing.T, _, s *side, _ *process) { hooked(t, s, true) },
	}, {
		name: "bundle", program: "fetch", args: []string{"bundle"}, least: 20,
		prepare: func(t *testing.T, base *side) []string {
			publisher := base.lab.local(t)
			exportedOnce(t, publisher, "--bundle", "news.bundle")
			command(t, "cp", "-a", publisher.path("tree"), base.path("tree"))
			ids, err := filepath.Glob(publisher.path("state", "seed", "logs", "*"))
			if err != nil || len(ids) != 1 {
				t.Fatalf("channels %q: %v", ids, err)
			}
			return []string{publisher.path("news.bundle"), "handful:" + filepath.Base(ids[0]), "-o", "out"}
		},
		killed: func(t *testing.T, base, s *side, _ *process) { taken(t, base, s, false) },
		again:  func(t *testing.T, base, s *side, _ *process) { taken(t, base, s, true) },
	}}
}

// talks lets a publisher say some posts, of which a side has followed the first, and returns the link.
func talks(t *testing.T, base *side, before, after int, more ...string) []string {
	t.Helper()
	publisher := base.lab.local(t)
	var link string
	for i := range before + after {
		if i == 0 {
			_, posted := publisher.talk("post 0")
			link = posted.Link
			head, query, _ := strings.Cut(link, "/m/0")
			link = head + query
		} else {
			publisher.said("post", fmt.Sprint("post ", i))
		}
		if i+1 == before {
			base.ended(0, "fetch", append([]string{"follow", "--once", link}, more...)...)
		}
	}
	return []string{link}
}

const printedFile = "printed"

// printed notes what was printed, over both runs, and sees that it is the entries from first to end, in order, none left out.
func printed(first, end int, all bool) func(*testing.T, *side, *side, *process) {
	return func(t *testing.T, _, s *side, p *process) {
		t.Helper()
		before, _ := os.ReadFile(s.path(printedFile))
		text := string(before)
		for _, l := range p.lines {
			if l.Type == "entry" {
				text += fmt.Sprintln(l.Index)
			}
		}
		if err := os.WriteFile(s.path(printedFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		inOrder(t, s, text, first, end, all)
	}
}

// hooked does so with what a hook got, whose place is kept after each entry.
func hooked(t *testing.T, s *side, all bool) {
	t.Helper()
	b, err := os.ReadFile(s.path("got"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if twice := inOrder(t, s, string(b), 2, 5, all); twice > 1 {
		t.Errorf("the hook got %d entries twice:\n%s", twice, b)
	}
}

// inOrder: the entries from first on, in order, and once from an earlier one on again, as many as
// it returns; all that came is believed on disk.
func inOrder(t *testing.T, s *side, text string, first, end int, all bool) (twice int) {
	t.Helper()
	want, most := first, first
	for l := range strings.Lines(text) {
		i, err := strconv.Atoi(strings.TrimSpace(l))
		switch {
		case err == nil && i == want:
		case err == nil && i < want && i >= first && twice == 0:
			twice = want - i
		default:
			t.Fatalf("entry %q came, %d was expected:\n%s", strings.TrimSpace(l), want, text)
		}
		want = i + 1
		most = max(most, want)
	}
	if all && most != end || most > end {
		t.Errorf("the entries end before %d, not %d:\n%s", most, end, text)
	}
	trusted, size := believed(t, s), int64(0)
	if trusted != nil {
		size = trusted.Size(signing.MainWriter)
	}
	if most > first && size < int64(most) || all && size != int64(end) {
		t.Errorf("the entries before %d came, and %d are believed on disk", most, size)
	}
	return twice
}

// taken: what has its final name is whole.
func taken(t *testing.T, base, s *side, all bool) {
	t.Helper()
	if _, err := os.Stat(s.path("out", "tree")); err == nil || all {
		sameTrees(t, base.path("tree"), s.path("out", "tree"))
	}
	trusted := believed(t, s)
	if all && (trusted == nil || trusted.Size(signing.MainWriter) != 2) {
		t.Error("the news of the bundle are not believed")
	}
}
