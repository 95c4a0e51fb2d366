package swarm

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
	"golang.org/x/sys/unix"
)

// tapPair returns a tap over a TCP connection, and its other end, behind the handshake.
func tapPair(t *testing.T) (*tap, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r := &taps{now: time.Now}
	tp := r.wrap(near, near).(*tap)
	t.Cleanup(func() { tp.Close() })
	hand := append([]byte{19}, make([]byte, handshakeLen-1)...)
	if _, err := far.Write(hand); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(tp, hand); err != nil {
		t.Fatal(err)
	}
	return tp, far
}

// TestReadsWaitForTheRest: of a block that has begun the rest is waited for, and of what may be the whole of a message,
// nothing.
func TestReadsWaitForTheRest(t *testing.T) {
	tp, far := tapPair(t)
	waits := func() (n int) {
		t.Helper()
		err := tp.gauge.raw.Control(func(fd uintptr) { n, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT) })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	send := func(b []byte) {
		t.Helper()
		if _, err := far.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(tp, make([]byte, len(b))); err != nil {
			t.Fatal(err)
		}
	}
	block := pp.Message{Type: pp.Piece, Piece: make([]byte, blockLen)}.MustMarshalBinary()
	for _, step := range []struct {
		bytes []byte
		want  int
	}{
		{block[:3], 1}, // a length, perhaps
		{block[3:1000], len(block) - 1000},
		{block[1000:15000], 1}, // little is left: not worth a call
		{block[15000:], 1},
		{append(pp.Message{Type: pp.Interested}.MustMarshalBinary(), block[:100]...), len(block) - 100},
		{block[100:], 1},
		{binary.BigEndian.AppendUint32(nil, 9+64<<10), 1},
		{append([]byte{byte(pp.Piece)}, make([]byte, 8)...), mostAwaited}, // never more than a block
	} {
		send(step.bytes)
		if got := max(1, waits()); got != step.want { // 0 until it is set
			t.Errorf("behind %d bytes a read waits for %d, want %d", len(step.bytes), got, step.want)
		}
	}
}

// TestLoadOfASocket: what was written is outstanding until the peer has it, and acknowledged then.
func TestLoadOfASocket(t *testing.T) {
	tp, far := tapPair(t)
	if _, err := tp.vital.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(far, make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	for {
		l, ok := tp.load()
		if !ok {
			t.Fatal("nothing is known of a TCP connection")
		}
		if l.acked+int64(l.unacked) != 5000 {
			t.Fatalf("%+v of 5000 bytes", l)
		}
		if l.unacked == 0 {
			break
		}
	}
	if _, silence, ok := tp.gauge.info(); !ok || silence < 0 {
		t.Errorf("silence %v, %v", silence, ok)
	}
}
