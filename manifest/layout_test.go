package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestChoosePieceLength(t *testing.T) {
	const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30
	for _, c := range []struct {
		size  int64
		delta bool
		want  int64
	}{
		{0, false, 32 * kib},
		{10 * mib, false, 32 * kib},
		{64 * mib, false, 64 * kib},
		{1 * gib, false, 256 * kib},
		{2 * gib, false, 512 * kib},
		{16 * gib, false, 1 * mib},
		{64 * gib, false, 1 * mib},
		{1 << 40, false, 16 * mib},
		{1 << 50, false, 128 * mib},
		{1 * mib, true, 64 * kib},
		{4 * gib, true, 64 * kib},
		{16 * gib, true, 256 * kib},
	} {
		if got := choosePieceLength(c.size, c.delta); got != c.want {
			t.Errorf("%d bytes, delta %t: %d, want %d", c.size, c.delta, got, c.want)
		}
	}
}

func TestFormatAuto(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]int
		v2    bool
	}{
		{"one file", map[string]int{"a": 5}, true},
		{"large files", map[string]int{"a": 32<<10*100 - 1, "b": 32 << 10 * 100}, true},
		{"small files", map[string]int{"a": 100, "b": 40_000, "c": 7}, false},
		{"an empty file", map[string]int{"a": 32 << 10, "b": 0}, false},
		{"its own name", map[string]int{"t": 32 << 10}, false},
		{"pads of its own", map[string]int{".pad/5": 32 << 10, "b": 32 << 10}, false},
	} {
		root := filepath.Join(t.TempDir(), "t")
		for path, size := range c.files {
			write(t, root, path, make([]byte, size), 0o644)
		}
		tor, sources := build(t, BuildOptions{}, root)
		if tor.HasV2() != c.v2 || !tor.HasV1() || !tor.HasSHA256() || tor.Single() {
			t.Errorf("%s: v1 %t v2 %t single %t", c.name, tor.HasV1(), tor.HasV2(), tor.Single())
		}
		if tor.SparseTree() {
			t.Errorf("%s: sparse", c.name)
		}
		checkPieces(t, tor, sources)
		// What auto avoids is refused or made when it is asked for.
		hybrid, _, err := Build(t.Context(), []string{root}, BuildOptions{Format: FormatHybrid})
		refused := c.name == "its own name" || c.name == "pads of its own"
		if (err != nil) != refused {
			t.Errorf("%s as hybrid: %v", c.name, err)
		}
		if err == nil && hybrid.SparseTree() != (c.name == "an empty file") {
			t.Errorf("%s as hybrid: sparse %t", c.name, hybrid.SparseTree())
		}
	}
}

// TestNothing publishes trees without a byte.
func TestNothing(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"void", "dirs/a", "dirs/b"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "files/a", nil, 0o644)
	write(t, dir, "single", nil, 0o644)
	for path, want := range map[string]string{"void": "0 0", "dirs": "0 2", "files": "1 0", "single": "1 0"} {
		for _, format := range append(formats, FormatAuto) {
			tor, _ := build(t, BuildOptions{Format: format}, filepath.Join(dir, path))
			if got := fmt.Sprint(len(tor.Files), len(tor.EmptyDirs)); got != want || tor.NumPieces() != 0 || tor.Length() != 0 || tor.Single() != (path == "single") {
				t.Errorf("%s as %s: %s, %d pieces", path, format, got, tor.NumPieces())
			}
		}
	}
}

// TestManyFiles builds and parses a tree of 100 000 files.
func TestManyFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: writes 100 000 files")
	}
	const files = 100_000
	root := filepath.Join(t.TempDir(), "project")
	for i := range 8 {
		write(t, filepath.Dir(root), fmt.Sprint(i), noise(uint64(i), 10+i), 0o644)
	}
	for d := range files / 250 {
		dir := filepath.Join(root, fmt.Sprintf("packages/module-%03d", d/8), fmt.Sprintf("source-%d", d%8))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 250 {
			// Links, since making so many files takes far longer than all the rest.
			name := fmt.Sprintf("component-number-%d.go", i)
			if err := os.Link(filepath.Join(root, "..", fmt.Sprint(i%8)), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	tor, sources := build(t, BuildOptions{}, root)
	if len(tor.Files) != files || len(sources) != files || tor.HasV2() {
		t.Fatalf("%d files, %d sources, v2 %t", len(tor.Files), len(sources), tor.HasV2())
	}
	if len(tor.InfoBytes) >= roomyInfo {
		t.Errorf("info dict of %d bytes", len(tor.InfoBytes))
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	again, err := ParseInfo(tor.InfoBytes)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := after.HeapAlloc - before.HeapAlloc; kept > 64<<20 {
		t.Errorf("the parsed torrent keeps %d bytes", kept)
	} else {
		t.Logf("info dict %d bytes, kept %d bytes", len(tor.InfoBytes), kept)
	}
	checkPieces(t, again, sources)
	if path := strings.Join(again.Files[files-1].Path, "/"); path != "packages/module-049/source-7/component-number-99.go" {
		t.Errorf("the last file is %s", path)
	}
	// As a hybrid it would pass what peers can exchange.
	if _, _, err := Build(t.Context(), []string{root}, BuildOptions{Format: FormatHybrid}); err == nil || !strings.Contains(err.Error(), "100000 files") {
		t.Errorf("as a hybrid: %v", err)
	}
	runtime.KeepAlive(again)
}
