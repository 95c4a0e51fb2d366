package main

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
)

const (
	block     = 16 << 10 // bytes
	lieEvery  = 4        // blocks
	corrupted = block / 2
)

// lies is a storage in which every piece is complete. What is read from it is what source holds, but for one bit in every
// fourth block.
type lies struct {
	source io.ReaderAt
	served atomic.Int64 // blocks
}

func (l *lies) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{
		Piece: func(p metainfo.Piece) storage.PieceImpl { return piece{l, p.Offset()} },
		Close: func() error { return nil },
	}, nil
}

type piece struct {
	*lies
	offset int64 // in the content
}

// ReadAt reads whole blocks in all but the last read of a content, so blocks are counted by their starts.
func (p piece) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.source.ReadAt(b, p.offset+off)
	for at := 0; at < n; at += block {
		if p.served.Add(1)%lieEvery == 0 {
			b[min(at+corrupted, n-1)] ^= 1
		}
	}
	return n, err
}

func (piece) WriteAt([]byte, int64) (int, error) { return 0, errors.ErrUnsupported }
func (piece) MarkComplete() error                { return nil }

// MarkNotComplete is what the engine says when a piece fails its check; this storage knows better.
func (piece) MarkNotComplete() error { return nil }

func (piece) Completion() storage.Completion { return storage.Completion{Ok: true, Complete: true} }
