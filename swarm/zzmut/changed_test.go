package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"handful/manifest"
)

// ways in which a file can stop being what was hashed; none waits for a clock.
var changes = map[string]func(path string) error{
	"appended": func(p string) error {
		f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.Write([]byte("more"))
			err = errors.Join(err, f.Close())
		}
		return err
	},
	"rewritten": func(p string) error {
		f, err := os.OpenFile(p, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte("other"), 100)
			err = errors.Join(err, f.Close(), later(p))
		}
		return err
	},
	"replaced": func(p string) error {
		b, err := os.ReadFile(p)
		if err == nil {
			err = errors.Join(os.WriteFile(p+".new", bytes.ToUpper(b), 0o644), os.Rename(p+".new", p))
		}
		return err
	},
	"removed":   os.Remove,
	"directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) },
	"truncated": func(p string) error { return os.Truncate(p, 50_000) },
}

func later(p string) error {
	then := time.Now().Add(time.Minute)
	return os.Chtimes(p, then, then)
}

// places are the two in which content is served.
var places = map[string]func(t *testing.T, tree map[string]node) (dir, state string, c *Content){
	"source": func(t *testing.T, tree map[string]node) (string, string, *Content) {
		dir, _, c := publish(t, tree, manifest.FormatHybrid)
		return dir, c.s.dir, c
	},
	"final": func(t *testing.T, tree map[string]node) (string, string, *Content) {
		_, m, seed := publish(t, tree, manifest.FormatHybrid)
		s := open(t, t.TempDir())
		c := download(t, s, copyOf(t, m), t.TempDir(), DownloadOptions{})
		fetch(t, rand.New(rand.NewPCG(1, 1)), seed, c, -1)
		return finish(t, c), s.dir, c
	},
}

func TestChanged(t *testing.T) {
	r := rand.New(rand.NewPCG(20, 1))
	tree := map[string]node{"a": {data: random(r, 1000)}, "b": {data: random(r, 100_000)}, "c": {data: random(r, 1000)}}
	for where, set := range places {
		for how, damage := range changes {
			t.Run(where+"/"+how, func(t *testing.T) {
				dir, state, c := set(t, tree)
				victim := filepath.Join(dir, "b")
				buf := [100]byte{}
				if _, err := c.ReadPiece(buf[:], 2, 0); err != nil { // b is open from now on
					t.Fatal(err)
				}
				if err := damage(victim); err != nil {
					t.Fatal(err)
				}
				if _, err := c.ReadPiece(buf[:], 0, 0); err != nil {
					t.Fatalf("a was not touched: %v", err)
				}
				_, err := c.ReadPiece(buf[:], 2, 100)
				if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrChanged) || e.Path != victim {
					t.Fatalf("read of b: %v", err)
				}
				select {
				case got := <-c.Changed():
					if !errors.Is(got, ErrChanged) {
						t.Error(got)
					}
				default:
					t.Error("no word of the change")
				}
				if _, err := c.ReadPiece(buf[:], 0, 0); !errors.Is(err, ErrChanged) {
					t.Errorf("a is still served: %v", err)
				}
				if err := c.s.Close(); err != nil {
					t.Fatal(err)
				}
				s := open(t, state)
				list, err := s.Load()
				if err != nil || len(list) != 1 {
					t.Fatal(list, err)
				}
				_, err = s.Reopen(t.Context(), list[0])
				if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrChanged) || e.Path != victim {
					t.Errorf("reopen: %v", err)
				}
			})
		}
	}
}

// TestTouched gives files another mtime and inode, with the same bytes.
func TestTouched(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 1))
	for where, set := range places {
		t.Run(where, func(t *testing.T) {
			dir, state, c := set(t, mixedTree(r))
			m := c.Torrent()
			want := wholeOf(t, c)
			c.s.Close()
			if err := later(filepath.Join(dir, "zeros")); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(filepath.Join(dir, "bin/tool"))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "t"), b, 0o755), os.Rename(filepath.Join(dir, "t"), filepath.Join(dir, "bin/tool"))); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				s := open(t, state)
				list, err := s.Load()
				if err != nil {
					t.Fatal(err)
				}
				if c, err = s.Reopen(t.Context(), list[0]); err != nil {
					t.Fatal(err)
				}
				if got := wholeOf(t, c); !bytes.Equal(got, want) {
					t.Error("other bytes")
				}
				if err := c.CheckSources(t.Context()); err != nil {
					t.Error(err)
				}
				s.Close()
			}
			if m.NumPieces() == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

// wholeOf reads a whole content.
func wholeOf(t *testing.T, c *Content) (all []byte) {
	t.Helper()
	for i := range c.Torrent().NumPieces() {
		b := make([]byte, c.Torrent().PieceSize(i))
		if _, err := c.ReadPiece(b, i, 0); err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// TestBadSource is content whose stamps fit and whose bytes do not.
func TestBadSource(t *testing.T) {
	r := rand.New(rand.NewPCG(22, 1))
	dir, _, c := publish(t, map[string]node{"a": {data: random(r, 1000)}}, manifest.FormatHybrid)
	path := filepath.Join(dir, "a")
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte("other"), 0)
	f.Close()
	if err := os.Chtimes(path, fi.ModTime(), fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Verify(0); v != manifest.Bad || !errors.Is(err, ErrChanged) {
		t.Errorf("%v, %v", v, err)
	}
	if err := <-c.Changed(); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
}

func TestCheckSources(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 1))
	dir, _, c := publish(t, mixedTree(r), manifest.FormatHybrid)
	if err := c.CheckSources(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "empty")); err != nil {
		t.Fatal(err)
	}
	if err := c.CheckSources(t.Context()); !errors.Is(err, ErrChanged) {
		t.Errorf("an empty file is gone: %v", err)
	}
	if err := <-c.Changed(); !errors.Is(err, ErrChanged) {
		t.Error(err)
	}
}

func TestSeedChangedSince(t *testing.T) {
	r := rand.New(rand.NewPCG(24, 1))
	dir := filepath.Join(t.TempDir(), "tree")
	plant(t, dir, mixedTree(r))
	m, src := build(t, dir, manifest.FormatHybrid)
	if err := later(filepath.Join(dir, "secret")); err != nil {
		t.Fatal(err)
	}
	s := open(t, t.TempDir())
	_, err := s.Seed(m, src, SeedOptions{})
	if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrChanged) || e.Path != filepath.Join(dir, "secret") {
		t.Errorf("%v", err)
	}
	if list, err := s.Load(); len(list) != 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}
