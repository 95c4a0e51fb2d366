package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// attachedPost is a post with files of 5 bytes together.
func attachedPost(sum, files string) string {
	return "d2:fl" + files + sum + "1:n1:n1:si5e1:ti5e1:x2:hi1:y4:poste"
}

func TestParseAttached(t *testing.T) {
	sum := "1:i32:" + strings.Repeat("i", 32)
	for _, c := range []struct{ name, entry, want string }{
		{"post with a torrent but no list of its files", "d" + sum + "1:n1:n1:si5e1:ti5e1:x2:hi1:y4:poste", `"fl"`},
		{"post with files but no torrent", "d2:flld1:n1:a1:si5eee1:ti5e1:x2:hi1:y4:poste", `"n"`},
		{"post with an empty list of files", attachedPost(sum, "le"), "0 files"},
		{"post with files and unknown keys", attachedPost(sum, "ld1:n1:a1:si5e1:zi1eee"), ""},
		{"post with a file that leads out", attachedPost(sum, "ld1:n2:..1:si5eee"), "unsafe"},
		{"post with a file in a directory", attachedPost(sum, "ld1:n3:a/b1:si5eee"), "unsafe"},
		{"post with a file without size", attachedPost(sum, "ld1:n1:aee"), `"s"`},
		{"post with files of more", attachedPost(sum, "ld1:n1:a1:si6eee"), "add up"},
		{"post with files of less, as of ciphertext", attachedPost(sum, "ld1:n1:a1:si4eee"), ""},
		{"post with files of far more", attachedPost(sum, "ld1:n1:a1:si9007199254740991eed1:n1:b1:si9007199254740991eee"), "add up"},
		{"post with one file twice", attachedPost(sum, "ld1:n1:a1:si5eed1:n1:a1:si0eee"), "same name"},
		{"post with too many files", attachedPost(sum, "l"+strings.Repeat("d1:n1:a1:si0ee", MaxAttached+1)+"e"), "65 files"},
		{"post with an empty type", attachedPost(sum, "ld1:m0:1:n1:a1:si5eee"), "left out"},
	} {
		parses(t, c.name, c.entry, c.want)
	}
}

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
