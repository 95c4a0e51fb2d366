package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"handful/manifest"
)

// testKey is a key made of one byte.
func testKey(t testing.TB, b byte) Key {
	t.Helper()
	k, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func identity(t testing.TB, k Key) age.Identity {
	t.Helper()
	id, err := k.Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// noise is n bytes that follow from seed.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	c := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	c.Read(b)
	return b
}

// tree is a tree on disk with its torrent.
type tree struct {
	t     *manifest.Torrent
	src   []manifest.Source
	files map[int][]byte
}

// makeTree writes files of so many bytes, an empty one, an empty directory and a link.
func makeTree(t testing.TB, k Key, sizes ...int) tree {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "holiday")
	for _, sub := range []string{"", "sub", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range sizes {
		name := fmt.Sprintf("%02d.bin", i)
		if i%2 == 1 {
			name = filepath.Join("sub", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), noise(n, uint64(i+1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "nothing"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nothing", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	tor, src, err := manifest.Build(t.Context(), []string{dir}, manifest.BuildOptions{Format: manifest.FormatV1, Salt: k.Salt()})
	if err != nil {
		t.Fatal(err)
	}
	tr := tree{tor, src, map[int][]byte{}}
	for i, f := range tor.Files {
		if f.Symlink == nil {
			if tr.files[i], err = os.ReadFile(src[i].Path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return tr
}

func (tr tree) read(file int, p []byte, off int64) error {
	if off+int64(len(p)) > int64(len(tr.files[file])) {
		return io.ErrUnexpectedEOF
	}
	copy(p, tr.files[file][off:])
	return nil
}

func readAll(t testing.TB, r *Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err != nil || int64(len(b)) != r.Size() {
		t.Fatalf("%d of %d bytes: %v", len(b), r.Size(), err)
	}
	return b
}

// TestContent seals a tree, opens it with the key among others, and compares every byte.
func TestContent(t *testing.T) {
	k := testKey(t, 7)
	for _, sizes := range [][]int{{}, {1}, {chunkLength}, {0, 5, 3 * chunkLength, 70_001}, {1_000_003, 2, 3}} {
		tr := makeTree(t, k, sizes...)
		r, err := k.Seal(tr.t, tr.read)
		if err != nil {
			t.Fatal(err)
		}
		b := readAll(t, r)
		for i := range tr.t.Files {
			if bytes.Contains(b, []byte(tr.t.Files[i].Path[0])) {
				t.Errorf("a name stands in the ciphertext")
			}
		}
		o, err := Open([]Key{testKey(t, 1), k}, bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if o.Torrent.InfoSum() != tr.t.InfoSum() {
			t.Error("another tree is inside")
		}
		piece := make([]byte, o.Torrent.PieceLength)
		for i := range o.Torrent.NumPieces() {
			p := piece[:o.Torrent.PieceSize(i)]
			if err := o.ReadPiece(p, i); err != nil || o.Torrent.Check(i, p) != manifest.Good {
				t.Errorf("piece %d: %v", i, err)
			}
		}
		for i, want := range tr.files {
			for _, at := range []int{0, len(want) / 2, max(0, len(want)-3), len(want)} {
				p := make([]byte, 100)
				n, err := o.ReadFileAt(i, p, int64(at))
				if rest := want[at:]; !bytes.Equal(p[:n], rest[:min(100, len(rest))]) || (err == nil) != (n == 100) || err != nil && err != io.EOF {
					t.Errorf("file %d at %d: %d bytes, %v", i, at, n, err)
				}
			}
		}
		again, err := o.Reader(tr.read)
		if err != nil || !bytes.Equal(readAll(t, again), b) || again.Name() != r.Name() {
			t.Errorf("whoever opened it does not seal the same: %v", err)
		}
		state, err := r.State()
		if err != nil {
			t.Fatal(err)
		}
		restored, err := Restore(state, tr.t, tr.read)
		if err != nil || !bytes.Equal(readAll(t, restored), b) {
			t.Errorf("restored, it does not seal the same: %v", err)
		}
		if _, err := Open([]Key{testKey(t, 1)}, bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrKey) {
			t.Errorf("another key: %v", err)
		}
	}
}

// TestReadAt reads ciphertext in pieces of all sizes, at all borders.
func TestReadAt(t *testing.T) {
	k := testKey(t, 7)
	tr := makeTree(t, k, 5*chunkLength+77)
	r, err := k.Seal(tr.t, tr.read)
	if err != nil {
		t.Fatal(err)
	}
	want := readAll(t, r)
	random := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		off := random.Int64N(int64(len(want)) + 10)
		p := make([]byte, random.IntN(3*sealedLength))
		n, err := r.ReadAt(p, off)
		rest := want[min(off, int64(len(want))):]
		if !bytes.Equal(p[:n], rest[:min(len(p), len(rest))]) || (n < len(p)) != (err == io.EOF) {
			t.Fatalf("%d bytes at %d: %d, %v", len(p), off, n, err)
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("read before the beginning")
	}
}

// TestChanged: of plaintext that was changed after it was sealed nothing gets out, neither
// in this run nor in the next; what was not changed goes on.
func TestChanged(t *testing.T) {
	k := testKey(t, 7)
	tr := makeTree(t, k, 3*chunkLength)
	r, err := k.Seal(tr.t, tr.read)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.State(); err == nil {
		t.Error("a state of what was not read yet")
	}
	want := readAll(t, r)
	state, err := r.State()
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range tr.files {
		if len(b) > 0 {
			tr.files[i] = bytes.Clone(b)
			tr.files[i][2*chunkLength] ^= 1
		}
	}
	restored, err := Restore(state, tr.t, tr.read)
	if err != nil {
		t.Fatal(err)
	}
	r.kept = nil // of whatever was kept the plaintext is not read again
	for name, r := range map[string]*Reader{"in this run": r, "restored": restored} {
		got := make([]byte, len(want))
		n, err := r.ReadAt(got, 0)
		if !errors.Is(err, ErrChanged) {
			t.Fatalf("%s: %v", name, err)
		}
		if n < 2*sealedLength || !bytes.Equal(got[:n], want[:n]) {
			t.Errorf("%s: what was not changed: %d bytes", name, n)
		}
		if rest := got[n:]; len(bytes.TrimLeft(rest, "\x00")) > 0 {
			t.Errorf("%s: something of the changed chunk got out", name)
		}
		if _, err := r.ReadAt(make([]byte, 10), int64(n+50)); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: a part of the changed chunk: %v", name, err)
		}
	}
}

// TestDerived: what stands for random bytes is other for other plaintext, keys and uses.
func TestDerived(t *testing.T) {
	seen := make(map[string]bool)
	for _, k := range []Key{testKey(t, 7), testKey(t, 8)} {
		for _, label := range []string{"content", "entry"} {
			for _, sum := range [][32]byte{{}, {1}} {
				s, err := k.stream(label, sum, 1)
				if err != nil {
					t.Fatal(err)
				}
				for _, part := range []string{string(s.header), string(s.fileKey[:]), string(s.header[len(s.header)-keyLength:])} {
					if seen[part] {
						t.Error("it was there before")
					}
					seen[part] = true
				}
			}
		}
	}
}

func TestPadded(t *testing.T) {
	for _, c := range [][2]int64{{0, 0}, {1, 1}, {2, 2}, {9, 10}, {128, 128}, {129, 144}, {200, 208}, {1 << 20, 1 << 20}, {1<<20 + 1, 1<<20 + 1<<15}} {
		if got := padded(c[0]); got != c[1] {
			t.Errorf("%d becomes %d, not %d", c[0], got, c[1])
		}
	}
	for n := int64(1); n < 1<<50; n += 1 + n/7 {
		p := padded(n)
		if p < n || padded(p) != p || float64(p) > 1.121*float64(n) || n > 64<<20 && float64(p) > 1.032*float64(n) || n > 4<<30 && float64(p) > 1.016*float64(n) {
			t.Fatalf("%d becomes %d", n, p)
		}
	}
}

func TestKey(t *testing.T) {
	k := testKey(t, 7)
	id, err := age.ParseX25519Identity(k.Text())
	if err != nil || id.String() != k.Text() || id.Recipient().String() != k.Recipient() {
		t.Fatalf("age reads another key: %v", err)
	}
	if again, err := ParseKey(k.Text()); err != nil || again != k {
		t.Errorf("it is not read back: %v", err)
	}
	for _, printed := range []string{fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %q", k, k, k, k, k)} {
		if strings.Contains(strings.ToUpper(printed), "SECRET") || strings.Contains(printed, string(k.secret[:4])) {
			t.Errorf("a key that is printed tells: %s", printed)
		}
	}
	text := k.Text()
	for i := range len(text) {
		wrong := []byte(text)
		if wrong[i]++; wrong[i] == 'B' || wrong[i] == 'I' || wrong[i] == 'O' || wrong[i] == '2' && i == 16 {
			wrong[i]++
		}
		_, err := ParseKey(string(wrong))
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("with another character %d: %v", i, err)
			continue
		}
		if strings.Contains(err.Error(), text[20:30]) {
			t.Errorf("the error quotes the key")
		}
	}
	for _, s := range []string{"", "AGE-SECRET-KEY-1", strings.ToLower(text), k.Recipient(), text + "Q", text[:len(text)-1]} {
		if _, err := ParseKey(s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.5s…: %v", s, err)
		}
	}
	if _, err := NewKey(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("a key of 31 bytes")
	}
}
