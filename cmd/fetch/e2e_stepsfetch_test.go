package main_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"testing"
)

// fetcherSteps are the commands that put files into place.
func fetcherSteps() []stepCase {
	whole := func(names ...string) func(*testing.T, *side, *side, *process) {
		return func(t *testing.T, base, s *side, _ *process) {
			t.Helper()
			oneOf(t, base, s.path("out", "tree"), names...)
		}
	}
	placed := func(name string, entries int64) func(*testing.T, *side, *side, *process) {
		return func(t *testing.T, base, s *side, p *process) {
			t.Helper()
			p.find("done", is("done")).adds(t)
			sameTrees(t, base.path(name, "tree"), s.path("out", "tree"))
			noLeftovers(t, s.path("out"))
			if size := believed(t, s).Size("m"); size != entries {
				t.Errorf("%d entries are believed", size)
			}
			verifies(t, s, s.path("out", "tree"))
		}
	}
	var first string // link of the version that is updated
	return []stepCase{{
		name: "fetch", program: "fetch", least: 40,
		prepare: func(t *testing.T, base *side) []string {
			return []string{publishes(t, base, "one")[0], "-o", "out"}
		},
		killed: whole("", "one"), again: placed("one", 1),
	}, {
		name: "fetch an update", program: "fetch", least: 40,
		prepare: func(t *testing.T, base *side) []string {
			links := publishes(t, base, "one", "two")
			first = links[0]
			return []string{links[1], "-o", "out", "--force"}
		},
		begin: func(t *testing.T, s *side) { s.fetched(first, "-o", "out") },
		// Between two renames the old version is aside and the new one not there yet: the next run finishes that.
		killed: whole("one", "two", ""), again: placed("two", 2),
	}}
}

// publishes makes versions of a tree in directories below a side's and lets a publisher publish and seed them; it returns
// their links.
func publishes(t *testing.T, base *side, versions ...string) (links []string) {
	t.Helper()
	publisher := base.lab.local(t)
	for i, v := range versions {
		w := treeWriter{t: t, root: base.path(v, "tree"), random: rand.NewChaCha8([32]byte{byte(i)})}
		w.file("large.bin", 300_001, 0o644)
		w.file("bin/run.sh", 5000, 0o755)
		w.file("only in "+v, 70_000, 0o600)
		w.dir("nothing here")
		w.link("large", "large.bin")
		_, published := publisher.publish(base.path(v, "tree"))
		links = append(links, published.Link)
	}
	return links
}

// oneOf: what is there is one of some versions, whole; one without a name is nothing at all.
func oneOf(t *testing.T, base *side, path string, versions ...string) {
	t.Helper()
	_, err := os.Lstat(path)
	for _, v := range versions {
		if v == "" && os.IsNotExist(err) || v != "" && err == nil && maps.Equal(inventory(t, path), inventory(t, base.path(v, "tree"))) {
			return
		}
	}
	t.Errorf("%s is none of %q: %v", path, versions, err)
}
