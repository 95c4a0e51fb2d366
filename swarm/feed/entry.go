package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"handful/manifest"
	"handful/signing"
)

// Entry is an entry of a channel and where it stands. Together Channel, Writer and Index
// are its identity: whoever gets it twice knows it by them.
type Entry struct {
	Channel signing.ID
	Writer  string
	Index   int64
	State   string // of the channel when it was received: fresh, late, …; may be empty
	// Kind is what it is: a post when it is "", else manifest.KindMedia, KindRelease or
	// KindDelete. What Post says of them is in EntryOf.
	Kind      string
	Withdraws int64 // of KindDelete: the index of the entry, of the same writer, that is withdrawn
	Post      manifest.Post
}

// URI names an entry: handful:CHANNEL/WRITER/INDEX.
func (e Entry) URI() string {
	return "handful:" + e.Channel.String() + "/" + e.Writer + "/" + strconv.FormatInt(e.Index, 10)
}

// Said returns when an entry was written, as its writer's clock says.
func (e Entry) Said() time.Time { return timeOf(e.Post.Head.Time) }

// Published returns when a post was published: at its source, or here.
func (e Entry) Published() time.Time {
	if e.Post.Published != 0 {
		return timeOf(e.Post.Published)
	}
	return e.Said()
}

// Updated returns when it last changed.
func (e Entry) Updated() time.Time {
	if e.Post.Updated > e.Post.Published {
		return timeOf(e.Post.Updated)
	}
	return e.Published()
}

// lastMillis is the end of the year 9999: no document has a later time.
var lastMillis = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli()

func timeOf(millis int64) time.Time { return time.UnixMilli(min(millis, lastMillis)).UTC() }

// absolute is what begins a URI.
var absolute = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$`)

// sourceID returns what a post from elsewhere is called in documents, so that all its
// versions are called the same: its id where that is a URI, else one made of it.
func (e Entry) sourceID() string {
	id := e.Post.ID
	if absolute.MatchString(id) && escapeLink(id) == id && !strings.HasPrefix(strings.ToLower(id), "handful:") {
		return id
	}
	return "handful:" + e.Channel.String() + "/" + e.Writer + "?id=" + url.QueryEscape(id)
}

// line is the JSON of an entry: what hooks and event streams are given and what
// archives keep. Members may be added and none is ever renamed.
type line struct {
	Type        string       `json:"type"` // "entry"
	Channel     string       `json:"channel"`
	Writer      string       `json:"writer"`
	Index       int64        `json:"index"`
	Kind        string       `json:"kind"`                // post, media, rel, del
	Withdraws   *int64       `json:"withdraws,omitempty"` // of kind del: an index of the same writer
	Title       string       `json:"title,omitempty"`
	Text        string       `json:"text,omitempty"`
	Time        time.Time    `json:"time"`
	State       string       `json:"state,omitempty"`
	ID          string       `json:"id,omitempty"`
	Link        string       `json:"link,omitempty"`
	Author      string       `json:"author,omitempty"`
	ReplyTo     string       `json:"reply_to,omitempty"`
	Published   *time.Time   `json:"published,omitempty"`
	Updated     *time.Time   `json:"updated,omitempty"`
	Tags        []string     `json:"tags,omitempty"`
	Attachments []attachment `json:"attachments,omitempty"`
}

type attachment struct {
	URL  string `json:"url"`
	Type string `json:"type,omitempty"`
	Name string `json:"name,omitempty"`
	Size int64  `json:"size,omitempty"`
}

// Line returns an entry as one line of JSON, without a newline at its end. It has no
// character that a terminal obeys or that is invisible: they are escaped. Pointers
// and keys that are not known are not in it.
func (e Entry) Line() []byte {
	p := e.Post
	l := line{
		Type: "entry", Channel: e.Channel.String(), Writer: e.Writer, Index: e.Index, Kind: e.kind(), Title: p.Title, Text: p.Body,
		Time: e.Said(), State: e.State, ID: p.ID, Link: p.Link, Author: p.Author, ReplyTo: p.ReplyTo, Tags: p.Tags,
	}
	if p.Published != 0 {
		at := timeOf(p.Published)
		l.Published = &at
	}
	if p.Updated != 0 {
		at := timeOf(p.Updated)
		l.Updated = &at
	}
	for _, a := range p.Attachments {
		l.Attachments = append(l.Attachments, attachment{a.URL, a.Type, a.Name, a.Size})
	}
	if e.Withdrawn() {
		l.Withdraws = &e.Withdraws
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		panic(err) // texts, numbers, and times of at most 9999
	}
	return EscapeJSON(bytes.TrimSpace(b.Bytes()))
}

// EscapeJSON escapes the characters of a JSON text that show nothing, or act on a terminal.
// They can only stand in its strings.
func EscapeJSON(b []byte) []byte {
	if !bytes.ContainsFunc(b, func(r rune) bool { return !shows(r) }) {
		return b
	}
	var out []byte
	for _, r := range string(b) {
		switch {
		case shows(r):
			out = append(out, string(r)...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func shows(r rune) bool { return unicode.IsGraphic(r) && visible(r) }

// ErrLine is wrapped by errors about lines that Entry.Line has not written.
var ErrLine = errors.New("malformed entry line")

// maxLine is how many bytes a line has at most: an entry of 48 KiB, each byte of it
// escaped, and the names around it.
const maxLine = 6*manifest.MaxEntry + 4<<10

// ParseLine reads what Entry.Line returns. Members that are not known are ignored.
func ParseLine(b []byte) (Entry, error) {
	if len(b) > maxLine {
		return Entry{}, fmt.Errorf("%w: %d bytes, more than %d", ErrLine, len(b), maxLine)
	}
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrLine, err)
	}
	id, err := signing.ParseID(l.Channel)
	switch {
	case l.Type != "entry" || !knownKind(l.Kind) || (l.Kind == manifest.KindDelete) != (l.Withdraws != nil):
		return Entry{}, fmt.Errorf("%w: it is %.20q of kind %.20q", ErrLine, l.Type, l.Kind)
	case err != nil || id.String() != l.Channel:
		return Entry{}, fmt.Errorf("%w: channel %.60q", ErrLine, l.Channel)
	case !signing.ValidWriter(l.Writer):
		return Entry{}, fmt.Errorf("%w: writer %.60q", ErrLine, l.Writer)
	case l.Index < 0 || l.Index > maxNumber:
		return Entry{}, fmt.Errorf("%w: index %d", ErrLine, l.Index)
	}
	e := Entry{Channel: id, Writer: l.Writer, Index: l.Index, State: l.State, Post: manifest.Post{
		Head: manifest.Header{Time: l.Time.UnixMilli()}, Title: l.Title, Body: l.Text, ID: l.ID, Link: l.Link, Author: l.Author, ReplyTo: l.ReplyTo, Tags: l.Tags,
	}}
	if l.Kind != manifest.KindPost {
		e.Kind = l.Kind
	}
	if l.Withdraws != nil {
		e.Withdraws = *l.Withdraws
	}
	if l.Published != nil {
		e.Post.Published = l.Published.UnixMilli()
	}
	if l.Updated != nil {
		e.Post.Updated = l.Updated.UnixMilli()
	}
	for _, a := range l.Attachments {
		e.Post.Attachments = append(e.Post.Attachments, manifest.Attachment{URL: a.URL, Type: a.Type, Name: a.Name, Size: a.Size})
	}
	if p := e.Post; max(p.Head.Time, p.Published, p.Updated) > lastMillis {
		return Entry{}, fmt.Errorf("%w: a time behind the year 9999", ErrLine)
	}
	if err := e.check(); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrLine, err)
	}
	return e, nil
}
