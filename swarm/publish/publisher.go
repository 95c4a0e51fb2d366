package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"handful/signing"
	"handful/signing/keyfile"
	"handful/swarm"
	"handful/swarm/channel"
	"handful/swarm/discover"
)

// How long a publisher waits for the network's word on what it published before:
// for a first peer, and for the answer of one that is there.
const (
	askAlone    = time.Second
	askAnswered = 3 * time.Second
)

// offerUpdate is how many bytes of an update fit an offer's datagram.
const offerUpdate = discover.MaxOffer - 120

// ErrUnheard: nobody could be asked what was published before, and the log does
// not know it itself.
var ErrUnheard = errors.New("no peer of the channel could be asked what was published before")

// Config of a Publisher.
type Config struct {
	Node     *swarm.Node
	Keys     *keyfile.Keys
	Dir      string // of the log
	New      bool   // the channel was made just now
	Peers    []netip.AddrPort
	Trackers []string
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Publisher is the main writer of one channel on a running node: it appends and
// signs, pushes what is new to followers, and answers their questions. All methods
// are safe for concurrent use.
type Publisher struct {
	cfg     Config
	log     *Log
	channel *channel.Channel
	signing sync.Mutex // one Append and Sign at a time; guards seq
	seq     int64      // of the item in the DHT
	stop    context.CancelFunc
	beats   sync.WaitGroup
	ready   chan struct{} // closed when channel is set

	mu       sync.Mutex
	answered bool          // a peer has said what it holds
	failed   error         // a fork, or a log that is behind and cannot catch up
	news     chan struct{} // closed and replaced when one of these changes
	peers    int
}

// Open opens the log and joins the channel's swarm.
func Open(ctx context.Context, cfg Config) (*Publisher, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	log, err := OpenLog(cfg.Dir, LogConfig{Root: cfg.Keys.Newest(), Key: cfg.Keys.Online, New: cfg.New})
	if err != nil {
		return nil, err
	}
	p := &Publisher{cfg: cfg, log: log, news: make(chan struct{}), ready: make(chan struct{})}
	p.channel, err = channel.Join(cfg.Node, channel.Config{
		ID: cfg.Keys.ID, Source: source{p}, Sink: sink{p}, Peers: cfg.Peers, Trackers: cfg.Trackers, Now: cfg.Now,
		Private: p.Private(), Origin: true,
	})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	close(p.ready)
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	if !cfg.New {
		p.beats.Go(func() { p.hear(beat) })
	}
	if err := p.settle(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if age := cfg.Keys.Newest().MaxAge(signing.MainWriter); age > 0 {
		p.beats.Go(func() { p.heartbeat(beat, age/3) })
	}
	return p, nil
}

// ID returns the channel.
func (p *Publisher) ID() signing.ID { return p.cfg.Keys.ID }

// Log returns the log, to read what was published.
func (p *Publisher) Log() *Log { return p.log }

// Publish appends an entry, signs, and pushes the news. When it returns without
// error the head is on disk and followers can have it; after an error the entry
// may be published nevertheless.
func (p *Publisher) Publish(entry []byte) (index int64, err error) {
	p.signing.Lock()
	defer p.signing.Unlock()
	before := p.log.Size()
	if index, err = p.log.Append(entry); err != nil {
		return 0, err
	}
	return index, p.sign(before)
}

// sign signs the log and tells everybody who had before entries.
func (p *Publisher) sign(before int64) error {
	if _, err := p.log.Sign(p.cfg.Now()); err != nil {
		return err
	}
	u, err := p.log.UpdateFor(before)
	if err != nil {
		return err
	}
	p.channel.Push(signing.MainWriter, u, 0)
	p.offer()
	p.point()
	return nil
}

// offer puts the newest on the local network; that it cannot is no error.
func (p *Publisher) offer() {
	if p.cfg.Keys.Newest().Private() {
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
	o := discover.Offer{ID: p.ID().String(), Writer: signing.MainWriter, Update: b}
	if err := p.cfg.Node.Offer(o); err != nil {
		p.cfg.Logger.Debug("not offered on the local network", "err", err)
	}
}

// heartbeat signs the same log anew, so that followers see that nothing is
// withheld from them.
func (p *Publisher) heartbeat(ctx context.Context, every time.Duration) {
	t := time.NewTicker(max(every, time.Second))
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			p.signing.Lock()
			if size := p.log.Size(); size > 0 {
				if err := p.sign(size); err != nil {
					p.cfg.Logger.Warn("heartbeat not signed", "channel", p.ID(), "err", err)
				}
			}
			p.signing.Unlock()
		}
	}
}

// Close leaves the channel's swarm and closes the log.
func (p *Publisher) Close() error {
	p.stop()
	p.beats.Wait()
	p.unpoint()
	err := p.channel.Leave(context.Background())
	return errors.Join(err, p.log.Close())
}

// settle asks the network what it holds, so that an old backup never signs over
// what was published since.
func (p *Publisher) settle(ctx context.Context) error {
	if p.cfg.New {
		return nil
	}
	alone := time.NewTimer(askAlone)
	defer alone.Stop()
	late := time.NewTimer(askAnswered)
	defer late.Stop()
	asking := true
	for asking {
		p.mu.Lock()
		answered, peers, failed, news := p.answered, p.peers, p.failed, p.news
		p.mu.Unlock()
		if failed != nil {
			return failed
		}
		if answered && p.log.Network().Raw == nil {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news:
		case <-alone.C:
			asking = peers > 0
		case <-late.C:
			asking = false
		}
	}
	return p.settled()
}

func (p *Publisher) settled() error {
	p.mu.Lock()
	answered := p.answered
	p.mu.Unlock()
	if n := p.log.Network(); n.Raw != nil {
		return fmt.Errorf("channel %s: %d entries were published, the log here has %d: %w", p.ID(), n.Size, p.log.Size(), ErrBehind)
	}
	if answered {
		if err := p.log.Confirm(); err != nil {
			return err
		}
	}
	p.signing.Lock()
	defer p.signing.Unlock()
	if !p.log.Unsigned() && p.log.Head().Raw != nil {
		p.offer()
		p.point()
		return nil
	}
	if p.log.Size() == 0 {
		return nil
	}
	err := p.sign(p.log.Head().Size)
	if errors.Is(err, ErrUnconfirmed) && !answered {
		return fmt.Errorf("channel %s: %w: %w", p.ID(), ErrUnheard, err)
	}
	return err
}

func (p *Publisher) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.news)
	p.news = make(chan struct{})
}

// source is what followers can ask.
type source struct{ p *Publisher }

func (s source) UpdateFor(writer string, size int64) (signing.Update, bool) {
	if writer != signing.MainWriter {
		return signing.Update{}, false
	}
	u, err := s.p.log.UpdateFor(size)
	return u, err == nil
}

func (s source) RootBytes(version int64) []byte {
	roots := s.p.cfg.Keys.Roots
	if version < 1 || version > int64(len(roots)) {
		return nil
	}
	return roots[version-1].Bytes()
}

func (s source) Page(writer string, first, count, size int64) (signing.Page, bool) {
	if writer != signing.MainWriter {
		return signing.Page{}, false
	}
	page, err := s.p.log.Page(first, count, size)
	return page, err == nil
}

func (s source) Range(writer string, size int64) ([][32]byte, bool) {
	if writer != signing.MainWriter {
		return nil, false
	}
	r, err := s.p.log.Range(size)
	return r, err == nil
}

// sink hears what the network holds of this publisher's own.
type sink struct{ p *Publisher }

func (s sink) Joined(peer channel.Peer, _ netip.AddrPort) {
	<-s.p.ready // a peer may be there before Join has returned; this is the first that is heard of it
	s.p.change(func() { s.p.peers++ })
	s.p.channel.AskUpdate(peer, signing.MainWriter, s.p.log.Size())
}

func (s sink) Left(channel.Peer) { s.p.change(func() { s.p.peers-- }) }

func (s sink) Update(peer channel.Peer, writer string, u signing.Update) {
	if writer != signing.MainWriter {
		return
	}
	p := s.p
	err := p.log.ObserveHead(u.Head)
	switch {
	case err == nil:
		p.change(func() { p.answered = true })
	case errors.Is(err, ErrBehind):
		p.change(func() { p.answered = true })
		p.channel.AskPage(peer, writer, p.log.CatchUpFrom(), p.log.Network().Size)
	case errors.Is(err, signing.ErrFork):
		p.cfg.Logger.Error("this writer has signed two histories", "channel", p.ID(), "err", err)
		p.change(func() { p.failed = err })
	default:
		p.cfg.Logger.Debug("update refused", "channel", p.ID(), "err", err)
	}
}

func (s sink) Page(peer channel.Peer, writer string, page signing.Page) {
	p := s.p
	if writer != signing.MainWriter || p.log.Network().Raw == nil {
		return
	}
	displaced, err := p.log.CatchUp(page)
	for _, e := range displaced {
		// Never signed, so nobody has seen it: it goes behind what was published.
		p.cfg.Logger.Warn("an entry that was never signed is in the way and is published again", "channel", p.ID())
		defer func() {
			if _, err := p.log.Append(e); err != nil {
				p.change(func() { p.failed = err })
			}
		}()
	}
	switch {
	case err != nil && errors.Is(err, signing.ErrFork):
		p.change(func() { p.failed = err })
	case err == nil && p.log.Network().Raw != nil:
		p.channel.AskPage(peer, writer, p.log.CatchUpFrom(), p.log.Network().Size)
	case err == nil:
		p.change(func() {})
	}
}

func (s sink) Root(channel.Peer, int64, []byte)              {}
func (s sink) Range(channel.Peer, string, int64, [][32]byte) {}
