package manifest

import (
	"context"
	"fmt"
	"runtime"
)

// BuildOptions say how Build makes a torrent. The zero value suits.
type BuildOptions struct {
	Name        string // of the file or directory; empty: that of the path
	Format      Format
	PieceLength int64 // bytes, a power of two of at least 16 KiB; 0: by the size
	Delta       bool  // pieces of 64 KiB, so that a next version shares many
	Workers     int   // that hash at the same time; 0: one a core
	// Progress, when not nil, is told the bytes that are hashed and those that
	// there are: first (0, total), then after each few MiB. Calls come one at a
	// time, from several goroutines; hashing waits for them.
	Progress func(done, total int64)
	Private  bool // BEP 27: peers only from its own trackers
	// Salt, when not empty, goes into the info dict, so that the same files make another
	// torrent.
	Salt []byte
}

// Build makes the torrent of what is at paths: one file, or one directory, or
// several of either, which become the top level of a tree under o.Name (else
// the name of the first one's directory). Each byte is read once. The sources tell
// for every element of Files, by the same index, where it is on disk; they are
// zero for pads and symlinks.
//
// Names become NFC, and how they were spelled is remembered: see Torrent.Written.
// Symlinks stay links and must not lead out of the tree, a path itself may be one
// and is followed. What cannot be published is an error that
// names it: it wraps ErrChanged, ErrUnsafePath, ErrCollision, ErrUnsupported,
// ErrTooLarge, that of ctx or of the file system.
func Build(ctx context.Context, paths []string, o BuildOptions) (*Torrent, []Source, error) {
	if o.PieceLength != 0 {
		if err := checkPieceLength(o.PieceLength); err != nil {
			return nil, nil, err
		}
	}
	s, err := scanTree(ctx, paths, o.Name)
	if err != nil {
		return nil, nil, err
	}
	found := s.found
	t := &Torrent{Name: nfc(s.name), EmptyDirs: s.empty, Private: o.Private, salt: o.Salt, single: s.single, Files: make([]File, len(found)), written: s.written}
	if t.Name != s.name {
		t.writtenName = s.name
	}
	for i := range found {
		t.Files[i] = found[i].file
		t.length += found[i].file.Length
	}
	if err := checkTree(t.Files, t.EmptyDirs, nfc); err != nil {
		return nil, nil, fmt.Errorf("publish %q: %w; rename one of them", t.Name, err)
	}
	t.PieceLength = o.PieceLength
	if t.PieceLength == 0 {
		t.PieceLength = choosePieceLength(t.length, o.Delta)
	}
	if err := t.arrange(o.Format); err != nil {
		return nil, nil, err
	}
	sources := make([]Source, len(t.Files))
	next := 0
	for i := range t.Files {
		if t.Files[i].Pad {
			continue
		}
		if t.Files[i].Symlink == nil {
			sources[i] = found[next].source
		}
		next++
	}
	s, found = nil, nil
	t.indexFilled()
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	nodes, err := hashAll(ctx, &hasher{t: t, sources: sources, progress: o.Progress}, workers)
	if err != nil {
		return nil, nil, err
	}
	built, err := t.finish(nodes)
	return built, sources, err
}

// finish puts the hashes together, and reads the result like one of a stranger:
// what Build returns is what everybody else will see.
func (t *Torrent) finish(nodes []hash256) (*Torrent, error) {
	layers := make(map[hash256][]byte)
	for _, i := range t.filled {
		f := &t.Files[i]
		first := int(f.Offset / t.PieceLength)
		if f.Length <= t.PieceLength {
			f.PiecesRoot = nodes[first]
			continue
		}
		layer := make([]byte, 0, (f.Length+t.PieceLength-1)/t.PieceLength*32)
		for k := first; len(layer) < cap(layer); k++ {
			layer = append(layer, nodes[k][:]...)
		}
		f.PiecesRoot = layerRoot(layer, t.PieceLength)
		layers[f.PiecesRoot] = layer
	}
	built, err := parseInfo(t.encodeInfo())
	if err != nil {
		return nil, fmt.Errorf("publish %q: %w", t.Name, err)
	}
	for root, layer := range layers {
		if err := built.AddLayer(root, layer); err != nil {
			return nil, fmt.Errorf("publish %q: %w", t.Name, err)
		}
	}
	return built, nil
}
