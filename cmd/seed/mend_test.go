package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"handful/manifest"
	"handful/swarm"
	"handful/swarm/console"
	"handful/swarm/store"
)

// openTest starts a node on loopback that holds a state directory.
func openTest(t *testing.T, dir string) *running {
	t.Helper()
	env := &console.Env{Name: "seed", Dir: dir, Stdin: new(bytes.Buffer), Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer),
		Lookup: func(string) (string, bool) { return "", false }, Width: func() int { return 0 }, Now: time.Now}
	s, err := store.Open(filepath.Join(dir, "state"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := swarm.Start(t.Context(), swarm.Config{Listen: "127.0.0.1:0", Isolated: true})
	if err != nil {
		t.Fatal(err)
	}
	return newRunning(console.NewApp(env, &cobra.Command{Use: "seed"}), filepath.Join(dir, "state"), s, n)
}

// serveOnce serves until the first report of progress, and returns the warnings.
func (r *running) serveOnce(t *testing.T) (warnings []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.Serve(ctx, console.Peering{}, func(l console.Line) {
		switch l := l.(type) {
		case console.Warning:
			warnings = append(warnings, l.Message)
		case console.Progress:
			cancel()
		}
	})
	return warnings
}

// metas returns what is remembered of everything published.
func (r *running) metas(t *testing.T) (all []meta) {
	t.Helper()
	records, err := r.store.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		m, err := parseMeta(rec.Meta)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// TestServeMendsWhatACrashLeft: the log says what was published, also when the
// process died before it noted that, or before it stopped seeding what was
// withdrawn.
func TestServeMendsWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := openTest(t, dir)
	req := publishRequest{Paths: []string{path}, Channel: defaultChannel, Title: "greeting"}
	if _, err := r.Publish(t.Context(), req, func(console.Progress) {}); err != nil {
		t.Fatal(err)
	}
	whole := r.metas(t)[0]

	// Signed, but the record was not finished.
	crashed := whole
	crashed.Index, crashed.Link, crashed.Published = -1, "", ""
	r.annotate(t, crashed)
	r = r.reopen(t, dir)
	if w := r.serveOnce(t); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	if got := r.metas(t); len(got) != 1 || got[0].Index != whole.Index || got[0].Link == "" || got[0].Published != whole.Published {
		t.Fatalf("remembered %+v, want %+v", got, whole)
	}

	// Withdrawn, but still seeded.
	for _, p := range r.publishers {
		if _, err := p.Publish(manifest.Delete{Head: manifest.Header{Time: 1}, Index: whole.Index}.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	r = r.reopen(t, dir)
	if w := r.serveOnce(t); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	if got := r.metas(t); len(got) != 0 || len(r.node.Snapshot().Items) != 0 {
		t.Errorf("%+v is remembered, %d torrents are seeded, and all is withdrawn", got, len(r.node.Snapshot().Items))
	}

	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// annotate writes what a record remembers.
func (r *running) annotate(t *testing.T, m meta) {
	t.Helper()
	records, err := r.store.Load()
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records: %v", len(records), err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for hash := range r.items {
		if err := r.take(hash); err != nil {
			t.Fatal(err)
		}
	}
	c, err := r.store.Reopen(t.Context(), records[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Annotate(true, b); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func (r *running) reopen(t *testing.T, dir string) *running {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return openTest(t, dir)
}
