package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// nobody is a channel that nobody publishes.
const nobody = "handful:ahfsdugg2le52dt5jhbxitx4qmpt4rqqmgasfq5n"

// testInput: whatever is wrong ends with its documented code, one line of error, one of hint, the same as JSON, and
// nothing lost and nothing half-written under a final name.
func testInput(t *testing.T, l *lab) {
	for name, test := range map[string]func(*testing.T, *lab){
		"links":                  testLinks,
		"paths to publish":       testPaths,
		"nobody there":           testNobody,
		"destinations":           testDestinations,
		"changed while hashed":   testChangedWhileHashed,
		"changed while seeded":   testChangedWhileSeeded,
		"killed while hashing":   testKilledWhileHashing,
		"state that is corrupt":  testCorrupt,
		"clock that is slow":     testSlowClock,
		"tracker that is gone":   testTrackerGone,
		"withdrawn":              testWithdrawn,
		"disks":                  testDisks,
		"path that is forbidden": testForbidden,
		"holder that is stopped": testStoppedHolder,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, l) })
	}
}

// fails waits for an end that is an error as documented, whose message has all the words. It returns the error.
func (p *process) fails(code int, words ...string) line {
	p.t.Helper()
	if got := p.wait(); got != code {
		p.t.Errorf("%s ended with %d, want %d\n%s", strings.Join(p.cmd.Args[1:], " "), got, code, p.tail())
		return line{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	stdout := strings.Split(strings.TrimSuffix(string(p.stdout), "\n"), "\n")
	var last line
	if err := json.Unmarshal([]byte(stdout[len(stdout)-1]), &last); err != nil || last.Type != "error" || last.Code != code || last.Message == "" {
		p.t.Errorf("the last line on stdout is %q, want an error with code %d", stdout[len(stdout)-1], code)
	}
	if last.Hint == "" {
		p.t.Errorf("there is no hint to %q", last.Message)
	}
	var errors, hints []string
	for text := range strings.Lines(string(p.stderr)) {
		if s, ok := strings.CutPrefix(text, p.name+": error: "); ok {
			errors = append(errors, strings.TrimSpace(s))
		}
		if s, ok := strings.CutPrefix(text, p.name+": hint: "); ok {
			hints = append(hints, strings.TrimSpace(s))
		}
	}
	if len(errors) != 1 || len(hints) != 1 || errors[0] != last.Message || hints[0] != last.Hint {
		p.t.Errorf("stderr has errors %q and hints %q, want one of each, those of %+v", errors, hints, last)
	}
	for _, word := range words {
		if !strings.Contains(last.Message+"\n"+last.Hint, word) {
			p.t.Errorf("%q, %q does not say %q", last.Message, last.Hint, word)
		}
	}
	return last
}

func testLinks(t *testing.T, l *lab) {
	s := l.local(t)
	for _, c := range []struct{ link, word string }{
		{nobody[:len(nobody)-1] + "0", "character 40 of the id is '0'"},
		{strings.Replace(nobody, "dugg", "dvgg", 1), "checksum"},
		{nobody[:len(nobody)-1], "39 characters"},
		{nobody + "/m/-1", "index"},
		{"handfull:" + strings.TrimPrefix(nobody, "handful:"), `unknown scheme "handfull:"`},
		{"ftp://example.org/x", `unknown scheme "ftp:"`},
		{"magnet:?xt=urn:btih:0123", "magnet"},
	} {
		s.start("fetch", c.link, "-o", s.path("out"), "--timeout", "1s").fails(2, c.word)
	}
	if left := names(t, s.dir); len(left) != 0 {
		t.Errorf("links that are wrong left %q", left)
	}
}

func testPaths(t *testing.T, l *lab) {
	s := l.local(t)
	there := writeFile(t, s.path("there.bin"), 1000)
	s.start("seed", "publish", there, s.path("gone.bin")).fails(10, "gone.bin", "no such file")
	s.start("seed", "publish", there+"/x").fails(14, "there.bin/x", "not a directory")
	s.start("fetch", s.path("gone.torrent"), "-o", s.path("out")).fails(10, "gone.torrent")
	s.start("fetch", there, "-o", s.path("out")).fails(2, "there.bin is no torrent file")
	s.start("fetch", "verify", s.path("gone.bin")).fails(10, "gone.bin")
}

func testNobody(t *testing.T, l *lab) {
	s := l.local(t)
	s.start("fetch", nobody+"?pe=127.0.0.1:1", "-o", s.path("out"), "--timeout", "1s", "--peer", "127.0.0.1:2").
		fails(10, "nothing after 1.0 s", "--peer", "--timeout")
	s.start("fetch", "magnet:?xt=urn:btih:"+strings.Repeat("0123456789", 4), "-o", s.path("out"), "--timeout", "1s").
		fails(10, "not even the metadata after 1.0 s", "--peer")
	s.start("fetch", "lan", "--timeout", "1s", "--iface", "none0").fails(10, "on offer")
	if left := names(t, s.path("out")); len(left) != 0 {
		t.Errorf("%q is in the destination", left)
	}
}

func testDestinations(t *testing.T, l *lab) {
	first, s := l.local(t), l.local(t)
	tree := first.path("tree")
	makeOddTree(t, tree, 2<<20)
	_, published := first.publish(tree)
	fetch := func(dest string, more ...string) *process {
		return s.start("fetch", append([]string{published.Link, "-o", s.path(dest)}, more...)...)
	}

	// A file where the directory would be.
	blocked := writeFile(t, s.path("blocked/tree"), 500)
	fetch("blocked").fails(14, "blocked/tree", "a file stands where a directory is needed")
	// The destination itself is a file, or below one.
	fetch("blocked/tree").fails(14, "blocked/tree")
	fetch("blocked/tree/below").fails(14, "blocked/tree")
	if info, err := os.Stat(blocked); err != nil || info.Size() != 500 {
		t.Errorf("the file that was in the way is %v, %v", info, err)
	}
	noLeftovers(t, s.path("blocked"))

	// Other content under the same name.
	other := writeFile(t, s.path("other/tree/many/mine.txt"), 700)
	fetch("other").fails(14, "other/tree", "--force")
	if got := names(t, s.path("other/tree")); len(got) != 1 {
		t.Errorf("what was there is now %q", got)
	}
	noLeftovers(t, s.path("other"))
	if code := fetch("other", "--force").wait(); code != 0 {
		t.Errorf("--force ended with %d", code)
	}
	sameTrees(t, tree, s.path("other/tree"))
	if _, err := os.Stat(other); err == nil {
		t.Errorf("%s was not replaced", other)
	}

	// What is there already is verified, not fetched again.
	done := s.fetched(published.Link, "-o", s.path("other"))
	if done.received() != 0 || done.Received["reused"] != done.Bytes {
		t.Errorf("what was there already was received: %v", done.Received)
	}
}

// hashing starts to publish a file that takes a while, and waits until it is being read.
func hashing(t *testing.T, s *side, path string) *process {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 3<<30); err != nil { // a hole: it takes no space
		t.Fatal(err)
	}
	p := s.start("seed", "publish", path)
	p.await("progress of hashing", func(l line) bool { return l.Type == "progress" && l.Stage == "hash" && l.Done < l.Total })
	return p
}

// nothingPublished checks that `seed ls` has nothing to say.
func nothingPublished(t *testing.T, s *side) {
	t.Helper()
	p := s.start("seed", "ls")
	if code := p.wait(); code != 0 {
		t.Fatalf("seed ls ended with %d\n%s", code, p.tail())
	}
	for _, l := range p.lines {
		if l.Link != "" {
			t.Errorf("seed ls lists %+v", l)
		}
	}
}

func testChangedWhileHashed(t *testing.T, l *lab) {
	s := l.local(t)
	path := s.path("growing.bin")
	p := hashing(t, s, path)
	if err := os.Truncate(path, 3<<30+1); err != nil {
		t.Fatal(err)
	}
	p.fails(1, "growing.bin", "changed")
	nothingPublished(t, s)
}

func testKilledWhileHashing(t *testing.T, l *lab) {
	s := l.local(t)
	path := s.path("news.bin")
	hashing(t, s, path).kill()
	nothingPublished(t, s)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, 300_001)
	_, published := s.publish(path)
	if published.Index != 0 {
		t.Errorf("the entry has index %d: something was signed before", published.Index)
	}
	other := l.local(t)
	other.fetched(published.Link, "-o", other.path("out"))
	sameFiles(t, path, other.path("out/news.bin"))
}

func testChangedWhileSeeded(t *testing.T, l *lab) {
	s := l.local(t)
	tree := s.path("tree")
	makeOddTree(t, tree, 1<<20)
	p, published := s.publish(tree)
	b, err := os.ReadFile(filepath.Join(tree, "second.bin"))
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(filepath.Join(tree, "second.bin"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	p.fails(1, filepath.Join("tree", "second.bin"), "changed", "publish it again")

	// What it is now can be published beside.
	_, again := s.publish(tree)
	if again.Link == published.Link || again.Index == published.Index {
		t.Errorf("published again as %+v, first as %+v", again, published)
	}
	other := l.local(t)
	other.fetched(again.Link, "-o", other.path("out"))
	sameTrees(t, tree, other.path("out/tree"))
}

func testCorrupt(t *testing.T, l *lab) {
	for name, damage := range map[string]func(b []byte) []byte{
		"cut short": func(b []byte) []byte { return b[:len(b)/2+100] },
		"text":      func([]byte) []byte { return []byte("this is no database\n") },
		"zeros":     func(b []byte) []byte { clear(b); return b },
		"first pages": func(b []byte) []byte {
			for i := range 8192 {
				b[i] ^= 0x5a
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := l.local(t)
			file := writeFile(t, s.path("news.bin"), 100_000)
			p, _ := s.publish(file)
			p.stop()
			db := s.path("state/seed/state.db")
			b, err := os.ReadFile(db)
			if err != nil {
				t.Fatal(err)
			}
			broken := damage(b)
			if err := os.WriteFile(db, broken, 0o600); err != nil {
				t.Fatal(err)
			}
			s.start("seed", "serve").fails(1, "state.db", "corrupt", "move")
			if now, err := os.ReadFile(db); err != nil || string(now) != string(broken) {
				t.Errorf("the damaged file was touched: %v", err)
			}
			// The repair that the hint names.
			if err := os.Rename(db, db+".away"); err != nil {
				t.Fatal(err)
			}
			_, published := s.publish(file)
			other := l.local(t)
			other.fetched(published.Link, "-o", other.path("out"))
		})
	}
}

// testSlowClock runs this test's own binary as a fetch whose clock is an hour behind; see TestMain.
func testSlowClock(t *testing.T, l *lab) {
	first, s := l.local(t), l.local(t)
	_, published := first.publish(writeFile(t, first.path("news.bin"), 100_000))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := "fetch-an-hour-behind"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	link := s.path(name)
	if err := os.Symlink(self, link); err != nil {
		t.Skip(err)
	}
	s.programs = map[string]string{"fetch": link}
	s.start("fetch", published.Link, "-o", s.path("out"), "--timeout", "3s").fails(12, "clock")
	if left := names(t, s.path("out")); len(left) != 0 {
		t.Errorf("%q is in the destination", left)
	}
	s.programs = nil
	s.fetched(published.Link, "-o", s.path("out"))
}

func testTrackerGone(t *testing.T, l *lab) {
	first, s := l.local(t), l.local(t)
	file := writeFile(t, first.path("news.bin"), 1<<20+1)
	p, published := first.publish(file, "--tracker", "http://127.0.0.1:1/announce")
	addr := p.await("listening", is("listening")).Addr
	head, _, _ := strings.Cut(published.Link, "?")
	s.fetched(head, "-o", s.path("out"), "--peer", addr, "--iface", "none0",
		"--tracker", "http://127.0.0.1:1/announce", "--tracker", "udp://127.0.0.1:1")
	sameFiles(t, file, s.path("out/news.bin"))
}

func testWithdrawn(t *testing.T, l *lab) {
	first, s := l.local(t), l.local(t)
	file := writeFile(t, first.path("news.bin"), 100_000)
	p, published := first.publish(file)
	// Handed to the node that publishes.
	w := first.start("seed", "withdraw", published.Link, "--reason", "a mistake")
	w.await("withdrawn", is("withdrawn"))
	if code := w.wait(); code != 0 {
		t.Errorf("withdraw ended with %d", code)
	}
	s.start("fetch", published.Link, "-o", s.path("out"), "--timeout", "30s").fails(10, "withdrawn", "a mistake")
	if left := names(t, s.path("out")); len(left) != 0 {
		t.Errorf("%q is in the destination", left)
	}
	first.start("seed", "withdraw", published.Link).fails(10, "it is withdrawn already")
	sameFiles(t, file, first.path("news.bin"))
	p.signal(syscall.SIGTERM)
	p.wait()

	// It stays withdrawn for the next node, and the same files may be published again.
	p, again := first.publish(file)
	addr := p.await("listening", is("listening")).Addr
	if again.Index == published.Index {
		t.Errorf("published again under the index that was withdrawn: %+v", again)
	}
	s.start("fetch", published.Link, "-o", s.path("out"), "--timeout", "30s", "--peer", addr).fails(10, "withdrawn")
	s.fetched(again.Link, "-o", s.path("out"))
	sameFiles(t, file, s.path("out/news.bin"))
}
