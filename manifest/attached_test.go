package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestAttached makes torrents of files and compares them with what posts say of them.
func TestAttached(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.txt": "abc", "b.txt": "", "sub/c.txt": "c"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	types := func(name string) string { return "text/" + name[:1] }
	one, _ := build(t, BuildOptions{}, filepath.Join(dir, "a.txt"))
	two, _ := build(t, BuildOptions{Name: "files"}, filepath.Join(dir, "a.txt"), filepath.Join(dir, "b.txt"))
	deep, _ := build(t, BuildOptions{}, dir)
	for _, c := range []struct {
		tor  *Torrent
		want []AttachedFile
	}{
		{one, []AttachedFile{{Name: "a.txt", Type: "text/a", Size: 3}}},
		{two, []AttachedFile{{Name: "a.txt", Type: "text/a", Size: 3}, {Name: "b.txt", Type: "text/b"}}},
	} {
		a, err := AttachedOf(c.tor, types)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Files) != len(c.want) || a.Size != 3 || a.Name != c.tor.Name || a.InfoHash() != c.tor.InfoHash() {
			t.Fatalf("%+v", a)
		}
		for i, f := range a.Files {
			if f.Name != c.want[i].Name || f.Type != c.want[i].Type || f.Size != c.want[i].Size {
				t.Errorf("file %d is %+v, want %+v", i, f, c.want[i])
			}
		}
		b, err := EncodeEntry(Post{Title: "x", Attached: a})
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseEntry(b)
		if err != nil || again.(Post).Attached.Check(c.tor) != nil {
			t.Errorf("%q: %v", b, err)
		}
		for _, other := range []*Torrent{one, two, deep} {
			if err := a.Check(other); (err == nil) != (other == c.tor) || err != nil && !errors.Is(err, ErrOtherFiles) {
				t.Errorf("%q against %q: %v", a.Name, other.Name, err)
			}
		}
		lie := *a
		lie.Files = append([]AttachedFile{{Name: "z.txt", Size: 3}}, a.Files[1:]...)
		if err := lie.Check(c.tor); !errors.Is(err, ErrOtherFiles) {
			t.Errorf("another name: %v", err)
		}
	}
	if _, err := AttachedOf(deep, nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a directory: %v", err)
	}
}
