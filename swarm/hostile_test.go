package swarm

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"handful/manifest"
	"handful/manifest/bencode"
	"handful/swarm/policy"
)

// rawPeer speaks the wire protocol by hand, as well or badly as a test needs.
type rawPeer struct {
	ln       net.Listener
	host     string // "": 127.0.0.1
	hash     Infohash
	info     []byte // served by ut_metadata; nil: none
	pieces   int    // claimed all
	onPiece  func(index, begin, length uint32) []byte
	greeting [][]byte // messages sent after the handshakes
	id       string
}

func (p *rawPeer) start(t *testing.T) netip.AddrPort {
	t.Helper()
	var err error
	if p.ln, err = net.Listen("tcp", cmp.Or(p.host, "127.0.0.1")+":0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.ln.Close() })
	go func() {
		for {
			c, err := p.ln.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return netip.MustParseAddrPort(p.ln.Addr().String())
}

func frame(kind byte, body ...[]byte) []byte {
	b := append([]byte{kind}, bytes.Join(body, nil)...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func (p *rawPeer) serve(c net.Conn) {
	defer c.Close()
	var shake [68]byte
	if _, err := io.ReadFull(c, shake[:]); err != nil {
		return
	}
	reply := []byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x00")
	reply = append(append(reply, p.hash[:]...), fmt.Sprintf("-XX0001-%12.12s", p.id)...)
	ext := []byte{0, 'd'}
	ext = append(ext, "1:md11:ut_metadatai3ee"...)
	if p.info != nil {
		ext = bencode.AppendString(ext, "metadata_size")
		ext = bencode.AppendInt(ext, int64(len(p.info)))
	}
	ext = append(bencode.AppendString(bencode.AppendString(ext, "v"), "Liar"), 'e')
	out := append(reply, frame(20, ext)...)
	if p.pieces > 0 {
		field := make([]byte, (p.pieces+7)/8)
		for i := range p.pieces {
			field[i/8] |= 0x80 >> (i % 8)
		}
		out = append(out, frame(5, field)...)
	}
	out = append(out, frame(1)...) // unchoke
	for _, g := range p.greeting {
		out = append(out, g...)
	}
	if _, err := c.Write(out); err != nil {
		return
	}
	p.answer(c)
}

func (p *rawPeer) answer(c net.Conn) {
	theirMetadata := byte(0)
	for {
		var size [4]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		m := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(c, m); err != nil || len(m) == 0 {
			if err != nil {
				return
			}
			continue
		}
		switch {
		case m[0] == 6 && p.onPiece != nil:
			index, begin, length := binary.BigEndian.Uint32(m[1:]), binary.BigEndian.Uint32(m[5:]), binary.BigEndian.Uint32(m[9:])
			c.Write(frame(7, m[1:9], p.onPiece(index, begin, length)))
		case m[0] == 20 && m[1] == 0:
			r := bencode.NewReader(m[2:])
			r.Dict(func(k string) {
				if k != "m" {
					r.Skip()
					return
				}
				r.Dict(func(k string) {
					if n := r.Int(); k == "ut_metadata" {
						theirMetadata = byte(n)
					}
				})
			})
		case m[0] == 20 && p.info != nil && bytes.Contains(m, []byte("8:msg_typei0e")):
			var piece int
			fmt.Sscanf(string(m[bytes.Index(m, []byte("5:piecei"))+8:]), "%de", &piece)
			head := fmt.Sprintf("\x00d8:msg_typei1e5:piecei%de10:total_sizei%dee", piece, len(p.info))
			head = string(theirMetadata) + head[1:]
			c.Write(frame(20, []byte(head), p.info[piece<<14:min(len(p.info), (piece+1)<<14)]))
		}
	}
}

// banned waits for the event that names a liar.
func (n *testNode) banned(t *testing.T) Event {
	t.Helper()
	for {
		select {
		case ev := <-n.ev:
			if ev.Kind == EventBanned {
				return ev
			}
		case <-time.After(30 * time.Second):
			t.Fatal("nobody was dropped")
		}
	}
}

// TestLiarIsDroppedAndNamed: a peer on the same address as an honest one sends
// garbage. It alone is dropped, and the honest one completes the download.
func TestLiarIsDroppedAndNamed(t *testing.T) {
	root := tree(t, t.TempDir(), 3<<20, 17)
	origin := startNode(t, "origin", func(c *Config) { c.LimitUp = policy.Steady(1 << 20) })
	tor, _ := origin.publish(t, root, manifest.BuildOptions{Format: manifest.FormatV1, PieceLength: 64 << 10})
	liar := &rawPeer{hash: Infohash(tor.InfoHash()), pieces: tor.NumPieces(), id: "liar",
		onPiece: func(_, _, length uint32) []byte { return bytes.Repeat([]byte{0xbd}, int(length)) }}
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, liar.start(t), origin.addr())
	ev := leech.banned(t)
	if !strings.Contains(ev.Peer, "127.0.0.1:") || !strings.Contains(ev.Peer, "Liar") {
		t.Errorf("the liar is called %q", ev.Peer)
	}
	await(t, it)
	s := it.Snapshot()
	sameTree(t, root, s.Path)
	adds(t, s)
	if s.Wasted == 0 {
		t.Error("no byte counts as wasted, though a whole piece was")
	}
	if s.Received[TierOrigin] == 0 {
		t.Error("nothing came from the origin, which has the liar's address")
	}
}

// TestSparseTreeIsRefused: the engine would panic on this metainfo, which any
// publisher can make and any peer can serve for a magnet.
func TestSparseTreeIsRefused(t *testing.T) {
	info := sparseHybrid()
	hash := Infohash(sha1.Sum(info))
	if tor, err := manifest.ParseInfo(info); err != nil || !tor.SparseTree() {
		t.Fatalf("the fixture is not what the test is about: %v", err)
	}
	peer := &rawPeer{hash: hash, info: info, pieces: 1, id: "sparse"}
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, hash, nil, peer.start(t))
	select {
	case <-it.Done():
	case <-time.After(30 * time.Second):
		t.Fatalf("%+v", it.Snapshot())
	}
	if err := it.Err(); !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("error %v", err)
	}
}

// sparseHybrid is a v2 file tree with a file of one byte and an empty one behind
// it.
func sparseHybrid() []byte {
	leaf := bytes.Repeat([]byte{7}, 32)
	b := []byte("d9:file treed1:ad0:d6:lengthi1e11:pieces root32:")
	b = append(b, leaf...)
	b = append(b, "ee1:bd0:d6:lengthi0eeee12:meta versioni2e4:name1:x12:piece lengthi16384ee"...)
	return b
}

// TestMalformedMessagesDropOnlyTheirSender: none of these may end the node or keep
// a download from completing.
func TestMalformedMessagesDropOnlyTheirSender(t *testing.T) {
	root := tree(t, t.TempDir(), 1<<20)
	origin := startNode(t, "origin", func(c *Config) { c.LimitUp = policy.Steady(2 << 20) })
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	for name, greeting := range map[string][]byte{
		"oversized":       binary.BigEndian.AppendUint32(nil, 1<<31),
		"huge have":       frame(4, []byte{0xff, 0xff, 0xff, 0xff}),
		"short have":      frame(4, []byte{1}),
		"long bitfield":   frame(5, bytes.Repeat([]byte{0xff}, 50_000)),
		"piece unasked":   frame(7, make([]byte, 8+16384)),
		"negative piece":  frame(20, []byte("\x01d8:msg_typei0e5:piecei-1ee")),
		"deep bencode":    frame(20, append([]byte{0}, bytes.Repeat([]byte{'l'}, 60_000)...)),
		"hashes unasked":  frame(22, make([]byte, 48+32)),
		"hash request":    frame(21, make([]byte, 48)),
		"unknown message": frame(99, []byte("hello")),
		"our ext, broken": frame(20, []byte("\x02\x01\x00")),
		"pex, broken":     frame(20, []byte("\x03d5:added5:xxxxxe")),
		"request of all":  frame(6, bytes.Repeat([]byte{0xff}, 12)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			peer := &rawPeer{hash: Infohash(tor.InfoHash()), pieces: tor.NumPieces(), greeting: [][]byte{greeting}, id: name}
			leech := startNode(t, "leech", nil)
			it := leech.fetch(t, Infohash(tor.InfoHash()), nil, peer.start(t), origin.addr())
			await(t, it)
			sameTree(t, root, it.Snapshot().Path)
			// The same at the publisher.
			c, err := net.Dial("tcp", origin.addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			hand := append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x04"), peer.hash[:]...)
			c.Write(append(append(hand, fmt.Sprintf("-XX0002-%12.12s", name)...), greeting...))
			c.(*net.TCPConn).CloseWrite()
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			io.Copy(io.Discard, c) // until the publisher has read it all and hung up
		})
	}
}

// TestSilentAndGonePeers: addresses where nobody answers, or nobody says a word,
// do not keep a download from completing.
func TestSilentAndGonePeers(t *testing.T) {
	root := tree(t, t.TempDir(), 300_000)
	origin := startNode(t, "origin", nil)
	tor, _ := origin.publish(t, root, manifest.BuildOptions{})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil,
		netip.MustParseAddrPort(silent.Addr().String()), netip.MustParseAddrPort(gone.Addr().String()), origin.addr())
	await(t, it)
	sameTree(t, root, it.Snapshot().Path)
}
