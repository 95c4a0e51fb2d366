package feed

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects  = 5
	maxRetryAfter = 24 * time.Hour
	maxValidator  = 1024 // bytes of an ETag or a date that are sent back
	defaultRetry  = 10 * time.Minute
)

// DefaultTimeout bounds one fetch from the first byte sent to the last received.
const DefaultTimeout = 30 * time.Second

// ErrGone says that the document is gone for good (410): ask no more.
var ErrGone = errors.New("the feed is gone")

// ErrSlow says that a server has not sent the document in time.
var ErrSlow = errors.New("the server did not send it in time")

// BusyError says that the server wants to be asked later (429, 503).
type BusyError struct {
	Status int       // 0: it said so before
	Until  time.Time // at most a day from now
}

func (e *BusyError) Error() string {
	if e.Status == 0 {
		return "the server is not to be asked before " + e.Until.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("the server is busy (%d): ask again at %s", e.Status, e.Until.UTC().Format(time.RFC3339))
}

// Validators are what a server gave with a document, to ask whether there is a newer
// one (RFC 9110, 8.8 and 13.1).
type Validators struct {
	URL          string    `json:"url,omitempty"`           // to ask; another one after a permanent redirect
	ETag         string    `json:"etag,omitempty"`          // of a file: its SHA-256
	LastModified string    `json:"last_modified,omitempty"` // as it was given
	NotBefore    time.Time `json:"not_before,omitzero"`     // do not ask earlier
}

// Fetcher gets documents over HTTP and from files.
type Fetcher struct {
	// Client is used for requests, its Timeout and CheckRedirect are not. nil:
	// http.DefaultClient's transport.
	Client    *http.Client
	Now       func() time.Time
	UserAgent string
	Timeout   time.Duration // of one fetch; 0: DefaultTimeout
}

// Fetched is what a fetch came to.
type Fetched struct {
	Document   Document
	Unchanged  bool       // there is nothing new since v: the document is empty
	Validators Validators // for the next time
}

// Fetch gets the document at v.URL, an http, https or file URL or a path, unless it is
// what it was when v was got. It reads at most MaxDocument bytes, decompressed,
// follows at most 5 redirects, none from https to http and none from elsewhere to an
// address of this machine or its network, and sends no cookies. An error is a
// *BusyError, wraps ErrGone, ErrSlow or ErrMalformed, or says what failed.
func (f *Fetcher) Fetch(ctx context.Context, v Validators) (Fetched, error) {
	u, err := url.Parse(v.URL)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		got, err := f.fetchHTTP(ctx, u, v)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %s", ErrSlow, f.timeout())
		}
		if err != nil {
			return got, fmt.Errorf("fetch %s: %w", u.Redacted(), err)
		}
		return got, nil
	}
	path := v.URL
	if err == nil && u.Scheme == "file" {
		path = filepath.FromSlash(u.Path)
	}
	return fetchFile(path, v)
}

func (f *Fetcher) timeout() time.Duration {
	if f.Timeout <= 0 {
		return DefaultTimeout
	}
	return f.Timeout
}

// fetchFile reads a document on disk.
func fetchFile(path string, v Validators) (Fetched, error) {
	file, err := os.Open(path)
	if err != nil {
		return Fetched{}, fmt.Errorf("read feed: %w", err)
	}
	defer file.Close()
	b, err := readAll(file)
	if err != nil {
		return Fetched{}, fmt.Errorf("read feed %s: %w", path, err)
	}
	sum := sha256.Sum256(b)
	tag := hex.EncodeToString(sum[:])
	if tag == v.ETag {
		return Fetched{Unchanged: true, Validators: v}, nil
	}
	doc, err := Parse(b, ParseOptions{})
	if err != nil {
		return Fetched{}, fmt.Errorf("read feed %s: %w", path, err)
	}
	return Fetched{Document: doc, Validators: Validators{URL: v.URL, ETag: tag}}, nil
}

// readAll reads at most MaxDocument bytes, and fails if there are more.
func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxDocument+1))
	if err == nil && len(b) > MaxDocument {
		err = malformed("more than %d bytes", MaxDocument)
	}
	return b, err
}

func (f *Fetcher) fetchHTTP(ctx context.Context, u *url.URL, v Validators) (Fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Fetched{}, err
	}
	req.Header.Set("User-Agent", f.UserAgent)
	req.Header.Set("Accept", "application/atom+xml, application/rss+xml, application/feed+json, application/json;q=0.9, application/xml;q=0.8, text/xml;q=0.8, */*;q=0.1")
	if v.ETag != "" && len(v.ETag) <= maxValidator {
		req.Header.Set("If-None-Match", v.ETag)
	}
	if v.LastModified != "" && len(v.LastModified) <= maxValidator {
		req.Header.Set("If-Modified-Since", v.LastModified)
	}
	moved := redirects{from: u, target: u, permanent: true}
	client := &http.Client{CheckRedirect: moved.check}
	if f.Client != nil {
		client.Transport = f.Client.Transport
	}
	res, err := client.Do(req)
	if err != nil {
		return Fetched{}, clientError(err)
	}
	defer res.Body.Close()
	return f.answer(res, v, moved)
}

// clientError drops the method and the address that package http puts before an error.
func clientError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (f *Fetcher) answer(res *http.Response, v Validators, moved redirects) (Fetched, error) {
	next := Validators{URL: v.URL, ETag: bounded(res.Header.Get("ETag")), LastModified: bounded(res.Header.Get("Last-Modified"))}
	if moved.permanent && moved.n > 0 {
		next.URL = moved.target.String()
	}
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		v.URL, v.NotBefore = next.URL, time.Time{}
		if next.ETag != "" {
			v.ETag = next.ETag
		}
		return Fetched{Unchanged: true, Validators: v}, nil
	case http.StatusGone:
		return Fetched{}, ErrGone
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		v.NotBefore = retryAfter(res.Header.Get("Retry-After"), f.Now())
		return Fetched{Validators: v}, &BusyError{Status: res.StatusCode, Until: v.NotBefore}
	default:
		return Fetched{}, fmt.Errorf("the server answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	var body io.Reader = res.Body
	switch encoding := strings.ToLower(strings.TrimSpace(res.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip": // sent unasked: what was asked for is unpacked by the transport
		z, err := gzip.NewReader(io.LimitReader(res.Body, MaxDocument))
		if err != nil {
			return Fetched{}, malformed("gzip: %w", err)
		}
		body = z
	default:
		return Fetched{}, malformed("content encoding %.20q", encoding)
	}
	b, err := readAll(body)
	if err != nil {
		return Fetched{}, err
	}
	doc, err := Parse(b, ParseOptions{URL: res.Request.URL.String(), ContentType: res.Header.Get("Content-Type")})
	return Fetched{Document: doc, Validators: next}, err
}

// bounded returns a header's value if it can be sent back.
func bounded(s string) string {
	if len(s) > maxValidator {
		return ""
	}
	return s
}

// retryAfter reads Retry-After (RFC 9110, 10.2.3): seconds or a date.
func retryAfter(s string, now time.Time) time.Time {
	wait := defaultRetry
	if n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(s); err == nil {
		wait = at.Sub(now)
	}
	return now.Add(min(max(wait, 0), maxRetryAfter)).UTC()
}

// redirects watches where a fetch is sent.
type redirects struct {
	from      *url.URL
	target    *url.URL // after the permanent ones
	permanent bool     // all of them so far (301, 308)
	n         int
}

func (r *redirects) check(req *http.Request, via []*http.Request) error {
	if r.n = len(via); r.n > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	last := via[len(via)-1].URL
	switch to := req.URL; {
	case to.Scheme != "http" && to.Scheme != "https":
		return fmt.Errorf("redirected to a %.20q address", to.Scheme)
	case last.Scheme == "https" && to.Scheme == "http":
		return fmt.Errorf("redirected from https to %s", to.Redacted())
	case nearby(to.Hostname()) && !nearby(r.from.Hostname()):
		return fmt.Errorf("redirected from %s to %s on this machine or network", r.from.Hostname(), to.Hostname())
	}
	r.permanent = r.permanent && (req.Response.StatusCode == http.StatusMovedPermanently || req.Response.StatusCode == http.StatusPermanentRedirect)
	if r.permanent {
		r.target = req.URL
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
		_, err := strconv.ParseUint(last, 0, 64) // 127.1, 0x7f000001: what some systems take for an address
		return err == nil || last == "localhost" || last == "local"
	}
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}
