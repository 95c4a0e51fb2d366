package main

import (
	"os"
	"path/filepath"
	"testing"

	"handful/manifest"
)

// A dry run says what is in the torrent, whatever its format.
func TestPlan(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, format := range map[string]manifest.Format{"hybrid": manifest.FormatHybrid, "v2": manifest.FormatV2, "v1": manifest.FormatV1} {
		b, _, err := manifest.Build(t.Context(), []string{dir}, manifest.BuildOptions{Name: "tree", Format: format})
		if err != nil {
			t.Fatal(err)
		}
		p := (&planned{b}).plan(fetchRequest{Dest: dir})
		if p.Format != want || p.Files != 1 || p.Bytes != 1 || p.Pieces != 1 || p.Path != filepath.Join(dir, "tree") {
			t.Errorf("of a %s: %+v", want, p)
		}
	}
}
