package manifest

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"handful/manifest/bencode"
)

// S is a string of bencode.
func S(s string) string { return string(bencode.AppendString(nil, s)) }

var (
	root32 = strings.Repeat("r", 32)
	hash20 = strings.Repeat("h", 20)
)

// v2file is the leaf of a file of n bytes.
func v2file(n int) string {
	if n == 0 {
		return "d0:d6:lengthi0eee"
	}
	return fmt.Sprintf("d0:d6:lengthi%de11:pieces root32:%see", n, root32)
}

// infoCase is an info dict and part of the error that it causes, or "".
type infoCase struct{ name, info, want string }

const infoRest = "4:name1:t12:piece lengthi32768e"

func v1pieces(n int) string { return "6:pieces" + S(strings.Repeat(hash20, n)) }

// v1Cases have one defect each, beside what it is a defect of.
func v1Cases() []infoCase {
	rest, pieces := infoRest, v1pieces
	v1 := func(files string, n int) string { return "d5:files" + files + rest + pieces(n) + "e" }
	return []infoCase{
		{"v1", v1("ld6:lengthi1e4:pathl1:aeee", 1), ""},
		{"v1 with unknown keys", "d5:filesld6:lengthi1e6:md5sum1:x4:pathl1:aeee" + rest + pieces(1) + "6:source1:x1:zdee", ""},
		{"v1 single", "d6:lengthi7e" + rest + pieces(1) + "e", ""},
		{"v1 utf-8", v1("ld6:lengthi1e4:pathl1:\xe9e10:path.utf-8l2:\xc3\xa9eee", 1), ""},
		{"v1 link that goes up", v1("ld4:attr1:l4:pathl1:d1:le12:symlink pathl2:..1:aeee", 0), ""},
		{"v1 odd piece length", "d6:lengthi7e4:name1:t12:piece lengthi5e" + pieces(2) + "e", ""},
		{"no info", "de", "empty name"},
		{"trailing", v1("le", 0) + "e", "after the value"},
		{"unsorted", "d4:name1:t6:lengthi7e12:piece lengthi32768e" + pieces(1) + "e", "ascending"},
		{"name is a path", "d6:lengthi7e4:name4:../x12:piece lengthi32768e" + pieces(1) + "e", `contains '/'`},
		{"no pieces", "d6:lengthi7e" + rest + "e", "no pieces"},
		{"files and length", "d5:filesle6:lengthi7e" + rest + pieces(1) + "e", "one of files and length"},
		{"neither", "d" + rest + pieces(1) + "e", "one of files and length"},
		{"odd hashes", "d6:lengthi7e" + rest + "6:pieces3:abce", "not 20"},
		{"too few pieces", "d6:lengthi65537e" + rest + pieces(2) + "e", "longer than"},
		{"too many pieces", "d6:lengthi32768e" + rest + pieces(2) + "e", "32768 bytes of files and 2 pieces"},
		{"huge length", v1("ld6:lengthi9223372036854775807e4:pathl1:aeed6:lengthi9223372036854775807e4:pathl1:beee", 1), "longer than"},
		{"negative length", "d6:lengthi-1e" + rest + pieces(0) + "e", "length -1"},
		{"piece length 0", "d6:lengthi7e4:name1:t12:piece lengthi0e" + pieces(1) + "e", "piece length 0"},
		{"huge piece length", "d6:lengthi7e4:name1:t12:piece lengthi9223372036854775807e" + pieces(1) + "e", "piece length"},
		{"no length", v1("ld4:pathl1:aeee", 0), "without length"},
		{"no path", v1("ld6:lengthi0eee", 0), "0 names"},
		{"up", v1("ld6:lengthi0e4:pathl2:..1:aeee", 0), "relative"},
		{"twice", v1("ld6:lengthi0e4:pathl1:aeed6:lengthi0e4:pathl1:aeee", 0), "same name"},
		{"below a file", v1("ld6:lengthi0e4:pathl1:aeed6:lengthi0e4:pathl1:a1:beee", 0), "lies below"},
		{"below a link", v1("ld4:attr1:l6:lengthi0e4:pathl1:ae12:symlink pathl1:ceed6:lengthi0e4:pathl1:a1:beee", 0), "lies below"},
		{"link out", v1("ld4:attr1:l6:lengthi0e4:pathl1:ae12:symlink pathl2:..1:ceee", 0), "leads out"},
		{"link without target", v1("ld4:attr1:l6:lengthi0e4:pathl1:aeee", 0), "0 names"},
		{"link to a bad name", v1("ld4:attr1:l6:lengthi0e4:pathl1:ae12:symlink pathl3:b/ceee", 0), `contains '/'`},
		{"link with bytes", v1("ld4:attr1:l6:lengthi1e4:pathl1:ae12:symlink pathl1:ceee", 1), "has a length"},
		{"pad with target", v1("ld4:attr1:p6:lengthi1e4:pathl1:ae12:symlink pathl1:ceee", 1), "pad that is a symlink"},
		{"single link", "d4:attr1:l6:lengthi0e" + rest + pieces(0) + "e", "single file that is a symlink"},
		{"sha256 too short", "d6:lengthi7e" + rest + pieces(1) + "13:sha256 pieces3:abce", "sha256 pieces of 3"},
		{"empty dirs unsorted", "d17:empty directoriesll1:bel1:aee5:filesle" + rest + pieces(0) + "e", "out of order"},
		{"empty dir twice", "d17:empty directoriesll1:ael1:aee5:filesle" + rest + pieces(0) + "e", "out of order"},
		{"empty dir up", "d17:empty directoriesll2:..ee5:filesle" + rest + pieces(0) + "e", "relative"},
		{"empty dir is a file", "d17:empty directoriesll1:aee5:filesld6:lengthi0e4:pathl1:aeee" + rest + pieces(0) + "e", "same name"},
		{"empty dir in a file", "d17:empty directoriesll1:aee6:lengthi7e" + rest + pieces(1) + "e", "single file"},
	}
}

func v2Cases() []infoCase {
	rest := infoRest
	v2 := func(tree string) string { return "d9:file tree" + tree + "12:meta versioni2e" + rest + "e" }
	hybrid := func(tree, files string, n int) string {
		return "d9:file tree" + tree + "5:files" + files + "12:meta versioni2e" + rest + v1pieces(n) + "e"
	}
	pad := "d4:attr1:p6:lengthi32767e4:pathl4:.pad5:32767ee"
	return []infoCase{
		{"v2", v2("d1:a" + v2file(1) + "e"), ""},
		{"v2 with nothing", v2("de"), ""},
		{"hybrid", hybrid("d1:a"+v2file(1)+"1:b"+v2file(1)+"e", "ld6:lengthi1e4:pathl1:aee"+pad+"d6:lengthi1e4:pathl1:beee", 2), ""},
		{"sha256 in v2", strings.TrimSuffix(v2("d1:a"+v2file(1)+"e"), "e") + "13:sha256 pieces0:e", "beside a file tree"},
		{"meta version 3", "d9:file treede12:meta versioni3e" + rest + "e", "not known"},
		{"version without tree", "d12:meta versioni2e" + rest + "e", "contradict"},
		{"tree without version", "d9:file treede" + rest + "e", "contradict"},
		{"v2 piece length", "d9:file treede12:meta versioni2e4:name1:t12:piece lengthi49152ee", "no power of two"},
		{"v2 root is a file", v2("d0:d6:lengthi0eee"), "root of the file tree"},
		{"v2 nothing", v2("d1:adee"), "neither file nor directory"},
		{"v2 both", v2("d1:ad0:d6:lengthi0ee1:bd0:d6:lengthi0eeeee"), "both a file and a directory"},
		{"v2 no root", v2("d1:ad0:d6:lengthi1eeee"), "pieces root: false"},
		{"v2 root of nothing", v2("d1:ad0:d6:lengthi0e11:pieces root32:" + root32 + "eee"), "pieces root: true"},
		{"v2 short root", v2("d1:ad0:d6:lengthi1e11:pieces root3:abceee"), "3 bytes"},
		{"v2 pad", v2("d1:ad0:d4:attr1:p6:lengthi0eeee"), "in the file tree"},
		{"v2 up", v2("d2:.." + v2file(1) + "e"), "relative"},
		{"v2 too many pieces", v2("d1:a" + v2file(1<<40) + "e"), "pieces"},
		{"v2 huge", v2("d1:ad0:d6:lengthi9223372036854775807e11:pieces root32:" + root32 + "eee"), "pieces"},
		{"v2 too deep", v2(strings.Repeat("d1:a", 60) + strings.Repeat("e", 60)), "path of more than 48 names"},
		{"v2 one root, two lengths", v2("d1:a" + v2file(40_000) + "1:b" + v2file(70_000) + "e"), "different lengths"},
		{"hybrid of other names", hybrid("d1:a"+v2file(1)+"e", "ld6:lengthi1e4:pathl1:beee", 1), "disagree"},
		{"hybrid of other lengths", hybrid("d1:a"+v2file(2)+"e", "ld6:lengthi1e4:pathl1:aeee", 1), "1 and 2 bytes"},
		{"hybrid of other order", hybrid("d1:a"+v2file(1)+"1:b"+v2file(1)+"e", "ld6:lengthi1e4:pathl1:bee"+pad+"d6:lengthi1e4:pathl1:aeee", 2), "disagree"},
		{"hybrid without pad", hybrid("d1:a"+v2file(1)+"1:b"+v2file(1)+"e", "ld6:lengthi1e4:pathl1:aeed6:lengthi1e4:pathl1:beee", 1), "1 v1 pieces and 2 v2"},
		{"hybrid with fewer", hybrid("d1:a"+v2file(1)+"1:b"+v2file(0)+"e", "ld6:lengthi1e4:pathl1:aeee", 1), "only the tree has"},
		{"hybrid with more", hybrid("d1:a"+v2file(1)+"e", "ld6:lengthi1e4:pathl1:aeed6:lengthi0e4:pathl1:beee", 1), "ends before"},
		{"hybrid that shifts", hybrid("d1:a"+v2file(1)+"1:b"+v2file(40_000)+"e", "ld4:attr1:p6:lengthi32768e4:pathl1:peed6:lengthi1e4:pathl1:aeed6:lengthi40000e4:pathl1:beee", 3), "starts at byte"},
		{"hybrid of other links", hybrid("d1:ad0:d4:attr1:l6:lengthi0e12:symlink pathl1:ceeee", "ld6:lengthi0e4:pathl1:aeee", 0), "symlink"},
	}
}

func TestParseInfo(t *testing.T) {
	for _, c := range slices.Concat(v1Cases(), v2Cases(), writtenCases()) {
		tor, err := ParseInfo([]byte(c.info))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && err == nil:
			t.Errorf("%s: accepted, as %+v", c.name, tor.Files)
		case c.want != "" && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if _, err := ParseInfo(make([]byte, MaxInfo+1)); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	info := "4:infod6:lengthi1e4:name1:t12:piece lengthi32768e6:pieces20:" + hash20 + "e"
	for _, c := range []struct{ name, torrent, want string }{
		{"plain", "d" + info + "e", ""},
		{"tiers", "d8:announce1:a13:announce-listll1:b1:cel1:aee7:comment2:hi" + info + "8:url-list1:we", ""},
		{"odd keys", "d8:announcei3e13:announce-listi4e" + info + "5:nodesll1:xi1eee8:url-listdee", ""},
		{"no info", "d8:announce1:ae", "no info"},
		{"info is a list", "d4:infolee", "dictionary"},
		{"layers of v1", "d" + info + "12:piece layersdee", "without a file tree"},
	} {
		tor, err := Parse([]byte(c.torrent))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want == "" && string(tor.Bytes()) != c.torrent:
			t.Errorf("%s: prints %q", c.name, tor.Bytes())
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	tor, err := Parse([]byte("d8:announce1:a13:announce-listll1:b1:cel1:aee" + info + "8:url-list1:we"))
	if err != nil || fmt.Sprint(tor.Trackers, tor.WebSeeds) != "[a b c] [w]" {
		t.Errorf("%v %q %q", err, tor.Trackers, tor.WebSeeds)
	}
	other := string(tor.WithSources([]string{"x"}, nil).Bytes())
	if other != "d8:announce1:x"+info+"e" {
		t.Errorf("other sources: %q", other)
	}
	if got := tor.InfoHash(); got != sha1.Sum([]byte(strings.TrimPrefix(info, "4:info"))) {
		t.Errorf("infohash %x", got)
	}
}
