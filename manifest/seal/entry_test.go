package seal

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"handful/manifest"
)

func head() manifest.Header { return manifest.Header{Time: 1_766_400_121_000} }

func TestEntry(t *testing.T) {
	k, at := testKey(t, 7), manifest.Pointers{Root: 2, Grant: 3, Rekey: 4}
	sum, v1 := [32]byte{1}, [20]byte{2}
	for _, e := range []manifest.Entry{
		manifest.Post{Head: head(), Title: "Tea at four"},
		manifest.Post{Head: head(), Body: strings.Repeat("x", 40_000)},
		manifest.Media{Head: head(), InfoSum: sum, InfoHashV1: v1, HasV1: true, Name: "holiday.mp4", Size: 9, Title: "Holiday"},
		manifest.Media{Head: head(), InfoSum: sum, Name: "holiday.mp4", Size: 0},
		manifest.Release{Head: head(), Version: "1.2.3", InfoSum: sum, Size: 9, Rollout: manifest.Everyone},
		manifest.Delete{Head: head(), Index: 0, Reason: "a name in it"},
	} {
		s, err := k.SealEntry(e.Bytes(), at)
		if err != nil {
			t.Fatal(err)
		}
		if s.Head.Time != head().Time || s.Head.Pointers != at {
			t.Errorf("outside: %+v", s.Head)
		}
		if over := len(s.Box) - int(padded(int64(max(minEntry, len(e.Bytes()))))); over != 200 {
			t.Errorf("%s: %d bytes more", e.Kind(), over)
		}
		for _, word := range []string{"Tea", "oliday", "xxx", "a name", "1.2.3", "post", "media"} {
			if bytes.Contains(s.Bytes(), []byte(word)) {
				t.Errorf("%s: %q stands outside", e.Kind(), word)
			}
		}
		raw, err := manifest.ParseEntry(s.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got, err := OpenEntry([]Key{testKey(t, 1), k}, raw.(manifest.Sealed))
		if err != nil || !bytes.Equal(got.Bytes(), e.Bytes()) {
			t.Errorf("%s: %+v, %v", e.Kind(), got, err)
		}
		if _, err := OpenEntry([]Key{testKey(t, 1)}, s); !errors.Is(err, ErrKey) {
			t.Errorf("%s: another key: %v", e.Kind(), err)
		}
		if _, err := OpenEntry(nil, s); !errors.Is(err, ErrKey) {
			t.Errorf("%s: no key: %v", e.Kind(), err)
		}
		again, err := k.SealEntry(e.Bytes(), at)
		if err != nil || !bytes.Equal(again.Bytes(), s.Bytes()) {
			t.Errorf("%s: sealed again it is another one: %v", e.Kind(), err)
		}
	}
	if _, err := k.SealEntry(manifest.Post{Head: head(), Body: strings.Repeat("x", manifest.MaxEntry-100)}.Bytes(), at); !errors.Is(err, manifest.ErrTooLarge) {
		t.Errorf("too long: %v", err)
	}
	if _, err := k.SealEntry([]byte("de"), at); err == nil {
		t.Error("no entry was sealed")
	}
}

// TestEntryContradicts: inside and outside must say the same, and be made as here.
func TestEntryContradicts(t *testing.T) {
	k := testKey(t, 7)
	seal := func(plain []byte, out manifest.Sealed) manifest.Sealed {
		s, err := k.stream("entry", [32]byte{9}, int64(len(plain)))
		if err != nil {
			t.Fatal(err)
		}
		out.Box = readAll(t, newReader(s, bytes.NewReader(plain), nil))
		return out
	}
	pad := func(b []byte) []byte {
		return append(b, make([]byte, padded(int64(max(minEntry, len(b))))-int64(len(b)))...)
	}
	media := manifest.Media{Head: head(), InfoSum: [32]byte{1}, Name: "n", Size: 9}
	right, err := outside(media)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenEntry([]Key{k}, seal(pad(media.Bytes()), right)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*manifest.Sealed){
		"time":       func(s *manifest.Sealed) { s.Head.Time++ },
		"no content": func(s *manifest.Sealed) { s.HasContent = false },
		"torrent":    func(s *manifest.Sealed) { s.InfoSum[0]++ },
		"v1":         func(s *manifest.Sealed) { s.HasV1 = true },
		"size":       func(s *manifest.Sealed) { s.Size++ },
		"drops":      func(s *manifest.Sealed) { s.Drops = true },
	} {
		wrong := right
		change(&wrong)
		if _, err := OpenEntry([]Key{k}, seal(pad(media.Bytes()), wrong)); !errors.Is(err, ErrMalformed) {
			t.Errorf("another %s outside: %v", name, err)
		}
	}
	twice := seal(pad(media.Bytes()), right)
	for name, plain := range map[string][]byte{
		"not padded":     media.Bytes(),
		"padded more":    append(pad(media.Bytes()), 0),
		"padded with 1s": append(media.Bytes(), bytes.Repeat([]byte{1}, int(padded(minEntry))-len(media.Bytes()))...),
		"nothing":        nil,
		"no entry":       pad([]byte("de")),
		"a sealed one":   pad(twice.Bytes()),
		"a rekey":        pad(manifest.Rekey{Head: head(), Box: []byte("x")}.Bytes()),
		"too much":       make([]byte, manifest.MaxEntry+1),
	} {
		if _, err := OpenEntry([]Key{k}, seal(plain, right)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cut := twice
	cut.Box = cut.Box[:len(cut.Box)-1]
	if _, err := OpenEntry([]Key{k}, cut); !errors.Is(err, ErrMalformed) {
		t.Errorf("cut: %v", err)
	}
}

// TestRekey: who is among the readers gets the key, who is not does not.
func TestRekey(t *testing.T) {
	next, ann, bob, eve := testKey(t, 9), testKey(t, 10), testKey(t, 11), testKey(t, 12)
	quantum, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	var members []Member
	for name, to := range map[string]string{"ann": ann.Recipient(), "bob": bob.Recipient()} {
		m, err := NewMember(name, to)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
	}
	raw, err := RekeyEntry(next, members, head().Time, manifest.Pointers{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := manifest.ParseEntry(raw)
	if err != nil {
		t.Fatal(err)
	}
	box := e.(manifest.Rekey).Box
	for _, k := range []Key{ann, bob} {
		if got, err := OpenKey(box, []age.Identity{identity(t, eve), identity(t, k)}); err != nil || got != next {
			t.Errorf("%v, %v", got, err)
		}
	}
	if _, err := OpenKey(box, []age.Identity{identity(t, eve)}); !errors.Is(err, ErrKey) {
		t.Errorf("somebody else: %v", err)
	}
	m, err := NewMember("quinn", quantum.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = RekeyEntry(next, []Member{m}, 0, manifest.Pointers{}); err != nil {
		t.Fatal(err)
	}
	e, _ = manifest.ParseEntry(raw)
	if got, err := OpenKey(e.(manifest.Rekey).Box, []age.Identity{quantum}); err != nil || got != next {
		t.Errorf("post-quantum: %v, %v", got, err)
	}
	if _, err := RekeyEntry(next, append(members, m), 0, manifest.Pointers{}); err == nil {
		t.Error("post-quantum keys and others were mixed, which makes the first useless")
	}
	if _, err := RekeyEntry(next, nil, 0, manifest.Pointers{}); err == nil {
		t.Error("a key for nobody")
	}
	many := make([]Member, 1000)
	for i := range many {
		many[i] = members[0]
	}
	if _, err := RekeyEntry(next, many, 0, manifest.Pointers{}); !errors.Is(err, manifest.ErrTooLarge) {
		t.Errorf("a thousand readers: %v", err)
	}
	if _, err := RekeyEntry(next, many[:400], 0, manifest.Pointers{}); err != nil {
		t.Errorf("400 readers: %v", err)
	}
}

func TestMember(t *testing.T) {
	good := testKey(t, 1)
	for _, c := range [][2]string{
		{"", good.Recipient()}, {"Ann", good.Recipient()}, {"a b", good.Recipient()}, {"-a", good.Recipient()},
		{"ann", ""}, {"ann", "age1"}, {"ann", good.Recipient() + "q"}, {"ann", strings.ToUpper(good.Recipient())}, {"ann", "ssh-ed25519 AAAA"},
	} {
		if _, err := NewMember(c[0], c[1]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", c, err)
		}
	}
	_, err := NewMember("ann", good.Text())
	if !errors.Is(err, ErrMalformed) || strings.Contains(err.Error(), good.Text()[20:30]) {
		t.Errorf("a secret key: %v", err)
	}
}

func TestRing(t *testing.T) {
	r := Ring{}
	if !r.Current().IsZero() || !r.Add(testKey(t, 1)) || r.Add(testKey(t, 1)) || r.Current() != testKey(t, 1) {
		t.Error("the first key")
	}
	r.Add(testKey(t, 2))
	r.Pending = true
	if r.Current() != testKey(t, 1) {
		t.Error("a key that was not sent seals")
	}
	for _, name := range []string{"bob", "ann", "bob"} {
		m, err := NewMember(name, testKey(t, 3).Recipient())
		if err != nil {
			t.Fatal(err)
		}
		r.Join(m)
	}
	text := r.Bytes()
	again, err := ParseRing(text)
	if err != nil || !bytes.Equal(again.Bytes(), text) || again.Current() != r.Current() || len(again.Members) != 2 {
		t.Errorf("%+v, %v", again, err)
	}
	if ids, err := age.ParseIdentities(bytes.NewReader(text)); err != nil || len(ids) != 2 {
		t.Errorf("age reads %d keys in it: %v", len(ids), err)
	}
	if !r.Leave("ann") || r.Leave("ann") || len(r.Members) != 1 {
		t.Error("who left is still there")
	}
	line := testKey(t, 1).Text() + "\n"
	for _, wrong := range []string{"", "\n", line, ringTitle, ringTitle + "\n" + line + line, ringTitle + "\n\n" + line, ringTitle + "\n" + line + nextMark + "\n",
		ringTitle + "\n" + strings.TrimSpace(line), ringTitle + "\n# something\n", ringTitle + "\n# reader ann\n", string(text) + "\n"} {
		if _, err := ParseRing([]byte(wrong)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
