package manifest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"handful/manifest/bencode"
)

// Parse reads a .torrent. Keys that are not known are kept and printed back by
// Bytes. Piece layers are verified; that some are missing is no error. It copies
// what it keeps. Errors are those of ParseInfo, and ErrMismatch.
func Parse(metainfo []byte) (*Torrent, error) {
	if len(metainfo) > MaxMetainfo {
		return nil, fmt.Errorf("torrent file: %w: %d bytes", ErrTooLarge, len(metainfo))
	}
	r := bencode.NewReader(metainfo)
	var info, layers []byte
	var outer []member
	r.Dict(func(key string) {
		switch key {
		case "info":
			info = r.Skip()
		case "piece layers":
			layers = r.Skip()
		default:
			outer = append(outer, member{key, bytes.Clone(r.Skip())})
		}
	})
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("torrent file: %w", err)
	}
	if info == nil {
		return nil, fmt.Errorf("torrent file: %w: no info dict", ErrMalformed)
	}
	t, err := ParseInfo(info)
	if err != nil {
		return nil, fmt.Errorf("torrent file: %w", err)
	}
	t.outer = outer
	t.Trackers, t.WebSeeds = t.readSources()
	if layers == nil {
		t.printLayers = false
		return t, nil
	}
	if !t.v2 {
		return nil, fmt.Errorf("torrent file: %w: piece layers without a file tree", ErrMalformed)
	}
	if err := t.parseLayers(layers); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Torrent) parseLayers(layers []byte) error {
	r := bencode.NewReader(layers)
	r.Dict(func(key string) {
		if len(key) != 32 {
			r.Fail(fmt.Errorf("%w: pieces root of %d bytes", ErrMalformed, len(key)))
			return
		}
		layer := r.Bytes()
		if r.Err() == nil {
			r.Fail(t.AddLayer(hash256([]byte(key)), layer))
		}
	})
	if err := r.End(); err != nil {
		return fmt.Errorf("torrent file: %w", err)
	}
	return nil
}

// readSources returns what the keys of the metainfo say of trackers and web
// seeds. They are advice of others: what is not understood is passed over.
func (t *Torrent) readSources() (trackers, webSeeds []string) {
	for _, m := range t.outer {
		r := bencode.NewReader(m.value)
		switch m.key {
		case "announce", "announce-list":
			eachString(r, func(s string) { addSource(&trackers, s) })
		case "url-list":
			eachString(r, func(s string) { addSource(&webSeeds, s) })
		}
	}
	return trackers, webSeeds
}

// eachString calls each for every string in the value that r stands at.
func eachString(r *bencode.Reader, each func(string)) {
	switch r.Kind() {
	case 's':
		each(r.String())
	case 'l':
		r.List(func() { eachString(r, each) })
	default:
		r.Skip()
	}
}

// Bytes returns the .torrent: the info dict, the piece layers that are known,
// trackers and web seeds, and the keys that Parse did not know.
func (t *Torrent) Bytes() []byte {
	outer := make(map[string][]byte, len(t.outer)+5)
	for _, m := range t.outer {
		outer[m.key] = m.value
	}
	// What was read is printed back as it was, unless it was replaced.
	trackers, webSeeds := t.readSources()
	if !slices.Equal(trackers, t.Trackers) {
		delete(outer, "announce")
		delete(outer, "announce-list")
		if len(t.Trackers) > 0 {
			outer["announce"] = bencode.AppendString(nil, t.Trackers[0])
		}
		if len(t.Trackers) > 1 {
			// One tier a tracker: they are tried in order.
			tiers := []byte{'l'}
			for _, url := range t.Trackers {
				tiers = appendPath(tiers, []string{url})
			}
			outer["announce-list"] = append(tiers, 'e')
		}
	}
	if !slices.Equal(webSeeds, t.WebSeeds) {
		delete(outer, "url-list")
		if len(t.WebSeeds) > 0 {
			outer["url-list"] = appendPath(nil, t.WebSeeds)
		}
	}
	outer["info"] = t.InfoBytes
	if layers := t.appendLayers(nil); t.printLayers || len(layers) > len("de") {
		outer["piece layers"] = layers
	}
	b := []byte{'d'}
	for _, key := range slices.Sorted(maps.Keys(outer)) {
		b = append(bencode.AppendString(b, key), outer[key]...)
	}
	return append(b, 'e')
}

func (t *Torrent) appendLayers(b []byte) []byte {
	t.layers.mu.RLock()
	defer t.layers.mu.RUnlock()
	b = append(b, 'd')
	for _, root := range slices.SortedFunc(maps.Keys(t.layers.known), func(a, b hash256) int { return bytes.Compare(a[:], b[:]) }) {
		b = bencode.AppendString(b, root[:])
		b = bencode.AppendString(b, t.layers.known[root])
	}
	return append(b, 'e')
}

// maxSources is how many trackers, and how many web seeds, are listened to.
const maxSources = 256
