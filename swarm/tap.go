package swarm

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/anacrolix/torrent/mse"
	pp "github.com/anacrolix/torrent/peer_protocol"
)

// The engine answers some messages of foreign clients with an end of the
// connection, and has no way to send others. What it lacks is added to the bytes
// that it writes: every connection is a tap.
//
//   - Pads (BEP 47): a client that knows the v1 side of a hybrid asks for the zeros
//     between a file's end and the piece's. The engine sees such a request as one for
//     what there is, and its answer is filled up on the way out.
//   - Hash requests (BEP 52) are answered, and sent, by this node itself.
//
// Both need to see plain messages, so the obfuscated handshake of an incoming
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

// padded is a request of which the engine was shown a part.
type padded struct{ shown, whole uint32 }

// tap is one connection to a peer, seen by the engine as a net.Conn. Read is
// called by one goroutine at a time, Write too.
type tap struct {
	net.Conn
	rw io.ReadWriter // Conn, or the obfuscated stream inside it

	writing sync.Mutex // one writer at a time; held while writing

	// mu guards what follows. It is taken under the engine's lock, so it is never
	// held while anything is written or read.
	mu       sync.Mutex
	in, out  []byte // handshakes, as far as they have passed
	opaque   bool   // not a plain stream: nothing is looked at
	choking  bool
	left     int    // bytes of the current outgoing message that are still to come
	fill     int    // zeros that follow it
	head     []byte // an outgoing message's beginning, less than is needed to know it
	pads     map[block]padded
	injected []byte // whole messages to send at the next boundary
	flushing bool   // a goroutine is about to send them
	claimed  bool   // a link uses it
	closed   func(*tap)
}

func newTap(c net.Conn, rw io.ReadWriter, closed func(*tap)) *tap {
	return &tap{Conn: c, rw: rw, choking: true, pads: make(map[block]padded), closed: closed}
}

// Read notes the peer's handshake.
func (t *tap) Read(b []byte) (int, error) {
	n, err := t.rw.Read(b)
	if n > 0 {
		t.mu.Lock()
		if need := handshakeLen - len(t.in); need > 0 {
			t.in = append(t.in, b[:min(n, need)]...)
		}
		t.mu.Unlock()
	}
	return n, err
}

// Close implements net.Conn.
func (t *tap) Close() error {
	t.closed(t)
	return t.Conn.Close()
}

// Write sends what the engine wrote, amended. It reports len(b) written or an
// error: the engine gives a connection up after any.
func (t *tap) Write(b []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	out := t.amend(b)
	t.mu.Unlock()
	if len(out) > 0 {
		if _, err := t.rw.Write(out); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// amend returns what is to be sent in place of b: b itself where nothing changes.
func (t *tap) amend(b []byte) []byte {
	if t.opaque {
		return b
	}
	rest := b
	if need := handshakeLen - len(t.out); need > 0 {
		k := min(need, len(rest))
		t.out = append(t.out, rest[:k]...)
		if t.out[0] != 19 {
			t.opaque = true
			return b
		}
		if rest = rest[k:]; len(rest) == 0 {
			return b
		}
	}
	start := len(b) - len(rest)
	if len(t.head)+len(t.pads)+len(t.injected)+t.fill == 0 && t.skim(rest) {
		return b
	}
	out := append(make([]byte, 0, len(b)+len(t.injected)+handshakeLen), b[:start]...)
	return t.rewrite(out, rest)
}

// skim follows messages that nothing is done to. It reports false, without having
// done anything, if b ends before it is known what its last message is.
func (t *tap) skim(b []byte) bool {
	left, choking := t.left, t.choking
	for len(b) > 0 {
		if left > 0 {
			k := min(left, len(b))
			left, b = left-k, b[k:]
			continue
		}
		if len(b) < 5 {
			if len(b) == 4 && binary.BigEndian.Uint32(b) == 0 {
				break
			}
			return false
		}
		left = int(binary.BigEndian.Uint32(b)) + 4
		if left == 5 && b[4] <= byte(pp.Unchoke) {
			choking = b[4] == byte(pp.Choke)
		}
	}
	t.left, t.choking = left, choking
	return true
}

// rewrite appends the messages of b to out, filled up, and what was injected.
func (t *tap) rewrite(out, b []byte) []byte {
	for {
		if t.left == 0 && len(t.head) == 0 {
			out = append(out, make([]byte, t.fill)...)
			out = append(out, t.injected...)
			t.fill, t.injected = 0, nil
		}
		if len(b) == 0 {
			return out
		}
		if t.left > 0 {
			k := min(t.left, len(b))
			out = append(out, b[:k]...)
			t.left, b = t.left-k, b[k:]
			continue
		}
		// A message's beginning is held back until it is known what it is.
		t.head, b = append(t.head, b[0]), b[1:]
		if !t.known() {
			continue
		}
		t.left = int(binary.BigEndian.Uint32(t.head)) + 4 - len(t.head)
		out = append(out, t.begin()...)
		t.head = t.head[:0]
	}
}

// known tells whether enough of a message is there to know what to do with it.
func (t *tap) known() bool {
	if len(t.head) < 4 {
		return false
	}
	n := int(binary.BigEndian.Uint32(t.head))
	if n == 0 {
		return true
	}
	if len(t.head) < 5 {
		return false
	}
	switch pp.MessageType(t.head[4]) {
	case pp.Piece:
		return len(t.head) >= min(13, n+4)
	case pp.Reject:
		return len(t.head) >= min(17, n+4)
	}
	return true
}

// begin returns the beginning of a message, changed if it answers a request that
// was shown in part.
func (t *tap) begin() []byte {
	h := t.head
	if len(h) < 5 {
		return h
	}
	switch kind := pp.MessageType(h[4]); {
	case kind == pp.Choke, kind == pp.Unchoke:
		t.choking = kind == pp.Choke
	case kind == pp.Piece && len(h) == 13:
		key := block{binary.BigEndian.Uint32(h[5:]), binary.BigEndian.Uint32(h[9:])}
		n := binary.BigEndian.Uint32(h) - 9
		if p, ok := t.pads[key]; ok && p.shown == n {
			delete(t.pads, key)
			t.fill = int(p.whole - p.shown)
			binary.BigEndian.PutUint32(h, 9+p.whole)
		}
	case kind == pp.Reject && len(h) == 17:
		key := block{binary.BigEndian.Uint32(h[5:]), binary.BigEndian.Uint32(h[9:])}
		if p, ok := t.pads[key]; ok && p.shown == binary.BigEndian.Uint32(h[13:]) {
			delete(t.pads, key)
			binary.BigEndian.PutUint32(h[13:], p.whole)
		}
	}
	return h
}

// request notes a request of which the engine is shown the first bytes only. It
// reports false when too many wait already.
func (t *tap) request(key block, shown, whole uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pads) >= maxPadded {
		return false
	}
	t.pads[key] = padded{shown, whole}
	return true
}

// serves tells whether the peer may expect its requests to be answered, and
// whether it must be told when they are not (BEP 6).
func (t *tap) serves() (unchoked, fast bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fast = len(t.in) == handshakeLen && len(t.out) == handshakeLen && t.in[27]&t.out[27]&4 != 0
	return !t.choking, fast
}

// inject sends a message when the current one has ended. It does not block.
// Messages for a peer that does not read are dropped.
func (t *tap) inject(m pp.Message) {
	raw, err := m.MarshalBinary()
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.opaque || len(t.out) < handshakeLen || len(t.injected)+len(raw) > maxInjected {
		return
	}
	t.injected = append(t.injected, raw...)
	if !t.flushing {
		t.flushing = true
		go t.flush()
	}
}

// flush sends what was injected, unless a message has begun that the engine has
// not ended yet: then it goes out behind that.
func (t *tap) flush() {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	t.flushing = false
	out := t.rewrite(nil, nil)
	t.mu.Unlock()
	if len(out) > 0 {
		t.rw.Write(out) // the engine meets the same error
	}
}

// taps finds the connection behind an engine's peer.
type taps struct {
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
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = make(map[netip.AddrPort][]*tap)
	}
	r.open[ap] = append(r.open[ap], t)
	return t
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
	if t.claimed || t.opaque || len(t.in) < handshakeLen || len(t.out) < handshakeLen ||
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
