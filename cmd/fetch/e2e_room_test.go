package main_test

import (
	"net/netip"
	"slices"
	"testing"
)

// testRoom: three who write and one who reads talk on one Ethernet segment, without a server, without a route to
// anywhere else, and without having been told an address; and go on when the room's owner has left.
func testRoom(t *testing.T, l *lab) {
	ns := hosts(t, l, netip.MustParsePrefix("10.84.0.1/24"), 4)
	owner, alice, bob, reader, late := l.side(t, ns[0]), l.side(t, ns[1]), l.side(t, ns[2]), l.side(t, ns[3]), l.side(t, ns[3])
	if out := command(t, "ip", "-n", ns[3], "route", "show", "default") + command(t, "ip", "-n", ns[3], "-6", "route", "show", "default"); out != "" {
		t.Fatalf("there is a default route: %s", out)
	}
	room, posted := owner.talk("The room is open")
	link := "handful:" + posted.Channel
	for name, s := range map[string]*side{"alice": alice, "bob": bob} {
		s.run("seed", "writer", "join", link, name, "-c", "room")
		owner.run("seed", "writer", "add", name, s.path(name+".pub"))
	}
	for _, s := range []*side{alice, bob} {
		s.start("seed", "serve").await("listening", is("listening"))
	}
	p := reader.start("fetch", "follow", link, "--who")
	all := []string{"alice", "bob", "m"}
	around := func(l line, want ...string) bool { return l.Type == "around" && slices.Equal(l.Writers, want) }
	p.await("that all three are around", func(l line) bool { return around(l, all...) })
	says := func(s *side, writer, text string, index int, more ...string) {
		t.Helper()
		s.said(append([]string{"post", text}, more...)...)
		p.await(writer+"'s words", func(l line) bool {
			return l.Type == "entry" && l.Writer == writer && l.Index == index && l.Text == text
		})
	}
	says(alice, "alice", "Hello from Alice", 0, "-c", "room")
	says(bob, "bob", "Hello Alice", 0, "-c", "room", "--reply-to", "alice/0")
	says(owner, "m", "Good evening both", posted.Index+3) // behind the two grants

	// The owner sees it too, without following.
	for _, l := range owner.looked("seed", "status") {
		if l.Type == "channel" && !slices.Equal(l.Around, all) {
			t.Errorf("the owner sees %q around", l.Around)
		}
	}
	room.stop()
	together := false
	p.await("that the owner is around no more", func(l line) bool {
		together = together || around(l, all...)
		return together && around(l, "alice", "bob")
	})
	says(bob, "bob", "Are you still there?", 1, "-c", "room")
	says(alice, "alice", "I am", 1, "-c", "room")

	// Who comes now reads it all as one, although the owner is not there.
	got := entriesOf(t, late.once(0, link, "--json"))
	var talk []string
	for _, e := range got {
		talk = append(talk, e.Writer+": "+e.Text)
	}
	want := []string{"m: The room is open", "alice: Hello from Alice", "bob: Hello Alice", "m: Good evening both", "bob: Are you still there?", "alice: I am"}
	if len(talk) != len(want) {
		t.Fatalf("a late reader has %q", talk)
	}
	for i := range want {
		if talk[i] != want[i] {
			t.Errorf("line %d is %q, want %q", i, talk[i], want[i])
		}
	}
}
