package manifest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// formats are all that Build makes.
var formats = []Format{FormatHybrid, FormatV2, FormatV1}

// write makes a file of a tree for a test.
func write(t testing.TB, root, path string, data []byte, mode fs.FileMode) {
	t.Helper()
	full := filepath.Join(root, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, data, mode); err != nil {
		t.Fatal(err)
	}
}

// noise returns n bytes that are the same in every run.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// makeTree makes a tree that has one of everything, and returns its directory.
func makeTree(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	write(t, root, "a.bin", noise(1, 200_001), 0o644)
	write(t, root, "bin/tool", noise(2, 32<<10), 0o755)
	write(t, root, "bin/tool.1", noise(3, 33<<10), 0o600)
	write(t, root, "cafe\u0301/e\u0301", noise(4, 17), 0o644)
	write(t, root, "empty", nil, 0o644)
	write(t, root, "same", noise(1, 200_001), 0o644)
	write(t, root, "z", noise(5, 5), 0o644)
	write(t, root, "zz", nil, 0o644)
	for _, dir := range []string{"void", "deep/void"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"link": "a.bin", "bin/up": "../bin/./tool", "bin/top": "..", "dangling": "nothing"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func build(t testing.TB, o BuildOptions, paths ...string) (*Torrent, []Source) {
	t.Helper()
	tor, sources, err := Build(t.Context(), paths, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) != len(tor.Files) {
		t.Fatalf("%d sources for %d files", len(sources), len(tor.Files))
	}
	return tor, sources
}

// pieceBytes reads piece i from the sources.
func pieceBytes(t testing.TB, tor *Torrent, sources []Source, i int) []byte {
	t.Helper()
	data := make([]byte, 0, tor.PieceSize(i))
	for s := range tor.Spans(i, 0, tor.PieceLength) {
		part := make([]byte, s.Length)
		if !tor.Files[s.File].Pad {
			f, err := os.Open(sources[s.File].Path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.ReadAt(part, s.Offset); err != nil && err != io.EOF {
				t.Fatal(err)
			}
			f.Close()
		}
		data = append(data, part...)
	}
	return data
}

func TestBuildTree(t *testing.T) {
	root := makeTree(t)
	want := []string{"a.bin 200001", "bin/tool 32768 x", "bin/tool.1 33792", "bin/top -> .", "bin/up -> bin/tool", "caf\u00e9/\u00e9 17",
		"dangling -> nothing", "empty 0", "link -> a.bin", "same 200001", "z 5", "zz 0"}
	for _, format := range formats {
		t.Run(format.String(), func(t *testing.T) {
			tor, sources := build(t, BuildOptions{Format: format}, root)
			var got []string
			for i, f := range tor.Files {
				if f.Pad {
					continue
				}
				line := strings.Join(f.Path, "/")
				switch {
				case f.Symlink != nil:
					line += " -> " + strings.Join(f.Symlink, "/")
				default:
					line += fmt.Sprint(" ", f.Length)
				}
				if f.Exec {
					line += " x"
				}
				got = append(got, line)
				if f.Symlink == nil {
					info, err := os.Lstat(sources[i].Path)
					if err != nil || !sources[i].Same(info) {
						t.Errorf("source of %q: %+v, %v", f.Path, sources[i], err)
					}
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("files:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if dirs := fmt.Sprint(tor.EmptyDirs); dirs != "[[deep void] [void]]" {
				t.Errorf("empty directories %s", dirs)
			}
			if tor.Length() != 2*200_001+32<<10+33<<10+17+5 || tor.Single() || tor.Name != "tree" {
				t.Errorf("length %d, single %t, name %q", tor.Length(), tor.Single(), tor.Name)
			}
			checkPieces(t, tor, sources)
		})
	}
}

// checkPieces reads every piece and flips a byte of it.
func checkPieces(t *testing.T, tor *Torrent, sources []Source) {
	t.Helper()
	var total int64
	for i := range tor.NumPieces() {
		data := pieceBytes(t, tor, sources, i)
		total += int64(len(data))
		if v := tor.Check(i, data); v != Good {
			t.Errorf("piece %d: %s", i, v)
		}
		data[len(data)/2] ^= 1
		if v := tor.Check(i, data); v != Bad {
			t.Errorf("piece %d with a wrong byte: %s", i, v)
		}
		if v := tor.Check(i, data[1:]); v != Bad {
			t.Errorf("short piece %d: %s", i, v)
		}
	}
	if total != tor.Length() {
		t.Errorf("pieces have %d bytes, files %d", total, tor.Length())
	}
}

func TestBytesRoundTrip(t *testing.T) {
	root := makeTree(t)
	for _, format := range formats {
		tor, _ := build(t, BuildOptions{Format: format, Private: true}, root)
		tor = tor.WithSources([]string{"http://a/announce", "udp://b:1"}, []string{"http://c/"})
		b := tor.Bytes()
		again, err := Parse(b)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if !bytes.Equal(again.Bytes(), b) {
			t.Errorf("%s: prints back differently", format)
		}
		if !slices.Equal(again.Trackers, tor.Trackers) || !slices.Equal(again.WebSeeds, tor.WebSeeds) || !again.Private {
			t.Errorf("%s: %q %q %t", format, again.Trackers, again.WebSeeds, again.Private)
		}
		if again.InfoHash() != tor.InfoHash() || again.InfoSum() != sha256.Sum256(tor.InfoBytes) {
			t.Errorf("%s: other hashes", format)
		}
		if missing := again.MissingLayers(); missing != nil {
			t.Errorf("%s: layers are missing: %v", format, missing)
		}
	}
}

// TestBuildStream makes the same torrent of a stream as of a file with its bytes, for any
// number of workers, and says whose error it was that kept it from that.
func TestBuildStream(t *testing.T) {
	data := make([]byte, 3<<20+12345)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	path := filepath.Join(t.TempDir(), "film")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []Format{FormatAuto, FormatHybrid, FormatV2, FormatV1} {
		want, _, err := Build(t.Context(), []string{path}, BuildOptions{Format: f})
		if err != nil {
			t.Fatal(err)
		}
		got, err := BuildStream(t.Context(), "film", int64(len(data)), bytes.NewReader(data), BuildOptions{Format: f, Workers: 3})
		if err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%s: another torrent: %v", f, err)
		}
	}
	if _, err := BuildStream(t.Context(), "film", int64(len(data))+1, bytes.NewReader(data), BuildOptions{}); !errors.Is(err, io.EOF) {
		t.Errorf("of a stream that ends too early: %v", err)
	}
	if _, err := BuildStream(t.Context(), "a/b", 1, bytes.NewReader(data), BuildOptions{}); !errors.Is(err, ErrUnsafePath) {
		t.Errorf("under a path: %v", err)
	}
}

// TestSalt makes another torrent of the same file, which is parsed like any.
func TestSalt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "film")
	if err := os.WriteFile(path, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := make(map[[32]byte]bool)
	for _, f := range []Format{FormatHybrid, FormatV1} {
		for _, salt := range []string{"", "a", "b"} {
			tor, _, err := Build(t.Context(), []string{path}, BuildOptions{Format: f, Salt: []byte(salt), Private: true})
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Parse(tor.Bytes()); err != nil || again.InfoSum() != tor.InfoSum() {
				t.Errorf("%s with salt %q: %v", f, salt, err)
			}
			if seen[tor.InfoSum()] {
				t.Errorf("%s with salt %q is not new", f, salt)
			}
			seen[tor.InfoSum()] = true
		}
	}
}
