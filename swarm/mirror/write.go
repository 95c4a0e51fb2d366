package mirror

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
)

// Log is what a mirror needs of a writer's log.
type Log interface {
	// Head returns the newest signed head; its Raw is nil when there is none.
	Head() signing.Head
	Entry(index int64) ([]byte, error)
	// UpdateWithin makes the update of at most limit bytes for who has size entries.
	UpdateWithin(size int64, limit int) (signing.Update, error)
	// ReadHashes returns hashes of the tree, numbered as by tlog.StoredHashIndex.
	ReadHashes(indexes []int64) ([]tlog.Hash, error)
}

// Channel is what is put into a mirror.
type Channel struct {
	ID      signing.ID
	Roots   [][]byte // version 1, 2, …
	Targets [][]byte // documents that grants name
	Writers map[string]Log
	Items   []Item
}

// Report counts what a mirror has got.
type Report struct {
	Written int   // files
	Bytes   int64 // in them
	Kept    int   // files that were there already
}

// writer is one run of Write.
type writer struct {
	root   *os.Root
	report Report
}

// Write makes the mirror of a channel in a directory, or brings it up to date; what else
// is in the directory is left alone. progress, when not nil, is told the payload bytes of
// files that are done, and those that there are. Its error says what could not be written;
// the mirror can be read all the same, and the next Write goes on.
func Write(ctx context.Context, dir string, c Channel, progress func(done, total int64)) (Report, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return Report{}, fmt.Errorf("make the mirror: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, fmt.Errorf("open the mirror: %w", err)
	}
	defer root.Close()
	w := &writer{root: root}
	err = w.documents(c)
	if err == nil {
		err = w.items(ctx, c, progress)
	}
	names := make([]string, 0, len(c.Writers))
	for name := range c.Writers {
		names = append(names, name)
	}
	slices.SortFunc(names, mainLast)
	for _, name := range names {
		if err == nil {
			err = w.log(ctx, c.ID, name, c.Writers[name])
		}
	}
	if err != nil {
		return w.report, fmt.Errorf("mirror of channel %s in %s: %w", c.ID, dir, err)
	}
	return w.report, nil
}

// mainLast sorts the main writer last: its entries grant the others.
func mainLast(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == signing.MainWriter:
		return 1
	case b == signing.MainWriter:
		return -1
	}
	return strings.Compare(a, b)
}

func (w *writer) documents(c Channel) error {
	for i, raw := range c.Roots {
		if err := w.put(rootPath(c.ID, int64(i+1)), raw); err != nil {
			return err
		}
	}
	for _, raw := range c.Targets {
		t, err := signing.ParseTargets(raw)
		if err != nil {
			return err
		}
		if err := w.put(targetsPath(c.ID, t.Hash()), raw); err != nil {
			return err
		}
	}
	return nil
}

// log writes a writer's tiles, and what points to them after that.
func (w *writer) log(ctx context.Context, id signing.ID, name string, l Log) error {
	head := l.Head()
	if head.Raw == nil {
		return nil
	}
	update, err := l.UpdateWithin(0, MaxNews)
	if err != nil {
		return err
	}
	before := w.sizeBefore(id, name)
	for _, t := range tlog.NewTiles(tileHeight, 0, head.Size) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		b, err := tlog.ReadTileData(t, reader{l})
		if err != nil {
			return fmt.Errorf("tile %s of writer %q: %w", t.Path(), name, err)
		}
		if err := w.tile(id, name, t, b, before); err != nil {
			return err
		}
		if t.L > 0 {
			continue
		}
		t.L = -1
		if b, err = entriesOf(l, t); err != nil {
			return err
		}
		if err := w.tile(id, name, t, b, before); err != nil {
			return err
		}
	}
	raw := update.Bytes()
	if len(raw) > signing.MaxUpdate {
		raw = signing.Update{Head: head.Raw}.Bytes()
	}
	if err := w.put(writerPath(id, name, "update"), raw); err != nil {
		return err
	}
	return w.put(writerPath(id, name, "checkpoint"), head.Raw)
}

// reader makes a tlog.HashReader of a log.
type reader struct{ l Log }

func (r reader) ReadHashes(indexes []int64) ([]tlog.Hash, error) { return r.l.ReadHashes(indexes) }

// entriesOf returns the entries of a tile.
func entriesOf(l Log, t tlog.Tile) ([]byte, error) {
	var b []byte
	for i := range int64(t.W) {
		e, err := l.Entry(t.N*tileWidth + i)
		if err != nil {
			return nil, err
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(e))) // at most signing.MaxEntry
		b = append(b, e...)
	}
	return b, nil
}

// sizeBefore is how many entries the head covers that the mirror shows; 0 for none.
func (w *writer) sizeBefore(id signing.ID, name string) int64 {
	raw, err := w.read(writerPath(id, name, "checkpoint"), signing.MaxHead)
	if err != nil {
		return 0
	}
	h, err := signing.ParseHead(raw)
	if err != nil {
		return 0
	}
	return h.Size
}

// tile writes a tile, and drops the incomplete ones in its place that belong neither to
// this head nor to the one before.
func (w *writer) tile(id signing.ID, name string, t tlog.Tile, b []byte, before int64) error {
	path := writerPath(id, name, tilePath(t))
	if err := w.put(path, b); err != nil {
		return err
	}
	whole := t
	whole.W = tileWidth
	dir := writerPath(id, name, tilePath(whole)) + ".p"
	old := before >> (tileHeight * max(t.L, 0))
	keep := []string{strconv.Itoa(t.W), strconv.FormatInt(old-t.N*tileWidth, 10)}
	names, err := fs.ReadDir(w.root.FS(), dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	left := len(names)
	for _, n := range names {
		if slices.Contains(keep, n.Name()) {
			continue
		}
		if err := w.root.Remove(filepath.Join(dir, n.Name())); err != nil {
			return err
		}
		left--
	}
	if left == 0 {
		return w.root.Remove(dir)
	}
	return nil
}

func (w *writer) read(path string, limit int64) ([]byte, error) {
	f, err := w.root.Open(filepath.FromSlash(path))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, limit)
}

// put writes a file durably, unless it is there with the same bytes.
func (w *writer) put(path string, b []byte) error {
	if have, err := w.read(path, int64(len(b))); err == nil && bytes.Equal(have, b) {
		w.report.Kept++
		return nil
	}
	path = filepath.FromSlash(path)
	if err := w.root.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	temp := path + ".new"
	f, err := w.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = w.root.Rename(temp, path)
	}
	if err != nil {
		w.root.Remove(temp)
		return fmt.Errorf("write %s: %w", path, err)
	}
	w.report.Written++
	w.report.Bytes += int64(len(b))
	return w.syncDir(filepath.Dir(path))
}
