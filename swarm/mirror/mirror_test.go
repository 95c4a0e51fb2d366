package mirror

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"handful/manifest"
	"handful/manifest/bencode"
	"handful/signing"
)

var testTime = time.Unix(1766400000, 0).UTC()

func seedKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func testRoot(t testing.TB) *signing.Root {
	t.Helper()
	role := func(b byte) signing.RoleParams {
		return signing.RoleParams{Keys: []crypto.PublicKey{seedKey(b).Public()}}
	}
	r, err := signing.NewRoot(signing.RootParams{Expires: testTime.AddDate(2, 0, 0), Root: role(1), Targets: role(2), Timestamp: role(2)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Sign(seedKey(1)); err != nil {
		t.Fatal(err)
	}
	return r
}

// testLog is a log in memory whose hashes can be read.
type testLog struct {
	*signing.Log
	*signing.Memory
}

func (l testLog) Entry(i int64) ([]byte, error) { return l.Log.Entry(i) }
func (l testLog) Size() int64                   { return l.Log.Size() }
func (l testLog) Append(e []byte) (int64, error) {
	return l.Log.Append(e)
}

func newLog(t testing.TB, root *signing.Root) testLog {
	t.Helper()
	memory := &signing.Memory{}
	l, err := signing.NewLog(root.ID(), signing.MainWriter, memory, 1)
	if err != nil {
		t.Fatal(err)
	}
	return testLog{l, memory}
}

func (l testLog) grow(t testing.TB, mark string, size int64) {
	t.Helper()
	for i := l.Size(); i < size; i++ {
		b := bencode.AppendString([]byte("d"), "x")
		b = bencode.AppendString(b, fmt.Sprint(mark, i, strings.Repeat(".", 60)))
		b = bencode.AppendString(b, "y")
		b = bencode.AppendString(b, "post")
		if _, err := l.Append(append(b, 'e')); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.SignHead(seedKey(2), testTime); err != nil {
		t.Fatal(err)
	}
}

var _ Log = testLog{}

func channelOf(root *signing.Root, l Log, items ...Item) Channel {
	return Channel{ID: root.ID(), Roots: [][]byte{root.Bytes()}, Writers: map[string]Log{signing.MainWriter: l}, Items: items}
}

func write(t testing.TB, dir string, c Channel) Report {
	t.Helper()
	r, err := Write(t.Context(), dir, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// server serves a directory and counts what it sends.
type server struct {
	*httptest.Server
	bytes    int
	requests int
}

type counted struct {
	http.ResponseWriter
	s *server
}

func (c counted) Write(b []byte) (int, error) {
	c.s.bytes += len(b)
	return c.ResponseWriter.Write(b)
}

func serve(t testing.TB, dir string) *server {
	t.Helper()
	s := &server{}
	files := http.FileServer(http.Dir(dir))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests++
		files.ServeHTTP(counted{w, s}, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func reading(t testing.TB, base string, id signing.ID) *Client {
	t.Helper()
	c, err := NewClient(base, id, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSizes: from logs of all kinds of sizes a stranger, and everybody who was there
// before, gets to the head, and any entry can be had.
func TestSizes(t *testing.T) {
	root := testRoot(t)
	l := newLog(t, root)
	dir := t.TempDir()
	s := serve(t, dir)
	ranges := map[int64]*signing.Trusted{}
	for _, size := range []int64{1, 2, 70, 255, 256, 257, 600, 1000, 70000} {
		l.grow(t, "a", size)
		write(t, dir, channelOf(root, l))
		c := reading(t, s.URL, root.ID())
		u, err := c.News(t.Context(), signing.MainWriter)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(u.Bytes()); n > MaxNews {
			t.Errorf("size %d: the update has %d bytes", size, n)
		}
		for held, follower := range ranges {
			v, err := c.Bridge(t.Context(), signing.MainWriter, u, size, held)
			if err != nil {
				t.Fatal(err)
			}
			if acc, err := follower.UpdateHead(signing.MainWriter, v, testTime); err != nil || !acc.Changed || follower.Size(signing.MainWriter) != size {
				t.Fatalf("from %d to %d: %+v, %v", held, size, acc, err)
			}
			delete(ranges, held)
		}
		stranger := signing.NewTrusted(root.ID())
		raw, err := c.Root(t.Context(), 1)
		if err == nil {
			err = stranger.UpdateRoot(raw)
		}
		if err != nil {
			t.Fatal(err)
		}
		if acc, err := stranger.UpdateHead(signing.MainWriter, u, testTime); err != nil || !acc.Changed {
			t.Fatalf("a stranger, size %d: %+v, %v", size, acc, err)
		}
		ranges[size] = stranger
		for _, i := range []int64{0, size / 2, size - 1} {
			p, err := c.Page(t.Context(), signing.MainWriter, i, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := stranger.VerifyPage(signing.MainWriter, p); err != nil || p.First != i {
				t.Errorf("size %d, entry %d: %v", size, i, err)
			}
		}
	}
}

// TestLittleIsLoaded is the promise of the package doc, in bytes and requests.
func TestLittleIsLoaded(t *testing.T) {
	root := testRoot(t)
	l := newLog(t, root)
	l.grow(t, "a", 30000)
	dir := t.TempDir()
	write(t, dir, channelOf(root, l))
	s := serve(t, dir)
	c := reading(t, s.URL, root.ID())
	measure := func(what string, most, requests int, f func() error) {
		t.Helper()
		b, r := s.bytes, s.requests
		if err := f(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := s.bytes - b; got > most || s.requests-r > requests {
			t.Errorf("%s: %d bytes in %d requests, at most %d in %d are right", what, got, s.requests-r, most, requests)
		}
	}
	var u signing.Update
	measure("a stranger", 10<<10, 3, func() error {
		_, err := c.Root(t.Context(), 1)
		if err == nil {
			_, _, err = c.Head(t.Context(), signing.MainWriter)
		}
		if err == nil {
			u, err = c.News(t.Context(), signing.MainWriter)
		}
		return err
	})
	measure("no news", 0, 1, func() error {
		_, changed, err := c.Head(t.Context(), signing.MainWriter)
		if changed {
			t.Error("it says that there are news")
		}
		return err
	})
	measure("from far behind", 3*8192, 3, func() error {
		_, err := c.Bridge(t.Context(), signing.MainWriter, u, 30000, 12345)
		return err
	})
}

// TestIncremental: a second time only what is new is written, and what readers on their
// way need stays.
func TestIncremental(t *testing.T) {
	root := testRoot(t)
	l := newLog(t, root)
	l.grow(t, "a", 700)
	dir := t.TempDir()
	write(t, dir, channelOf(root, l))
	before := stamps(t, dir)
	if r := write(t, dir, channelOf(root, l)); r.Written != 0 {
		t.Errorf("nothing was new, and %d files were written", r.Written)
	}
	if got := stamps(t, dir); !slices.Equal(got, before) {
		t.Error("nothing was new, and files were touched")
	}
	c := reading(t, serve(t, dir).URL, root.ID())
	old, err := c.News(t.Context(), signing.MainWriter)
	if err != nil {
		t.Fatal(err)
	}
	l.grow(t, "a", 701)
	// update, checkpoint, and the incomplete tiles of entries and of two levels
	if r := write(t, dir, channelOf(root, l)); r.Written != 4 {
		t.Errorf("one entry more, and %d files were written", r.Written)
	}
	if _, err := c.Bridge(t.Context(), signing.MainWriter, old, 700, 3); err != nil {
		t.Errorf("who has seen the head before: %v", err)
	}
	l.grow(t, "a", 702)
	write(t, dir, channelOf(root, l))
	if names, err := fs.Glob(os.DirFS(dir), root.ID().String()+"/m/tile/*/*.p/*"); err != nil || len(names) != 5 {
		t.Errorf("incomplete tiles of the last two heads: %q, %v", names, err)
	}
	l.grow(t, "a", 800) // tiles become complete
	write(t, dir, channelOf(root, l))
	if _, err := c.Bridge(t.Context(), signing.MainWriter, old, 700, 3); err != nil {
		t.Errorf("who has seen a head long ago: %v", err)
	}
}

func stamps(t testing.TB, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			all = append(all, fmt.Sprint(path, fi.ModTime(), fi.Size()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// content is the pieces of a torrent whose files are in memory.
type content struct {
	t     *manifest.Torrent
	files map[string][]byte
	stop  func(piece int)
}

func (c content) ReadPiece(p []byte, piece int, off int64) (n int, err error) {
	if c.stop != nil {
		c.stop(piece)
	}
	for span := range c.t.Spans(piece, off, int64(len(p))) {
		f := c.t.Files[span.File]
		if f.Pad {
			clear(p[n : n+int(span.Length)])
		} else {
			copy(p[n:], c.files[strings.Join(f.Path, "/")][span.Offset:span.Offset+span.Length])
		}
		n += int(span.Length)
	}
	return n, nil
}

func (c content) Close() error { return nil }

// published makes a torrent of files.
func published(t testing.TB, format manifest.Format, files map[string][]byte) content {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	for name, b := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, _, err := manifest.Build(t.Context(), []string{dir}, manifest.BuildOptions{Format: format, PieceLength: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return content{t: m, files: files}
}

// TestFiles: the files stand where a web seed has them; a run that is stopped leaves
// none of them under that name, and the next one goes on.
func TestFiles(t *testing.T) {
	root := testRoot(t)
	l := newLog(t, root)
	l.grow(t, "a", 3)
	for name, format := range map[string]manifest.Format{"hybrid": manifest.FormatHybrid, "v1": manifest.FormatV1} {
		t.Run(name, func(t *testing.T) {
			c := published(t, format, map[string][]byte{"a b/ö.bin": bytes.Repeat([]byte("ab"), 50000), "z": []byte("last")})
			item := func(stop func(int)) Item {
				c := c
				c.stop = stop
				return Item{Torrent: c.t, Open: func(context.Context) (Content, error) { return c, nil }}
			}
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := Write(ctx, dir, channelOf(root, l, item(func(piece int) {
				if piece == 2 {
					cancel()
				}
			})), nil); !errors.Is(err, context.Canceled) {
				t.Fatalf("stopped: %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(FilesPath(root.ID(), c.t.InfoHash())))); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("stopped, and the files are there: %v", err)
			}
			r := write(t, dir, channelOf(root, l, item(nil)))
			if r.Bytes < c.t.Length() {
				t.Errorf("%d bytes were written", r.Bytes)
			}
			s := serve(t, dir)
			for i, f := range c.t.Files {
				if f.Pad {
					continue
				}
				res, err := http.Get(FileURL(s.URL+"/"+FilesPath(root.ID(), c.t.InfoHash()), c.t.WrittenName(), c.t.Written(f.Path), false))
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || !bytes.Equal(b, c.files[strings.Join(f.Path, "/")]) {
					t.Errorf("file %d: %d bytes, status %d, %v", i, len(b), res.StatusCode, err)
				}
			}
			opened := false
			again := Item{Torrent: c.t, Open: func(context.Context) (Content, error) { opened = true; return c, nil }}
			if r := write(t, dir, channelOf(root, l, again)); r.Written != 0 || opened {
				t.Errorf("the second time %d files were written", r.Written)
			}
			raw, err := reading(t, s.URL, root.ID()).Torrent(t.Context(), c.t.InfoHash())
			if err != nil || !bytes.Equal(raw, c.t.Bytes()) {
				t.Errorf("torrent: %v", err)
			}
		})
	}
}

// TestWrongContent: what is not what was published does not get into a mirror.
func TestWrongContent(t *testing.T) {
	root := testRoot(t)
	l := newLog(t, root)
	l.grow(t, "a", 1)
	c := published(t, manifest.FormatHybrid, map[string][]byte{"f": bytes.Repeat([]byte("x"), 100000)})
	c.files["f"] = bytes.Repeat([]byte("y"), 100000)
	dir := t.TempDir()
	_, err := Write(t.Context(), dir, channelOf(root, l, Item{Torrent: c.t, Open: func(context.Context) (Content, error) { return c, nil }}), nil)
	if !errors.Is(err, ErrContent) {
		t.Fatalf("wrong bytes: %v", err)
	}
	if names, _ := fs.Glob(os.DirFS(dir), root.ID().String()+"/*"); slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, "/m") }) {
		t.Error("the mirror points to what it does not have")
	}
}

// TestLiars: whatever a server does, a reader ends with an error and bounded memory.
func TestLiars(t *testing.T) {
	root := testRoot(t)
	for name, answer := range map[string]http.HandlerFunc{
		"an endless body": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
		"a packed one": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte{1, 2, 3})
		},
		"a cut one": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("short"))
		},
		"itself again and again": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"an unasked 304":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"an error":               func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"no content":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(answer)
			defer s.Close()
			c := reading(t, s.URL, root.ID())
			if _, err := c.Root(t.Context(), 1); !errors.Is(err, ErrServer) {
				t.Errorf("root: %v", err)
			}
			if _, _, err := c.Head(t.Context(), "m"); !errors.Is(err, ErrServer) {
				t.Errorf("head: %v", err)
			}
			if _, err := c.Page(t.Context(), "m", 3, 1000); !errors.Is(err, ErrServer) {
				t.Errorf("page: %v", err)
			}
			if _, err := c.Range(t.Context(), "m", 3, 900, 1000); !errors.Is(err, ErrServer) {
				t.Errorf("range: %v", err)
			}
		})
	}
	for name, size := range map[string]int64{"a tree without end": 1 << 60, "none": 0} {
		c := reading(t, "http://127.0.0.1:1", root.ID())
		if _, err := c.Page(t.Context(), "m", size, size); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBase(t *testing.T) {
	for in, want := range map[string]string{
		"http://h": "http://h/", "https://h:8/a/b": "https://h:8/a/b/", "http://[::1]:80/": "http://[::1]:80/",
		"ftp://h": "", "h/a": "", "http://": "", "http://u@h/": "", "http://h/?a": "", "http://h/?": "", "http://h/#x": "", "http:h": "",
	} {
		got, err := ParseBase(in)
		if got != want || (err != nil) != (want == "") || err != nil && !errors.Is(err, ErrBase) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func FuzzEntries(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 2, 'b', 'c'}, 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		n = min(max(n, 0), tileWidth)
		entries, err := splitEntries(b, n)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			again = append(again, byte(len(e)>>8), byte(len(e)))
			again = append(again, e...)
		}
		if len(entries) != n || !bytes.HasPrefix(b, again) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

var _ tlog.HashReader = reader{}
