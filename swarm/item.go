package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anacrolix/torrent"

	"handful/manifest"
	"handful/swarm/policy"
	"handful/swarm/store"
)

// Errors that end an item, beside those of the store.
var (
	// ErrContent means that what was received is not what was published, and that
	// no other peer can mend it.
	ErrContent = errors.New("content did not verify")
	// ErrClosed means that the node or the item was closed.
	ErrClosed = errors.New("the node is closed")
)

// layerGrace is how long a download waits for piece layers before it starts with
// what SHA-1 can check; whole files are then verified before they are used.
const layerGrace = 5 * time.Second

// Spec says what to add to a node.
type Spec struct {
	// Infohash under which peers know the torrent. Taken from Torrent if that is
	// set.
	Infohash Infohash
	// Torrent is the metainfo; nil if it must be asked of peers (BEP 9).
	Torrent *manifest.Torrent
	// InfoSum is the SHA-256 that the info dict must have; nil if it was not
	// promised by anybody we trust, and only the infohash binds it.
	InfoSum *[32]byte
	// Content is complete content to seed. Else Open is called, once the metainfo
	// is known, for the content to fill.
	Content *store.Content
	Open    func(*manifest.Torrent) (*store.Content, error)
	// Origin marks a publisher's own seed; see the economy in package policy.
	Origin   bool
	Name     string           // shown until the metainfo is known
	Peers    []netip.AddrPort // hints
	Trackers []string         // announce URLs, beside the node's own
	// Unlisted keeps the item out of the DHT, as what belongs to a private channel.
	Unlisted bool
	// WebSeeds are URLs of the files (BEP 19): the last resort. WebTorrents are URLs of the
	// torrent file, for when no peer tells the metadata.
	WebSeeds, WebTorrents []string
}

// Item is one torrent of a node.
type Item struct {
	node    *Node
	spec    Spec
	hash    Infohash
	origin  bool
	private atomic.Bool
	gossip  *Gossip          // set for a swarm without content
	t       *torrent.Torrent // set before anybody else can see the item
	count   count
	blame   blame
	pieces  atomic.Int64 // number of pieces; 0 until the metainfo is known
	left    atomic.Int64 // bytes missing; the loop writes it
	opened  atomic.Bool  // the engine has the content
	came    origins
	// webTorrent is what a web server told, and fits; nil until then.
	webTorrent atomic.Pointer[manifest.Torrent]
	given      given // how often each piece was sent
	cancel     context.CancelFunc
	done       chan struct{} // closed when complete or failed
	stopped    chan struct{} // closed when run has returned
	filled     chan struct{} // closed when every piece is verified
	layered    chan struct{} // closed when no piece layer is missing
	ending     sync.Once     // of the first send to failed
	failed     chan error    // what ends the download: an error of the disk, or a torrent that contradicts itself; capacity 1

	// Set by run before the engine's storage is opened, not changed after.
	torrent *manifest.Torrent
	content *store.Content

	// Owned by the loop.
	state        State
	err          error
	path         string
	unlisted     bool // not to be named in the DHT
	book         *book
	links        map[uint64]*link
	changes      int             // how often links came, went, or said who they are
	sight        *policy.Sight   // set while fetching
	wanted       policy.Set      // pieces that the engine was told to fetch
	early        policy.Set      // pieces that were asked for as a whole, and are not here yet
	grants       *policy.Grants  // set for an origin
	offers       *policy.Offers  // what equals are offered; nil for an origin, and as long as nothing is there
	haves        map[uint64]bool // links that have joined grants
	ledger       ledger          // how the pieces came
	past         roster          // peers that have left
	layerJobs    map[[32]byte]*layerJob
	askOrigin    time.Time // when the origin may be asked for layers
	doneBytes    int64
	reused       int64
	lastProgress time.Time
	stalled      time.Duration // idle time at the last redial
	paceOwn      int64         // what it.sight was told of this node's line, bytes/s
	usefulSeen   int64
	down, up     meter
	host         hostCopy
	web          webCopy
}

// Infohash returns the hash under which the item is known on the wire.
func (it *Item) Infohash() Infohash { return it.hash }

// Done is closed when the item is complete and in place, or has failed.
func (it *Item) Done() <-chan struct{} { return it.done }

// Err returns why the item failed, nil while it has not.
func (it *Item) Err() error {
	var err error
	it.node.view(func() { err = it.err })
	return err
}

// Torrent returns the metainfo, or nil while it is not known.
func (it *Item) Torrent() *manifest.Torrent {
	var t *manifest.Torrent
	it.node.view(func() { t = it.torrent })
	return t
}

// Content returns the item's content, or nil while it is not open. It belongs to the item.
func (it *Item) Content() *store.Content {
	var c *store.Content
	it.node.view(func() { c = it.content })
	return c
}

// AddPeers enters addresses that may have the torrent.
func (it *Item) AddPeers(addrs ...netip.AddrPort) {
	it.node.mail.post(func() {
		for _, a := range addrs {
			it.node.learn(it, a, fromUser)
		}
	})
}

// Snapshot returns the item's state now.
func (it *Item) Snapshot() (s ItemSnapshot) {
	it.node.view(func() { s = it.node.itemSnapshot(it) })
	return s
}

// Remove takes the item out of the node and closes its content, whose state is
// kept.
func (it *Item) Remove() error {
	it.cancel()
	<-it.stopped
	return it.node.remove(it)
}

// run takes the item from its first state to its last.
func (it *Item) run(ctx context.Context) {
	defer close(it.stopped)
	err := it.steps(ctx)
	if ctx.Err() != nil && it.node.ctx.Err() == nil && err == nil {
		return
	}
	if err != nil {
		it.fail(err)
	}
}

func (it *Item) fail(err error) {
	it.node.mail.post(func() {
		if it.state == StateFailed || it.state == StateSeeding && errors.Is(err, context.Canceled) {
			return
		}
		if errors.Is(err, context.Canceled) {
			err = ErrClosed
		}
		it.err = err
		wasDone := it.state == StateSeeding
		it.node.setState(it, StateFailed, err)
		it.node.announceAll()
		it.node.ann.Set([20]byte(it.hash), nil)
		if !wasDone {
			close(it.done)
		}
	})
}

func (it *Item) steps(ctx context.Context) error {
	if it.content != nil { // a seed
		return it.seed(ctx)
	}
	if err := it.metadata(ctx); err != nil {
		return err
	}
	if err := it.awaitLayers(ctx); err != nil {
		return err
	}
	content, err := it.spec.Open(it.torrent)
	if err != nil {
		return err
	}
	if !it.node.call(func() { it.content = content; it.blame.reader = content.ReadPiece }) {
		content.Close()
		return ErrClosed
	}
	if err := it.check(ctx); err != nil {
		return err
	}
	if err := it.fetch(ctx); err != nil {
		return err
	}
	it.node.move(it, StateFinishing)
	path, err := content.Finish(ctx)
	if err != nil {
		return err
	}
	it.node.call(func() {
		it.path = path
		it.left.Store(0)
		it.sight = nil
		it.node.setState(it, StateSeeding, nil)
		it.node.tellPaths(it)
		close(it.done)
	})
	return it.watchSource(ctx)
}

func (it *Item) seed(ctx context.Context) error {
	it.blame.reader = it.content.ReadPiece
	if err := it.node.eng.open(ctx, it); err != nil {
		return err
	}
	it.node.call(func() {
		it.doneBytes = it.torrent.Length()
		it.reused = it.doneBytes
		it.node.setState(it, StateSeeding, nil)
		it.node.tellPaths(it)
		close(it.done)
	})
	return it.watchSource(ctx)
}

// metadata waits for the info dict and checks it.
func (it *Item) metadata(ctx context.Context) error {
	if it.torrent == nil {
		if err := it.awaitInfo(ctx); err != nil {
			return err
		}
		info := it.t.Metainfo().InfoBytes
		t, err := manifest.ParseInfo(info)
		if err != nil {
			return fmt.Errorf("metadata of %s: %w", it.hash, err)
		}
		if w := it.webTorrent.Load(); w != nil {
			for _, l := range t.MissingLayers() {
				if err := t.AddLayer(l.Root, w.Layer(l.Root)); err != nil {
					it.node.log.Debug("a layer is missing on the web too", "torrent", it.hash, "err", err)
				}
			}
		}
		set := it.node.call(func() {
			it.torrent = t
			if t.Private { // known only now; see BEP 27
				it.private.Store(true)
				it.node.announceAll()
				for _, l := range it.links {
					l.pex.on = false
				}
			}
		})
		if !set {
			return ErrClosed
		}
		it.node.eng.alias(it)
		if it.webTorrent.Load() != nil {
			it.t.AddPieceLayers(layersOf(t))
		}
	}
	if want := it.spec.InfoSum; want != nil && it.torrent.InfoSum() != *want {
		return fmt.Errorf("metadata of %s: SHA-256 of the info dict is not the one that was signed: %w", it.hash, ErrContent)
	}
	if err := supported(it.torrent); err != nil {
		return err
	}
	it.left.Store(it.torrent.Length())
	it.pieces.Store(int64(it.torrent.NumPieces()))
	it.given.setPiece(it.torrent.PieceLength)
	return nil
}

// awaitInfo waits for the info dict.
func (it *Item) awaitInfo(ctx context.Context) error {
	if len(it.spec.WebTorrents) > 0 {
		asking, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { it.webMetadata(asking) })
		defer wg.Wait()
		defer stop()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-it.t.GotInfo():
		return nil
	}
}

// supported refuses metainfo on which the engine would panic: it cannot place
// entries of no bytes in a file tree of BEP 52.
func supported(t *manifest.Torrent) error {
	if t.SparseTree() {
		return fmt.Errorf("torrent %q has v2 metadata and empty files or links, which is not supported; ask for it as v1: %w",
			t.Name, errors.ErrUnsupported)
	}
	return nil
}

// awaitLayers asks peers for the piece layers that are missing.
func (it *Item) awaitLayers(ctx context.Context) error {
	missing := it.torrent.MissingLayers()
	if len(missing) == 0 {
		return nil
	}
	it.node.call(func() {
		it.node.setState(it, StateLayers, nil)
		it.node.startLayers(it, missing)
	})
	var grace <-chan time.Time
	if it.torrent.HasV1() {
		timer := time.NewTimer(layerGrace)
		defer timer.Stop()
		grace = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-it.layered:
		it.t.AddPieceLayers(layersOf(it.torrent))
	case <-grace:
	}
	return nil
}

// check verifies what is on disk already.
func (it *Item) check(ctx context.Context) error {
	it.node.move(it, StateChecking)
	n := it.torrent.NumPieces()
	work := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	var have int64
	for range max(1, it.node.cfg.Hashers) {
		wg.Go(func() {
			for i := range work {
				ok, err := it.checkPiece(i)
				mu.Lock()
				if err != nil && first == nil {
					first = err
				}
				if ok {
					have += it.torrent.PieceSize(i)
				}
				mu.Unlock()
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		work <- i
	}
	close(work)
	wg.Wait()
	if err := errors.Join(first, ctx.Err()); err != nil {
		return err
	}
	it.node.call(func() {
		it.doneBytes = have
		it.left.Store(it.torrent.Length() - have)
		it.reused = have
		it.lastProgress = it.node.cfg.Now()
	})
	return nil
}

func (it *Item) checkPiece(i int) (bool, error) {
	complete, known := it.content.State(i)
	if known {
		return complete, nil
	}
	v, err := it.content.Verify(i)
	if err != nil {
		return false, err
	}
	return v != manifest.Bad, it.content.SetComplete(i, v != manifest.Bad)
}

// endFetch ends the download with its first error. The engine's callbacks use it.
func (it *Item) endFetch(err error) {
	it.ending.Do(func() { it.failed <- err })
}

// fetch waits until every piece is there.
func (it *Item) fetch(ctx context.Context) error {
	if it.torrent.NumPieces() == 0 {
		return nil
	}
	it.t.SetOnWriteChunkError(it.endFetch)
	if err := it.node.eng.open(ctx, it); err != nil {
		return err
	}
	copying, stop := context.WithCancel(ctx)
	head, wait := it.startHost(copying)
	defer wait()
	defer it.startWeb(copying)()
	defer stop()
	it.node.call(func() {
		it.node.setState(it, StateFetching, nil)
		for _, l := range it.links {
			it.node.askPath(l)
		}
		it.node.tellPaths(it)
		it.node.filledUp(it)
		it.node.hostStep(it)
	})
	select {
	case <-ctx.Done():
	case <-it.filled:
	case <-head: // the rest is up to what is shown: see wantShown
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-it.failed:
		it.t.DisallowDataDownload()
		return err
	case err := <-it.content.Changed():
		return err
	case <-it.filled:
		return nil
	}
}
