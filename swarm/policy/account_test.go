package policy

import (
	"testing"
	"time"
)

const (
	origin Peer = iota + 1
	near
	far
	foreign
)

// sightOf returns a table whose node knows an origin, a near member, a far one and a
// foreign client.
func sightOf(pieces int) *Sight {
	s := NewSight(SightConfig{Pieces: pieces, PieceLength: 1 << 20})
	s.Join(origin, 1, Far, Publisher, 0)
	s.Join(near, 2, Link, Member, 0)
	s.Join(far, 3, Far, Member, 0)
	s.Join(foreign, 4, Far, Foreign, 0)
	return s
}

func TestAccountOfAGrant(t *testing.T) {
	s := sightOf(2)
	if a := s.Account(0); a.Claimed || a.Reason != Unseen {
		t.Fatalf("before anything: %+v", a)
	}
	s.Grant(origin, []int{0}, time.Second)
	s.Has(near, 0, 2*time.Second) // in vain: it is on its way
	s.Got(0, 3*time.Second)
	a := s.Account(0)
	if !a.Claimed || a.Known != time.Second || a.Got != 3*time.Second || a.Opening != Granted || a.Began != origin {
		t.Errorf("a granted piece: %+v", a)
	}
	if why, _, kept := a.Why(origin, Publisher); why != Granted || kept {
		t.Errorf("from the origin: %v, kept %v", why, kept)
	}
}

// A piece that its first holder does not deliver is explained with that holder, when
// it comes from the second, and with the first reason when it comes from the first
// after all.
func TestAccountOfASpill(t *testing.T) {
	s := sightOf(1)
	s.Offered(near, 0, time.Second)
	if a := s.Account(0); a.Reason != Nearest || a.Peer != near || a.Known != time.Second {
		t.Fatalf("at the near one: %+v", a)
	}
	s.Has(far, 0, 2*time.Second)
	late := time.Second + s.Grace()
	s.Received(foreign, 1, late) // something comes, so that nothing is stalled
	s.Tick(late, false)
	a := s.Account(0)
	if a.Reason != Spill || a.Peer != far || a.Known != time.Second || a.Views != 2 {
		t.Fatalf("after a grace: %+v", a)
	}
	if why, keeper, kept := a.Why(far, Member); why != Spill || keeper != near || !kept {
		t.Errorf("from the far one: %v, %v, %v", why, keeper, kept)
	}
	if why, _, kept := a.Why(near, Member); why != Nearest || kept {
		t.Errorf("from the near one after all: %v, %v", why, kept)
	}
	if why, _, kept := a.Why(foreign, Foreign); why != Open || kept {
		t.Errorf("from a foreign client: %v, %v", why, kept)
	}
	if why, keeper, kept := a.Why(77, Member); why != Spill || keeper != near || !kept {
		t.Errorf("from a third member: %v, %v, %v", why, keeper, kept)
	}
}

// What foreign clients are seen with does not blur how it came from a member.
func TestAccountBesideForeignClients(t *testing.T) {
	s := sightOf(1)
	s.Grant(origin, []int{0}, 0)
	s.Offered(near, 0, time.Second)
	s.Join(foreign, 4, Link, Foreign, time.Second)
	s.Has(foreign, 0, 2*time.Second)
	a := s.Account(0)
	if a.Peer != foreign || a.Began != origin || a.Views != 1 {
		t.Fatalf("%+v", a)
	}
	for from, want := range map[Peer]Reason{origin: Granted, near: Nearest, foreign: Open} {
		role := map[Peer]Role{origin: Publisher, near: Member, foreign: Foreign}[from]
		if why, _, kept := a.Why(from, role); why != want || kept {
			t.Errorf("from %d: %v, want %v", from, why, want)
		}
	}
}

// When nothing comes from anybody, everything is shown at the origin.
func TestAccountWhenNothingComes(t *testing.T) {
	s := sightOf(1)
	at := 3 * s.Grace()
	s.Tick(at, false)
	a := s.Account(0)
	if a.Reason != Stalled || a.Peer != origin || !a.Claimed || a.Known != at || a.Views != 0 {
		t.Errorf("%+v", a)
	}
	if why, _, kept := a.Why(origin, Publisher); why != Stalled || kept {
		t.Errorf("from the origin: %v", why)
	}
}

// What an origin gave to whom is remembered when the leechers have left, and a
// leecher that comes back is not another one.
func TestRecord(t *testing.T) {
	const pieces = 20
	g := NewGrants(Config{Pieces: pieces, PieceLength: 1 << 16, Order: order(pieces)})
	if s := g.Summary(0); s != (GrantSummary{Times: [4]int{pieces}}) {
		t.Fatalf("at first: %+v", s)
	}
	given := make([][]Peer, pieces)
	now := time.Duration(0)
	for p := Peer(1); p <= 12; p++ { // each leaves with what it got: all is granted again
		g.Join(p, Leecher{Member: true, Key: Key(p % 3)}, now)
		for _, gr := range g.Next(now, Uplink{}) {
			given[gr.Piece] = append(given[gr.Piece], gr.Peer)
		}
		g.Sent(p, now)
		if s := g.Summary(now); s.Served != 1 || s.Leechers != 1 || s.Ever != min(int(p), 3) {
			t.Fatalf("with leecher %d: %+v", p, s)
		}
		if s := g.Summary(now + time.Second); s.Served != 0 {
			t.Fatalf("a second later: %+v", s)
		}
		g.Leave(p)
		now += time.Minute
	}
	var times [4]int
	for i, to := range given {
		granted, _ := g.Copies(i)
		if granted != len(to) {
			t.Errorf("piece %d was granted %d times, counted %d", i, len(to), granted)
		}
		times[min(granted, 3)]++
		got := g.Grantees(i)
		if len(got) != min(len(to), maxGrantees) {
			t.Fatalf("piece %d went to %v, remembered %v", i, to, got)
		}
		for k := range got {
			if got[k] != to[k] {
				t.Errorf("piece %d went to %v, remembered %v", i, to, got)
			}
		}
	}
	if s := g.Summary(now); s.Times != times || s.Leechers != 0 || times[3] == 0 || times[0] == pieces {
		t.Errorf("in the end: %+v, want times %v", s, times)
	}
}
