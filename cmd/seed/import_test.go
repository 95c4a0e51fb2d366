package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm/publish"
)

// importing is a channel into which one feed is imported, by a program that is killed.
type importing struct {
	killed
	feed string // the document
}

// document writes a feed of 500 items, in their n-th version.
func (i *importing) document(n int) {
	i.t.Helper()
	type item struct {
		ID   string `json:"id"`
		Text string `json:"content_text"`
	}
	items := make([]item, 500)
	for k := range items {
		items[k] = item{fmt.Sprint("urn:x:", k), fmt.Sprintf("item %d, version %d", k, n)}
	}
	b, err := json.Marshal(map[string]any{"version": "https://jsonfeed.org/version/1.1", "title": "Many", "items": items})
	if err != nil {
		i.t.Fatal(err)
	}
	if err := os.WriteFile(i.feed, b, 0o600); err != nil {
		i.t.Fatal(err)
	}
}

// load imports the document, killed after a while; 0 lets it end, well.
func (i *importing) load(after time.Duration) {
	i.t.Helper()
	i.run(after, "feed", "import", i.feed, "--no-wait", "--listen", "127.0.0.1:0", "--lan-only")
}

// want looks into the log: of every item there are so many versions, in their order.
func (i *importing) want(versions int) {
	i.t.Helper()
	state := filepath.Join(i.dir, "state", "seed")
	ids, err := keyfile.List(keysDir(state))
	if err != nil || len(ids) != 1 {
		i.t.Fatalf("channels %v: %v", ids, err)
	}
	keys, err := keyfile.Open(keysDir(state), ids[0])
	if err != nil {
		i.t.Fatal(err)
	}
	l, err := publish.OpenLog(logDir(state, ids[0], signing.MainWriter), publish.LogConfig{Root: keys.Newest(), Key: keys.Online})
	if err != nil {
		i.t.Fatal(err)
	}
	defer l.Close()
	said := make(map[string][]string)
	for n := range l.Size() {
		raw, err := l.Entry(n)
		if err != nil {
			i.t.Fatal(err)
		}
		e, err := manifest.ParseEntry(raw)
		if err != nil {
			i.t.Fatal(err)
		}
		if p, ok := e.(manifest.Post); ok {
			said[p.ID] = append(said[p.ID], p.Body)
		}
	}
	if len(said) != 500 || l.Head().Size != l.Size() || l.Size() != int64(500*versions) {
		i.t.Fatalf("%d items in %d entries, %d of them signed; want 500 in %d", len(said), l.Size(), l.Head().Size, 500*versions)
	}
	for k := range 500 {
		got := said[fmt.Sprint("urn:x:", k)]
		for n, text := range got {
			if want := fmt.Sprintf("item %d, version %d", k, n); text != want {
				i.t.Fatalf("item %d is %q", k, got)
			}
		}
	}
}

// TestImportKilled kills the real program in the middle of imports, and imports again: no
// item is missing and none is there twice, new or changed.
func TestImportKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program many times")
	}
	if runtime.GOOS == "windows" {
		t.Skip("processes are not killed there as here")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	i := &importing{killed{t: t, seed: filepath.Join(t.TempDir(), "seed"), dir: t.TempDir()}, filepath.Join(t.TempDir(), "feed.json")}
	if err := os.Symlink(self, i.seed); err != nil { // testscript.Main looks at the name
		t.Fatal(err)
	}
	i.document(0)
	began := time.Now()
	i.load(0)
	whole := time.Since(began)
	i.want(1)
	for version := 1; version < 7; version++ {
		i.document(version)
		i.load(whole * time.Duration(20+12*version) / 100)
		i.check(fmt.Sprint("version ", version))
		i.load(0)
		i.want(version + 1)
	}

	// The kill that no clock hits for sure: the posts are in the log, what is known of the feed is of before.
	states, err := filepath.Glob(filepath.Join(i.dir, "state", "seed", "feeds", "*", "*.json"))
	if err != nil || len(states) != 1 {
		t.Fatalf("%v, %v", states, err)
	}
	before, err := os.ReadFile(states[0])
	if err != nil {
		t.Fatal(err)
	}
	i.document(7)
	i.load(0)
	if err := os.WriteFile(states[0], before, 0o600); err != nil {
		t.Fatal(err)
	}
	i.load(0)
	i.want(8)
}
