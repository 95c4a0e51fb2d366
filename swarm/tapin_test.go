package swarm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// tcpPair returns both ends of a connection over loopback.
func tcpPair(t *testing.T) (here, there net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if there, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if here, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

// claimedTap is a tap behind both handshakes.
func claimedTap(c net.Conn, rw io.ReadWriter) *tap {
	t := newTap(c, rw, func(*tap) {})
	t.in, t.hand, t.claimed = handshakeOf(1), handshakeOf(2), true
	return t
}

// nextMessage reads one message as the engine does.
func nextMessage(t *testing.T, r io.Reader) pp.Message {
	t.Helper()
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReader(r)
	}
	d := pp.Decoder{R: br, MaxLength: 1 << 20}
	var m pp.Message
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestHearWakesASilentConnection: the peer says nothing at all, and a read is under
// way. The engine's own deadline must hold behind it.
func TestHearWakesASilentConnection(t *testing.T) {
	here, _ := tcpPair(t)
	tap := claimedTap(here, here)
	for i := range 200 {
		want := pp.Message{Type: pp.Have, Index: pp.Integer(i)}.MustMarshalBinary()
		if i%3 > 0 {
			go tap.hear(pp.Message{Type: pp.Have, Index: pp.Integer(i)})
		} else if !tap.hear(pp.Message{Type: pp.Have, Index: pp.Integer(i)}) {
			t.Fatal("dropped")
		}
		tap.SetReadDeadline(time.Now().Add(time.Minute))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(tap, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("heard %x, want %x: %v", got, want, err)
		}
		if !tap.heard() {
			t.Fatal("taken for a message of the peer")
		}
	}
	tap.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := tap.Read(make([]byte, 1)); err == nil || !err.(net.Error).Timeout() {
		t.Fatalf("the engine's deadline has passed: %v", err)
	}
}

// TestHearWaitsForTheEndOfAMessage: half of a block is there, and its sender pauses.
func TestHearWaitsForTheEndOfAMessage(t *testing.T) {
	for cut := 1; cut < 20; cut++ {
		here, there := tcpPair(t)
		tap := claimedTap(here, here)
		long := pp.Message{Type: pp.Piece, Index: 1, Piece: bytes.Repeat([]byte{9}, 1000)}.MustMarshalBinary()
		after := pp.Message{Type: pp.Have, Index: 5}.MustMarshalBinary()
		there.Write(long[:cut])
		first := make([]byte, cut)
		if _, err := io.ReadFull(tap, first); err != nil {
			t.Fatal(err)
		}
		if !tap.hear(pp.Message{Type: pp.Have, Index: 7}) {
			t.Fatal("dropped")
		}
		there.Write(append(long[cut:], after...))
		rest := make([]byte, len(long)-cut+9+9)
		if _, err := io.ReadFull(tap, rest); err != nil {
			t.Fatal(err)
		}
		heard := pp.Message{Type: pp.Have, Index: 7}.MustMarshalBinary()
		if got, want := append(first, rest...), bytes.Join([][]byte{long, heard, after}, nil); !bytes.Equal(got, want) {
			t.Fatalf("cut at %d: %x, want %x", cut, got, want)
		}
		if tap.heard() || !tap.heard() || tap.heard() {
			t.Fatalf("cut at %d: wrong about whose message is whose", cut)
		}
	}
}

func TestHearRefuses(t *testing.T) {
	here, _ := tcpPair(t)
	have := pp.Message{Type: pp.Have, Index: 7}
	if tap := newTap(here, here, func(*tap) {}); tap.hear(have) {
		t.Error("heard on a connection that nobody has claimed")
	}
	tap := claimedTap(here, here)
	tap.opaque = true
	if tap.hear(have) {
		t.Error("heard in an obfuscated stream")
	}
	tap = claimedTap(here, here)
	n := 0
	for tap.hear(have) {
		n++
	}
	if n != maxHearing/9 {
		t.Errorf("%d messages wait, want %d", n, maxHearing/9)
	}
	tap.Close()
	if tap = claimedTap(here, here); tap.Close() == nil && tap.hear(have) {
		t.Error("heard on a closed connection")
	}
}

// TestHearBesideTraffic: many speak while the peer sends, and nothing is lost, torn,
// or taken for somebody else's.
func TestHearBesideTraffic(t *testing.T) {
	const each = 300
	here, there := tcpPair(t)
	tap := claimedTap(here, here)
	var speakers sync.WaitGroup
	for s := range 3 {
		speakers.Go(func() {
			for i := range each {
				for !tap.hear(pp.Message{Type: pp.Have, Index: pp.Integer(1<<20 + s<<10 + i)}) {
					t.Error("dropped")
				}
			}
		})
	}
	speakers.Go(func() {
		for i := range each {
			there.Write(pp.Message{Type: pp.Piece, Index: pp.Integer(i), Piece: make([]byte, i*37%20000)}.MustMarshalBinary())
		}
	})
	next := [4]int{}
	r := bufio.NewReader(tap)
	for range 4 * each {
		m := nextMessage(t, r)
		own := tap.heard()
		s, i := 3, int(m.Index)
		if m.Type == pp.Have {
			s, i = i>>10&3, i&1023
		}
		if own != (s < 3) || i != next[s] {
			t.Fatalf("%v %d of %d, want %d; own %v", m.Type, i, s, next[s], own)
		}
		next[s]++
	}
	speakers.Wait()
}

// TestDownlinkWaitsButHears: a limit that lets nothing through for hours does not
// keep the engine from hearing, and Close ends the wait.
func TestDownlinkWaitsButHears(t *testing.T) {
	here, there := tcpPair(t)
	tap := claimedTap(here, here)
	tap.up = newUplink(time.Now)
	tap.up.down.setLimit(classWide, 1)
	const count = 20
	there.Write(bytes.Repeat(pp.Message{Type: pp.Piece, Piece: make([]byte, 4000)}.MustMarshalBinary(), count))
	r := bufio.NewReader(tap)
	pieces := 0
	for m := nextMessage(t, r); m.Type == pp.Piece; m = nextMessage(t, r) {
		if pieces++; pieces == leastBurst/4000 {
			tap.hear(pp.Message{Type: pp.Have, Index: 7})
		}
	}
	if pieces < leastBurst/4000 || pieces > leastBurst/4000+2 {
		t.Errorf("%d blocks came through a burst of %d bytes", pieces, leastBurst)
	}
	go tap.Close()
	if _, err := tap.Read(make([]byte, 10)); err == nil {
		t.Fatal("read beyond the limit")
	}
}

// scripted is a connection whose reads come in given sizes.
type scripted struct {
	net.Conn
	data  []byte
	sizes []byte
	step  func()
}

func (s *scripted) Read(b []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := len(s.data)
	if len(s.sizes) > 0 {
		n = int(s.sizes[0])%37 + 1
		s.sizes = s.sizes[1:]
	}
	s.step()
	n = copy(b, s.data[:min(n, len(s.data))])
	s.data = s.data[n:]
	return n, nil
}

func (s *scripted) SetReadDeadline(time.Time) error { return nil }

// FuzzHear cuts the incoming stream everywhere: the peer's messages come out whole,
// in their order, and what is heard stands only between them.
func FuzzHear(f *testing.F) {
	f.Add([]byte{0, 1, 5, 9, 200, 13}, []byte{1, 2, 3, 40, 5, 6, 70})
	f.Add([]byte{255, 255, 0, 0}, []byte{})
	f.Fuzz(func(t *testing.T, lengths, sizes []byte) {
		var stream []byte
		for i, n := range lengths {
			stream = binary.BigEndian.AppendUint32(stream, uint32(n))
			for k := range int(n) {
				stream = append(stream, byte(i+k))
			}
		}
		total := len(stream)
		s := &scripted{data: stream, sizes: sizes}
		tap := claimedTap(s, s)
		said := 0
		s.step = func() {
			if len(s.sizes) > 0 && s.sizes[0]%3 == 0 {
				tap.hear(pp.Message{Type: pp.HashRequest, Index: pp.Integer(said)})
				said++
			}
		}
		var got []byte
		for i := 0; ; i++ {
			b := make([]byte, 1+i*7%50)
			n, err := tap.Read(b)
			if got = append(got, b[:n]...); err != nil {
				break
			}
		}
		peer, own := 0, 0
		for len(got) >= 4 {
			n := int(binary.BigEndian.Uint32(got))
			if tap.heard() {
				if want := (pp.Message{Type: pp.HashRequest, Index: pp.Integer(own)}).MustMarshalBinary(); !bytes.HasPrefix(got, want) {
					t.Fatalf("heard %x, want %x", got[:n+4], want)
				}
				own++
			} else {
				if peer == len(lengths) || n != int(lengths[peer]) || n > 0 && got[4] != byte(peer) {
					t.Fatalf("message %d is torn: %x", peer, got)
				}
				peer++
				total -= n + 4
			}
			got = got[n+4:]
		}
		if len(got) != 0 || total != 0 || peer != len(lengths) || own != said {
			t.Fatalf("%d bytes too many, %d too few; %d of %d messages, heard %d of %d", len(got), total, peer, len(lengths), own, said)
		}
	})
}
