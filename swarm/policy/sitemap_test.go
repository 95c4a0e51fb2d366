package policy

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

const sites = "\ufeff# our offices\r\n" + `
10.0.0.0/8        elsewhere
10.1.0.0/16       berlin      # head office
10.1.2.0/24       berlin.lab
10.1.2.3          desk
2001:db8::/32     paris
2001:db8:1::/48   lyon
::ffff:192.0.2.0/120 mapped
fe80::/10         near
10.1.0.0/16       berlin
`

func TestSiteMap(t *testing.T) {
	m, err := ParseSiteMap([]byte(sites))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"10.255.255.255": "elsewhere", "10.0.0.0": "elsewhere", "11.0.0.0": "", "9.255.255.255": "",
		"10.1.0.1": "berlin", "10.1.3.0": "berlin", "10.1.2.0": "berlin.lab", "10.1.2.255": "berlin.lab", "10.1.2.3": "desk",
		"::ffff:10.1.2.3": "desk", "192.0.2.77": "mapped", "192.0.3.0": "",
		"2001:db8::1": "paris", "2001:db8:1::1": "lyon", "2001:db8:2::1": "paris", "2001:db9::": "", "::": "",
		"fe80::1%eth0": "near",
	} {
		if got := m.Site(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in %q, want %q", addr, got, want)
		}
	}
	var none *SiteMap
	if got := none.Site(netip.MustParseAddr("10.1.2.3")); got != "" {
		t.Errorf("no map knows %q", got)
	}
	if got := m.Site(netip.Addr{}); got != "" {
		t.Errorf("no address is in %q", got)
	}
	all, err := ParseSiteMap([]byte("0.0.0.0/0 world\n"))
	if err != nil || all.Site(netip.MustParseAddr("8.8.8.8")) != "world" || all.Site(netip.MustParseAddr("::1")) != "" {
		t.Errorf("the whole of IPv4 is %+v, %v", all, err)
	}
}

func TestSiteMapErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                                              "no line with a prefix and a label",
		"# nothing\n\n":                                 "no line with a prefix and a label",
		"10.1.0.0/16 berlin\n10.2.0.0/16":               `line 2: "10.2.0.0/16" is not a prefix and a label`,
		"10.1.0.0/16 berlin office":                     `line 1: "10.1.0.0/16 berlin office" is not`,
		"\n\n10.1.0.0/33 berlin":                        `line 3: "10.1.0.0/33" is no prefix`,
		"berlin 10.1.0.0/16":                            `line 1: "berlin" is no prefix`,
		"10.1.2.3/16 berlin":                            `line 1: "10.1.2.3/16" has bits behind its length: it is 10.1.0.0/16`,
		"fe80::1%eth0 berlin":                           `line 1: "fe80::1%eth0" is no prefix`,
		"fe80::%eth0/10 berlin":                         `line 1: "fe80::%eth0/10" is no prefix`,
		"10.1.0.0/16 berlin!":                           `line 1: "berlin!" is no label: '!'`,
		"10.1.0.0/16 b\x00":                             `line 1: "b\x00" is no label`,
		"10.1.0.0/16 " + strings.Repeat("x", 65):        "line 1: ",
		"10.1.0.0/16 berlin\n::ffff:10.1.0.0/112 paris": "line 2: 10.1.0.0/16 is paris, but further up it is berlin",
		strings.Repeat("\n", maxSiteMapLines+1):         "line 100001: a site map has at most 100000 lines",
		strings.Repeat(" ", MaxSiteMapBytes+1):          "more than 16 MiB",
	} {
		if m, err := ParseSiteMap([]byte(in)); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%.50q is %v, %v; want an error with %q", in, m, err, want)
		}
	}
}

// TestSiteMapOfManyLines: a map of the greatest size is read and looked up.
func TestSiteMapOfManyLines(t *testing.T) {
	var b bytes.Buffer
	for i := range maxSiteMapLines {
		fmt.Fprintf(&b, "10.%d.%d.%d/32 s%d\n", i>>16, i>>8&255, i&255, i)
	}
	m, err := ParseSiteMap(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Site(netip.AddrFrom4([4]byte{10, 1, 0x86, 0x9f})); got != "s99999" {
		t.Errorf("the last line is %q", got)
	}
}

// FuzzParseSiteMap compares what is found with a walk through all lines.
func FuzzParseSiteMap(f *testing.F) {
	f.Add(sites, []byte{10, 1, 2, 3})
	f.Add("::/0 a\n1::/16 b", []byte("\x00\x01aaaaaaaaaaaaaa"))
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		m, err := ParseSiteMap([]byte(text))
		if err != nil {
			return
		}
		addr, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		addr = addr.Unmap()
		want, bits := "", -1
		for _, table := range []prefixTable{m.v4, m.v6} {
			for p, site := range table.sites {
				if CheckSite(site) != nil || p.Masked() != p {
					t.Errorf("%s %q was read", p, site)
				}
				if p.Contains(addr) && p.Bits() > bits {
					want, bits = site, p.Bits()
				}
			}
		}
		if got := m.Site(addr); got != want {
			t.Errorf("%s is in %q, want %q", addr, got, want)
		}
	})
}
