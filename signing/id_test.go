package signing

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseID(t *testing.T) {
	id := testRoot(t).ID()
	good := id.String()
	swap := func(i int) string { // another letter of the alphabet at i
		c := alphabet[(strings.IndexByte(alphabet, good[i])+1)%32]
		return good[:i] + string(c) + good[i+1:]
	}
	for _, tt := range []struct{ name, in, want string }{
		{"lower case", good, ""},
		{"upper case", strings.ToUpper(good), ""},
		{"mixed case", strings.ToUpper(good[:9]) + good[9:], ""},
		{"empty", "", "0 characters, but 40"},
		{"short", good[:39], "39 characters, but 40"},
		{"long", good + "a", "41 characters, but 40"},
		{"digit 1", good[:4] + "1" + good[5:], "character 5 of the id is '1'"},
		{"zero", "0" + good[1:], "perhaps the letter o"},
		{"not ASCII", good[:3] + "é" + good[4:], "character 4 of the id is 'é'"},
		{"space", good[:20] + " " + good[21:], "character 21"},
		{"typed wrong", swap(17), "checksum"},
		{"transposed", good[:10] + string(good[11]) + string(good[10]) + good[12:], "checksum"},
		{"very long", strings.Repeat("a", 1<<16), "65536 characters"},
	} {
		got, err := ParseID(tt.in)
		if tt.want == "" {
			if err != nil || got != id || got.String() != good {
				t.Errorf("%s: %v, %v", tt.name, got, err)
			}
			continue
		}
		if !errors.Is(err, ErrLink) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	for i := range good {
		if _, err := ParseID(swap(i)); err == nil {
			t.Errorf("a typing error at character %d goes unnoticed", i+1)
		}
	}
	future := id
	future[0] = 2
	sum := future.checksum()
	copy(future[23:], sum[:])
	if _, err := ParseID(future.String()); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("an id of version 2: %v", err)
	}
}

func TestParseLink(t *testing.T) {
	id := testRoot(t).ID()
	bare := "handful:" + id.String()
	pk := base32Lower.EncodeToString(dhtKey[32:])
	for _, tt := range []struct {
		in   string
		want Link
		out  string // "" means in
	}{
		{bare, Link{Writer: "m", Index: -1}, ""},
		{strings.ToUpper(bare), Link{Writer: "m", Index: -1}, bare},
		{bare + "/m", Link{Writer: "m", Index: -1}, bare},
		{bare + "/m/0", Link{Writer: "m", Index: 0}, ""},
		{bare + "/alice", Link{Writer: "alice", Index: -1}, ""},
		{bare + "/alice/77", Link{Writer: "alice", Index: 77}, ""},
		{bare + "?", Link{Writer: "m", Index: -1}, bare},
		{bare + "?dn=A+b%26&new=1&dn=", Link{Writer: "m", Index: -1, Name: "A b&"}, bare + "?dn=A%20b%26"},
		{bare + "/m/1?dn=Demo&tr=http://h/announce&tr=udp://h:1&ws=https://h/x&pe=10.0.0.1:6881&pe=%5B::1%5D:6881&pk=" + pk + "#k=AGE-SECRET-KEY-1",
			Link{Writer: "m", Index: 1, Name: "Demo", Trackers: []string{"http://h/announce", "udp://h:1"}, WebSeeds: []string{"https://h/x"},
				Peers: []string{"10.0.0.1:6881", "[::1]:6881"}, DHTKey: pk, ReadKey: "AGE-SECRET-KEY-1"}, ""},
	} {
		got, err := ParseLink(tt.in)
		tt.want.ID = id
		if err != nil || got.ID != id || got.Writer != tt.want.Writer || got.Index != tt.want.Index || got.Name != tt.want.Name || got.DHTKey != tt.want.DHTKey ||
			got.ReadKey != tt.want.ReadKey || !slices.Equal(got.Trackers, tt.want.Trackers) || !slices.Equal(got.WebSeeds, tt.want.WebSeeds) || !slices.Equal(got.Peers, tt.want.Peers) {
			t.Errorf("%s\n got %+v, %v\nwant %+v", tt.in, got, err, tt.want)
			continue
		}
		if tt.out == "" {
			tt.out = tt.in
		}
		if got.String() != tt.out {
			t.Errorf("%s is printed as %s", tt.in, got)
		}
	}
}

func TestParseLinkErrors(t *testing.T) {
	bare := "handful:" + testRoot(t).ID().String()
	for in, want := range map[string]string{
		"":                              "does not begin with",
		"agaag":                         "does not begin with",
		"handfull:x":                    "unknown scheme",
		"http://example.org":            "unknown scheme",
		"handful://x":                   "character", // an empty id, and more
		"handful:abc":                   "3 characters, but 40",
		bare + "/m/1/2":                 "more than an id",
		bare + "/M":                     "no name of a writer",
		bare + "/":                      "no name of a writer",
		bare + "/m/":                    "no index",
		bare + "/m/01":                  "no index",
		bare + "/m/-1":                  "no index",
		bare + "/m/9007199254740992":    "no index",
		bare + "?pe=host":               "pe=",
		bare + "?pe=host:0":             "pe=",
		bare + "?pe=:1":                 "pe=",
		bare + "?tr=file:///etc/passwd": "tr=",
		bare + "?ws=udp://h":            "ws=",
		bare + "?tr=%zz":                "tr",
		bare + "?dn=%1b[2J":             "dn=",
		bare + "?pk=abc":                "pk=",
		bare + "#k=":                    "read key",
		bare + "#k=a%20b":               "read key",
		bare + "?" + strings.Repeat("pe=a:1&", maxHints+1): "more than 32",
		bare + "?dn=" + strings.Repeat("x", maxLink):       "bytes, but a link has at most",
	} {
		if _, err := ParseLink(in); !errors.Is(err, ErrLink) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %q", in, err, want)
		}
	}
	if _, err := ParseLink(bare + "#k=secret!"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the read key is quoted in %v", err)
	}
}

func TestValidWriter(t *testing.T) {
	for name, want := range map[string]bool{
		"m": true, "a.b_c-d": true, "0": true, strings.Repeat("a", 32): true,
		"": false, strings.Repeat("a", 33): false, "-a": false, ".a": false, "A": false, "a/b": false, "é": false, "a b": false,
	} {
		if ValidWriter(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
