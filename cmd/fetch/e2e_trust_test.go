package main_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"handful/bench/netns"
)

// quiet makes sides on one Ethernet segment that passes no multicast on: who is not told an
// address meets nobody.
func quiet(t *testing.T, l *lab, network string, count int) []*side {
	t.Helper()
	prefix := netip.MustParsePrefix(network)
	b, err := l.network(t).Bridge(t.Context(), netns.BridgeOptions{Addr: prefix})
	if err != nil {
		t.Fatal(err)
	}
	var all []*side
	addr := prefix.Addr()
	for range count {
		addr = addr.Next()
		h, err := b.Host(t.Context(), netns.HostOptions{Addr: netip.PrefixFrom(addr, prefix.Bits())})
		if err != nil {
			t.Fatal(err)
		}
		s := l.side(t, h.Namespace())
		s.listen = netip.AddrPortFrom(addr, 6881).String()
		all = append(all, s)
	}
	return all
}

// ended runs a command to its end, which must be with a code.
func (s *side) ended(code int, name string, args ...string) *process {
	s.t.Helper()
	p := s.start(name, args...)
	if got := p.wait(); got != code {
		s.t.Fatalf("%s %q ended with %d, want %d\n%s", name, args, got, code, p.tail())
	}
	return p
}

// find returns the first line of a command that has ended; it must be there.
func (p *process) find(what string, ok func(line) bool) line {
	p.t.Helper()
	return p.await(what, ok)
}

// standing is what `fetch trust` says of a writer.
func (p *process) standing(writer string) line {
	p.t.Helper()
	return p.find("standing of "+writer, func(l line) bool { return l.Type == "standing" && l.Writer == writer })
}

func entryWith(title string) func(line) bool {
	return func(l line) bool { return l.Type == "entry" && (l.Title == title || l.Text == title) }
}

// copyDir copies a tree, with its modes.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		case d.Type().IsRegular():
			copyFile(t, path, filepath.Join(to, rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testTwoHistories: a publisher runs beside its own backup, each is seen by one follower.
// When these two meet, both say that the channel is forked, and what each writes down proves
// it on a third machine that has no network.
func testTwoHistories(t *testing.T, l *lab) {
	sides := quiet(t, l, "10.91.0.1/24", 4)
	original, backup, first, second := sides[0], sides[1], sides[2], sides[3]
	channel := original.ended(0, "seed", "post", "the same", "--no-wait").find("posted", is("posted")).Channel
	copyDir(t, original.path("state"), backup.path("state"))
	stop := map[*side]*process{}
	for _, at := range []struct {
		publisher, follower *side
		text                string
		entries             int64
	}{{original, first, "what one shows", 2}, {backup, second, "what the other shows", 2}} {
		serving := at.publisher.start("seed", "post", at.text)
		serving.await("posted", is("posted"))
		trust := at.follower.ended(0, "fetch", "trust", channel, "--peer", at.publisher.listen)
		if s := trust.standing("m"); s.State != "fresh" || s.Entries != at.entries || s.Sources != 1 {
			t.Errorf("of one history: %+v", s)
		}
		stop[at.publisher] = serving
	}
	for _, p := range stop {
		p.stop()
	}

	following := first.start("fetch", "follow", "handful:"+channel)
	following.await("listening", is("listening"))
	if s := second.ended(12, "fetch", "trust", channel, "--peer", first.listen).standing("m"); s.State != "forked" {
		t.Errorf("the one that comes says %+v", s)
	}
	if s := first.ended(12, "fetch", "trust", channel).standing("m"); s.State != "forked" {
		t.Errorf("the one that was there says %+v", s)
	}
	following.signal(os.Interrupt)
	following.wait()

	lone, err := l.network(t).Lone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	third := l.side(t, lone.Namespace())
	for i, s := range []*side{first, second} {
		file := third.path(fmt.Sprint("evidence ", i))
		s.ended(0, "fetch", "trust", "evidence", channel, "-o", s.path("evidence"))
		b, err := os.ReadFile(s.path("evidence"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		got := third.ended(0, "fetch", "verify", "--proof", file).find("evidence", is("evidence"))
		if got.Channel != channel || got.Writer != "m" || len(got.Heads) != 2 || got.Heads[0].Entries != 2 {
			t.Errorf("the evidence says %+v", got)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		third.ended(12, "fetch", "verify", "--proof", file)
	}
}

// keyPair makes an Ed25519 key as openssl writes it, NAME.pem and NAME.pub.
func (s *side) keyPair(name string) {
	s.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		s.t.Fatal(err)
	}
	writeBytes(s.t, s.path(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
	if b, err = x509.MarshalPKIXPublicKey(public); err != nil {
		s.t.Fatal(err)
	}
	writeBytes(s.t, s.path(name+".pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b}))
}

func writeBytes(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ceremony signs a payload with keys of the side, and puts the document into force.
func (s *side) ceremony(payload string, keys ...string) {
	s.t.Helper()
	args := []string{"root", "add"}
	for _, k := range keys {
		sig := payload + "." + k + ".sig"
		s.ended(0, "seed", "sign", payload, "--key", k+".pem", "--yes", "-o", sig)
		args = append(args, sig)
	}
	s.ended(0, "seed", args...).find("document in force", is("document"))
}

// testYears is the life of an organisation's channel: two of three root keys rotate them
// twice, the second time because the online key was stolen; a writer comes and goes. One
// follower is there the whole time, one is killed and started again at each step, one is away
// from the first step to the last. All end with the same, and fresh; what the thief published
// is gone.
func testYears(t *testing.T, l *lab) {
	sides := quiet(t, l, "10.92.0.1/24", 6)
	owner, alice, thief, always, restarted, away := sides[0], sides[1], sides[2], sides[3], sides[4], sides[5]
	for _, k := range []string{"a", "b", "c", "d"} {
		owner.keyPair(k)
	}
	owner.ended(0, "seed", "init", "--title", "Years", "--root", "a.pub,b.pub,c.pub", "--need", "2", "--max-age", "1h")
	owner.ceremony("1.root.payload", "a", "c")
	serving := owner.start("seed", "serve")
	serving.await("listening", is("listening"))
	channel := owner.ended(0, "seed", "post", "one").find("posted", is("posted")).Channel
	link := "handful:" + channel
	here := always.start("fetch", "follow", link, "--peer", owner.listen)
	here.await("the first entry", entryWith("one"))
	away.ended(0, "fetch", "trust", link, "--peer", owner.listen)
	again := func(title string) { // the restarted one hears of it, and is killed
		t.Helper()
		p := restarted.start("fetch", "follow", link, "--peer", owner.listen, "--peer", always.listen)
		p.await("entry "+title, entryWith(title))
		p.kill()
	}
	again("one")
	said := func(by *side, title string) {
		t.Helper()
		by.ended(0, "seed", "post", title)
		here.await("entry "+title, entryWith(title))
		again(title)
	}

	owner.ended(0, "seed", "root", "edit", "--drop", "a.pub", "--add", "d.pub")
	owner.ceremony("2.root.payload", "b", "c")
	said(owner, "two")

	alice.ended(0, "seed", "writer", "join", link, "alice")
	copyFile(t, alice.path("alice.pub"), owner.path("alice.pub"))
	owner.ended(0, "seed", "writer", "add", "alice", "alice.pub")
	writing := alice.start("seed", "post", "by alice", "--peer", owner.listen, "--peer", always.listen)
	writing.await("posted", is("posted"))
	here.await("what alice says", entryWith("by alice"))
	again("by alice")

	owner.ended(0, "seed", "key", "export", owner.path("stolen.keys"))
	copyFile(t, owner.path("stolen.keys"), thief.path("stolen.keys"))
	thief.ended(0, "seed", "key", "import", "stolen.keys")
	robbing := thief.start("seed", "post", "-c", channel, "stolen", "--peer", always.listen)
	robbing.await("posted", is("posted"))
	thief.ended(0, "seed", "post", "-c", channel, "stolen, the second")
	thief.ended(0, "seed", "post", "-c", channel, "stolen, the last") // the owner's next have the same indexes
	here.await("the stolen entries", entryWith("stolen, the last"))
	again("stolen, the last")
	good := always.ended(0, "fetch", "trust", link).standing("m").Entries - 3
	robbing.kill()

	owner.ended(0, "seed", "key", "compromise", "--good", fmt.Sprint(good))
	owner.ceremony("3.root.payload", "b", "d")
	said(owner, "three")
	said(alice, "more by alice")
	owner.ended(0, "seed", "writer", "revoke", "alice")
	said(owner, "four")
	writing.stop()

	sameEnds(t, good, map[string]*process{
		"always there": always.ended(0, "fetch", "trust", link),
		"restarted":    restarted.ended(0, "fetch", "trust", link, "--peer", owner.listen),
		"away":         away.ended(0, "fetch", "trust", link, "--peer", always.listen),
	})
	here.kill()
	for name, s := range map[string]*side{"who was always there": always, "who was restarted": restarted, "who was away": away} {
		last := s.ended(0, "fetch", "follow", link, "--once", "--last", "50", "--peer", owner.listen)
		for _, title := range []string{"one", "two", "three", "four"} {
			last.find(title, entryWith(title))
		}
		if slices.ContainsFunc(last.lines, func(l line) bool { return l.Type == "entry" && strings.HasPrefix(l.Text, "stolen") }) {
			t.Errorf("%s is shown a stolen entry", name)
		}
	}
	serving.stop()
}

// sameEnds compares what followers know in the end, of a channel whose first good entries
// were not taken back.
func sameEnds(t *testing.T, good int64, ends map[string]*process) {
	t.Helper()
	want, documents := ends["always there"].standing("m"), ends["always there"].find("trust", is("trust"))
	if documents.Targets != 3 { // added, granted anew after the compromise, revoked
		t.Errorf("version %d of the targets document is in force", documents.Targets)
	}
	for name, p := range ends {
		trust, m := p.find("trust", is("trust")), p.standing("m")
		if trust.State != "fresh" || m.State != "fresh" || len(trust.Roots) != 3 || trust.Targets != documents.Targets ||
			m.Entries != want.Entries || m.RootHash != want.RootHash {
			t.Errorf("%s ends with %+v\n%+v\nnot with %+v", name, trust, m, want)
		}
		for _, r := range trust.Roots {
			if r.Need != 2 || r.Keys != 3 {
				t.Errorf("%s has a root document with other keys than three of which two sign: %+v", name, trust.Roots)
			}
		}
		if name == "away" {
			continue // it never saw what was stolen, nor alice
		}
		if a := p.standing("alice"); a.State != "withdrawn" || a.Entries != 2 {
			t.Errorf("%s says of alice %+v", name, a)
		}
		if len(m.Taken) != 1 || m.Taken[0].First != good || m.Taken[0].Version != 3 {
			t.Errorf("%s does not say what was taken back: %+v", name, m)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeBytes(t, to, b)
}

// testKill kills a follower again and again while the publisher goes on. What it said before
// it was killed it holds after, it never falls back, and in the end it has everything once.
func testKill(t *testing.T, l *lab) {
	sides := quiet(t, l, "10.93.0.1/24", 2)
	publisher, follower := sides[0], sides[1]
	serving := publisher.start("seed", "serve")
	serving.await("listening", is("listening"))
	channel := publisher.ended(0, "seed", "post", "0").find("posted", is("posted")).Channel
	link := "handful:" + channel
	const rounds = 8
	held := int64(0)
	for i := range rounds {
		p := follower.start("fetch", "follow", link, "--peer", publisher.listen)
		posting := make(chan struct{})
		go func() { // while it starts, listens, takes and writes
			defer close(posting)
			for n := range 3 {
				q := publisher.start("seed", "post", fmt.Sprintf("%d.%d", i, n))
				<-q.ended
			}
		}()
		p.await("an entry", func(l line) bool { return l.Type == "entry" && int64(l.Index) >= held })
		p.kill()
		p.mu.Lock()
		shown := int64(-1)
		for _, l := range p.lines {
			if l.Type == "entry" {
				shown = max(shown, int64(l.Index))
			}
		}
		p.mu.Unlock()
		s := follower.ended(0, "fetch", "trust", link, "--offline").standing("m")
		if s.Entries <= shown || s.Entries < held || s.State != "fresh" {
			t.Errorf("round %d: entry %d was shown and %d were held, now it holds %+v", i, shown, held, s)
		}
		held = s.Entries
		<-posting
	}
	end := follower.ended(0, "fetch", "trust", link, "--peer", publisher.listen).standing("m")
	if end.Entries != 1+3*rounds || end.State != "fresh" {
		t.Errorf("in the end it holds %+v", end)
	}
	for _, name := range names(t, filepath.Join(follower.path("state"), "fetch", "trust")) {
		if name != channel+".trust" {
			t.Errorf("left behind is %s", name)
		}
	}
	serving.stop()
}
