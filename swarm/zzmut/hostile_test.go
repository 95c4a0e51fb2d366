package store

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"handful/manifest"
)

// TestPlantedLinks puts symlinks where a download wants to write.
func TestPlantedLinks(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 1))
	_, m, seed := publish(t, map[string]node{"d/f": {data: random(r, 1000)}, "g": {data: random(r, 40_000)}}, manifest.FormatHybrid)
	for _, link := range []string{"new/d", "new/g", "new", "lock", "."} {
		dest, outside := t.TempDir(), t.TempDir()
		plant(t, outside, map[string]node{"f": {data: []byte("precious")}})
		staging := filepath.Join(dest, stagingName(m.InfoHash()))
		at := filepath.Join(staging, link)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		target := outside
		if link == "new/g" || link == "lock" {
			target = filepath.Join(outside, "f")
		}
		for _, to := range []string{target, relative(t, filepath.Dir(at), target)} {
			os.Remove(at)
			if err := os.Symlink(to, at); err != nil {
				t.Fatal(err)
			}
			s := open(t, t.TempDir())
			err := writeAll(t, s, copyOf(t, m), dest, seed)
			if err == nil {
				t.Errorf("%s -> %s: everything was written", link, to)
			}
			s.kill()
			if b, err := os.ReadFile(filepath.Join(outside, "f")); err != nil || string(b) != "precious" {
				t.Fatalf("%s -> %s: outside is %q, %v", link, to, b, err)
			}
			if left, _ := os.ReadDir(outside); len(left) != 1 {
				t.Fatalf("%s -> %s: outside: %v", link, to, left)
			}
		}
	}
	// A link that stays inside is not followed for writing either.
	dest := t.TempDir()
	plant(t, filepath.Join(dest, stagingName(m.InfoHash())), map[string]node{"other": {data: []byte("x")}, "new/g": {link: "../other"}})
	if err := writeAll(t, open(t, t.TempDir()), copyOf(t, m), dest, seed); err == nil {
		t.Error("written through a symlink within the staging tree")
	}
}

func relative(t *testing.T, from, to string) string {
	t.Helper()
	rel, err := filepath.Rel(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return rel
}

// writeAll downloads and finishes and returns the first error.
func writeAll(t *testing.T, s *Store, m *manifest.Torrent, dest string, seed *Content) error {
	t.Helper()
	c, err := s.Download(t.Context(), m, dest, DownloadOptions{})
	if err != nil {
		return err
	}
	for i := range m.NumPieces() {
		buf := make([]byte, m.PieceSize(i))
		if _, err := seed.ReadPiece(buf, i, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := c.WritePiece(buf, i, 0); err != nil {
			return err
		}
		if err := c.SetComplete(i, true); err != nil {
			return err
		}
	}
	_, err = c.Finish(t.Context())
	return err
}

// padded is a v1 torrent with pad files (BEP 47), as others make them.
func padded(t *testing.T, a, b []byte) *manifest.Torrent {
	t.Helper()
	const length = 32 << 10
	pad := length - len(a)
	all := slices.Concat(a, make([]byte, pad), b)
	var hashes []byte
	for at := 0; at < len(all); at += length {
		h := sha1.Sum(all[at:min(at+length, len(all))])
		hashes = append(hashes, h[:]...)
	}
	info := fmt.Sprintf("d5:filesld6:lengthi%de4:pathl1:aeed4:attr1:p6:lengthi%de4:pathl4:.pad%d:%deed6:lengthi%de4:pathl1:beee4:name4:tree12:piece lengthi%de6:pieces%d:%se",
		len(a), pad, len(strconv.Itoa(pad)), pad, len(b), length, len(hashes), hashes)
	m, err := manifest.ParseInfo([]byte(info))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPads(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 1))
	a, b := random(r, 5000), random(r, 40_000)
	m := padded(t, a, b)
	s, dest, state := open(t, t.TempDir()), t.TempDir(), t.TempDir()
	c := download(t, s, m, dest, DownloadOptions{})
	all := slices.Concat(a, make([]byte, 32<<10-len(a)), b)
	for i := range m.NumPieces() {
		at := i * int(m.PieceLength)
		if _, err := c.WritePiece(all[at:at+int(m.PieceSize(i))], i, 0); err != nil {
			t.Fatal(err)
		}
		if v, err := c.Verify(i); v != manifest.SHA1Only || err != nil {
			t.Errorf("piece %d: %v, %v", i, v, err)
		}
		c.SetComplete(i, true)
	}
	if s.kill(); c.Reused() != 0 {
		t.Error(c.Reused())
	}
	c = download(t, open(t, state), m, dest, DownloadOptions{})
	for i := range m.NumPieces() {
		if !settle(t, c, i) {
			t.Errorf("piece %d was lost", i)
		}
	}
	if c.Reused() != m.Length() || m.Length() != 45_000 {
		t.Errorf("reused %d of %d", c.Reused(), m.Length())
	}
	got := wholeOf(t, c)
	if !bytes.Equal(got, all) {
		t.Error("pads do not read as zeros")
	}
	want := t.TempDir()
	plant(t, want, map[string]node{"a": {data: a}, "b": {data: b}})
	sameTrees(t, want, finish(t, c))
}
