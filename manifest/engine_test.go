package manifest_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"handful/manifest"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
)

// odd makes a tree of odd sizes; with sparse, of files without bytes too.
func odd(t *testing.T, sparse bool) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "odd")
	for i, size := range []int{100_003, 2, 1, 16 << 10, 32 << 10, 70_001, 32<<10 + 1} {
		path := filepath.Join(root, fmt.Sprint("d", i%3), fmt.Sprint("f", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Repeat([]byte{byte(i), 7, 9}, size/3+1)[:size], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if !sparse {
		return root
	}
	if err := os.Symlink("../d0/f0", filepath.Join(root, "d1", "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "zero"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// isolated returns a client of the engine that talks to nobody.
func isolated(t *testing.T) *torrent.Client {
	t.Helper()
	cfg := torrent.NewDefaultClientConfig()
	cfg.DataDir = t.TempDir()
	cfg.DisableTCP, cfg.DisableUTP, cfg.NoDHT = true, true, true
	cfg.DisableTrackers, cfg.DisablePEX, cfg.DisableWebtorrent, cfg.DisableWebseeds = true, true, true, true
	cfg.NoDefaultPortForwarding = true
	cfg.Slogger = slog.New(slog.DiscardHandler)
	client, err := torrent.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// TestEngine has the engine load what we make, verify the data with its own
// hashing, and name it by the same infohashes.
func TestEngine(t *testing.T) {
	for _, format := range []manifest.Format{manifest.FormatHybrid, manifest.FormatV2, manifest.FormatV1} {
		// The engine has one file a piece in v2 and counts empty ones: see SparseTree.
		root := odd(t, format == manifest.FormatV1)
		single := filepath.Join(t.TempDir(), "one", "one")
		if err := os.Mkdir(filepath.Dir(single), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(filepath.Join(root, "d0", "f0"), single); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{root, single} {
			t.Run(format.String()+"/"+filepath.Base(path), func(t *testing.T) {
				tor, _, err := manifest.Build(t.Context(), []string{path}, manifest.BuildOptions{Format: format})
				if err != nil {
					t.Fatal(err)
				}
				if tor.SparseTree() {
					t.Fatal("the engine cannot load this")
				}
				// Its file storage truncates what has no length, through the link.
				os.Remove(filepath.Join(root, "d1", "link"))
				dir := filepath.Dir(path)
				if tor.Single() && tor.HasV2() {
					// Its file storage takes every file tree for a directory.
					dir = filepath.Dir(dir)
				}
				checkEngine(t, tor, dir)
			})
		}
	}
}

func checkEngine(t *testing.T, tor *manifest.Torrent, dir string) {
	mi, err := metainfo.Load(bytes.NewReader(tor.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	info, err := mi.UnmarshalInfo()
	if err != nil {
		t.Fatal(err)
	}
	if info.HasV1() != tor.HasV1() || info.HasV2() != tor.HasV2() || info.NumPieces() != tor.NumPieces() {
		t.Fatalf("engine: v1 %t v2 %t pieces %d", info.HasV1(), info.HasV2(), info.NumPieces())
	}
	spec, err := torrent.TorrentSpecFromMetaInfoErr(mi)
	if err != nil {
		t.Fatal(err)
	}
	spec.Storage = storage.NewFileOpts(storage.NewFileClientOpts{ClientBaseDir: dir, PieceCompletion: storage.NewMapPieceCompletion()})
	added, _, err := isolated(t).AddTorrentSpec(spec)
	if err != nil {
		t.Fatal(err)
	}
	<-added.GotInfo()
	if err := added.VerifyDataContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := added.InfoHash(); got != metainfo.Hash(tor.InfoHash()) {
		t.Errorf("the engine calls it %s, we %x", got, tor.InfoHash())
	}
	for i := range tor.NumPieces() {
		piece := added.Piece(i)
		if !piece.State().Complete {
			t.Errorf("piece %d does not verify in the engine", i)
		}
		if got, want := piece.Info().Length(), tor.PieceSize(i); got != want {
			t.Errorf("piece %d has %d bytes in the engine, %d here", i, got, want)
		}
	}
}

// absent skips the test for want of another program, or fails it in CI, where all of them must be there.
func absent(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("in CI every client must be there: "+format, args...)
	}
	t.Skipf(format, args...)
}

// TestLibtorrent has libtorrent load what we make.
func TestLibtorrent(t *testing.T) {
	const python = "/usr/bin/python3"
	if out, err := exec.Command(python, "-c", "import libtorrent").CombinedOutput(); err != nil {
		absent(t, "python3-libtorrent is not installed: %v %s", err, out)
	}
	root := odd(t, true)
	for _, format := range []manifest.Format{manifest.FormatHybrid, manifest.FormatV2, manifest.FormatV1} {
		for _, path := range []string{root, filepath.Join(root, "d0", "f0")} {
			t.Run(format.String()+"/"+filepath.Base(path), func(t *testing.T) {
				tor, _, err := manifest.Build(t.Context(), []string{path}, manifest.BuildOptions{Format: format})
				if err != nil {
					t.Fatal(err)
				}
				checkLibtorrent(t, python, tor)
			})
		}
	}
}

// listing prints what libtorrent understood. Its flags: 1 pad, 4 executable, 8 symlink.
const listing = `
import json, sys, libtorrent as lt
ti = lt.torrent_info(sys.argv[1])
fs, ih = ti.files(), ti.info_hashes()
print(json.dumps({"V1": str(ih.v1) if ih.has_v1() else "", "V2": str(ih.v2) if ih.has_v2() else "",
  "Pieces": ti.num_pieces(), "Files": [[fs.file_path(i), fs.file_size(i), fs.file_flags(i) & 13, fs.symlink(i)]
    for i in range(fs.num_files()) if not fs.file_flags(i) & 1]}))
`

func checkLibtorrent(t *testing.T, python string, tor *manifest.Torrent) {
	path := filepath.Join(t.TempDir(), "x.torrent")
	if err := os.WriteFile(path, tor.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", listing, path).CombinedOutput()
	if err != nil {
		t.Fatalf("libtorrent refuses it: %s", out)
	}
	var got struct {
		V1, V2 string
		Pieces int
		Files  [][4]any
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if h, ok := tor.InfoHashV1(); ok != (got.V1 != "") || ok && hex.EncodeToString(h[:]) != got.V1 {
		t.Errorf("v1 infohash %s, ours %x", got.V1, h)
	}
	if h, ok := tor.InfoHashV2(); ok != (got.V2 != "") || ok && hex.EncodeToString(h[:]) != got.V2 {
		t.Errorf("v2 infohash %s, ours %x", got.V2, h)
	}
	if got.Pieces != tor.NumPieces() {
		t.Errorf("%d pieces, ours %d", got.Pieces, tor.NumPieces())
	}
	var want []string
	for _, f := range tor.Files {
		if f.Pad {
			continue
		}
		prefix := tor.Name + "/"
		if tor.Single() {
			prefix = ""
		}
		flags, target := 0, ""
		if f.Exec {
			flags = 4
		}
		if f.Symlink != nil {
			flags, target = 8, prefix+strings.Join(f.Symlink, "/")
		}
		want = append(want, fmt.Sprint([]any{prefix + strings.Join(f.Path, "/"), f.Length, flags, target}))
	}
	var have []string
	for _, f := range got.Files {
		have = append(have, fmt.Sprint(f[:]))
	}
	if strings.Join(have, "\n") != strings.Join(want, "\n") {
		t.Errorf("libtorrent has\n%s\nand we\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// TestOffline guards the claim above: the engine listens nowhere.
func TestOffline(t *testing.T) {
	for _, addr := range isolated(t).ListenAddrs() {
		if tcp, ok := addr.(*net.TCPAddr); ok {
			t.Errorf("the engine listens on %s", tcp)
		}
	}
}
