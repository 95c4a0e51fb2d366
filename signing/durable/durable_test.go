package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"handful/signing/durable"
	"handful/signing/durable/crashfs"
)

func TestWriteFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	files := durable.OS{}
	if err := files.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state")
	if _, err := durable.ReadFile(files, path, 10); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a missing file: %v", err)
	}
	// What an earlier crash left is longer than what is written now.
	if err := os.WriteFile(path+".new", bytes.Repeat([]byte("x"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second, longer", "3", ""} {
		if err := durable.WriteFile(files, path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := durable.ReadFile(files, path, 14); err != nil || string(got) != want {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	if err := durable.WriteFile(files, path, make([]byte, 11)); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.ReadFile(files, path, 10); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatalf("a file beyond the limit: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Fatalf("left over: %v, %v", left, err)
	}
	if err := durable.WriteFile(files, filepath.Join(dir, "missing", "state"), nil); err == nil {
		t.Fatal("written into a missing directory")
	}
}

// TestWriteFileCrash crashes at each step: the old or the new content is there, and the
// new one once WriteFile has said so.
func TestWriteFileCrash(t *testing.T) {
	for _, landed := range []bool{false, true} {
		for _, loss := range crashfs.Losses {
			n := 1
			for ; ; n++ {
				files := crashfs.New()
				files.Put("dir/state", []byte("old"))
				files.FailAt(n, landed)
				err := durable.WriteFile(files, "dir/state", []byte("new content"))
				done := !files.Crashed()
				if done != (err == nil) {
					t.Fatalf("step %d: %v", n, err)
				}
				files.Restart(loss)
				got := string(files.Get("dir/state"))
				if got != "new content" && (done || got != "old") {
					t.Fatalf("step %d, landed %v, loss %d: %q", n, landed, loss, got)
				}
				if done {
					break
				}
			}
			if n < 5 {
				t.Fatalf("only %d steps", n)
			}
		}
	}
}

// TestCrashFSLoses makes sure that the filesystem of the tests is a hard one.
func TestCrashFSLoses(t *testing.T) {
	for loss, want := range map[crashfs.Loss]string{crashfs.Keep: "abcdef", crashfs.Lose: "ab", crashfs.Torn: "abcd", crashfs.Zeros: "ab\x00\x00\x00\x00"} {
		files := crashfs.New()
		files.Put("dir/f", []byte("ab"))
		f, err := files.Create("dir/f")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("cdef"), 2); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Create("dir/unsynced"); err != nil {
			t.Fatal(err)
		}
		files.Restart(loss)
		if got := string(files.Get("dir/f")); got != want {
			t.Errorf("loss %d leaves %q, want %q", loss, got, want)
		}
		if gone := len(files.Paths()) == 1; gone != (loss == crashfs.Lose) {
			t.Errorf("loss %d leaves %v", loss, files.Paths())
		}
	}
}
