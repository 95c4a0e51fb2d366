package policy

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestOffersOrder: what fewest have is offered first, as much as there is room for, and no
// peer is offered more than a few pieces at a time.
func TestOffersOrder(t *testing.T) {
	o := NewOffers(7, 4, 100)
	for p := Peer(1); p <= 3; p++ {
		o.Join(p, Key(p)*0x9e3779b97f4a7c15)
	}
	for i := range 4 {
		o.Got(i)
	}
	o.Has(1, 0)
	o.Has(2, 0)
	o.Has(1, 1)
	out := o.Next(0, 101)
	if len(out) != 2 || out[0].Piece < 2 || out[1].Piece < 2 || o.Due() != 200 {
		t.Fatalf("offered %v, %d bytes due; want pieces 2 and 3 once each", out, o.Due())
	}
	if more := o.Next(0, 0); len(more) > 0 {
		t.Errorf("offered %v without room", more)
	}
	out = append(out, o.Next(0, 1000)...)
	if n := len(out); n != 6 { // three peers, two each
		t.Errorf("offered %d times, want 6", n)
	}
	seen := map[Show]bool{}
	for _, s := range out {
		if seen[s] || s == (Show{Peer: 1, Piece: 0}) || s == (Show{Peer: 2, Piece: 0}) || s == (Show{Peer: 1, Piece: 1}) {
			t.Errorf("%v was offered twice, or is there already", s)
		}
		seen[s] = true
	}
}

// TestOffersAnswers: a request of any piece answers an offer, so does a pass; an offer that
// is not answered is made again later.
func TestOffersAnswers(t *testing.T) {
	o := NewOffers(7, 2, 100)
	o.Join(1, 11)
	o.Got(0)
	o.Got(1)
	first := o.Next(0, 150)
	if len(first) != 2 {
		t.Fatalf("offered %v", first)
	}
	if o.Asked(1, 60, 0); o.Due() != 140 {
		t.Errorf("%d bytes due after 60 were asked for", o.Due())
	}
	if o.Asked(1, 60, 0); o.Due() != 80 {
		t.Errorf("%d bytes due after 120 were asked for", o.Due())
	}
	if o.Passed(1, first[1].Piece, 0); o.Due() != 0 || !o.Idle() {
		t.Errorf("%d bytes due after a pass", o.Due())
	}

	o = NewOffers(7, 1, 100)
	o.Join(1, 11)
	o.Got(0)
	o.Next(0, 1)
	if again := o.Next(offerWait/2, 1000); len(again) > 0 {
		t.Errorf("%v was offered again before its time", again)
	}
	if again := o.Next(offerWait, 1000); len(again) > 0 || o.Due() != 0 {
		t.Errorf("%v was offered to who has just not answered, %d bytes due", again, o.Due())
	}
	if again := o.Next(offerWait+offerRest, 1000); len(again) != 1 {
		t.Errorf("%v was offered again, want piece 0", again)
	}
}

// TestOffersAccount: whatever happens, the account says of every piece and peer what a
// count from the start says, and nothing is offered that is not here, or there already.
func TestOffersAccount(t *testing.T) {
	const pieces, length = 20, 100
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		o := NewOffers(Key(rng.Uint64()), pieces, length)
		now := time.Duration(0)
		for range 300 {
			now += time.Duration(rng.IntN(300)) * time.Millisecond
			p, piece := Peer(rng.IntN(5)), rng.IntN(pieces)
			switch rng.IntN(8) {
			case 0:
				o.Join(p, Key(rng.Uint64()))
			case 1:
				if rng.IntN(4) == 0 {
					o.Leave(p)
				}
			case 2:
				o.Has(p, piece)
			case 3:
				o.Got(piece)
			case 4:
				o.Asked(p, int64(rng.IntN(2*length)), now)
			case 5:
				o.Passed(p, piece, now)
			default:
				for _, s := range o.Next(now, int64(rng.IntN(5*length))) {
					if q := o.taker(s.Peer); !o.got.Has(s.Piece) || q.has.Has(s.Piece) {
						t.Fatalf("seed %d: %v was offered", seed, s)
					}
				}
			}
			checkOffers(t, seed, o)
		}
	}
}

func checkOffers(t *testing.T, seed uint64, o *Offers) {
	t.Helper()
	due, open, copies := int64(0), make([]uint16, o.pieces), make([]uint16, o.pieces)
	for _, q := range o.peers {
		for _, x := range q.pending {
			if !x.late {
				due += x.left
			}
		}
		for i := range o.pieces {
			if q.has.Has(i) || q.told.Has(i) {
				copies[i]++
			}
			may := o.got.Has(i) && !q.has.Has(i) && !q.told.Has(i)
			if may != q.open.Has(i) {
				t.Fatalf("seed %d: peer %d may be offered piece %d: %v, want %v", seed, q.peer, i, q.open.Has(i), may)
			}
			if may {
				open[i]++
			}
		}
	}
	if due != o.due || !slices.Equal(open, o.open) || !slices.Equal(copies, o.copies) || len(o.peers) != len(o.byPeer) {
		t.Fatalf("seed %d: due %d, open %v, copies %v; want %d, %v, %v", seed, o.due, o.open, o.copies, due, open, copies)
	}
	for i := range o.pieces {
		if o.some.Has(i) != (open[i] > 0) {
			t.Fatalf("seed %d: somebody may be offered piece %d: %v", seed, i, o.some.Has(i))
		}
	}
}

// TestOffersDoNotWait: who takes long to answer holds up nobody else; what it asks for in the
// end is its answer all the same, and if nothing comes it is left alone for longer each time.
func TestOffersDoNotWait(t *testing.T) {
	o := NewOffers(7, 40, 100)
	o.Join(1, 11)
	for i := range 40 {
		o.Got(i)
	}
	if out := o.Next(0, 50); len(out) != 1 || o.Due() != 100 {
		t.Fatalf("%v offered, %d bytes due", out, o.Due())
	}
	late := o.late()
	if more := o.Next(late, 0); len(more) > 0 || o.Due() != 0 {
		t.Errorf("%v offered, %d bytes due when the answer is late", more, o.Due())
	}
	if more := o.Next(late, 1000); len(more) > 0 {
		t.Errorf("%v was offered to who has not answered", more)
	}
	o.Join(2, 22)
	if more := o.Next(2*late, 50); len(more) != 1 || more[0].Peer != 2 {
		t.Errorf("offered %v, want a piece to the second", more)
	}
	if o.Asked(1, 100, 2*late); o.Due() != 100 {
		t.Errorf("%d bytes due after the late answer", o.Due())
	}
	if more := o.Next(2*late, 50); len(more) != 2 || o.Due() != 200 {
		t.Errorf("offered %v, %d bytes due; want one piece to each, and none due for who was late", more, o.Due())
	}
	o.Asked(1, 100, 2*late)
	if more := o.Next(2*late, 1); len(more) != 1 || more[0].Peer != 1 || o.Due() != 300 {
		t.Errorf("offered %v, %d bytes due; want one to who is quick again", more, o.Due())
	}
	o.Asked(1, 100, 2*late)
	o.Leave(2)
	now, last := 3*late, time.Duration(0)
	for range 3 {
		offered := now
		for ; len(o.Next(now, 50)) == 0; now += 50 * time.Millisecond {
			if now-offered > 2*mostRest {
				t.Fatal("never offered anything again")
			}
		}
		if now-offered < last {
			t.Errorf("offered again after %v, and %v the last time", now-offered, last)
		}
		last = now - offered
		now += 50 * time.Millisecond
	}
	if last < 2*offerRest {
		t.Errorf("left alone for %v after two offers without an answer", last)
	}
}
