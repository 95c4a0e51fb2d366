package mainline

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a network in memory without delay, for tests in a bubble.
type wire struct {
	t    *testing.T
	mu   sync.Mutex
	ends map[netip.AddrPort]*end
	sent map[netip.AddrPort]int // packets that an end has sent
}

// end is a socket on it.
type end struct {
	wire   *wire
	addr   netip.AddrPort
	in     chan datagram
	closed chan struct{}
	once   sync.Once
}

type datagram struct {
	b    []byte
	from netip.AddrPort
}

func newWire(t *testing.T) *wire {
	return &wire{t: t, ends: make(map[netip.AddrPort]*end), sent: make(map[netip.AddrPort]int)}
}

func (w *wire) listen(addr string) *end {
	e := &end{wire: w, addr: netip.MustParseAddrPort(addr), in: make(chan datagram, 256), closed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends[e.addr] = e
	return e
}

func (w *wire) packets(addr string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[netip.MustParseAddrPort(addr)]
}

func (e *end) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-e.in:
		return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
	case <-e.closed:
		return 0, nil, net.ErrClosed
	}
}

func (e *end) WriteTo(b []byte, to net.Addr) (int, error) {
	d := datagram{append([]byte(nil), b...), e.addr}
	w := e.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[e.addr]++
	ap := to.(*net.UDPAddr).AddrPort()
	if other := w.ends[netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())]; other != nil {
		select {
		case other.in <- d:
		default: // it does not read fast enough
		}
	}
	return len(b), nil
}

func (e *end) Close() error {
	e.once.Do(func() {
		close(e.closed)
		e.wire.mu.Lock()
		defer e.wire.mu.Unlock()
		delete(e.wire.ends, e.addr)
	})
	return nil
}

func (e *end) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(e.addr) }
func (e *end) SetDeadline(time.Time) error      { return nil }
func (e *end) SetReadDeadline(time.Time) error  { return nil }
func (e *end) SetWriteDeadline(time.Time) error { return nil }

// serve answers queries on the end by a function, as a stranger's node.
func (e *end) serve(answer func(m message, from netip.AddrPort) [][]byte) {
	var b [maxPacket]byte
	for {
		n, from, err := e.ReadFrom(b[:])
		if err != nil {
			return
		}
		m, err := parseMessage(b[:n])
		if err != nil || m.kind != 'q' {
			continue
		}
		ap := from.(*net.UDPAddr).AddrPort()
		for _, out := range answer(m, ap) {
			e.WriteTo(out, from)
		}
	}
}

// bubble runs a test with a network in virtual time.
func bubble(t *testing.T, f func(t *testing.T, w *wire)) {
	t.Helper()
	if raced {
		// With several processors the race detector of Go 1.26 corrupts itself, and the process
		// dies, when many timers of a bubble fire. What it looks for it finds on one as well.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	}
	synctest.Test(t, func(t *testing.T) { f(t, newWire(t)) })
}

func (w *wire) start(addr string, change func(*Config)) *Node {
	w.t.Helper()
	ap := netip.MustParseAddrPort(addr)
	cfg := Config{Conn: w.listen(addr), Rand: rand.New(rand.NewPCG(uint64(ap.Port()), uint64(ap.Addr().As4()[3])+7))}
	if change != nil {
		change(&cfg)
	}
	n, err := Start(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { n.Close() })
	return n
}

// crowd starts nodes, each of which knows the first at its start.
func (w *wire) crowd(count int, change func(i int, cfg *Config)) (nodes []*Node) {
	w.t.Helper()
	for i := range count {
		nodes = append(nodes, w.start(fmt.Sprintf("10.0.%d.%d:6881", i/200, i%200+1), func(cfg *Config) {
			if i > 0 {
				cfg.Bootstrap = []string{"10.0.0.1:6881"}
			}
			if change != nil {
				change(i, cfg)
			}
		}))
	}
	return nodes
}

// settle lets virtual time pass, and all that is due then be done.
func (w *wire) settle(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestNetwork(t *testing.T) {
	bubble(t, func(t *testing.T, w *wire) {
		nodes := w.crowd(40, nil)
		w.settle(time.Minute)
		for i, n := range nodes {
			if n.Size() < bucketSize {
				t.Errorf("node %d knows %d", i, n.Size())
			}
		}
		it := signed(t, "m", 5, "5:hello")
		s, err := nodes[3].Put(t.Context(), it, PutOptions{})
		if err != nil || s.Nodes < nearestK {
			t.Fatalf("put on %d nodes: %v", s.Nodes, err)
		}
		for _, i := range []int{0, 11, 39} {
			begin := time.Now()
			f, err := nodes[i].Get(t.Context(), publicKey(1), []byte("m"), nil)
			if err != nil || !f.Item.same(it) || f.Holders < nearestK {
				t.Errorf("node %d found %+v: %v", i, f, err)
			}
			if d := time.Since(begin); d > time.Second {
				t.Errorf("node %d took %s", i, d)
			}
		}
	})
}
