package swarm

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"handful/swarm/discover/mainline"
)

// DHT returns the node's part in the DHT, nil if it has none.
func (n *Node) DHT() *mainline.Node { return n.dht }

// joinDHT starts the node's part in the DHT: on the port that the tracker reads, if there
// is one, else on the front's UDP socket, and if that could not be had on any port.
func (n *Node) joinDHT() (err error) {
	var conn net.PacketConn
	switch {
	case n.dhtPort != nil:
		conn = n.dhtPort
	case n.front.udp != nil:
		conn = n.front.udp
	default:
		host := ""
		if a := n.front.addrPort().Addr(); !a.IsUnspecified() {
			host = a.String()
		}
		if conn, err = net.ListenPacket("udp", net.JoinHostPort(host, "0")); err != nil {
			return fmt.Errorf("DHT: %w", err)
		}
	}
	n.dht, err = mainline.Start(mainline.Config{
		Conn:      conn,
		Bootstrap: n.cfg.DHTBootstrap,
		File:      n.cfg.DHTFile,
		OnPeers: func(ih [20]byte, peers []netip.AddrPort) {
			n.mail.tryPost(func() {
				it := n.items[Infohash(ih)]
				if it == nil || !it.public() {
					return
				}
				for _, p := range peers {
					n.learn(it, p, fromDHT)
				}
			})
		},
		Logger: n.log,
		Now:    n.cfg.Now,
	})
	return err
}

// public reports whether the item may be named in the DHT. It is owned by the loop.
func (it *Item) public() bool { return !it.private.Load() && !it.unlisted && it.state != StateFailed }

// tellDHT announces an item, or ends that.
func (n *Node) tellDHT(it *Item) {
	switch {
	case n.dht == nil:
	case !it.public():
		n.dht.Forget(it.hash)
	default:
		if err := n.dht.Announce(it.hash, n.Port(), it.spec.Content == nil); err != nil && !errors.Is(err, mainline.ErrClosed) {
			n.log.Warn("not announced to the DHT", "torrent", it.hash, "err", err)
		}
	}
}

// shareQueue is how many packets may wait for the DHT on a port that it shares.
const shareQueue = 256

// shared is the DHT's end of a UDP port that the tracker reads. Closing it leaves the
// socket open.
type shared struct {
	net.PacketConn
	in     chan packet
	closed chan struct{}
	once   sync.Once
}

type packet struct {
	b    []byte
	from net.Addr
}

func newShared(udp net.PacketConn) *shared {
	return &shared{PacketConn: udp, in: make(chan packet, shareQueue), closed: make(chan struct{})}
}

// take is told of a packet by the tracker. What is not taken in time is lost, as
// anywhere on the way.
func (s *shared) take(b []byte, from net.Addr) {
	select {
	case s.in <- packet{bytes.Clone(b), from}:
	default:
	}
}

func (s *shared) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-s.in:
		return copy(b, p.b), p.from, nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

func (s *shared) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
