package swarm

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/anacrolix/torrent/mse"
)

// Every connection is a tap: the engine reads and writes a stream into which this
// node puts what the engine lacks, and from which it takes what is not due yet.
//
//   - Hearing (tapin.go): messages of this node's own are put between the peer's.
//   - Order and pace (tapout.go): blocks wait for a turn of the uplink, all other
//     messages overtake them; a block that waits can still be cancelled.
//   - Haves (tapshow.go): those of no urgency are held and sent together; an origin
//     shows its pieces one by one.
//   - Whole pieces (ahead.go): all of a piece is asked for before the engine gets to it.
//   - Pads (BEP 47, pads.go): a client that knows the v1 side of a hybrid asks for
//     the zeros between a file's end and the piece's. The engine sees such a request
//     as one for what there is, and its answer is filled up on the way out.
//   - Hash requests (BEP 52) are answered, and sent, by this node itself.
//
// All need to see plain messages, so the obfuscated handshake of an incoming
// connection (MSE) is done here and not in the engine. An outgoing connection on
// which the engine itself begins such a handshake passes through untouched.

// maxPadded bounds the requests of one connection that wait to be filled up.
const maxPadded = 2048

// maxInjected bounds the bytes of messages that wait to be sent.
const maxInjected = 4 << 20

// handshakeLen is the length of the handshake of BEP 3.
const handshakeLen = 68

// block names what a Request, Piece or Reject message is about.
type block struct{ piece, begin uint32 }

// tap is one connection to a peer, seen by the engine as a net.Conn. Read is
// called by one goroutine at a time, Write too.
type tap struct {
	net.Conn
	rw     io.ReadWriter // vital, which counts what passes
	now    func() time.Time
	up     *uplink // nil: data does not wait
	lease  lease   // owned by up
	gauge  gauge
	seen   seen          // guarded by up's lock
	line   atomic.Uint32 // of class; set by the node's loop
	closed func(*tap)
	gone   chan struct{} // closed when the connection is
	wake   chan struct{} // there is something to hear

	vital vital // around Conn, or the obfuscated stream inside it

	inbound inbound // owned by the goroutine that reads
	plain   bool    // the socket's bytes are the stream's; constant
	awaited int     // bytes that a read waits for, 0: any; owned by the goroutine that reads

	writing sync.Mutex // one writer at a time; held while writing

	// mu guards what follows. It is taken under the engine's lock, so it is never
	// held while anything is written or read. The uplink's lock is taken under it.
	mu       sync.Mutex
	room     sync.Cond // fewer blocks wait
	in, hand []byte    // the peer's handshake and this node's, as far as they have passed
	opaque   bool      // not a plain stream: nothing is looked at
	choking  bool
	pads     map[block]padded
	flushing bool // a goroutine is about to send ctl
	claimed  bool // a link uses it
	dead     bool
	out      outgoing // set by govern
	ahead    ahead
	outbound

	hearing      [][]byte // messages for the engine to read
	hearingBytes int
	hearingAt    int       // bytes of the first that were read
	reading      bool      // the connection is being read
	woken        bool      // hear has ended that
	readDeadline time.Time // as the engine set it
}

// seen is what load remembers.
type seen struct {
	acked  int64 // the most yet
	minRTT time.Duration
	at     time.Time // when minRTT was read
}

// infoEvery is the time between two looks at a connection's least round trip time.
const infoEvery = time.Second

// load implements flow. Bytes of a write that has not returned are in the system's
// queues and not in the count, so what was acknowledged never gets less.
func (t *tap) load() (load, bool) {
	l, ok := t.gauge.read(t.vital.out.Load())
	t.seen.acked = max(t.seen.acked, l.acked)
	if now := t.now(); ok && now.Sub(t.seen.at) >= infoEvery {
		t.seen.at = now
		t.seen.minRTT, _, _ = t.gauge.info()
	}
	l.acked, l.minRTT = t.seen.acked, t.seen.minRTT
	return l, ok
}

func newTap(c net.Conn, rw io.ReadWriter, closed func(*tap)) *tap {
	t := &tap{
		Conn: c, vital: vital{rw: rw}, now: time.Now, choking: true, pads: make(map[block]padded), closed: closed,
		gone: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	t.rw = &t.vital
	t.room.L = &t.mu
	t.lease.flow = t
	return t
}

// Close implements net.Conn.
func (t *tap) Close() error {
	t.mu.Lock()
	t.end()
	t.mu.Unlock()
	t.up.leave(&t.lease)
	t.closed(t)
	return t.Conn.Close()
}

// end lets nothing wait any longer. The lock is held.
func (t *tap) end() {
	if t.dead {
		return
	}
	t.dead = true
	t.hold(-t.queued)
	t.queue, t.queued = nil, 0
	t.ahead = ahead{}
	close(t.gone)
	t.room.Broadcast()
}

// taps finds the connection behind an engine's peer.
type taps struct {
	now func() time.Time
	up  *uplink

	mu   sync.Mutex
	open map[netip.AddrPort][]*tap // by remote address
}

// wrap makes a connection a tap until it is closed.
func (r *taps) wrap(c net.Conn, rw io.ReadWriter) net.Conn {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return c
	}
	t := newTap(c, rw, func(t *tap) { r.remove(ap, t) })
	t.now, t.up, t.gauge, t.plain = r.now, r.up, gauge{rawConn(c)}, rw == io.ReadWriter(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = make(map[netip.AddrPort][]*tap)
	}
	r.open[ap] = append(r.open[ap], t)
	return t
}

// rawConn returns access to the socket of a connection; nil if it has none.
func rawConn(c net.Conn) syscall.RawConn {
	if s, ok := c.(*sniffed); ok {
		c = s.Conn
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

func (r *taps) remove(ap netip.AddrPort, t *tap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rest []*tap
	for _, other := range r.open[ap] {
		if other != t {
			rest = append(rest, other)
		}
	}
	if len(rest) == 0 {
		delete(r.open, ap)
	} else {
		r.open[ap] = rest
	}
}

// claim returns the connection to a peer of that id about a torrent that is goes
// for; nil if there is none whose messages can be seen.
func (r *taps) claim(remote string, id [20]byte, is func(Infohash) bool) *tap {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.open[ap] {
		if t.take(id, is) {
			return t
		}
	}
	return nil
}

func (t *tap) take(id [20]byte, is func(Infohash) bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.claimed || t.opaque || len(t.in) < handshakeLen || len(t.hand) < handshakeLen ||
		[20]byte(t.in[48:]) != id || !is(Infohash(t.in[28:48])) {
		return false
	}
	t.claimed = true
	return true
}

// infohash returns the hash under which the peer speaks of the torrent: of a hybrid
// either, and that of BEP 52 if it answers hash requests.
func (t *tap) infohash() (ih Infohash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.in) == handshakeLen {
		ih = Infohash(t.in[28:48])
	}
	return ih
}

// maxUnveiling bounds the obfuscated handshakes that are done at a time; each costs
// some milliseconds of a core.
const maxUnveiling = 32

// listener hands accepted connections on as taps. It ends with inner.
func (r *taps) listener(inner net.Listener, keys mse.SecretKeyIter) net.Listener {
	out := newConnQueue(inner.Addr())
	unveiling := make(chan struct{}, maxUnveiling)
	go func() {
		defer out.Close()
		for {
			c, err := inner.Accept()
			if err != nil {
				return
			}
			if s, ok := c.(*sniffed); !ok || string(s.head) == "\x13Bit" {
				go out.put(r.wrap(c, c))
				continue
			}
			select {
			case unveiling <- struct{}{}:
			default:
				c.Close()
				continue
			}
			go func() {
				defer func() { <-unveiling }()
				ctx, cancel := context.WithTimeout(context.Background(), sniffTime)
				defer cancel()
				// Plain text is chosen behind the handshake wherever the peer offers that.
				rw, _, err := mse.ReceiveHandshake(ctx, c, keys, mse.DefaultCryptoSelector)
				if err != nil {
					c.Close()
					return
				}
				out.put(r.wrap(c, rw))
			}()
		}
	}()
	return out
}

// tapDialer makes outgoing connections taps.
type tapDialer struct {
	*peerDialer
	taps *taps
}

// Dial implements the engine's Dialer.
func (d tapDialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := d.peerDialer.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return d.taps.wrap(c, c), nil
}
