package swarm

import (
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"handful/manifest"
)

// TestEngineActsOnWhatItHears pins what the node's decisions rest on: the engine takes messages that were put into the
// stream for the peer's, at once though the peer is silent, and a Bitfield in mid-stream takes pieces away too.
func TestEngineActsOnWhatItHears(t *testing.T) {
	root := tree(t, t.TempDir(), 16*32<<10)
	tor, _, err := manifest.Build(t.Context(), []string{root}, manifest.BuildOptions{Format: manifest.FormatV1, PieceLength: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan int, 1000)
	peer := &rawPeer{hash: Infohash(tor.InfoHash()), info: tor.InfoBytes, id: "silent"}
	peer.onPiece = func(index, _, _ uint32) []byte {
		asked <- int(index)
		<-t.Context().Done() // nobody is served
		return nil
	}
	leech := startNode(t, "leech", nil)
	it := leech.fetch(t, Infohash(tor.InfoHash()), nil, peer.start(t))
	var l *link
	until(t, "no connection", func() bool {
		for _, l = range leech.eng.linksOf(it) {
		}
		return l != nil && it.opened.Load()
	})
	for i := range 16 {
		leech.eng.want(it, []int{i}, true)
	}
	shows := func(pieces ...uint32) func() bool {
		return func() bool {
			has := l.pc.PeerPieces()
			for _, p := range pieces {
				if !has.Contains(p) {
					return false
				}
			}
			return int(has.GetCardinality()) == len(pieces)
		}
	}
	if !shows()() {
		t.Fatal("the peer shows pieces of its own accord")
	}
	l.tap.hear(pp.Message{Type: pp.Have, Index: 3})
	if p := <-asked; p != 3 {
		t.Fatalf("piece %d was asked for", p)
	}
	if !shows(3)() {
		t.Fatal("the Have had no effect")
	}
	field := make([]bool, 16)
	field[1], field[2] = true, true
	l.tap.hear(pp.Message{Type: pp.Bitfield, Bitfield: field})
	until(t, "the Bitfield had no effect", shows(1, 2))
	l.tap.hear(pp.Message{Type: pp.Bitfield, Bitfield: make([]bool, 16)})
	until(t, "the empty Bitfield had no effect", shows())
	l.tap.hear(pp.Message{Type: pp.Have, Index: 5})
	until(t, "the last Have had no effect", shows(5))
	if l.pc.Stats(); len(leech.eng.linksOf(it)) != 1 {
		t.Error("the connection was lost")
	}
}
