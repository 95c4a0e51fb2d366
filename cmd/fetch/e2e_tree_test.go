package main_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// makeOddTree writes some hundred files around the given number of bytes below root, with everything that is easy to
// get wrong: links, what is empty, names in other spellings, modes.
func makeOddTree(t *testing.T, root string, size int64) {
	t.Helper()
	w := treeWriter{t: t, root: root, random: rand.NewChaCha8([32]byte{byte(size), 7})}
	for i, n := range []int64{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 0} {
		w.file(fmt.Sprintf("edges/%d of %d bytes", i, n), n, 0o644)
	}
	for i := range int64(300) {
		w.file(fmt.Sprintf("many/d%d/%sfile %03d.bin", i%7, strings.Repeat("deeper/", int(i%3)), i), 1+i*i*53%(size/900), 0o644)
	}
	w.file("large.bin", size/2+12345, 0o644)
	w.file("second.bin", size/4+1, 0o644)
	w.file("cafe\u0301 (decomposed)/re\u0301sume\u0301.txt", 700, 0o644)
	w.file("ﬁ 日本語 🎈.txt", 701, 0o644)
	w.file(".hidden", 99, 0o644)
	w.file("private.key", 4000, 0o600)
	w.file("bin/run.sh", 5000, 0o755)
	w.dir("nothing here")
	w.dir("many/d3/nothing here either")
	if runtime.GOOS != "windows" { // where links need a right of their own
		w.link("bin/large", "../large.bin")
		w.link("same directory", "second.bin")
		w.link("many/d0/up", "../d1")
	}
}

type treeWriter struct {
	t      *testing.T
	root   string
	random *rand.ChaCha8
}

func (w treeWriter) parent(name string) string {
	w.t.Helper()
	path := filepath.Join(w.root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w treeWriter) file(name string, size int64, mode fs.FileMode) {
	w.t.Helper()
	f, err := os.OpenFile(w.parent(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err == nil {
		_, err = io.CopyN(f, w.random, size)
		err = errors.Join(err, f.Chmod(mode), f.Close())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w treeWriter) dir(name string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Join(w.root, filepath.FromSlash(name)), 0o755); err != nil {
		w.t.Fatal(err)
	}
}

func (w treeWriter) link(name, target string) {
	w.t.Helper()
	if err := os.Symlink(filepath.FromSlash(target), w.parent(name)); err != nil {
		w.t.Fatal(err)
	}
}

// sameTrees compares content, link targets, exec bits, and what is empty.
func sameTrees(t *testing.T, source, dest string) {
	t.Helper()
	a, b := inventory(t, source), inventory(t, dest)
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if a[name] != b[name] {
			wrong = append(wrong, fmt.Sprintf("%+q is %q there and was %q", name, b[name], a[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if a[name] == "" {
			wrong = append(wrong, fmt.Sprintf("%+q is there and was not", name))
		}
	}
	if len(wrong) > 0 {
		t.Fatalf("%s is not %s: %d differences:\n%s", dest, source, len(wrong), strings.Join(wrong[:min(len(wrong), 8)], "\n"))
	}
}

// inventory says of each name below root what is there.
func inventory(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all[filepath.ToSlash(rel)], err = describe(path, d)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func describe(path string, d fs.DirEntry) (string, error) {
	switch {
	case d.Type() == fs.ModeSymlink:
		to, err := os.Readlink(path)
		return "a link to " + filepath.ToSlash(to), err
	case d.IsDir():
		return "a directory", nil
	}
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes %.6x, executable %t", info.Size(), h.Sum(nil), info.Mode()&0o100 != 0), nil
}

// noLeftovers finds what a fetch grows its files in.
func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	for _, name := range names(t, dir) {
		if strings.HasPrefix(name, ".handful-") {
			t.Errorf("%s is left in %s", name, dir)
		}
	}
}

// names of what is in a directory; none if that is not there.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// writeFile writes a file of n bytes that do not compress, the same for the same n.
func writeFile(t *testing.T, path string, n int64) string {
	t.Helper()
	treeWriter{t: t, root: filepath.Dir(path), random: rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})}.file(filepath.Base(path), n, 0o644)
	return path
}

// sameFiles compares two files.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	x, errX := os.ReadFile(a)
	y, errY := os.ReadFile(b)
	if err := errors.Join(errX, errY); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s is not what %s is", b, a)
	}
}
