package manifest

import (
	"context"
	"fmt"
	"io"
	"runtime"
)

// BuildStream makes the torrent of one file that is nowhere on disk: of the first size
// bytes of r, under a name. Each byte is read once, by several goroutines and not in
// order. Of o it takes Format, PieceLength, Workers, Progress and Private. Its errors
// wrap what Build's do, and those of r.
func BuildStream(ctx context.Context, name string, size int64, r io.ReaderAt, o BuildOptions) (*Torrent, error) {
	if o.PieceLength != 0 {
		if err := checkPieceLength(o.PieceLength); err != nil {
			return nil, err
		}
	}
	if err := checkElement(name); err != nil {
		return nil, fmt.Errorf("publish %q: %w", name, err)
	}
	t := &Torrent{Name: nfc(name), Private: o.Private, single: true, length: size, PieceLength: o.PieceLength}
	t.Files = []File{{Path: []string{t.Name}, Length: size}}
	if t.PieceLength == 0 {
		t.PieceLength = choosePieceLength(size, o.Delta)
	}
	if err := t.arrange(o.Format); err != nil {
		return nil, err
	}
	t.indexFilled()
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	nodes, err := hashAll(ctx, &hasher{t: t, stream: r, progress: o.Progress}, workers)
	if err != nil {
		return nil, err
	}
	return t.finish(nodes)
}
