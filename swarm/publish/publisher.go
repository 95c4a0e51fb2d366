package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"handful/signing"
	"handful/signing/durable"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/channel"
	"handful/swarm/discover"
)

// offerUpdate is how many bytes of an update fit an offer's datagram.
const offerUpdate = discover.MaxOffer - 120

// retryTime is how long a head that lacks the signatures of others waits for the next
// attempt.
const retryTime = 30 * time.Second

// Config of a Publisher. The main writer has Keys, a delegated one Guest.
type Config struct {
	Node  *swarm.Node
	Keys  *keyfile.Keys
	Guest *Guest
	Dir   string // of the log
	// Copies is the directory of the logs of the channel's other writers, which are kept
	// whole for mirrors, bundles and followers; beside it, with .known at the end of its name,
	// stands what the main writer's node knows of them. "": none are kept.
	Copies   string
	New      bool // the channel or the writer was made just now
	Peers    []netip.AddrPort
	Trackers []string
	// Cosigners add the signatures of others to a head, where documents ask for them.
	Cosigners []Cosigner
	// Seal encrypts an entry of a private channel; nil: such a channel takes none.
	Seal func(entry []byte) ([]byte, error)
	// Hidden keeps the node from saying that its writer is around.
	Hidden bool
	// Newer is told of a root document that follows the newest one here and that peers have:
	// it was made elsewhere. Its keys are verified; Reload goes over to it. It runs in a
	// goroutine of its own. May be nil.
	Newer  func(raw []byte)
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Guest is a writer whom the main writer has granted.
type Guest struct {
	ID     signing.ID
	Writer string
	Key    ed25519.PrivateKey
	File   string // keeps what is known of the channel, as signing.Trusted.Bytes
}

// Publisher is one writer of one channel on a running node: it appends and signs, pushes
// what is new to followers, and answers their questions. All methods are safe for
// concurrent use.
type Publisher struct {
	cfg     Config
	writer  string
	docs    documents
	known   *learned // of other writers; nil: nothing is kept of them
	shelf   *shelf
	log     *Log
	channel *channel.Channel
	signing sync.Mutex // one Append and Sign at a time; guards seq
	seq     int64      // of the item in the DHT
	stop    context.CancelFunc
	beats   sync.WaitGroup
	ready   chan struct{} // closed when channel is set
	opened  chan struct{} // closed when log is set
	changed chan struct{} // wakes the heartbeat

	mu       sync.Mutex
	answered bool          // a peer has said what it holds
	failed   error         // a fork, or a log that is behind and cannot catch up
	news     chan struct{} // closed and replaced when one of these or the documents change
	peers    map[channel.Peer]bool
	kept     map[[20]byte]bool // items in the DHT, by target
}

// Open opens the log and joins the channel's swarm. For a delegated writer it waits, until
// ctx ends, for documents that grant it.
func Open(ctx context.Context, cfg Config) (*Publisher, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Publisher{cfg: cfg, writer: signing.MainWriter, news: make(chan struct{}),
		ready: make(chan struct{}), opened: make(chan struct{}), changed: make(chan struct{}, 1), peers: make(map[channel.Peer]bool),
		kept: make(map[[20]byte]bool)}
	if cfg.Guest == nil {
		p.docs = &owned{id: cfg.Keys.ID, keys: cfg.Keys}
	} else {
		l, err := openLearned(cfg.Guest.File, cfg.Guest.ID)
		if err != nil {
			return nil, err
		}
		p.docs, p.writer, p.known = l, cfg.Guest.Writer, l
	}
	p.shelf = &shelf{dir: cfg.Copies, id: p.ID(), all: make(map[string]*Copy)}
	if cfg.Guest == nil && cfg.Copies != "" {
		err := (durable.OS{}).MkdirAll(filepath.Dir(cfg.Copies))
		if err != nil {
			return nil, err
		}
		if p.known, err = openLearned(cfg.Copies+".known", p.ID()); err != nil {
			return nil, err
		}
	}
	if err := p.join(ctx); err != nil {
		return nil, err
	}
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	if !cfg.New {
		p.beats.Go(func() { p.hear(beat) })
	}
	if err := p.settle(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.beats.Go(func() { p.heartbeat(beat) })
	if !cfg.Hidden {
		p.beats.Go(func() { p.sayHere(beat) })
	}
	if p.known != nil {
		p.beats.Go(func() { p.catchUp(beat) })
	}
	return p, nil
}

// join opens the log and enters the channel's swarm: the log first, where the documents
// are known.
func (p *Publisher) join(ctx context.Context) error {
	known := p.granted() == nil
	if known {
		if err := p.open(); err != nil {
			return err
		}
		p.teach()
		p.restock()
	}
	var err error
	p.channel, err = channel.Join(p.cfg.Node, channel.Config{
		ID: p.ID(), Source: source{p}, Sink: sink{p}, Peers: p.cfg.Peers, Trackers: p.cfg.Trackers, Now: p.cfg.Now,
		Private: p.secret(), Origin: true, Writers: p.writers, VerifyHere: p.verifyHere,
	})
	if err != nil {
		return errors.Join(err, p.closeLog())
	}
	close(p.ready)
	if known {
		return nil
	}
	if err = p.await(ctx); err == nil {
		err = p.open()
	}
	if err != nil {
		return errors.Join(err, p.channel.Leave(context.WithoutCancel(ctx)))
	}
	return nil
}

func (p *Publisher) open() error {
	root, targets := p.docs.newest()
	c := LogConfig{Root: root, Targets: targets, Writer: p.writer, New: p.cfg.New}
	if key := p.key(); key != nil {
		c.Key = key
	}
	log, err := OpenLog(p.cfg.Dir, c)
	if err != nil {
		return err
	}
	p.log = log
	close(p.opened)
	if p.cfg.Guest == nil {
		return nil
	}
	if r, t := p.docs.newest(); r != root || t != targets { // came in between
		return p.log.Adopt(r, t, p.cfg.Guest.Key)
	}
	return nil
}

func (p *Publisher) closeLog() error {
	if !p.isOpen() {
		return nil
	}
	return p.log.Close()
}

// isOpen reports whether the log is there: a delegated writer joins the swarm without.
func (p *Publisher) isOpen() bool {
	select {
	case <-p.opened:
		return true
	default:
		return false
	}
}

// key returns what signs heads here, or nil.
func (p *Publisher) key() ed25519.PrivateKey {
	if p.cfg.Guest != nil {
		return p.cfg.Guest.Key
	}
	return p.docs.(*owned).now().Online
}

// ID returns the channel.
func (p *Publisher) ID() signing.ID { return p.docs.channel() }

// Writer returns the name under which this one publishes.
func (p *Publisher) Writer() string { return p.writer }

// Log returns the log, to read what was published.
func (p *Publisher) Log() *Log { return p.log }

// Root returns the newest root document.
func (p *Publisher) Root() *signing.Root {
	root, _ := p.docs.newest()
	return root
}

// AllowsTorrent reports whether the entries of this writer may name a torrent; see
// [signing.Writer.AllowsTorrent].
func (p *Publisher) AllowsTorrent(name string) bool {
	_, targets := p.docs.newest()
	if p.writer == signing.MainWriter || targets == nil {
		return p.writer == signing.MainWriter
	}
	w, err := targets.Writer(p.writer)
	return err == nil && w.AllowsTorrent(name)
}

// Publish appends an entry, signs, and pushes the news. What the entry says about documents
// (^) is set. When it returns without error the head is on disk and followers can have it;
// after an error the entry may be published nevertheless, and after [ErrCosign] it will be.
func (p *Publisher) Publish(entry []byte) (index int64, err error) {
	return p.PublishAll([][]byte{entry})
}

// PublishAll is Publish for several entries, in their order, under one head: the index is
// that of the first. After an error all of them may be published nevertheless, or none is;
// after a crash the first few may be.
func (p *Publisher) PublishAll(entries [][]byte) (first int64, err error) {
	if len(entries) == 0 {
		return p.log.Size(), nil
	}
	if p.cfg.Guest != nil && p.Failed() == nil {
		if err := p.await(context.Background()); err != nil { // after a base writers are granted again
			return 0, err
		}
	}
	p.signing.Lock()
	defer p.signing.Unlock()
	if err := p.Failed(); err != nil {
		return 0, err
	}
	if p.cfg.Guest != nil {
		if err := p.adopt(); err != nil {
			return 0, err
		}
	}
	stamped := make([][]byte, len(entries))
	for i, entry := range entries {
		if entry, err = p.sealed(entry); err != nil {
			return 0, err
		}
		if stamped[i], err = p.stamp(entry); err != nil {
			return 0, err
		}
	}
	before := p.log.Head().Size
	if first, err = p.log.AppendAll(stamped); err != nil {
		return 0, err
	}
	return first, p.sign(before)
}

// stamp lets an entry point to the newest documents.
func (p *Publisher) stamp(entry []byte) ([]byte, error) {
	root, _ := p.docs.newest()
	at, _, _ := p.log.Grant()
	return signing.StampEntry(entry, root.Version(), at+1)
}

// append adds an entry that points to the newest documents.
func (p *Publisher) append(entry []byte) (int64, error) {
	entry, err := p.stamp(entry)
	if err != nil {
		return 0, err
	}
	return p.log.Append(entry)
}

// sign signs the log and tells everybody who had before entries.
func (p *Publisher) sign(before int64) error {
	raw, err := p.log.Propose(p.cfg.Now())
	if err != nil {
		return err
	}
	if raw, err = p.cosign(raw); err != nil {
		p.wake()
		return err
	}
	if _, err := p.log.Accept(raw); err != nil {
		return err
	}
	p.teach()
	u, err := p.log.UpdateFor(min(before, p.log.Head().Size))
	if err != nil {
		return err
	}
	p.channel.Push(p.writer, u, 0)
	p.offer()
	p.point()
	return nil
}

// offer puts the newest on the local network; that it cannot is no error.
func (p *Publisher) offer() {
	if p.Private() {
		return
	}
	u, err := p.log.UpdateWithin(0, offerUpdate)
	if err != nil {
		return
	}
	b := u.Bytes()
	if len(b) > offerUpdate {
		b = signing.Update{Head: u.Head}.Bytes()
	}
	o := discover.Offer{ID: p.ID().String(), Writer: p.writer, Update: b}
	if err := p.cfg.Node.Offer(o); err != nil {
		p.cfg.Logger.Debug("not offered on the local network", "err", err)
	}
}

// heartbeat signs the same log anew, so that followers see that nothing is withheld from
// them, and tries again what others have not signed yet.
func (p *Publisher) heartbeat(ctx context.Context) {
	for {
		every := p.Root().MaxAge(p.writer) / 3
		if p.log.Unsigned() && (every == 0 || every > retryTime) {
			every = retryTime
		}
		t := time.NewTimer(max(every, time.Second))
		if every == 0 {
			t.Stop()
		}
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-p.changed: // other documents, or something to try again
			t.Stop()
			continue
		case <-t.C:
		}
		p.signing.Lock()
		if p.log.Size() > 0 {
			if err := p.sign(p.log.Head().Size); err != nil {
				p.cfg.Logger.Warn("heartbeat not signed", "channel", p.ID(), "err", err)
			}
		}
		p.signing.Unlock()
	}
}

// wake lets the heartbeat look at what has changed.
func (p *Publisher) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// Reload goes over to the newer documents and keys of the channel: the log goes back where
// they say so, the head is signed anew, the newest targets document is granted unless the
// log says so already, and followers are told. It is for the main writer.
func (p *Publisher) Reload(keys *keyfile.Keys) error {
	o, ok := p.docs.(*owned)
	if !ok || keys.ID != p.ID() {
		return fmt.Errorf("channel %s: documents of channel %s are not for writer %q", p.ID(), keys.ID, p.writer)
	}
	p.signing.Lock()
	defer p.signing.Unlock()
	p.unpoint()
	o.set(keys)
	if keys.Online == nil {
		return fmt.Errorf("channel %s: the key that signs heads: %w", p.ID(), ErrNoKey)
	}
	if err := p.log.Adopt(keys.Newest(), nil, keys.Online); err != nil {
		return err
	}
	p.teach()
	p.change(func() { p.failed = nil })
	p.wake()
	err := p.refresh()
	p.ask(p.channel.Peers()) // the log may be of another history than the base
	return err
}

// refresh grants the newest targets document, signs what has to be signed, and tells
// everybody: a log that went back is no news for who counts entries. The caller holds signing.
func (p *Publisher) refresh() error {
	before := p.log.Head().Size
	if err := p.regrant(); err != nil {
		return err
	}
	if p.log.Size() == 0 {
		return nil
	}
	if err := p.sign(before); err != nil {
		return err
	}
	return p.tell()
}

// tell sends the newest head to all peers, whatever they hold.
func (p *Publisher) tell() error {
	u, err := p.log.UpdateFor(p.log.Head().Size)
	if err != nil {
		return err
	}
	for _, peer := range p.channel.Peers() {
		p.channel.SendUpdate(peer, p.writer, u)
	}
	return nil
}

// regrant puts the newest targets document into force, unless it is: after a crash, or
// when a base has taken the grant back.
func (p *Publisher) regrant() error {
	root, doc := p.docs.newest()
	if p.writer != signing.MainWriter || doc == nil {
		return nil
	}
	at, hash, _ := p.log.Grant()
	if at >= 0 && hash == doc.Hash() {
		return nil
	}
	if _, err := root.OpenTargets(doc.Bytes()); err != nil {
		p.cfg.Logger.Warn("the targets document is not signed by the keys in force, and no other writer is believed", "channel", p.ID(), "err", err)
		return nil
	}
	_, err := p.append(signing.GrantEntry(doc, p.cfg.Now().UnixMilli(), root.Version(), at))
	return err
}

// Close leaves the channel's swarm and closes the log.
func (p *Publisher) Close() error {
	p.stop()
	p.beats.Wait()
	p.unpoint()
	err := p.channel.Leave(context.Background())
	return errors.Join(err, p.closeLog(), p.shelf.close())
}
