package feed

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// ErrMalformed is wrapped by errors about documents that are no feed, or too large.
var ErrMalformed = errors.New("malformed feed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
}

// ParseOptions is what is known about a document beside its bytes.
type ParseOptions struct {
	URL         string // where it came from, for relative links; may be empty
	ContentType string // of the HTTP response; may be empty
}

// Parse reads an RSS (0.9x, 1.0, 2.0), Atom (0.3, 1.0) or JSON Feed (1.x) document of
// at most MaxDocument bytes. The package doc says what becomes of what. Errors wrap
// ErrMalformed.
func Parse(data []byte, o ParseOptions) (Document, error) {
	if len(data) > MaxDocument {
		return Document{}, malformed("%d bytes, more than %d", len(data), MaxDocument)
	}
	text, err := toUTF8(data, o.ContentType)
	if err != nil {
		return Document{}, err
	}
	text = bytes.TrimLeft(text, " \t\r\n\x00")
	var doc Document
	switch {
	case len(text) == 0:
		return Document{}, malformed("it is empty")
	case text[0] == '<':
		doc, err = parseXML(legal(text), o.URL)
	case text[0] == '{':
		doc, err = parseJSON(text, o.URL)
	default:
		return Document{}, malformed("neither XML nor JSON: it begins with %q", text[:min(len(text), 20)])
	}
	if err != nil {
		return Document{}, err
	}
	doc.Items = unique(doc.Items)
	doc.Title = shorten(clean(doc.Title, true), maxTitle)
	doc.Description = shorten(clean(doc.Description, false), maxTitle)
	doc.Link = webLink(doc.Link)
	doc.Updated = sane(doc.Updated)
	return doc, nil
}

// reference is a character by its number.
var reference = regexp.MustCompile(`&#(x[0-9A-Fa-f]+|[0-9]+);`)

// legal drops the control characters that XML does not have, as such and as references:
// a stray one is no reason to lose a document.
func legal(text []byte) []byte {
	control := func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
	}
	text = bytes.Map(func(r rune) rune {
		if control(r) {
			return -1
		}
		return r
	}, text)
	return reference.ReplaceAllFunc(text, func(ref []byte) []byte {
		digits, base := string(ref[2:len(ref)-1]), 10
		if digits[0] == 'x' {
			digits, base = digits[1:], 16
		}
		if n, err := strconv.ParseInt(digits, base, 32); err != nil || control(rune(n)) || !utf8.ValidRune(rune(n)) {
			return []byte("\ufffd")
		}
		return ref
	})
}

// declared finds the encoding in an XML declaration.
var declared = regexp.MustCompile(`^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']`)

// toUTF8 returns a document in valid UTF-8 without byte order mark. What counts is,
// in this order (RFC 7303): the mark, the content type, the XML declaration. Without
// any of them it is UTF-8, or Windows-1252 if it cannot be.
func toUTF8(data []byte, contentType string) ([]byte, error) {
	label := ""
	_, params, err := mime.ParseMediaType(contentType)
	if err == nil {
		label = params["charset"]
	}
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return bytes.ToValidUTF8(data[3:], []byte("\ufffd")), nil
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		out, _, err := transform.Bytes(unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder(), data)
		if err != nil {
			return nil, malformed("UTF-16: %w", err)
		}
		return out, nil
	case label == "":
		if m := declared.FindSubmatch(data[:min(len(data), 1024)]); m != nil {
			label = string(m[1])
		}
	}
	if label == "" || strings.EqualFold(label, "us-ascii") {
		label = "utf-8"
		if !utf8.Valid(data) {
			label = "windows-1252"
		}
	}
	enc, name := charset.Lookup(label)
	if enc == nil || name == "utf-16le" || name == "utf-16be" { // the declaration itself could be read: it is wrong
		enc, name = nil, "utf-8"
	}
	if name == "utf-8" {
		return bytes.ToValidUTF8(data, []byte("\ufffd")), nil
	}
	out, _, err := transform.Bytes(enc.NewDecoder(), data)
	if err != nil {
		return nil, malformed("%s: %w", name, err)
	}
	return out, nil
}
