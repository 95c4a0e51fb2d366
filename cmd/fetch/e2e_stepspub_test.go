package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// publisherSteps are the commands that sign.
func publisherSteps() []stepCase {
	return []stepCase{{
		name: "the first post", program: "seed", args: []string{"post", "--no-wait", "one"}, least: 60,
		prepare: func(t *testing.T, base *side) []string { return nil },
		killed:  acknowledged, again: once("one", 2),
	}, {
		name: "post", program: "seed", args: []string{"post", "--no-wait", "four"}, least: 25,
		prepare: threePosts, killed: acknowledged, again: once("four", 2),
	}, {
		name: "publish", program: "seed", args: []string{"publish", "--no-wait", "tree"}, least: 30,
		prepare: func(t *testing.T, base *side) []string {
			writeFile(t, base.path("tree", "a.bin"), 300_001)
			return threePosts(t, base)
		}, killed: acknowledged, again: once("tree", 2),
	}, {
		name: "feed import", program: "seed", args: []string{"feed", "import", "--no-wait", "feed.json"}, least: 60,
		prepare: func(t *testing.T, base *side) []string {
			var items []string
			for i := range 3 {
				items = append(items, fmt.Sprintf(`{"id":"%d","title":"item-%[1]d","content_text":"text","date_published":"2026-01-0%dT00:00:00Z"}`, i, i+1))
			}
			feed := `{"version":"https://jsonfeed.org/version/1.1","title":"F","items":[` + strings.Join(items, ",") + `]}`
			if err := os.WriteFile(base.path("feed.json"), []byte(feed), 0o600); err != nil {
				t.Fatal(err)
			}
			return threePosts(t, base)
		},
		killed: acknowledged,
		again: func(t *testing.T, _, s *side, _ *process) {
			_, l := goesOn(t, s)
			if got := texts(t, l, "item-0", "item-1", "item-2"); !slices.Equal(got, []string{"item-0", "item-1", "item-2"}) {
				t.Errorf("the items stand there as %q", got)
			}
		},
	}, withdrawSteps(), ceremonySteps(), initSteps()}
}

// documentSteps are the commands that make documents which say who may write.
func documentSteps() []stepCase {
	return []stepCase{{
		name: "key rotate", program: "seed", args: []string{"key", "rotate"}, least: 20,
		prepare: threePosts, killed: acknowledged, again: keeps("one", "two", "three"),
	}, {
		name: "key compromise", program: "seed", args: []string{"key", "compromise", "--good", "2"}, least: 30,
		prepare: threePosts, killed: acknowledged,
		again: func(t *testing.T, _, s *side, _ *process) {
			w, l := goesOn(t, s)
			if got := texts(t, l, "one", "two", "three"); !slices.Equal(got, []string{"one", "two"}) {
				t.Errorf("the entries are %q", got)
			}
			if len(w.trust.Withdrawn("m")) == 0 {
				t.Error("nothing is withdrawn")
			}
		},
	}, {
		name: "root edit", program: "seed", args: []string{"root", "edit", "--title", "Another"}, least: 20,
		prepare: threePosts, killed: acknowledged,
		again: func(t *testing.T, _, s *side, _ *process) {
			if w, _ := goesOn(t, s); w.keys.Newest().Title() != "Another" {
				t.Errorf("the title is %q", w.keys.Newest().Title())
			}
		},
	}, {
		name: "writer add", program: "seed", args: []string{"writer", "add", "alice", "alice.pub"}, least: 20,
		prepare: func(t *testing.T, base *side) []string {
			(&holders{t: t, side: base}).key("alice")
			return threePosts(t, base)
		}, killed: acknowledged,
		again: func(t *testing.T, _, s *side, _ *process) {
			_, l := goesOn(t, s)
			if at, _, version := l.Grant(); at < 0 || version < 1 {
				t.Errorf("version %d is granted by entry %d", version, at)
			}
		},
	}, {
		name: "writer revoke", program: "seed", args: []string{"writer", "revoke", "alice"}, least: 20,
		prepare: func(t *testing.T, base *side) []string {
			(&holders{t: t, side: base}).key("alice")
			threePosts(t, base)
			base.ended(0, "seed", "writer", "add", "alice", "alice.pub")
			base.ended(0, "seed", "post", "--no-wait", "four")
			look(t, base)
			return nil
		},
		codes:  []int{10}, // there is no such writer any more
		killed: acknowledged,
		again: func(t *testing.T, _, s *side, _ *process) {
			_, l := goesOn(t, s)
			if at, _, version := l.Grant(); at < 0 || version != 2 {
				t.Errorf("version %d is granted by entry %d", version, at)
			}
			if out := string(s.run("seed", "writer", "ls")); strings.Contains(out, "alice") {
				t.Errorf("the writers are %s", out)
			}
		},
	}}
}

// withdrawSteps: something that was published is taken back by its publisher.
func withdrawSteps() stepCase {
	return stepCase{
		name: "withdraw", program: "seed", args: []string{"withdraw", "3", "--reason", "by mistake"}, least: 20,
		prepare: func(t *testing.T, base *side) []string {
			threePosts(t, base)
			writeFile(t, base.path("tree", "a.bin"), 300_001)
			base.ended(0, "seed", "publish", "--no-wait", "tree")
			look(t, base)
			return nil
		},
		codes:  []int{10}, // nothing is published there any more
		killed: acknowledged,
		again: func(t *testing.T, _, s *side, _ *process) {
			_, l := goesOn(t, s)
			if n := len(texts(t, l, "by mistake")); n != 1 {
				t.Errorf("it is withdrawn %d times", n)
			}
			if out := string(s.run("seed", "ls")); strings.Contains(out, "tree") {
				t.Errorf("still published are %s", out)
			}
		},
	}
}

// initSteps: a channel is made whose keys are held by others.
func initSteps() stepCase {
	return stepCase{
		name: "init", program: "seed", args: []string{"init", "-c", "acme", "--root", "a.pub,b.pub", "--need", "2"}, least: 20,
		prepare: func(t *testing.T, base *side) []string {
			h := &holders{t: t, side: base}
			h.key("a")
			h.key("b")
			return nil
		},
		codes:  []int{14}, // there is such a channel already
		killed: func(*testing.T, *side, *side, *process) {},
		again: func(t *testing.T, _, s *side, _ *process) {
			h := &holders{t: t, side: s}
			payload, err := filepath.Glob(s.path("1.root.payload"))
			if err != nil || len(payload) != 1 {
				t.Fatalf("nothing to sign: %q, %v", payload, err)
			}
			s.ended(0, "seed", append([]string{"root", "add", "-c", "acme"}, h.signs(payload[0], "a", "b")...)...)
			s.ended(0, "seed", "post", "-c", "acme", "--no-wait", "and on it goes")
			look(t, s)
		},
	}
}

// ceremonySteps: a root document that two people have signed is taken in.
func ceremonySteps() stepCase {
	return stepCase{
		name: "root add", program: "seed", args: []string{"root", "add", "-c", "acme"}, least: 20,
		prepare: func(t *testing.T, base *side) []string {
			h := &holders{t: t, side: base}
			a, b, c := h.key("a"), h.key("b"), h.key("c")
			base.run("seed", "init", "-c", "acme", "--root", a+","+b, "--need", "2")
			base.run("seed", append([]string{"root", "add", "-c", "acme"}, h.signs(base.path("1.root.payload"), "a", "b")...)...)
			base.run("seed", "post", "-c", "acme", "--no-wait", "one")
			look(t, base)
			base.run("seed", "root", "edit", "-c", "acme", "--drop", a, "--add", c)
			return h.signs(base.path("2.root.payload"), "a", "b", "c")
		},
		killed: acknowledged,
		again: func(t *testing.T, _, s *side, _ *process) {
			s.ended(0, "seed", "post", "-c", "acme", "--no-wait", "two")
			w, l, _ := look(t, s)
			if got := texts(t, l, "one", "two"); !slices.Equal(got, []string{"one", "two"}) || w.keys.Newest().Version() != 2 {
				t.Errorf("the entries are %q, the root document is version %d", got, w.keys.Newest().Version())
			}
		},
	}
}

func threePosts(t *testing.T, base *side) []string {
	for _, text := range []string{"one", "two", "three"} {
		base.ended(0, "seed", "post", "--no-wait", text)
	}
	look(t, base)
	return nil
}

// acknowledged: what the killed command has said to be published is in the log, and signed.
func acknowledged(t *testing.T, _, s *side, p *process) {
	t.Helper()
	_, l, ok := look(t, s)
	for _, said := range p.lines {
		if said.Type != "posted" && said.Type != "published" {
			continue
		}
		if !ok || int64(said.Index) >= l.Head().Size {
			t.Fatalf("%+v was said, and is not there", said)
		}
		if e, err := l.Entry(int64(said.Index)); err != nil || !strings.Contains(string(e), said.Title) {
			t.Errorf("entry %d is %q, not %q: %v", said.Index, e, said.Title, err)
		}
	}
}

// once: what was said is in the log at least once and at most so many times, since who was not answered says it again.
func once(text string, most int) func(*testing.T, *side, *side, *process) {
	return func(t *testing.T, _, s *side, _ *process) {
		t.Helper()
		_, l := goesOn(t, s)
		if n := len(texts(t, l, text)); n < 1 || n > most {
			t.Errorf("%q stands there %d times", text, n)
		}
	}
}

// keeps: no entry is lost, and none is there twice.
func keeps(words ...string) func(*testing.T, *side, *side, *process) {
	return func(t *testing.T, _, s *side, _ *process) {
		t.Helper()
		if _, l := goesOn(t, s); !slices.Equal(texts(t, l, words...), words) {
			t.Errorf("the entries are %q", texts(t, l, words...))
		}
	}
}
