package manifest

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// seeds adds the vectors that match pattern, each as its bytes.
func seeds(f *testing.F, pattern string) {
	f.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no vectors match %s: %v", pattern, err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
}

// exercise calls what a parsed torrent promises never to fail at.
func exercise(t *testing.T, tor *Torrent) {
	var total int64
	for i := range min(tor.NumPieces(), 50) {
		size := tor.PieceSize(i)
		if size < 1 || size > tor.PieceLength {
			t.Fatalf("piece %d has %d bytes", i, size)
		}
		var covered int64
		for s := range tor.Spans(i, 0, tor.PieceLength) {
			if f := tor.Files[s.File]; s.Offset < 0 || s.Length < 1 || s.Offset+s.Length > f.Length {
				t.Fatalf("piece %d: span %+v of file %+v", i, s, f)
			}
			covered += s.Length
		}
		if covered != size {
			t.Fatalf("piece %d has %d bytes and spans of %d", i, size, covered)
		}
		total += size
		if size <= 1<<20 && tor.Check(i, make([]byte, size)) == Good && !tor.HasSHA256() {
			t.Fatalf("piece %d is good without SHA-256", i)
		}
	}
	if total > tor.v1Length && tor.v1 {
		t.Fatalf("%d bytes of pieces in %d", total, tor.v1Length)
	}
	for i := range tor.Files {
		if f := &tor.Files[i]; !f.Pad {
			if err := checkPath(f.Path); err != nil {
				t.Fatal(err)
			}
		}
	}
	exerciseWritten(t, tor)
	for _, l := range tor.MissingLayers() {
		if tor.AddLayer(l.Root, make([]byte, min(l.Size, 1<<16))) == nil {
			t.Fatal("a layer of zeros is accepted")
		}
	}
	tor.SparseTree()
	tor.CheckDestination("windows")
	if _, err := ParseMagnet(tor.Magnet(nil, nil)); err != nil {
		t.Fatal(err)
	}
}

// exerciseWritten checks that all paths are as safe and as distinct on disk as
// they are in the torrent.
func exerciseWritten(t *testing.T, tor *Torrent) {
	safe := func(path []string) []string {
		written := tor.Written(path)
		if err := checkPath(written); err != nil {
			t.Fatal(err)
		}
		if nfc(pathKey(written)) != nfc(pathKey(path)) {
			t.Fatalf("%+q is written as %+q", path, written)
		}
		return written
	}
	if err := checkElement(tor.WrittenName()); err != nil || nfc(tor.WrittenName()) != nfc(tor.Name) {
		t.Fatalf("%+q is written as %+q, %v", tor.Name, tor.WrittenName(), err)
	}
	files, dirs := slices.Clone(tor.Files), slices.Clone(tor.EmptyDirs)
	for i := range files {
		f := &files[i]
		if !f.Pad {
			f.Path = safe(f.Path)
		}
		for _, s := range tor.Written(f.Symlink) {
			if err := checkElement(s); err != nil && s != "." {
				t.Fatal(err)
			}
		}
	}
	for i := range dirs {
		dirs[i] = safe(dirs[i])
	}
	if err := checkTree(files, dirs, func(s string) string { return s }); err != nil {
		t.Fatalf("written: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	seeds(f, "*.torrent")
	f.Fuzz(func(t *testing.T, b []byte) {
		tor, err := Parse(b)
		if err != nil {
			return
		}
		if got := tor.Bytes(); !bytes.Equal(got, b) {
			t.Fatalf("prints back differently:\n%q\n%q", b, got)
		}
		exercise(t, tor)
		changed := tor.WithSources(append(tor.Trackers, "http://new/"), nil)
		again, err := Parse(changed.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Trackers) != len(changed.Trackers) && len(tor.Trackers) < maxSources && again.Trackers[len(again.Trackers)-1] != "http://new/" {
			t.Fatalf("%q became %q", changed.Trackers, again.Trackers)
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	for _, format := range formats {
		tor, _ := build(f, BuildOptions{Format: format, PieceLength: BlockSize}, makeTree(f))
		f.Add(tor.InfoBytes)
	}
	for _, c := range writtenCases() {
		f.Add([]byte(c.info))
	}
	f.Add([]byte("d6:lengthi7e4:name1:t12:piece lengthi5e6:pieces40:0123456789012345678901234567890123456789e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		tor, err := ParseInfo(b)
		if err != nil {
			return
		}
		if !bytes.Equal(tor.InfoBytes, b) {
			t.Fatal("the info dict is another one")
		}
		exercise(t, tor)
		if _, err := Parse(tor.Bytes()); err != nil {
			t.Fatalf("its torrent file does not parse: %v", err)
		}
	})
}

func FuzzParseMagnet(f *testing.F) {
	f.Add("magnet:?xt=urn:btih:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a&dn=a+b&tr.1=u&ws=w&x.pe=h:1")
	f.Add("magnet:?xt=urn:btmh:1220b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1")
	f.Add("magnet:?xt=urn:btih:BIFAUCQKBIFAUCQKBIFAUCQKBIFAUCQK&%zz")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMagnet(s)
		if err != nil {
			return
		}
		printed := m.String()
		if len(printed) > maxMagnet {
			return // escapes may make it longer
		}
		again, err := ParseMagnet(printed)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%q reads as %+v and back as %+v, %v", s, m, again, err)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	seeds(f, "*.entry")
	f.Add([]byte("d1:^d1:pi2ee1:ai5e1:ti5e1:y1:?e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			return
		}
		if got := e.Bytes(); !bytes.Equal(got, b) {
			t.Fatalf("prints back differently:\n%q\n%q", b, got)
		}
		if h := e.Header(); h.Time < 0 || h.Pointers.Root < 0 || e.Kind() == "" {
			t.Fatalf("%+v", e)
		}
	})
}
