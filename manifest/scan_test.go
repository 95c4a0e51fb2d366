//go:build unix

package manifest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// TestBuildRefuses has one case for each thing that cannot be published.
func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, root string)
		o    BuildOptions
		is   error
		want string // part of the error, beside the name of what it is about
	}{
		{"pipe", func(t *testing.T, root string) {
			if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, BuildOptions{}, ErrUnsupported, "named pipe"},
		{"absolute", func(t *testing.T, root string) { symlink(t, "/etc/passwd", filepath.Join(root, "absolute")) },
			BuildOptions{}, ErrUnsafePath, "absolute path"},
		{"escapes", func(t *testing.T, root string) { symlink(t, "../other", filepath.Join(root, "escapes")) },
			BuildOptions{}, ErrUnsafePath, "leads out"},
		{"through", func(t *testing.T, root string) {
			write(t, root, "x/y/z", nil, 0o644)
			symlink(t, "x/y", filepath.Join(root, "s"))
			symlink(t, "s/../f", filepath.Join(root, "through"))
		}, BuildOptions{}, ErrUnsafePath, "behind another symlink"},
		{`bad\xff`, func(t *testing.T, root string) { write(t, root, "bad\xff", nil, 0o644) },
			BuildOptions{}, ErrUnsafePath, "not valid UTF-8"},
		{`back`, func(t *testing.T, root string) { write(t, root, `back\slash`, nil, 0o644) },
			BuildOptions{}, ErrUnsafePath, "contains"},
		{`cafe\u0301`, func(t *testing.T, root string) {
			write(t, root, "caf\u00e9", nil, 0o644)
			write(t, root, "cafe\u0301", nil, 0o644)
		}, BuildOptions{}, ErrCollision, "rename"},
		{".pad", func(t *testing.T, root string) { write(t, root, ".pad/7", []byte("x"), 0o644) },
			BuildOptions{Format: FormatHybrid}, ErrCollision, "rename"},
		{"piece length", func(*testing.T, string) {}, BuildOptions{PieceLength: 48 << 10}, nil, "power of two"},
		{"piece length", func(*testing.T, string) {}, BuildOptions{PieceLength: 8 << 10}, nil, "power of two"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "root")
			write(t, root, "good", []byte("good"), 0o644)
			c.make(t, root)
			_, _, err := Build(t.Context(), []string{root}, c.o)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) {
				t.Errorf("%v, want %q about %s, %v", err, c.want, c.name, c.is)
			}
		})
	}
}

func TestBuildPaths(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one/a", []byte("1"), 0o644)
	write(t, dir, "two/a", []byte("2"), 0o644)
	write(t, dir, "f", []byte("3"), 0o644)
	symlink(t, "one", filepath.Join(dir, "current"))
	in := func(names ...string) (paths []string) {
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		return paths
	}
	tor, _ := build(t, BuildOptions{Name: "all"}, in("two", "one", "f")...)
	if tor.Name != "all" || len(tor.Files) != 3 || strings.Join(tor.Files[1].Path, "/") != "one/a" || tor.Files[0].Path[0] != "f" {
		t.Errorf("several paths: %q %+v", tor.Name, tor.Files)
	}
	tor, _ = build(t, BuildOptions{}, in("current")...)
	if tor.Name != "current" || len(tor.Files) != 1 || tor.Files[0].Path[0] != "a" {
		t.Errorf("a path that is a symlink: %q %+v", tor.Name, tor.Files)
	}
	tor, _ = build(t, BuildOptions{Name: "e\u0301"}, in("f")...)
	if tor.Name != "\u00e9" || !tor.Single() || tor.Files[0].Path[0] != tor.Name {
		t.Errorf("a renamed file: %+q %+v", tor.Name, tor.Files)
	}
	if _, _, err := Build(t.Context(), in("one", "two/../one"), BuildOptions{}); !errors.Is(err, ErrCollision) {
		t.Errorf("one path twice: %v", err)
	}
	if _, _, err := Build(t.Context(), in("none"), BuildOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a path that is missing: %v", err)
	}
	if _, _, err := Build(t.Context(), []string{"/"}, BuildOptions{}); !errors.Is(err, ErrUnsafePath) {
		t.Errorf("the root of the file system: %v", err)
	}
	if _, _, err := Build(t.Context(), nil, BuildOptions{}); err == nil {
		t.Error("no path is accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Build(ctx, in("one"), BuildOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestChanged changes a file at a moment that the progress of hashing gives away.
func TestChanged(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"truncated": func(path string) error { return os.Truncate(path, 5<<20) },
		"grown":     func(path string) error { return os.Truncate(path, 20<<20) },
		"touched":   func(path string) error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
		"replaced": func(path string) error {
			data, err := os.ReadFile(path)
			info, statErr := os.Stat(path)
			if err := errors.Join(err, statErr, os.WriteFile(path+".new", data, 0o644)); err != nil {
				return err
			}
			return errors.Join(os.Chtimes(path+".new", time.Time{}, info.ModTime()), os.Rename(path+".new", path))
		},
		"removed": os.Remove,
		"a pipe":  func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o644)) },
		"a link":  func(path string) error { return errors.Join(os.Remove(path), os.Symlink("a", path)) },
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "root")
			write(t, root, "a", make([]byte, 8<<20), 0o644)
			write(t, root, "b", make([]byte, 10<<20), 0o644)
			victim := filepath.Join(root, "b")
			changed := false
			_, _, err := Build(t.Context(), []string{root}, BuildOptions{Workers: 1, Progress: func(done, total int64) {
				if !changed && done > 0 {
					changed = true
					if err := change(victim); err != nil {
						t.Error(err)
					}
				}
			}})
			if name == "a link" {
				if err == nil {
					t.Error("a symlink that took a file's place is followed")
				}
			} else if !errors.Is(err, ErrChanged) {
				t.Errorf("%v", err)
			}
			if err != nil && !strings.Contains(err.Error(), victim) {
				t.Errorf("%v does not name %s", err, victim)
			}
		})
	}
}

func TestUnreadable(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	write(t, root, "secret", []byte("x"), 0)
	if f, err := os.Open(filepath.Join(root, "secret")); err == nil {
		f.Close()
		t.Skip("SKIP: this user reads every file")
	}
	_, _, err := Build(t.Context(), []string{root}, BuildOptions{})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestProgress(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	write(t, root, "a", make([]byte, 9<<20+1), 0o644)
	last, calls := int64(-1), 0
	build(t, BuildOptions{Workers: 4, Progress: func(done, total int64) {
		if done <= last || total != 9<<20+1 || calls == 0 && done != 0 {
			t.Errorf("%d after %d, of %d", done, last, total)
		}
		last = done
		calls++
	}}, root)
	if last != 9<<20+1 || calls < 3 {
		t.Errorf("%d bytes in %d calls", last, calls)
	}
}
