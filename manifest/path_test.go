package manifest

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckPath(t *testing.T) {
	long := strings.Repeat("x", maxElement)
	deep := strings.Split(strings.Repeat("d/", maxDepth)+"f", "/")
	for _, c := range []struct {
		path []string
		want string // "" accepted, else part of the error
	}{
		{[]string{"a", "b.txt"}, ""},
		{[]string{"é 日本 \n"}, ""},
		{[]string{"aux.c"}, ""}, // good everywhere but on Windows
		{[]string{long}, ""},
		{deep[1:], ""},
		{nil, "path of 0 names"},
		{[]string{""}, "empty name"},
		{[]string{"a", ""}, "empty name"},
		{[]string{"a", ".."}, "relative"},
		{[]string{"."}, "relative"},
		{[]string{"/etc"}, `'/'`},
		{[]string{"a/b"}, `'/'`},
		{[]string{`a\b`}, `'\\'`},
		{[]string{"a\x00b"}, `'\x00'`},
		{[]string{"a\xff"}, "not valid UTF-8"},
		{[]string{long + "x"}, "256 bytes"},
		{deep, "path of 49 names"},
		{strings.Split(strings.Repeat(long+"/", 12)+long, "/"), "bytes, more than"},
	} {
		err := checkPath(c.path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.path, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrUnsafePath)):
			t.Errorf("%q: %v, want %s", c.path, err, c.want)
		}
	}
}

func TestCheckTree(t *testing.T) {
	for _, c := range []struct {
		files, dirs, want string
	}{
		{"a a.b a/b", "", "lies below"},
		{"a-b a/b a.c ab", "c", ""},
		{"a b a", "", "same name"},
		{"a/b", "a", "lies below"},
		{"a/b", "a/c a/d/e", ""},
		{"a", "a", "same name"},
		{"a", "a/b", "lies below"},
		{"", "a a/b", "lies below"},
		{"cafe\u0301 caf\u00e9", "", "same name"},
		{"x/cafe\u0301/a x/caf\u00e9/b", "", ""},
		{"Readme README", "", ""}, // see TestCheckDestination
	} {
		var files []File
		var dirs [][]string
		for s := range strings.FieldsSeq(c.files) {
			files = append(files, File{Path: strings.Split(s, "/")})
		}
		for s := range strings.FieldsSeq(c.dirs) {
			dirs = append(dirs, strings.Split(s, "/"))
		}
		files = append(files, File{Pad: true}, File{Pad: true})
		err := checkTree(files, dirs, nfc)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%+q: %v", c.files, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrCollision)):
			t.Errorf("%+q %q: %v, want %s", c.files, c.dirs, err, c.want)
		}
	}
}

func TestCheckDestination(t *testing.T) {
	for _, c := range []struct {
		path, windows, darwin string // what is wrong
	}{
		{"a/b.txt", "", ""},
		{"a/aux", "device", ""},
		{"aux.c", "device", ""},
		{"com7 .x/y", "device", ""},
		{"COM¹", "device", ""},
		{"lpt0", "device", ""},
		{"com10", "", ""},
		{"console", "", ""},
		{"a./b", "dot or a space", ""},
		{"a ", "dot or a space", ""},
		{"c:", "contains", ""},
		{"mail:2,S", "contains", ""},
		{"a\tb", "contains", ""},
		{"what?", "contains", ""},
		{"Straße STRASSE", "same name", "same name"},
		{"d/A D/a", "same name", "same name"},
		{"a A/b", "lies below", "lies below"},
	} {
		tor := &Torrent{Name: "t"}
		for i, s := range strings.Split(c.path, " ") {
			if s == "" || strings.HasPrefix(s, ".") { // the blank belonged to the name
				tor.Files[i-1].Path = strings.Split(strings.Join(tor.Files[i-1].Path, "/")+" "+s, "/")
				continue
			}
			tor.Files = append(tor.Files, File{Path: strings.Split(s, "/")})
		}
		for goos, want := range map[string]string{"windows": c.windows, "darwin": c.darwin, "linux": ""} {
			err := tor.CheckDestination(goos)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%q on %s: %v, want %q", c.path, goos, err, want)
			}
		}
	}
	tor := &Torrent{Name: "nul", Files: []File{{Path: []string{"l"}, Symlink: []string{"."}}}}
	if err := tor.CheckDestination("windows"); !errors.Is(err, ErrUnsafePath) {
		t.Errorf("a torrent called nul: %v", err)
	}
	tor.Name = "n"
	if err := tor.CheckDestination("windows"); err != nil {
		t.Errorf("a link to the root: %v", err)
	}
}
