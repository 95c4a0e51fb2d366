package rival

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"handful/bench/netns"
)

// arena is where pairs of instances meet: a namespace with addresses of its own when that can be made, else loopback.
type arena struct {
	namespace string
	prefix    [2]byte
	taken     int
}

func newArena(t *testing.T, pairs int) *arena {
	t.Helper()
	if err := netns.Available(); err != nil {
		t.Logf("on loopback, since %v", err)
		return &arena{prefix: [2]byte{127, 77}}
	}
	n, err := netns.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	a := &arena{prefix: [2]byte{10, 77}}
	var all []netip.Prefix
	for i := range 3 * pairs {
		all = append(all, netip.PrefixFrom(a.address(i), 24))
	}
	h, err := n.Lone(t.Context(), all...)
	if err != nil {
		t.Fatal(err)
	}
	a.namespace = h.Namespace()
	return a
}

func (a *arena) address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{a.prefix[0], a.prefix[1], byte(i / 200), byte(1 + i%200)})
}

// next three addresses that nobody else uses: of a tracker, a seed and a leecher.
func (a *arena) next() (tracker, seed, leech netip.AddrPort) {
	i := a.taken
	a.taken += 3
	at := func(k int) netip.AddrPort { return netip.AddrPortFrom(a.address(i+k), uint16(18000+i+k)) }
	return at(0), at(1), at(2)
}

// pseudoRandom bytes: every piece differs from every other.
func pseudoRandom(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// tree writes some files of odd sizes to dir/name.
func tree(t *testing.T, dir, name string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for i, size := range []int{1, 16 << 10, 65537, 300_001} {
		path := filepath.Join(name, fmt.Sprintf("d%d", i%2), fmt.Sprintf("f%d.bin", i))
		files[path] = pseudoRandom(size)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), files[path], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func newTorrent(t *testing.T, path string) (file string, meta Torrent) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "t.torrent")
	if err := MakeTorrent(path, file, 64<<10); err != nil {
		t.Fatal(err)
	}
	meta, err := ReadTorrent(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, meta
}

// meeting is one transfer of TestClients.
type meeting struct {
	seed, leech Client
	magnet      bool // a file by magnet, else a tree by .torrent
	err         error
}

func (m *meeting) name() string {
	what := "tree"
	if m.magnet {
		what = "magnet"
	}
	return m.seed.Name() + " to " + m.leech.Name() + ", " + what
}

// meetings: every client to itself, a tree from a .torrent and a file from a magnet. Transmission as a seed lets a peer
// wait for 10 s, as it decides whom to serve, so it meets another once each way. A super-seeding libtorrent lets a lone leecher wait for
// 20 s: left to the crowd, for which it is made.
func meetings(tools Tools) []*meeting {
	var all []*meeting
	for _, c := range All(tools) {
		switch c.(type) {
		case transmission:
			all = append(all, &meeting{seed: c, leech: Stock(tools)}, &meeting{seed: Stock(tools), leech: c, magnet: true})
		case nginx:
			all = append(all, &meeting{seed: c, leech: c, magnet: true})
		case handful: // it has tests of its own
		default:
			if c != LibtorrentSuper() {
				all = append(all, &meeting{seed: c, leech: c}, &meeting{seed: c, leech: c, magnet: true})
			}
		}
	}
	return all
}

// TestClients lets every installed client transfer, all at the same time, since most of it is waiting.
func TestClients(t *testing.T) {
	tools, err := Build(t.Context(), t.TempDir(), BuildOptions{Only: []string{"stock"}})
	if tools.Stock == "" {
		t.Fatal(err)
	}
	data := t.TempDir()
	files := tree(t, data, "tree")
	files["file.bin"] = pseudoRandom(500_000)
	if err := os.WriteFile(filepath.Join(data, "file.bin"), files["file.bin"], 0o644); err != nil {
		t.Fatal(err)
	}
	treeFile, _ := newTorrent(t, filepath.Join(data, "tree"))
	singleFile, single := newTorrent(t, filepath.Join(data, "file.bin"))
	all := meetings(tools)
	place := newArena(t, len(all))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	for _, m := range all {
		tracker, seed, leech := place.next()
		work := t.TempDir()
		running.Go(func() {
			at := Job{Namespace: place.namespace, Torrent: treeFile, Dir: data, Listen: seed, Work: filepath.Join(work, "seed")}
			to := Job{Namespace: place.namespace, Torrent: treeFile, Dir: filepath.Join(work, "out"), Listen: leech,
				Work: filepath.Join(work, "leech"), Peers: []netip.AddrPort{seed}}
			name := "tree"
			if m.magnet {
				name, at.Torrent, to.Torrent, to.Magnet, to.Name = "file.bin", singleFile, "", single.Magnet, single.Name
			}
			if m.err = transfer(ctx, m, at, to, tracker); m.err == nil {
				m.err = same(files, name, to.Dir)
			}
		})
	}
	running.Wait()
	for _, m := range all {
		t.Run(m.name(), func(t *testing.T) {
			switch {
			case errors.Is(m.err, ErrMissing) && os.Getenv("CI") == "true":
				t.Errorf("in CI every client must be there: %v", m.err)
			case errors.Is(m.err, ErrMissing), errors.Is(m.err, ErrUnsupported):
				t.Skip(m.err)
			case m.err != nil:
				t.Error(m.err)
			}
		})
	}
}

// transfer runs one meeting to its end.
func transfer(ctx context.Context, m *meeting, at, to Job, tracker netip.AddrPort) error {
	for _, c := range []Client{m.seed, m.leech} {
		if _, err := c.Find(ctx); err != nil {
			return err
		}
	}
	l, err := netns.Listen(at.Namespace, tracker)
	if err != nil {
		return err
	}
	list, err := NewPeerList(l, at.Listen, []netip.AddrPort{to.Listen})
	if err != nil {
		return err
	}
	defer list.Close()
	at.Tracker, to.Tracker = list.URL(), list.URL()
	if err := os.Mkdir(to.Dir, 0o755); err != nil {
		return err
	}
	seed, err := m.seed.Seed(ctx, at)
	if err != nil {
		return err
	}
	defer seed.Stop()
	if err := seed.Ready(ctx); err != nil {
		return err
	}
	leech, err := m.leech.Leech(ctx, to)
	if err != nil {
		return err
	}
	defer leech.Stop()
	if err := leech.Wait(ctx); err != nil {
		return fmt.Errorf("%w\n  the seed's log ends:\n%s", err, seed.LogTail(20))
	}
	leech.Stop()
	if leech.DoneAt().IsZero() || leech.Usage().CPU <= 0 {
		return fmt.Errorf("complete at %v, with %+v used", leech.DoneAt(), leech.Usage())
	}
	return nil
}

// same compares the files of one name with what is in dir.
func same(files map[string][]byte, name, dir string) error {
	compared := 0
	for path, want := range files {
		if path != name && !strings.HasPrefix(path, name+string(filepath.Separator)) {
			continue
		}
		compared++
		got, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s differs from the source", path)
		}
	}
	if compared == 0 {
		return fmt.Errorf("no file of %s was compared", name)
	}
	return nil
}
