package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// The ports tried in turn when the listen address names none (BEP 3).
const firstPort, lastPort = 6881, 6889

// sniffTime is how long a new connection may take to show what it speaks.
const sniffTime = 10 * time.Second

// maxSniffing is how many connections may be waiting to show it.
const maxSniffing = 512

// maxWeb is how many HTTP connections are open at a time; maxWebPerPeer of one
// address. Trackers' clients ask seldom and hang up.
const maxWeb, maxWebPerPeer = 1024, 256

// front is the node's one TCP port. It looks at the first bytes of each
// connection and hands it to BitTorrent or to the HTTP server.
type front struct {
	ln   net.Listener
	bt   *connQueue
	web  *connQueue
	srv  *http.Server
	udp  net.PacketConn // same port number; nil if it could not be had
	done sync.WaitGroup

	allow func(netip.Addr) bool // whom to talk to; set by serve

	mu     sync.Mutex
	guests map[netip.Addr]int // open HTTP connections by address
	open   int                // their sum
}

// listen opens the front at addr, HOST:PORT; an empty addr or port 0 in the form
// ":0" picks as documented at Config.Listen.
func listen(ctx context.Context, addr string, handler http.Handler, withUDP bool) (*front, error) {
	ln, err := listenTCP(ctx, addr)
	if err != nil {
		return nil, err
	}
	f := &front{ln: ln, bt: newConnQueue(ln.Addr()), web: newConnQueue(ln.Addr()), guests: make(map[netip.Addr]int)}
	if withUDP {
		// Without it the tracker is still there over HTTP, so a port that is taken
		// is not an error.
		f.udp, _ = net.ListenPacket("udp", ln.Addr().String())
	}
	f.srv = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: sniffTime,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       10 * time.Second, // clients of a tracker come back after minutes
		MaxHeaderBytes:    16 << 10,
	}
	return f, nil
}

// serve begins to take connections from those whom allow admits.
func (f *front) serve(allow func(netip.Addr) bool) {
	f.allow = allow
	f.done.Go(f.accept)
	f.done.Go(func() { f.srv.Serve(f.web) })
}

func listenTCP(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	if addr != "" {
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		return ln, nil
	}
	var errs []error
	for port := firstPort; port <= lastPort; port++ {
		ln, err := lc.Listen(ctx, "tcp", ":"+strconv.Itoa(port))
		if err == nil {
			return ln, nil
		}
		errs = append(errs, err)
	}
	ln, err := lc.Listen(ctx, "tcp", ":0")
	if err != nil {
		return nil, fmt.Errorf("listen: no free port: %w", errors.Join(append(errs, err)...))
	}
	return ln, nil
}

func (f *front) accept() {
	sniffing := make(chan struct{}, maxSniffing)
	var pause time.Duration
	for {
		c, err := f.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// A connection that died in the queue, or no descriptor is left: that
			// lasts until somebody closes one.
			pause = min(max(2*pause, time.Millisecond), time.Second)
			time.Sleep(pause)
			continue
		}
		pause = 0
		if !f.allow(remoteAddr(c)) {
			c.Close()
			continue
		}
		select {
		case sniffing <- struct{}{}:
		default:
			c.Close()
			continue
		}
		go func() {
			defer func() { <-sniffing }()
			f.sniff(c)
		}()
	}
}

// sniff reads the first four bytes. BitTorrent starts with 19 and "Bit", or, when
// obfuscated, with 96 random bytes; an HTTP request with its method.
func (f *front) sniff(c net.Conn) {
	var head [4]byte
	c.SetReadDeadline(time.Now().Add(sniffTime))
	n := 0
	for n < len(head) {
		m, err := c.Read(head[n:])
		n += m
		if err != nil {
			c.Close()
			return
		}
	}
	c.SetReadDeadline(time.Time{})
	keepShort(c)
	back := &sniffed{Conn: c, head: append([]byte(nil), head[:]...)}
	switch string(head[:]) {
	case "GET ", "HEAD", "POST", "PUT ", "OPTI":
		if g := f.admit(back); g != nil {
			f.web.put(g)
		}
	default:
		f.bt.put(back)
	}
}

// admit counts an HTTP connection until it is closed. It returns nil, and closes c,
// if there are too many.
func (f *front) admit(c net.Conn) net.Conn {
	who := remoteAddr(c)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open >= maxWeb || f.guests[who] >= maxWebPerPeer {
		c.Close()
		return nil
	}
	f.open++
	f.guests[who]++
	return &guest{Conn: c, leave: func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open--
		if f.guests[who]--; f.guests[who] == 0 {
			delete(f.guests, who)
		}
	}}
}

// guest is an HTTP connection that counts.
type guest struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (g *guest) Close() error {
	g.once.Do(g.leave)
	return g.Conn.Close()
}

// remoteAddr returns a connection's other end, the zero value if it has no IP.
func remoteAddr(c net.Conn) netip.Addr {
	ap, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	return ap.Addr().Unmap()
}

// knownPackets drops datagrams of those whom allow does not admit.
type knownPackets struct {
	net.PacketConn
	allow func(netip.Addr) bool
}

func (k knownPackets) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := k.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		if ap, perr := netip.ParseAddrPort(from.String()); perr == nil && k.allow(ap.Addr().Unmap()) {
			return n, from, nil
		}
	}
}

// addrPort returns the address on which the front listens.
func (f *front) addrPort() netip.AddrPort {
	ap, _ := netip.ParseAddrPort(f.ln.Addr().String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func (f *front) close() {
	f.ln.Close()
	f.srv.Close()
	f.web.Close()
	f.bt.Close()
	if f.udp != nil {
		f.udp.Close()
	}
	f.done.Wait()
}

// sniffed gives back the bytes that were read ahead.
type sniffed struct {
	net.Conn
	head []byte
}

func (c *sniffed) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// connQueue is a net.Listener fed by sniff.
type connQueue struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newConnQueue(addr net.Addr) *connQueue {
	return &connQueue{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (q *connQueue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.closed:
		c.Close()
	}
}

func (q *connQueue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

func (q *connQueue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

func (q *connQueue) Addr() net.Addr { return q.addr }

// peerDialer makes the engine's outgoing connections. allow decides which
// addresses may be dialled at all. A node that listens at one address dials from it
// as well: where a peer sees a connection come from, it tells others to find this node.
type peerDialer struct {
	allow func(netip.AddrPort) bool
	from  netip.Addr // where this node listens
}

var errNotAllowed = errors.New("address is not allowed here")

func (d *peerDialer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !d.allow(ap) {
		return nil, fmt.Errorf("dial %s: %w", addr, errNotAllowed)
	}
	c, err := d.dialer(ap.Addr().Unmap()).DialContext(ctx, "tcp", addr)
	if err == nil {
		keepShort(c)
	}
	return c, err
}

func (d *peerDialer) dialer(to netip.Addr) *net.Dialer {
	from := d.from.Unmap()
	if !from.IsValid() || from.IsUnspecified() || from.Is4() != to.Is4() || from.IsLoopback() != to.IsLoopback() {
		return &net.Dialer{}
	}
	return &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
}

// DialerNetwork tells the engine what it gets.
func (d *peerDialer) DialerNetwork() string { return "tcp" }
