package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	g "github.com/anacrolix/generics"
	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"
	pp "github.com/anacrolix/torrent/peer_protocol"
	"github.com/anacrolix/torrent/storage"
	infohash_v2 "github.com/anacrolix/torrent/types/infohash-v2"
	"golang.org/x/time/rate"

	"handful/manifest"
)

// clientPrefix begins our peer ids (BEP 20).
const clientPrefix = "-HF0100-"

// maxConns is how many connections a torrent keeps.
const maxConns = 80

// engine wraps the one torrent.Client of a node. Its callbacks run under the
// client's lock: they touch only what links and masks allow, post values to the
// node's mailbox and return.
type engine struct {
	cl   *torrent.Client
	node *Node
	taps taps

	uplink  *uplink
	limits  limits
	proving atomic.Int32 // hash requests that are being answered

	mu     sync.Mutex
	items  map[Infohash]*Item // by every short hash under which a peer may ask
	links  map[*torrent.PeerConn]*link
	nextID uint64
	banned map[liar]bool
}

// liar is who sent wrong bytes. The address belongs to it because anybody can take
// another's peer id, and without the id a whole NAT would be meant.
type liar struct {
	id [20]byte
	ip netip.Addr
}

// maxBanned bounds the list of liars.
const maxBanned = 4096

func newEngine(n *Node) (*engine, error) {
	e := &engine{
		node:   n,
		uplink: newUplink(time.Now), // it sleeps by that clock
		items:  make(map[Infohash]*Item),
		links:  make(map[*torrent.PeerConn]*link),
		banned: make(map[liar]bool),
	}
	e.uplink.onIdle, e.uplink.onLow = n.lineIdle, n.lineLow
	cfg := torrent.NewDefaultClientConfig()
	// No socket, discovery or storage of the engine's own: the node brings them.
	cfg.DisableTCP, cfg.DisableUTP, cfg.NoDHT = true, true, true
	cfg.DisableTrackers, cfg.DisablePEX = true, true
	cfg.NoDefaultPortForwarding, cfg.DisableWebtorrent, cfg.DisableWebseeds = true, true, true
	cfg.DefaultStorage = noStorage{}
	// Seed also while leeching: otherwise a fresh peer, which has nothing to
	// offer yet, is served nothing.
	cfg.Seed = true
	cfg.AlwaysWantConns = true
	cfg.DropDuplicatePeerIds = true
	// An origin must know whether a complete peer is still there to pass pieces on.
	cfg.DropMutuallyCompletePeers = false
	// A request that is on its way is not asked of somebody else for a while: the
	// block would arrive twice. It can be short, since a piece is seen at two peers
	// only where the first keeps it waiting.
	cfg.StealRequestGrace = 500 * time.Millisecond
	cfg.HeaderObfuscationPolicy = torrent.HeaderObfuscationPolicy{Preferred: false, RequirePreferred: false}
	cfg.EstablishedConnsPerTorrent = maxConns
	cfg.HandshakesTimeout = 10 * time.Second
	cfg.NominalDialTimeout = 10 * time.Second
	cfg.DialRateLimiter = rate.NewLimiter(rate.Inf, 1)
	cfg.MaxAllocPeerRequestDataPerConn = 1 << 20
	// The engine's window counts pieces that nobody shows as well, and starts with
	// them: with grants it would be full of those, and nothing be asked for.
	cfg.MaxUnverifiedBytes = 0
	cfg.PieceHashersPerTorrent = max(2, n.cfg.Hashers)
	cfg.Bep20 = clientPrefix
	cfg.ExtendedHandshakeClientVersion = "Handful"
	cfg.HTTPUserAgent = "Handful"
	cfg.Slogger = slog.New(demoted{n.log.Handler()})
	e.applyLimits(n.cfg.Now())
	e.taps.now, e.taps.up = n.cfg.Now, e.uplink
	cfg.Callbacks = torrent.Callbacks{
		PeerConnAdded:                []func(*torrent.PeerConn){e.connAdded},
		PeerConnClosed:               e.connClosed,
		ReadExtendedHandshake:        e.handshook,
		ReadMessage:                  e.read,
		PeerConnReadExtensionMessage: []func(torrent.PeerConnReadExtensionMessageEvent){e.extension},
		ReceivedUsefulData:           []func(torrent.ReceivedUsefulDataEvent){e.useful},
		SentRequest:                  []func(torrent.PeerRequestEvent){func(ev torrent.PeerRequestEvent) { e.asked(ev, 1) }},
		DeletedRequest:               []func(torrent.PeerRequestEvent){func(ev torrent.PeerRequestEvent) { e.asked(ev, -1) }},
	}
	cl, err := torrent.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("start the torrent engine: %w", err)
	}
	e.cl = cl
	cl.AddListener(e.taps.listener(n.front.bt, e.secretKeys))
	cl.AddDialer(tapDialer{&peerDialer{allow: n.mayDial, from: n.front.addrPort().Addr()}, &e.taps})
	return e, nil
}

func (e *engine) close() error { return errors.Join(e.cl.Close()...) }

// add registers an item with the client. The metainfo may be unknown.
func (e *engine) add(it *Item) error {
	e.mu.Lock()
	for _, h := range it.hashes() {
		if e.items[h] != nil {
			e.mu.Unlock()
			return fmt.Errorf("torrent %s is already here", h)
		}
	}
	e.items[it.hash] = it
	if it.torrent != nil {
		e.aliasLocked(it)
	}
	e.mu.Unlock()
	opts := torrent.AddTorrentOpts{
		InfoHash:         metainfo.Hash(it.hash),
		DeferStorageOpen: true,
		Storage:          contentStorage{it},
	}
	if t := it.torrent; t != nil {
		opts.InfoBytes = t.InfoBytes
		opts.PieceLayers = layersOf(t)
		if v2, ok := t.InfoHashV2(); ok {
			opts.InfoHashV2 = g.Some(infohash_v2.T(v2))
		}
		if v1, ok := t.InfoHashV1(); ok {
			opts.InfoHash = metainfo.Hash(v1)
		} else {
			opts.InfoHash = metainfo.Hash{}
		}
	}
	t, _ := e.cl.AddTorrentOpt(opts)
	it.t = t
	if it.torrent != nil && t.Info() == nil {
		e.drop(it)
		return fmt.Errorf("torrent %s: the engine refuses its info dict", it.hash)
	}
	return nil
}

// alias makes the item known under its second short hash, once the metainfo
// tells it: clients that speak v2 ask for a hybrid by the hash of BEP 52.
func (e *engine) alias(it *Item) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.aliasLocked(it)
}

func (e *engine) aliasLocked(it *Item) {
	for _, h := range it.hashes() {
		if e.items[h] == nil {
			e.items[h] = it
		}
	}
}

// hashes returns every short hash of the item that is known.
func (it *Item) hashes() []Infohash {
	out := []Infohash{it.hash}
	if it.torrent == nil {
		return out
	}
	if v1, ok := it.torrent.InfoHashV1(); ok {
		out = append(out, Infohash(v1))
	}
	if v2, ok := it.torrent.InfoHashV2(); ok {
		out = append(out, Infohash(v2[:20]))
	}
	return out
}

// item returns the item that goes by an infohash, nil if there is none.
func (e *engine) item(ih Infohash) *Item {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.items[ih]
}

// secretKeys gives the infohashes that an obfuscated handshake may be about.
func (e *engine) secretKeys(use func([]byte) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ih := range e.items {
		if !use(ih[:]) {
			return
		}
	}
}

func (e *engine) has(ih Infohash) bool { return e.item(ih) != nil }

func (e *engine) drop(it *Item) {
	e.mu.Lock()
	for h, other := range e.items {
		if other == it {
			delete(e.items, h)
		}
	}
	e.mu.Unlock()
	if it.t != nil {
		it.t.Drop()
	}
}

// open gives the engine the item's storage.
func (e *engine) open(ctx context.Context, it *Item) error {
	if err := it.t.OpenStorage(ctx, contentStorage{it}); err != nil {
		return err
	}
	it.opened.Store(true)
	return nil
}

// want lets the engine ask for pieces, ascending, or keeps it from doing so. It takes
// the client's lock.
func (e *engine) want(it *Item, pieces []int, wanted bool) {
	for len(pieces) > 0 {
		k := 1
		for k < len(pieces) && pieces[k] == pieces[0]+k {
			k++
		}
		if wanted {
			it.t.DownloadPieces(pieces[0], pieces[0]+k)
		} else {
			it.t.CancelPieces(pieces[0], pieces[0]+k)
		}
		pieces = pieces[k:]
	}
}

// layersOf returns the piece layers that are known; nil where there can be none,
// because the engine takes an empty map for a promise of v2 metadata, and stops
// half way when a torrent has none.
func layersOf(t *manifest.Torrent) map[string]string {
	if !t.HasV2() {
		return nil
	}
	out := make(map[string]string)
	for _, f := range t.Files {
		if l := t.Layer(f.PiecesRoot); len(l) > 0 {
			out[string(f.PiecesRoot[:])] = string(l)
		}
	}
	return out
}

// dial asks the client to connect.
func (e *engine) dial(it *Item, addrs []netip.AddrPort) {
	peers := make([]torrent.PeerInfo, 0, len(addrs))
	for _, a := range addrs {
		peers = append(peers, torrent.PeerInfo{Addr: a, Source: torrent.PeerSourceDirect})
	}
	it.t.AddPeers(peers)
}

// send writes one of our extension messages. It takes the client's lock, so it is
// never called from a callback. A peer that is gone or lacks the extension is no
// error.
func (e *engine) send(l *link, ext string, payload []byte) {
	if err := l.pc.WriteExtendedMessage(pp.ExtensionName(ext), payload); err != nil {
		e.node.log.Debug("message not sent", "extension", ext, "peer", l.pc.RemoteAddr, "err", err)
	}
}

func (e *engine) link(pc *torrent.PeerConn) *link {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.links[pc]
}

// linksOf returns the connections about an item.
func (e *engine) linksOf(it *Item) (out []*link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.links {
		if l.item == it {
			out = append(out, l)
		}
	}
	return out
}

// connAdded runs before the extended handshake is sent: it names our extensions.
func (e *engine) connAdded(pc *torrent.PeerConn) {
	var remote netip.AddrPort // the zero value if it cannot be parsed
	if ap, err := netip.ParseAddrPort(pc.RemoteAddr.String()); err == nil {
		remote = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	e.mu.Lock()
	it := e.items[Infohash(pc.Torrent().InfoHash())]
	banned := e.banned[liar{pc.PeerID, remote.Addr()}]
	if it == nil || banned {
		e.mu.Unlock()
		go pc.Close() // the lock is held: closing inline would deadlock
		return
	}
	e.nextID++
	l := &link{id: e.nextID, pc: pc, item: it, remote: remote, outgoing: pc.Discovery != torrent.PeerSourceIncoming,
		local: e.node.lan.own(remote.Addr()), key: peerKey(pc.PeerID, it.hash)}
	l.tier.Store(uint32(e.node.firstTier(l.remote.Addr())))
	l.tap = e.taps.claim(pc.RemoteAddr.String(), pc.PeerID, func(ih Infohash) bool { return e.items[ih] == it })
	if l.tap != nil {
		l.tap.govern(outgoing{
			urgent:  func(piece int) bool { return it.came.awaited(piece, Tier(l.tier.Load())) && l.acts(piece) },
			has:     l.claims.has,
			equal:   func() bool { return Tier(l.tier.Load()) <= TierSite },
			later:   func(piece int) bool { return Tier(l.tier.Load()) > TierSite && l.ours.Load() && it.came.near(piece) },
			conceal: it.origin,
			given:   &it.given,
		})
		near := e.node.lan.own(remote.Addr()) || e.node.lan.local(remote.Addr())
		l.tap.place(e.node.classOf(near), !near)
	}
	e.links[pc] = l
	e.mu.Unlock()

	m := torrent.LocalLtepProtocolMap{Index: []pp.ExtensionName{pp.ExtensionNameMetadata}, NumBuiltin: 1}
	if it.gossip != nil {
		m.AddUserProtocol(pp.ExtensionName(it.gossip.protocol))
	}
	m.AddUserProtocol(extSwarm)
	if it.origin || it.gossip != nil && it.gossip.origin {
		m.AddUserProtocol(extOrigin)
	}
	if !it.private.Load() {
		m.AddUserProtocol(extPEX)
	}
	pc.LocalLtepProtocolMap = &m
	e.node.mail.post(func() { e.node.linkUp(l) })
}

func (e *engine) connClosed(pc *torrent.PeerConn) {
	e.mu.Lock()
	l := e.links[pc]
	delete(e.links, pc)
	e.mu.Unlock()
	if l != nil {
		e.node.mail.post(func() { e.node.linkDown(l) })
	}
}

func (e *engine) handshook(pc *torrent.PeerConn, h *pp.ExtendedHandshakeMessage) {
	l := e.link(pc)
	if l == nil || l.shaken.Swap(true) {
		return // who a peer is, it says once
	}
	_, ours := h.M[extSwarm]
	_, origin := h.M[extOrigin]
	l.ours.Store(ours)
	l.origin.Store(ours && origin)
	client, port := h.V, h.Port
	pex := h.M[extPEX] != 0
	var gossip bool
	if l.item.gossip != nil {
		_, gossip = h.M[pp.ExtensionName(l.item.gossip.protocol)]
	}
	e.node.mail.post(func() { e.node.linkHandshook(l, client, port, pex, gossip) })
}

func (e *engine) useful(ev torrent.ReceivedUsefulDataEvent) {
	pc, ok := ev.Peer.TryAsPeerConn()
	if !ok {
		return
	}
	l := e.link(pc)
	if l == nil {
		return
	}
	n := int64(len(ev.Message.Piece))
	l.item.count.useful.Add(n)
	l.useful.Add(n)
	l.item.blame.received(int(ev.Message.Index), int64(ev.Message.Begin), n, l)
}

// asked counts the requests that a peer has not answered.
func (e *engine) asked(ev torrent.PeerRequestEvent, n int64) {
	if pc, ok := ev.Peer.TryAsPeerConn(); ok {
		if l := e.link(pc); l != nil {
			l.asked.Add(n)
		}
	}
}

// extension hands our own messages and PEX to the loop.
func (e *engine) extension(ev torrent.PeerConnReadExtensionMessageEvent) {
	if ev.ExtensionNumber == pp.HandshakeExtendedID {
		return
	}
	l := e.link(ev.PeerConn)
	if l == nil {
		return
	}
	name, builtin, err := ev.PeerConn.LocalLtepProtocolMap.LookupId(ev.ExtensionNumber)
	if err != nil || builtin {
		return
	}
	payload := slices.Clone(ev.Payload)
	if name == extSwarm && len(payload) > 0 && payload[0] == kindPong {
		at := e.node.cfg.Now() // and not when the loop comes to it
		e.node.tell(l, len(payload), func() { e.node.ponged(l, payload[1:], at) })
		return
	}
	if gs := l.item.gossip; gs != nil && string(name) == gs.protocol {
		gs.deliver(gossipEvent{peer: l.id, addr: netip.AddrPortFrom(l.remote.Addr(), 0), payload: payload, link: l})
		return
	}
	e.node.tell(l, len(payload), func() { e.node.message(l, string(name), payload) })
}

// ban closes a peer's connections and refuses it from now on.
func (e *engine) ban(l *link) {
	e.mu.Lock()
	if len(e.banned) >= maxBanned {
		for old := range e.banned {
			delete(e.banned, old)
			break
		}
	}
	e.banned[liar{l.pc.PeerID, l.remote.Addr()}] = true
	var same []*torrent.PeerConn
	for pc, other := range e.links {
		if other.samePeer(l) {
			same = append(same, pc)
		}
	}
	e.mu.Unlock()
	for _, pc := range same {
		pc.Close()
	}
}

// demoted passes the engine's log records on as debug records: what the user must
// know, the node says itself.
type demoted struct{ h slog.Handler }

func (d demoted) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelInfo && d.h.Enabled(ctx, slog.LevelDebug)
}

func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return d.h.Handle(ctx, r)
}

func (d demoted) WithAttrs(a []slog.Attr) slog.Handler { return demoted{d.h.WithAttrs(a)} }
func (d demoted) WithGroup(name string) slog.Handler   { return demoted{d.h.WithGroup(name)} }

// noStorage refuses to open anything: every torrent brings its own storage.
type noStorage struct{}

func (noStorage) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{}, errors.New("no default storage")
}
