package feed

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"handful/manifest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestPost(t *testing.T) {
	it := Item{
		ID: "urn:1", Title: "Tea", Link: "https://x.example/1", Author: "Ann", Published: noon, Updated: noon.Add(time.Hour),
		Summary: "short", Content: "long text", ContentHTML: "<p>long text</p>", Tags: []string{"a", "b"},
		Attachments: []manifest.Attachment{{URL: "https://x.example/a"}},
	}
	want := manifest.Post{
		Head: manifest.Header{Time: noon.UnixMilli()}, Title: "Tea", Body: "long text", ID: "urn:1", Link: "https://x.example/1", Author: "Ann",
		Published: noon.UnixMilli(), Updated: noon.Add(time.Hour).UnixMilli(), Tags: []string{"a", "b"}, Attachments: it.Attachments,
	}
	if got := Post(it, PostOptions{Time: noon}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, tt := range []struct {
		name string
		it   Item
		want manifest.Post
	}{
		{"summary only", Item{ID: "1", Title: "t", Summary: "s"}, manifest.Post{ID: "1", Title: "t", Body: "s"}},
		{"title is the text", Item{ID: "1", Title: "t", Content: "t"}, manifest.Post{ID: "1", Title: "t"}},
		{"text only", Item{ID: "1", Content: "t"}, manifest.Post{ID: "1", Body: "t"}},
		{"link only", Item{ID: "1", Link: "http://x/"}, manifest.Post{ID: "1", Title: "http://x/", Link: "http://x/"}},
		{"nothing", Item{ID: "1"}, manifest.Post{ID: "1", Title: "(untitled)"}},
		{"not updated", Item{ID: "1", Title: "t", Published: noon, Updated: noon}, manifest.Post{ID: "1", Title: "t", Published: noon.UnixMilli()}},
	} {
		tt.want.Head.Time = noon.UnixMilli()
		if got := Post(tt.it, PostOptions{Time: noon}); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// TestPostFits makes posts of everything that is largest, and of everything else.
func TestPostFits(t *testing.T) {
	big := Item{ID: strings.Repeat("i", maxID), Title: strings.Repeat("t", maxTitle), Link: "http://x/" + strings.Repeat("l", maxLink-9), Author: strings.Repeat("a", maxName), Published: noon}
	big.Content = strings.Repeat("words and words\n\n", maxText/17)
	for range maxTags {
		big.Tags = append(big.Tags, strings.Repeat("g", maxTag))
	}
	for range maxAttachments {
		big.Attachments = append(big.Attachments, manifest.Attachment{URL: big.Link, Type: strings.Repeat("m", maxTag), Name: strings.Repeat("n", maxName), Size: maxNumber})
	}
	for _, size := range []int{0, 1 << 20, MaxPost, 8000, 2000, ShortPost, 1} {
		p := Post(big, PostOptions{Time: noon, Size: size})
		if p.Head.Pointers = (manifest.Pointers{Root: maxNumber, Grant: maxNumber, Archive: maxNumber, Rekey: maxNumber}); p.ID != big.ID {
			t.Errorf("size %d: the id was cut", size)
		}
		b, err := manifest.EncodeEntry(p)
		if err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		if most := min(size, MaxPost); most > 1000 && len(b) > most+100 {
			t.Errorf("size %d: %d bytes", size, len(b))
		}
		if size == 0 && (!strings.HasSuffix(p.Body, " […]") || len(b) < manifest.MaxEntry-400) {
			t.Errorf("%d bytes, %.30q", len(b), p.Body[max(len(p.Body)-30, 0):])
		}
	}
	small := Item{ID: "https://x.example/2026/03/a-day", Title: "A day", Link: "https://x.example/2026/03/a-day", Content: strings.Repeat("some words ", 200)}
	p := Post(small, PostOptions{Time: noon, Size: ShortPost})
	if b := p.Bytes(); len(b) > ShortPost || len(b) < ShortPost-20 || !strings.HasSuffix(p.Body, "some […]") && !strings.HasSuffix(p.Body, "words […]") || p.Link == "" {
		t.Errorf("%d bytes: %q", len(b), b)
	}
	for n := range 60 {
		s := cutText(strings.Repeat("é世 ", 20), n)
		if len(s) > n || !utf8.ValidString(s) {
			t.Errorf("%d: %q", n, s)
		}
	}
}

func items(titles ...string) []Item { // newest first, "ID title"
	var out []Item
	for i, s := range titles {
		id, title, _ := strings.Cut(s, " ")
		out = append(out, Item{ID: id, Title: title, Published: noon.Add(-time.Duration(i) * time.Hour)})
	}
	return out
}

// said shows changes as "ID title", those of a known item with a star.
func said(changes []Change) string {
	var out []string
	for _, c := range changes {
		s := c.Post.ID + " " + c.Post.Title
		if c.Changed {
			s += "*"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func TestPlan(t *testing.T) {
	o := PlanOptions{PostOptions: PostOptions{Time: noon.Add(time.Hour)}}
	var s State
	var changes []Change
	step := func(name, want string, titles ...string) {
		t.Helper()
		before := EncodeState(s)
		var after State
		changes, after = Plan(items(titles...), s, o)
		if got := said(changes); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if !bytes.Equal(before, EncodeState(s)) {
			t.Errorf("%s: the state before was changed", name)
		}
		s = after
	}
	step("first, oldest first", "a A, b B", "b B", "a A")
	step("again", "", "b B", "a A")
	step("other order", "", "a A", "b B")
	step("one more", "c C", "c C", "b B", "a A")
	step("one changed, one gone", "b B2*", "c C", "b B2")
	if len(changes) != 1 || changes[0].Post.Updated != o.Time.UnixMilli() {
		t.Errorf("a change without date is of now: %+v", changes)
	}
	step("one is back", "", "c C", "a A")
	step("twice in one document", "d D", "d D", "d old")

	// A crash after the log and before the state: the log knows.
	crashed := State{}.Remember(manifest.Post{ID: "a", Title: "A"}, manifest.Post{Title: "of our own"})
	changes, s = Plan(items("b B", "a A"), crashed, o)
	if got := said(changes); got != "b B" {
		t.Errorf("after a crash: %q", got)
	}
	step("and later", "a A2*", "b B", "a A2")
	if len(crashed.Items) != 1 {
		t.Errorf("remembered %v", crashed.Items)
	}
	// The same for a change: the newest post says it. Back to an older wording is a change.
	now := items("b B", "a A3")
	changes, _ = Plan(now, s, o)
	crashed = s.Remember(manifest.Post{ID: "a", Title: "A2"}, changes[0].Post)
	if again, _ := Plan(now, crashed, o); said(changes) != "a A3*" || len(again) != 0 {
		t.Errorf("a change after a crash: %q, again %q", said(changes), said(again))
	}
	if changes, _ = Plan(items("b B", "a A2"), crashed, o); said(changes) != "" { // s had A2: for it nothing has changed
		t.Errorf("as the state has it: %q", said(changes))
	}

	for _, source := range []string{"http://x.example/", "http://y.example/"} {
		changes, after := Plan(items("17 A", "urn:b B"), State{Source: source}, o)
		if len(changes) != 2 || changes[0].Post.ID != "urn:b" || changes[1].Post.ID != hashID("of", source, "17") {
			t.Errorf("ids of %s: %q", source, said(changes))
		}
		if changes, _ := Plan(items("17 A", "urn:b B"), after.Remember(changes[0].Post), o); len(changes) != 0 {
			t.Errorf("again: %q", said(changes))
		}
	}

	o.Newest = 2
	s = State{}
	step("first import of many", "b B, c C", "c C", "b B", "a A")
	others := State{Source: "http://z.example/"}.Remember(manifest.Post{ID: "urn:of:another:source", Title: "old"})
	changes, others = Plan(items("c C", "b B", "a A"), others, o)
	if got := said(changes); got != hashID("of", others.Source, "b")+" B, "+hashID("of", others.Source, "c")+" C" {
		t.Errorf("first import into a channel that has posts of others: %q", got)
	}
	if others.Known() != 3 || len(others.Items) != 4 {
		t.Errorf("of its own it has %d items of %d", others.Known(), len(others.Items))
	}
	step("of which the rest is known", "d D, e E, f F", "f F", "e E", "d D", "a A")
	if changes, _ := Plan([]Item{{ID: "1", Title: "new"}, {ID: "2", Title: "old", Published: noon}}, State{}, o); said(changes) != "2 old, 1 new" {
		t.Errorf("without dates: %q", said(changes))
	}
}

func TestPlanForgets(t *testing.T) {
	var s State
	for round := range 15 {
		var batch []Item
		for i := range MaxItems {
			batch = append(batch, Item{ID: fmt.Sprintf("%d-%d", round, i), Title: "t"})
		}
		_, s = Plan(batch, s, PlanOptions{})
	}
	if len(s.Items) != maxRemembered+MaxItems {
		t.Errorf("%d ids", len(s.Items))
	}
	if _, ok := s.Items["14-0"]; !ok {
		t.Error("what is in the document was forgotten")
	}
	if _, ok := s.Items["0-0"]; ok {
		t.Error("what was gone for longest was not forgotten")
	}
	again, err := ParseState(EncodeState(s))
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("read back: %d items, %v", len(again.Items), err)
	}
}

func FuzzParseState(f *testing.F) {
	_, s := Plan(items("b B", "a A"), State{Validators: Validators{URL: "http://x/", ETag: `"1"`, NotBefore: noon}}, PlanOptions{})
	f.Add(EncodeState(s))
	f.Add([]byte(`{"items":{"a":{"round":1}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseState(b)
		if err == nil && !bytes.Equal(EncodeState(s), b) {
			t.Fatalf("prints back differently: %q", b)
		}
	})
}
