package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"handful/signing"
	"handful/signing/durable"
	"handful/swarm/feed"
)

// takenBack says that a document took back what a writer had published from an index on.
type takenBack struct {
	writer  string
	version int64 // of the document
	first   int64
}

func (k takenBack) String() string { return fmt.Sprintf("%s %d %d", k.writer, k.version, k.first) }

const (
	backFile = "back"
	maxBack  = 1 << 20 // bytes of it
)

// readBack reads what was taken back.
func (b *Inbox) readBack() (all []takenBack, err error) {
	path := filepath.Join(b.cfg.Dir, backFile)
	raw, err := durable.ReadFile(b.fs, path, maxBack)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(raw)) {
		var k takenBack
		_, err := fmt.Sscanf(line, "%s %d %d\n", &k.writer, &k.version, &k.first)
		if err != nil || k.String()+"\n" != line || !signing.ValidWriter(k.writer) || k.first < 0 {
			return nil, fmt.Errorf("%w: %s: %.60q", ErrCorrupt, path, line)
		}
		all = append(all, k)
	}
	return all, nil
}

// takeBack drops what documents have taken back, if that is not done yet. It returns of each
// writer the version of the document that did so last.
func (b *Inbox) takeBack(f *Follower) (last map[string]int64, err error) {
	last = make(map[string]int64)
	for _, w := range f.Writers() {
		spans := f.Trust().Withdrawn(w)
		last[w] = lastVersion(spans)
		if err := b.takeWriterBack(w, spans); err != nil {
			return nil, err
		}
	}
	return last, nil
}

func (b *Inbox) takeWriterBack(writer string, spans []signing.Withdrawn) error {
	done := int64(0)
	for _, k := range b.takenBack() {
		if k.writer == writer {
			done = k.version
		}
	}
	spans = slices.DeleteFunc(spans, func(s signing.Withdrawn) bool { return s.Version <= done })
	if len(spans) == 0 {
		return nil
	}
	k := takenBack{writer, lastVersion(spans), spans[0].First}
	for _, s := range spans {
		k.first = min(k.first, s.First)
	}
	// The archive first: whoever is told where it ends reads on from there.
	dropped, err := b.archive.TakeBack(writer, k.first)
	if err != nil {
		return fmt.Errorf("channel %s: %w", b.cfg.Channel, err)
	}
	all := append(b.takenBack(), k)
	var text strings.Builder
	for _, k := range all {
		text.WriteString(k.String() + "\n")
	}
	if err := durable.WriteFile(b.fs, filepath.Join(b.cfg.Dir, backFile), []byte(text.String())); err != nil {
		return fmt.Errorf("channel %s: %w", b.cfg.Channel, err)
	}
	b.cfg.Logger.Info("entries were taken back", "channel", b.cfg.Channel, "writer", writer, "from", k.first, "archived", dropped, "version", k.version)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent = slices.DeleteFunc(slices.Clone(b.recent), func(e feed.Entry) bool {
		gone := e.Writer == writer && e.Index >= k.first
		if gone {
			b.size -= weight(e)
		}
		return gone
	})
	if b.floor[writer] > k.first {
		b.floor = maps.Clone(b.floor)
		b.floor[writer] = k.first
	}
	b.back = all
	for c := range b.subs {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return nil
}

func (b *Inbox) takenBack() []takenBack {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.back)
}

// TakenBack returns what a cursor of some age is now that entries may have been taken back
// since: others take their places, and are to be read. An age counts what was taken back; that
// of a new cursor is what TakenBack(nil, 0) returns before Position or Cursor is asked for it.
func (b *Inbox) TakenBack(c feed.Cursor, age int) (feed.Cursor, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.back[min(max(age, 0), len(b.back)):] {
		if c[k.writer] > k.first {
			c = maps.Clone(c)
			c[k.writer] = k.first
		}
	}
	return c, len(b.back)
}
