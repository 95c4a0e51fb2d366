package signing

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MainWriter is the writer that the root itself names; others are granted.
	MainWriter = "m"

	scheme      = "handful"
	maxLink     = 8 << 10 // bytes
	maxHints    = 32      // of each kind
	maxReadKey  = 256     // characters
	maxNameHint = 255     // bytes
	maxExact    = 1 << 53 // integers stay below this, so that every JSON library reads them exactly
)

// Link says which channel, and perhaps which entry of it, and where to look first.
// Everything but ID, Writer, Index and ReadKey is a hint: a wrong one costs time,
// never trust.
//
//	handful:<id>[/<writer>[/<index>]][?dn=&tr=&ws=&pe=&pk=][#k=<read key>]
type Link struct {
	ID       ID
	Writer   string   // "" means [MainWriter] when printed; ParseLink always fills it in
	Index    int64    // of the entry, from 0; -1 is the newest
	Name     string   // dn: what to show before anything is verified
	Trackers []string // tr: http, https or udp URLs
	WebSeeds []string // ws: base URLs, http or https
	Peers    []string // pe: host:port
	DHTKey   string   // pk: the channel's DHT key, 32 bytes in base32 without padding
	ReadKey  string   // k: the secret that reads a private channel. Behind '#', so that no server or referrer sees it.
}

// ParseLink reads a link. Its errors wrap [ErrLink] and say which part is wrong.
// Upper case is accepted in the scheme and the id; unknown query keys are ignored.
func ParseLink(s string) (Link, error) {
	if len(s) > maxLink {
		return Link{}, fmt.Errorf("%w: %d bytes, but a link has at most %d", ErrLink, len(s), maxLink)
	}
	before, rest, found := strings.Cut(s, ":")
	if !found {
		return Link{}, fmt.Errorf("%w: %.60q does not begin with %q", ErrLink, s, scheme+":")
	}
	if !strings.EqualFold(before, scheme) {
		return Link{}, fmt.Errorf("%w: unknown scheme %.60q, a channel's link begins with %q", ErrLink, before+":", scheme+":")
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	path, query, _ := strings.Cut(rest, "?")
	l := Link{Writer: MainWriter, Index: -1}
	parts := strings.Split(path, "/")
	if len(parts) > 3 {
		return Link{}, fmt.Errorf("%w: more than an id, a writer and an index before the question mark", ErrLink)
	}
	var err error
	if l.ID, err = ParseID(parts[0]); err != nil {
		return Link{}, err
	}
	if len(parts) > 1 {
		if l.Writer = parts[1]; !ValidWriter(l.Writer) {
			return Link{}, fmt.Errorf("%w: %.60q is no name of a writer", ErrLink, l.Writer)
		}
	}
	if len(parts) > 2 {
		l.Index, err = strconv.ParseInt(parts[2], 10, 64)
		if err != nil || l.Index < 0 || l.Index >= maxExact || strconv.FormatInt(l.Index, 10) != parts[2] {
			return Link{}, fmt.Errorf("%w: %.60q is no index of an entry: a number from 0 without sign or leading zero", ErrLink, parts[2])
		}
	}
	if err := l.parseQuery(query); err != nil {
		return Link{}, fmt.Errorf("%w: %w", ErrLink, err)
	}
	if err := l.parseFragment(fragment); err != nil {
		return Link{}, fmt.Errorf("%w: %w", ErrLink, err)
	}
	return l, nil
}

// ItemKey returns DHTKey as a key, or nil when there is none.
func (l Link) ItemKey() ed25519.PublicKey {
	b, err := base32Lower.DecodeString(l.DHTKey)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil
	}
	return b
}

func (l *Link) parseQuery(query string) error {
	for part := range strings.SplitSeq(query, "&") {
		key, raw, _ := strings.Cut(part, "=")
		var to *[]string
		switch key {
		case "dn", "pk":
		case "tr":
			to = &l.Trackers
		case "ws":
			to = &l.WebSeeds
		case "pe":
			to = &l.Peers
		default:
			continue
		}
		value, err := url.QueryUnescape(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if value == "" {
			continue
		}
		if err := checkHint(key, value); err != nil {
			return fmt.Errorf("%s=%.100q: %w", key, value, err)
		}
		switch {
		case key == "dn":
			l.Name = value
		case key == "pk":
			l.DHTKey = strings.ToLower(value)
		case len(*to) == maxHints:
			return fmt.Errorf("more than %d times %s", maxHints, key)
		default:
			*to = append(*to, value)
		}
	}
	return nil
}

func checkHint(key, value string) error {
	switch key {
	case "dn":
		if !printable(value, maxNameHint) {
			return fmt.Errorf("a name has 1 to %d bytes and no control characters", maxNameHint)
		}
	case "pk":
		if b, err := base32Lower.DecodeString(strings.ToLower(value)); err != nil || len(b) != 32 || base32Lower.EncodeToString(b) != strings.ToLower(value) {
			return fmt.Errorf("a DHT key is 32 bytes, written as 52 characters a to z and 2 to 7")
		}
	case "pe":
		host, port, err := net.SplitHostPort(value)
		if err != nil {
			return err
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || !printable(host, 255) {
			return fmt.Errorf("a peer is an address, a colon and a port")
		}
	default:
		u, err := url.Parse(value)
		if err != nil {
			return err
		}
		if !printable(value, maxLink) || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && (u.Scheme != "udp" || key != "tr") {
			return fmt.Errorf("an http or https address is expected%s", map[bool]string{true: ", or udp"}[key == "tr"])
		}
	}
	return nil
}

func (l *Link) parseFragment(fragment string) error {
	for part := range strings.SplitSeq(fragment, "&") {
		key, value, _ := strings.Cut(part, "=")
		if key != "k" {
			continue
		}
		// The value is a secret: no error quotes it.
		if value == "" || len(value) > maxReadKey {
			return fmt.Errorf("the read key behind #k= has %d characters, but 1 to %d are possible", len(value), maxReadKey)
		}
		for _, c := range value {
			if c != '-' && !('0' <= c && c <= '9') && !('a' <= c && c <= 'z') && !('A' <= c && c <= 'Z') {
				return fmt.Errorf("the read key behind #k= has other characters than letters, digits and hyphens")
			}
		}
		l.ReadKey = value
	}
	return nil
}

// String prints the link; ParseLink reads it back. The read key is part of it.
func (l Link) String() string {
	var b strings.Builder
	b.WriteString(scheme + ":" + l.ID.String())
	writer := l.Writer
	if writer == "" {
		writer = MainWriter
	}
	if l.Index >= 0 {
		b.WriteString("/" + writer + "/" + strconv.FormatInt(l.Index, 10))
	} else if writer != MainWriter {
		b.WriteString("/" + writer)
	}
	mark := "?"
	add := func(key string, values ...string) {
		for _, v := range values {
			if v != "" {
				b.WriteString(mark + key + "=" + escapeHint(v))
				mark = "&"
			}
		}
	}
	if printable(l.Name, maxNameHint) { // else the link could not be read
		add("dn", l.Name)
	}
	add("tr", l.Trackers...)
	add("ws", l.WebSeeds...)
	add("pe", l.Peers...)
	add("pk", l.DHTKey)
	if l.ReadKey != "" {
		b.WriteString("#k=" + l.ReadKey)
	}
	return b.String()
}

// escapeHint escapes what a query must not carry bare and no more: addresses stay
// readable, and nothing in the result needs quoting in a shell.
func escapeHint(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~:/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// ValidWriter reports whether name can be a writer's: [a-z0-9][a-z0-9._-]{0,31}.
func ValidWriter(name string) bool {
	if len(name) < 1 || len(name) > 32 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}

// printable reports whether s can be shown as it is: 1 to limit bytes of UTF-8
// without control characters, which a terminal would obey.
func printable(s string, limit int) bool {
	if s == "" || len(s) > limit || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u200c'
	})
}
