package store

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"handful/manifest"
)

// steps of finishing, in order; the third is only there with Force.
var steps = []string{"verify", "complete", "sync", "journal", "aside", "rename", "sync destination", "clean", "record"}

type killed struct{ step string }

// killAt lets the process die before or after a step, whatever follows.
func killAt(s *Store, step string, after bool) {
	s.fault = func(name string, done bool) {
		if name == step && done == after {
			panic(killed{step})
		}
	}
}

// dies runs act, which must end by the planned kill, and kills the rest.
func dies(t *testing.T, s *Store, act func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if _, ok := recover().(killed); !ok {
			t.Fatal("the planned step was never reached")
		}
		s.kill()
	}()
	act()
}

func TestFinishKilled(t *testing.T) {
	for _, shape := range []string{"tree", "forced tree", "file", "forced file"} {
		force := strings.HasPrefix(shape, "forced")
		r := rand.New(rand.NewPCG(3, uint64(len(shape))))
		content := map[string]node{"x": {data: random(r, 100_000), mode: 0o755}}
		if shape == "tree" || shape == "forced tree" {
			content = mixedTree(r)
		}
		dir, m, seed := publish(t, content, manifest.FormatHybrid)
		if len(content) == 1 {
			dir = filepath.Join(dir, "x")
			var src []manifest.Source
			var err error
			m, src = build(t, dir, manifest.FormatHybrid)
			if seed, err = open(t, t.TempDir()).Seed(m, src, SeedOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range steps {
			if step == "aside" && !force {
				continue
			}
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/landed %v", shape, step, after), func(t *testing.T) {
					finishKilled(t, finishCase{r, dir, m, seed, step, after, force})
				})
			}
		}
	}
}

type finishCase struct {
	r     *rand.Rand
	dir   string
	m     *manifest.Torrent
	seed  *Content
	step  string
	after bool
	force bool
}

func finishKilled(t *testing.T, k finishCase) {
	state, dest := scratch(t), scratch(t)
	final := filepath.Join(dest, k.m.Name)
	if k.force {
		old := map[string]node{k.m.Name + "/d0/f0": {data: []byte("old")}, k.m.Name + "/own": {data: []byte("old")}}
		if k.m.Single() {
			old = map[string]node{k.m.Name: {data: []byte("old")}}
		}
		plant(t, dest, old)
	}
	s := open(t, state)
	c := download(t, s, copyOf(t, k.m), dest, DownloadOptions{Force: k.force})
	fetch(t, k.r, k.seed, c, -1)
	killAt(s, k.step, k.after)
	dies(t, s, func() { c.Finish(t.Context()) })

	// The second run dies at the same place, if it comes by there once more.
	s = open(t, state)
	killAt(s, k.step, k.after)
	func() {
		defer func() {
			if r := recover(); r != nil {
				s.kill()
			}
		}()
		s.Download(t.Context(), copyOf(t, k.m), dest, DownloadOptions{})
		s.kill()
	}()

	s = open(t, state)
	records, err := s.Load()
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, %v", records, err)
	}
	announced := k.after && slices.Index(steps, k.step) >= slices.Index(steps, "journal")
	if announced { // then nothing has to be hashed again
		c = download(t, s, copyOf(t, k.m), dest, DownloadOptions{Progress: func(int64, int64) { t.Error("the content is hashed again") }})
		if got := c.Record().Kind; got != Finished {
			t.Errorf("not finished by the restart: %v", got)
		}
	} else if c, err = s.Reopen(t.Context(), records[0]); err != nil {
		t.Fatal(err)
	}
	if moved := fetch(t, k.r, k.seed, c, -1); moved != 0 {
		t.Errorf("%d bytes were fetched again", moved)
	}
	if path := finish(t, c); path != final {
		t.Errorf("finished at %s, not %s", path, final)
	}
	sameTrees(t, k.dir, final)
	readAll(t, k.seed, c)
	if left, err := os.ReadDir(dest); err != nil || len(left) != 1 {
		t.Errorf("left in the destination: %v, %v", left, err)
	}
	if got := c.Record().Kind; got != Finished {
		t.Errorf("kind %v", got)
	}
}

func TestFinishAppeared(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 1))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	dest := t.TempDir()
	s := open(t, t.TempDir())
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
	if _, err := c.Finish(t.Context()); !errors.Is(err, ErrIncomplete) {
		t.Errorf("incomplete: %v", err)
	}
	fetch(t, r, seed, c, -1)
	plant(t, dest, map[string]node{"tree/mine": {data: []byte("mine")}})
	if _, err := c.Finish(t.Context()); !errors.Is(err, ErrExists) {
		t.Fatalf("something appeared: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dest, "tree/mine")); err != nil || string(b) != "mine" {
		t.Fatalf("what appeared is %q, %v", b, err)
	}
	readAll(t, seed, c) // from the staging tree, still
	if err := os.Remove(filepath.Join(dest, "tree/mine")); err != nil {
		t.Fatal(err)
	}
	sameTrees(t, dir, finish(t, c)) // over the empty directory
}

// forged is a hybrid whose SHA-1 hashes are those of other bytes.
func forged(t *testing.T, m *manifest.Torrent, data []byte) *manifest.Torrent {
	t.Helper()
	var old, fake []byte
	i := bytes.Index(m.InfoBytes, []byte("6:pieces"))
	n := 20 * m.NumPieces()
	head := fmt.Appendf(nil, "6:pieces%d:", n)
	if i < 0 || !bytes.HasPrefix(m.InfoBytes[i:], head) {
		t.Fatal("no pieces in the info dict")
	}
	old = m.InfoBytes[i+len(head) : i+len(head)+n]
	for at := 0; at < len(data); at += int(m.PieceLength) {
		h := sha1.Sum(data[at:min(at+int(m.PieceLength), len(data))])
		fake = append(fake, h[:]...)
	}
	f, err := manifest.ParseInfo(bytes.Replace(bytes.Clone(m.InfoBytes), old, fake, 1))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFinishMismatch(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	path := filepath.Join(t.TempDir(), "file")
	good, bad := random(r, 300_000), random(r, 300_000)
	plant(t, filepath.Dir(path), map[string]node{"file": {data: good}})
	m, _ := build(t, path, manifest.FormatHybrid)
	f := forged(t, m, bad)
	state, dest := t.TempDir(), t.TempDir()
	s := open(t, state)
	c := download(t, s, f, dest, DownloadOptions{})
	write := func() {
		t.Helper()
		for i := range f.NumPieces() {
			at := int64(i) * f.PieceLength
			if _, err := c.WritePiece(bad[at:at+f.PieceSize(i)], i, 0); err != nil {
				t.Fatal(err)
			}
			if v, err := c.Verify(i); v != manifest.SHA1Only || err != nil {
				t.Fatalf("piece %d: %v, %v", i, v, err)
			}
			c.SetComplete(i, true)
		}
	}
	check := func() {
		t.Helper()
		_, err := c.Finish(t.Context())
		if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrMismatch) || e.Path != "file" {
			t.Fatalf("forged content: %v", err)
		}
		if _, err := os.Lstat(filepath.Join(dest, "file")); err == nil {
			t.Fatal("forged content got its final name")
		}
	}
	write()
	check()
	if complete, known := c.State(0); complete || !known {
		t.Error("forged pieces are still complete")
	}
	// The same when the layer comes after the pieces.
	write()
	layer := m.MissingLayers()
	if len(layer) != 0 {
		t.Fatal("the publisher has no layers")
	}
	for i := range m.Files {
		root := m.Files[i].PiecesRoot
		if err := f.AddLayer(root, m.Layer(root)); err != nil {
			t.Fatal(err)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := open(t, state).Torrent(f.InfoHash())
	if err != nil || len(again.MissingLayers()) != 0 {
		t.Errorf("layers that came later were not kept: %v", err)
	}
}

func TestSHA1OnlyFinishes(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	f, err := manifest.ParseInfo(m.InfoBytes) // without layers
	if err != nil || len(f.MissingLayers()) == 0 {
		t.Fatal(err)
	}
	c := download(t, open(t, t.TempDir()), f, t.TempDir(), DownloadOptions{})
	fetch(t, r, seed, c, -1)
	sameTrees(t, dir, finish(t, c))
}

// TestSwapInTheWay has something appear at the one moment when the name is free.
func TestSwapInTheWay(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 1))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	dest := t.TempDir()
	plant(t, dest, map[string]node{"tree/old": {data: []byte("old")}})
	s := open(t, t.TempDir())
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{Force: true})
	fetch(t, r, seed, c, -1)
	s.fault = func(step string, done bool) {
		if step == "rename" && !done {
			plant(t, dest, map[string]node{"tree/new": {data: []byte("new")}})
		}
	}
	if _, err := c.Finish(t.Context()); !errors.Is(err, ErrExists) {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dest, "tree/new")); err != nil || string(b) != "new" {
		t.Errorf("what appeared is %q, %v", b, err)
	}
	s.fault = nil
	sameTrees(t, dir, finish(t, c))
	readAll(t, seed, c)
}

// TestAsideAndStateLost loses the journal with the state, while what was replaced
// has no place but the staging tree.
func TestAsideAndStateLost(t *testing.T) {
	r := rand.New(rand.NewPCG(29, 1))
	dir, m, seed := publish(t, mixedTree(r), manifest.FormatHybrid)
	dest, old := t.TempDir(), map[string]node{"old": {data: []byte("old")}}
	plant(t, filepath.Join(dest, "tree"), old)
	s := open(t, t.TempDir())
	c := download(t, s, copyOf(t, m), dest, DownloadOptions{Force: true})
	fetch(t, r, seed, c, -1)
	killAt(s, "aside", true)
	dies(t, s, func() { c.Finish(t.Context()) })
	if _, err := os.Lstat(filepath.Join(dest, "tree")); err == nil {
		t.Fatal("nothing was moved aside")
	}

	s = open(t, t.TempDir())
	c = download(t, s, copyOf(t, m), dest, DownloadOptions{})
	if b, err := os.ReadFile(filepath.Join(dest, "tree", "old")); err != nil || string(b) != "old" {
		t.Fatalf("what was there is not back: %q, %v", b, err)
	}
	if moved := fetch(t, r, seed, c, -1); moved != 0 {
		t.Errorf("%d bytes were fetched again", moved)
	}
	if _, err := c.Finish(t.Context()); !errors.Is(err, ErrExists) {
		t.Errorf("replaced without being asked to: %v", err)
	}
	c.Close()
	sameTrees(t, dir, finish(t, download(t, s, copyOf(t, m), dest, DownloadOptions{Force: true})))
}
