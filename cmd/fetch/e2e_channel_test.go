package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What of an organisation's channel runs as its people would.

// trustLine is what is read of the lines of `fetch trust`.
type trustLine struct {
	Type, State, Writer, Signed string
	Entries, Targets            int64
	Roots                       []struct{ Version, Need, Keys int }
	Withdrawn                   []struct{ First, Last, Version int64 }
	Closed                      bool
}

// known is what a follower knows of a channel.
type known struct {
	root      int
	targets   int64
	writers   map[string]trustLine
	withdrawn int
}

// trust asks for the channel as a user does, and returns what is known then.
func (s *side) trust(link string) known {
	s.t.Helper()
	k := known{writers: map[string]trustLine{}}
	for _, l := range linesOf[trustLine](s.t, s.run("fetch", "trust", link)) {
		switch l.Type {
		case "trust":
			k.targets = l.Targets
			for _, r := range l.Roots {
				k.root = max(k.root, r.Version)
			}
		case "standing":
			k.writers[l.Writer] = l
			k.withdrawn += len(l.Withdrawn)
		}
	}
	return k
}

// trustUntil asks until what is known is as wanted: followers are told, not commanded.
func (s *side) trustUntil(link, what string, want func(known) bool) known {
	s.t.Helper()
	var k known
	for range 20 {
		if k = s.trust(link); want(k) {
			return k
		}
	}
	s.t.Fatalf("%s: %+v", what, k)
	return k
}

// run runs a command to its end, which must be a good one, and returns its output.
func (s *side) run(name string, args ...string) []byte {
	s.t.Helper()
	out, code := s.ends(name, args...)
	if code != 0 {
		s.t.Fatalf("%s %q ended with %d\n%s", name, args, code, out)
	}
	return out
}

// ends runs a command to its end and returns its output and exit code.
func (s *side) ends(name string, args ...string) ([]byte, int) {
	s.t.Helper()
	p := s.start(name, args...)
	code := p.wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.stdout), code
}

// linesOf reads JSON Lines.
func linesOf[T any](t *testing.T, out []byte) (all []T) {
	t.Helper()
	for raw := range bytes.Lines(out) {
		var l T
		if err := json.Unmarshal(raw, &l); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		all = append(all, l)
	}
	return all
}

// holders are people with a root key each, on machines of their own.
type holders struct {
	t    *testing.T
	side *side // has seed, and no channel
}

// key makes a key as openssl does, or with openssl where that is there.
func (h *holders) key(name string) (public string) {
	h.t.Helper()
	private := h.side.path(name + ".pem")
	public = h.side.path(name + ".pub")
	h.exec("openssl", "genpkey", "-algorithm", "ed25519", "-out", private)
	h.exec("openssl", "pkey", "-in", private, "-pubout", "-out", public)
	return public
}

func (h *holders) exec(name string, args ...string) {
	h.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// signs lets holders sign: the first with openssl, the others with seed.
func (h *holders) signs(payload string, names ...string) (signatures []string) {
	h.t.Helper()
	for i, name := range names {
		sig := h.side.path(filepath.Base(payload) + "." + name + ".sig")
		if i == 0 {
			h.exec("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", h.side.path(name+".pem"), "-in", payload, "-out", sig)
		} else {
			h.side.run("seed", "sign", payload, "--key", h.side.path(name+".pem"), "--yes", "-o", sig)
		}
		signatures = append(signatures, sig)
	}
	return signatures
}

// rotate replaces root keys, with the signatures of some holders.
func (h *holders) rotate(owner *side, version string, signers []string, edit ...string) {
	h.t.Helper()
	owner.run("seed", append([]string{"root", "edit", "-c", "acme"}, edit...)...)
	for _, sig := range h.signs(owner.path(version+".root.payload"), signers...) {
		owner.run("seed", "root", "add", "-c", "acme", sig)
	}
}

// testChannel: an organisation's channel over its years. Two of three hold the root, it is
// replaced twice, a writer comes and goes, the online key is stolen. One follower looks in
// at every step, each time started anew; another was away the whole time. Both end equal.
func testChannel(t *testing.T, l *lab) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("in CI openssl must be there: %v", err)
		}
		t.Skip(err)
	}
	owner, alice, near, away := l.local(t), l.local(t), l.local(t), l.local(t)
	h := &holders{t: t, side: l.local(t)}
	a, b, c, d, e := h.key("a"), h.key("b"), h.key("c"), h.key("d"), h.key("e")
	owner.run("seed", "init", "-c", "acme", "--root", strings.Join([]string{a, b, c}, ","), "--need", "2", "--max-age", "24h")
	owner.run("seed", append([]string{"root", "add", "-c", "acme"}, h.signs(owner.path("1.root.payload"), "a", "b")...)...)
	node := owner.start("seed", "serve")
	link := "handful:" + linesOf[line](t, owner.run("seed", "key", "show", "-c", "acme"))[0].Channel + "?pe=" + node.await("listening", is("listening")).Addr
	owner.run("seed", "post", "-c", "acme", "--no-wait", "The first")
	away.trustUntil(link, "the first entry", func(k known) bool { return k.writers["m"].Entries == 1 })

	// A writer comes, on a machine of her own.
	alice.run("seed", "writer", "join", link, "alice", "-c", "acme")
	owner.run("seed", "writer", "add", "-c", "acme", "alice", alice.path("alice.pub"))
	hers := alice.start("seed", "serve")
	all := link + "&pe=" + hers.await("listening", is("listening")).Addr
	alice.run("seed", "post", "-c", "acme", "--no-wait", "Alice was here")
	near.trustUntil(all, "alice's entry", func(k known) bool { return k.writers["alice"].Entries == 1 && k.writers["alice"].State == "fresh" })

	// The root is replaced twice: one key at a time, then more keys that must sign.
	h.rotate(owner, "2", []string{"b", "c", "d"}, "--drop", a, "--add", d)
	near.trustUntil(all, "root 2", func(k known) bool { return k.root == 2 && k.writers["m"].State == "fresh" })
	h.rotate(owner, "3", []string{"d", "c", "e"}, "--drop", b, "--add", e, "--renew", "2y")
	near.trustUntil(all, "root 3", func(k known) bool {
		return k.root == 3 && k.writers["m"].State == "fresh" && k.writers["alice"].State == "fresh"
	})

	// The online key is stolen: the last entry is not the owner's.
	owner.run("seed", "post", "-c", "acme", "--no-wait", "Not ours")
	stolen := near.trustUntil(all, "the thief's entry", func(k known) bool { return k.writers["m"].Entries == 3 })
	owner.run("seed", "key", "compromise", "-c", "acme", "--good", "2")
	for _, sig := range h.signs(owner.path("4.root.payload"), "c", "e") {
		owner.run("seed", "root", "add", "-c", "acme", sig)
	}
	owner.run("seed", "post", "-c", "acme", "--no-wait", "Ours again")
	k := near.trustUntil(all, "the base", func(k known) bool {
		return k.root == 4 && k.withdrawn == 1 && k.writers["m"].State == "fresh" && k.writers["m"].Entries >= 3 && k.writers["alice"].State == "fresh"
	})
	if k.writers["m"].Signed <= stolen.writers["m"].Signed {
		t.Errorf("signed at %s, what is withdrawn at %s", k.writers["m"].Signed, stolen.writers["m"].Signed)
	}

	// She goes. Her log ends.
	owner.run("seed", "writer", "revoke", "-c", "acme", "alice")
	end := near.trustUntil(all, "alice is revoked", func(k known) bool { return k.targets >= 2 && k.writers["alice"].State == "withdrawn" })
	hers.stop()
	last := away.trustUntil(link, "the one who was away", func(k known) bool {
		return k.root == end.root && k.targets == end.targets && k.writers["m"].State == "fresh" && k.writers["m"].Entries == end.writers["m"].Entries
	})
	if last.writers["m"].Entries != end.writers["m"].Entries {
		t.Errorf("%+v and %+v", last, end)
	}
	if out, code := alice.ends("seed", "post", "-c", "acme", "--no-wait", "Still here?"); code != 12 {
		t.Errorf("alice's post ended with %d\n%s", code, out)
	}
	text := string(owner.run("seed", "status"))
	if !strings.Contains(text, `"root":4`) || !strings.Contains(text, `"root_need":2`) {
		t.Errorf("status says %s", text)
	}
	node.stop()
	kept, err := filepath.Glob(owner.path("state", "seed", "logs", "*", "m", "withdrawn-*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("what was withdrawn is in %q: %v", kept, err)
	}
	if raw, err := os.ReadFile(kept[0]); err != nil || !strings.Contains(string(raw), "Not ours") {
		t.Errorf("what was withdrawn is not there: %v", err)
	}
}
