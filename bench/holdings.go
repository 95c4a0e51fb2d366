package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// holdings tells from the files of a client which pieces it holds, whatever client it is and wherever below its directory
// it lets them grow. It looks at the first and the last 8 bytes of each block (16 KiB): content is random, and what has not
// arrived reads as zeros, or not at all.
type holdings struct {
	size, piece int64  // bytes
	edges       []byte // 16 bytes for each multiple of a block: 8 before it and 8 behind it; zeros beyond the ends
}

const (
	blockSize = 16 << 10
	edge      = 8
)

func newHoldings(source string, piece int64) (*holdings, error) {
	f, err := os.Open(source)
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	defer f.Close()
	s, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	if piece < blockSize || piece%blockSize != 0 {
		return nil, fmt.Errorf("pieces of %d bytes are not whole blocks", piece)
	}
	h := &holdings{size: s.Size(), piece: piece}
	if h.edges, err = h.read(f); err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	return h, nil
}

func (h *holdings) blocks() int { return int((h.size + blockSize - 1) / blockSize) }
func (h *holdings) pieces() int { return int((h.size + h.piece - 1) / h.piece) }

// read the edges of all blocks; the last block's end is the content's.
func (h *holdings) read(f io.ReaderAt) ([]byte, error) {
	n := h.blocks()
	edges := make([]byte, (n+1)*2*edge)
	for k := range n + 1 {
		at := min(int64(k)*blockSize, h.size)
		from, to := max(0, at-edge), min(h.size, at+edge)
		into := edges[k*2*edge+int(from-(at-edge)):][:to-from]
		if _, err := f.ReadAt(into, from); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	return edges, nil
}

// held says for each piece whether it lies whole below dir.
func (h *holdings) held(dir string) ([]bool, error) {
	whole := make([]bool, h.pieces())
	path, err := largestFile(dir)
	if err != nil || path == "" {
		return whole, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) { // renamed under our hands: seen next time
		return whole, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at what a client holds: %w", err)
	}
	defer f.Close()
	edges, err := h.read(f)
	if err != nil {
		return nil, fmt.Errorf("look at what a client holds: %w", err)
	}
	for i := range whole {
		whole[i] = true
	}
	for b := range h.blocks() {
		// The start of block b lies behind its own edge, its end before the next one.
		from, to := b*2*edge+edge, (b+1)*2*edge+edge
		if !bytes.Equal(edges[from:to], h.edges[from:to]) {
			whole[int64(b)*blockSize/h.piece] = false
		}
	}
	return whole, nil
}

// largestFile below dir, "" if there is none.
func largestFile(dir string) (path string, err error) {
	most := int64(-1)
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && info.Size() > most {
			path, most = p, info.Size()
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("look at what a client holds: %w", err)
	}
	return path, nil
}
