package manifest

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestMagnet(t *testing.T) {
	v1, v2 := strings.Repeat("0a", 20), strings.Repeat("b1", 32)
	for _, c := range []struct{ in, out string }{
		{"magnet:?xt=urn:btih:" + v1, ""},
		{"magnet:?xt=urn:btmh:1220" + v2, ""},
		{"magnet:?xt=urn:btih:" + v1 + "&xt=urn:btmh:1220" + v2 + "&dn=a%20b%26%2B&tr=http%3A%2F%2Fx%2Fannounce%3Fa%3Db&tr=udp%3A%2F%2Fy%3A1&ws=http%3A%2F%2Fz%2F&x.pe=127.0.0.1%3A6881", ""},
		{"MAGNET:?XT=URN:BTIH:" + strings.ToUpper(v1) + "&dn=a+b&xl=7&tr=&tr.1=u&tr.2=u", "magnet:?xt=urn:btih:" + v1 + "&dn=a%20b&tr=u"},
		{"magnet:?xt=urn:btih:BIFAUCQKBIFAUCQKBIFAUCQKBIFAUCQK&xt=urn:sha1:x", "magnet:?xt=urn:btih:" + v1},
		{"magnet:?xt.1=urn:btih:" + v1, "magnet:?xt=urn:btih:" + v1},
	} {
		m, err := ParseMagnet(c.in)
		want := c.out
		if want == "" {
			want = c.in
		}
		if err != nil || m.String() != want {
			t.Errorf("%s:\n%s\n%s, %v", c.in, m, want, err)
		}
		if again, err := ParseMagnet(m.String()); err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%s: reads back as %+v, %v", m, again, err)
		}
	}
	for in, want := range map[string]string{
		"":                                     "does not begin",
		"http://x":                             "does not begin",
		"magnet:?dn=x":                         "names no torrent",
		"magnet:?xt=urn:btih:" + v2:            "64 characters",
		"magnet:?xt=urn:btih:" + "zz" + v1[2:]: "invalid byte",
		"magnet:?xt=urn:btmh:1220" + v1:        "64 hexadecimal digits",
		"magnet:?xt=urn:btmh:1114" + v1:        "1220",
		"magnet:?xt=urn:btih:" + v1 + "&xt=urn:btih:" + strings.Repeat("0b", 20): "two v1",
		"magnet:?xt=urn:btih:" + v1 + "&dn=%zz":                                  "dn",
		"magnet:?xt=urn:btih:" + v1 + "&x=" + strings.Repeat("x", maxMagnet):     "bytes, more than",
	} {
		if _, err := ParseMagnet(in); !errors.Is(err, ErrMagnet) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %s", in, err, want)
		}
	}
}

func TestTorrentMagnet(t *testing.T) {
	root := makeTree(t)
	for _, format := range formats {
		tor, _ := build(t, BuildOptions{Format: format}, root)
		m, err := ParseMagnet(tor.Magnet([]string{"http://t"}, []string{"[::1]:1"}))
		if err != nil {
			t.Fatal(err)
		}
		v1, has1 := tor.InfoHashV1()
		v2, has2 := tor.InfoHashV2()
		want := Magnet{InfoHash: v1, HasV1: has1, InfoHashV2: v2, HasV2: has2, Name: "tree", Trackers: []string{"http://t"}, Peers: []string{"[::1]:1"}}
		if !reflect.DeepEqual(m, want) || m.WireHash() != tor.InfoHash() {
			t.Errorf("%s: %+v", format, m)
		}
	}
}
