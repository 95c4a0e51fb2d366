package feed

import (
	"net/url"
	"slices"
	"strings"
)

// webLink returns s if it is an absolute address of a page, else "".
func webLink(s string) string { return linkOf(s, "http", "https") }

// shownLink returns s if a feed reader may be given it as a link, else "". Schemes
// that run something are not among them.
func shownLink(s string) string { return linkOf(s, "http", "https", "magnet", "handful") }

// linkOf returns s, in ASCII, if it is an absolute address of one of the schemes.
func linkOf(s string, schemes ...string) string {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxLink {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || !slices.Contains(schemes, strings.ToLower(u.Scheme)) {
		return ""
	}
	if strings.HasPrefix(strings.ToLower(u.Scheme), "http") && u.Host == "" {
		return ""
	}
	u.User = nil // a password in a link is nobody else's business
	s = escapeLink(u.String())
	if len(s) > maxLink {
		return ""
	}
	return s
}

// escapeLink escapes the bytes that no URI has (RFC 3986): package url leaves some of
// them in queries and opaque parts.
func escapeLink(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && !strings.ContainsRune("\"<>\\^`{|}", rune(c)) {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}

// resolve returns ref seen from base, and ref itself if one of them is no address.
func resolve(base, ref string) string {
	ref = strings.TrimSpace(ref)
	b, err := url.Parse(base)
	if err != nil || base == "" || ref == "" {
		return ref
	}
	r, err := b.Parse(ref)
	if err != nil {
		return ref
	}
	return r.String()
}
