package manifest

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/minio/sha256-simd"
	"golang.org/x/sync/errgroup"
)

const (
	// batchBytes is what a worker takes at a time: large enough that few files
	// are opened twice, small enough that all workers end together.
	batchBytes = 4 << 20
	// batchPieces bounds a batch of pieces that are far shorter, in hybrids of
	// small files.
	batchPieces = 256
	// readBytes is read at a time: it stays in a core's own cache until both
	// hashes have seen it.
	readBytes = 256 << 10
)

// hasher reads the sources of t once and fills in its hashes. Workers take
// batches of pieces and write to disjoint parts of sha1, sha256 and nodes.
type hasher struct {
	t       *Torrent
	sources []Source
	stream  io.ReaderAt // instead of sources: the bytes of the one file
	nodes   []hash256   // v2: one a piece
	next    atomic.Int64
	batch   int64 // pieces

	mu       sync.Mutex // guards done and calls of progress
	done     int64      // bytes
	progress func(done, total int64)
}

// hashAll hashes h.t with so many workers.
func hashAll(ctx context.Context, h *hasher, workers int) ([]hash256, error) {
	t := h.t
	h.batch = min(max(1, batchBytes/t.PieceLength), batchPieces)
	if t.v2 {
		h.nodes = make([]hash256, t.pieces)
	}
	if h.progress != nil {
		h.progress(0, t.length)
	}
	workers = min(workers, int((int64(t.pieces)+h.batch-1)/h.batch))
	g, ctx := errgroup.WithContext(ctx)
	for range workers {
		g.Go(func() error {
			w := newWorker(h)
			defer w.close()
			return w.run(ctx)
		})
	}
	return h.nodes, g.Wait()
}

// report counts n bytes more.
func (h *hasher) report(n int64) {
	if h.progress == nil || n == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done += n
	h.progress(h.done, h.t.length)
}

// worker hashes batches. It owns one buffer and has one file open at most.
type worker struct {
	h      *hasher
	buf    []byte
	sha1   hash.Hash
	sha256 hash.Hash // plain v1
	leaves []hash256 // v2
	sum    []byte    // scratch for sums

	file *os.File
	open int // index of file, when it is not nil
}

func newWorker(h *hasher) *worker {
	w := &worker{h: h, buf: make([]byte, readBytes), sha1: sha1.New(), sum: make([]byte, 0, 64)}
	if h.t.v2 {
		w.leaves = make([]hash256, 0, h.t.PieceLength/BlockSize)
	} else {
		w.sha256 = sha256.New()
	}
	return w
}

func (w *worker) run(ctx context.Context) error {
	for {
		first := (w.h.next.Add(1) - 1) * w.h.batch
		if first >= int64(w.h.t.pieces) {
			return nil
		}
		end := min(first+w.h.batch, int64(w.h.t.pieces))
		var n int64
		for i := first; i < end; i++ {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("hash %q: %w", w.h.t.Name, err)
			}
			size, err := w.piece(int(i))
			if err != nil {
				return err
			}
			n += size
		}
		// A file that goes on in another batch is opened again there, so that
		// it is compared with its looks at both ends of each batch.
		if err := w.done(); err != nil {
			return err
		}
		w.h.report(n)
	}
}

// piece hashes piece i and returns its bytes.
func (w *worker) piece(i int) (size int64, err error) {
	t := w.h.t
	for s := range t.Spans(i, 0, t.PieceLength) {
		if err = w.span(s); err != nil {
			return 0, err
		}
		size += s.Length
	}
	if t.v1 {
		writeZeros(w.sha1, min(t.PieceLength, t.v1Length-int64(i)*t.PieceLength)-size)
		copy(t.sha1[20*i:], w.sha1.Sum(w.sum))
		w.sha1.Reset()
	}
	if t.v2 {
		w.h.nodes[i] = w.node(i)
		w.leaves = w.leaves[:0]
	} else {
		copy(t.sha256[32*i:], w.sha256.Sum(w.sum))
		w.sha256.Reset()
	}
	return size, nil
}

// node returns what stands for piece i in its file's tree: its node of the piece
// layer, or the root when the file is no longer than a piece.
func (w *worker) node(i int) hash256 {
	t := w.h.t
	if t.Files[t.fileOfPiece(i)].Length <= t.PieceLength {
		return merkleRoot(w.leaves, hash256{})
	}
	return pieceRoot(w.leaves, t.PieceLength)
}

// span hashes a part of a file.
func (w *worker) span(s Span) error {
	from := w.h.stream
	if from == nil {
		if err := w.use(s.File); err != nil {
			return err
		}
		from = w.file
	}
	for s.Length > 0 {
		n := min(s.Length, readBytes)
		if got, err := from.ReadAt(w.buf[:n], s.Offset); int64(got) < n {
			if w.h.stream == nil && errors.Is(err, io.EOF) {
				return fmt.Errorf("hash %q: %w: it became shorter", w.h.sources[s.File].Path, ErrChanged)
			}
			return fmt.Errorf("hash: %w", err)
		}
		w.add(w.buf[:n])
		s.Offset, s.Length = s.Offset+n, s.Length-n
	}
	return nil
}

// add hashes data block by block, so that the second hash finds it in the cache.
func (w *worker) add(data []byte) {
	for len(data) > 0 {
		block := data[:min(len(data), BlockSize)]
		data = data[len(block):]
		if w.h.t.v1 {
			w.sha1.Write(block)
		}
		if w.h.t.v2 {
			w.leaves = append(w.leaves, sha256.Sum256(block))
		} else {
			w.sha256.Write(block)
		}
	}
}

// use makes file i the one that is open.
func (w *worker) use(i int) error {
	if w.file != nil && w.open == i {
		return nil
	}
	if err := w.done(); err != nil {
		return err
	}
	file, err := openSource(w.h.sources[i].Path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%w: %w", ErrChanged, err)
		}
		return fmt.Errorf("hash: %w; make it readable and leave it alone while it is hashed", err)
	}
	w.file, w.open = file, i
	return w.compare()
}

// done closes the open file, unless it no longer looks as it did.
func (w *worker) done() error {
	if w.file == nil {
		return nil
	}
	err := w.compare()
	w.close()
	return err
}

func (w *worker) close() {
	if w.file != nil {
		w.file.Close() // it was only read
		w.file = nil
	}
}

func (w *worker) compare() error {
	source := &w.h.sources[w.open]
	info, err := w.file.Stat()
	if err != nil {
		return fmt.Errorf("hash: %w", err)
	}
	if !source.Same(info) {
		return fmt.Errorf("hash %q: %w; publish it when it is at rest", source.Path, ErrChanged)
	}
	return nil
}
