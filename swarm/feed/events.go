package feed

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

const (
	batch     = 64 // entries that are asked for at a time
	retryTime = 3 * time.Second
	maxLast   = 1000
)

// events streams new entries to one reader (HTML, 9.2, server-sent events):
//
//	id: ann:4 m:13
//	event: post
//	data: {"type":"entry",…}
//
// The event is the kind of the entry. The id is a Cursor: with it as Last-Event-ID, or as ?since=, a reader goes on where
// it was, here or at any other node. Without either it begins with what comes next,
// with ?last=N with the newest N posts. Nothing is queued for a reader: entries are
// read again from the source when it has taken the ones before, so that a slow one
// costs no memory, and one that takes nothing for WriteTimeout is cut off.
func (h *Handler) events(w http.ResponseWriter, r *http.Request, c Channel) {
	cursor, first, ok := h.start(w, r, c)
	if !ok {
		return
	}
	if h.streams.Add(1) > int64(h.o.Streams) {
		h.streams.Add(-1)
		w.Header().Set("Retry-After", "60")
		http.Error(w, "too many event streams", http.StatusServiceUnavailable)
		return
	}
	defer h.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return
	}
	news, cancel := h.source.Subscribe(c.ID)
	defer cancel()
	s := stream{w: w, control: http.NewResponseController(w), h: h, cursor: cursor}
	s.b.WriteString("retry: " + strconv.FormatInt(retryTime.Milliseconds(), 10) + "\n")
	if id := cursor.String(); id != "" {
		s.b.WriteString("id: " + id + "\n") // it may be cut off before the first post
	}
	s.b.WriteString("\n")
	for _, e := range first {
		s.write(e) // the cursor stays: with a newer one than was asked for, what came in between would be lost
	}
	if s.send() != nil {
		return
	}
	heart := time.NewTicker(h.o.Heartbeat)
	defer heart.Stop()
	for {
		entries, err := h.source.Since(r.Context(), c.ID, s.cursor, batch)
		if err != nil {
			return // the reader comes back
		}
		for _, e := range entries {
			s.add(e)
		}
		if s.b.Len() > 0 && s.send() != nil {
			return
		}
		if len(entries) >= batch {
			continue
		}
		select {
		case <-news:
		case <-heart.C:
			s.b.WriteString(":\n\n")
			if s.send() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// start finds out where a reader wants to begin. first are the entries that come
// before the cursor.
func (h *Handler) start(w http.ResponseWriter, r *http.Request, c Channel) (cursor Cursor, first []Entry, ok bool) {
	query := r.URL.Query()
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = query.Get("since")
	}
	if from != "" {
		cursor, err := ParseCursor(from)
		if err != nil {
			http.Error(w, "malformed Last-Event-ID", http.StatusBadRequest)
			return nil, nil, false
		}
		return cursor, nil, true
	}
	// The position first: what comes in between is said twice rather than not at all.
	cursor, err := h.source.Position(r.Context(), c.ID)
	if err != nil {
		fail(w, err)
		return nil, nil, false
	}
	if last := query.Get("last"); last != "" {
		n, err := strconv.Atoi(last)
		if err != nil || n < 0 || n > maxLast {
			http.Error(w, "last is a number up to "+strconv.Itoa(maxLast), http.StatusBadRequest)
			return nil, nil, false
		}
		if n > 0 {
			if first, err = h.source.Newest(r.Context(), c.ID, n); err != nil {
				fail(w, err)
				return nil, nil, false
			}
		}
		first = inOrder(first)
	}
	return cursor, first, true
}

// stream is one reader.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	h       *Handler
	cursor  Cursor
	b       bytes.Buffer // what is to be sent
}

// add appends an entry that is newer than the cursor.
func (s *stream) add(e Entry) {
	s.cursor = s.cursor.With(e)
	s.write(e)
}

// write appends an entry. Its line has no newline in it.
func (s *stream) write(e Entry) {
	s.b.WriteString("id: " + s.cursor.String() + "\nevent: " + e.kind() + "\ndata: ")
	s.b.Write(e.Line())
	s.b.WriteString("\n\n")
}

// send writes what was added, in the time that a reader has for it.
func (s *stream) send() error {
	s.control.SetWriteDeadline(s.h.o.Now().Add(s.h.o.WriteTimeout)) // where that is not supported, the server's own timeout holds
	if _, err := s.w.Write(s.b.Bytes()); err != nil {
		return err
	}
	s.b.Reset()
	return s.control.Flush()
}
