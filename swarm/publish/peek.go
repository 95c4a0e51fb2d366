package publish

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
	"handful/signing/durable"
)

// Peeked is what a look at a log's directory tells, without the log's being opened: beside
// a node that has it open, too.
type Peeked struct {
	Entries     int64
	Signed      int64 // entries under the newest head; its signatures are not verified
	Ahead       int64 // entries of a head of this writer that the network holds and the log does not; 0: none is known
	Unconfirmed bool  // the log was missing, and the network has not been asked yet

	hashes memoryHashes
}

// Peek looks at a log. A missing directory is an empty log.
func Peek(dir string) (*Peeked, error) {
	p := &Peeked{}
	files := durable.OS{}
	f, err := files.Open(filepath.Join(dir, entriesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at log %s: %w", dir, err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("look at log %s: %w", dir, err)
	}
	r := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 1<<16)
	var tree subtrees
	for {
		entry, err := readFrame(r)
		if err != nil {
			return nil, fmt.Errorf("look at log %s: %w", dir, err)
		}
		if entry == nil {
			break
		}
		p.hashes = append(p.hashes, tree.push(entry)...)
		p.Entries++
	}
	head := func(name string) (h signing.Head) {
		if b, err := durable.ReadFile(files, filepath.Join(dir, name), signing.MaxHead); err == nil {
			h, _ = signing.ParseHead(b) // what cannot be read is as good as absent
		}
		return h
	}
	p.Signed = head(headFile).Size
	if h := head(networkFile); h.Raw != nil {
		if root, err := p.RootAt(h.Size); err != nil || root != h.Root {
			p.Ahead = h.Size
		}
	}
	_, err = durable.ReadFile(files, filepath.Join(dir, unconfirmedFile), 1<<10)
	p.Unconfirmed = err == nil
	return p, nil
}

// RootAt returns the root hash of the tree of the first size entries.
func (p *Peeked) RootAt(size int64) ([32]byte, error) {
	if size < 0 || size > p.Entries {
		return [32]byte{}, fmt.Errorf("a tree of %d entries: the log here has %d", size, p.Entries)
	}
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	return tlog.TreeHash(size, p.hashes)
}

// memoryHashes are the hashes of a tree in the order of tlog.StoredHashIndex.
type memoryHashes []tlog.Hash

// ReadHashes implements tlog.HashReader.
func (m memoryHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at < 0 || at >= int64(len(m)) {
			return nil, fmt.Errorf("hash %d is not there", at)
		}
		out[i] = m[at]
	}
	return out, nil
}
