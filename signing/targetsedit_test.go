package signing

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStampEntry(t *testing.T) {
	for _, tt := range []struct{ in, out string }{
		{"d1:ti5e1:x2:Hi1:y4:poste", "d1:^d1:gi3e1:pi2ee1:ti5e1:x2:Hi1:y4:poste"},
		{"d1:^d1:ai7e1:gi1e1:pi1e1:zi0ee1:ti5e1:y4:poste", "d1:^d1:ai7e1:gi3e1:pi2e1:zi0ee1:ti5e1:y4:poste"},
	} {
		got, err := StampEntry([]byte(tt.in), 2, 3)
		if err != nil || string(got) != tt.out {
			t.Errorf("%s was stamped as %s: %v", tt.in, got, err)
		}
		if bare, err := StampEntry(got, 0, 0); err != nil || bytes.Contains(bare, []byte("1:p")) {
			t.Errorf("unstamped: %s: %v", bare, err)
		}
	}
	for _, bad := range []string{"", "de1", "i1e", "d1:^i1e1:y4:poste", "d1:y4:post1:xi1ee"} {
		if got, err := StampEntry([]byte(bad), 1, 1); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q was stamped as %q: %v", bad, got, err)
		}
	}
}

func TestTargetsCeremony(t *testing.T) {
	key := func(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }
	public := func(b ...byte) (all []crypto.PublicKey) {
		for _, n := range b {
			all = append(all, key(n).Public())
		}
		return all
	}
	expires := time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
	root, err := NewRoot(RootParams{Expires: expires, Root: RoleParams{Keys: public(1)}, Targets: RoleParams{Keys: public(2, 3)}, Timestamp: RoleParams{Keys: public(4)}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := NewTargets(TargetsParams{Expires: expires, Writers: []WriterParams{
		{Name: "alice", Role: RoleParams{Keys: public(5)}, Paths: []string{"docs/*", "README"}},
		{Name: "bob", Role: RoleParams{Keys: public(6)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseTargetsPayload(first.Payload())
	if err != nil {
		t.Fatal(err)
	}
	role := root.Role(RoleTargets)
	for left, n := range []byte{3, 2} {
		sig, err := SignPayload(first.Payload(), key(n))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Attach(sig, role); err != nil || !got.Own || again.Lacking(role) != 1-left {
			t.Fatalf("key %d: %+v, %d are lacking: %v", n, got, again.Lacking(role), err)
		}
	}
	if _, err := root.OpenTargets(again.Bytes()); err != nil {
		t.Fatal(err)
	}
	sig, err := SignPayload(first.Payload(), key(9))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Attach(sig, role); !errors.Is(err, ErrForged) {
		t.Errorf("a stranger's signature: %v", err)
	}
	if _, err := ParseTargetsPayload(append(first.Payload(), ' ')); !errors.Is(err, ErrMalformed) {
		t.Errorf("not canonical: %v", err)
	}

	writers := slices.DeleteFunc(again.Params(), func(w WriterParams) bool { return w.Name == "bob" })
	writers = append(writers, WriterParams{Name: "carol", Role: RoleParams{Keys: public(7)}})
	second, err := NewTargets(TargetsParams{Expires: expires, Writers: writers, Before: again, Base: map[string]Base{"alice": {Size: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if w, err := second.Writer("alice"); err != nil || !slices.Equal(w.Paths, []string{"docs/*", "README"}) {
		t.Errorf("alice became %+v: %v", w, err)
	}
	text := strings.Join(second.Explain(again), "\n")
	for _, want := range []string{"version 2", `Writer alice stays as before, under "docs/*", "README".`, "Writer bob may write no more",
		"Writer carol may publish under any name: 1 of these 1", "The log of writer alice goes back to its first 2 entries"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said:\n%s", want, text)
		}
	}
	if text := strings.Join(again.Explain(second), "\n"); !strings.Contains(text, "Careful: followers refuse it") {
		t.Errorf("an older one is explained as:\n%s", text)
	}
}
