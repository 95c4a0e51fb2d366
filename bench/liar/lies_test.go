package main

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/anacrolix/torrent/metainfo"
)

func TestOneBlockInFourIsCorrupted(t *testing.T) {
	const pieceLength = 4 * block
	truth := make([]byte, 40*block+100)
	rand.NewChaCha8([32]byte{}).Read(truth)
	l := &lies{source: bytes.NewReader(truth)}
	info := metainfo.Info{PieceLength: pieceLength, Length: int64(len(truth)), Pieces: make([]byte, 11*20)}
	opened, err := l.OpenTorrent(t.Context(), &info, metainfo.Hash{})
	if err != nil {
		t.Fatal(err)
	}
	blocks, bad := 0, 0
	read := func(index, blocksAtOnce int) {
		p := opened.Piece(info.Piece(index))
		if c := p.Completion(); !c.Ok || !c.Complete {
			t.Fatalf("piece %d is not claimed: %+v", index, c)
		}
		length := info.Piece(index).Length()
		for off := int64(0); off < length; off += int64(blocksAtOnce) * block {
			b := make([]byte, min(int64(blocksAtOnce)*block, length-off))
			if n, err := p.ReadAt(b, off); n != len(b) {
				t.Fatalf("read %d of %d: %v", n, len(b), err)
			}
			start := int64(index)*pieceLength + off
			for at := 0; at < len(b); at += block {
				end := min(at+block, len(b))
				blocks++
				if !bytes.Equal(b[at:end], truth[start+int64(at):start+int64(end)]) {
					bad++
				}
			}
		}
	}
	for i := range 11 { // the last is 100 bytes
		read(i, 1)
	}
	for i := range 11 {
		read(i, 2)
	}
	if blocks != 82 || bad != 20 {
		t.Errorf("%d of %d blocks are corrupted, want 20 of 82", bad, blocks)
	}
}
