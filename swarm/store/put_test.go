package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"handful/manifest"
)

// TestPut: pieces that are given complete a download; wrong ones are refused before
// anything is written.
func TestPut(t *testing.T) {
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(61, 1))
			files := mixedTree(r)
			if f != manifest.FormatV1 {
				for name, n := range files {
					if n.link != "" || n.dir || len(n.data) == 0 {
						delete(files, name)
					}
				}
			}
			dir, m, seed := publish(t, files, f)
			dest := t.TempDir()
			c := download(t, open(t, t.TempDir()), copyOf(t, m), dest, DownloadOptions{})
			var payload int64
			for i := range m.NumPieces() {
				b := make([]byte, m.PieceSize(i))
				if _, err := seed.ReadPiece(b, i, 0); err != nil {
					t.Fatal(err)
				}
				wrong := bytes.Clone(b)
				wrong[len(wrong)/2] ^= 1
				for what, bad := range map[string][]byte{"wrong": wrong, "short": b[:len(b)-1], "long": append(bytes.Clone(b), 0)} {
					if n, first, err := c.PutPiece(i, bad); n != 0 || first || !errors.Is(err, ErrWrong) {
						t.Fatalf("piece %d, %s: %d, %v, %v", i, what, n, first, err)
					}
				}
				n, first, err := c.PutPiece(i, b)
				if err != nil || !first {
					t.Fatalf("piece %d: %v, %v", i, first, err)
				}
				payload += n
				if n, first, err := c.PutPiece(i, wrong); n != 0 || first || err != nil {
					t.Fatalf("piece %d a second time: %d, %v, %v", i, n, first, err)
				}
			}
			if _, _, err := c.PutPiece(m.NumPieces(), nil); !errors.Is(err, ErrOutOfRange) {
				t.Errorf("a piece that is none: %v", err)
			}
			if payload != m.Length() {
				t.Errorf("%d bytes were taken of %d", payload, m.Length())
			}
			path, err := c.Finish(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, want := grown(t, path), grown(t, dir); len(got) != len(want) {
				t.Errorf("%d things are there, not %d", len(got), len(want))
			}
		})
	}
}
