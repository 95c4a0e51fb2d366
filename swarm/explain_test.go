package swarm

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"handful/manifest"
	"handful/swarm/policy"
	"handful/swarm/store"
)

// sums adds up an explanation by tier, and checks what must hold of every piece that
// is there.
func sums(t *testing.T, e Explanation) (r Received) {
	t.Helper()
	next := 0
	for _, p := range e.Pieces {
		if p.First != next || p.Last != next || p.Pieces != 1 {
			t.Fatalf("piece %+v, want one line for piece %d", p, next)
		}
		next++
		if p.State != PieceReceived || p.Reason == policy.Unseen || len(p.From) == 0 || p.Waited < 0 {
			t.Errorf("piece %+v", p)
		}
		for i, d := range p.From {
			r[d.Tier] += d.Bytes
			if d.From.Addr == "" || d.From.Client != "Handful" || i > 0 && d.Bytes > p.From[i-1].Bytes {
				t.Errorf("piece %d came from %+v", p.First, p.From)
			}
		}
	}
	if next != e.Item.Pieces {
		t.Errorf("%d of %d pieces are explained", next, e.Item.Pieces)
	}
	return r
}

// TestExplain: every byte that was received is explained, by tier, also when those who
// sent it have left; and the origin knows whom it granted what.
func TestExplain(t *testing.T) {
	root := tree(t, t.TempDir(), 4<<20, 1<<20+1)
	origin := startNode(t, "origin", nil)
	tor, seed := origin.publish(t, root, manifest.BuildOptions{PieceLength: 64 << 10})
	var items []*Item
	for i := range 3 {
		n := startNode(t, fmt.Sprintf("leech%d", i), nil)
		items = append(items, n.fetch(t, Infohash(tor.InfoHash()), nil, origin.addr()))
	}
	for _, it := range items {
		await(t, it)
	}
	times := 0
	for _, g := range seed.Granted() {
		times += g.Times
		for _, w := range g.To {
			if w.Addr == "" || w.Client != "Handful" {
				t.Errorf("piece %d was granted to %+v", g.Piece, g.To)
			}
		}
		if len(g.To) != min(g.Times, 8) {
			t.Errorf("piece %d was granted %d times, to %v", g.Piece, g.Times, g.To)
		}
	}
	s := seed.Snapshot()
	if g := s.Granted; g == nil || g.Times[0] != 0 || g.Ever < 1 || g.Ever > 3 || times < tor.NumPieces() {
		t.Errorf("the origin says %+v, and %d grants", s.Granted, times)
	}
	if err := seed.Remove(); err != nil { // all connections close
		t.Fatal(err)
	}
	for i, it := range items {
		until(t, "the origin is gone", func() bool {
			return !slices.ContainsFunc(it.Snapshot().Peers, func(p PeerSnapshot) bool { return p.Tier == TierOrigin })
		})
		e := it.Explain()
		adds(t, e.Item)
		got, want := sums(t, e), e.Item.Received
		if e.Item.Wasted == 0 && got != want || got.Total() != want.Total()-e.Item.Wasted {
			t.Errorf("leecher %d: explained %v, received %v, wasted %d", i, got, want, e.Item.Wasted)
		}
		for _, p := range e.Pieces {
			if origins := p.From[0].Tier == TierOrigin; p.Reason != policy.Stalled && origins != (p.Reason == policy.Granted) {
				t.Errorf("leecher %d: piece %d from %v because %v", i, p.First, p.From, p.Reason)
			}
		}
	}
}

// Before the metainfo is known there is nothing to explain; what was on disk is reused,
// what nobody has is missing.
func TestExplainWhatIsNotReceived(t *testing.T) {
	root := tree(t, t.TempDir(), 300_000)
	origin := startNode(t, "origin", nil)
	tor, seed := origin.publish(t, root, manifest.BuildOptions{PieceLength: 64 << 10})
	for _, p := range seed.Explain().Pieces {
		if p.State != PieceReused {
			t.Errorf("of a seed: %+v", p)
		}
	}
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil)
	if e := it.Explain(); len(e.Pieces) != 0 || e.Item.State != StateMetadata {
		t.Errorf("without metainfo: %+v", e)
	}

	alone := startNode(t, "alone", nil)
	lone, err := alone.Add(Spec{Torrent: tor, Open: func(*manifest.Torrent) (*store.Content, error) {
		return alone.store.Download(context.Background(), tor, filepath.Join(alone.dir, "out"), store.DownloadOptions{})
	}})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it fetches", func() bool { return lone.Snapshot().State == StateFetching })
	e := lone.Explain()
	if len(e.Pieces) != tor.NumPieces() {
		t.Fatalf("%d of %d pieces are explained", len(e.Pieces), tor.NumPieces())
	}
	for _, p := range e.Pieces {
		if p.State != PieceMissing || p.Claimed || p.Reason != policy.Unseen || len(p.From) > 0 {
			t.Errorf("without peers: %+v", p)
		}
	}
}

func TestLedgerOfALargeTorrent(t *testing.T) {
	const pieces = 3*maxCells - 1
	var l ledger
	l.open(pieces)
	if len(l.cells) > maxCells || l.stride != 3 {
		t.Fatalf("%d accounts of %d pieces", len(l.cells), l.stride)
	}
	l.add(0, []share{{1, TierLink, 10}}, cell{reason: policy.Nearest, waited: 1, views: 1})
	l.add(2, []share{{2, TierFar, 30}}, cell{reason: policy.Spill, keeper: 1, waited: 3, views: 2})
	l.add(1, []share{{1, TierLink, 15}}, cell{reason: policy.Granted, waited: 2})
	c := l.cells[0]
	if c.pieces != 3 || c.most != (share{2, TierFar, 30}) || c.reason != policy.Spill || c.keeper != 1 || c.waited != 3 {
		t.Errorf("account %+v", c)
	}
	if rest := l.others[0]; len(rest) != 1 || rest[0] != (share{1, TierLink, 25}) {
		t.Errorf("others %+v", rest)
	}
	l.add(pieces-1, []share{{1, TierLink, 1}}, cell{})
	l.add(pieces+9, []share{{1, TierLink, 1}}, cell{})
	if got := l.cells[len(l.cells)-1]; got.pieces != 1 {
		t.Errorf("the last account: %+v", got)
	}
}

// A piece of which each block comes from somebody else names the eight who sent most,
// and loses no byte.
func TestSharesAreBounded(t *testing.T) {
	var l ledger
	l.open(1)
	var want Received
	for i := range 100 {
		s := share{uint64(i + 1), Tier(i % 3), int64(i + 1)}
		want[s.tier] += s.bytes
		l.add(0, []share{s}, cell{})
	}
	all := append([]share{l.cells[0].most}, l.others[0]...)
	if len(all) > maxShares+int(numTiers) {
		t.Fatalf("%d senders are kept", len(all))
	}
	var got Received
	named := 0
	for _, s := range all {
		got[s.tier] += s.bytes
		if s.link != 0 {
			named++
		}
	}
	if got != want || named == 0 || named > maxShares {
		t.Errorf("%v of %v bytes, %d are named", got, want, named)
	}
}

// Peers that have left are remembered, the useful ones when there are too many.
func TestRosterIsBounded(t *testing.T) {
	r := make(roster)
	for i := range uint64(maxPast) {
		r[i] = pastPeer{useful: i%2 == 0}
	}
	if r.forget(false) {
		t.Error("one that was of no use found room")
	}
	for i := range maxPast / 2 {
		if !r.forget(true) {
			t.Fatalf("no room for useful peer %d", i)
		}
	}
	if r.forget(true) {
		t.Error("a useful one was forgotten")
	}
}
