package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"handful/manifest"
)

// scratch is a directory in memory where the system has one, for tests that create
// tens of thousands of files or sync hundreds of times.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// node is name → what is there, for one tree in a test.
type node struct {
	data []byte
	mode os.FileMode
	link string
	dir  bool
}

// plant makes a tree on disk.
func plant(t testing.TB, dir string, tree map[string]node) {
	t.Helper()
	for name, n := range tree {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case n.dir:
			err = os.MkdirAll(path, 0o755)
		case n.link != "":
			err = os.Symlink(n.link, path)
		default:
			mode := n.mode
			if mode == 0 {
				mode = 0o644
			}
			if err = os.WriteFile(path, n.data, mode); err == nil {
				err = os.Chmod(path, mode)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// grown reads a tree from disk; modes keep only what a torrent carries.
func grown(t testing.TB, dir string) map[string]string {
	t.Helper()
	tree := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		fi, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			tree[rel] = "dir"
		case fi.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			tree[rel] = "link " + to
			return err
		default:
			b, err := os.ReadFile(path)
			tree[rel] = fmt.Sprintf("file x=%v %x", fi.Mode()&0o100 != 0, b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func sameTrees(t testing.TB, want, got string) {
	t.Helper()
	a, b := grown(t, want), grown(t, got)
	for name, v := range a {
		if b[name] != v {
			t.Errorf("%s: %.60s, want %.60s", name, b[name], v)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			t.Errorf("%s: should not be there", name)
		}
	}
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// mixedTree has all that a tree can have.
func mixedTree(r *rand.Rand) map[string]node {
	tree := map[string]node{
		"empty":             {},
		"bin/tool":          {data: random(r, 70_000), mode: 0o755},
		"bin/empty-tool":    {mode: 0o755},
		"secret":            {data: random(r, 100), mode: 0o600},
		"nothing/here":      {dir: true},
		"link":              {link: "bin/tool"},
		"deep/er/up":        {link: "../../secret"},
		"deep/er/dir":       {link: "../../bin"},
		"zeros":             {data: make([]byte, 150_000)},
		"name with ä space": {data: []byte("x")},
	}
	for i := range 12 {
		tree[fmt.Sprintf("d%d/f%d", i%3, i)] = node{data: random(r, r.IntN(60_000))}
	}
	return tree
}

var formats = map[string]manifest.Format{"hybrid": manifest.FormatHybrid, "v2": manifest.FormatV2, "v1": manifest.FormatV1}

func build(t testing.TB, path string, f manifest.Format) (*manifest.Torrent, []manifest.Source) {
	t.Helper()
	m, src, err := manifest.Build(t.Context(), []string{path}, manifest.BuildOptions{Format: f, PieceLength: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return m, src
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{OpenFiles: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// kill leaves everything as a killed process would: nothing is written, only what
// the system gives free is given free.
func (s *Store) kill() {
	s.mu.Lock()
	s.closed = true
	for _, c := range s.open {
		if c != nil {
			defer c.abandon()
		}
	}
	s.mu.Unlock()
	s.db.Close()
	s.lock.release()
}

// publish makes a tree, builds it and seeds it.
func publish(t testing.TB, tree map[string]node, f manifest.Format) (dir string, m *manifest.Torrent, c *Content) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "tree")
	plant(t, dir, tree)
	m, src := build(t, dir, f)
	s := open(t, t.TempDir())
	c, err := s.Seed(m, src, SeedOptions{Origin: true})
	if err != nil {
		t.Fatal(err)
	}
	return dir, m, c
}

// copyOf is a torrent as a peer gets it, without anything shared.
func copyOf(t testing.TB, m *manifest.Torrent) *manifest.Torrent {
	t.Helper()
	p, err := manifest.Parse(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func download(t testing.TB, s *Store, m *manifest.Torrent, dest string, o DownloadOptions) *Content {
	t.Helper()
	c, err := s.Download(t.Context(), m, dest, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fetch moves pieces that are missing from one content to another, in blocks of
// odd sizes and random order, and returns the bytes moved. At most limit pieces.
func fetch(t testing.TB, r *rand.Rand, from, to *Content, limit int) (moved int64) {
	t.Helper()
	m := to.Torrent()
	for _, i := range r.Perm(m.NumPieces()) {
		complete, known := to.State(i)
		if !known {
			settle(t, to, i)
			complete, _ = to.State(i)
		}
		if complete || limit == 0 {
			continue
		}
		limit--
		buf := make([]byte, m.PieceSize(i))
		if n, err := from.ReadPiece(buf, i, 0); err != nil || n != len(buf) {
			t.Fatalf("read piece %d: %d, %v", i, n, err)
		}
		var cuts []int
		for at := 0; at < len(buf); at += 1 + r.IntN(16<<10) {
			cuts = append(cuts, at)
		}
		for _, k := range r.Perm(len(cuts)) {
			end := len(buf)
			if k+1 < len(cuts) {
				end = cuts[k+1]
			}
			if n, err := to.WritePiece(buf[cuts[k]:end], i, int64(cuts[k])); err != nil || n != end-cuts[k] {
				t.Fatalf("write piece %d: %d, %v", i, n, err)
			}
		}
		if !settle(t, to, i) {
			t.Fatalf("piece %d is bad after it was written", i)
		}
		moved += to.payload(i)
	}
	return moved
}

func settle(t testing.TB, c *Content, i int) bool {
	t.Helper()
	v, err := c.Verify(i)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetComplete(i, v != manifest.Bad); err != nil {
		t.Fatal(err)
	}
	return v != manifest.Bad
}

func finish(t testing.TB, c *Content) string {
	t.Helper()
	path, err := c.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll compares every piece of two contents.
func readAll(t testing.TB, want, got *Content) {
	t.Helper()
	m := want.Torrent()
	for i := range m.NumPieces() {
		a, b := make([]byte, m.PieceSize(i)), make([]byte, m.PieceSize(i))
		_, aerr := want.ReadPiece(a, i, 0)
		_, berr := got.ReadPiece(b, i, 0)
		if aerr != nil || berr != nil || !bytes.Equal(a, b) {
			t.Fatalf("piece %d: %v, %v, equal %v", i, aerr, berr, bytes.Equal(a, b))
		}
	}
}

func TestFetch(t *testing.T) {
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(f)))
			dir, m, seed := publish(t, mixedTree(r), f)
			before := stampsBelow(t, dir)
			state, dest := t.TempDir(), t.TempDir()
			s := open(t, state)
			c := download(t, s, copyOf(t, m), dest, DownloadOptions{Meta: []byte("note")})
			if got := fetch(t, r, seed, c, -1); got != m.Length() {
				t.Errorf("moved %d bytes of %d", got, m.Length())
			}
			if !c.Complete() || c.Reused() != 0 {
				t.Errorf("complete %v, reused %d", c.Complete(), c.Reused())
			}
			path := finish(t, c)
			sameTrees(t, dir, path)
			readAll(t, seed, c)
			if _, err := c.WritePiece([]byte("x"), 0, 0); err == nil {
				t.Error("a write after the end was taken")
			}
			left, err := os.ReadDir(dest)
			if err != nil || len(left) != 1 {
				t.Errorf("beside the content: %v, %v", left, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, state)
			records, err := s.Load()
			if err != nil || len(records) != 1 || records[0].Kind != Finished || string(records[0].Meta) != "note" || records[0].Path() != path {
				t.Fatalf("records: %+v, %v", records, err)
			}
			again, err := s.Reopen(t.Context(), records[0])
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, seed, again)
			if again.Reused() != m.Length() {
				t.Errorf("reused %d of %d", again.Reused(), m.Length())
			}
			if after := stampsBelow(t, dir); after != before {
				t.Errorf("the publisher's tree was touched:\n%s\n%s", before, after)
			}
		})
	}
}

// stampsBelow lists mode, mtime and name of everything in a tree.
func stampsBelow(t testing.TB, dir string) (list string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			list += fmt.Sprintf("%s %s %s\n", path, fi.Mode(), fi.ModTime().Format(time.RFC3339Nano))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestResume(t *testing.T) {
	for name, f := range formats {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s killed %v", name, killed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(2, uint64(f)))
				dir, m, seed := publish(t, mixedTree(r), f)
				state, dest := scratch(t), scratch(t)
				var moved int64
				for round := 0; ; round++ {
					s := open(t, state)
					c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
					got := fetch(t, r, seed, c, m.NumPieces()/3)
					moved += got
					if c.Reused()+got != m.Length()-missing(c) {
						t.Errorf("round %d: reused %d + moved %d, missing %d of %d", round, c.Reused(), got, missing(c), m.Length())
					}
					if c.Complete() {
						sameTrees(t, dir, finish(t, c))
						break
					}
					if killed {
						s.kill()
					} else if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				// A piece of zeros may turn up by itself between two that were written.
				if moved > m.Length() || moved < m.Length()-150_000 {
					t.Errorf("moved %d bytes for %d", moved, m.Length())
				}
			})
		}
	}
}

func missing(c *Content) (n int64) {
	for i := range c.Torrent().NumPieces() {
		if complete, _ := c.State(i); !complete {
			n += c.payload(i)
		}
	}
	return n
}
