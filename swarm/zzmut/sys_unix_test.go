//go:build unix

package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestRenameChecked(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]node{"a/file": {data: []byte("new")}, "a/dir/x": {}, "b/file": {data: []byte("old")}, "b/dir": {dir: true}})
	a, err := os.Open(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := os.Open(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, rename := range []func(*os.File, string, *os.File, string) error{renameNoReplace, renameChecked} {
		for _, name := range []string{"file", "dir"} {
			if err := rename(a, name, b, name); !errors.Is(err, os.ErrExist) {
				t.Errorf("%s over another: %v", name, err)
			}
			if err := rename(a, name, b, "free"); err != nil {
				t.Errorf("%s to a free name: %v", name, err)
			}
			if err := rename(b, "free", a, name); err != nil {
				t.Errorf("%s back: %v", name, err)
			}
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "b/file")); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
}
