package mainline

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	crand "crypto/rand"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"
	alog "github.com/anacrolix/log"
	"golang.org/x/time/rate"

	"handful/signing/durable"
)

// Timing and rate of questions.
const (
	answerTime   = 1500 * time.Millisecond // how long an answer is waited for
	defaultRate  = 60                      // questions a second
	walksAtOnce  = 4                       // of those that somebody waits for, and as many others
	walkTime     = 30 * time.Second
	meetings     = 64  // nodes that wait to be looked at
	recentlyMet  = 512 // addresses
	meetersCount = 4
)

// ErrClosed is the error of what a closed node is asked for.
var ErrClosed = errors.New("the DHT node is closed")

// ErrAlone means that no node of the network could be asked.
var ErrAlone = errors.New("no node of the DHT is known")

// Config is what [Start] needs.
type Config struct {
	// Conn is a UDP socket; the node closes it.
	Conn net.PacketConn
	// Bootstrap are HOST:PORT of nodes that are asked first, and again while hardly
	// any node is known. Without any, and without a file, nothing is sent until
	// somebody asks us.
	Bootstrap []string
	// File keeps the node's id and whom it knows; empty: nothing is kept.
	File string
	// OnPeers is told of peers of announced infohashes, those of one answer at a time.
	// Several goroutines may call it, and once more after Forget.
	OnPeers func(infohash [20]byte, peers []netip.AddrPort)
	// Resolve looks a name up. nil: the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Rate is how many questions are sent a second; 0: 60. Answers to others have a
	// bound of their own.
	Rate   int
	Logger *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: time.Now
	// Rand makes the id and secrets and spreads what is done by time; the node alone
	// uses it from then on. nil: one seeded by the system.
	Rand *rand.Rand
}

// Node is a node of the DHT. Its methods may be called by any goroutine.
type Node struct {
	cfg    Config
	log    *slog.Logger
	id     [20]byte
	secret [32]byte // of tokens
	want   want     // what the socket speaks
	server *dht.Server
	guard  *guard
	ctx    context.Context
	stop   context.CancelFunc
	work   sync.WaitGroup
	urgent chan struct{} // slots of walks that somebody waits for
	spare  chan struct{} // slots of the rest
	meet   chan contact
	poke   chan struct{} // to look for nodes sooner

	randMu sync.Mutex
	rand   *rand.Rand

	mu      sync.Mutex // guards what follows
	closed  bool
	table   table
	hints   []contact               // of the file, to ask first
	grown   chan struct{}           // closed and replaced when a first node is known
	lately  map[netip.AddrPort]bool // who was met since the last sweep
	swarms  map[[20]byte]*announcement
	kept    map[[20]byte]*keeping
	queries int64
}

// Start makes a node of a socket and begins to answer. It sends nothing before it knows
// of somebody. A damaged file is reported in the log and starts anew.
func Start(cfg Config) (*Node, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		var seed [32]byte
		crand.Read(seed[:])
		cfg.Rand = rand.New(rand.NewChaCha8(seed))
	}
	if cfg.OnPeers == nil {
		cfg.OnPeers = func([20]byte, []netip.AddrPort) {}
	}
	if cfg.Resolve == nil {
		cfg.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Rate <= 0 {
		cfg.Rate = defaultRate
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger, rand: cfg.Rand,
		urgent: make(chan struct{}, walksAtOnce),
		spare:  make(chan struct{}, walksAtOnce),
		meet:   make(chan contact, meetings),
		poke:   make(chan struct{}, 1),
		grown:  make(chan struct{}),
		lately: make(map[netip.AddrPort]bool),
		swarms: make(map[[20]byte]*announcement),
		kept:   make(map[[20]byte]*keeping),
	}
	n.load()
	n.table.self = n.id
	n.want = families(cfg.Conn.LocalAddr())
	for i := range n.secret {
		n.secret[i] = byte(n.rand.Uint32())
	}
	if err := n.listen(); err != nil {
		return nil, err
	}
	n.ctx, n.stop = context.WithCancel(context.Background())
	n.work.Go(n.maintain)
	for range meetersCount {
		n.work.Go(n.greet)
	}
	return n, nil
}

// listen puts the library onto the socket.
func (n *Node) listen() error {
	n.guard = &guard{conn: n.cfg.Conn, closed: make(chan struct{})}
	n.guard.query = newServer(n).query
	var silent alog.Logger // without handlers
	silent.SetHandlers()
	var err error
	n.server, err = dht.NewServer(&dht.ServerConfig{
		NodeId: krpc.ID(n.id),
		Conn:   n.guard,
		// Its own table is not used: see table.
		NoSecurity:       true,
		StartingNodes:    func() ([]dht.Addr, error) { return nil, nil },
		QueryResendDelay: func() time.Duration { return answerTime },
		SendLimiter:      rate.NewLimiter(rate.Limit(n.cfg.Rate), n.cfg.Rate),
		Logger:           silent,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("DHT on %s: %w", n.cfg.Conn.LocalAddr(), err), n.guard.Close())
	}
	return nil
}

// families returns which families a socket speaks: both if it listens on all addresses.
func families(local net.Addr) want {
	ap, ok := local.(*net.UDPAddr)
	if !ok || ap.IP.IsUnspecified() && ap.IP.To4() == nil || ap.IP == nil {
		return want{true, true}
	}
	v4 := ap.IP.To4() != nil
	return want{v4, !v4}
}

func (n *Node) speaks(a netip.Addr) bool { return a.Is4() && n.want.v4 || a.Is6() && n.want.v6 }

// load reads the file, and else makes a new id.
func (n *Node) load() {
	for i := range n.id {
		n.id[i] = byte(n.rand.Uint32())
	}
	if n.cfg.File == "" {
		return
	}
	b, err := durable.ReadFile(durable.OS{}, n.cfg.File, MaxFile)
	var s saved
	if err == nil {
		s, err = parseSaved(b)
	}
	switch {
	case err == nil:
		n.id, n.hints = s.self, s.nodes
	case !errors.Is(err, fs.ErrNotExist):
		n.log.Warn("the DHT's routing table starts anew", "file", n.cfg.File, "err", err)
	}
}

// save writes the file, unless there is nothing to remember.
func (n *Node) save() {
	if n.cfg.File == "" {
		return
	}
	n.mu.Lock()
	s := saved{self: n.id, nodes: n.table.newest(maxSaved)}
	if len(s.nodes) == 0 {
		s.nodes = n.hints // nobody answered this time; perhaps the next
	}
	n.mu.Unlock()
	if len(s.nodes) == 0 {
		return
	}
	if err := durable.WriteFile(durable.OS{}, n.cfg.File, s.bytes()); err != nil {
		n.log.Warn("the DHT's routing table is not kept", "err", err)
	}
}

// Close ends everything that is under way, writes the file and closes the socket.
func (n *Node) Close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.stop()
	n.work.Wait()
	n.save()
	n.server.Close() // before its socket: it takes a read error for the end of the world
	return n.guard.Close()
}

// Addr returns where the node listens.
func (n *Node) Addr() netip.AddrPort {
	ap, _ := netip.ParseAddrPort(n.cfg.Conn.LocalAddr().String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Size returns how many nodes are known that answer.
func (n *Node) Size() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.table.size()
}

// Queries returns how many questions were sent.
func (n *Node) Queries() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queries
}

func (n *Node) now() time.Time { return n.cfg.Now() }

// spread returns d and up to a tenth more, so that nodes that started together come apart.
func (n *Node) spread(d time.Duration) time.Duration {
	n.randMu.Lock()
	defer n.randMu.Unlock()
	return d + time.Duration(n.rand.Float64()/10*float64(d))
}

// nearest is what is told to others.
func (n *Node) nearest(target [20]byte, w want) []contact {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append(n.table.nearest(target, maxNodes, want{v4: w.v4}), n.table.nearest(target, maxNodes, want{v6: w.v6})...)
}

// ask asks one node one question, and remembers whether it answered.
func (n *Node) ask(ctx context.Context, to netip.AddrPort, method string, args krpc.MsgArgs) (body, error) {
	n.mu.Lock()
	n.queries++
	n.mu.Unlock()
	args.ID = krpc.ID(n.id)
	res := n.server.Query(ctx, dht.NewAddr(net.UDPAddrFromAddrPort(to)), method, dht.QueryInput{MsgArgs: args})
	if res.Err != nil {
		if ctx.Err() == nil {
			n.mu.Lock()
			n.table.failed(to)
			n.mu.Unlock()
		}
		return body{}, fmt.Errorf("DHT node %s: %s: %w", to, method, res.Err)
	}
	if e := res.Reply.E; e != nil || res.Reply.R == nil {
		err := refusedError{method: method, node: to}
		if e != nil {
			err.code, err.text = int64(e.Code), e.Msg
		}
		return body{}, err
	}
	out := bodyOf(res.Reply.R)
	n.answered(contact{out.sender, to})
	return out, nil
}

// refusedError is what a node answers that does not do as it is asked.
type refusedError struct {
	method, text string
	node         netip.AddrPort
	code         int64
}

func (e refusedError) Error() string {
	return fmt.Sprintf("DHT node %s: %s: refused with %d %.100q", e.node, e.method, e.code, e.text)
}

// answered enters a node into the table.
func (n *Node) answered(c contact) {
	n.mu.Lock()
	defer n.mu.Unlock()
	first := n.table.size() == 0
	if n.table.answered(c, n.now()) && first {
		close(n.grown)
		n.grown = make(chan struct{})
	}
}

// bodyOf takes the library's reply, which the guard has printed.
func bodyOf(r *krpc.Return) (o body) {
	o.sender = [20]byte(r.ID)
	for _, list := range [][]krpc.NodeInfo{r.Nodes, r.Nodes6} {
		for _, c := range list {
			if ap, ok := canonical(c.Addr.ToNodeAddrPort().AddrPort); ok {
				o.nodes = append(o.nodes, contact{[20]byte(c.ID), ap})
			}
		}
	}
	for _, v := range r.Values {
		if ap, ok := canonical(v.ToNodeAddrPort().AddrPort); ok {
			o.values = append(o.values, ap)
		}
	}
	if r.Token != nil {
		o.token = []byte(*r.Token)
	}
	o.seq, o.value = r.Seq, r.V
	if r.K != [32]byte{} {
		o.key = &r.K
	}
	if r.Sig != [64]byte{} {
		o.sig = &r.Sig
	}
	return o
}

// start waits until somebody is known, and for one of the slots. The caller calls done.
func (n *Node) start(ctx context.Context, slots chan struct{}) (done func(), err error) {
	for {
		n.mu.Lock()
		empty, grown := n.table.size() == 0, n.grown
		n.mu.Unlock()
		if !empty {
			break
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, ErrAlone
		case <-n.ctx.Done():
			return nil, ErrClosed
		}
	}
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-n.ctx.Done():
		return nil, ErrClosed
	}
}

// walk goes to the nodes nearest to a target, from the table on. It ends with the node.
func (n *Node) walk(ctx context.Context, target [20]byte, method string, args krpc.MsgArgs, addrs []netip.AddrPort, answered func(contact, body)) []*visit {
	ctx, cancel := context.WithTimeout(ctx, walkTime)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	for _, f := range []struct {
		on   bool
		name krpc.Want
	}{{n.want.v4, krpc.WantNodes}, {n.want.v6, krpc.WantNodes6}} {
		if f.on {
			args.Want = append(args.Want, f.name)
		}
	}
	w := &walk{
		target: target, answered: answered, speaks: n.speaks,
		ask: func(ctx context.Context, c contact) (body, error) { return n.ask(ctx, c.addr, method, args) },
	}
	n.mu.Lock()
	start := n.table.nearest(target, startNodes, n.want)
	n.mu.Unlock()
	return w.run(ctx, start, addrs)
}

// name shows an infohash or a target in the log.
func name(h [20]byte) string { return hex.EncodeToString(h[:]) }
