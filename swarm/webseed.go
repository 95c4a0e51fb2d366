package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"handful/manifest"
	"handful/swarm/mirror"
	"handful/swarm/policy"
	"handful/swarm/store"
)

// Web seeds (BEP 19) are the last tier: a server that has the files is asked for what no
// peer here has, and for everything when peers deliver nothing. Where several members of
// a swarm have only the web to turn to, each piece is asked for by one of them, the first
// in the drawing of turns, and they trade what they have.

const (
	// Peers have webWait from the start on to show up.
	webWait = 2 * time.Second
	// webGrace without anything from peers lets the next in turn ask the web; webStalled
	// lets it be asked for what peers have and do not give.
	webGrace   = 3 * time.Second
	webStalled = 9 * time.Second
	// A run is what is asked for in one go.
	webRunBytes = 8 << 20
	// maxWebPiece is the largest piece that is held in memory for it.
	maxWebPiece = 64 << 20
	// A seed rests after a failure, for longer each time, and is given up after maxWebLies
	// wrong pieces or when it has not what it is asked for.
	webRest    = 5 * time.Second
	webRestMax = 10 * time.Minute
	maxWebLies = 3
	// maxWebSeeds are used of those that are named.
	maxWebSeeds = 16
)

// webSeed is one server that may have the files. It is owned by the loop, but for whole.
type webSeed struct {
	url   string
	id    uint64 // its place in accounts, where peers have that of their connection
	rest  time.Duration
	until time.Time // it is left alone until then
	lies  int
	gone  bool
	whole atomic.Bool // it sends whole files only
}

// webCopy is an item's state of what it takes from the web. The loop owns it.
type webCopy struct {
	seeds  []*webSeed
	work   chan *webBatch // nil before the download
	busy   *webBatch
	began  time.Time
	useful atomic.Int64 // bytes of pieces that the web completed
	peers  int64        // useful bytes of peers when last looked
	fed    time.Time    // when peers delivered last
	held   []int        // pieces that the engine does not ask for meanwhile
}

// webBatch is a run of pieces, ascending.
type webBatch struct {
	seed    *webSeed
	pieces  []int
	stalled bool        // peers have them, and give nothing
	stop    atomic.Bool // peers deliver again
}

// newWebSeeds takes what can be used of the URLs that are given.
func newWebSeeds(urls []string) (seeds []*webSeed) {
	for _, s := range urls {
		if len(seeds) == maxWebSeeds {
			break
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			continue
		}
		if !slices.ContainsFunc(seeds, func(w *webSeed) bool { return w.url == s }) {
			seeds = append(seeds, &webSeed{url: s, id: ^uint64(0) - uint64(len(seeds))})
		}
	}
	return seeds
}

// startWeb begins the use of web seeds until ctx ends, and returns what waits for its end.
func (it *Item) startWeb(ctx context.Context) (wait func()) {
	work := make(chan *webBatch, 1)
	it.node.call(func() {
		w := &it.web
		w.work, w.began = work, it.node.cfg.Now()
		if it.webTorrent.Load() != nil {
			w.began = w.began.Add(-webWait) // they had it already
		}
		w.fed = w.began
		for _, s := range w.seeds {
			if it.past == nil {
				it.past = make(roster)
			}
			it.past[s.id] = pastPeer{Who{Addr: hostOf(s.url), Client: "web seed"}, policy.Foreign, true}
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case b := <-work:
				it.copyWeb(ctx, b)
			}
		}
	})
	return wg.Wait
}

func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Host
}

// webStep does what is due: it looks whether peers deliver, and gives the copier work.
func (n *Node) webStep(it *Item, now time.Time) {
	w := &it.web
	if w.work == nil || len(w.seeds) == 0 || it.state != StateFetching {
		return
	}
	if peers := it.count.useful.Load() - w.useful.Load(); peers != w.peers {
		w.peers, w.fed = peers, now
	}
	if w.busy != nil {
		if w.busy.stalled && now.Sub(w.fed) < webGrace || !w.busy.stalled && it.peersHave(w.busy.pieces) {
			w.busy.stop.Store(true) // the engine asks for none of these until then
		}
		return
	}
	if now.Sub(w.began) < webWait || it.torrent.PieceLength > maxWebPiece {
		return
	}
	for _, s := range w.seeds {
		if s.gone || now.Before(s.until) {
			continue
		}
		if b := n.webBatch(it, s, now.Sub(w.fed)); b != nil {
			w.busy, w.held = b, b.pieces
			n.eng.want(it, b.pieces, false)
			w.work <- b // the copier waits
		}
		return
	}
}

// webBatch picks a run of pieces that the web may be asked for; nil if there is none.
// quiet is for how long peers have delivered nothing.
func (n *Node) webBatch(it *Item, s *webSeed, quiet time.Duration) *webBatch {
	held, origin := it.claimed()
	if (origin || held == nil) && quiet < webStalled {
		return nil
	}
	stalled := quiet >= webStalled
	self, others := peerKey(n.eng.cl.PeerID(), it.hash), it.memberKeys()
	may := func(i int) bool {
		if done, _ := it.content.State(i); done || it.blame.began(i) && quiet < webGrace {
			return false
		}
		if stalled {
			return true
		}
		return !held.Has(i) && quiet >= webGrace*time.Duration(min(policy.Rank(self, others, i), 2))
	}
	pieces := it.torrent.NumPieces()
	start := 0
	if !s.whole.Load() && len(others) > 0 {
		start = n.cfg.Rand.IntN(pieces) // who has come at the same time starts elsewhere
	}
	b := &webBatch{seed: s, stalled: stalled}
	var size int64
	for k := range pieces {
		i := (start + k) % pieces
		if len(b.pieces) > 0 && (size >= webRunBytes && !s.whole.Load() || i < b.pieces[0]) {
			break
		}
		if may(i) {
			b.pieces = append(b.pieces, i)
			size += it.torrent.PieceSize(i)
		} else if len(b.pieces) > 0 && !s.whole.Load() {
			break
		}
	}
	if len(b.pieces) == 0 {
		return nil
	}
	return b
}

// peersHave tells whether a piece that is missing here can be had of a peer by now.
func (it *Item) peersHave(pieces []int) bool {
	held, origin := it.claimed()
	return origin || held == nil || slices.ContainsFunc(pieces, func(i int) bool {
		done, _ := it.content.State(i)
		return !done && held.Has(i)
	})
}

// claimed returns which pieces peers say that they have, nil for all; and whether an
// origin is there, which shows only what it grants.
func (it *Item) claimed() (held policy.Set, origin bool) {
	held = policy.NewSet(it.torrent.NumPieces())
	for _, l := range it.links {
		switch {
		case l.closed:
		case l.origin.Load():
			origin = true
		default:
			all, set := l.claims.peek()
			if all {
				return nil, origin
			}
			for i, word := range set[:min(len(set), len(held))] {
				held[i] |= word
			}
		}
	}
	return held, origin
}

// memberKeys are the names of those who take turns with this node.
func (it *Item) memberKeys() (keys []policy.Key) {
	for _, l := range it.links {
		if !l.closed && l.ours.Load() && !l.origin.Load() {
			keys = append(keys, peerKey(l.pc.PeerID, it.hash))
		}
	}
	return keys
}

// copyWeb takes the pieces of a run, one after the other.
func (it *Item) copyWeb(ctx context.Context, b *webBatch) {
	r := &webReader{it: it, seed: b.seed, last: b.pieces[len(b.pieces)-1]}
	defer r.close()
	buf := make([]byte, it.torrent.PieceLength)
	var err error
	for _, piece := range b.pieces {
		if ctx.Err() != nil || b.stop.Load() {
			break
		}
		if done, _ := it.content.State(piece); done {
			continue
		}
		data := buf[:it.torrent.PieceSize(piece)]
		if err = r.piece(ctx, piece, data); err != nil {
			break
		}
		var size int64
		var first bool
		if size, first, err = it.content.PutPiece(piece, data); err != nil {
			break
		}
		it.tookWeb(b, piece, size, first)
	}
	switch {
	case err == nil, ctx.Err() != nil:
		err = nil
	case errors.Is(err, mirror.ErrAbsent), errors.Is(err, mirror.ErrServer), errors.Is(err, store.ErrWrong):
	default: // also of a torrent that contradicts itself: nobody can send anything better
		it.endFetch(err)
	}
	it.node.mail.post(func() { it.node.webDone(it, b, err) })
}

// tookWeb accounts for a piece and tells the engine. What peers had sent of it was in vain.
func (it *Item) tookWeb(b *webBatch, piece int, size int64, first bool) {
	if size == 0 {
		return
	}
	it.came.note(piece, TierWebSeed)
	it.count.failed.Add(it.blame.forget(piece))
	it.count.useful.Add(size)
	it.web.useful.Add(size)
	liars := it.blame.passed(piece)
	it.t.Piece(piece).UpdateCompletion()
	it.node.mail.post(func() {
		if first {
			it.node.pieceDone(it, piece)
			it.ledger.open(it.torrent.NumPieces())
			why := policy.Nearest
			if b.stalled {
				why = policy.Stalled
			}
			it.ledger.add(piece, []share{{link: b.seed.id, tier: TierWebSeed, bytes: size}}, cell{reason: why})
		}
		for _, l := range liars {
			it.node.liar(l, piece)
		}
	})
}

// webDone notes how a run ended.
func (n *Node) webDone(it *Item, b *webBatch, err error) {
	w, s := &it.web, b.seed
	w.busy = nil
	var again []int
	for _, i := range w.held {
		if done, _ := it.content.State(i); !done && it.wanted.Has(i) {
			again = append(again, i)
		}
	}
	w.held = nil
	n.eng.want(it, again, true)
	switch {
	case err == nil:
		s.rest = 0
	case errors.Is(err, mirror.ErrAbsent):
		s.gone = true
		n.log.Info("a web seed does not have the files", "torrent", it.hash, "err", err)
	case errors.Is(err, store.ErrWrong):
		s.lies++
		s.gone = s.lies >= maxWebLies
		n.log.Info("a web seed has other files", "torrent", it.hash, "url", s.url, "err", err, "given up", s.gone)
		fallthrough
	default:
		s.rest = min(max(2*s.rest, webRest), webRestMax)
		s.until = n.cfg.Now().Add(s.rest)
		n.log.Debug("a web seed rests", "torrent", it.hash, "url", s.url, "for", s.rest, "err", err)
	}
	if err == nil {
		n.webStep(it, n.cfg.Now())
	}
}

// webMetadata asks web servers for the torrent file until ctx ends: peers have a head
// start. What does not fit the infohash, and the SHA-256 where that is known, is no answer.
func (it *Item) webMetadata(ctx context.Context) {
	client := mirror.Bounded(it.node.web)
	wait := webWait
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		for _, u := range it.spec.WebTorrents {
			t, err := it.webTorrentAt(ctx, client, u)
			if err == nil {
				it.webTorrent.Store(t)
				if err = it.t.SetInfoBytes(t.InfoBytes); err == nil {
					return
				}
			}
			it.node.log.Debug("no torrent from a web server", "torrent", it.hash, "url", u, "err", err)
		}
		wait = min(max(2*wait, webRest), webRestMax)
	}
}

func (it *Item) webTorrentAt(ctx context.Context, client *http.Client, u string) (*manifest.Torrent, error) {
	b, err := mirror.Document(ctx, client, u, mirror.MaxTorrent)
	if err != nil {
		return nil, err
	}
	t, err := manifest.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u, err)
	}
	if want := it.spec.InfoSum; Infohash(t.InfoHash()) != it.hash || want != nil && t.InfoSum() != *want {
		return nil, fmt.Errorf("%s: %w: it is another torrent", u, mirror.ErrServer)
	}
	return t, nil
}
