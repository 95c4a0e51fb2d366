package main

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// conversation is what a peer sends: a handshake, messages of several kinds and the given blocks; and how many bytes of
// blocks are in it.
func conversation(before string, blocks ...int) (stream []byte, data int64) {
	message := func(id byte, body int) {
		stream = binary.BigEndian.AppendUint32(stream, uint32(1+body))
		stream = append(append(stream, id), make([]byte, body)...)
	}
	stream = append([]byte(before), handshakeOpening...)
	stream = append(stream, make([]byte, handshakeLength-len(handshakeOpening))...)
	message(20, 16<<10) // metadata
	message(5, 100)     // Bitfield
	for _, n := range blocks {
		stream = append(stream, 0, 0, 0, 0) // keep-alive
		message(4, 4)                       // Have
		message(idPiece, 8+n)
		data += int64(n)
	}
	message(2, 0)
	return stream, data
}

func TestPieceStream(t *testing.T) {
	for _, before := range []string{"", "an encryption handshake \x13BitTorrent"} {
		whole, data := conversation(before, 16<<10, 1, 0, 5000)
		for _, size := range []int{1, 3, 1448, 5792, len(whole)} {
			var p pieceStream
			var got int64
			seq := uint32(1<<32 - 1000) // it wraps
			for at := 0; at < len(whole); at += size {
				got += p.take(seq+uint32(at), whole[at:min(at+size, len(whole))])
			}
			if got != data || p.opaque || !p.shaken {
				t.Errorf("segments of %d: %d bytes of blocks, want %d; %+v", size, got, data, p.opaque)
			}
		}
	}
}

func TestPieceStreamInDisorder(t *testing.T) {
	whole, data := conversation("", 16<<10, 16<<10, 777)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		type segment struct{ from, to int }
		var all []segment
		for at := 0; at < len(whole); {
			n := min(1+random.IntN(6000), len(whole)-at)
			all = append(all, segment{at, at + n})
			if random.IntN(3) == 0 { // again, cut in another way
				from := max(0, at-random.IntN(3000))
				all = append(all, segment{from, min(len(whole), from+1+random.IntN(6000))})
			}
			at += n
		}
		random.Shuffle(len(all)-1, func(i, j int) { all[i+1], all[j+1] = all[j+1], all[i+1] }) // the first is the first
		var p pieceStream
		var got int64
		for _, s := range all {
			got += p.take(uint32(1<<32-20_000)+uint32(s.from), whole[s.from:s.to])
		}
		if got != data || p.opaque || p.held != 0 || len(p.early) != 0 {
			t.Fatalf("round %d: %d bytes of blocks, want %d; opaque %v, %d bytes held", round, got, data, p.opaque, p.held)
		}
	}
}

func TestUnreadableStreamsCountAsAWhole(t *testing.T) {
	noise := make([]byte, 20_000)
	rand.NewChaCha8([32]byte{7}).Read(noise)
	plain, data := conversation("", 100)
	tooLong := append(plain, 0xff, 0xff, 0xff, 0xff, 7)
	for _, c := range []struct {
		name   string
		stream []byte
		want   int64
	}{{"encrypted", noise, 20_000}, {"not a message", append(tooLong, noise[:500]...), data + 501}} {
		var p pieceStream
		var got int64
		for at := 0; at < len(c.stream); at += 1000 {
			got += p.take(uint32(at), c.stream[at:min(at+1000, len(c.stream))])
		}
		if got != c.want || !p.opaque {
			t.Errorf("%s: %d bytes, want %d; opaque %v", c.name, got, c.want, p.opaque)
		}
	}
	var p pieceStream
	p.take(0, plain[:10])
	if got := p.take(1<<30, make([]byte, maxHeld+1)); got != maxHeld+1 || !p.opaque {
		t.Errorf("more than can be held behind a gap: %d bytes, opaque %v", got, p.opaque)
	}
}

func FuzzPieceStream(f *testing.F) {
	whole, _ := conversation("x", 1000)
	f.Add(whole, uint16(100), uint16(7))
	f.Fuzz(func(t *testing.T, stream []byte, size, skip uint16) {
		var once, cut pieceStream
		want := once.take(5, stream)
		var got int64
		step := int(size)%2000 + 1
		late := int(skip) % (len(stream)/step + 1) // this segment comes last
		take := func(i int) {
			from := i * step
			got += cut.take(5+uint32(from), stream[from:min(from+step, len(stream))])
		}
		for i := 0; i*step < len(stream); i++ {
			if i != late || i == 0 {
				take(i)
			}
		}
		if late > 0 && late*step < len(stream) {
			take(late)
		}
		if len(stream) > 0 && (got != want || got > int64(len(stream))) {
			t.Errorf("in segments: %d, at once: %d of %d", got, want, len(stream))
		}
	})
}

func TestHandfulSlides(t *testing.T) {
	start := time.Unix(1000, 0)
	peer := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
	ship := func(ms, to int, bytes int64) shipment {
		return shipment{start.Add(time.Duration(ms) * time.Millisecond), peer(to), bytes}
	}
	for _, c := range []struct {
		name         string
		shipped      []shipment
		most, served int
		payload      int64
	}{
		{"nothing", nil, 0, 0, 0},
		{"too little", []shipment{ship(0, 1, 4095)}, 0, 0, 4095},
		{"one in two parts", []shipment{ship(0, 1, 2048), ship(999, 1, 2048)}, 1, 1, 4096},
		{"parts a second apart", []shipment{ship(0, 1, 2048), ship(1000, 1, 2048)}, 0, 1, 4096},
		{"across a full second", []shipment{ship(900, 1, 5000), ship(1100, 2, 5000), ship(1899, 3, 5000)}, 3, 3, 15000},
		{"one leaves as one comes", []shipment{ship(0, 1, 5000), ship(500, 2, 5000), ship(1000, 3, 5000), ship(1500, 4, 5000)}, 2, 4, 20000},
		{"the same again", []shipment{ship(0, 1, 5000), ship(10, 1, 5000), ship(1005, 2, 5000)}, 2, 2, 15000},
		{"out of order", []shipment{ship(1100, 2, 5000), ship(900, 1, 5000)}, 2, 2, 10000},
	} {
		got := count(c.shipped)
		if got.most != c.most || got.served != c.served || got.payload != c.payload {
			t.Errorf("%s: %+v, want %d at once, %d in all, %d bytes", c.name, got, c.most, c.served, c.payload)
		}
	}
}
