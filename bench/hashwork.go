package main

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"handful/bench/rival"
	"handful/manifest"
)

// hashWorker is the question that bench asks a copy of itself: KIND PATH.
const hashWorker = "hash-worker"

// hashWork hashes a file in one of several ways, and ends. What it costs is read off its process.
func hashWork(ctx context.Context, args []string, out report) error {
	if len(args) != 2 {
		return fmt.Errorf("%w: %s KIND PATH", errUsage, hashWorker)
	}
	kind, path := args[0], args[1]
	switch kind {
	case "limit":
		return limit(path, out)
	case "engine":
		return rival.MakeTorrent(path, filepath.Join(filepath.Dir(path), "out.torrent"), pieceForHash)
	case "hybrid":
		return build(ctx, path, manifest.FormatHybrid)
	case "v1":
		return build(ctx, path, manifest.FormatV1)
	}
	return fmt.Errorf("%w: no kind %q", errUsage, kind)
}

func build(ctx context.Context, path string, format manifest.Format) error {
	t, _, err := manifest.Build(ctx, []string{path}, manifest.BuildOptions{Format: format, PieceLength: pieceForHash})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "out.torrent"), t.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write torrent: %w", err)
	}
	return nil
}

// limit reads the file into memory, and then hashes each MiB of it with SHA-1 and with SHA-256, on all cores. It prints
// the seconds that the hashing took: nothing that must read the same bytes can be faster with these two hashes.
func limit(path string, out report) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read content: %w", err)
	}
	start := time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	for range cores() {
		all.Go(func() {
			for {
				from := (next.Add(1) - 1) * pieceForHash
				if from >= int64(len(data)) {
					return
				}
				piece := data[from:min(from+pieceForHash, int64(len(data)))]
				sink(sha1.Sum(piece), sha256.Sum256(piece))
			}
		})
	}
	all.Wait()
	_, err = fmt.Fprintln(out.stdout, strconv.FormatFloat(time.Since(start).Seconds(), 'f', 6, 64))
	return err
}

// sink takes hashes, so that no compiler can find them useless.
//
//go:noinline
func sink([sha1.Size]byte, [sha256.Size]byte) {}
