package swarm

import (
	"bytes"
	"net"
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

// handshakeOf a peer, as either side sends it.
func handshakeOf(id byte) []byte {
	return append([]byte("\x13BitTorrent protocol\x00\x00\x00\x00\x00\x10\x00\x04"), bytes.Repeat([]byte{id}, 40)...)
}

// TestTapFillsUp writes messages through a tap in parts of every size: what goes out must be the same each time, with
// the pads added to the pieces and rejects that answer a padded request, and to no others.
func TestTapFillsUp(t *testing.T) {
	msg := func(m pp.Message) []byte { return m.MustMarshalBinary() }
	data := bytes.Repeat([]byte{7}, 100)
	in := bytes.Join([][]byte{
		handshakeOf(1),
		msg(pp.Message{Type: pp.Unchoke}), msg(pp.Message{Keepalive: true}),
		msg(pp.Message{Type: pp.Piece, Index: 3, Begin: 0, Piece: data}),
		msg(pp.Message{Type: pp.Piece, Index: 4, Begin: 16384, Piece: data}),
		msg(pp.Message{Type: pp.Piece, Index: 4, Begin: 16384, Piece: data}), // answered already
		msg(pp.Message{Type: pp.Reject, Index: 5, Begin: 0, Length: 10}),
		msg(pp.Message{Type: pp.Have, Index: 9}),
	}, nil)
	want := bytes.Join([][]byte{
		handshakeOf(1),
		msg(pp.Message{Type: pp.Unchoke}), msg(pp.Message{Keepalive: true}),
		msg(pp.Message{Type: pp.Piece, Index: 3, Begin: 0, Piece: data}),
		msg(pp.Message{Type: pp.Piece, Index: 4, Begin: 16384, Piece: append(bytes.Clone(data), make([]byte, 50)...)}),
		msg(pp.Message{Type: pp.Piece, Index: 4, Begin: 16384, Piece: data}),
		msg(pp.Message{Type: pp.Reject, Index: 5, Begin: 0, Length: 16384}),
		msg(pp.Message{Type: pp.Have, Index: 9}),
	}, nil)
	for size := 1; size <= len(in); size++ {
		var out bytes.Buffer
		tap := newTap(nil, &out, func(*tap) {})
		tap.request(block{4, 16384}, 100, 150)
		tap.request(block{5, 0}, 10, 16384)
		for rest := in; len(rest) > 0; {
			k := min(size, len(rest))
			if n, err := tap.Write(rest[:k]); n != k || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, k, err)
			}
			rest = rest[k:]
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Fatalf("in parts of %d bytes: %x, want %x", size, out.Bytes(), want)
		}
		if unchoked, _ := tap.serves(); !unchoked || len(tap.pads) != 0 {
			t.Fatalf("in parts of %d bytes: unchoked %v, %d requests are left", size, unchoked, len(tap.pads))
		}
	}
}

// TestTapInjectsBetweenMessages: an added message never stands inside another.
func TestTapInjectsBetweenMessages(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	tap := newTap(here, here, func(*tap) {})
	have := pp.Message{Type: pp.Have, Index: 9}
	extra := pp.Message{Type: pp.HashRequest, Index: 512, Length: 512}
	go func() {
		raw := have.MustMarshalBinary()
		tap.Write(handshakeOf(1))
		tap.Write(raw[:6])
		tap.inject(extra)
		tap.Write(raw[6:])
	}()
	want := append(append(handshakeOf(1), have.MustMarshalBinary()...), extra.MustMarshalBinary()...)
	got := make([]byte, len(want))
	for at := 0; at < len(got); {
		n, err := there.Read(got[at:])
		if err != nil {
			t.Fatal(err)
		}
		at += n
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("got %x, want %x", got, want)
	}
}

// TestTapLetsObfuscatedStreamsPass: nothing is looked at in a stream that does not begin like BitTorrent.
func TestTapLetsObfuscatedStreamsPass(t *testing.T) {
	var out bytes.Buffer
	tap := newTap(nil, &out, func(*tap) {})
	in := bytes.Repeat([]byte{0, 0, 0, 13, 7}, 100)
	if n, err := tap.Write(in); n != len(in) || err != nil || !bytes.Equal(out.Bytes(), in) {
		t.Fatalf("%d bytes, %v: %x", n, err, out.Bytes())
	}
}
