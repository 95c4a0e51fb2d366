package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"handful/signing"
)

// MaxTorrent is the largest torrent file that is read, in bytes.
const MaxTorrent = 64 << 20

// Bounds of what a client waits for and follows.
const (
	// Patience is how long a server may send nothing: before it answers, and between bytes.
	Patience     = 20 * time.Second
	documentTime = 2 * time.Minute // for all of a document: a torrent is the largest
	maxRedirects = 5
	maxValidator = 1024 // bytes of an ETag or a date that are sent back
)

var (
	// ErrAbsent: the server has no such file.
	ErrAbsent = errors.New("not on this web server")
	// ErrServer: the server did not answer as it should.
	ErrServer = errors.New("the web server fails")
)

// Client reads the mirror of one channel. It is safe for concurrent use.
type Client struct {
	base string
	id   signing.ID
	http *http.Client

	mu   sync.Mutex
	seen map[string]seen // by path, of checkpoints
}

// seen is what a server said of a file, and what it was.
type seen struct {
	etag, modified string
	body           []byte
}

// NewClient returns a reader of the mirror of a channel below a base URL. client makes the
// connections; its Timeout and CheckRedirect are not used.
func NewClient(base string, id signing.ID, client *http.Client) (*Client, error) {
	base, err := ParseBase(base)
	if err != nil {
		return nil, err
	}
	return &Client{base: base, id: id, http: Bounded(client), seen: make(map[string]seen)}, nil
}

// Base returns the base URL, which ends in a slash.
func (c *Client) Base() string { return c.base }

// Bounded returns a client with the transport of another one that follows only the
// redirects that a mirror's reader follows.
func Bounded(client *http.Client) *http.Client {
	return &http.Client{Transport: client.Transport, CheckRedirect: checkRedirect}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	last, from := via[len(via)-1].URL, via[0].URL
	switch to := req.URL; {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case to.Scheme != "http" && to.Scheme != "https":
		return fmt.Errorf("redirected to a %.20q address", to.Scheme)
	case last.Scheme == "https" && to.Scheme == "http":
		return fmt.Errorf("redirected from https to %s", to.Redacted())
	case nearby(to.Hostname()) && !nearby(from.Hostname()):
		return fmt.Errorf("redirected from %s to %s on this machine or network", from.Hostname(), to.Hostname())
	}
	return nil
}

// nearby reports whether a host is written as this machine, or as an address that is
// nobody else's concern. Names are not looked up.
func nearby(host string) bool {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		last := host[strings.LastIndexByte(host, '.')+1:]
		_, err := strconv.ParseUint(last, 0, 64) // 127.1 and 0x7f000001 are addresses to some
		return err == nil || last == "localhost" || last == "local"
	}
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}

// Get reads a file below the base of at most limit bytes. Errors match ErrAbsent where the
// server has none, else ErrServer or that of ctx.
func (c *Client) Get(ctx context.Context, path string, limit int64) ([]byte, error) {
	b, _, err := c.get(ctx, path, limit, seen{})
	return b, err
}

// Document reads what is at a URL, of at most limit bytes, as Client.Get does.
func Document(ctx context.Context, client *http.Client, rawURL string, limit int64) ([]byte, error) {
	b, _, err := document(ctx, client, rawURL, limit, seen{})
	return b, err
}

// get asks for a file unless it is what was seen; then the body is nil.
func (c *Client) get(ctx context.Context, path string, limit int64, old seen) ([]byte, seen, error) {
	return document(ctx, c.http, c.base+path, limit, old)
}

func document(ctx context.Context, client *http.Client, rawURL string, limit int64, old seen) ([]byte, seen, error) {
	ctx, cancel := context.WithTimeout(ctx, documentTime)
	defer cancel()
	res, err := Open(ctx, client, rawURL, func(h http.Header) {
		if old.etag != "" {
			h.Set("If-None-Match", old.etag)
		}
		if old.modified != "" {
			h.Set("If-Modified-Since", old.modified)
		}
	})
	if err != nil {
		return nil, seen{}, err
	}
	defer res.Close()
	if res.Status == http.StatusNotModified && old.body != nil {
		return nil, old, nil
	}
	if res.Status != http.StatusOK {
		return nil, seen{}, fmt.Errorf("%s: %w: it answers %d", rawURL, ErrServer, res.Status)
	}
	b, err := readAtMost(res, limit)
	if err != nil {
		return nil, seen{}, fmt.Errorf("%s: %w: %w", rawURL, ErrServer, err)
	}
	return b, seen{etag: short(res.Header.Get("ETag")), modified: short(res.Header.Get("Last-Modified"))}, nil
}

func short(s string) string {
	if len(s) > maxValidator {
		return ""
	}
	return s
}

// Root returns a version of the root document, unverified.
func (c *Client) Root(ctx context.Context, version int64) ([]byte, error) {
	return c.Get(ctx, rootPath(c.id, version), signing.MaxRoot)
}

// Targets returns the targets document of a SHA-256, unverified.
func (c *Client) Targets(ctx context.Context, hash [32]byte) ([]byte, error) {
	return c.Get(ctx, targetsPath(c.id, hash), signing.MaxTargets)
}

// Torrent returns the metainfo of an infohash, unverified.
func (c *Client) Torrent(ctx context.Context, infohash [20]byte) ([]byte, error) {
	return c.Get(ctx, TorrentPath(c.id, infohash), MaxTorrent)
}

// Head returns the head of a writer, unverified, and whether it is another one than when
// it was asked for before.
func (c *Client) Head(ctx context.Context, writer string) (raw []byte, changed bool, err error) {
	path := writerPath(c.id, writer, "checkpoint")
	c.mu.Lock()
	old := c.seen[path]
	c.mu.Unlock()
	raw, now, err := c.get(ctx, path, signing.MaxHead, old)
	if err != nil {
		return nil, false, err
	}
	if raw == nil || string(raw) == string(old.body) {
		return old.body, false, nil
	}
	now.body = raw
	c.mu.Lock()
	c.seen[path] = now
	c.mu.Unlock()
	return raw, true, nil
}

// Forget makes the next Head of a writer count as changed.
func (c *Client) Forget(writer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, writerPath(c.id, writer, "checkpoint"))
}

// News returns the update for strangers of a writer, unverified.
func (c *Client) News(ctx context.Context, writer string) (signing.Update, error) {
	b, err := c.Get(ctx, writerPath(c.id, writer, "update"), signing.MaxUpdate)
	if err != nil {
		return signing.Update{}, err
	}
	u, err := signing.ParseUpdate(b)
	if err != nil {
		return u, fmt.Errorf("%s: update of writer %q: %w", c.base, writer, err)
	}
	return u, nil
}

// Response is an answer whose body may be read for as long as bytes come.
type Response struct {
	Status int
	Header http.Header
	body   io.ReadCloser
	stop   context.CancelFunc
	late   *time.Timer
}

// Read reads the body. It fails when nothing comes for Patience.
func (r *Response) Read(p []byte) (int, error) {
	r.late.Reset(Patience)
	n, err := r.body.Read(p)
	if !r.late.Stop() && err != nil {
		err = errLate
	}
	return n, err
}

// Close ends the answer.
func (r *Response) Close() error {
	r.late.Stop()
	r.stop()
	return r.body.Close()
}

// errLate is the cause of an answer that ended because nothing came.
var errLate = fmt.Errorf("%w: it sends nothing for %s", ErrServer, Patience)

// Open sends a GET and returns the answer when it begins, with any status but those that
// say that there is no such file, which are ErrAbsent. Nothing is asked to be compressed.
func Open(ctx context.Context, client *http.Client, rawURL string, set func(http.Header)) (*Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	r := &Response{stop: func() { cancel(nil) }, late: time.AfterFunc(Patience, func() { cancel(errLate) })}
	fail := func(err error) (*Response, error) {
		if cause := context.Cause(ctx); cause == errLate {
			err = cause
		}
		r.late.Stop()
		cancel(nil)
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", ErrBase, err))
	}
	req.Header.Set("User-Agent", "Handful")
	req.Header.Set("Accept-Encoding", "identity")
	if set != nil {
		set(req.Header)
	}
	res, err := client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return fail(fmt.Errorf("%s: %w: %w", req.URL.Redacted(), ErrServer, err))
	}
	r.Status, r.Header, r.body = res.StatusCode, res.Header, res.Body
	switch res.StatusCode {
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden:
		res.Body.Close()
		return fail(fmt.Errorf("%s: %w", req.URL.Redacted(), ErrAbsent))
	}
	if e := res.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		res.Body.Close()
		return fail(fmt.Errorf("%s: %w: it packs what was not to be packed", req.URL.Redacted(), ErrServer))
	}
	return r, nil
}
