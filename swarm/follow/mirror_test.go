package follow

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"handful/manifest"
	"handful/signing"
	"handful/swarm"
	"handful/swarm/mirror"
)

// mirrorLog is a log whose hashes can be read.
type mirrorLog struct {
	*signing.Log
	memory *signing.Memory
}

func (l mirrorLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	return l.memory.ReadHashes(indexes)
}

func newMirrorLog(t testing.TB, root *signing.Root) mirrorLog {
	t.Helper()
	memory := &signing.Memory{}
	l, err := signing.NewLog(root.ID(), signing.MainWriter, memory, root.Version())
	if err != nil {
		t.Fatal(err)
	}
	return mirrorLog{l, memory}
}

// grow appends posts that carry a mark, and signs.
func (l mirrorLog) grow(t testing.TB, mark string, size int64, now time.Time) {
	t.Helper()
	for i := l.Size(); i < size; i++ {
		post := manifest.Post{Head: manifest.Header{Time: now.UnixMilli()}, Title: fmt.Sprint(mark, i)}
		if _, err := l.Append(post.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.SignHead(seedKey(2), now); err != nil {
		t.Fatal(err)
	}
}

func writeMirror(t testing.TB, dir string, root *signing.Root, l mirror.Log) {
	t.Helper()
	_, err := mirror.Write(t.Context(), dir, mirror.Channel{ID: root.ID(), Roots: [][]byte{root.Bytes()},
		Writers: map[string]mirror.Log{signing.MainWriter: l}}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func serveDir(t testing.TB, dir string) string {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return s.URL
}

// lonely is a follower without peers.
func lonely(t testing.TB, dir string, id signing.ID, mirrors ...string) *Follower {
	t.Helper()
	n, err := swarm.Start(t.Context(), swarm.Config{Listen: "127.0.0.1:0", Isolated: true})
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(Config{Node: n, Dir: dir, ID: id, Mirrors: mirrors, Now: func() time.Time { return testTime }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(f.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	return f
}

// until waits for a condition on a follower.
func until(t testing.TB, f *Follower, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		changed := f.Changed()
		if ok() {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		case <-changed:
		}
	}
}

func find(t testing.TB, f *Follower, index int64) Found {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	found, err := f.Find(ctx, signing.MainWriter, index)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestMirror: with nobody but a web server a stranger finds an entry, new or old, and who
// comes back catches up from wherever it was.
func TestMirror(t *testing.T) {
	root := testRoot(t)
	l := newMirrorLog(t, root)
	web, state := t.TempDir(), t.TempDir()
	url := serveDir(t, web)
	l.grow(t, "a", 10, testTime)
	writeMirror(t, web, root, l)
	t.Run("a stranger", func(t *testing.T) {
		f := lonely(t, state, root.ID(), url)
		if got := find(t, f, 9); !strings.Contains(string(got.Raw), "a9") {
			t.Errorf("%q", got.Raw)
		}
	})
	l.grow(t, "a", 5000, testTime)
	writeMirror(t, web, root, l)
	t.Run("far behind", func(t *testing.T) {
		f := lonely(t, state, root.ID(), url)
		until(t, f, "5000 entries", func() bool { return f.Trust().Size(signing.MainWriter) == 5000 })
		for _, i := range []int64{0, 300, 4999} {
			if got := find(t, f, i); !strings.Contains(string(got.Raw), fmt.Sprint("a", i)) {
				t.Errorf("entry %d: %q", i, got.Raw)
			}
		}
		if s := f.Standing(signing.MainWriter); s.State != signing.StateFresh || s.Sources != 1 || s.Asked != 1 {
			t.Errorf("%s", s)
		}
	})
	l.grow(t, "a", 5001, testTime)
	writeMirror(t, web, root, l)
	t.Run("a little behind", func(t *testing.T) {
		f := lonely(t, state, root.ID(), url, url+"/")
		until(t, f, "5001 entries", func() bool { return f.Trust().Size(signing.MainWriter) == 5001 })
	})
}

// TestMirrorLies: what a mirror makes up, holds back or mixes up is not believed, and what
// is known stays.
func TestMirrorLies(t *testing.T) {
	root := testRoot(t)
	l := newMirrorLog(t, root)
	state := t.TempDir()
	old, web := t.TempDir(), t.TempDir()
	l.grow(t, "a", 300, testTime)
	writeMirror(t, old, root, l)
	l.grow(t, "a", 400, testTime)
	writeMirror(t, web, root, l)
	lonelyAt := func(t *testing.T, mirrors ...string) *Follower {
		f := lonely(t, state, root.ID(), mirrors...)
		until(t, f, "400 entries", func() bool { return f.Trust().Size(signing.MainWriter) == 400 })
		return f
	}
	t.Run("true", func(t *testing.T) { lonelyAt(t, serveDir(t, web)) })
	t.Run("old", func(t *testing.T) {
		f := lonelyAt(t, serveDir(t, old))
		until(t, f, "the old mirror was heard", func() bool { return f.Standing(signing.MainWriter).Sources == 1 })
	})
	t.Run("truncated", func(t *testing.T) {
		dir := t.TempDir()
		l := newMirrorLog(t, root)
		l.grow(t, "a", 4000, testTime)
		writeMirror(t, dir, root, l)
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "checkpoint") || strings.HasSuffix(path, "root.json") {
				return err
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			return os.Truncate(path, fi.Size()/2)
		})
		if err != nil {
			t.Fatal(err)
		}
		f := lonelyAt(t, serveDir(t, dir), serveDir(t, web))
		until(t, f, "the true one was heard", func() bool { return f.Standing(signing.MainWriter).Sources == 1 })
	})
	t.Run("another channel", func(t *testing.T) {
		dir := t.TempDir()
		other := strangeRoot(t)
		m := newMirrorLog(t, other)
		m.grow(t, "evil", 500, testTime)
		writeMirror(t, dir, other, m)
		if err := os.Rename(filepath.Join(dir, other.ID().String()), filepath.Join(dir, root.ID().String())); err != nil {
			t.Fatal(err)
		}
		f := lonely(t, t.TempDir(), root.ID(), serveDir(t, dir))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Find(ctx, signing.MainWriter, 3); !errors.Is(err, signing.ErrOtherChannel) {
			t.Errorf("a stranger is shown another channel: %v", err)
		}
		lonelyAt(t, serveDir(t, dir))
	})
	t.Run("wrong hashes beside a true head", func(t *testing.T) { wrongHashes(t, root, serveDir(t, web), lonelyAt) })
	t.Run("two histories", func(t *testing.T) {
		dir := t.TempDir()
		m := newMirrorLog(t, root)
		m.grow(t, "b", 3000, testTime)
		writeMirror(t, dir, root, m)
		f := lonelyAt(t, serveDir(t, dir))
		until(t, f, "the fork is seen", func() bool { return f.Trust().Fork(signing.MainWriter) != nil })
	})
}

// strangeRoot is the root document of another channel.
func strangeRoot(t testing.TB) *signing.Root {
	t.Helper()
	role := func(b byte) signing.RoleParams {
		return signing.RoleParams{Keys: []crypto.PublicKey{seedKey(b).Public()}}
	}
	r, err := signing.NewRoot(signing.RootParams{Expires: testTime.AddDate(2, 0, 0), Title: "strange", Root: role(9), Targets: role(2), Timestamp: role(2)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sign(seedKey(9)); err != nil {
		t.Fatal(err)
	}
	return r
}

// wrongHashes shows a true head and tiles that do not lead to it.
func wrongHashes(t *testing.T, root *signing.Root, honest string, lonelyAt func(*testing.T, ...string) *Follower) {
	dir := t.TempDir()
	more := newMirrorLog(t, root)
	more.grow(t, "a", 5000, testTime)
	writeMirror(t, dir, root, more)
	tiles, err := fs.Glob(os.DirFS(dir), root.ID().String()+"/m/tile/[0-9]/*")
	if err != nil || len(tiles) < 20 {
		t.Fatal(tiles, err)
	}
	for _, path := range tiles {
		if fi, err := os.Stat(filepath.Join(dir, path)); err != nil || fi.IsDir() {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, path), make([]byte, 8192), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := lonelyAt(t, serveDir(t, dir), honest)
	until(t, f, "the true one was heard", func() bool { return f.Standing(signing.MainWriter).Sources >= 1 })
	if f.Trust().Size(signing.MainWriter) != 400 || f.Trust().Fork(signing.MainWriter) != nil {
		t.Error("it was believed")
	}
}
