package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// contentName is the file that is moved around.
const contentName = "content.bin"

// makeContent writes size pseudo-random bytes, the same for the same seed, in which no two pieces are alike, and returns the file's path.
func makeContent(ctx context.Context, dir string, size int64, seed uint64) (string, error) {
	path := filepath.Join(dir, contentName)
	f, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("make content: %w", err)
	}
	defer f.Close()
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	source := rand.NewChaCha8(key)
	buf := make([]byte, 1<<20)
	for left := size; left > 0; {
		if err := context.Cause(ctx); err != nil {
			return "", err
		}
		b := buf[:min(left, int64(len(buf)))]
		source.Read(b)
		if _, err := f.Write(b); err != nil {
			return "", fmt.Errorf("make content: %w", err)
		}
		left -= int64(len(b))
	}
	if err := f.Close(); err != nil {
		return "", fmt.Errorf("make content: %w", err)
	}
	return path, nil
}

// sameContent says nil if both files hold the same bytes, else where they part.
func sameContent(want, got string) error {
	w, err := os.Open(want)
	if err != nil {
		return fmt.Errorf("compare copy: %w", err)
	}
	defer w.Close()
	g, err := os.Open(got)
	if err != nil {
		return fmt.Errorf("compare copy: %w", err)
	}
	defer g.Close()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for off := int64(0); ; {
		n, err1 := io.ReadFull(w, a)
		m, err2 := io.ReadFull(g, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("copy %s differs from the source within the MiB at %d", got, off)
		}
		off += int64(n)
		if err1 != nil || err2 != nil {
			if ended(err1) && ended(err2) {
				return nil
			}
			return fmt.Errorf("compare copy: %w", errors.Join(err1, err2))
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
