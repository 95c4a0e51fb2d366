package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"handful/manifest"
)

// decomposed is a name in NFD, composed the same in NFC.
const (
	decomposed = "de\u0301ja\u0300 vu"
	composed   = "d\u00e9j\u00e0 vu"
)

// writtenTree has names that are not NFC wherever there can be one.
func writtenTree(r *rand.Rand) map[string]node {
	return map[string]node{
		"cafe\u0301/nai\u0308f":                {data: random(r, 90_000), mode: 0o755},
		"cafe\u0301/plain":                     {data: random(r, 40_000)},
		"cafe\u0301/e\u0301/empty":             {},
		"caf\u00e9s":                           {data: random(r, 10)},
		"plain/o\u0308":                        {data: random(r, 35_000)},
		"plain/vide\u0301":                     {dir: true},
		"lien":                                 {link: "cafe\u0301/nai\u0308f"},
		"cafe\u0301/e\u0301/le\u0301":          {link: "../../plain/vide\u0301"},
		"cafe\u0301/e\u0301/sibling":           {link: "empty"},
		"lie\u0301":                            {link: "plain"},
		"through":                              {link: "lie\u0301/o\u0308"},
		"nowhere":                              {link: "cafe\u0301/u\u0308"},
		"\u1112\u1161\u11ab\u1100\u1173\u11af": {data: random(r, 1)},
	}
}

// distinguishes tells whether a file system keeps both spellings of a name apart.
func distinguishes(t *testing.T) bool {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, decomposed), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := os.Lstat(filepath.Join(dir, composed))
	return err != nil
}

func publishWritten(t *testing.T, tree map[string]node, f manifest.Format) (dir string, m *manifest.Torrent, c *Content) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), decomposed)
	plant(t, dir, tree)
	m, src := build(t, dir, f)
	c, err := open(t, t.TempDir()).Seed(m, src, SeedOptions{Origin: true})
	if err != nil {
		t.Fatal(err)
	}
	return dir, m, c
}

// onlyEntry is the name that the directory lists.
func onlyEntry(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%s has %v, %v", dir, entries, err)
	}
	return entries[0].Name()
}

// TestWritten fetches a tree, with a kill half-way, restarts, and finds it there.
func TestWritten(t *testing.T) {
	for name, f := range formats {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(31, uint64(f)))
			dir, m, seed := publishWritten(t, writtenTree(r), f)
			state, dest := t.TempDir(), t.TempDir()
			s := open(t, state)
			c := download(t, s, copyOf(t, m), dest, DownloadOptions{})
			moved := fetch(t, r, seed, c, m.NumPieces()/2)
			s.kill()
			s = open(t, state)
			c = download(t, s, copyOf(t, m), dest, DownloadOptions{})
			if moved += fetch(t, r, seed, c, -1); moved != m.Length() {
				t.Errorf("moved %d bytes of %d", moved, m.Length())
			}
			path := finish(t, c)
			sameTrees(t, dir, path)
			if got := onlyEntry(t, dest); got != decomposed || path != filepath.Join(dest, decomposed) {
				t.Errorf("the tree is called %+q, and %+q", got, path)
			}
			s.kill()
			s = open(t, state)
			records, err := s.Load()
			if err != nil || len(records) != 1 || records[0].Name != composed || records[0].Path() != path {
				t.Fatalf("records: %+v, %v", records, err)
			}
			again, err := s.Reopen(t.Context(), records[0])
			if err != nil {
				t.Fatal(err)
			}
			readAll(t, seed, again)
			if err := again.CheckSources(t.Context()); err != nil {
				t.Error(err)
			}
			// Somebody else finds it complete and takes it as it is.
			other := download(t, open(t, t.TempDir()), copyOf(t, m), dest, DownloadOptions{})
			if !other.Complete() || other.Reused() != m.Length() || other.Record().Kind != Finished {
				t.Errorf("the copy is not taken: %+v", other.Record())
			}
		})
	}
}

// TestWrittenExisting compares what is at the destination under its own names.
func TestWrittenExisting(t *testing.T) {
	r := rand.New(rand.NewPCG(32, 1))
	tree := writtenTree(r)
	dir, m, seed := publishWritten(t, tree, manifest.FormatV1)
	for path, damage := range map[string]func(path string) error{
		"cafe\u0301/e\u0301/empty": os.Remove,
		"cafe\u0301/nai\u0308f":    func(path string) error { return os.Truncate(path, 80_000) },
		"plain/vide\u0301":         os.Remove,
		"lien": func(path string) error {
			return errors.Join(os.Remove(path), os.Symlink("caf\u00e9/na\u00eff", path))
		},
	} {
		dest := t.TempDir()
		plant(t, filepath.Join(dest, decomposed), tree)
		if err := damage(filepath.Join(dest, decomposed, path)); err != nil {
			t.Fatal(err)
		}
		s := open(t, t.TempDir())
		_, err := s.Download(t.Context(), copyOf(t, m), dest, DownloadOptions{})
		if e, ok := errors.AsType[*Error](err); !ok || e.Kind != ErrExists || e.Path != filepath.Join(dest, decomposed, path) {
			t.Errorf("%+q: %v", path, err)
		}
		c := download(t, s, copyOf(t, m), dest, DownloadOptions{Force: true})
		if moved := fetch(t, r, seed, c, -1); moved > 65536 || moved+c.Reused() != m.Length() {
			t.Errorf("%+q: %d bytes were fetched, %d reused of %d", path, moved, c.Reused(), m.Length())
		}
		sameTrees(t, dir, finish(t, c))
		if got := onlyEntry(t, dest); got != decomposed {
			t.Errorf("%+q: the tree is called %+q", path, got)
		}
	}
}

// TestWrittenBeside: the other spelling of the name is another tree.
func TestWrittenBeside(t *testing.T) {
	if !distinguishes(t) {
		t.Skip("SKIP: this file system takes both spellings for one name")
	}
	r := rand.New(rand.NewPCG(33, 1))
	dir, m, seed := publishWritten(t, writtenTree(r), manifest.FormatV2)
	dest := t.TempDir()
	plant(t, filepath.Join(dest, composed), map[string]node{"mine": {data: []byte("mine")}})
	before := stampsBelow(t, filepath.Join(dest, composed))
	c := download(t, open(t, t.TempDir()), copyOf(t, m), dest, DownloadOptions{})
	fetch(t, r, seed, c, -1)
	sameTrees(t, dir, finish(t, c))
	if after := stampsBelow(t, filepath.Join(dest, composed)); after != before {
		t.Errorf("what was beside it was touched:\n%s\n%s", before, after)
	}
}

func TestWrittenSingle(t *testing.T) {
	for name, f := range formats {
		r := rand.New(rand.NewPCG(34, uint64(f)))
		src, dest := t.TempDir(), t.TempDir()
		plant(t, src, map[string]node{decomposed: {data: random(r, 50_000)}})
		m, sources := build(t, filepath.Join(src, decomposed), f)
		seed, err := open(t, t.TempDir()).Seed(m, sources, SeedOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c := download(t, open(t, t.TempDir()), copyOf(t, m), dest, DownloadOptions{})
		fetch(t, r, seed, c, -1)
		if path := finish(t, c); path != filepath.Join(dest, decomposed) || onlyEntry(t, dest) != decomposed {
			t.Errorf("%s: the file is called %+q", name, path)
		}
		sameTrees(t, src, dest)
	}
}
