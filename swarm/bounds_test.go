package swarm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"handful/manifest"
	"handful/manifest/bencode"
)

func TestDebt(t *testing.T) {
	var d debt
	if !d.afford(maxOwed, 0) || d.afford(1, 0) {
		t.Fatal("the bound is not maxOwed")
	}
	if d.afford(101, 100) {
		t.Error("101 bytes are affordable after 100 were written")
	}
	if !d.afford(100, 100) || d.afford(1, 100) {
		t.Error("what was written does not count once")
	}
	if !d.afford(maxOwed, 10*maxOwed) {
		t.Error("a debt that is paid is held against the peer")
	}
	if d.afford(1, 10*maxOwed) {
		t.Error("bytes written beyond the debt are credited")
	}
}

func TestTellIsBoundedByPeer(t *testing.T) {
	n := &Node{mail: newMailbox()}
	var flood, quiet link
	for range 100_000 {
		n.tell(&flood, 1<<10, func() {})
	}
	waiting := len(n.mail.queue)
	if waiting > maxWaiting>>10 {
		t.Errorf("%d messages of one peer wait", waiting)
	}
	ran := false
	n.tell(&quiet, 10, func() { ran = true })
	for _, f := range n.mail.take() {
		f()
	}
	if !ran {
		t.Error("a peer is not heard because another one floods")
	}
	if flood.waiting.Load() != 0 || quiet.waiting.Load() != 0 {
		t.Error("messages that were heard count as waiting")
	}
}

func TestSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lim *rate.Limiter
		count := 0
		for range 1000 {
			if seldom(&lim, time.Now()) {
				count++
			}
		}
		time.Sleep(2 * time.Second)
		if count != costlyBurst || !seldom(&lim, time.Now()) {
			t.Errorf("%d at once", count)
		}
	})
}

// rawDial connects by hand and ends the handshake of BEP 3.
func rawDial(t *testing.T, to netip.AddrPort, ih Infohash, id string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	hand := append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x04"), ih[:]...)
	if _, err := c.Write(append(hand, fmt.Sprintf("-XX0002-%12.12s", id)...)); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, handshakeLen)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAskingWithoutReadingIsBounded: a peer asks for piece layers as fast as it
// can, again and again, and reads nothing. What is queued for it stays bounded.
func TestAskingWithoutReadingIsBounded(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 24<<20)
	origin := startNode(t, "origin", nil)
	tor, it := origin.publish(t, root, manifest.BuildOptions{Format: manifest.FormatV2, PieceLength: 16 << 10})
	c := rawDial(t, origin.addr(), Infohash(tor.InfoHash()), "asks")
	ext := append([]byte{0}, "d1:md8:hf_swarmi7eee"...)
	if _, err := c.Write(frame(20, ext)); err != nil {
		t.Fatal(err)
	}
	var number byte
	for number == 0 {
		number = readSwarmNumber(t, c)
	}
	c.(*net.TCPConn).SetReadBuffer(4 << 10)
	ask := frame(20, append([]byte{number}, layerMessage{Root: tor.Files[0].PiecesRoot}.bytes(kindAskLayer)...))
	for range 200 {
		if _, err := c.Write(bytes.Repeat(ask, 10)); err != nil {
			t.Fatal(err)
		}
	}
	// The flood has been heard when what follows it has an effect.
	c.Write(frame(20, append([]byte{number}, hello{Site: "heard"}.bytes()...)))
	var owed int64
	until(t, "the flood is heard", func() (heard bool) {
		origin.call(func() {
			for _, l := range it.links {
				heard = l.hello != nil
				l.debt.mu.Lock()
				owed = l.debt.owed
				l.debt.mu.Unlock()
			}
		})
		return heard
	})
	if owed == 0 || owed > maxOwed {
		t.Errorf("%d bytes are owed", owed)
	}
}

// readSwarmNumber reads one message and returns the number of hf_swarm if it is
// the extended handshake.
func readSwarmNumber(t *testing.T, c net.Conn) (number byte) {
	t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatal(err)
	}
	m := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, m); err != nil {
		t.Fatal(err)
	}
	if len(m) < 2 || m[0] != 20 || m[1] != 0 {
		return 0
	}
	r := bencode.NewReader(m[2:])
	r.Dict(func(k string) {
		if k != "m" {
			r.Skip()
			return
		}
		r.Dict(func(k string) {
			if n := r.Int(); k == extSwarm {
				number = byte(n)
			}
		})
	})
	return number
}

// TestTheftOfAPeerID: a liar that calls itself like an honest peer at another
// address does not get that one banned.
func TestTheftOfAPeerID(t *testing.T) {
	t.Parallel()
	root := tree(t, t.TempDir(), 200_000)
	data, err := os.ReadFile(filepath.Join(root, "d0", "file-0.bin"))
	if err != nil {
		t.Fatal(err)
	}
	tor, _, err := manifest.Build(t.Context(), []string{root}, manifest.BuildOptions{Format: manifest.FormatV1, PieceLength: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	ih := Infohash(tor.InfoHash())
	liar := &rawPeer{host: "127.0.0.2", hash: ih, info: tor.InfoBytes, pieces: tor.NumPieces(), id: "the same",
		onPiece: func(_, _, length uint32) []byte { return make([]byte, length) }}
	honest := &rawPeer{hash: ih, info: tor.InfoBytes, pieces: tor.NumPieces(), id: "the same",
		onPiece: func(index, begin, length uint32) []byte { return data[index<<16+begin:][:length] }}
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, ih, nil, liar.start(t))
	leech.banned(t)
	it.AddPeers(honest.start(t))
	await(t, it)
	sameTree(t, root, it.Snapshot().Path)
	adds(t, it.Snapshot())
}
