package policy

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Bounds of a site map's text.
const (
	MaxSiteMapBytes = 16 << 20
	maxSiteMapLines = 100_000
	maxSite         = 64 // bytes of a label
)

// SiteMap says which site an address belongs to. The nil map knows none. A SiteMap
// is never changed, so it may be shared.
type SiteMap struct{ v4, v6 prefixTable }

// prefixTable finds the longest of its prefixes that holds an address.
type prefixTable struct {
	sites map[netip.Prefix]string
	used  [129]bool // lengths of prefix that occur
}

// ParseSiteMap reads lines of a prefix in CIDR notation, or one address, and a site
// label. What follows a # is a comment. A prefix may stand twice only with the same
// label. Errors name the line.
func ParseSiteMap(text []byte) (*SiteMap, error) {
	if len(text) > MaxSiteMapBytes {
		return nil, fmt.Errorf("more than %d MiB", MaxSiteMapBytes>>20)
	}
	m := &SiteMap{prefixTable{sites: make(map[netip.Prefix]string)}, prefixTable{sites: make(map[netip.Prefix]string)}}
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		if number++; number > maxSiteMapLines {
			return nil, fmt.Errorf("line %d: a site map has at most %d lines: join prefixes", number, maxSiteMapLines)
		}
		rule, _, _ := strings.Cut(string(line), "#")
		words := strings.Fields(rule)
		if len(words) == 0 {
			continue
		}
		if len(words) != 2 {
			return nil, fmt.Errorf("line %d: %q is not a prefix and a label: 10.1.0.0/16 berlin is", number, clip(strings.TrimSpace(rule)))
		}
		prefix, err := parsePrefix(words[0])
		if err == nil {
			err = CheckSite(words[1])
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		table := m.table(prefix.Addr())
		if other, ok := table.sites[prefix]; ok && other != words[1] {
			return nil, fmt.Errorf("line %d: %s is %s, but further up it is %s", number, prefix, words[1], other)
		}
		table.sites[prefix] = words[1]
		table.used[prefix.Bits()] = true
	}
	if len(m.v4.sites)+len(m.v6.sites) == 0 {
		return nil, errors.New("there is no line with a prefix and a label, such as 10.1.0.0/16 berlin")
	}
	return m, nil
}

// parsePrefix reads a prefix, or an address as the prefix that holds it alone.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, e := netip.ParseAddr(s)
		if e != nil || a.Zone() != "" {
			return p, fmt.Errorf("%q is no prefix: 10.1.0.0/16, 2001:db8::/32 or an address is", clip(s))
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%q has bits behind its length: it is %s or another length", clip(s), p.Masked())
	}
	return p, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

func (m *SiteMap) table(a netip.Addr) *prefixTable {
	if a.Is4() {
		return &m.v4
	}
	return &m.v6
}

// Site returns the label of the longest prefix that holds an address, empty if there
// is none. An IPv4 address in IPv6 notation is an IPv4 address, and a zone is left
// out.
func (m *SiteMap) Site(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if m == nil || !a.IsValid() {
		return ""
	}
	table := m.table(a)
	for bits := a.BitLen(); bits >= 0; bits-- {
		if !table.used[bits] {
			continue
		}
		p, _ := a.Prefix(bits)
		if site, ok := table.sites[p]; ok {
			return site
		}
	}
	return ""
}

// CheckSite reports why a text is no site label.
func CheckSite(s string) error {
	const want = "1 to 64 letters, digits, dots, dashes and underscores are"
	if s == "" || len(s) > maxSite {
		return fmt.Errorf("%q is no label: %s", clip(s), want)
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_' {
			return fmt.Errorf("%q is no label: %q is neither letter, digit, dot, dash nor underscore", s, r)
		}
	}
	return nil
}
