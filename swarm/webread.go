package swarm

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"handful/manifest"
	"handful/swarm/mirror"
)

// skipLess is how many bytes of an answer are read and dropped rather than asked for anew.
const skipLess = 128 << 10

// webReader reads pieces from a web seed, in order, with as few requests as that takes: an
// answer is read on while what is wanted next is in it.
type webReader struct {
	it   *Item
	seed *webSeed
	last int // the last piece of the run

	res  *mirror.Response
	file int   // that res is of
	pos  int64 // in the file, of the next byte of res
	end  int64 // where res ends
}

func (r *webReader) close() {
	if r.res != nil {
		r.res.Close()
		r.res = nil
	}
}

// piece fills data with a piece.
func (r *webReader) piece(ctx context.Context, piece int, data []byte) error {
	t := r.it.torrent
	at := int64(0)
	for span := range t.Spans(piece, 0, int64(len(data))) {
		b := data[at : at+span.Length]
		at += span.Length
		if t.Files[span.File].Pad {
			clear(b)
			continue
		}
		if err := r.span(ctx, span, b); err != nil {
			return err
		}
	}
	if at != int64(len(data)) {
		return fmt.Errorf("piece %d: %w: %d of %d bytes are in files", piece, mirror.ErrServer, at, len(data))
	}
	return nil
}

// span reads a part of a file.
func (r *webReader) span(ctx context.Context, span manifest.Span, b []byte) error {
	goesOn := r.res != nil && r.file == span.File && r.pos <= span.Offset && r.end >= span.Offset+span.Length
	if !goesOn || span.Offset-r.pos > skipLess && !r.seed.whole.Load() {
		r.close()
		if err := r.open(ctx, span); err != nil {
			return err
		}
	}
	var scrap [16 << 10]byte
	for r.pos < span.Offset {
		if err := r.read(ctx, scrap[:min(int64(len(scrap)), span.Offset-r.pos)]); err != nil {
			return err
		}
	}
	return r.read(ctx, b)
}

// open asks for a file from a span on, as far as the run goes.
func (r *webReader) open(ctx context.Context, span manifest.Span) error {
	t := r.it.torrent
	f := t.Files[span.File]
	end := f.Length
	if !r.seed.whole.Load() {
		end = min(end, r.runEnd(span))
	}
	u := mirror.FileURL(r.seed.url, t.WrittenName(), t.Written(f.Path), t.Single())
	res, err := mirror.Open(ctx, mirror.Bounded(r.it.node.web), u, func(h http.Header) {
		h.Set("Range", fmt.Sprintf("bytes=%d-%d", span.Offset, end-1))
	})
	if err != nil {
		return err
	}
	r.res, r.file, r.pos, r.end = res, span.File, span.Offset, end
	switch res.Status {
	case http.StatusPartialContent:
		if start, ok := rangeStart(res.Header.Get("Content-Range")); !ok || start != span.Offset {
			return fmt.Errorf("%s: %w: it answers with the range %.60q", u, mirror.ErrServer, res.Header.Get("Content-Range"))
		}
		return nil
	case http.StatusOK: // it knows no ranges
		r.seed.whole.Store(true)
		r.pos, r.end = 0, f.Length
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%s: %w: the file there is shorter", u, mirror.ErrAbsent)
	}
	return fmt.Errorf("%s: %w: it answers %d", u, mirror.ErrServer, res.Status)
}

// runEnd is where the last piece of the run ends in the file of a span, which it may not
// reach.
func (r *webReader) runEnd(span manifest.Span) (end int64) {
	t := r.it.torrent
	f := t.Files[span.File]
	return min(f.Length, int64(r.last)*t.PieceLength+t.PieceSize(r.last)-f.Offset)
}

// rangeStart reads where a Content-Range begins: "bytes 0-9/100".
func rangeStart(s string) (int64, bool) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, false
	}
	first, _, ok := strings.Cut(rest, "-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(first, 10, 64)
	return n, err == nil && n >= 0
}

// read fills b from the answer, no faster than the limit of the node allows.
func (r *webReader) read(ctx context.Context, b []byte) error {
	down := &r.it.node.eng.uplink.down
	for len(b) > 0 {
		wait, most := down.wait(classWide)
		if wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return context.Cause(ctx)
			case <-timer.C:
			}
			continue
		}
		n, err := r.res.Read(b[:min(len(b), most)])
		down.took(classWide, n)
		r.it.count.received[TierWebSeed].Add(int64(n))
		r.pos += int64(n)
		b = b[n:]
		if err != nil && len(b) > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%s: %w: %w", hostOf(r.seed.url), mirror.ErrServer, err)
		}
	}
	return nil
}
