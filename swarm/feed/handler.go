package feed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"handful/signing"
)

// Source is where a Handler has entries from. Its methods are called from several
// goroutines.
type Source interface {
	// Channels returns the channels there are, their names unique.
	Channels(ctx context.Context) ([]Channel, error)
	// Newest returns the newest n entries of a channel, in any order.
	Newest(ctx context.Context, channel signing.ID, n int) ([]Entry, error)
	// Since returns at most n entries that a cursor does not have, of each writer the
	// lowest indices first. Fewer than n are all there are.
	Since(ctx context.Context, channel signing.ID, from Cursor, n int) ([]Entry, error)
	// Position returns the cursor that has all there is.
	Position(ctx context.Context, channel signing.ID) (Cursor, error)
	// Subscribe returns a channel that receives after entries were added: at least
	// one value after the last one. It needs a buffer of one value and never more, as
	// entries are asked for and not sent. cancel ends it.
	Subscribe(channel signing.ID) (news <-chan struct{}, cancel func())
}

// HandlerOptions are the bounds of a Handler. Zero values are defaults.
type HandlerOptions struct {
	Now          func() time.Time // never nil
	Entries      int              // of a document, the newest: 100
	Heartbeat    time.Duration    // between signs of life of a quiet event stream: 15 s
	WriteTimeout time.Duration    // after which a reader who takes nothing is cut off: 10 s
	Streams      int              // event streams at a time: 64
}

// Handler answers, to GET and HEAD:
//
//	/feed/NAME.atom  /feed/NAME.rss  /feed/NAME.json   the newest posts of a channel
//	/feed/NAME/events                                  new posts as server-sent events
//	/feeds.opml                                        all channels
//
// It answers whoever asks. A node lets it answer on loopback only, and refuses Host
// headers that are no loopback address, as it does for /status: a page in a browser
// must not read what its user follows. That is the caller's part. What it answers is
// text, says so, and may not be shown as a page (nosniff, a policy of 'none').
type Handler struct {
	source  Source
	o       HandlerOptions
	streams atomic.Int64

	mu   sync.Mutex
	seen map[string]modified // by path; guarded by mu
}

// modified is when a document became what it is, as far as this handler saw.
type modified struct {
	tag string
	at  time.Time
}

// maxSeen bounds Handler.seen: beyond it everything counts as just modified.
const maxSeen = 4096

// NewHandler returns a Handler.
func NewHandler(source Source, o HandlerOptions) *Handler {
	if o.Entries <= 0 {
		o.Entries = 100
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.Streams <= 0 {
		o.Streams = 64
	}
	return &Handler{source: source, o: o, seen: make(map[string]modified)}
}

// feedPath is where the handler has a document.
func feedPath(name, format string) string { return "/feed/" + name + "." + format }

var (
	channelName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	hostHeader  = regexp.MustCompile(`^[A-Za-z0-9._:\[\]-]{1,255}$`)
)

// formats are the documents of a channel.
var formats = []struct {
	suffix, mediaType string
	write             func(Channel, string, []Entry) []byte
}{
	{"atom", "application/atom+xml; charset=utf-8", Atom},
	{"rss", "application/rss+xml; charset=utf-8", RSS},
	{"json", "application/feed+json; charset=utf-8", JSON},
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	if !hostHeader.MatchString(r.Host) {
		http.Error(w, "malformed Host", http.StatusBadRequest)
		return
	}
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-cache") // kept, but asked for again
	channels, err := h.source.Channels(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	base := "http://" + r.Host
	if r.URL.Path == "/feeds.opml" {
		h.document(w, r, "text/x-opml; charset=utf-8", OPML(base, channels))
		return
	}
	rest, _ := strings.CutPrefix(r.URL.Path, "/feed/")
	if name, ok := strings.CutSuffix(rest, "/events"); ok {
		if c, ok := find(channels, name); ok {
			h.events(w, r, c)
			return
		}
	}
	for _, f := range formats {
		name, ok := strings.CutSuffix(rest, "."+f.suffix)
		if c, found := find(channels, name); ok && found {
			entries, err := h.source.Newest(r.Context(), c.ID, h.o.Entries)
			if err != nil {
				fail(w, err)
				return
			}
			h.document(w, r, f.mediaType, f.write(c, base+feedPath(c.Name, f.suffix), entries))
			return
		}
	}
	http.NotFound(w, r)
}

func find(channels []Channel, name string) (Channel, bool) {
	for _, c := range channels {
		if c.Name == name && channelName.MatchString(name) {
			return c, true
		}
	}
	return Channel{}, false
}

// fail answers that something is wrong here. What it is goes to the log of the source,
// not to who asks.
func fail(w http.ResponseWriter, err error) {
	if !errors.Is(err, context.Canceled) {
		http.Error(w, "the channel cannot be read", http.StatusInternalServerError)
	}
}

// document answers with a document, or with 304 if the reader has it (RFC 9110, 13).
func (h *Handler) document(w http.ResponseWriter, r *http.Request, mediaType string, b []byte) {
	sum := sha256.Sum256(b)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("ETag", tag)
	http.ServeContent(w, r, "", h.modified(r.Host+r.URL.Path, tag), bytes.NewReader(b))
}

// modified returns when a document became what it is. The times of its posts do not
// tell: writers have clocks of their own, and a post may arrive after newer ones. Each
// change moves it by at least a second, as a date has no parts of one.
func (h *Handler) modified(path, tag string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, ok := h.seen[path]
	if ok && last.tag == tag {
		return last.at
	}
	if len(h.seen) >= maxSeen {
		clear(h.seen)
	}
	now := h.o.Now().UTC().Truncate(time.Second)
	if ok && !now.After(last.at) {
		now = last.at.Add(time.Second)
	}
	h.seen[path] = modified{tag: tag, at: now}
	return now
}
