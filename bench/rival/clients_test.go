package rival

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"handful/bench/netns"
)

// place is where two instances can meet: a namespace with addresses of its own when that can be made, else loopback.
func place(t *testing.T) (namespace string, seed, leech, tracker netip.AddrPort) {
	t.Helper()
	if err := netns.Available(); err != nil {
		t.Logf("on loopback, since %v", err)
		return "", netip.MustParseAddrPort("127.0.0.2:18181"), netip.MustParseAddrPort("127.0.0.3:18182"),
			netip.MustParseAddrPort("127.0.0.1:18180")
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
	h, err := n.Lone(t.Context(), netip.MustParsePrefix("10.77.0.1/24"), netip.MustParsePrefix("10.77.0.2/24"),
		netip.MustParsePrefix("10.77.0.3/24"))
	if err != nil {
		t.Fatal(err)
	}
	return h.Namespace(), netip.MustParseAddrPort("10.77.0.2:18181"), netip.MustParseAddrPort("10.77.0.3:18182"),
		netip.MustParseAddrPort("10.77.0.1:18180")
}

// pseudoRandom bytes: every piece differs from every other.
func pseudoRandom(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// TestClients lets every installed client seed a file to itself, from a .torrent and from a magnet.
func TestClients(t *testing.T) {
	namespace, seedAddr, leechAddr, trackerAddr := place(t)
	built := t.TempDir()
	tools, err := Build(t.Context(), built)
	if tools.Stock == "" {
		t.Fatal(err)
	}
	data := t.TempDir()
	want := pseudoRandom(3<<20 + 12345)
	if err := os.WriteFile(filepath.Join(data, "file.bin"), want, 0o644); err != nil {
		t.Fatal(err)
	}
	torrent := filepath.Join(built, "file.torrent")
	if err := MakeTorrent(filepath.Join(data, "file.bin"), torrent, 64<<10); err != nil {
		t.Fatal(err)
	}
	meta, err := ReadTorrent(torrent)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range All(tools) {
		for _, from := range []string{"torrent", "magnet"} {
			t.Run(c.Name()+" from "+from, func(t *testing.T) {
				if _, err := c.Find(t.Context()); err != nil {
					t.Skip(err)
				}
				if c.Name() == "transmission" && from == "magnet" {
					t.Skip("takes magnets through its remote control alone")
				}
				ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
				defer cancel()
				l, err := netns.Listen(namespace, trackerAddr)
				if err != nil {
					t.Fatal(err)
				}
				list, err := NewPeerList(l, seedAddr, []netip.AddrPort{leechAddr})
				if err != nil {
					t.Fatal(err)
				}
				defer list.Close()
				job := Job{Torrent: torrent, Dir: data, Work: t.TempDir(), Listen: seedAddr, Namespace: namespace,
					Tracker: list.URL(), MachineID: "seed"}
				seed, err := c.Seed(ctx, job)
				if errors.Is(err, ErrUnsupported) {
					t.Skip(err)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer seed.Stop()
				if err := seed.Ready(ctx); err != nil {
					t.Fatal(err)
				}
				job.Dir, job.Work, job.Listen, job.Peers = t.TempDir(), t.TempDir(), leechAddr, []netip.AddrPort{seedAddr}
				job.MachineID = "leech"
				if from == "magnet" {
					job.Torrent, job.Magnet, job.Name = "", meta.Magnet, meta.Name
				}
				leech, err := c.Leech(ctx, job)
				if err != nil {
					t.Fatal(err)
				}
				defer leech.Stop()
				if err := leech.Wait(ctx); err != nil {
					t.Fatal(err)
				}
				leech.Stop()
				got, err := os.ReadFile(filepath.Join(job.Dir, "file.bin"))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Fatal("the copy differs from the source")
				}
				t.Logf("%+v %+v", leech.Stats(), leech.Usage())
			})
		}
	}
}
