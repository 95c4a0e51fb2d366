package house

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// breaches are sources that break a rule, or come close to it. Each stands alone in a module; want is the rule that is
// broken and a part of the text, "" = none is.
var breaches = []struct{ name, path, src, want string }{
	{"engine in manifest", "manifest/a.go", `package manifest; import "handful/swarm"`, "layers: manifest imports swarm"},
	{"signing knows manifest", "signing/a.go", `package signing; import "handful/manifest"`, "layers: signing imports manifest"},
	{"manifest knows signing", "manifest/a.go", `package manifest; import "handful/signing"`, "they are on one floor"},
	{"manifest knows policy", "manifest/a.go", `package manifest; import "handful/swarm/policy"`, "it may know only [manifest/bencode]"},
	{"both know bencode", "signing/a.go", `package signing; import "handful/manifest/bencode"`, ""},
	{"policy knows bencode", "swarm/policy/a.go", `package policy; import "handful/manifest/bencode"`, "layers"},
	{"upwards", "swarm/store/a.go", `package store; import "handful/swarm"`, "it is on a higher floor"},
	{"sideways", "swarm/publish/a.go", `package publish; import "handful/swarm/follow"`, "they are on one floor"},
	{"node knows channel", "swarm/a.go", `package swarm; import "handful/swarm/channel"`, "layers"},
	{"channel knows node", "swarm/channel/a.go", `package channel; import "handful/swarm"`, ""},
	{"tests too", "swarm/store/a_test.go", `package store_test; import "handful/swarm/console"`, "layers"},
	{"external test", "swarm/store/a_test.go", `package store_test; import "handful/swarm/store"`, ""},
	{"command knows bench", "cmd/seed/a.go", `package main; import "handful/bench/rival"`, "layers"},
	{"test of a command drives clients", "cmd/seed/a_test.go", `package main; import "handful/bench/rival"`, ""},
	{"new package", "swarm/later/a.go", `package later`, "layers: package swarm/later is on no floor"},
	{"import of a new package", "swarm/a.go", `package swarm; import "handful/swarm/later"`, "it is on no floor"},

	{"clock", "signing/a.go", `package signing; import "time"; func f() { _ = time.Now() }`, "pure: signing uses time.Now"},
	{"clock as a value", "swarm/policy/a.go", `package policy; import clock "time"; var now = clock.Now`, "pure: swarm/policy uses time.Now"},
	{"timer", "manifest/a.go", `package manifest; import "time"; func f() { <-time.After(1) }`, "pure"},
	{"duration", "swarm/policy/a.go", `package policy; import "time"; const grace = 2 * time.Second`, ""},
	{"clock passed in", "signing/a.go", `package signing; import "time"; type s struct{ Now func() time.Time }; func f(time s) { _ = time.Now() }`, ""},
	{"test with a clock", "signing/a_test.go", `package signing; import "time"; func f() { _ = time.Now() }`, ""},
	{"global randomness", "swarm/policy/a.go", `package policy; import "math/rand/v2"; func f() { _ = rand.IntN(3) }`, "pure: swarm/policy uses math/rand/v2.IntN"},
	{"randomness passed in", "swarm/policy/a.go", `package policy; import "math/rand/v2"; func f(r *rand.Rand) { _ = r.IntN(3) }`, ""},
	{"secure randomness", "signing/a.go", `package signing; import "crypto/rand"`, "pure: signing imports crypto/rand"},
	{"log", "manifest/a.go", `package manifest; import "log/slog"`, "pure: manifest imports log/slog"},
	{"log of the node", "swarm/a.go", `package swarm; import "log/slog"`, ""},
	{"files in signing", "signing/a.go", `package signing; import "os"`, "pure: signing imports os"},
	{"files in manifest", "manifest/entry.go", `package manifest; import "os"`, "pure"},
	{"files in Build", "manifest/scan.go", `package manifest; import "os"`, ""},
	{"dialling", "signing/a.go", `package signing; import "net"; func f() { net.Dial("", "") }`, "pure: signing uses net.Dial"},
	{"address", "signing/a.go", `package signing; import "net"; func f() { net.SplitHostPort("") }`, ""},

	{"engine import", "swarm/console/a.go", `package console; import "github.com/anacrolix/torrent/metainfo"`, "engine: imports github.com/anacrolix/torrent/metainfo"},
	{"engine in a test", "swarm/console/a_test.go", `package console; import "github.com/anacrolix/torrent/metainfo"`, ""},
	{"Client import", "swarm/peers.go", `package swarm; import "github.com/anacrolix/torrent"`, "engine: imports the engine's Client"},
	{"Client import in a test", "swarm/a_test.go", `package swarm; import "github.com/anacrolix/torrent"; var c *torrent.PeerConn`, ""},
	{"Client in a test", "swarm/a_test.go", `package swarm; import "github.com/anacrolix/torrent"; var c *torrent.Client`, "engine: uses the engine's Client"},
	{"Client as somebody else's", "cmd/fetch/a_test.go", `package main; import "github.com/anacrolix/torrent"; var c *torrent.Client`, ""},
	{"Client in a second file", "swarm/link.go", `package swarm; import "github.com/anacrolix/torrent"; var c *torrent.Client`, "engine: uses the engine's Client"},
	{"connection in that file", "swarm/link.go", `package swarm; import "github.com/anacrolix/torrent"; var c *torrent.PeerConn`, ""},
	{"dot import", "swarm/engine.go", `package swarm; import . "github.com/anacrolix/torrent"`, "engine: dot import"},
	{"parameter", "swarm/a.go", engine(`func F(c []pp.Message) {}`), "engine: F shows"},
	{"result", "swarm/a.go", engine(`func F() (n int, c map[int]*pp.Message) { return }`), "engine: F shows"},
	{"method", "swarm/a.go", engine(`type T struct{}; func (t *T) M(pp.Message) {}`), "engine: M shows"},
	{"generic method", "swarm/a.go", engine(`type T[E any] struct{}; func (t *T[E]) M(pp.Message) {}`), "engine: M shows"},
	{"method of nobody", "swarm/a.go", engine(`type t struct{}; func (t *t) M(pp.Message) {}`), ""},
	{"unexported function", "swarm/a.go", engine(`func f(pp.Message) {}`), ""},
	{"inside a function", "swarm/a.go", engine(`func F() { var m pp.Message; _ = m }; var G = func() { var m pp.Message; _ = m }`), ""},
	{"exported field", "swarm/a.go", engine(`type T struct{ M pp.Message }`), "engine: T shows"},
	{"field of an inner struct", "swarm/a.go", engine(`type T struct{ In struct{ M []pp.Message } }`), "engine: T shows"},
	{"unexported field", "swarm/a.go", engine(`type T struct{ m pp.Message }`), ""},
	{"embedded", "swarm/a.go", engine(`type T struct{ pp.Message }`), "engine: T shows"},
	{"interface", "swarm/a.go", engine(`type T interface{ M(pp.Message) }`), "engine: T shows"},
	{"type parameter", "swarm/a.go", engine(`func F[M pp.Message](m M) {}`), "engine: F shows"},
	{"alias", "swarm/a.go", engine(`type m = pp.Message; func F(m) {}`), "engine: F shows"},
	{"variable", "swarm/a.go", engine(`var V = pp.Message{}`), "engine: V shows"},
	{"unexported variable", "swarm/a.go", engine(`var v = pp.Message{}`), ""},

	{"short doc", "swarm/store/b.go", "// Package store stores.\npackage store", "doc: the doc of package swarm/store has 1 lines"},
	{"no doc", "swarm/store/b.go", "package store", "doc"},
	{"long file", "swarm/store/a.go", "package store\n" + strings.Repeat("\n", 500), "size: 501 lines"},
	{"long enough file", "swarm/store/a.go", "package store\n" + strings.Repeat("\n", 499), ""},
	{"long test", "swarm/store/a_test.go", "package store\n" + strings.Repeat("\n", 500), "size: 501 lines"},
	{"long main", "cmd/seed/main.go", "package main\n" + strings.Repeat("\n", 60), "size: 61 lines, at most 60"},
	{"long function", "swarm/store/a.go", "package store\nfunc f() {" + strings.Repeat("\n", 80) + "}", "size: f has 81 lines"},
	{"long enough function", "swarm/store/a.go", "package store\nfunc f() {" + strings.Repeat("\n", 79) + "}", ""},
	{"long literal", "swarm/store/a.go", "package store\nvar f = func() {" + strings.Repeat("\n", 80) + "}", "size: func literal has 81 lines"},
	{"file name", "swarm/store/disk_util.go", "package store", `name: "util" says nothing`},
	{"test's name", "swarm/store/helpers_test.go", "package store", `name: "helpers" says nothing`},
	{"part of a word", "swarm/store/utility.go", "package store", ""},

	{"sleep", "swarm/store/a_test.go", `package store; import "time"; func TestA() { time.Sleep(1) }`, "sleep: time.Sleep in TestA"},
	{"sleep not in a test", "swarm/store/a.go", `package store; import "time"; func a() { time.Sleep(1) }`, ""},
	{"sleep in a bubble", "swarm/store/a_test.go", bubble(`func TestA(t *T) { synctest.Test(t, func(t *T) { time.Sleep(1) }) }`), ""},
	{"sleep beside a bubble", "swarm/store/a_test.go", bubble(`func TestA(t *T) { synctest.Test(t, nil); time.Sleep(1) }`), "sleep"},
	{"sleep in a bubble of ours", "swarm/store/a_test.go", bubble(`func in(f func()) { synctest.Test(nil, f) }; func TestA() { in(func() { time.Sleep(1) }) }`), ""},
}

func engine(src string) string {
	return `package swarm; import pp "github.com/anacrolix/torrent/peer_protocol"; ` + src
}

func bubble(src string) string {
	return `package store; import ("time"; "testing/synctest"); ` + src
}

// TestRulesFind shows that each rule finds what it forbids, and no more.
func TestRulesFind(t *testing.T) {
	for _, tt := range breaches {
		t.Run(tt.name, func(t *testing.T) {
			f, err := parse(tt.path, []byte(tt.src))
			if err != nil {
				t.Fatal(err)
			}
			files := []*file{f}
			if tt.path != "swarm/store/b.go" { // elsewhere the doc is there
				files = append(files, docOf(t, f))
			}
			var got []string
			for _, f := range check(files) {
				got = append(got, f.String())
			}
			if tt.want == "" && len(got) > 0 {
				t.Errorf("found %q, want nothing", got)
			}
			if tt.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, tt.want) }) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// docOf returns a doc.go for the package of f.
func docOf(t *testing.T, f *file) *file {
	t.Helper()
	at := f.dir() + "/doc.go"
	doc, err := parse(at, fmt.Appendf(nil, "// Package %s does this.\n//\n// It does so like that.\npackage %[1]s\n", f.tree.Name.Name))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
