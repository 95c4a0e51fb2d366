package mirror

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"handful/signing"
)

// maxEntryTile is the largest tile of entries in bytes.
const maxEntryTile = tileWidth * (2 + signing.MaxEntry)

// maxTree is the largest tree whose tiles are asked for.
const maxTree = 1 << 53

// tiles reads the hashes of one tree. It belongs to one call.
type tiles struct {
	c      *Client
	writer string
	size   int64 // of the tree
	have   map[tlog.Tile][]byte
}

func (c *Client) tiles(writer string, size int64) *tiles {
	return &tiles{c: c, writer: writer, size: size, have: make(map[tlog.Tile][]byte)}
}

// fetch returns the bytes of a tile of hashes as wide as the tree has it. When the log has
// gone on and the incomplete tile is no longer there, the complete one begins with it.
func (ts *tiles) fetch(ctx context.Context, t tlog.Tile, limit int64) ([]byte, error) {
	path := func(t tlog.Tile) string { return writerPath(ts.c.id, ts.writer, tilePath(t)) }
	b, err := ts.c.Get(ctx, path(t), limit)
	if errors.Is(err, ErrAbsent) && t.W < tileWidth {
		t.W = tileWidth
		b, err = ts.c.Get(ctx, path(t), limit)
	}
	return b, err
}

// hash returns the hash of the subtree of 2^level entries from n·2^level on.
func (ts *tiles) hash(ctx context.Context, level int, n int64) (h tlog.Hash, err error) {
	index := tlog.StoredHashIndex(level, n)
	t := tlog.TileForIndex(tileHeight, index)
	t.W = int(min(tileWidth, ts.size>>(tileHeight*t.L)-t.N*tileWidth))
	b := ts.have[t]
	if b == nil {
		if b, err = ts.fetch(ctx, t, tileWidth*tlog.HashSize); err != nil {
			return h, err
		}
		if len(b) < t.W*tlog.HashSize {
			return h, fmt.Errorf("%s: %w: tile %s of writer %q has %d bytes", ts.c.base, ErrServer, tilePath(t), ts.writer, len(b))
		}
		b = b[:t.W*tlog.HashSize]
		ts.have[t] = b
	}
	h, err = tlog.HashFromTile(t, b, index)
	if err != nil {
		return h, fmt.Errorf("%s: %w: %w", ts.c.base, ErrServer, err)
	}
	return h, nil
}

// compact returns the compact range [a, b).
func (ts *tiles) compact(ctx context.Context, a, b int64) (out [][32]byte, err error) {
	for a < b {
		level := bits.Len64(uint64(b-a)) - 1
		if a > 0 {
			level = min(level, bits.TrailingZeros64(uint64(a)))
		}
		h, err := ts.hash(ctx, level, a>>level)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
		a += 1 << level
	}
	return out, nil
}

// Range returns the compact range [a, b) of the tree of size entries of a writer, which
// nothing has verified.
func (c *Client) Range(ctx context.Context, writer string, a, b, size int64) ([][32]byte, error) {
	if a < 0 || a > b || b > size || size > maxTree {
		return nil, fmt.Errorf("range %d to %d of a tree of %d entries", a, b, size)
	}
	return c.tiles(writer, size).compact(ctx, a, b)
}

// Bridge makes of an update for strangers, whose head is over size entries, one for
// somebody who has from entries.
func (c *Client) Bridge(ctx context.Context, writer string, u signing.Update, size, from int64) (signing.Update, error) {
	first := size - int64(len(u.Entries))
	if first < from {
		u.Entries = u.Entries[min(from-first, int64(len(u.Entries))):]
		first = from
	}
	hashes, err := c.Range(ctx, writer, from, first, size)
	if err != nil {
		return signing.Update{}, err
	}
	return signing.Update{Head: u.Head, Entries: u.Entries, Hashes: hashes, Size: from, Root: u.Root}, nil
}

// Page returns entries from an index on, with the hashes that lead to the tree of size
// entries; nothing of it has been verified.
func (c *Client) Page(ctx context.Context, writer string, index, size int64) (signing.Page, error) {
	if index < 0 || index >= size || size > maxTree {
		return signing.Page{}, fmt.Errorf("entry %d of a tree of %d entries", index, size)
	}
	ts := c.tiles(writer, size)
	tile := entryTile(index/tileWidth, size)
	b, err := ts.fetch(ctx, tile, maxEntryTile)
	if err != nil {
		return signing.Page{}, err
	}
	entries, err := splitEntries(b, tile.W)
	if err != nil {
		return signing.Page{}, fmt.Errorf("%s: tile %s of writer %q: %w", c.base, tilePath(tile), writer, err)
	}
	p := signing.Page{First: index, Size: size}
	room := signing.MaxUpdate / 2
	for _, e := range entries[index%tileWidth:] {
		if room -= len(e) + 8; room < 0 && len(p.Entries) > 0 {
			break
		}
		p.Entries = append(p.Entries, e)
	}
	if p.Left, err = ts.compact(ctx, 0, index); err != nil {
		return signing.Page{}, err
	}
	p.Right, err = ts.compact(ctx, index+int64(len(p.Entries)), size)
	return p, err
}

// splitEntries takes n entries off the front of a tile of entries.
func splitEntries(b []byte, n int) ([][]byte, error) {
	entries := make([][]byte, 0, n)
	for len(entries) < n {
		if len(b) < 2 {
			return nil, fmt.Errorf("%w: it ends behind %d of %d entries", ErrServer, len(entries), n)
		}
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; size == 0 || size > signing.MaxEntry || size > len(b) {
			return nil, fmt.Errorf("%w: an entry of %d bytes, with %d left", ErrServer, size, len(b))
		}
		entries = append(entries, b[:size:size])
		b = b[size:]
	}
	return entries, nil
}
