// Package durable writes files that survive a crash, whole or not at all. Keys, the
// publisher's log and the follower's trust go through it.
//
// A file is replaced in these steps, so that its name always leads to a complete
// content, the old or the new one:
//
//	open(NAME.new)  write  fsync  close  rename(NAME.new, NAME)  fsync(directory)
//
// A NAME.new that a crash leaves behind is overwritten by the next attempt. Each name
// has one writer at a time: its caller's lock.
package durable

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
)

// FS is the part of a filesystem that durable state needs. [OS] is the real one;
// package crashfs has one in memory that loses what was not synced.
type FS interface {
	// MkdirAll makes a directory and those above it, for this user alone.
	MkdirAll(dir string) error
	// Open opens a file to read it.
	Open(path string) (File, error)
	// Create opens a file to read and write it, with the content that it has. A missing
	// one is made, for this user alone.
	Create(path string) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes the names in a directory survive a crash.
	SyncDir(dir string) error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes the content survive a crash.
	Sync() error
}

// WriteFile replaces the content of a file. When it returns without error, the new
// content survives a crash; after an error the old or the new one is there.
func WriteFile(fs FS, path string, data []byte) error {
	return Rewrite(fs, path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Rewrite replaces the content of a file by what write writes, as WriteFile does, for a
// content that is too large to be held. When write fails the old content stays.
func Rewrite(fs FS, path string, write func(io.Writer) error) error {
	temp := path + ".new"
	if err := writeTemp(fs, temp, write); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := fs.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := fs.SyncDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func writeTemp(fs FS, temp string, write func(io.Writer) error) (err error) {
	f, err := fs.Create(temp)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if err := f.Truncate(0); err != nil {
		return err
	}
	w := bufio.NewWriterSize(io.NewOffsetWriter(f, 0), 64<<10)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fs FS, path string, limit int64) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if size > limit {
		return nil, fmt.Errorf("read %s: it has %d bytes, but at most %d are possible", path, size, limit)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); err != nil && !(err == io.EOF && n == len(b)) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}
