package manifest

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// entries are one of each kind, for the tests and the vectors.
func entries() []Entry {
	sum, v1 := [32]byte{1, 2, 3}, [20]byte{4, 5, 6}
	head := Header{Time: 1_766_400_121_000}
	full := Header{Time: 1, Pointers: Pointers{Root: 3, Grant: 5, Archive: 7, Rekey: 9}}
	return []Entry{
		Post{Head: head, Title: "Tea at four"},
		Post{Head: full, Title: "Notes", Body: "first line\nsecond, with é\n"},
		Media{Head: head, InfoSum: sum, InfoHashV1: v1, HasV1: true, Name: "slides", Size: 123_456},
		Media{Head: full, InfoSum: sum, Name: "a.mkv", Size: 0, Title: "v2 only"},
		Release{Head: head, Version: "1.2.3", InfoSum: sum, InfoHashV1: v1, HasV1: true, Size: 5, Rollout: Everyone},
		Release{Head: full, Version: "1.3.0-rc1", OS: "linux/amd64", InfoSum: sum, Size: 5, MinVersion: "1.2.0", Rollout: 50},
		Delete{Head: head, Index: 0},
		Delete{Head: full, Index: 41, Reason: "sent by mistake"},
		Post{
			Head: head, Title: "Episode 3", Body: "About tea.\n", ID: "tag:example.org,2026:3", Link: "https://example.org/3",
			Author: "Ann", ReplyTo: "m/7", Published: 1_766_300_000_000, Updated: 1_766_300_005_000, Tags: []string{"tea", "caf\u00e9"},
			Attachments: []Attachment{
				{URL: "https://example.org/3.mp3", Type: "audio/mpeg", Name: "3.mp3", Size: 123_456},
				{URL: "https://example.org/notes"},
			},
		},
		Sealed{Head: full, Box: []byte("age\x00\xff")},
		Sealed{Head: head, Box: []byte("b"), HasContent: true, InfoSum: sum, InfoHashV1: v1, HasV1: true, Size: 9},
		Sealed{Head: head, Box: []byte("b"), HasContent: true, InfoSum: sum},
		Sealed{Head: head, Box: []byte("b"), Drops: true},
		Sealed{Head: head, Box: []byte("b"), Drops: true, Index: 7},
		Rekey{Head: head, Box: []byte("key")},
		Post{Head: head, Title: "Slides", Attached: &Attached{
			Named: Named{InfoSum: sum, InfoHashV1: v1, HasV1: true, Name: "slides.pdf", Size: 123_456}, Files: []AttachedFile{{Name: "slides.pdf", Type: "application/pdf", Size: 123_456}},
		}},
		Post{Head: full, Body: "two files, one of them empty", Attached: &Attached{
			Named: Named{InfoSum: sum, Name: "files", Size: 7}, Files: []AttachedFile{{Name: "a", Size: 7}, {Name: "b"}},
		}},
	}
}

func TestEntries(t *testing.T) {
	for _, e := range entries() {
		b, err := EncodeEntry(e)
		if err != nil {
			t.Errorf("%+v: %v", e, err)
			continue
		}
		again, err := ParseEntry(b)
		if err != nil || !bytes.Equal(again.Bytes(), b) || again.Kind() != e.Kind() || again.Header().Pointers != e.Header().Pointers || again.Header().Time != e.Header().Time {
			t.Errorf("%q: %+v, %v", b, again, err)
		}
	}
	m := entries()[2].(Media)
	if m.InfoHash() != m.InfoHashV1 {
		t.Error("the wire has the v1 infohash where there is one")
	}
	if m = entries()[3].(Media); m.InfoHash() != [20]byte(m.InfoSum[:20]) {
		t.Error("the wire has the v2 infohash cut short")
	}
}

// parses wants an error that says want, or, when that is "", an entry that prints back.
func parses(t *testing.T, name, entry, want string) {
	t.Helper()
	e, err := ParseEntry([]byte(entry))
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case want == "" && string(e.Bytes()) != entry:
		t.Errorf("%s: prints %q", name, e.Bytes())
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %+v %v, want %s", name, e, err, want)
	}
}

func TestParseEntry(t *testing.T) {
	sum := "1:i32:" + strings.Repeat("i", 32)
	for _, c := range []struct{ name, entry, want string }{
		{"unknown kind", "d1:ti5e1:y5:grante", ""},
		{"unknown kind with anything", "d1:^d1:pi2ee1:ai5e1:ti5e1:y1:?e", ""},
		{"unknown keys", "d1:Zle1:^d1:pi2e1:zi5ee1:ti5e1:x2:hi1:y4:post2:zz0:e", ""},
		{"release to everyone", "d" + sum + "1:si5e1:ti5e1:v1:11:y3:rele", ""},
		{"release held back", "d" + sum + "4:rolli0e1:si5e1:ti5e1:v1:11:y3:rele", ""},

		{"no dictionary", "le", "dictionary"},
		{"trailing", "d1:ti5e1:y1:?e1", "after the value"},
		{"no kind", "d1:ti5ee", `"y"`},
		{"empty kind", "d1:ti5e1:y0:e", "1 to 32"},
		{"no time", "d1:y1:?e", `"t"`},
		{"negative time", "d1:ti-1e1:y1:?e", "-1 is not within"},
		{"time too large", "d1:ti9007199254740992e1:y1:?e", "not within"},
		{"pointer 0", "d1:^d1:pi0ee1:ti5e1:y1:?e", "pointer"},
		{"no pointers", "d1:^de1:ti5e1:x1:x1:y4:poste", "left out"},
		{"empty post", "d1:ti5e1:y4:poste", "without title and body"},
		{"empty title", "d1:b1:b1:ti5e1:x0:1:y4:poste", "left out"},
		{"not UTF-8", "d1:ti5e1:x1:\xff1:y4:poste", "UTF-8"},
		{"post with unknown keys in an attachment", "d2:atld1:u1:a1:zi5eee1:ti5e1:x2:hi1:y4:poste", ""},
		{"post with an empty id", "d2:id0:1:ti5e1:x2:hi1:y4:poste", "left out"},
		{"post without tags, said", "d3:tagle1:ti5e1:x2:hi1:y4:poste", "bencode"},
		{"post with no tags, said", "d1:ti5e3:tagle1:x2:hi1:y4:poste", "left out"},
		{"post with an empty tag", "d1:ti5e3:tagl1:a0:e1:x2:hi1:y4:poste", "empty"},
		{"post with a tag of bytes", "d1:ti5e3:tagl1:\xffe1:x2:hi1:y4:poste", "UTF-8"},
		{"post with a number for a tag", "d1:ti5e3:tagli5ee1:x2:hi1:y4:poste", "string"},
		{"post with one tag, not in a list", "d1:ti5e3:tag1:a1:x2:hi1:y4:poste", "list"},
		{"post with no attachments, said", "d2:atle1:ti5e1:x2:hi1:y4:poste", "left out"},
		{"post with an attachment without address", "d2:atldee1:ti5e1:x2:hi1:y4:poste", `"u"`},
		{"post with an attachment of no address", "d2:atld1:u0:ee1:ti5e1:x2:hi1:y4:poste", "empty"},
		{"post with an attachment of no size, said", "d2:atld1:si0e1:u1:aee1:ti5e1:x2:hi1:y4:poste", "left out"},
		{"post with an attachment of bytes", "d2:atld1:u1:\xffee1:ti5e1:x2:hi1:y4:poste", "UTF-8"},
		{"post with a name for an attachment", "d2:atl1:ae1:ti5e1:x2:hi1:y4:poste", "dictionary"},
		{"post from before 1970", "d3:pubi-5e1:ti5e1:x2:hi1:y4:poste", "-5"},
		{"post changed in 1970, said", "d1:ti5e3:updi0e1:x2:hi1:y4:poste", "left out"},
		{"title is a number", "d1:ti5e1:xi5e1:y4:poste", "string"},
		{"media without sum", "d1:n1:n1:si5e1:ti5e1:y5:mediae", `"i"`},
		{"media with short sum", "d1:i3:abc1:n1:n1:si5e1:ti5e1:y5:mediae", "3 bytes"},
		{"media without name", "d" + sum + "1:si5e1:ti5e1:y5:mediae", `"n"`},
		{"media with a path", "d" + sum + "1:n4:../x1:si5e1:ti5e1:y5:mediae", "unsafe"},
		{"media with bad size", "d" + sum + "1:n1:n1:si-5e1:ti5e1:y5:mediae", "-5"},
		{"release without version", "d" + sum + "1:si5e1:ti5e1:v0:1:y3:rele", "without version"},
		{"release to all, said", "d" + sum + "4:rolli1000e1:si5e1:ti5e1:v1:11:y3:rele", "left out"},
		{"release to too many", "d" + sum + "4:rolli1001e1:si5e1:ti5e1:v1:11:y3:rele", "1001"},
		{"sealed nothing", "d1:ti5e1:y4:seale", `"b"`},
		{"sealed emptiness", "d1:b0:1:ti5e1:y4:seale", "empty"},
		{"sealed with half of a torrent", "d1:b1:x1:si5e1:ti5e1:y4:seale", `"i"`},
		{"sealed drop before the first", "d1:b1:x1:ni-1e1:ti5e1:y4:seale", "-1"},
		{"rekey without a key", "d1:ti5e1:y5:rekeye", `"b"`},
		{"delete of nothing", "d1:ti5e1:y3:dele", `"n"`},
		{"delete before the first", "d1:ni-1e1:ti5e1:y3:dele", "-1"},
	} {
		parses(t, c.name, c.entry, c.want)
	}
	if _, err := EncodeEntry(Post{Body: strings.Repeat("x", MaxEntry)}); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if _, err := EncodeEntry(Delete{Index: -1}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if _, err := EncodeEntry(Media{Name: "a/b"}); !errors.Is(err, ErrUnsafePath) {
		t.Error(err)
	}
	e, _ := ParseEntry([]byte("d1:ti5e1:y5:grante"))
	if e.Kind() != "grant" || e.Header().Time != 5 {
		t.Errorf("%+v", e)
	}
}

func TestNamedBy(t *testing.T) {
	names := map[string]int{}
	for _, e := range entries() {
		n, ok := NamedBy(e)
		if ok != (n.InfoSum == [32]byte{1, 2, 3}) {
			t.Errorf("%s: %+v, %v", e.Kind(), n, ok)
		}
		if ok {
			names[e.Kind()]++
		}
	}
	if names[KindMedia] != 2 || names[KindRelease] != 2 || names[KindPost] != 2 || names[KindSealed] != 2 {
		t.Errorf("%v", names)
	}
}
