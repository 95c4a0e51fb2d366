package main

import (
	"os"
	"path/filepath"
	"testing"

	"handful/manifest"
	"handful/swarm/store"
)

// What came by a channel's link is shown with that link; what came by a magnet,
// which says nothing of a channel, with a magnet.
func TestStatusShowsTheLink(t *testing.T) {
	const link = "handful:agaagous2iblbck5bxt5vgup4l442xu5hilnvpso/m/3?dn=b"
	dir := t.TempDir()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, meta := range map[string]string{
		"a": `{"index":0}`,
		"b": `{"channel":"agaagous2iblbck5bxt5vgup4l442xu5hilnvpso","writer":"m","index":3,"link":"` + link + `"}`,
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		b, _, err := manifest.Build(t.Context(), []string{path}, manifest.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Download(t.Context(), b, t.TempDir(), store.DownloadOptions{Meta: []byte(meta)})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	o, err := openOffline(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	status, items, err := o.Status(t.Context())
	if err != nil || status.Items != 2 || len(items) != 2 {
		t.Fatalf("%+v, %+v, %v", status, items, err)
	}
	for _, item := range items {
		switch item.Name {
		case "a":
			if _, err := manifest.ParseMagnet(item.Link); err != nil || item.Channel != "" {
				t.Errorf("without a channel: %+v, %v", item, err)
			}
		case "b":
			if item.Link != link || item.Channel != "agaagous2iblbck5bxt5vgup4l442xu5hilnvpso" || item.Writer != "m" || item.Index != 3 {
				t.Errorf("of a channel: %+v", item)
			}
		}
	}
}
