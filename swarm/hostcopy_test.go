package swarm

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"handful/manifest"
	"handful/swarm/policy"
	"handful/swarm/store"
)

// spare is more than what a node with a limit of a byte a second sends in a test.
const spare = 256 << 10

// onHost starts a node that says it is on the machine of that name and sends next to
// nothing over the network.
func onHost(t *testing.T, name, machine string) *testNode {
	return startNode(t, name, func(c *Config) { c.MachineID, c.LimitUp = machine, policy.Steady(1) })
}

// sameFiles compares a tree with what was fetched of it.
func sameFiles(t *testing.T, want, got string) {
	t.Helper()
	err := filepath.WalkDir(want, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(want, p)
		a, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(got, rel))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: %d bytes, not the %d that were published: %v", rel, len(b), len(a), err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mostlyFromHost checks the account of a download from a peer on the same machine that
// could send next to nothing over the network.
func mostlyFromHost(t *testing.T, it *Item) {
	t.Helper()
	s := it.Snapshot()
	if s.Received[TierHost]+spare < s.Bytes || s.Received.Total() > s.Bytes+spare {
		t.Errorf("of %d bytes: %+v", s.Bytes, s.Received)
	}
	if s.Done != s.Bytes || s.Wasted > spare || s.Received.Total()-s.Wasted != s.Bytes {
		t.Errorf("account of %d bytes: %d done, %d wasted, %+v", s.Bytes, s.Done, s.Wasted, s.Received)
	}
}

// TestHostCopy: bytes of a peer on the same machine come out of its files, though it
// sends nothing over the network, and though it is the origin.
func TestHostCopy(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]manifest.Format{"hybrid": manifest.FormatHybrid, "v1": manifest.FormatV1, "v2": manifest.FormatV2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sizes := []int{700_000, 1_500_000, 31, 90_000, 2_000_000}
			if f == manifest.FormatV1 {
				sizes = append(sizes, 0)
			}
			root := tree(t, t.TempDir(), sizes...)
			a, b := onHost(t, "a", "here"), onHost(t, "b", "here")
			tor, _ := a.publish(t, root, manifest.BuildOptions{Format: f, PieceLength: 64 << 10})
			it := b.fetch(t, Infohash(tor.InfoHash()), nil, a.addr())
			await(t, it)
			sameFiles(t, root, it.Snapshot().Path)
			mostlyFromHost(t, it)
		})
	}
}

// TestHostCopyGathered: a tree that was published from several places.
func TestHostCopyGathered(t *testing.T) {
	t.Parallel()
	one, two := tree(t, t.TempDir(), 800_000, 3), filepath.Join(t.TempDir(), "other.bin")
	data := make([]byte, 900_000)
	rand.NewChaCha8([32]byte{9}).Read(data)
	if err := os.WriteFile(two, data, 0o666); err != nil {
		t.Fatal(err)
	}
	a, b := onHost(t, "a", "here"), onHost(t, "b", "here")
	tor, src, err := manifest.Build(t.Context(), []string{one, two}, manifest.BuildOptions{Name: "both", PieceLength: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.store.Seed(tor, src, store.SeedOptions{Origin: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Add(Spec{Content: c, Origin: true}); err != nil {
		t.Fatal(err)
	}
	it := b.fetch(t, Infohash(tor.InfoHash()), nil, a.addr())
	await(t, it)
	mostlyFromHost(t, it)
	sameFiles(t, one, filepath.Join(it.Snapshot().Path, "tree"))
	if got, err := os.ReadFile(filepath.Join(it.Snapshot().Path, "other.bin")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("other.bin: %d bytes, %v", len(got), err)
	}
}

// TestHostCopyPartial: who is still downloading gives what it has by then, before its
// files are in place and after.
func TestHostCopyPartial(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 1_000_000, 1_000_000)
	far := startNode(t, "far", func(c *Config) { c.LimitUp = policy.Steady(1 << 20) })
	b, c := onHost(t, "b", "here"), onHost(t, "c", "here")
	tor, _ := far.publish(t, root, manifest.BuildOptions{PieceLength: 32 << 10})
	ih := Infohash(tor.InfoHash())
	first := b.fetch(t, ih, nil, far.addr())
	for (<-b.ev).State != StateFetching {
	}
	second := c.fetch(t, ih, nil, b.addr())
	await(t, first)
	await(t, second)
	mostlyFromHost(t, second)
	sameFiles(t, root, second.Snapshot().Path)
	if s := first.Snapshot(); s.Received[TierHost] != 0 {
		t.Errorf("the first has %d bytes from its host", s.Received[TierHost])
	}
}

// TestHostCopyElsewhere: nodes of different machines, or of none, neither ask nor
// answer.
func TestHostCopyElsewhere(t *testing.T) {
	t.Parallel()
	for _, m := range [][2]string{{"here", "there"}, {"", ""}} {
		root := tree(t, t.TempDir(), 500_000)
		a := startNode(t, "a", func(c *Config) { c.MachineID = m[0] })
		b := startNode(t, "b", func(c *Config) { c.MachineID = m[1] })
		tor, origin := a.publish(t, root, manifest.BuildOptions{PieceLength: 32 << 10})
		it := b.fetch(t, Infohash(tor.InfoHash()), nil, a.addr())
		await(t, it)
		if s := it.Snapshot(); s.Received[TierHost] != 0 {
			t.Errorf("machines %q: %d bytes from the host", m, s.Received[TierHost])
		}
		for _, node := range []*Item{it, origin} {
			node.node.view(func() {
				for _, l := range node.links {
					if l.host.asked || l.host.wants || l.host.donor != nil {
						t.Errorf("machines %q: asked %v, was asked %v", m, l.host.asked, l.host.wants)
					}
				}
			})
		}
	}
}

// lieTo makes a node take its peer for one on its host, and the peer's answer for
// what answer returns.
func lieTo(n *testNode, it *Item, answer []byte) (done bool) {
	n.view(func() {
		for _, l := range it.links {
			if l.hello == nil || it.host.work == nil || it.state != StateFetching {
				continue
			}
			l.hello.Machine = machineTag(n.cfg.MachineID, it.hash)
			n.askPath(l)
			n.message(l, extSwarm, answer)
			done = l.host.asked
		}
	})
	return done
}

// TestHostCopyLies: files that are not what a peer says cost nothing but the time of
// looking at one; the network brings everything.
func TestHostCopyLies(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, make([]byte, 600_000), 0o666); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	lies := map[string]pathMessage{
		"other bytes": {All: true, Where: store.Whereabouts{Root: other}},
		"directory":   {All: true, Where: store.Whereabouts{Root: dir}},
		"nothing":     {All: true, Where: store.Whereabouts{Root: filepath.Join(dir, "nothing")}},
		"several":     {All: true, Where: store.Whereabouts{Tops: map[string]string{"x": other}}},
		"device":      {All: true, Where: store.Whereabouts{Root: "/dev/zero"}},
		"symlink":     {All: true, Where: store.Whereabouts{Root: link}},
		"empty":       {All: true},
	}
	raw := map[string]string{
		"relative": "d1:ai1e1:d3:a/be", "unclean": "d1:ai1e1:d5:/a//be", "NUL": "d1:ai1e1:d4:/a\x00be", "junk": "d1:ai1e1:d", "no body": "",
	}
	for name, m := range lies {
		raw[name] = string(m.bytes()[1:])
	}
	data := filepath.Join(t.TempDir(), "data.bin")
	b := make([]byte, 600_000)
	rand.NewChaCha8([32]byte{1}).Read(b)
	if err := os.WriteFile(data, b, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(data, link); err != nil {
		t.Skip(err)
	}
	for name, body := range raw {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startNode(t, "a", func(c *Config) { c.LimitUp = policy.Steady(1 << 19) })
			c := startNode(t, "c", nil)
			tor, _ := a.publish(t, data, manifest.BuildOptions{PieceLength: 32 << 10})
			it := c.fetch(t, Infohash(tor.InfoHash()), nil, a.addr())
			lied := false
			for !lied {
				select {
				case <-it.Done():
					t.Fatal("complete before anybody could lie")
				case <-c.ev:
				case <-it.t.GotInfo():
				}
				lied = lieTo(c, it, append([]byte{kindPath}, body...))
			}
			await(t, it)
			s := it.Snapshot()
			if s.Received[TierHost] != 0 || s.Wasted != 0 {
				t.Errorf("%d bytes from the host, %d wasted", s.Received[TierHost], s.Wasted)
			}
			if got, err := os.ReadFile(s.Path); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}
