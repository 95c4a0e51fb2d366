package manifest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
)

// TestMerkle holds the roots against the definition: a full binary tree over
// leaves that are filled up with zeros.
func TestMerkle(t *testing.T) {
	var full func(leaves []hash256) hash256
	full = func(leaves []hash256) hash256 {
		if len(leaves) == 1 {
			return leaves[0]
		}
		half := len(leaves) / 2
		return join(full(leaves[:half]), full(leaves[half:]))
	}
	const pieceLength = 4 * BlockSize
	for _, size := range []int{1, BlockSize, BlockSize + 1, 3 * BlockSize, pieceLength, pieceLength + 1, 5*pieceLength - 7, 9 * pieceLength} {
		data := noise(uint64(size), size)
		leaves := appendLeaves(nil, data)
		for n := 1; n < len(leaves); n *= 2 {
			for len(leaves)%(2*n) != 0 {
				leaves = append(leaves, hash256{})
			}
		}
		got, err := readRoot(iotest.HalfReader(bytes.NewReader(data)), int64(size), pieceLength)
		if want := full(leaves); err != nil || got != want {
			t.Errorf("%d bytes: %x, want %x, %v", size, got, want, err)
		}
	}
}

// TestLayers takes a torrent without piece layers through its life.
func TestLayers(t *testing.T) {
	root := makeTree(t)
	for _, format := range []Format{FormatHybrid, FormatV2} {
		t.Run(format.String(), func(t *testing.T) {
			whole, sources := build(t, BuildOptions{Format: format, PieceLength: 32 << 10}, root)
			bare, err := ParseInfo(whole.InfoBytes)
			if err != nil {
				t.Fatal(err)
			}
			missing := bare.MissingLayers()
			// a.bin, bin/tool.1; same has the content of a.bin.
			if len(missing) != 2 || missing[0].Size != 7*32 || missing[1].Size != 2*32 || bare.Files[missing[0].File].PiecesRoot != missing[0].Root {
				t.Fatalf("missing: %+v", missing)
			}
			want := SHA1Only
			if format == FormatV2 {
				want = Bad
			}
			data := pieceBytes(t, bare, sources, 0)
			if v := bare.Check(0, data); v != want || bare.CanCheck(0) {
				t.Errorf("without a layer: %s, %t", v, bare.CanCheck(0))
			}
			if last := bare.NumPieces() - 1; !bare.CanCheck(last) {
				t.Error("a small file needs no layer")
			}
			layer := whole.Layer(missing[0].Root)
			for name, bad := range map[string][]byte{"short": layer[1:], "flipped": append([]byte{layer[0] ^ 1}, layer[1:]...), "none": nil} {
				if err := bare.AddLayer(missing[0].Root, bad); !errors.Is(err, ErrMismatch) {
					t.Errorf("%s layer: %v", name, err)
				}
			}
			if err := bare.AddLayer([32]byte{1}, layer); !errors.Is(err, ErrMismatch) {
				t.Errorf("layer of an unknown root: %v", err)
			}
			for _, l := range missing {
				if err := bare.AddLayer(l.Root, whole.Layer(l.Root)); err != nil {
					t.Error(err)
				}
			}
			if bare.MissingLayers() != nil || !bytes.Equal(bare.Bytes(), whole.Bytes()) {
				t.Error("with all layers the torrents differ")
			}
			checkPieces(t, bare, sources)
		})
	}
}

func TestCheckFile(t *testing.T) {
	tor, sources := build(t, BuildOptions{Format: FormatHybrid}, makeTree(t))
	for i, f := range tor.Files {
		if f.Pad || f.Symlink != nil {
			continue
		}
		data, err := os.ReadFile(sources[i].Path)
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, data []byte, want bool) {
			if ok, err := tor.CheckFile(i, bytes.NewReader(data)); ok != want || err != nil {
				t.Errorf("%q %s: %t, %v", f.Path, what, ok, err)
			}
		}
		check("as it is", data, true)
		check("longer", append(data[:len(data):len(data)], 0), false)
		if len(data) > 0 {
			check("shorter", data[1:], false)
			wrong := bytes.Clone(data)
			wrong[len(data)-1] ^= 1
			check("changed", wrong, false)
		}
	}
	broken := errors.New("broken")
	if _, err := tor.CheckFile(0, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a broken reader: %v", err)
	}
}

// TestTwoFaces makes hybrids whose v1 and v2 hashes name different bytes.
func TestTwoFaces(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{100, 100_000} {
		good, bad := noise(1, size), noise(2, size)
		write(t, dir, "good/f", good, 0o644)
		write(t, dir, "bad/f", bad, 0o644)
		one, _ := build(t, BuildOptions{Format: FormatHybrid}, filepath.Join(dir, "good", "f"))
		two, _ := build(t, BuildOptions{Format: FormatHybrid}, filepath.Join(dir, "bad", "f"))
		info := bytes.Replace(one.InfoBytes, one.sha1, two.sha1, 1) // v1 of bad, v2 of good
		tor, err := ParseInfo(info)
		if err != nil {
			t.Fatal(err)
		}
		n := tor.PieceSize(0)
		if size > int(tor.PieceLength) {
			if v := tor.Check(0, bad[:n]); v != SHA1Only {
				t.Errorf("%d bytes, no layer: %s", size, v)
			}
			if err := tor.AddLayer(one.Files[0].PiecesRoot, one.Layer(one.Files[0].PiecesRoot)); err != nil {
				t.Fatal(err)
			}
		}
		if v := tor.Check(0, bad[:n]); v != Bad {
			t.Errorf("%d bytes, those of v1: %s", size, v)
		}
		if v := tor.Check(0, good[:n]); v != Bad {
			t.Errorf("%d bytes, those of v2: %s", size, v)
		}
		if ok, _ := tor.CheckFile(0, bytes.NewReader(bad)); ok {
			t.Errorf("%d bytes, those of v1, pass CheckFile", size)
		}
	}
}

// TestTwoFacesV1 has our list of SHA-256 name other bytes than pieces.
func TestTwoFacesV1(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good/f", noise(1, 100), 0o644)
	write(t, dir, "bad/f", noise(2, 100), 0o644)
	one, sources := build(t, BuildOptions{Format: FormatV1}, filepath.Join(dir, "good"))
	two, _ := build(t, BuildOptions{Format: FormatV1}, filepath.Join(dir, "bad"))
	tor, err := ParseInfo(bytes.Replace(one.InfoBytes, one.sha256, two.sha256, 1))
	if err != nil {
		t.Fatal(err)
	}
	if v := tor.Check(0, pieceBytes(t, tor, sources, 0)); v != Bad {
		t.Errorf("SHA-1 fits and SHA-256 does not: %s", v)
	}
	if !one.HasSHA256() || one.Check(0, noise(1, 100)) != Good {
		t.Error("the honest one does not pass")
	}
	foreign, err := ParseInfo(bytes.Replace(one.InfoBytes, append([]byte("13:sha256 pieces32:"), one.sha256...), nil, 1))
	if err != nil {
		t.Fatal(err)
	}
	if v := foreign.Check(0, noise(1, 100)); v != SHA1Only || foreign.HasSHA256() || foreign.CanCheck(0) {
		t.Errorf("v1 of others: %s", v)
	}
}
