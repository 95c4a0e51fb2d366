package follow

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"handful/manifest"
	"handful/signing"
	"handful/signing/durable"
	"handful/swarm/feed"
)

const (
	maxBundle    = signing.BundleSize * (2 + signing.MaxEntry) // bytes of a bundle's file
	maxPastRange = 16 << 10                                    // bytes of the file range
)

// past keeps the entries of a channel as they stand in its writers' logs, so that pages of
// them can be proven to others when their writer is away: of each writer one run up to the
// newest that was read.
//
//	DIR/<writer>/range   the index of the first entry, and the compact range before it: a line
//	                     each, hashes in base64
//	DIR/<writer>/<n>     the entries of bundle n, from n×256 on, each behind its length in two
//	                     bytes, as an entry bundle of tlog-tiles
//
// It is a cache: nothing here is believed by anybody, since a page is proven to whoever asks
// for it, and what a crash leaves torn is cut off. Its methods are safe for concurrent use.
type past struct {
	fs  durable.FS
	dir string

	mu      sync.Mutex // guards what follows
	writers map[string]*pastLog
}

// pastLog is what is kept of a writer.
type pastLog struct {
	dir   string
	index *signing.Past
	sizes []int64 // bytes of each bundle's file
	// checked: what is kept is known to be of the history that is believed.
	checked bool
	ends    []time.Time // when the last entry of each was written, by its own word
}

func newPast(files durable.FS, dir string) *past {
	return &past{fs: files, dir: dir, writers: make(map[string]*pastLog)}
}

// log returns what is kept of a writer, nil if that is nothing, or cannot be read. The
// caller holds mu.
func (p *past) log(writer string) *pastLog {
	if l, known := p.writers[writer]; known || !signing.ValidWriter(writer) {
		return l
	}
	l := &pastLog{dir: filepath.Join(p.dir, writer)}
	raw, err := durable.ReadFile(p.fs, filepath.Join(l.dir, "range"), maxPastRange)
	if err == nil {
		l.index, err = parsePastRange(raw)
	}
	if err == nil {
		err = p.load(l)
	}
	if err != nil {
		l = nil // it is kept anew
	}
	p.writers[writer] = l
	return l
}

// parsePastRange reads the file range.
func parsePastRange(raw []byte) (*signing.Past, error) {
	text, complete := strings.CutSuffix(string(raw), "\n")
	lines := strings.Split(text, "\n")
	first, err := strconv.ParseInt(lines[0], 10, 64)
	if err != nil || !complete {
		return nil, fmt.Errorf("range: it begins with %.20q", lines[0])
	}
	var hashes [][32]byte
	for _, line := range lines[1:] {
		b, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(b) != 32 {
			return nil, fmt.Errorf("range: %.60q is no hash", line)
		}
		hashes = append(hashes, [32]byte(b))
	}
	index, err := signing.NewPast(first, hashes)
	if err == nil && !bytes.Equal(pastRange(index), raw) {
		err = errors.New("range: it is written otherwise")
	}
	return index, err
}

func pastRange(index *signing.Past) []byte {
	b := strconv.AppendInt(nil, index.First(), 10)
	b = append(b, '\n')
	for _, h := range index.Before() {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return b
}

// load reads the bundles, as far as they are whole.
func (p *past) load(l *pastLog) error {
	for n := l.index.First() / signing.BundleSize; ; n++ {
		entries, size, err := p.readBundle(l, n)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		room := (n+1)*signing.BundleSize - l.index.Size()
		for _, e := range entries[:min(int64(len(entries)), room)] {
			l.index.Append(e)
		}
		if len(entries) > 0 {
			l.note(n, size, entries[len(entries)-1])
		}
		if int64(len(entries)) < room {
			return nil
		}
	}
}

// note remembers how large a bundle is, and how old.
func (l *pastLog) note(bundle, size int64, last []byte) {
	i := int(bundle - l.index.First()/signing.BundleSize)
	for len(l.sizes) <= i {
		l.sizes, l.ends = append(l.sizes, 0), append(l.ends, time.Time{})
	}
	l.sizes[i] = size
	if e, err := manifest.ParseEntry(last); err == nil {
		l.ends[i] = time.UnixMilli(e.Header().Time)
	}
}

func (l *pastLog) path(bundle int64) string {
	return filepath.Join(l.dir, strconv.FormatInt(bundle, 10))
}

// readBundle reads the complete entries of a bundle, and how many bytes they take.
func (p *past) readBundle(l *pastLog, n int64) (entries [][]byte, size int64, err error) {
	b, err := durable.ReadFile(p.fs, l.path(n), maxBundle)
	if err != nil {
		return nil, 0, err
	}
	for rest := b; len(entries) < signing.BundleSize; {
		e, after, ok := cutEntry(rest)
		if !ok {
			break
		}
		entries, rest = append(entries, e), after
		size = int64(len(b) - len(rest))
	}
	return entries, size, nil
}

// cutEntry reads an entry behind its length.
func cutEntry(b []byte) (entry, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if n == 0 || n > signing.MaxEntry || len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// take adds entries of one writer that stand one after the other, from first on. border
// returns a compact range [0, at), if it is known: a run can begin only where it is.
func (p *past) take(writer string, first int64, entries [][]byte, border func(at int64) ([][32]byte, bool)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := p.log(writer), error(nil)
	if l != nil && first != l.index.Size() {
		// Others stand there now, or some are missing in between.
		if l, err = p.cut(l, first); err != nil {
			return err
		}
	}
	if l != nil && !l.checked {
		left, ok := border(first)
		if l.checked = ok; ok && !slices.Equal(left, l.index.Range()) {
			l = nil // it is of another history, or damaged
		}
	}
	for l == nil && len(entries) > 0 {
		if left, ok := border(first); ok {
			if l, err = p.begin(writer, first, left); err != nil {
				return err
			}
			break
		}
		first, entries = first+1, entries[1:]
	}
	p.writers[writer] = l
	return p.write(l, entries)
}

// begin begins a run anew.
func (p *past) begin(writer string, first int64, left [][32]byte) (*pastLog, error) {
	l := &pastLog{dir: filepath.Join(p.dir, writer), checked: true}
	var err error
	if l.index, err = signing.NewPast(first, left); err != nil {
		return nil, err
	}
	if err := p.fs.MkdirAll(l.dir); err != nil {
		return nil, err
	}
	return l, durable.WriteFile(p.fs, filepath.Join(l.dir, "range"), pastRange(l.index))
}

// cut takes a run back to its first entries, up to size; nil when none of it is left, or it
// does not reach so far.
func (p *past) cut(l *pastLog, size int64) (*pastLog, error) {
	if size < l.index.First() || size > l.index.Size() {
		return nil, nil
	}
	next := &pastLog{dir: l.dir}
	var err error
	if next.index, err = signing.NewPast(l.index.First(), l.index.Before()); err != nil {
		return nil, err
	}
	for n := l.index.First() / signing.BundleSize; next.index.Size() < size; n++ {
		entries, _, err := p.readBundle(l, n)
		if err != nil {
			return nil, err
		}
		entries = entries[:min(int64(len(entries)), size-next.index.Size())]
		if len(entries) == 0 {
			return nil, nil
		}
		bytes := int64(0)
		for _, e := range entries {
			next.index.Append(e)
			bytes += 2 + int64(len(e))
		}
		next.note(n, bytes, entries[len(entries)-1])
	}
	return next, nil
}

// write appends entries to the files. A bundle that is begun takes the place of what an
// earlier history has left there.
func (p *past) write(l *pastLog, entries [][]byte) error {
	for len(entries) > 0 {
		n := l.index.Size() / signing.BundleSize
		i := int(n - l.index.First()/signing.BundleSize)
		at := int64(0)
		if i < len(l.sizes) {
			at = l.sizes[i]
		}
		some := entries[:min(int64(len(entries)), (n+1)*signing.BundleSize-l.index.Size())]
		var b []byte
		for _, e := range some {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(e))), e...)
		}
		if err := p.writeAt(l.path(n), b, at); err != nil {
			return fmt.Errorf("keep entries for others: %w", err)
		}
		for _, e := range some {
			l.index.Append(e)
		}
		l.note(n, at+int64(len(b)), some[len(some)-1])
		entries = entries[len(some):]
	}
	return nil
}

// writeAt puts b at the end of what counts of a file.
func (p *past) writeAt(path string, b []byte, at int64) (err error) {
	f, err := p.fs.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(at); err != nil {
		return err
	}
	_, err = f.WriteAt(b, at)
	return err
}

// holds returns which entries of a writer are kept.
func (p *past) holds(writer string) (first, size int64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.log(writer)
	if l == nil {
		return 0, 0, false
	}
	return l.index.First(), l.index.Size(), l.index.Size() > l.index.First()
}

// page makes a page towards the tree of size entries.
func (p *past) page(writer string, first, count, size int64) (signing.Page, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.log(writer)
	if l == nil {
		return signing.Page{}, false
	}
	page, err := l.index.Page(first, count, size, func(n int64) ([][]byte, error) {
		entries, _, err := p.readBundle(l, n)
		return entries, err
	})
	return page, err == nil
}

// prune drops whole bundles that keep does not ask to keep, of each writer the oldest first.
func (p *past) prune(keep feed.Keep, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.writers {
		if l == nil {
			continue
		}
		for len(l.sizes) > 1 && l.beyond(keep, now) {
			n := l.index.First() / signing.BundleSize
			l.index.Drop()
			l.sizes, l.ends = slices.Delete(l.sizes, 0, 1), slices.Delete(l.ends, 0, 1)
			if err := durable.WriteFile(p.fs, filepath.Join(l.dir, "range"), pastRange(l.index)); err != nil {
				return err
			}
			if err := p.fs.Remove(l.path(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// beyond reports whether all of the first bundle is more than what is to be kept.
func (l *pastLog) beyond(keep feed.Keep, now time.Time) bool {
	begin := (l.index.First()/signing.BundleSize + 1) * signing.BundleSize
	rest := int64(0)
	for _, s := range l.sizes[1:] {
		rest += s
	}
	return keep.Count > 0 && l.index.Size()-begin >= int64(keep.Count) ||
		keep.Age > 0 && !l.ends[0].IsZero() && now.Sub(l.ends[0]) > keep.Age ||
		keep.Bytes > 0 && rest >= keep.Bytes
}
