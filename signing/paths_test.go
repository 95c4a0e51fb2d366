package signing

import "testing"

// TestAllows: what a path of a delegation covers, as a file and as a torrent, which may be a
// directory.
func TestAllows(t *testing.T) {
	for _, c := range []struct {
		path, name    string
		file, torrent bool
	}{
		{"*", "a", true, true},
		{"*", "a/b", true, true},
		{"*", "", false, false},
		{"*", "..", false, false},
		{"*", "a/../b", false, false},
		{"*", "/a", false, false},
		{"*", "a/", false, false},
		{"*", "a\\b", false, false},
		{"*", "a\x00", false, false},
		{"docs/*", "docs/plan.txt", true, true},
		{"docs/*", "docs/a/b", true, true},
		{"docs/*", "docs", false, true}, // the directory, and no file of that name
		{"docs/*", "docsx", false, false},
		{"docs/*", "docsx/a", false, false},
		{"docs/*", "doc", false, false},
		{"docs/*", "Docs/a", false, false},
		{"docs/*", "docs/", false, false},
		{"docs/*", "docs/..", false, false},
		{"docs/*", "docs//a", false, false},
		{"docs/*", "a/docs", false, false},
		{"a/b/*", "a", false, false}, // a may hold more than a/b
		{"a/b/*", "a/b", false, true},
		{"a/b/*", "a/b/c/d", true, true},
		{"README", "README", true, true},
		{"README", "README/a", false, false},
		{"docs/x", "docs", false, false}, // one file of a directory is not the directory
		{"docs/x", "docs/x", true, true},
		{"docs/x", "docs/x/y", false, false},
	} {
		if !validPattern(c.path) {
			t.Fatalf("%q is no path of a delegation", c.path)
		}
		w := Writer{Paths: []string{"elsewhere/*", c.path}}
		if got := w.Allows(c.name); got != c.file {
			t.Errorf("%q as a file under %q: %v", c.name, c.path, got)
		}
		if got := w.AllowsTorrent(c.name); got != c.torrent {
			t.Errorf("%q as a torrent under %q: %v", c.name, c.path, got)
		}
	}
	if (Writer{}).AllowsTorrent("a") {
		t.Error("without paths something is allowed")
	}
	for _, p := range []string{"", "docs/", "/docs/*", "docs*", "do*s", "docs/**", "docs/*/a", "../*", "docs/[a]", "./*", "a//b"} {
		if validPattern(p) {
			t.Errorf("%q is taken as a path of a delegation", p)
		}
	}
}
