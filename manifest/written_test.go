package manifest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rebuilt is what a fetcher makes of tor: each path with the text of its link, or
// with its kind.
func rebuilt(t *testing.T, tor *Torrent) map[string]string {
	t.Helper()
	tree := make(map[string]string)
	add := func(path []string, what string) {
		written := tor.Written(path)
		tree[strings.Join(written, "/")] = what
		for n := 1; n < len(written); n++ {
			tree[strings.Join(written[:n], "/")] = "dir"
		}
	}
	for _, f := range tor.Files {
		switch {
		case f.Pad:
		case f.Symlink == nil:
			add(f.Path, "file")
		default:
			dir := filepath.Join(tor.Written(f.Path[:len(f.Path)-1])...)
			text, err := filepath.Rel(dir, filepath.Join(tor.Written(f.Symlink)...))
			if err != nil {
				t.Fatal(err)
			}
			add(f.Path, "link "+filepath.ToSlash(text))
		}
	}
	for _, dir := range tor.EmptyDirs {
		add(dir, "dir")
	}
	return tree
}

// onDisk is the same of a directory.
func onDisk(t *testing.T, root string) map[string]string {
	t.Helper()
	tree := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path)
		switch rel = filepath.ToSlash(rel); {
		case err != nil || rel == ".":
			return err
		case d.IsDir():
			tree[rel] = "dir"
		case d.Type()&fs.ModeSymlink != 0:
			text, err := os.Readlink(path)
			tree[rel] = "link " + text
			return err
		default:
			tree[rel] = "file"
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestWritten(t *testing.T) {
	root := writtenTree(t)
	want := onDisk(t, root)
	for _, format := range formats {
		tor, sources := build(t, BuildOptions{Format: format}, root)
		again, err := Parse(tor.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, tor := range []*Torrent{tor, again} {
			if tor.Name != "d\u00e9j\u00e0" || tor.WrittenName() != "de\u0301ja\u0300" {
				t.Errorf("%s: name %+q, written %+q", format, tor.Name, tor.WrittenName())
			}
			for i, f := range tor.Files {
				if !f.Pad && nfc(pathKey(f.Path)) != pathKey(f.Path) {
					t.Errorf("%s: %+q is not NFC", format, f.Path)
				}
				if path := filepath.Join(root, filepath.Join(tor.Written(f.Path)...)); sources[i].Path != "" && sources[i].Path != path {
					t.Errorf("%s: source %+q is written to %+q", format, sources[i].Path, path)
				}
			}
			got := rebuilt(t, tor)
			for path, what := range want {
				if got[path] != what {
					t.Errorf("%s: %+q is %+q, want %+q", format, path, got[path], what)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s: %+q, want %+q", format, got, want)
			}
			checkPieces(t, tor, sources)
		}
	}
}

func TestWrittenNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "e\u0301", []byte("1"), 0o644)
	write(t, dir, "plain/caf\u00e9", []byte("2"), 0o644)
	single, decomposed, plain := filepath.Join(dir, "e\u0301"), []string{"e\u0301"}, filepath.Join(dir, "plain")
	for _, format := range formats {
		tor, _ := build(t, BuildOptions{Format: format}, single)
		if tor.Name != "\u00e9" || tor.WrittenName() != "e\u0301" || !slices.Equal(tor.Written(tor.Files[0].Path), decomposed) {
			t.Errorf("%s: a single file: %+q, written %+q", format, tor.Name, tor.WrittenName())
		}
		tor, _ = build(t, BuildOptions{Format: format, Name: "all"}, single, plain)
		if tor.WrittenName() != "all" || !slices.Equal(tor.Written([]string{"\u00e9"}), decomposed) {
			t.Errorf("%s: several paths: %+q, %+q", format, tor.WrittenName(), tor.Written([]string{"\u00e9"}))
		}
		tor, _ = build(t, BuildOptions{Format: format}, plain)
		if bytes.Contains(tor.InfoBytes, []byte("written")) || tor.WrittenName() != "plain" {
			t.Errorf("%s: NFC is written specially: %q", format, tor.InfoBytes)
		}
	}
	// 90 syllables, of three letters each.
	long := strings.Repeat("\u1112\u1161\u11ab", 90)
	if s := (spelling{}).below(long); s.differs() || s.path[0] != strings.Repeat("\ud55c", 90)[:270] {
		t.Errorf("a name of %d bytes: %+q", len(long), s)
	}
}

// TestTwins: what is one name in NFC is two on some disks, and cannot be on
// others.
func TestTwins(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "x/cafe\u0301/a", nil, 0o644)
	write(t, dir, "x/caf\u00e9/b", nil, 0o644)
	if entries, err := os.ReadDir(filepath.Join(dir, "x")); err != nil || len(entries) != 2 {
		t.Skipf("SKIP: this file system takes both spellings for one name (%v)", err)
	}
	_, _, err := Build(t.Context(), []string{dir}, BuildOptions{})
	if !errors.Is(err, ErrCollision) || !strings.Contains(err.Error(), `x/cafe\u0301`) || !strings.Contains(err.Error(), "rename") {
		t.Error(err)
	}
}

// writtenCases are info dicts that spell names in two ways.
func writtenCases() []infoCase {
	const e, dir = "3:e\u0301", "6:cafe\u0301"
	files := "5:filesld6:lengthi0e4:pathl2:\u00e9eed6:lengthi0e4:pathl5:caf\u00e92:\u00e9eed6:lengthi0e4:pathl5:caf\u00e93:fooeee"
	v1 := func(more string) string { return "d" + files + infoRest + v1pieces(0) + more + "e" }
	paths := func(paths string) string { return v1("13:written paths" + paths) }
	named := func(name, written string) string {
		return "d6:lengthi7e4:name" + S(name) + "12:piece lengthi32768e" + v1pieces(1) + "12:written name" + written + "e"
	}
	long := strings.Repeat("\u1112\u1161", 40) // 240 bytes, in NFC 120
	nested := strings.Repeat(S(strings.Repeat("\ud558", 40)), 12)
	return []infoCase{
		{"written", paths("ll" + dir + "el" + dir + e + "el" + e + "ee"), ""},
		{"written directory", paths("ll" + dir + "ee"), ""},
		{"written in an NFC directory", paths("ll5:caf\u00e9" + e + "ee"), ""},
		{"written nowhere", paths("le"), ""},
		{"written empty directory", "d17:empty directoriesll2:\u00e9ee5:filesle" + infoRest + v1pieces(0) + "13:written pathsll" + e + "eee", ""},
		{"written link", "d5:filesld4:attr1:l4:pathl2:\u00e9e12:symlink pathl1:xeee" + infoRest + v1pieces(0) + "13:written pathsll" + e + "eee", ""},
		{"written in v2", "d9:file treed2:\u00e9" + v2file(1) + "e12:meta versioni2e" + infoRest + "13:written pathsll" + e + "eee", ""},
		{"written out of order", paths("ll" + e + "el" + dir + "ee"), "written paths out of order"},
		{"written twice", paths("ll" + e + "el" + e + "ee"), "written paths out of order"},
		{"written in two ways", "d5:filesld6:lengthi0e4:pathl3:\u1ec7eee" + infoRest + v1pieces(0) + "13:written pathsll5:e\u0323\u0302el5:\u1eb9\u0302eee", "in two ways"},
		{"written directory is another", paths("ll" + dir + "el5:caf\u00e9" + e + "ee"), "in two ways"},
		{"written directory is not said", paths("ll" + dir + e + "ee"), "in two ways"},
		{"written the same", paths("ll3:fooee"), "no other spelling"},
		{"written below what is the same", paths("ll" + dir + "3:fooee"), "no other spelling"},
		{"written for nothing", paths("ll3:o\u0308ee"), "no other spelling"},
		{"written below a file", paths("ll" + e + "3:o\u0308ee"), "no other spelling"},
		{"written for no NFC", "d5:filesld6:lengthi0e4:pathl" + e + "eee" + infoRest + v1pieces(0) + "13:written pathsll" + e + "eee", "no other spelling"},
		{"written up", paths("ll2:..ee"), "relative"},
		{"written root", paths("llee"), "0 names"},
		{"written as a path", paths("ll5:a/e\u0301ee"), `contains '/'`},
		{"written badly", paths("ll2:e\xccee"), "not valid UTF-8"},
		{"written not a list", paths("2:no"), "list"},
		{"written too long", "d5:filesld6:lengthi0e4:pathl" + nested + S(strings.Repeat("x", 250)) + S(strings.Repeat("y", 250)) + "eee" + infoRest + v1pieces(0) +
			"13:written pathsl" + deeper(long, 12) + "ee", "more than 3072"},
		{"written single", "d6:lengthi7e4:name2:\u00e912:piece lengthi32768e" + v1pieces(1) + "13:written pathsll" + e + "eee", "single file"},
		{"written name", named("\u00e9", e), ""},
		{"written name of another", named("\u00e9", "3:o\u0308"), "no other spelling"},
		{"written name is the same", named("\u00e9", S("\u00e9")), "no other spelling"},
		{"written name of no NFC", named("e\u0301", e), "no other spelling"},
		{"written name empty", named("\u00e9", "0:"), "empty name"},
		{"written name is a path", named("\u00e9", "4:/e\u0301"), `contains '/'`},
		{"written name not a string", named("\u00e9", "i1e"), "string"},
	}
}

// deeper lists the paths of n names, each below the one before.
func deeper(name string, n int) string {
	s := ""
	for i := range n {
		s += "l" + strings.Repeat(S(name), i+1) + "e"
	}
	return s
}

// TestForeignNames: names of others are taken as they are.
func TestForeignNames(t *testing.T) {
	tor, err := ParseInfo([]byte("d5:filesld6:lengthi0e4:pathl6:cafe\u03013:e\u0301eee4:name3:e\u030112:piece lengthi32768e6:pieces0:e"))
	if err != nil {
		t.Fatal(err)
	}
	path := []string{"cafe\u0301", "e\u0301"}
	if !slices.Equal(tor.Files[0].Path, path) || !slices.Equal(tor.Written(path), path) || tor.Name != "e\u0301" || tor.WrittenName() != tor.Name {
		t.Errorf("%+q, name %+q", tor.Files[0].Path, tor.Name)
	}
}

// TestWrittenOnWindows: "<" and a stroke are one character in NFC.
func TestWrittenOnWindows(t *testing.T) {
	for _, info := range []string{
		"d5:filesld6:lengthi0e4:pathl3:\u226eeee" + infoRest + v1pieces(0) + "13:written pathsll3:<\u0338eee",
		"d6:lengthi7e4:name3:\u226e12:piece lengthi32768e" + v1pieces(1) + "12:written name3:<\u0338e",
	} {
		tor, err := ParseInfo([]byte(info))
		if err != nil {
			t.Fatal(err)
		}
		if err := tor.CheckDestination("windows"); !errors.Is(err, ErrUnsafePath) {
			t.Errorf("on Windows: %v", err)
		}
		if err := tor.CheckDestination("linux"); err != nil {
			t.Error(err)
		}
	}
}
